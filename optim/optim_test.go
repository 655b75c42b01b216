package optim_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

func goldens(t *testing.T) optest.Golden {
	t.Helper()
	g, err := optest.Load("nn")
	if err != nil {
		t.Fatal(err)
	}
	return g
}

type weights struct{ W *mlx.Array }

// optimizers are those of the recorded runs.
func optimizers() map[string]*optim.Optimizer {
	return map[string]*optim.Optimizer{
		"sgd":           optim.SGD(0.1),
		"sgd_mom":       optim.SGD(0.1, optim.Momentum(0.9), optim.Nesterov(true), optim.WeightDecay(0.01)),
		"adam":          optim.Adam(0.05),
		"adam_bc":       optim.Adam(0.05, optim.BiasCorrection(true)),
		"adamw":         optim.AdamW(0.05, optim.WeightDecay(0.1)),
		"adamax":        optim.Adamax(0.05),
		"adagrad":       optim.Adagrad(0.05),
		"adadelta":      optim.AdaDelta(0.5),
		"rmsprop":       optim.RMSProp(0.01),
		"lion":          optim.Lion(0.01),
		"adafactor":     optim.Adafactor(optim.AdafactorConfig{LearningRate: optim.Constant(0.05), NoRelativeStep: true, NoScaleParameter: true}),
		"adafactor_rel": optim.Adafactor(optim.AdafactorConfig{}),
		"muon":          optim.Muon(0.02),
	}
}

// TestOptimizers: ten steps of a recorded regression, eager and compiled.
func TestOptimizers(t *testing.T) {
	g := goldens(t)
	x, y := g["opt.X"], g["opt.Y"]
	tol := optest.Tol{Rel: 1e-4, Abs: 1e-6}
	for _, compiled := range []bool{false, true} {
		for name, opt := range optimizers() {
			m := &weights{g["opt.w0"]}
			step := func() *mlx.Array {
				loss, grads := nn.ValueAndGrad(m, func(m *weights) *mlx.Array {
					return mlx.Mean(mlx.Square(x.MatMul(m.W.T()).Sub(y)))
				})
				opt.Update(m, grads)
				return loss
			}
			if compiled {
				step = mlx.Compile(step, mlx.State(m, opt))
			}
			var losses mlx.Arrays
			for range 10 {
				losses = append(losses, step().Reshape(1))
			}
			if err := optest.Diff(mlx.Concatenate(losses), g["opt."+name+".loss"], tol); err != nil {
				t.Errorf("%s (compiled %t): losses %v", name, compiled, err)
			}
			if err := optest.Diff(m.W, g["opt."+name+".w"], tol); err != nil {
				t.Errorf("%s (compiled %t): weights %v", name, compiled, err)
			}
			if n := mlx.Item[uint64](opt.Step()); n != 10 {
				t.Errorf("%s: %d steps", name, n)
			}
		}
	}
}

func TestSchedules(t *testing.T) {
	g := goldens(t)
	for name, s := range map[string]optim.Schedule{
		"cosine": optim.CosineDecay(0.1, 50, 0.01),
		"linear": optim.LinearSchedule(0, 0.1, 30),
		"exp":    optim.ExponentialDecay(0.1, 0.9),
		"step":   optim.StepDecay(0.1, 0.5, 10),
		"join":   optim.JoinSchedules([]optim.Schedule{optim.LinearSchedule(0, 0.1, 10), optim.CosineDecay(0.1, 40, 0)}, []int{10}),
	} {
		var got mlx.Arrays
		for i := range 60 {
			got = append(got, s(mlx.NewArray(uint64(i))).Reshape(1))
		}
		if err := optest.Diff(mlx.Concatenate(got), g["sched."+name], optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestClipGradNorm(t *testing.T) {
	g := [2]*mlx.Array{mlx.NewArray([]float64{3, 4}), mlx.NewArray([]float64{12}).AsType(mlx.BFloat16)}
	c, norm := optim.ClipGradNorm(g, 6.5)
	if n := mlx.Item[float32](norm); n != 13 {
		t.Errorf("norm %v", n)
	}
	if v := mlx.ToSlice[float32](c[0]); math.Abs(float64(v[0]-1.5)) > 1e-5 || c[1].DType() != mlx.BFloat16 {
		t.Errorf("clipped %v", c)
	}
	c, _ = optim.ClipGradNorm(g, 100)
	if v := mlx.ToSlice[float32](c[0]); v[0] != 3 {
		t.Errorf("not clipped: %v", v)
	}
}

func TestMultiAndErrors(t *testing.T) {
	type model struct{ A, B *mlx.Array }
	m := &model{mlx.NewArray([]float64{1}), mlx.NewArray([]float64{1})}
	o := optim.Multi(
		optim.Choice{For: func(path string, _ *mlx.Array) bool { return path == "a" }, Use: optim.SGD(1.0)},
		optim.Choice{Use: optim.SGD(optim.LinearSchedule(0.5, 0.25, 1))})
	g := &model{mlx.NewArray([]float64{1}), mlx.NewArray([]float64{1})}
	o.Update(m, g)
	o.Update(m, g)
	if a, b := mlx.Item[float32](m.A), mlx.Item[float32](m.B); a != -1 || b != 0.25 {
		t.Errorf("a %v, b %v", a, b)
	}
	p := optim.Apply(optim.SGD(1.0), model{A: g.A}, *m)
	if a, b := mlx.Item[float32](p.A), mlx.Item[float32](p.B); a != -2 || b != 0.25 {
		t.Errorf("applied: a %v, b %v", a, b)
	}
	for _, f := range []func(){
		func() { optim.SGD(0.1, optim.Nesterov(true)) },
		func() { optim.Adam(0.1, optim.WeightDecay(0.1)) },
		func() { optim.JoinSchedules(nil, nil) },
		func() { optim.SGD(0.1).Update(m, &model{A: mlx.NewArray([]float64{1, 2})}) },
		func() { optim.SGD(0.1).Update(&weights{m.A}, g) },
	} {
		if err := mlx.Try(f); err == nil {
			t.Error("no error")
		} else {
			t.Log(err)
		}
	}
}
