package optim_test

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

type twice struct {
	First, Second *nn.Linear
	Head          *mlx.Array
}

// TestSharedLayers: a layer that is in a model twice is one layer for optimizers.
func TestSharedLayers(t *testing.T) {
	shared := nn.NewLinear(2, 2, nn.Bias(false))
	shared.Weight = mlx.NewArray([][]float64{{1, 2}, {3, 4}})
	m := &twice{shared, shared, mlx.NewArray([]float64{1, 1})}
	x := mlx.NewArray([][]float64{{1, 0.5}})
	step := func(m *twice) *mlx.Array {
		return mlx.Sum(m.Second.Forward(m.First.Forward(x)).Mul(m.Head))
	}
	_, g := nn.ValueAndGrad(m, step)
	if g.First != g.Second {
		t.Error("the gradient's layers are two")
	}
	clipped, norm := optim.ClipGradNorm(g, 1)
	var squares float32
	for _, a := range []*mlx.Array{g.First.Weight, g.Head} {
		squares += mlx.Item[float32](mlx.Sum(mlx.Square(a)))
	}
	if n := mlx.Item[float32](norm); n*n < squares*0.999 || n*n > squares*1.001 || clipped.First != clipped.Second {
		t.Errorf("the squared norm is %v, want %v", n*n, squares)
	}
	want := mlx.ToSlice[float32](shared.Weight.Sub(g.First.Weight.Mul(0.1)))
	o := optim.SGD(0.1, optim.Momentum(0.9))
	o.Init(m)
	o.Update(m, g)
	got := mlx.ToSlice[float32](m.First.Weight)
	for i := range want {
		if d := got[i] - want[i]; d > 1e-5 || d < -1e-5 {
			t.Fatalf("after an update: %v, want %v", got, want)
		}
	}
	if m.First != m.Second || len(o.State) != 2 {
		t.Errorf("%d states for 2 parameters", len(o.State))
	}
}
