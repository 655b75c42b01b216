package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

func reduceKeywords(op string, opts []opt.Reduce) (axes []int, keep bool, s Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForReduce(&set)
	}
	if set.HasAxes {
		axes = set.Axes
	}
	return axes, set.KeepDims, streamOf(op, &set)
}

func reduce(op tensor.ReduceOp, x *Array, opts []opt.Reduce) *Array {
	axes, keep, s := reduceKeywords(op.String(), opts)
	return tensor.ReduceOf(op, x, axes, keep, s)
}

// Sum is mx.sum, over all axes unless some are given. Sums of bool and small
// integers are int32 or uint32; half sums accumulate in float32.
func Sum(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpSum, x, opts) }

// Prod is mx.prod, over all axes unless some are given.
func Prod(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpProd, x, opts) }

// Max is mx.max, over all axes unless some are given; NaN wins.
func Max(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpMax, x, opts) }

// Min is mx.min, over all axes unless some are given; NaN wins.
func Min(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpMin, x, opts) }

// All is mx.all, bool, over all axes unless some are given.
func All(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpAll, x, opts) }

// Any is mx.any, bool, over all axes unless some are given.
func Any(x *Array, opts ...ReduceOption) *Array { return reduce(tensor.OpAny, x, opts) }

// Mean is mx.mean, floating, over all axes unless some are given.
func Mean(x *Array, opts ...ReduceOption) *Array {
	axes, keep, s := reduceKeywords("mean", opts)
	return tensor.Mean(x, axes, keep, s)
}

// overAll applies f, which gives a scalar, to the flattened array; keep leaves every
// axis with size 1.
func overAll(x *Array, keep bool, s Stream, f func(flat *Array) *Array) *Array {
	out := f(tensor.ReshapeTo(x, []int{x.Size()}, s))
	if !keep {
		return out
	}
	ones := make([]int, x.NDim())
	for i := range ones {
		ones[i] = 1
	}
	return tensor.ReshapeTo(out, ones, s)
}

// argReduce works on one axis, or on the flattened array.
func argReduce(op string, min bool, x *Array, opts []opt.Reduce) *Array {
	axes, keep, s := reduceKeywords(op, opts)
	switch len(axes) {
	case 0:
		return overAll(x, keep, s, func(flat *Array) *Array { return tensor.ArgReduceOf(min, flat, 0, false, s) })
	case 1:
		return tensor.ArgReduceOf(min, x, axes[0], keep, s)
	}
	tensor.Throw(op, nil, "takes one axis, not %v", axes)
	return nil
}

// ArgMax is mx.argmax, uint32: the first maximum, of the flattened array unless an
// axis is given. The first NaN wins (MLX ignores NaN).
func ArgMax(x *Array, opts ...ReduceOption) *Array { return argReduce("argmax", false, x, opts) }

// ArgMin is mx.argmin, uint32: the first minimum; see [ArgMax].
func ArgMin(x *Array, opts ...ReduceOption) *Array { return argReduce("argmin", true, x, opts) }

// lastAxisOf is axis=, the last if it is not given.
func lastAxisOf(op string, opts []opt.Axis) (int, Stream) {
	axes, s := axisKeywords(op, opts)
	switch len(axes) {
	case 0:
		return -1, s
	case 1:
		return axes[0], s
	}
	tensor.Throw(op, nil, "takes one axis, not %v", axes)
	return 0, s
}

// Softmax is mx.softmax along one axis, or over all elements if none is given; it
// computes in float32.
func Softmax(x *Array, opts ...AxisOption) *Array {
	axes, s := axisKeywords("softmax", opts)
	switch len(axes) {
	case 0:
		flat := tensor.ReshapeTo(x, []int{x.Size()}, s)
		return tensor.ReshapeTo(tensor.SoftmaxOf(flat, 0, s), x.Shape(), s)
	case 1:
		return tensor.SoftmaxOf(x, axes[0], s)
	}
	tensor.Throw("softmax", nil, "takes one axis or all, not %v", axes)
	return nil
}

// ArgSort is mx.argsort along the last axis unless given: uint32, ascending,
// stable, NaN last.
func ArgSort(x *Array, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("argsort", opts)
	return tensor.ArgSortOf(x, axis, s)
}

// LogSumExp is mx.logsumexp over all axes unless one is given.
func LogSumExp(x *Array, opts ...ReduceOption) *Array {
	axes, keep, s := reduceKeywords("logsumexp", opts)
	if len(axes) == 1 {
		return tensor.LogSumExpOf(x, axes[0], keep, s)
	}
	if axes != nil && len(axes) != x.NDim() {
		tensor.Throw("logsumexp", nil, "takes one axis or all, not %v", axes)
	}
	return overAll(x, keep, s, func(flat *Array) *Array { return tensor.LogSumExpOf(flat, 0, false, s) })
}
