package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// ScatterOp says what a scattered update does with the element that it meets.
type ScatterOp uint8

// The scatter ops. Updates meet an element in row-major order of the indices.
const (
	ScatterSet ScatterOp = iota // the last update wins
	ScatterSum
	ScatterProd
	ScatterMax
	ScatterMin
)

var scatterNames = [...]string{"scatter", "scatter_add", "scatter_prod", "scatter_max", "scatter_min"}

func (o ScatterOp) String() string { return scatterNames[o] }

// Primitives that index. Values of index arrays count from the end when they are
// negative; one that is out of range is a fault of the op's evaluation.
type (
	// Gather takes windows: inputs x and one integer array per axis of Axes, all of
	// one shape. The result has that shape, then Sizes, a size for each axis of x:
	// element [i..., w...] is x[w + index(i)]. Whole windows must lie within x.
	Gather struct{ Axes, Sizes Ints }
	// Scatter writes windows: inputs x, the indices as in Gather, and updates of the
	// indices' shape and then a window size for each axis of x.
	Scatter struct {
		Axes Ints
		Op   ScatterOp
	}
	// GatherAxis is take_along_axis: x and integer indices of equal shapes but for Axis.
	GatherAxis struct{ Axis int }
	// ScatterAxis is put_along_axis: x, indices as in GatherAxis, updates of the
	// indices' shape. Op is ScatterSet or ScatterSum.
	ScatterAxis struct {
		Axis int
		Op   ScatterOp
	}
	// SliceUpdate is x with the elements that Slice would take replaced by input 1.
	SliceUpdate struct{ Start, Stop, Step Ints }
)

// Name is the op's name.
func (Gather) Name() string       { return "gather" }
func (p Scatter) Name() string    { return p.Op.String() }
func (GatherAxis) Name() string   { return "take_along_axis" }
func (ScatterAxis) Name() string  { return "put_along_axis" }
func (SliceUpdate) Name() string  { return "slice_update" }
func (Scatter) Reuse() int        { return 0 } // the result may take x's buffer
func (ScatterAxis) Reuse() int    { return 0 }
func (SliceUpdate) Reuse() int    { return 0 }
func (p SliceUpdate) part() Slice { return Slice(p) }

// windows checks the indices of a Gather or Scatter of windows of these sizes and
// gives the shape of the index arrays.
func windows(x Spec, idx []Spec, axes Ints, sizes []int) (Shape, error) {
	if axes.Len() != len(idx) || len(idx) == 0 {
		return nil, fmt.Errorf("%d index arrays for %d axes", len(idx), axes.Len())
	}
	if len(sizes) != len(x.Shape) {
		return nil, fmt.Errorf("a window of %d axes for an array with %d", len(sizes), len(x.Shape))
	}
	var seen AxisSet
	for i, s := range idx {
		if !s.DType.Is(dtype.Integer) {
			return nil, fmt.Errorf("indices are %v, not integers", s.DType)
		}
		if !slices.Equal(s.Shape, idx[0].Shape) {
			return nil, fmt.Errorf("indices of shapes %v and %v", idx[0].Shape, s.Shape)
		}
		a := axes.At(i)
		if a < 0 || a >= len(x.Shape) || seen.Has(a) {
			return nil, fmt.Errorf("index axes %v do not fit shape %v", axes, x.Shape)
		}
		seen |= 1 << a
	}
	for i, n := range sizes {
		if n < 0 || n > x.Shape[i] && idx[0].Shape.Size() > 0 {
			return nil, fmt.Errorf("a window of size %d does not fit axis %d of shape %v", n, i, x.Shape)
		}
	}
	return idx[0].Shape, nil
}

// Infer joins the shape of the indices and the window.
func (p Gather) Infer(in []Spec) ([]Spec, error) {
	sizes := p.Sizes.List()
	s, err := windows(in[0], in[1:], p.Axes, sizes)
	if err != nil {
		return nil, err
	}
	return []Spec{{append(slices.Clone(s), sizes...), in[0].DType}}, nil
}

