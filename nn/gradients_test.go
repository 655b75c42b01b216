package nn_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

type net struct {
	First, Second nn.Layer
	Seen          *mlx.Array `mlx:"seen,frozen"`
	Training      bool
}

func (n *net) Forward(x *mlx.Array) *mlx.Array {
	n.Seen = n.Seen.Add(1)
	return n.Second.Forward(mlx.Tanh(n.First.Forward(x)))
}

func newNet() *net {
	a, b := nn.NewLinear(2, 3), nn.NewLinear(3, 1)
	a.Weight = mlx.FromSlice([]float32{0.1, -0.2, 0.3, 0.4, -0.5, 0.6}, 3, 2)
	b.Weight = mlx.FromSlice([]float32{1, -1, 0.5}, 1, 3)
	a.Bias, b.Bias = mlx.Zeros(mlx.Shape{3}), mlx.Zeros(mlx.Shape{1})
	return &net{First: a, Second: b, Seen: mlx.NewArray(0.0)}
}

func TestValueAndGrad(t *testing.T) {
	x := mlx.FromSlice([]float32{1, 2, -1, 0.5}, 2, 2)
	loss := func(m *net) *mlx.Array { return mlx.Sum(mlx.Square(m.Forward(x))) }
	model := newNet()
	weight := model.First.(*nn.Linear).Weight
	_, grads := nn.ValueAndGrad(model, loss)
	if model.First.(*nn.Linear).Weight != weight {
		t.Error("the model was changed")
	}
	if n := mlx.Item[float32](model.Seen); n != 1 {
		t.Errorf("the frozen field is %v after one step, want 1", n)
	}
	got := mlx.ToSlice[float32](grads.First.(*nn.Linear).Weight)
	for i := range got {
		at := func(h float32) float64 {
			m := newNet()
			v := mlx.ToSlice[float32](weight)
			v[i] += h
			m.First.(*nn.Linear).Weight = mlx.FromSlice(v, 3, 2)
			return float64(mlx.Item[float32](loss(m)))
		}
		if want := (at(1e-2) - at(-1e-2)) / 2e-2; math.Abs(float64(got[i])-want) > 2e-3 {
			t.Errorf("weight %d: %v, by differences %v", i, got[i], want)
		}
	}
	_, grads = nn.ValueAndGrad(model, loss, nn.Under("second"), nn.Named("bias").Not())
	var paths []string
	for path := range nn.Parameters(grads) {
		paths = append(paths, path)
	}
	if fmt.Sprint(paths) != "[second.weight]" {
		t.Errorf("filtered gradients %v", paths)
	}
	plain, _ := nn.ValueAndGrad(model, loss)
	model.First = nn.Checkpoint(model.First)
	value, kept := nn.ValueAndGrad(model, loss)
	if a, b := mlx.Item[float32](plain), mlx.Item[float32](value); a != b {
		t.Errorf("checkpointed loss %v, want %v", b, a)
	}
	for path, g := range nn.Parameters(kept) {
		if strings.HasSuffix(path, "first.layer.weight") && !mlx.Item[bool](mlx.All(mlx.Abs(g.Sub(mlx.FromSlice(got, 3, 2))).Lt(1e-6))) {
			t.Errorf("checkpointed gradient %v, want %v", g, got)
		}
	}
	err := mlx.Try(func() {
		nn.ValueAndGrad(model, func(m *net) *mlx.Array { return mlx.Sum(model.Forward(x)) })
	})
	if err == nil || !strings.Contains(err.Error(), "not with the captured model") {
		t.Errorf("a captured model: %v", err)
	}
	nn.SetTraining(model, true)
	if !model.Training {
		t.Error("not training")
	}
}
