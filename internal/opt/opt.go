// Package opt declares the families of keyword arguments. A family is an
// interface that only this module's types can satisfy, since only this module
// can name Set; so an op accepts its own keywords and the compiler refuses the
// rest. The public names are aliases (mlx.StreamOrDevice = opt.Op, ...).
//
// It is the lowest layer: fields of Set whose types live above it are any.
package opt

// Set collects the keywords of one call.
type Set struct {
	Stream any // tensor.Stream

	HasDType bool
	DType    uint8 // dtype.DType

	HasAxes  bool
	Axes     []int
	KeepDims bool
	DDof     int

	GroupSize, Bits int
	Mode            string
	Rounding        int
	NoTranspose     bool // transpose=False of quantized products
	Round           bool // products may round their activations
	RoundWeights    bool // products may round unpacked weights
	Predicate       any  // nn.Predicate
	QuantizeInput   bool

	RTol, ATol *float64
	EqualNaN   bool
	arrayOps   // of scans, paddings and products
	convOps    // of convolutions
	fftOps     // of Fourier transforms

	Key         any // random.Key
	Loc, Scale  any // float64 or *tensor.Array
	NumSamples  int
	SampleShape []int

	Group any // *distributed.Group

	Causal      bool
	Mask, Sinks any // *tensor.Array

	Ord any // float64 or string

	twice string
}

// SetStream notes the stream keyword.
func (s *Set) SetStream(v any) {
	s.note("a stream", s.Stream != nil)
	s.Stream = v
}

// SetDType notes the dtype keyword.
func (s *Set) SetDType(d uint8) {
	s.note("a dtype", s.HasDType)
	s.DType, s.HasDType = d, true
}

// SetAxes notes the axis keyword and takes the list.
func (s *Set) SetAxes(axes []int) {
	s.note("an axis", s.HasAxes)
	s.Axes, s.HasAxes = axes, true
}

// SetKey notes the key keyword.
func (s *Set) SetKey(k any) {
	s.note("a key", s.Key != nil)
	s.Key = k
}

// SetGroup notes the group keyword.
func (s *Set) SetGroup(g any) {
	s.note("a group", s.Group != nil)
	s.Group = g
}

// SetLoc notes the loc keyword.
func (s *Set) SetLoc(v any) {
	s.note("loc", s.Loc != nil)
	s.Loc = v
}

// SetScale notes the scale keyword.
func (s *Set) SetScale(v any) {
	s.note("scale", s.Scale != nil)
	s.Scale = v
}

// SetMask notes the mask keyword.
func (s *Set) SetMask(m any) {
	s.note("a mask", s.Mask != nil)
	s.Mask = m
}

// SetSinks notes the sinks keyword.
func (s *Set) SetSinks(k any) {
	s.note("sinks", s.Sinks != nil)
	s.Sinks = k
}

// SetOrd notes the ord keyword.
func (s *Set) SetOrd(v any) {
	s.note("ord", s.Ord != nil)
	s.Ord = v
}

func (s *Set) note(what string, again bool) {
	if again && s.twice == "" {
		s.twice = what
	}
}

// Twice names a keyword that was given more than once, which is misuse; "" if
// there is none.
func (s *Set) Twice() string { return s.twice }

// The families of keywords, by the ops that take them.
type (
	// Op is stream=: every op takes it.
	Op interface{ ForOp(*Set) }
	// Create is dtype= and stream=.
	Create interface{ ForCreate(*Set) }
	// Axis is axis= and stream=.
	Axis interface{ ForAxis(*Set) }
	// Reduce is axis=, keepdims=, ddof= and stream=.
	Reduce interface{ ForReduce(*Set) }
	// Quant is group_size=, bits=, mode=, dtype= and stream=.
	Quant interface{ ForQuant(*Set) }
	// Quantize is nn.quantize's: group_size=, bits=, mode= and class_predicate=.
	Quantize interface{ ForQuantize(*Set) }
	// Gather is transpose= and stream= of quantized products.
	Gather interface{ ForGather(*Set) }
	// Random is key=, dtype=, loc=, scale=, axis= and stream=.
	Random interface{ ForRandom(*Set) }
	// Close is rtol=, atol=, equal_nan= and stream=.
	Close interface{ ForClose(*Set) }
	// Linalg is ord=, axis=, keepdims= and stream=.
	Linalg interface{ ForLinalg(*Set) }
	// Attention is mask=, sinks= and stream=.
	Attention interface{ ForAttention(*Set) }
)
