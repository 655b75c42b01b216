package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Ordering along the last axis: ascending, stable, NaN last.
type (
	// Sort is the elements in order.
	Sort struct{}
	// ArgSort is the uint32 order.
	ArgSort struct{}
	// Permute is y[k] = x[order[k]] where each row of order, uint32, is a permutation.
	Permute struct{}
	// SearchSorted is the uint32 number of elements of a sorted row that are less
	// than each value, or not greater if Right: rows [..., N], values [..., M]. NaN
	// comes after all.
	SearchSorted struct{ Right bool }
)

func (Sort) Name() string         { return "sort" }
func (ArgSort) Name() string      { return "argsort" }
func (Permute) Name() string      { return "permute" }
func (SearchSorted) Name() string { return "searchsorted" }

// Infer keeps the spec.
func (Sort) Infer(in []Spec) ([]Spec, error) {
	if len(in[0].Shape) == 0 {
		return nil, errors.New("a scalar has no axis")
	}
	return same(in)
}

// Infer gives indices of the input's shape.
func (ArgSort) Infer(in []Spec) ([]Spec, error) {
	return []Spec{{in[0].Shape, dtype.Uint32}}, nil
}

// Infer checks the order.
func (Permute) Infer(in []Spec) ([]Spec, error) {
	if !slices.Equal(in[0].Shape, in[1].Shape) || in[1].DType != dtype.Uint32 || len(in[0].Shape) == 0 {
		return nil, errors.New("needs rows and a uint32 order of their shape")
	}
	return same(in)
}

// Infer gives an index for each value.
func (SearchSorted) Infer(in []Spec) ([]Spec, error) {
	x, v := in[0], in[1]
	n := len(x.Shape)
	if n == 0 || len(v.Shape) != n || !slices.Equal(x.Shape[:n-1], v.Shape[:n-1]) || x.DType != v.DType {
		return nil, fmt.Errorf("needs rows and values of equal leading axes and one dtype, not %v and %v", x, v)
	}
	return []Spec{{v.Shape, dtype.Uint32}}, nil
}

// ---- rules ----

// VJP gives each element the cotangent of its place.
func (Sort) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	place := Apply1(ArgSort{}, s, Apply1(ArgSort{}, s, in[0]))
	return []*Array{Apply1(Permute{}, s, cotan[0], place)}
}

// VJP: an index does not vary.
func (ArgSort) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return []*Array{nil} }

// VJP: an index does not vary.
func (SearchSorted) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{nil, nil}
}

// VJP permutes back: the inverse of a permutation is its order.
func (p Permute) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{Apply1(p, s, cotan[0], Apply1(ArgSort{}, s, in[1])), nil}
}

// Vmap keeps to the last axis.
func (p Sort) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// Vmap keeps to the last axis; a mapped scalar still gives zeros.
func (p ArgSort) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if in[0].NDim() == 1 {
		return front(filledAs(in[0], dtype.Uint32, s))
	}
	return VmapInFront(p, s, in, axes)
}

func filledAs(a *Array, d DType, s Stream) *Array {
	return fit(FloatScalar(0, d, s), SpecOf(a).Shape, s)
}

// Vmap keeps to the last axis.
func (p Permute) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// Vmap keeps to the last axis.
func (p SearchSorted) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// ---- ops ----

// SortOf sorts along an axis.
func SortOf(a *Array, axis int, s Stream) *Array {
	axis = NormAxis("sort", axis, SpecOf(a).Shape)
	return toLast(a, axis, s, func(x *Array) *Array { return Apply1(Sort{}, s, x) })
}

// ArgSortOf is the order of a along axis.
func ArgSortOf(a *Array, axis int, s Stream) *Array {
	axis = NormAxis("argsort", axis, SpecOf(a).Shape)
	return toLast(a, axis, s, func(x *Array) *Array { return Apply1(ArgSort{}, s, x) })
}

// kthOf checks the place that a partition is about.
func kthOf(op string, a *Array, kth, axis int) int {
	sh := SpecOf(a).Shape
	axis = NormAxis(op, axis, sh)
	if kth < -sh[axis] || kth >= sh[axis] {
		Throw(op, []Spec{SpecOf(a)}, "kth %d is out of range for axis %d of size %d", kth, axis, sh[axis])
	}
	return axis
}

// PartitionOf puts the kth element of the order where sorting puts it, the smaller
// ones before it. It sorts, as MLX does on a GPU.
func PartitionOf(a *Array, kth, axis int, s Stream) *Array {
	return SortOf(a, kthOf("partition", a, kth, axis), s)
}

// ArgPartitionOf is PartitionOf's order.
func ArgPartitionOf(a *Array, kth, axis int, s Stream) *Array {
	return ArgSortOf(a, kthOf("argpartition", a, kth, axis), s)
}

// TopKOf is the k largest along an axis, ascending.
func TopKOf(a *Array, k, axis int, s Stream) *Array {
	axis = NormAxis("topk", axis, SpecOf(a).Shape)
	n := a.Dim(axis)
	if k < 0 || k > n {
		Throw("topk", []Spec{SpecOf(a)}, "k is %d for axis %d of size %d", k, axis, n)
	}
	return SliceAxis(SortOf(a, axis, s), axis, n-k, n, s)
}

// SearchSortedOf is where values would be inserted into a sorted vector.
func SearchSortedOf(sorted, values *Array, right bool, s Stream) *Array {
	if sorted.NDim() != 1 {
		Throw("searchsorted", []Spec{SpecOf(sorted)}, "what is searched must have one axis")
	}
	d := promote(sorted.DType(), values.DType())
	flat := ReshapeTo(AsType(values, d, s), []int{values.Size()}, s)
	return ReshapeTo(Apply1(SearchSorted{right}, s, AsType(sorted, d, s), flat), SpecOf(values).Shape, s)
}
