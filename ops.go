package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// MatMul is mx.matmul: a @ b with numpy's rules; floating only.
func MatMul(a, b *Array, opts ...StreamOrDevice) *Array {
	return tensor.MatMulOf(a, b, on("matmul", opts))
}

// Take is mx.take(x, indices, axis): slices along axis, of the flattened array
// unless an axis is given. Negative indices count from the end. An int drops the
// axis, and panics when it is out of range; an index of an array that is out of
// range is a fault of [Eval].
func Take[I *Array | int](x *Array, indices I, opts ...AxisOption) *Array {
	axes, s := axisKeywords("take", opts)
	if axes == nil {
		x, axes = tensor.ReshapeTo(x, []int{x.Size()}, s), []int{0}
	}
	if len(axes) != 1 {
		tensor.Throw("take", nil, "takes one axis, not %v", axes)
	}
	axis := tensor.NormAxis("take", axes[0], x.Shape())
	if i, ok := any(indices).(int); ok {
		return takeOne(x, i, axis, s)
	}
	return takeMany(x, any(indices).(*Array), axis, s)
}

// takeOne is slice i of an axis, without that axis.
func takeOne(x *Array, i, axis int, s Stream) *Array {
	n := x.Dim(axis)
	if i < -n || i >= n {
		tensor.Throw("take", []Spec{tensor.SpecOf(x)}, "index %d is out of range for axis %d of size %d", i, axis, n)
	}
	if i < 0 {
		i += n
	}
	shape := x.Shape()
	return tensor.ReshapeTo(tensor.SliceAxis(x, axis, i, i+1, s), append(shape[:axis], shape[axis+1:]...), s)
}

func takeMany(x, indices *Array, axis int, s Stream) *Array {
	if axis == 0 {
		return tensor.TakeRows(x, indices, s)
	}
	perm, n := []int{axis}, x.NDim()
	for i := range n {
		if i != axis {
			perm = append(perm, i)
		}
	}
	out := tensor.TakeRows(tensor.TransposeTo(x, perm, s), indices, s)
	k := indices.NDim()
	back := make([]int, 0, out.NDim())
	for i := range axis {
		back = append(back, k+i)
	}
	for i := range k {
		back = append(back, i)
	}
	for i := axis; i < n-1; i++ {
		back = append(back, k+i)
	}
	return tensor.TransposeTo(out, back, s)
}

// axisKeywords reads axis= (nil if not given) and stream=.
func axisKeywords(op string, opts []opt.Axis) ([]int, Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForAxis(&set)
	}
	return set.Axes, streamOf(op, &set)
}
