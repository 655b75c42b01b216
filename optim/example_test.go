package optim_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/optim"
)

func ExampleOptimizer() {
	type Params struct{ X, Y *mlx.Array }
	p := &Params{mlx.NewArray(1.0), mlx.NewArray(-2.0)}
	loss := func(p *Params) *mlx.Array { return mlx.Square(p.X).Add(mlx.Square(p.Y)) }
	opt := optim.SGD(0.1, optim.Momentum(0.5))
	for range 100 {
		_, grads := mlx.ValueAndGrad(loss)(p)
		opt.Update(p, grads)
		if err := mlx.Eval(p, opt); err != nil {
			fmt.Println(err)
		}
	}
	fmt.Println(mlx.Item[float32](loss(p)) < 1e-6, mlx.Item[int](opt.Step().AsType(mlx.Int32)))
	// Output: true 100
}

func ExampleCosineDecay() {
	warm := optim.LinearSchedule(0, 0.1, 10)
	rate := optim.JoinSchedules([]optim.Schedule{warm, optim.CosineDecay(0.1, 100, 0)}, []int{10})
	for _, step := range []int{0, 5, 10, 60, 110} {
		fmt.Printf("%.3f ", rate(mlx.NewArray(step)))
	}
	// Output: 0.000 0.050 0.100 0.050 0.000
}

func ExampleClipGradNorm() {
	grads := map[string]*mlx.Array{"w": mlx.NewArray([]float64{3, 0}), "b": mlx.NewArray([]float64{4})}
	clipped, norm := optim.ClipGradNorm(grads, 1)
	fmt.Printf("%.1f %.1f %.1f\n", norm, clipped["w"], clipped["b"])
	// Output: 5.0 array([0.6, 0.0], dtype=float32) array([0.8], dtype=float32)
}

func ExampleMulti() {
	isBias := func(path string, _ *mlx.Array) bool { return path == "bias" }
	opt := optim.Multi(optim.Choice{For: isBias, Use: optim.SGD(1)}, optim.Choice{Use: optim.SGD(0.1)})
	p := map[string]*mlx.Array{"bias": mlx.NewArray(1.0), "weight": mlx.NewArray(1.0)}
	p = optim.Apply(opt, map[string]*mlx.Array{"bias": mlx.NewArray(0.5), "weight": mlx.NewArray(0.5)}, p)
	fmt.Println(p["bias"], p["weight"])
	// Output: array(0.5, dtype=float32) array(0.95, dtype=float32)
}
