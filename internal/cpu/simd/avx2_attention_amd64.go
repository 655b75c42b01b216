//go:build amd64 && !purego && !race

package simd

// attendRowsAVX2 is how many rows share the scores of a block of keys.
const attendRowsAVX2 = 16

// attendTileAVX2 is from how many rows on tiles pay, which read a row of values in
// parts: fewer rows wait for the memory.
const attendTileAVX2 = 5

func attendPartScratchLenAVX2(a *Attention) int { return min(a.Rows, attendRowsAVX2) * keyBlock }

// attendPartAVX2 computes the scores of some rows with a block of keys at once,
// also of keys that a row does not see. Values are added key by key: for rows that
// see all keys of the block in tiles, for others run by run of visible keys.
func attendPartAVX2(p AttentionPart, a *Attention, from, to int, scratch []float32) {
	for r := range a.Rows {
		p.Max[r], p.Sum[r] = -inf32, 0
		clear(p.O[r*p.Stride : r*p.Stride+a.DV])
	}
	first, last := a.span(from, to)
	if first >= last {
		return
	}
	_ = a.V.Slice((last-1)*a.VStride, (last-1)*a.VStride+a.DV)
	s := keyRunsAVX2{a: a, p: p, scores: scratch}
	for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
		s.from, s.to = max(first, j), min(last, j+keyBlock)
		for r := 0; r < a.Rows; r += attendRowsAVX2 {
			s.block(r, min(attendRowsAVX2, a.Rows-r))
		}
	}
}

// keyRunsAVX2 adds a block of keys to rows. For one row it holds the visible
// keys, as runs, and their scores one after the other.
type keyRunsAVX2 struct {
	a          *Attention
	p          AttentionPart
	scores     []float32 // keyBlock a row
	from, to   int
	start, len [keyBlock]int
	runs       int
	s          []float32
}

// block adds the keys of the block to rows [r, r+m).
func (s *keyRunsAVX2) block(r, m int) {
	a := s.a
	lo, _ := a.visible(r)
	_, hi := a.visible(r + m - 1)
	lo, hi = max(lo, s.from), min(hi, s.to)
	if lo >= hi {
		return
	}
	keys := a.K.Slice(lo*a.KStride, (hi-1)*a.KStride+a.D)
	gemmNTAVX2(s.scores, keyBlock, a.Q[r*a.QStride:], a.QStride, m, keys, a.KStride, hi-lo, a.D)
	all := 0 // rows before row i that see all keys and wait for the values
	flush := func(i int) {
		ws := a.VStride * a.V.Elem.Size()
		w, o := s.scores[(i-all)*keyBlock:], s.p.O[(r+i-all)*s.p.Stride:]
		if all >= attendTileAVX2 {
			addRowsAVX2(o, s.p.Stride, w, keyBlock, all, a.V.Elem, s.value(lo), ws, a.DV, hi-lo)
			all = 0
		}
		for t := range all {
			weightedAVX2(a.V.Elem, &o[t*s.p.Stride], a.DV, &w[t*keyBlock], hi-lo, s.value(lo), ws)
		}
		all = 0
	}
	for i := range m {
		s.s = s.scores[i*keyBlock:][:hi-lo]
		s.see(r+i, lo)
		out := s.p.O[(r+i)*s.p.Stride:][:a.DV]
		weighs := len(s.s) > 0 && s.weigh(out, &s.p.Max[r+i], &s.p.Sum[r+i])
		if weighs && len(s.s) == hi-lo {
			all++
			continue
		}
		flush(i)
		if weighs {
			s.add(out)
		}
	}
	flush(m)
}

// see keeps and scales the scores of the keys that row r sees; s has those of keys
// from lo on.
func (s *keyRunsAVX2) see(r, lo int) {
	a := s.a
	from, to := a.visible(r)
	from, to = max(from, lo), min(to, lo+len(s.s))
	s.runs = 0
	n := 0
	var mask []byte
	var bias []float32
	if a.Mask != nil {
		mask = a.mask(r)
	}
	if a.Bias != nil {
		bias = a.bias(r)
	}
	for k := from; k < to; {
		e := to
		if mask != nil || bias != nil {
			for e = k; e < to && (mask == nil || mask[e] != 0) && (bias == nil || bias[e] != -inf32); {
				e++
			}
		}
		if e > k {
			dst := s.s[n : n+e-k]
			a2Scale(ptr(dst), ptr(s.s[k-lo:]), e-k, a.Scale) // down, or in place
			if a.SoftCap > 0 {
				a2Scale(ptr(dst), ptr(dst), e-k, 1/a.SoftCap)
				a2Tanh(ptr(dst), ptr(dst), e-k)
				a2Scale(ptr(dst), ptr(dst), e-k, a.SoftCap)
			}
			if bias != nil {
				a2Add(ptr(dst), ptr(dst), ptr(bias[k:e]), e-k)
			}
			s.start[s.runs], s.len[s.runs] = k, e-k
			s.runs++
			n += e - k
		}
		k = e + 1
	}
	s.s = s.s[:n]
}

// weigh turns the scores into weights of a row with running maximum m and sum l,
// and reports whether there are any.
func (s *keyRunsAVX2) weigh(out []float32, m, l *float32) bool {
	p := s.s
	top := max(*m, maxAVX2(p)) // NaN stays
	if top == -inf32 {         // scores may overflow to -Inf: weight 0
		return false
	}
	if top != *m {
		f := exp32(*m - top)
		*l *= f
		a2Scale(ptr(out), ptr(out), len(out), f)
		*m = top
	}
	a2ExpShift(ptr(p), ptr(p), len(p), top)
	*l += a2Sum(ptr(p), len(p))
	return len(out) > 0
}

// add adds the weighted values of the runs.
func (s *keyRunsAVX2) add(out []float32) {
	a := s.a
	at := 0
	for i := range s.runs {
		weightedAVX2(a.V.Elem, ptr(out), len(out), &s.s[at], s.len[i], s.value(s.start[i]), a.VStride*a.V.Elem.Size())
		at += s.len[i]
	}
}

// value is where the value of key k begins.
func (s *keyRunsAVX2) value(k int) *byte {
	return &s.a.V.Data[k*s.a.VStride*s.a.V.Elem.Size()]
}
