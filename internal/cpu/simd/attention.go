package simd

// Attention is softmax(Scale·q·kᵀ + bias)·v for query rows that share keys and values
// (one head, or the heads of a group), with an online softmax over blocks of keys,
// so that scores of all keys never exist at once.
//
// Key j is visible to row r unless Causal, Window, Mask or Bias hides it; what
// lies at hidden keys does not matter. A row that sees no key is 0. A row's bits
// depend on its visible keys and their places only.
type Attention struct {
	Q          []float32 // Rows × D
	QElem      Elem      // what type holds all values of Q
	QStride    int
	Scale      float32 // of the scores
	Rows, D    int
	K, V       Raw // Keys × D and Keys × DV
	KStride    int
	VStride    int
	Keys, DV   int
	Group      int       // heads: row r is head r%Group of position r/Group; 0 counts as 1
	Causal     bool      // position i sees j <= Offset + i
	Offset     int       // place of position 0 among the keys
	Window     int       // > 0 and Causal: position i sees only j > Offset + i - Window
	Mask       []byte    // key j is seen where the byte of its position, head and j is not 0; nil: all
	MaskStride int       // from position to position; 0: one mask for all
	MaskHead   int       // from head to head
	Bias       []float32 // added to scores; -Inf hides; nil: none
	BiasStride int
	BiasHead   int
	SoftCap    float32   // > 0: scores are capped before Bias, s = SoftCap·tanh(s/SoftCap)
	Sinks      []float32 // for each head an extra score in the denominator only; nil: none
}

// AttendSegment is how many keys are summed on their own before they are merged
// into what the keys before them gave. Segments start at its multiples, so that
// they may be computed one after the other by [Attend] or apart, on any thread,
// by AttendPart, for the same bits.
const AttendSegment = 512

// keyBlock is how many keys one step of the online softmax takes. Blocks start
// at multiples of it, whatever the first visible key is.
const keyBlock = 64

func (a *Attention) group() int { return max(a.Group, 1) }

// visible returns the range of keys that Causal and Window leave to row r.
func (a *Attention) visible(r int) (lo, hi int) {
	if !a.Causal {
		return 0, a.Keys
	}
	if a.Group > 1 {
		r /= a.Group
	}
	hi = min(a.Offset+r+1, a.Keys)
	if a.Window > 0 {
		lo = min(max(a.Offset+r+1-a.Window, 0), a.Keys)
	}
	return lo, max(hi, lo)
}

// span returns the keys in [from, to) that Causal and Window leave to any row.
func (a *Attention) span(from, to int) (lo, hi int) {
	if a.Rows == 0 {
		return 0, 0
	}
	lo, _ = a.visible(0) // both ends grow with the position
	_, hi = a.visible(a.Rows - 1)
	return max(lo, from), min(hi, to)
}

// Segment sets s to the AttendSegment keys from key `from` on, which must be a multiple
// of it, but for keys and values: s counts keys from there. It returns the keys of s
// that Causal and Window leave to any row.
func (a *Attention) Segment(s *Attention, from int) (lo, hi int) {
	*s = *a
	s.Keys, s.Offset = max(min(a.Keys-from, AttendSegment), 0), a.Offset-from
	if a.Mask != nil && s.Keys > 0 {
		s.Mask = a.Mask[from:]
	}
	if a.Bias != nil && s.Keys > 0 {
		s.Bias = a.Bias[from:]
	}
	return s.span(0, s.Keys)
}

func (a *Attention) mask(r int) []byte {
	return a.Mask[r/a.group()*a.MaskStride+r%a.group()*a.MaskHead:]
}

func (a *Attention) bias(r int) []float32 {
	return a.Bias[r/a.group()*a.BiasStride+r%a.group()*a.BiasHead:]
}

// AttentionPart is attention over some of the keys: for each row the sum of
// weighted values, the maximum of the scores and the sum of the weights.
type AttentionPart struct {
	O        []float32 // row r at r·Stride
	Stride   int
	Max, Sum []float32
}

// AttendPartLen is how many float32s [Attention.Part] takes.
func AttendPartLen(rows, dv int) int { return rows * (dv + 2) }

// Part is a part in mem, of AttendPartLen elements.
func (a *Attention) Part(mem []float32) AttentionPart {
	o, rest := mem[:a.Rows*a.DV], mem[a.Rows*a.DV:]
	return AttentionPart{O: o, Stride: a.DV, Max: rest[:a.Rows], Sum: rest[a.Rows : 2*a.Rows]}
}

// AttendScratchLen is the length of the scratch of one [Attend] call.
func AttendScratchLen(a *Attention) int {
	return 2*a.Rows + AttendPartLen(a.Rows, a.DV) + K.AttendPartScratchLen(a)
}

// Attend writes a.Rows rows of attention.
func Attend(out []float32, ldo int, a *Attention, scratch []float32) {
	t := AttentionPart{O: out, Stride: ldo, Max: scratch[:a.Rows], Sum: scratch[a.Rows : 2*a.Rows]}
	scratch = scratch[2*a.Rows:]
	n := AttendPartLen(a.Rows, a.DV)
	p := a.Part(scratch[:n])
	a.Start(t)
	lo, hi := a.span(0, a.Keys)
	for j := lo / AttendSegment * AttendSegment; j < hi; j += AttendSegment {
		K.AttendPart(p, a, j, j+AttendSegment, scratch[n:])
		a.Merge(t, p)
	}
	a.Finish(t)
}

// Start makes t the part of no keys but the sinks.
func (a *Attention) Start(t AttentionPart) {
	for r := range a.Rows {
		t.Max[r], t.Sum[r] = -inf32, 0
		if a.Sinks != nil {
			t.Max[r], t.Sum[r] = a.Sinks[r%a.group()], 1
		}
		clear(t.O[r*t.Stride : r*t.Stride+a.DV])
	}
}

// Merge adds part p, of keys behind those of t, to t; p is used up.
func (a *Attention) Merge(t, p AttentionPart) {
	for r := range a.Rows {
		m, pm := t.Max[r], p.Max[r]
		if p.Sum[r] == 0 {
			continue
		}
		to, po := t.O[r*t.Stride:r*t.Stride+a.DV], p.O[r*p.Stride:r*p.Stride+a.DV]
		switch {
		case t.Sum[r] == 0 && m == -inf32:
			copy(to, po)
			t.Max[r], t.Sum[r] = pm, p.Sum[r]
		case pm <= m:
			f := exp32(pm - m)
			K.Axpy(to, f, po)
			t.Sum[r] += float32(f * p.Sum[r])
		default:
			f := exp32(m - pm)
			K.Axpy(po, f, to)
			copy(to, po)
			t.Max[r], t.Sum[r] = pm, p.Sum[r]+float32(f*t.Sum[r])
		}
	}
}

// Finish divides the rows of t by their sums.
func (a *Attention) Finish(t AttentionPart) {
	for r := range a.Rows {
		if t.Sum[r] == 0 {
			continue
		}
		n := 1 / t.Sum[r]
		o := t.O[r*t.Stride : r*t.Stride+a.DV]
		for i := range o {
			o[i] *= n
		}
	}
}
