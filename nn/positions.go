package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/tensor"
)

// RoPE is nn.RoPE: rotary position embedding.
type RoPE struct {
	Dims        int
	Traditional bool
	Base, Scale float64 // 0 stand for 10000 and 1
}

// Forward is At with offset 0.
func (r *RoPE) Forward(x *mlx.Array) *mlx.Array { return r.At(x, 0) }

// At is rope(x, offset): x is [..., L, D], with D at least Dims.
func (r *RoPE) At(x *mlx.Array, offset int) *mlx.Array {
	f := fast.RoPE{Dims: r.Dims, Traditional: r.Traditional, Base: r.Base, Scale: r.Scale}
	if f.Base == 0 {
		f.Base = 10000
	}
	if f.Scale == 0 {
		f.Scale = 1
	}
	return f.Apply(x, offset)
}

// SinusoidalPositionalEncoding is nn.SinusoidalPositionalEncoding.
type SinusoidalPositionalEncoding struct {
	Sigmas   *mlx.Array `mlx:"-"` // [dims/2]
	Scale    float64
	CosFirst bool
}

// NewSinusoidalPositionalEncoding has frequencies from minFreq to maxFreq, evenly in
// their logarithms; MLX's defaults are 1e-4 and 1. Scale is sqrt(2/dims).
func NewSinusoidalPositionalEncoding(dims int, minFreq, maxFreq float64) *SinusoidalPositionalEncoding {
	if dims < 4 || dims%2 != 0 {
		tensor.Throw("nn.SinusoidalPositionalEncoding", nil, "dims must be even and at least 4, not %d", dims)
	}
	n := dims / 2
	v := make([]float32, n)
	for i := range v {
		t := 1 - float64(i)/float64(n-1)
		v[i] = float32(math.Exp(t*(math.Log(maxFreq)-math.Log(minFreq)) + math.Log(minFreq)))
	}
	return &SinusoidalPositionalEncoding{Sigmas: mlx.FromSlice(v), Scale: math.Sqrt(2 / float64(dims))}
}

// Forward is positions [...] to [..., dims].
func (s *SinusoidalPositionalEncoding) Forward(x *mlx.Array) *mlx.Array {
	y := x.ExpandDims(-1).Mul(s.Sigmas)
	parts := mlx.Arrays{mlx.Sin(y), mlx.Cos(y)}
	if s.CosFirst {
		parts[0], parts[1] = parts[1], parts[0]
	}
	return mlx.Concatenate(parts, mlx.Axis(-1)).Mul(s.Scale)
}

// ALiBi is nn.ALiBi: scores [B, H, Lq, Lk] minus distance times the head's slope, plus
// the mask, which may be nil. Query i is at position offset+i.
func ALiBi(scores *mlx.Array, offset int, mask *mlx.Array) *mlx.Array {
	_, heads, lq, lk := scores.Dims4()
	x1 := mlx.Arange(offset, offset+lq).ExpandDims(1)
	x2 := mlx.Arange(0, lk).ExpandDims(0)
	distance := mlx.Abs(x1.Sub(x2)).Neg().AsType(scores.DType())
	bias := distance.Mul(mlx.FromSlice(alibiSlopes(heads), heads, 1, 1).AsType(scores.DType()))
	if mask != nil {
		bias = bias.Add(mask)
	}
	return scores.Add(bias)
}

// alibiSlopes are 2^(-8h/n) for n a power of 2, and what lies between for other n.
func alibiSlopes(heads int) []float32 {
	n := 1 << int(math.Floor(math.Log2(float64(heads))))
	slopes := make([]float32, 0, heads)
	for i := range n {
		slopes = append(slopes, float32(math.Pow(2, -8*float64(i+1)/float64(n))))
	}
	for i := 0; len(slopes) < heads; i += 2 {
		slopes = append(slopes, float32(math.Pow(2, -8*float64(i+1)/float64(2*n))))
	}
	return slopes
}
