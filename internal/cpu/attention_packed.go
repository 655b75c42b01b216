package cpu

import (
	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/quant"
)

// Packed keys and values are unpacked by segments, for each unit: what is read of
// memory is packed, and what is computed has the bits of attention over the unpacked
// arrays in float32.

// pack takes words, scales and biases of keys and values.
func (a *attention) pack(k, v []View) (err error) {
	s := quant.Scheme{Mode: quant.Affine, Bits: a.p.Bits, GroupSize: a.p.Group}
	if a.pk, err = packedOf(s, k); err != nil {
		return err
	}
	if a.pv, err = packedOf(s, v); err != nil {
		return err
	}
	a.dv = a.pv.cols
	return nil
}

// attendPacked is [simd.Attend] for unit u, which s.att holds.
func (a *attention) attendPacked(s *scratch, m *attMemory, u attUnit, work []float32) {
	x := &s.att
	t := simd.AttentionPart{O: m.y, Stride: a.dv, Max: work[:x.Rows], Sum: work[x.Rows : 2*x.Rows]}
	work = work[2*x.Rows:]
	n := simd.AttendPartLen(x.Rows, x.DV)
	p := x.Part(work[:n])
	x.Start(t)
	for j := 0; j < x.Keys; j += simd.AttendSegment {
		if a.packedPart(p, s, m, u, j, work[n:]) {
			x.Merge(t, p)
		}
	}
	x.Finish(t)
}

// packedPart attends to the segment of keys from key j on; false if no row sees any.
func (a *attention) packedPart(p simd.AttentionPart, s *scratch, m *attMemory, u attUnit, j int, work []float32) bool {
	seg := &s.seg
	lo, hi := s.att.Segment(seg, j)
	first := (u.b*a.hk+u.g)*a.keys + j
	unpack(m.k, a.pk.matrix(&s.q), first, lo, hi)
	unpack(m.v, a.pv.matrix(&s.q), first, lo, hi)
	seg.K, seg.KStride = simd.RawF32(m.k[:seg.Keys*a.d]), a.d
	seg.V, seg.VStride = simd.RawF32(m.v[:seg.Keys*a.dv]), a.dv
	simd.K.AttendPart(p, seg, 0, simd.AttendSegment, work)
	return lo < hi
}

// unpack writes rows lo to hi of those from row `first` of q on to their places in dst.
func unpack(dst []float32, q *simd.QMatrix, first, lo, hi int) {
	for r := lo; r < hi; r++ {
		simd.K.DequantRow(dst[r*q.Cols:(r+1)*q.Cols], q, first+r, simd.F32)
	}
}
