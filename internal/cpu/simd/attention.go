package simd

// Attention is softmax(q·kᵀ + bias)·v for a block of query rows that share keys
// and values (one head, or the heads of a group), with an online softmax over
// blocks of keys, so that scores of all keys never exist at once.
//
// Key j is visible to row r unless Causal, Window, Mask or Bias hides it. Hidden
// keys are not read at all, so what lies there does not matter. A row that sees
// no key is 0. A row's bits depend on its visible keys only.
type Attention struct {
	Q          []float32 // Rows × D, already scaled
	QStride    int
	Rows, D    int
	K, V       Raw // Keys × D and Keys × DV
	KStride    int
	VStride    int
	Keys, DV   int
	Causal     bool      // row r sees j <= Offset + r
	Offset     int       // position of row 0 among the keys; Keys-Rows is MLX's "causal"
	SameRow    bool      // all rows stand at Offset: heads of one position
	Window     int       // > 0 and Causal: row r sees only j > Offset + r - Window
	Mask       []byte    // row r sees j where Mask[r·MaskStride+j] != 0; nil: all
	MaskStride int       // 0: one mask for all rows
	Bias       []float32 // added to scores; -Inf hides; nil: none
	BiasStride int       // 0: one bias for all rows
	HasSink    bool
	Sink       float32 // extra score in the denominator only
}

// visible returns the range of keys that Causal and Window leave to row r.
func (a *Attention) visible(r int) (lo, hi int) {
	if !a.Causal {
		return 0, a.Keys
	}
	if a.SameRow {
		r = 0
	}
	hi = min(a.Offset+r+1, a.Keys)
	if a.Window > 0 {
		lo = max(a.Offset+r+1-a.Window, 0)
	}
	return lo, max(hi, lo)
}