// Infer keeps the spec of x.
func (p Scatter) Infer(in []Spec) ([]Spec, error) {
	last := len(in) - 1
	if last < 2 {
		return nil, errors.New("needs indices and updates")
	}
	u, k := in[last], len(in[1].Shape)
	if u.DType != in[0].DType {
		return nil, fmt.Errorf("updates are %v, the array %v", u.DType, in[0].DType)
	}
	if len(u.Shape) < k || !slices.Equal(u.Shape[:k], in[1].Shape) {
		return nil, fmt.Errorf("updates %v do not begin with the indices' shape %v", u.Shape, in[1].Shape)
	}
	if _, err := windows(in[0], in[1:last], p.Axes, u.Shape[k:]); err != nil {
		return nil, err
	}
	return same(in)
}

// along checks that indices fit x but for the axis.
func along(axis int, x, idx Spec) error {
	if !idx.DType.Is(dtype.Integer) {
		return fmt.Errorf("indices are %v, not integers", idx.DType)
	}
	ok := len(x.Shape) == len(idx.Shape) && axis >= 0 && axis < len(x.Shape)
	for i := 0; ok && i < len(x.Shape); i++ {
		ok = i == axis || x.Shape[i] == idx.Shape[i]
	}
	if !ok {
		return fmt.Errorf("indices of shape %v do not fit %v along axis %d", idx.Shape, x.Shape, axis)
	}
	if x.Shape[axis] == 0 && idx.Shape.Size() > 0 {
		return errors.New("cannot index an empty axis")
	}
	return nil
}

// Infer has the shape of the indices.
func (p GatherAxis) Infer(in []Spec) ([]Spec, error) {
	if err := along(p.Axis, in[0], in[1]); err != nil {
		return nil, err
	}
	return []Spec{{in[1].Shape, in[0].DType}}, nil
}

// Infer keeps the spec of x.
func (p ScatterAxis) Infer(in []Spec) ([]Spec, error) {
	if err := along(p.Axis, in[0], in[1]); err != nil {
		return nil, err
	}
	if !in[2].Equal(Spec{in[1].Shape, in[0].DType}) {
		return nil, fmt.Errorf("updates %v do not fit indices %v", in[2], in[1])
	}
	if p.Op > ScatterSum {
		return nil, fmt.Errorf("%v has no form along an axis", p.Op)
	}
	return same(in)
}

// Infer keeps the spec of x.
func (p SliceUpdate) Infer(in []Spec) ([]Spec, error) {
	s, err := p.part().Infer(in[:1])
	if err != nil {
		return nil, err
	}
	if !s[0].Equal(in[1]) {
		return nil, fmt.Errorf("the update is %v, the slice %v", in[1], s[0])
	}
	return same(in)
}

// ---- ops ----

// alongAxes are the broadcast shapes of arrays of equal rank but for the axis,
// where each keeps its own size.
func alongAxes(op string, axis int, s Stream, as ...*Array) []*Array {
	common := Shape{}
	for i, a := range as {
		sh := slices.Clone(SpecOf(a).Shape)
		sh[axis] = 1
		if i == 0 {
			common = sh
		} else {
			common = BroadcastShapes(op, common, sh)
		}
	}
	out := make([]*Array, len(as))
	for i, a := range as {
		t := slices.Clone(common)
		t[axis] = SpecOf(a).Shape[axis]
		out[i] = fit(a, t, s)
	}
	return out
}

// TakeAlongAxis picks x[.., indices[.., j, ..], ..]; the other axes broadcast.
func TakeAlongAxis(x, indices *Array, axis int, s Stream) *Array {
	axis = sameRank("take_along_axis", x, indices, axis)
	as := alongAxes("take_along_axis", axis, s, x, indices)
	return Apply1(GatherAxis{axis}, s, as...)
}

