package cpu

import "github.com/mlxgo/mlx/internal/cpu/simd"

// Keys that do not lie in one piece, as they are packed or in a ring, are taken by
// segments. The bits are those of [simd.Attend] over the keys in one piece.

// row is where key j lies.
func (a *attention) row(j int) int {
	if a.p.Ring {
		return j % a.keys
	}
	return j
}

// firstSegment is the first key of the first segment that any row of x sees.
func firstSegment(x *simd.Attention) int {
	if x.Window == 0 {
		return 0
	}
	return max(x.Offset+1-x.Window, 0) / simd.AttendSegment * simd.AttendSegment
}

// attendSegments is [simd.Attend] for unit u, which s.att holds.
func (a *attention) attendSegments(s *scratch, m *attMemory, u attUnit, work []float32) {
	x := &s.att
	t := simd.AttentionPart{O: m.y, Stride: a.dv, Max: work[:x.Rows], Sum: work[x.Rows : 2*x.Rows]}
	work = work[2*x.Rows:]
	n := simd.AttendPartLen(x.Rows, x.DV)
	p := x.Part(work[:n])
	x.Start(t)
	for j := firstSegment(x); j < x.Keys; j += simd.AttendSegment {
		if a.segmentPart(p, s, m, u, j, work[n:]) {
			x.Merge(t, p)
		}
	}
	x.Finish(t)
}

// segmentPart attends to the segment of keys from key j on; false if no row sees any.
func (a *attention) segmentPart(p simd.AttentionPart, s *scratch, m *attMemory, u attUnit, j int, work []float32) bool {
	seg := &s.seg
	lo, hi := s.att.Segment(seg, j)
	first := a.row(j)
	seg.Keys = max(min(seg.Keys, a.keys-first), 0) // should the caller of a ring not keep its word
	if a.pk != nil {
		at := (u.b*a.hk+u.g)*a.keys + first
		unpack(m.k, a.pk.matrix(&s.q), at, lo, min(hi, seg.Keys))
		unpack(m.v, a.pv.matrix(&s.q), at, lo, min(hi, seg.Keys))
		seg.K, seg.KStride = simd.RawF32(m.k[:seg.Keys*a.d]), a.d
		seg.V, seg.VStride = simd.RawF32(m.v[:seg.Keys*a.dv]), a.dv
	} else {
		seg.K, seg.KStride = keysAt(a.k, u.b, u.g, first, seg.Keys, a.d)
		seg.V, seg.VStride = keysAt(a.v, u.b, u.g, first, seg.Keys, a.dv)
	}
	simd.K.AttendPart(p, seg, 0, simd.AttendSegment, work)
	return lo < hi
}
