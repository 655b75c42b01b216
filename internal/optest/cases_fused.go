package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// fusedCases are chains of elementwise ops as compiled functions have them, against the
// ops one by one.
func fusedCases() []Case {
	gate := func(d mlx.DType) *tensor.FusedProgram {
		spec := tensor.Spec{Shape: mlx.Shape{3, 5}, DType: d}
		return &tensor.FusedProgram{In: []tensor.Spec{spec, spec}, Steps: []tensor.FusedStep{
			{Prim: tensor.Unary{Op: tensor.OpTanh}, In: []int{0}, Out: d},
			{Prim: tensor.Binary{Op: tensor.OpLess}, In: []int{2, 1}, Out: mlx.Bool},
			{Prim: tensor.Binary{Op: tensor.OpMultiply}, In: []int{2, 1}, Out: d},
			{Prim: tensor.Select{}, In: []int{3, 4, 0}, Out: d},
			{Prim: tensor.Cast{To: mlx.Float32}, In: []int{5}, Out: mlx.Float32},
		}}
	}
	programs := map[mlx.DType]*tensor.FusedProgram{}
	for _, d := range []mlx.DType{mlx.Float16, mlx.BFloat16, mlx.Float32, mlx.Float64} {
		programs[d] = gate(d)
	}
	build := func(f func(p tensor.Fused, in []*mlx.Array) []*mlx.Array) func(in []*mlx.Array) []*mlx.Array {
		return func(in []*mlx.Array) []*mlx.Array { return f(tensor.Fused{FusedProgram: programs[in[0].DType()]}, in) }
	}
	return []Case{{Name: "fused", Inputs: made(ramp(3, 5), ramp(5, 3).T()), Tol: Exact,
		NoGrad: "it computes in float64 and rounds to float32",
		Build:  build(func(p tensor.Fused, in []*mlx.Array) []*mlx.Array { return tensor.Apply(p, none, in...) }),
		Want:   build(func(p tensor.Fused, in []*mlx.Array) []*mlx.Array { return p.Fallback(none, in) })}}
}
