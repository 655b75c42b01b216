package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Sorting is ascending, stable and has NaN last, along the last axis unless [Axis]
// is given.

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

// Sort is mx.sort.
func Sort(x *Array, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("sort", opts)
	return tensor.SortOf(x, axis, s)
}

// ArgSort is mx.argsort, uint32.
func ArgSort(x *Array, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("argsort", opts)
	return tensor.ArgSortOf(x, axis, s)
}

// SortFlat is mx.sort(x, axis=None): one axis.
func SortFlat(x *Array, opts ...StreamOrDevice) *Array {
	s := on("sort", opts)
	return tensor.SortOf(tensor.ReshapeTo(x, []int{x.Size()}, s), 0, s)
}

// Partition is mx.partition: element kth is where sorting would put it, smaller ones
// before it. Negative kth counts from the end.
func Partition(x *Array, kth int, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("partition", opts)
	return tensor.PartitionOf(x, kth, axis, s)
}

// ArgPartition is mx.argpartition: the order of [Partition], uint32.
func ArgPartition(x *Array, kth int, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("argpartition", opts)
	return tensor.ArgPartitionOf(x, kth, axis, s)
}

// TopK is mx.topk: the k largest; do not rely on their order.
func TopK(x *Array, k int, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("topk", opts)
	return tensor.TopKOf(x, k, axis, s)
}

// SearchSorted is mx.searchsorted(sorted, values, side): where each value would be
// inserted into a sorted vector, uint32 of values' shape; before equal elements, or
// after them if right is set (side="right"). NaN comes last.
func SearchSorted[V Operand](sorted *Array, values V, right bool, opts ...StreamOrDevice) *Array {
	s := on("searchsorted", opts)
	_, v := tensor.Pair("searchsorted", sorted, values, s)
	return tensor.SearchSortedOf(sorted, v, right, s)
}
