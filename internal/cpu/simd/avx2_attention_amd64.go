//go:build amd64 && !purego && !race

package simd

import "unsafe"

// attendRowsAVX2 is how many rows share the scores of a block of keys.
const attendRowsAVX2 = 16

// convertRowsAVX2 is from how many rows on converting values of half precision pays.
const convertRowsAVX2 = 16

// valueLineAVX2 is the length of a row of values that were converted for many rows.
func (a *Attention) valueLineAVX2() int { return a.DV + 16 }

func attendPartScratchLenAVX2(a *Attention) int {
	n := min(a.Rows, attendRowsAVX2) * keyBlock
	if a.V.Elem != F32 && a.Rows >= convertRowsAVX2 {
		n += keyBlock * a.valueLineAVX2()
	}
	return n
}

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
	n := min(a.Rows, attendRowsAVX2) * keyBlock
	s := keyRunsAVX2{a: a, p: p, scores: scratch[:n]}
	for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
		s.values(scratch[n:], max(first, j), min(last, j+keyBlock))
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
	v          *float32  // values from key from on, ldv a row
	ldv        int
	from, to   int
	start, len [keyBlock]int
	runs       int
	s          []float32
}

// values makes those of keys [from, to) float32 if more than one row wants them.
func (s *keyRunsAVX2) values(mem []float32, from, to int) {
	a := s.a
	s.from, s.to = from, to
	switch {
	case a.Rows < 2 || a.DV == 0, a.V.Elem != F32 && a.Rows < convertRowsAVX2:
		return
	case a.V.Elem == F32:
		s.v, s.ldv = (*float32)(unsafe.Pointer(&a.V.Data[4*from*a.VStride])), a.VStride
		return
	}
	s.ldv = a.valueLineAVX2()
	for k := from; k < to; k++ {
		loadAVX2(mem[(k-from)*s.ldv:][:a.DV], a.V.Slice(k*a.VStride, k*a.VStride+a.DV))
	}
	s.v = &mem[0]
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
		if all > 0 {
			v := (*float32)(unsafe.Add(unsafe.Pointer(s.v), 4*(lo-s.from)*s.ldv))
			w, o := s.scores[(i-all)*keyBlock:], s.p.O[(r+i-all)*s.p.Stride:]
			addRowsAVX2(o, s.p.Stride, w, keyBlock, all, v, s.ldv, a.DV, hi-lo)
		}
		all = 0
	}
	for i := range m {
		s.s = s.scores[i*keyBlock:][:hi-lo]
		s.see(r+i, lo)
		out := s.p.O[(r+i)*s.p.Stride:][:a.DV]
		weighs := len(s.s) > 0 && s.weigh(out, &s.p.Max[r+i], &s.p.Sum[r+i])
		if weighs && s.v != nil && len(s.s) == hi-lo {
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
	at, size := 0, a.V.Elem.Size()
	for i := range s.runs {
		v := (*byte)(unsafe.Pointer(&a.V.Data[s.start[i]*a.VStride*size]))
		weightedTilesAVX2[a.V.Elem](ptr(out), len(out), &s.s[at], s.len[i], v, a.VStride*size)
		at += s.len[i]
	}
}
