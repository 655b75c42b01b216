package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/quant"
)

// Keyword arguments. Each type is one keyword of MLX; each interface is the set of
// keywords that an op takes. What an op does not take does not compile.
type (
	// StreamOrDevice is stream=: a [Stream] or a [Device]. Every op takes it; it
	// decides where this op runs and nothing else. At most one may be given.
	StreamOrDevice = opt.Op
	// CreateOption is a [DType] (dtype=) or a StreamOrDevice.
	CreateOption = opt.Create
	// AxisOption is [Axis], [Axes] or a StreamOrDevice.
	AxisOption = opt.Axis
	// ReduceOption is [Axis], [Axes], [KeepDims] or a StreamOrDevice.
	ReduceOption = opt.Reduce
	// CloseOption is [RTol], [ATol], [EqualNaN] or a StreamOrDevice.
	CloseOption = opt.Close
	// QuantOption is [GroupSize], [Bits], [Mode], [Scheme], a [Rounding], a [DType]
	// or a StreamOrDevice.
	QuantOption = opt.Quant
	// GatherOption is [TransposeRHS], [RoundActivations], [RoundWeights], [SortedIndices] or a StreamOrDevice.
	GatherOption = opt.Gather
)

// Axis is axis= with one axis; negative counts from the end.
type Axis int

// Axes is axis= or axes= with several.
type Axes []int

// KeepDims is keepdims=: leave reduced axes with size 1.
type KeepDims bool

// RTol is rtol=, 1e-5 by default.
type RTol float64

// ATol is atol=, 1e-8 by default.
type ATol float64

// EqualNaN is equal_nan=: NaN equals NaN.
type EqualNaN bool

// GroupSize is group_size= of quantization: elements that share a scale.
type GroupSize int

// Bits is bits= of quantization: bits per element.
type Bits int

// TransposeRHS is transpose= of quantized products; the default is true.
type TransposeRHS bool

// RoundActivations lets a quantized product round x of half precision to integers
// with a scale for each group, or to bfloat16, where that is faster; the default is
// false. Not in MLX. Few rows keep five digits, many about two, as the products of
// llama.cpp do; float32 is never rounded.
type RoundActivations bool

// RoundWeights lets a quantized product of bfloat16 x, and its gradient, round the weights
// that it unpacks to bfloat16 where that is faster, as MLX's kernels for GPUs do; the
// default is false. Not in MLX.
type RoundWeights bool

// Mode is mode= of quantization: "affine", "mxfp4", "mxfp8" or "nvfp4".
type Mode = quant.Mode

// Rounding says which of MLX's quantizers to follow where they differ in ties and
// all-negative groups: the one that made the files people have, or the CPU's.
type Rounding = quant.Rounding

// The roundings of mx.quantize on a GPU and on the CPU.
const (
	RoundMetal = quant.RoundMetal
	RoundCPU   = quant.RoundCPU
)

// ForAxis makes an axis the argument axis=; the other families likewise.
func (a Axis) ForAxis(s *opt.Set)   { s.SetAxes([]int{int(a)}) }
func (a Axis) ForReduce(s *opt.Set) { s.SetAxes([]int{int(a)}) }
func (a Axis) ForRandom(s *opt.Set) { s.SetAxes([]int{int(a)}) }
func (a Axis) ForLinalg(s *opt.Set) { s.SetAxes([]int{int(a)}) }
func (a Axis) ForFFT(s *opt.Set)    { s.SetAxes([]int{int(a)}) }

// ForAxis makes axes the argument axes=; the other families likewise.
func (a Axes) ForAxis(s *opt.Set)   { s.SetAxes(append([]int{}, a...)) }
func (a Axes) ForReduce(s *opt.Set) { s.SetAxes(append([]int{}, a...)) }
func (a Axes) ForLinalg(s *opt.Set) { s.SetAxes(append([]int{}, a...)) }
func (a Axes) ForFFT(s *opt.Set)    { s.SetAxes(append([]int{}, a...)) }

// ForReduce makes it the argument keepdims=.
func (k KeepDims) ForReduce(s *opt.Set) { s.KeepDims = bool(k) }

// ForLinalg makes it the argument keepdims=.
func (k KeepDims) ForLinalg(s *opt.Set) { s.KeepDims = bool(k) }

// ForClose makes it the argument rtol=.
func (r RTol) ForClose(s *opt.Set) { s.RTol = (*float64)(&r) }

// ForClose makes it the argument atol=.
func (a ATol) ForClose(s *opt.Set) { s.ATol = (*float64)(&a) }

// ForClose makes it the argument equal_nan=.
func (e EqualNaN) ForClose(s *opt.Set) { s.EqualNaN = bool(e) }

// ForQuant makes it the argument group_size=.
func (g GroupSize) ForQuant(s *opt.Set) { s.GroupSize = int(g) }

// ForQuant makes it the argument bits=.
func (b Bits) ForQuant(s *opt.Set) { s.Bits = int(b) }

// ForGather makes it the argument transpose=.
func (t TransposeRHS) ForGather(s *opt.Set) { s.NoTranspose = !bool(t) }

// ForGather lets the product round its activations.
func (r RoundActivations) ForGather(s *opt.Set) { s.Round = bool(r) }

// ForGather lets the product round its unpacked weights.
func (r RoundWeights) ForGather(s *opt.Set) { s.RoundWeights = bool(r) }

// ForQuantize makes it the argument group_size= of nn.quantize.
func (g GroupSize) ForQuantize(s *opt.Set) { s.GroupSize = int(g) }

// ForQuantize makes it the argument bits= of nn.quantize.
func (b Bits) ForQuantize(s *opt.Set) { s.Bits = int(b) }
