package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

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

// axis0Of is axis=, the first if it is not given.
func axis0Of(op string, opts []opt.Axis) (int, Stream) {
	axes, s := axisKeywords(op, opts)
	switch len(axes) {
	case 0:
		return 0, s
	case 1:
		return axes[0], s
	}
	tensor.Throw(op, nil, "takes one axis, not %v", axes)
	return 0, s
}

// Concatenate is mx.concatenate (concat), along axis 0 unless given.
func Concatenate(arrays Arrays, opts ...AxisOption) *Array {
	axis, s := axis0Of("concatenate", opts)
	return tensor.ConcatenateOf(arrays, axis, s)
}

// Stack is mx.stack: arrays of one shape along a new axis of the result, 0 unless
// given.
func Stack(arrays Arrays, opts ...AxisOption) *Array {
	axis, s := axis0Of("stack", opts)
	return tensor.StackOf(arrays, axis, s)
}

// Unstack is mx.unstack, the reverse of [Stack]: the slices along an axis, 0 unless
// given, without it.
func Unstack(x *Array, opts ...AxisOption) Arrays {
	axis, s := axis0Of("unstack", opts)
	return tensor.UnstackOf(x, axis, s)
}

// Split is mx.split: into equal parts, or at the given indices as slices do (one
// part more than indices); along axis 0 unless given.
func Split[S int | []int](x *Array, sections S, opts ...AxisOption) Arrays {
	axis, s := axis0Of("split", opts)
	if at, ok := any(sections).([]int); ok {
		return tensor.SplitAt(x, at, axis, s)
	}
	return tensor.SplitInto(x, any(sections).(int), axis, s)
}

// Flatten is mx.flatten(x, start_axis, end_axis): these axes and those between, as
// one; negative ones count from the end. A scalar becomes a vector.
func Flatten(x *Array, start, end int, opts ...StreamOrDevice) *Array {
	return tensor.FlattenOf(x, start, end, on("flatten", opts))
}

// Unflatten is mx.unflatten: an axis becomes several; one size may be -1.
func Unflatten(x *Array, axis int, shape Shape, opts ...StreamOrDevice) *Array {
	return tensor.UnflattenOf(x, axis, shape, on("unflatten", opts))
}

// MatrixTranspose is mx.matrix_transpose: the last two axes swapped.
func MatrixTranspose(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.SwapAxes(x, -1, -2, on("matrix_transpose", opts))
}

// MoveAxis is mx.moveaxis.
func MoveAxis(x *Array, from, to int, opts ...StreamOrDevice) *Array {
	return tensor.MoveAxis(x, from, to, on("moveaxis", opts))
}

// BroadcastArrays is mx.broadcast_arrays: all in their common shape.
func BroadcastArrays(arrays Arrays, opts ...StreamOrDevice) Arrays {
	return tensor.BroadcastAll("broadcast_arrays", arrays, on("broadcast_arrays", opts))
}

// BroadcastShapes is mx.broadcast_shapes; it panics if they do not fit.
func BroadcastShapes(shapes ...Shape) Shape {
	var t Shape
	for _, s := range shapes {
		t = tensor.BroadcastShapes("broadcast_shapes", t, s)
	}
	return t
}

// AtLeast1D is mx.atleast_1d.
func AtLeast1D(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.AtLeast(1, x, on("atleast_1d", opts))
}

// AtLeast2D is mx.atleast_2d: a vector becomes a row.
func AtLeast2D(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.AtLeast(2, x, on("atleast_2d", opts))
}

// AtLeast3D is mx.atleast_3d: shape (n,) becomes (1, n, 1), (m, n) becomes (m, n, 1).
func AtLeast3D(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.AtLeast(3, x, on("atleast_3d", opts))
}

// Repeat is mx.repeat: each element several times, along an axis or, if none is
// given, of the flattened array.
func Repeat(x *Array, repeats int, opts ...AxisOption) *Array {
	axes, s := axisKeywords("repeat", opts)
	switch len(axes) {
	case 0:
		return tensor.RepeatOf(tensor.ReshapeTo(x, []int{x.Size()}, s), repeats, 0, s)
	case 1:
		return tensor.RepeatOf(x, repeats, axes[0], s)
	}
	tensor.Throw("repeat", nil, "takes one axis, not %v", axes)
	return nil
}

// Tile is mx.tile: the whole array reps[i] times along axis i.
func Tile(x *Array, reps []int, opts ...StreamOrDevice) *Array {
	return tensor.TileOf(x, reps, on("tile", opts))
}

