package linalg_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
)

// BenchmarkOne is one matrix; BenchmarkBatch is a thousand small ones, which all cores share.
func BenchmarkOne(b *testing.B)   { bench(b, 1, 256) }
func BenchmarkBatch(b *testing.B) { bench(b, 1000, 16) }

func bench(b *testing.B, batch, n int) {
	v := make([]float32, batch*n*n)
	for i := range v {
		v[i] = float32(math.Sin(float64(i) * float64(i%8191)))
	}
	a := mlx.FromSlice(v, batch, n, n)
	spd := a.MatMul(a.SwapAxes(-1, -2)).Add(mlx.Eye(n, n, 0))
	if err := mlx.Eval(a, spd); err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct {
		name string
		f    func() *mlx.Array
	}{
		{"inv", func() *mlx.Array { return linalg.Inv(a) }},
		{"solve", func() *mlx.Array { return linalg.Solve(a, a) }},
		{"cholesky", func() *mlx.Array { return linalg.Cholesky(spd, false) }},
		{"qr", func() *mlx.Array { return first(linalg.QR(a)) }},
		{"eigh", func() *mlx.Array { return second(linalg.Eigh(spd, false)) }},
		{"svd", func() *mlx.Array { return first(first3(linalg.SVD(a))) }},
		{"eig", func() *mlx.Array { return second(linalg.Eig(a)) }},
	} {
		b.Run(fmt.Sprintf("%s/%dx%d", c.name, n, n), func(b *testing.B) {
			for b.Loop() {
				if err := mlx.Eval(c.f()); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
