package fast_test

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
)

// benchGrad runs a function and its gradient of sum(y * c), and reports the most memory
// that was in use beside the inputs.
func benchGrad(b *testing.B, f func(in []*mlx.Array) *mlx.Array, in []*mlx.Array, c *mlx.Array) {
	if err := mlx.Eval(append(append([]*mlx.Array{}, in...), c)); err != nil {
		b.Fatal(err)
	}
	once := func() {
		y, g := autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in)} }, in, []*mlx.Array{c})
		if err := mlx.Eval(append(y, g...)); err != nil {
			b.Fatal(err)
		}
	}
	once()
	before := tensor.ActiveMemory()
	tensor.ResetPeakMemory()
	for b.Loop() {
		once()
	}
	b.ReportMetric(float64(tensor.PeakMemory()-before)/1e6, "peak-MB")
}

// BenchmarkAttentionGrad compares with the graph of matmul, mask, softmax and matmul.
func BenchmarkAttentionGrad(b *testing.B) {
	for _, length := range []int{256, 1024} {
		in := []*mlx.Array{wave(1, 8, length, 64), wave(1, 8, length, 64).Mul(0.9), wave(1, 8, length, 64).Add(0.1)}
		c := wave(1, 8, length, 64).Mul(0.3)
		low := make([]float32, length*length)
		for i := range low {
			if i%length > i/length {
				low[i] = -1e9
			}
		}
		mask := mlx.FromSlice(low, length, length)
		name := map[int]string{256: "256", 1024: "1024"}[length]
		b.Run("fused/"+name, func(b *testing.B) {
			benchGrad(b, func(in []*mlx.Array) *mlx.Array {
				return fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.125, fast.Causal)
			}, in, c)
		})
		b.Run("composed/"+name, func(b *testing.B) {
			benchGrad(b, func(in []*mlx.Array) *mlx.Array {
				s := in[0].Mul(0.125).MatMul(tensor.SwapAxes(in[1], -1, -2, mlx.Stream{})).Add(mask)
				return mlx.Softmax(s, mlx.Axis(-1)).MatMul(in[2])
			}, in, c)
		})
	}
}

// BenchmarkRMSNormGrad compares with the graph of the formula.
func BenchmarkRMSNormGrad(b *testing.B) {
	in := []*mlx.Array{wave(1024, 2048), wave(2048).Add(1)}
	c := wave(1024, 2048).Mul(0.3)
	b.Run("fused", func(b *testing.B) {
		benchGrad(b, func(in []*mlx.Array) *mlx.Array { return fast.RMSNorm(in[0], in[1], 1e-5) }, in, c)
	})
	b.Run("composed", func(b *testing.B) {
		benchGrad(b, func(in []*mlx.Array) *mlx.Array {
			n := mlx.Rsqrt(mlx.Mean(mlx.Square(in[0]), mlx.Axis(-1), mlx.KeepDims(true)).Add(1e-5))
			return in[0].Mul(n).Mul(in[1])
		}, in, c)
	})
}