// Roll is mx.roll: elements move along the axes, those that leave come in at the
// other end. Without an axis the flattened array rolls and keeps its shape. One
// shift serves all axes.
func Roll[S int | []int](x *Array, shift S, opts ...AxisOption) *Array {
	axes, s := axisKeywords("roll", opts)
	shifts, list := any(shift).([]int)
	if !list {
		shifts = []int{any(shift).(int)}
	}
	if axes == nil {
		total := 0
		for _, by := range shifts {
			total += by
		}
		flat := tensor.ReshapeTo(x, []int{x.Size()}, s)
		return tensor.ReshapeTo(tensor.RollOf(flat, []int{total}, []int{0}, s), x.Shape(), s)
	}
	for !list && len(shifts) < len(axes) {
		shifts = append(shifts, shifts[0])
	}
	return tensor.RollOf(x, shifts, axes, s)
}

// Flip is mx.flip: all axes unless some are given.
func Flip(x *Array, opts ...AxisOption) *Array {
	axes, s := axisKeywords("flip", opts)
	return tensor.FlipOf(x, axes, s)
}

// Pad is mx.pad: width elements around each axis, or (before, after) around each,
// or one pair for each axis. See [PadMode] and [ConstantValue].
func Pad[W int | [2]int | [][2]int](x *Array, width W, opts ...PadOption) *Array {
	set := opt.Set{}
	set.PadMode = "constant"
	for _, o := range opts {
		o.ForPad(&set)
	}
	var all [2]int
	switch w := any(width).(type) {
	case [][2]int:
		if len(w) != 1 {
			return tensor.PadOf(x, w, set.PadMode, set.PadValue, streamOf("pad", &set))
		}
		all = w[0]
	case [2]int:
		all = w
	case int:
		all = [2]int{w, w}
	}
	widths := make([][2]int, x.NDim())
	for i := range widths {
		widths[i] = all
	}
	return tensor.PadOf(x, widths, set.PadMode, set.PadValue, streamOf("pad", &set))
}

// AsStrided is mx.as_strided: element i is at offset + sum(i*strides) of the
// row-major array. It panics if any lies outside.
func AsStrided(x *Array, shape Shape, strides []int, offset int, opts ...StreamOrDevice) *Array {
	return tensor.AsStridedOf(x, shape, strides, offset, on("as_strided", opts))
}

// Contiguous is mx.contiguous: row-major, or column-major where it is that already
// and allowed.
func Contiguous(x *Array, allowColMajor bool, opts ...StreamOrDevice) *Array {
	return tensor.Apply1(tensor.Packed{ColumnMajor: allowColMajor}, on("contiguous", opts), x)
}

// View is mx.view(x, d): the same bytes as another dtype. The last axis changes with
// the size of an element, and must be divisible.
func View(x *Array, d DType, opts ...StreamOrDevice) *Array {
	return tensor.ViewAs(x, d, on("view", opts))
}

// Diag is mx.diag: the k-th diagonal of a matrix, or a matrix with a vector as that
// diagonal.
func Diag(x *Array, k int, opts ...StreamOrDevice) *Array {
	return tensor.DiagOf(x, k, on("diag", opts))
}

// Diagonal is mx.diagonal of two axes, as the last axis; MLX's defaults are 0, 0, 1.
func Diagonal(x *Array, offset, axis1, axis2 int, opts ...StreamOrDevice) *Array {
	return tensor.DiagonalOf(x, offset, axis1, axis2, on("diagonal", opts))
}

// Trace is mx.trace, the sum of [Diagonal] in x's dtype; MLX's defaults are 0, 0, 1.
func Trace(x *Array, offset, axis1, axis2 int, opts ...StreamOrDevice) *Array {
	return tensor.TraceOf(x, offset, axis1, axis2, on("trace", opts))
}

// Tril is mx.tril: zero above the k-th diagonal of the last two axes.
func Tril(x *Array, k int, opts ...StreamOrDevice) *Array {
	return tensor.TrilOf("tril", x, k, false, on("tril", opts))
}

// Triu is mx.triu: zero below the k-th diagonal.
func Triu(x *Array, k int, opts ...StreamOrDevice) *Array {
	return tensor.TrilOf("triu", x, k, true, on("triu", opts))
}

// Kron is mx.kron, the Kronecker product.
func Kron(a, b *Array, opts ...StreamOrDevice) *Array { return tensor.Kron(a, b, on("kron", opts)) }
