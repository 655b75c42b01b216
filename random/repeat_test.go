package random_test

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/random"
)

// TestRepeatedDraws: a checkpoint that runs again draws what it drew, whatever other
// goroutines draw meanwhile and however often it is differentiated.
func TestRepeatedDraws(t *testing.T) {
	elsewhere := func() {
		done := make(chan bool)
		go func() {
			random.Normal(mlx.Shape{1})
			close(done)
		}()
		<-done
	}
	var first *mlx.Array
	f := mlx.Checkpoint(func(x *mlx.Array) *mlx.Array {
		a := random.Normal(mlx.Shape{4})
		elsewhere()
		b := random.Normal(mlx.Shape{4})
		if first == nil {
			first = a.Add(b)
		}
		return mlx.Sum(a.Add(b).Mul(x).Mul(x))
	})
	random.Seed(1)
	x := mlx.Ones(mlx.Shape{4})
	g := mlx.Grad(f)(x)
	if err := optest.Diff(g, first.Mul(2), optest.F32); err != nil {
		t.Error("gradient:", err)
	}
	first = nil
	h := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Grad(f)(x)) })(x)
	if err := optest.Diff(h, first.Mul(2), optest.F32); err != nil {
		t.Error("second derivative:", err)
	}
	first = nil
	_, ts := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{f(in[0])} }, mlx.Arrays{x}, mlx.Arrays{x})
	if err := optest.Diff(ts[0], mlx.Sum(first.Mul(2)), optest.F32); err != nil {
		t.Error("tangent:", err)
	}
}
