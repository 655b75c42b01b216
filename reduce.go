package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

func reduceSet(op string, opts []opt.Reduce) (axes []int, set opt.Set, s Stream) {
	for _, o := range opts {
		o.ForReduce(&set)
	}
	if set.HasAxes {
		axes = set.Axes
	}
	return axes, set, streamOf(op, &set)
}

// reduceKeywords are those of a reduction without ddof=.
func reduceKeywords(op string, opts []opt.Reduce) (axes []int, keep bool, s Stream) {
	axes, set, s := reduceSet(op, opts)
	if set.DDof != 0 {
		tensor.Throw(op, nil, "takes no ddof")
	}
	return axes, set.KeepDims, s
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

// Softmax is mx.softmax along the given axes, or over all elements; it computes in
// float32 or wider. Integers give float32.
func Softmax(x *Array, opts ...AxisOption) *Array {
	axes, s := axisKeywords("softmax", opts)
	if len(axes) == 1 {
		return tensor.SoftmaxOf(x, axes[0], s)
	}
	return tensor.SoftmaxOver(x, axes, s)
}

// LogSumExp is mx.logsumexp: log(sum(exp(x))) without overflow, over all axes
// unless some are given; integers give float32. It panics for no elements.
func LogSumExp(x *Array, opts ...ReduceOption) *Array {
	axes, keep, s := reduceKeywords("logsumexp", opts)
	return tensor.LogSumExpOf(x, axes, keep, s)
}

// Var is mx.var: the variance, with [DDof], over all axes unless some are given.
// Integers give float32, as does complex64; halves are computed in float32.
func Var(x *Array, opts ...ReduceOption) *Array {
	axes, set, s := reduceSet("var", opts)
	return tensor.Var(x, axes, set.KeepDims, set.DDof, s)
}

// Std is mx.std: the standard deviation, the root of [Var].
func Std(x *Array, opts ...ReduceOption) *Array {
	axes, set, s := reduceSet("std", opts)
	return tensor.Std(x, axes, set.KeepDims, set.DDof, s)
}

// Median is mx.median, over all axes unless some are given: the mean of the two in
// the middle if the number is even, NaN if any element is. Integers give float32.
// It panics for no elements.
func Median(x *Array, opts ...ReduceOption) *Array {
	axes, keep, s := reduceKeywords("median", opts)
	return tensor.Median(x, axes, keep, s)
}

// CountNonZero is mx.count_nonzero, int32, over all axes unless some are given.
func CountNonZero(x *Array, opts ...ReduceOption) *Array {
	axes, keep, s := reduceKeywords("count_nonzero", opts)
	return tensor.CountNonZero(x, axes, keep, s)
}

// scan goes along one axis, or over the flattened array.
func scan(op tensor.ScanOp, x *Array, opts []opt.Scan) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForScan(&set)
	}
	s := streamOf(op.String(), &set)
	axis := 0
	if set.HasAxes {
		axis = set.Axes[0]
	} else {
		x = tensor.ReshapeTo(x, []int{x.Size()}, s)
	}
	if set.HasDType {
		x = tensor.AsType(x, DType(set.DType), s)
	}
	return tensor.ScanOf(op, x, axis, set.Reverse, set.Exclusive, s)
}

// CumSum is mx.cumsum along [Axis], or of the flattened array, with [Reverse] and
// [Inclusive]. The dtype is x's, or the one given, int32 for bool; it accumulates
// wider.
func CumSum(x *Array, opts ...ScanOption) *Array { return scan(tensor.ScanSum, x, opts) }

// CumProd is mx.cumprod; see [CumSum]. Bool stays bool.
func CumProd(x *Array, opts ...ScanOption) *Array { return scan(tensor.ScanProd, x, opts) }

// CumMax is mx.cummax: the largest so far, NaN from the first NaN on; see [CumSum].
func CumMax(x *Array, opts ...ScanOption) *Array { return scan(tensor.ScanMax, x, opts) }

// CumMin is mx.cummin: the smallest so far; see [CumMax].
func CumMin(x *Array, opts ...ScanOption) *Array { return scan(tensor.ScanMin, x, opts) }

// LogCumSumExp is mx.logcumsumexp: log(sum(exp)) so far; see [CumSum]. Integers give
// float32 (MLX keeps their dtype, which holds no logarithm).
func LogCumSumExp(x *Array, opts ...ScanOption) *Array { return scan(tensor.ScanLogAddExp, x, opts) }
