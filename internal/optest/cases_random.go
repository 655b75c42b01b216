package optest

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	trandom "github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/random"
)

// randomCases draw with the key of each recorded seed. What comes from integers is
// exact; what goes through logarithms and erfinv is within [Random].
func randomCases() (cases []Case) {
	for _, seed := range []int{0, 1, 42} {
		add := func(name string, tol Tol, f func(k random.Key) *mlx.Array) {
			cases = append(cases, Case{Name: fmt.Sprintf("%d.%s", seed, name), File: "random", In: []string{fmt.Sprintf("%d.key", seed)}, Tol: tol,
				Build: one(func(k *mlx.Array) *mlx.Array { return f(random.Key{A: k}) })})
		}
		logits := func() *mlx.Array { return mlx.Arange(40).Mul(0.1).Reshape(4, 10) }
		add("split", Exact, func(k random.Key) *mlx.Array { return trandom.Split(k.A, 3, none) })
		add("uniform", Exact, func(k random.Key) *mlx.Array { return random.Uniform(0, 1, mlx.Shape{8, 3}, k) })
		add("randint", Exact, func(k random.Key) *mlx.Array { return random.RandInt(0, 100, mlx.Shape{20}, k) })
		add("bernoulli", Exact, func(k random.Key) *mlx.Array { return random.Bernoulli(0.3, mlx.Shape{20}, k) })
		add("permutation", Exact, func(k random.Key) *mlx.Array { return random.Permutation(17, k) })
		add("categorical", Exact, func(k random.Key) *mlx.Array { return random.Categorical(logits(), k) })
		add("categorical_n", Exact, func(k random.Key) *mlx.Array { return random.Categorical(logits(), k, random.NumSamples(6)) })
		add("normal", Random, func(k random.Key) *mlx.Array { return random.Normal(mlx.Shape{8, 3}, k) })
		add("normal_bf16", Tol{Ulps: 1}, func(k random.Key) *mlx.Array { return random.Normal(mlx.Shape{8, 3}, k, mlx.BFloat16) })
		add("truncnormal", Random, func(k random.Key) *mlx.Array { return random.TruncatedNormal(-1, 1, mlx.Shape{20}, k) })
		add("gumbel", Random, func(k random.Key) *mlx.Array { return random.Gumbel(mlx.Shape{20}, k) })
		add("laplace", Random, func(k random.Key) *mlx.Array { return random.Laplace(mlx.Shape{9}, k) })
	}
	return append(cases,
		Case{Name: "inverse_cdf",
			Inputs: made(mlx.FromSlice([]float32{0, 0, 0, 0}, 1, 4), mlx.FromSlice([]float32{0, 0.2499, 0.26, 0.51, 0.76, 0.9999}, 1, 6)),
			Build: two(func(l, u *mlx.Array) *mlx.Array {
				return tensor.Apply1(trandom.InverseCDF{}, none, l, u)
			}),
			Want: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.FromSlice([]uint32{0, 0, 1, 2, 3, 3}, 1, 6)} }})
}
