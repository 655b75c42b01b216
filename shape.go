package mlx

import "github.com/mlxgo/mlx/internal/tensor"

// Reshape is mx.reshape; one size may be -1.
func Reshape(x *Array, shape Shape, opts ...StreamOrDevice) *Array {
	return tensor.ReshapeTo(x, shape, on("reshape", opts))
}

// Transpose is mx.transpose (permute_dims); reversed unless [Axes] are given.
func Transpose(x *Array, opts ...AxisOption) *Array {
	axes, s := axisKeywords("transpose", opts)
	if axes == nil {
		for i := x.NDim() - 1; i >= 0; i-- {
			axes = append(axes, i)
		}
	}
	return tensor.TransposeTo(x, axes, s)
}

// SwapAxes is mx.swapaxes.
func SwapAxes(x *Array, i, j int, opts ...StreamOrDevice) *Array {
	return tensor.SwapAxes(x, i, j, on("swapaxes", opts))
}

// ExpandDims is mx.expand_dims.
func ExpandDims[A int | []int](x *Array, axis A, opts ...StreamOrDevice) *Array {
	axes, ok := any(axis).([]int)
	if !ok {
		axes = []int{any(axis).(int)}
	}
	return tensor.ExpandDims(x, axes, on("expand_dims", opts))
}

// Squeeze is mx.squeeze: the axes that are given, else all of size 1.
func Squeeze(x *Array, opts ...AxisOption) *Array {
	axes, s := axisKeywords("squeeze", opts)
	return tensor.Squeeze(x, axes, s)
}

// BroadcastTo is mx.broadcast_to.
func BroadcastTo(x *Array, shape Shape, opts ...StreamOrDevice) *Array {
	return tensor.BroadcastTo(x, shape, on("broadcast_to", opts))
}

// AsType is x.astype(d).
func AsType(x *Array, d DType, opts ...StreamOrDevice) *Array {
	return tensor.AsType(x, d, on("astype", opts))
}

// Concatenate is mx.concatenate (concat), along axis 0 unless given.
func Concatenate(arrays Arrays, opts ...AxisOption) *Array {
	axes, s := axisKeywords("concatenate", opts)
	switch len(axes) {
	case 0:
		axes = []int{0}
	case 1:
	default:
		tensor.Throw("concatenate", nil, "takes one axis, not %v", axes)
	}
	return tensor.ConcatenateOf(arrays, axes[0], s)
}

// Split is mx.split(x, indices, axis): the parts between the indices, along axis 0
// unless given. Indices are not negative and do not fall.
func Split(x *Array, indices []int, opts ...AxisOption) []*Array {
	axes, s := axisKeywords("split", opts)
	axis := 0
	switch len(axes) {
	case 0:
	case 1:
		axis = axes[0]
	default:
		tensor.Throw("split", nil, "takes one axis, not %v", axes)
	}
	axis = tensor.NormAxis("split", axis, x.Shape())
	n, from := x.Dim(axis), 0
	parts := make([]*Array, 0, len(indices)+1)
	for _, to := range append(append([]int{}, indices...), n) {
		if to < from || to > n {
			tensor.Throw("split", []Spec{tensor.SpecOf(x)}, "index %d is not between %d and %d", to, from, n)
		}
		parts = append(parts, tensor.SliceAxis(x, axis, from, to, s))
		from = to
	}
	return parts
}
