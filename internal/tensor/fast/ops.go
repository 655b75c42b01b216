package fast

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// ops are short forms for rules, on one stream.
type ops struct{ s Stream }

func (o ops) add(a, b any) *Array       { return tensor.BinaryAny(tensor.OpAdd, a, b, o.s) }
func (o ops) sub(a, b any) *Array       { return tensor.BinaryAny(tensor.OpSubtract, a, b, o.s) }
func (o ops) mul(a, b any) *Array       { return tensor.BinaryAny(tensor.OpMultiply, a, b, o.s) }
func (o ops) div(a, b any) *Array       { return tensor.BinaryAny(tensor.OpDivide, a, b, o.s) }
func (o ops) matmul(a, b *Array) *Array { return tensor.MatMulOf(a, b, o.s) }
func (o ops) swap(a *Array) *Array      { return tensor.SwapAxes(a, -1, -2, o.s) }

func (o ops) is(op tensor.BinaryOp, a, b any) *Array { return tensor.BinaryAny(op, a, b, o.s) }
func (o ops) do(op tensor.UnaryOp, a *Array) *Array  { return tensor.UnaryOf(op, a, o.s) }
func (o ops) as(a *Array, d tensor.DType) *Array     { return tensor.AsType(a, d, o.s) }
func (o ops) shaped(a *Array, dims ...int) *Array    { return tensor.ReshapeTo(a, dims, o.s) }

// wide is a in the precision that kernels compute in: halves as float32.
func (o ops) wide(a *Array) *Array {
	if a.DType().Size() == 2 {
		return o.as(a, dtype.Float32)
	}
	return a
}

// mean is along the last axis, kept.
func (o ops) mean(a *Array) *Array { return tensor.Mean(a, []int{-1}, true, o.s) }

// sum is along axes, kept or not.
func (o ops) sum(a *Array, keep bool, axes ...int) *Array {
	return tensor.ReduceOf(tensor.OpSum, a, axes, keep, o.s)
}

// where picks x, or a number of x's dtype.
func (o ops) where(cond, x *Array, y float64) *Array {
	return tensor.Where(cond, x, tensor.FloatScalar(y, x.DType(), o.s), o.s)
}

// rows sums over all axes but the last.
func (o ops) rows(a *Array) *Array {
	n := a.NDim() - 1
	if n == 0 {
		return a
	}
	axes := make([]int, n)
	for i := range axes {
		axes[i] = i
	}
	return o.sum(a, false, axes...)
}

// shapeOf is a copy of a's shape.
func shapeOf(a *Array) tensor.Shape { return slices.Clone(tensor.SpecOf(a).Shape) }

// front is a rule's answer when the results have the mapped axis in front.
func front(out ...*Array) ([]*Array, []int) { return out, make([]int, len(out)) }

// anyMapped reports whether one of axes is mapped.
func anyMapped(axes []int) bool {
	return slices.ContainsFunc(axes, func(a int) bool { return a != tensor.Unmapped })
}
