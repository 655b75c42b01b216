package optest

import "github.com/mlxgo/mlx"

// rowLoss is mean((tanh(x @ w) - t)^2), the function that the recorded transformations
// are of.
func rowLoss(w, x, t *mlx.Array) *mlx.Array {
	return mlx.Mean(mlx.Square(mlx.Tanh(mlx.MatMul(x, w)).Sub(t)))
}

// transformCases are transformations as ops of their own, so that each is differentiated,
// mapped and compiled once more.
func transformCases() []Case {
	type loss = func(w, x, t *mlx.Array) *mlx.Array
	grad := mlx.Grad(loss(rowLoss))
	three := func(name string, f loss) Case {
		return Case{Name: "transform." + name, File: "layers", In: []string{"transform.w", "transform.x", "transform.t"}, Tol: F32,
			Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in[0], in[1], in[2])} }}
	}
	onW := func(f func(w *mlx.Array) *mlx.Array, w *mlx.Array) *mlx.Array { return mlx.Grad(f)(w) }
	quartic := func(a *mlx.Array) *mlx.Array { return a.Pow(4).Mul(mlx.Sin(a)) }
	third := mlx.Grad(mlx.Grad(mlx.Grad(quartic)))
	return []Case{
		three("grad", grad),
		three("vmap_grad", mlx.VMap(grad, mlx.InAxes{mlx.Unmapped, 0, 0})),
		three("hvp", func(w, x, t *mlx.Array) *mlx.Array {
			return onW(func(v *mlx.Array) *mlx.Array { return mlx.Sum(grad(v, x, t).Mul(v)) }, w)
		}),
		three("jvp", func(w, x, t *mlx.Array) *mlx.Array {
			_, moved := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{rowLoss(in[0], x, t)} },
				mlx.Arrays{w}, mlx.Arrays{mlx.OnesLike(w)})
			return moved[0]
		}),
		three("checkpoint", mlx.Grad(mlx.Checkpoint(loss(rowLoss)))),
		three("compiled", mlx.Compile(grad)),
		{Name: "transform.third", File: "layers", Inputs: made(mlx.NewArray(0.7)), Tol: F32, Build: one(third)},
	}
}
