//go:build linux && metalemu

package metal

import (
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

// Elementwise kernels, copies and random numbers have no races and stay inside of their
// arrays.
func TestElementwiseSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	rng := rand.New(rand.NewPCG(31, 31))
	ints, list := tensor.MakeInts, func(a ...*tensor.Array) []*tensor.Array { return a }
	a, h := views(rng, dtype.Float32, 3, 5, 7), views(rng, dtype.Float16, 3, 5, 7)
	key, logits := tensor.FromSlice([]uint32{1, 2}, 2), tensor.FromSlice([]float32{0, 1, 2, -3, 0, 1, 4, 3, 3, 2}, 2, 5)
	draws := tensor.FromSlice([]float32{0.1, 0.9, 0.3, 0.999, 0.5, 0.7}, 2, 3)
	kinds := []tensor.Spec{{Shape: []int{3, 5, 7}, DType: dtype.Float32}}
	twice := tensor.Fused{FusedProgram: &tensor.FusedProgram{In: append(kinds, kinds...), Steps: []tensor.FusedStep{
		{Prim: tensor.Binary{Op: tensor.OpMultiply}, In: []int{0, 1}, Out: dtype.Float32},
		{Prim: tensor.Cast{To: dtype.Float16}, In: []int{2}, Out: dtype.Float16}}}}
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, c := range []struct {
			what string
			p    tensor.Primitive
			in   []*tensor.Array
		}{
			{"flat", tensor.Binary{Op: tensor.OpAdd}, list(a["row-major"], a["row-major"])},
			{"flat halves", tensor.Unary{Op: tensor.OpNegative}, list(h["row-major"])},
			{"strided", tensor.Binary{Op: tensor.OpAdd}, list(a["transposed"], a["rows"])},
			{"strided halves", tensor.Binary{Op: tensor.OpAdd}, list(h["steps"], h["repeated"])},
			{"fused", twice, list(a["steps"], a["row-major"])},
			{"copy of bytes", tensor.Contiguous{}, list(sample(rng, dtype.Bool, 33))},
			{"strided copy", tensor.Contiguous{}, list(h["transposed"])},
			{"pad", tensor.Pad{Low: ints(1, 0, 2), High: ints(0, 2, 1)}, list(a["transposed"], sample(rng, dtype.Float32))},
			{"concatenate", tensor.Concatenate{Axis: 2}, list(a["transposed"], a["row-major"])},
			{"arange", tensor.Arange{Step: tensor.MakeF64(0.3), N: 33, DType: dtype.Float32}, nil},
			{"bits", random.Bits{Shape: ints(7), Width: 1}, list(key)},
			{"words", random.Bits{Shape: ints(33), Width: 4}, list(key)},
			{"draws", random.InverseCDF{}, list(logits, draws)},
		} {
			sanitized(t, mode, c.what, c.p, closeness{}, evaluatedAll(c.in)...)
		}
	}
}

func evaluatedAll(in []*tensor.Array) (out []*tensor.Array) {
	for _, a := range in {
		out = append(out, evaluated(a))
	}
	return out
}
