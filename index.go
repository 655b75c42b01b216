package mlx

import "github.com/mlxgo/mlx/internal/tensor"

// Span is a Python slice: start:stop:step. The zero Span is [Colon]. As in Python,
// negative ends count from the end and ends out of range are cut.
type Span = tensor.Span

// Ref is mx.ArrayAt: a place in an array, from [Array.At].
type Ref = tensor.Ref

// The index expressions of Python that are no numbers.
var (
	Colon    = tensor.Colon    // :
	NewAxis  = tensor.NewAxis  // None, mx.newaxis
	Ellipsis = tensor.Ellipsis // ...
)

// Range is the slice start:stop of Python.
func Range(start, stop int) Span { return tensor.Range(start, stop) }

// From is the slice start: of Python, to the end.
func From(start int) Span { return tensor.From(start) }

// To is the slice :stop of Python.
func To(stop int) Span { return tensor.To(stop) }

// Step is the slice ::n of Python; Step(-1) reverses.
func Step(n int) Span { return tensor.StepBy(n) }

// Take is mx.take(a, indices, axis): slices along axis, of the flattened array
// unless an axis is given; the axes of integer indices take the axis's place.
// Negative indices count from the end. An int drops the axis, and panics when it is
// out of range; an index of an array that is out of range is a fault of [Eval].
func Take[I *Array | int](a *Array, indices I, opts ...AxisOption) *Array {
	axes, s := axisKeywords("take", opts)
	if axes == nil {
		a, axes = tensor.ReshapeTo(a, []int{a.Size()}, s), []int{0}
	}
	if len(axes) != 1 {
		tensor.Throw("take", nil, "takes one axis, not %v", axes)
	}
	axis := tensor.NormAxis("take", axes[0], a.Shape())
	if i, ok := any(indices).(int); ok {
		return takeOne(a, i, axis, s)
	}
	return tensor.TakeOf(a, any(indices).(*Array), axis, s)
}

// takeOne is slice i of an axis, without that axis.
func takeOne(a *Array, i, axis int, s Stream) *Array {
	n := a.Dim(axis)
	if i < -n || i >= n {
		tensor.Throw("take", []Spec{tensor.SpecOf(a)}, "index %d is out of range for axis %d of size %d", i, axis, n)
	}
	if i < 0 {
		i += n
	}
	shape := a.Shape()
	return tensor.ReshapeTo(tensor.SliceAxis(a, axis, i, i+1, s), append(shape[:axis], shape[axis+1:]...), s)
}

// TakeAlongAxis is mx.take_along_axis(a, indices, axis): element [.., j, ..] is
// a[.., indices[.., j, ..], ..]. Integer indices have as many axes as a; axes other
// than axis broadcast. Negative indices count from the end; one out of range is a
// fault of [Eval]. For axis=None flatten a first.
func TakeAlongAxis(a, indices *Array, axis int, opts ...StreamOrDevice) *Array {
	return tensor.TakeAlongAxis(a, indices, axis, on("take_along_axis", opts))
}

// PutAlongAxis is mx.put_along_axis(a, indices, values, axis): a with
// a[.., indices[.., j, ..], ..] replaced by values, which are converted to a's dtype
// and broadcast to the indices. Where an index repeats, the last value wins. Indices
// are as in [TakeAlongAxis].
func PutAlongAxis[V Operand](a, indices *Array, values V, axis int, opts ...StreamOrDevice) *Array {
	return tensor.PutAlongAxis(tensor.ScatterSet, a, indices, values, axis, on("put_along_axis", opts))
}

// NonZero is the indices of the true or nonzero elements in row-major order, one
// int32 vector per axis (not in MLX). It evaluates a, and panics for an array
// without axes.
func NonZero(a *Array) Arrays { return tensor.NonZero(a) }

// Slice is mx.slice(a, start, axes, size): the part of that size, one for each axis
// of a, that begins at start on axes and at 0 on the others. start is an array of
// integers, one for each of axes; negative ones count from the end. A part that
// leaves a is a fault of [Eval].
func Slice(a, start *Array, axes []int, size Shape, opts ...StreamOrDevice) *Array {
	return tensor.DynamicSlice(a, start, axes, size, on("slice", opts))
}

// SliceUpdate is mx.slice_update(a, update, start, axes): a with the part that
// begins at start, as in [Slice], replaced by update, which has as many axes as a and
// is converted to a's dtype.
func SliceUpdate(a, update, start *Array, axes []int, opts ...StreamOrDevice) *Array {
	return tensor.DynamicSliceUpdate(a, update, start, axes, on("slice_update", opts))
}
