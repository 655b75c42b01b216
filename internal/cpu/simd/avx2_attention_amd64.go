//go:build amd64 && !purego && !race

package simd

import "unsafe"

// attendRowsAVX2 is how many rows share the scores of a block of keys: keys and
// values are read as they are.
const attendRowsAVX2 = 16

func attendPartScratchLenAVX2(a *Attention) int { return min(a.Rows, attendRowsAVX2) * keyBlock }

// attendPartAVX2 computes the scores of some rows with a block of keys at once,
// also of keys that a row does not see; values are added run by run of visible
// keys, key by key.
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
	var s keyRunsAVX2
	for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
		for r := 0; r < a.Rows; r += attendRowsAVX2 {
			m := min(attendRowsAVX2, a.Rows-r)
			lo, _ := a.visible(r)
			_, hi := a.visible(r + m - 1)
			lo, hi = max(lo, first, j), min(hi, last, j+keyBlock)
			if lo >= hi {
				continue
			}
			keys := a.K.Slice(lo*a.KStride, (hi-1)*a.KStride+a.D)
			gemmNTAVX2(scratch, keyBlock, a.Q[r*a.QStride:], a.QStride, m, keys, a.KStride, hi-lo, a.D)
			for i := r; i < r+m; i++ {
				s.s = scratch[(i-r)*keyBlock:][:hi-lo]
				if s.see(a, i, lo); len(s.s) > 0 {
					s.add(a, p.O[i*p.Stride:i*p.Stride+a.DV], &p.Max[i], &p.Sum[i])
				}
			}
		}
	}
}

// keyRunsAVX2 holds the visible keys of one row in one block, as runs, and their
// scores one after the other.
type keyRunsAVX2 struct {
	start, len [keyBlock]int
	runs       int
	s          []float32
}

// see keeps the scores of the keys that row r sees; s has those of keys from lo on.
func (s *keyRunsAVX2) see(a *Attention, r, lo int) {
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
			copy(dst, s.s[k-lo:]) // down, or in place
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

// add folds the block into a row with running maximum m and sum l.
func (s *keyRunsAVX2) add(a *Attention, out []float32, m, l *float32) {
	p := s.s
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
		weightedTilesAVX2[a.V.Elem](ptr(out), len(out), &p[at], s.len[i], v, a.VStride*size)
		at += s.len[i]
	}
}
