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

// unpack writes rows lo to hi of those from row `first` of q on to their places in dst.
func unpack(dst []float32, q *simd.QMatrix, first, lo, hi int) {
	for r := lo; r < hi; r++ {
		simd.K.DequantRow(dst[r*q.Cols:(r+1)*q.Cols], q, first+r, simd.F32)
	}
}
