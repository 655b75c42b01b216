//go:build amd64 && !purego && !race

package simd

import "unsafe"

// attendScratchLenAVX2: scores of a block, and per row the running maximum and
// sum; keys and values are read as they are.
func attendScratchLenAVX2(a *Attention) int { return keyBlock + 2*a.Rows }

// attendAVX2 is attend with runs of visible keys instead of single ones. The
// running sum takes a block as a2Sum does, values are added key by key.
func attendAVX2(out []float32, ldo int, a *Attention, scratch []float32) {
	s := keyRunsAVX2{s: scratch[:keyBlock]}
	scratch = scratch[keyBlock:]
	m, l := scratch[:a.Rows], scratch[a.Rows:2*a.Rows]
	first, last := a.Keys, 0
	for r := range a.Rows {
		m[r], l[r] = -inf32, 0
		if a.HasSink {
			m[r], l[r] = a.Sink, 1
		}
		clear(out[r*ldo : r*ldo+a.DV])
		lo, hi := a.visible(r)
		first, last = min(first, lo), max(last, hi)
	}
	if last > first {
		_ = a.K.Slice((last-1)*a.KStride, (last-1)*a.KStride+a.D)
		_ = a.V.Slice((last-1)*a.VStride, (last-1)*a.VStride+a.DV)
	}
	for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
		n := min(keyBlock, last-j)
		for r := range a.Rows {
			s.scores(a, r, j, n)
			if s.n > 0 {
				s.add(a, out[r*ldo:r*ldo+a.DV], &m[r], &l[r])
			}
		}
	}
	for r := range a.Rows {
		if l[r] != 0 {
			o := out[r*ldo : r*ldo+a.DV]
			a2Scale(ptr(o), ptr(o), len(o), 1/l[r])
		}
	}
}

// keyRunsAVX2 holds the visible keys of one row in one block, as runs, and their
// scores one after the other.
type keyRunsAVX2 struct {
	start, len [keyBlock]int
	runs       int
	s          []float32
	n          int
}

func (s *keyRunsAVX2) scores(a *Attention, r, j, n int) {
	lo, hi := a.visible(r)
	lo, hi = max(lo, j), min(hi, j+n)
	s.n, s.runs = 0, 0
	if a.Mask == nil && a.Bias == nil {
		if hi > lo {
			s.run(a, r, lo, hi-lo)
		}
		return
	}
	for k := lo; k < hi; {
		e := k
		for e < hi && a.shown(r, e) {
			e++
		}
		if e > k {
			s.run(a, r, k, e-k)
		}
		k = e + 1
	}
}

// run appends keys [k, k+n) and their scores.
func (s *keyRunsAVX2) run(a *Attention, r, k, n int) {
	s.start[s.runs], s.len[s.runs] = k, n
	s.runs++
	dst := s.s[s.n : s.n+n]
	gemmNTAVX2(dst, n, a.Q[r*a.QStride:], a.QStride, 1, a.K.Slice(k*a.KStride, (k+n-1)*a.KStride+a.D), a.KStride, n, a.D)
	if a.Bias != nil {
		a2Add(ptr(dst), ptr(dst), ptr(a.Bias[r*a.BiasStride+k:][:n]), n)
	}
	s.n += n
}

// add folds the block into a row with running maximum m and sum l.
func (s *keyRunsAVX2) add(a *Attention, out []float32, m, l *float32) {
	p := s.s[:s.n]
	top := max(*m, maxAVX2(p)) // NaN stays
	if top == -inf32 {         // scores may overflow to -Inf: weight 0
		return
	}
	if top != *m {
		f := exp32(*m - top)
		*l *= f
		a2Scale(ptr(out), ptr(out), len(out), f)
		*m = top
	}
	a2ExpShift(ptr(p), ptr(p), len(p), top)
	*l += a2Sum(ptr(p), len(p))
	if len(out) == 0 {
		return
	}
	at, size := 0, a.V.Elem.Size()
	for i := range s.runs {
		v := (*byte)(unsafe.Pointer(&a.V.Data[s.start[i]*a.VStride*size]))
		w := &p[at]
		weightedTilesAVX2[a.V.Elem](ptr(out), len(out), w, s.len[i], v, a.VStride*size)
		at += s.len[i]
	}
}
