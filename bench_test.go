package mlx_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

func gelu(x *mlx.Array) *mlx.Array {
	return x.Mul(mlx.Add(1, mlx.Erf(x.Div(math.Sqrt2)))).Div(2)
}

// BenchmarkGELU compares a function of five ops with its compiled form.
func BenchmarkGELU(b *testing.B) {
	x := random.Normal(mlx.Shape{32, 1024, 1024})
	if err := mlx.Eval(x); err != nil {
		b.Fatal(err)
	}
	for _, f := range []struct {
		name string
		f    func(*mlx.Array) *mlx.Array
	}{{"eager", gelu}, {"compiled", mlx.Compile(gelu)}} {
		b.Run(f.name, func(b *testing.B) {
			b.SetBytes(int64(x.NBytes()))
			for b.Loop() {
				if err := mlx.Eval(f.f(x)); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
