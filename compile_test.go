package mlx_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
)

func TestCompile(t *testing.T) {
	traces := 0
	f := mlx.Compile(func(x *mlx.Array, k float64, p params) (*mlx.Array, map[string]*mlx.Array) {
		traces++
		y := mlx.Sin(x).Mul(k)
		return y, map[string]*mlx.Array{"sum": mlx.Sum(y.Add(p.B)), "same": x}
	})
	x := mlx.NewArray([]float64{1, 2})
	for i := range 6 {
		k, b := 2.0, float64(i)
		if i >= 3 {
			k = 3
		}
		y, m := f(x, k, params{B: mlx.NewArray(b)})
		wantItems(t, "y", y, k*math.Sin(1), k*math.Sin(2))
		wantItems(t, "sum", m["sum"], k*math.Sin(1)+k*math.Sin(2)+2*b)
		wantItems(t, "same", m["same"], 1, 2)
	}
	if traces != 2 {
		t.Errorf("traced %d times, want 2: one for each constant", traces)
	}
	f(mlx.NewArray([]float64{1, 2, 3}), 2, params{B: mlx.NewArray(1.0)})
	if traces != 3 {
		t.Errorf("traced %d times for another shape, want 3", traces)
	}
	wantError(t, "cannot be read", func() {
		mlx.Compile(func(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Item[float32](x)) })(mlx.NewArray(1.0))
	})
	wantError(t, "is not a function", func() { mlx.Compile(3) })
}

type sgd struct {
	Step, Momentum *mlx.Array
	Slots          map[string]*mlx.Array
}

// TestCompileState: captured trees are read and written, also what the function
// makes in them at first.
func TestCompileState(t *testing.T) {
	w := &params{W: mlx.NewArray([]float64{1, 2}), B: mlx.NewArray(7.0)}
	opt := &sgd{Step: mlx.NewArray(0)}
	traces := 0
	step := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		traces++
		loss, g := mlx.ValueAndGrad(func(p params) *mlx.Array { return mlx.Sum(p.W.Mul(x).Mul(p.W)) })(params{W: w.W})
		if opt.Momentum == nil {
			opt.Momentum = mlx.Zeros(mlx.Shape{2})
			opt.Slots = map[string]*mlx.Array{"v": mlx.Zeros(mlx.Shape{})}
		}
		opt.Momentum = opt.Momentum.Mul(0.5).Add(g.W)
		opt.Slots["v"] = opt.Slots["v"].Add(1)
		opt.Step = opt.Step.Add(1)
		w.W = w.W.Sub(opt.Momentum.Mul(0.1))
		return loss
	}, mlx.State(w, opt))
	x := mlx.NewArray([]float64{1, 0.5})
	b := w.B
	ws, m := []float64{1, 2}, []float64{0, 0}
	for i := range 5 {
		loss := step(x)
		want := ws[0]*ws[0] + 0.5*ws[1]*ws[1]
		for k, xk := range []float64{1, 0.5} {
			m[k] = 0.5*m[k] + 2*xk*ws[k]
			ws[k] -= 0.1 * m[k]
		}
		wantItems(t, "loss", loss, want)
		wantItems(t, "weights", w.W, ws...)
		wantItems(t, "momentum", opt.Momentum, m...)
		wantItems(t, "slot", opt.Slots["v"], float64(i+1))
	}
	if traces != 2 {
		t.Errorf("traced %d times, want 2: without and with the optimizer's state", traces)
	}
	if w.B != b {
		t.Error("an array that passes through was replaced")
	}
	if n := mlx.Item[int32](opt.Step); n != 5 {
		t.Errorf("step %d", n)
	}
}

// TestCompileInside: a compiled function inside a transformation keeps its
// derivative, and a compiled gradient is the gradient.
func TestCompileInside(t *testing.T) {
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sin(x).Mul(x)) })
	x := mlx.NewArray([]float64{1, 2})
	d := []float64{math.Cos(1) + math.Sin(1), 2*math.Cos(2) + math.Sin(2)}
	wantItems(t, "grad of compiled", mlx.Grad(f)(x), d...)
	wantItems(t, "compiled grad", mlx.Compile(mlx.Grad(f))(x), d...)
	xs := mlx.NewArray([][]float64{{1, 2}, {2, 1}})
	wantItems(t, "compiled vmap of grad of checkpoint", mlx.Compile(mlx.VMap(mlx.Grad(mlx.Checkpoint(f))))(xs), d[0], d[1], d[1], d[0])
	mlx.DisableCompile()
	defer mlx.EnableCompile()
	wantItems(t, "disabled", mlx.Grad(f)(x), d...)
}
