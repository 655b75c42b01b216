package tensor

import (
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
)

// negInf is -inf of a's dtype.
func negInf(a *Array, s Stream) *Array { return FloatScalar(math.Inf(-1), a.DType(), s) }

// keptShape is shape sh with the axes of set 1, or without them.
func keptShape(sh Shape, set AxisSet, keep bool) Shape {
	t := make(Shape, 0, len(sh))
	for i, d := range sh {
		switch {
		case !set.Has(i):
			t = append(t, d)
		case keep:
			t = append(t, 1)
		}
	}
	return t
}

// overAxes applies f, which reduces the last axis to size 1, to axes of a that
// are made one; nil stands for all.
func overAxes(op string, a *Array, axes []int, keep bool, s Stream, f func(*Array) *Array) *Array {
	sh := SpecOf(a).Shape
	set := NormAxes(op, axes, sh)
	if set == 0 {
		return ReshapeTo(f(ExpandDims(a, []int{-1}, s)), sh, s)
	}
	return ReshapeTo(f(reducedLast(a, set, s)), keptShape(sh, set, keep), s)
}

// refuseEmpty panics if one of axes, all if nil, is empty.
func refuseEmpty(op string, a *Array, axes []int) {
	sh := SpecOf(a).Shape
	set := NormAxes(op, axes, sh)
	for i, d := range sh {
		if d == 0 && set.Has(i) {
			Throw(op, []Spec{SpecOf(a)}, "axis %d is empty", i)
		}
	}
}

// LogSumExpOf is log(sum(exp(a))) along axes; nil stands for all.
func LogSumExpOf(a *Array, axes []int, keep bool, s Stream) *Array {
	refuseEmpty("logsumexp", a, axes)
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	return overAxes("logsumexp", a, axes, keep, s, func(x *Array) *Array {
		if x.DType() != dtype.Complex64 {
			return Apply1(LogSumExp{}, s, x)
		}
		last := []int{-1}
		top := ReduceOf(OpMax, x, last, true, s)
		return s.add(s.do(OpLog, ReduceOf(OpSum, s.do(OpExp, s.sub(x, top)), last, true, s)), top)
	})
}

// SoftmaxOver is the softmax over several axes at once; nil stands for all.
func SoftmaxOver(a *Array, axes []int, s Stream) *Array {
	sh := SpecOf(a).Shape
	set := NormAxes("softmax", axes, sh)
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	if set == 0 { // each element alone
		a = ExpandDims(a, []int{-1}, s)
		return ReshapeTo(SoftmaxOf(a, -1, s), sh, s)
	}
	return unreduced(SoftmaxOf(reducedLast(a, set, s), -1, s), set, sh, s)
}

// Var is the variance along axes with divisor n-ddof, at least 0; nil stands for
// all. That of complex numbers is float32. Halves are computed in float32.
func Var(a *Array, axes []int, keep bool, ddof int, s Stream) *Array {
	d := dtype.AtLeastFloat(a.DType())
	if d == dtype.Complex64 {
		d = dtype.Float32
	}
	return AsType(wideVar("var", a, axes, keep, ddof, s), d, s)
}

// Std is the root of Var.
func Std(a *Array, axes []int, keep bool, ddof int, s Stream) *Array {
	d := dtype.AtLeastFloat(a.DType())
	if d == dtype.Complex64 {
		d = dtype.Float32
	}
	return AsType(s.do(OpSqrt, wideVar("std", a, axes, keep, ddof, s)), d, s)
}

func wideVar(op string, a *Array, axes []int, keep bool, ddof int, s Stream) *Array {
	set := NormAxes(op, axes, SpecOf(a).Shape)
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	if a.DType().Size() == 2 {
		a = AsType(a, dtype.Float32, s)
	}
	diff := s.sub(a, Apply1(Reduce{OpMean, set}, s, a))
	if diff.DType() == dtype.Complex64 {
		diff = s.do(OpAbs, diff)
	}
	sum := Apply1(Reduce{OpSum, set}, s, s.do(OpSquare, diff))
	n := Count{set, sum.DType(), ddof}.of(a, s)
	return BinaryOf(OpDivide, dropAxes(sum, set, keep, s), n, s)
}

// Median is the middle of the sorted elements along axes, the mean of two if their
// number is even, NaN if any is; nil stands for all. Integers give float32.
func Median(a *Array, axes []int, keep bool, s Stream) *Array {
	refuseEmpty("median", a, axes)
	a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	return overAxes("median", a, axes, keep, s, func(x *Array) *Array {
		x = Apply1(Sort{}, s, x)
		axis, n := x.NDim()-1, x.Dim(-1)
		mid := SliceAxis(x, axis, n/2, n/2+1, s)
		if n%2 == 0 {
			mid = s.mul(s.add(SliceAxis(x, axis, n/2-1, n/2, s), mid), 0.5)
		}
		last := SliceAxis(x, axis, n-1, n, s)
		return Where(s.do(OpIsNaN, last), last, mid, s)
	})
}

// CountNonZero counts along axes, int32; nil stands for all.
func CountNonZero(a *Array, axes []int, keep bool, s Stream) *Array {
	return ReduceOf(OpSum, AsType(a, dtype.Bool, s), axes, keep, s)
}