// PutAlongAxis is x with x[.., indices[.., j, ..], ..] combined with v by op; v
// is an array or a number, takes x's dtype and broadcasts to the indices, and
// both to x but for the axis.
func PutAlongAxis(op ScatterOp, x, indices *Array, v any, axis int, s Stream) *Array {
	axis = sameRank("put_along_axis", x, indices, axis)
	values := dropLeading(valueFor("put_along_axis", x, v, s), x.NDim(), s)
	t := BroadcastShapes("put_along_axis", SpecOf(indices).Shape, SpecOf(values).Shape)
	as := alongAxes("put_along_axis", axis, s, x, fit(indices, t, s), fit(values, t, s))
	return Apply1(ScatterAxis{axis, op}, s, as...)
}

func sameRank(op string, x, indices *Array, axis int) int {
	axis = NormAxis(op, axis, SpecOf(x).Shape)
	if x.NDim() != indices.NDim() {
		Throw(op, []Spec{SpecOf(x), SpecOf(indices)}, "indices with %d axes for an array with %d", indices.NDim(), x.NDim())
	}
	return axis
}

// dropLeading drops leading axes of size 1 until at most n are left.
func dropLeading(a *Array, n int, s Stream) *Array {
	sh := SpecOf(a).Shape
	for len(sh) > n && sh[0] == 1 {
		sh = sh[1:]
	}
	return ReshapeTo(a, sh, s)
}

// TakeOf picks slices of x along axis: the axis becomes the axes of ids.
func TakeOf(x, ids *Array, axis int, s Stream) *Array {
	if axis == 0 {
		return TakeRows(x, ids, s)
	}
	sizes := slices.Clone(SpecOf(x).Shape)
	sizes[axis] = 1
	out := Apply1(Gather{MakeInts(axis), MakeInts(sizes...)}, s, x, ids)
	k := ids.NDim()
	shape := slices.Clone(SpecOf(out).Shape)
	return place(ReshapeTo(out, slices.Delete(shape, k+axis, k+axis+1), s), k, axis, s)
}

// place moves the first k axes of a behind the next at ones.
func place(a *Array, k, at int, s Stream) *Array {
	if k == 0 || at == 0 {
		return a
	}
	perm := make([]int, 0, a.NDim())
	for i := range at {
		perm = append(perm, k+i)
	}
	for i := range k {
		perm = append(perm, i)
	}
	for i := k + at; i < a.NDim(); i++ {
		perm = append(perm, i)
	}
	return Apply1(Transpose{MakeInts(perm...)}, s, a)
}

// TakeRows gathers along axis 0.
func TakeRows(table, ids *Array, s Stream) *Array { return Apply1(Take{}, s, table, ids) }

// starts are the elements of a vector of indices, one scalar for each axis.
func starts(op string, x, start *Array, axes []int, s Stream) (ids []*Array, at Ints) {
	sp := SpecOf(start)
	if len(sp.Shape) > 1 || sp.Shape.Size() != len(axes) || !sp.DType.Is(dtype.Integer) || len(axes) == 0 {
		Throw(op, []Spec{SpecOf(x), sp}, "the start must be %d integers, one for each of axes %v", len(axes), axes)
	}
	flat := ReshapeTo(start, []int{len(axes)}, s)
	norm := make([]int, len(axes))
	for i, a := range axes {
		norm[i] = NormAxis(op, a, SpecOf(x).Shape)
		ids = append(ids, ReshapeTo(SliceAxis(flat, 0, i, i+1, s), nil, s))
	}
	return ids, MakeInts(norm...)
}

// DynamicSlice is the window of that size that begins at start on axes, at 0 on others.
func DynamicSlice(x, start *Array, axes, size []int, s Stream) *Array {
	ids, at := starts("slice", x, start, axes, s)
	return Apply1(Gather{at, MakeInts(size...)}, s, append([]*Array{x}, ids...)...)
}

// DynamicSliceUpdate is x with update in the window that begins at start on axes.
func DynamicSliceUpdate(x, update, start *Array, axes []int, s Stream) *Array {
	ids, at := starts("slice_update", x, start, axes, s)
	in := append(append([]*Array{x}, ids...), AsType(update, x.DType(), s))
	return Apply1(Scatter{at, ScatterSet}, s, in...)
}
