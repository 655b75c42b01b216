package tensor

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Joining, cutting and repeating, all made of views and copies.

// StackOf joins arrays of one shape along a new axis of the result.
func StackOf(as []*Array, axis int, s Stream) *Array {
	if len(as) == 0 {
		Throw("stack", nil, "no arrays")
	}
	n := as[0].NDim() + 1
	if axis < -n || axis >= n {
		Throw("stack", []Spec{SpecOf(as[0])}, "axis %d is out of range for %d axes", axis, n)
	}
	wide := make([]*Array, len(as))
	for i, a := range as {
		if !slices.Equal(SpecOf(a).Shape, SpecOf(as[0]).Shape) {
			Throw("stack", []Spec{SpecOf(as[0]), SpecOf(a)}, "shapes differ")
		}
		wide[i] = ExpandDims(a, []int{axis}, s)
	}
	return ConcatenateOf(wide, axis, s)
}

// UnstackOf is the slices along an axis, without it.
func UnstackOf(a *Array, axis int, s Stream) []*Array {
	axis = NormAxis("unstack", axis, SpecOf(a).Shape)
	rest := slices.Delete(a.Shape(), axis, axis+1)
	out := make([]*Array, a.Dim(axis))
	for i := range out {
		out[i] = ReshapeTo(SliceAxis(a, axis, i, i+1, s), rest, s)
	}
	return out
}

// SplitAt cuts an axis at indices as slices do: negative ones count from the end,
// those beyond an end are the end, and a part whose end is before its start is empty.
func SplitAt(a *Array, indices []int, axis int, s Stream) []*Array {
	axis = NormAxis("split", axis, SpecOf(a).Shape)
	n, from := a.Dim(axis), 0
	parts := make([]*Array, 0, len(indices)+1)
	for _, to := range append(slices.Clone(indices), n) {
		if to < 0 {
			to += n
		}
		to = min(max(to, 0), n)
		parts = append(parts, SliceAxis(a, axis, from, max(from, to), s))
		from = to
	}
	return parts
}

// SplitInto cuts an axis into equal parts.
func SplitInto(a *Array, sections, axis int, s Stream) []*Array {
	axis = NormAxis("split", axis, SpecOf(a).Shape)
	n := a.Dim(axis)
	if sections <= 0 || n%sections != 0 {
		Throw("split", []Spec{SpecOf(a)}, "axis %d of size %d has no %d equal parts", axis, n, sections)
	}
	at := make([]int, sections-1)
	for i := range at {
		at[i] = (i + 1) * (n / sections)
	}
	return SplitAt(a, at, axis, s)
}

// RepeatOf repeats each element along an axis.
func RepeatOf(a *Array, repeats, axis int, s Stream) *Array {
	axis = NormAxis("repeat", axis, SpecOf(a).Shape)
	if repeats < 0 {
		Throw("repeat", []Spec{SpecOf(a)}, "%d repeats are negative", repeats)
	}
	t := a.Shape()
	wide := slices.Insert(slices.Clone(t), axis+1, repeats)
	t[axis] *= repeats
	return ReshapeTo(BroadcastTo(ExpandDims(a, []int{axis + 1}, s), wide, s), t, s)
}

// TileOf repeats the whole array reps[i] times along axis i; the shorter of shape
// and reps gets leading ones.
func TileOf(a *Array, reps []int, s Stream) *Array {
	sh, r := a.Shape(), slices.Clone(reps)
	for len(sh) < len(r) {
		sh = slices.Insert(sh, 0, 1)
	}
	for len(r) < len(sh) {
		r = slices.Insert(r, 0, 1)
	}
	var thin, wide, t []int
	for i, d := range sh {
		if r[i] < 0 {
			Throw("tile", []Spec{SpecOf(a)}, "%d repeats are negative", r[i])
		}
		t = append(t, d*r[i])
		if r[i] == 1 {
			thin, wide = append(thin, d), append(wide, d)
		} else {
			thin, wide = append(thin, 1, d), append(wide, r[i], d)
		}
	}
	return ReshapeTo(BroadcastTo(ReshapeTo(a, thin, s), wide, s), t, s)
}

// RollOf moves elements along each of the axes by its shift; what leaves one end
// comes in at the other.
func RollOf(a *Array, shifts, axes []int, s Stream) *Array {
	if len(shifts) != len(axes) {
		Throw("roll", []Spec{SpecOf(a)}, "%d shifts for %d axes", len(shifts), len(axes))
	}
	for i, x := range axes {
		x = NormAxis("roll", x, SpecOf(a).Shape)
		n := a.Dim(x)
		if n == 0 {
			continue
		}
		if by := ((shifts[i] % n) + n) % n; by != 0 {
			a = ConcatenateOf([]*Array{SliceAxis(a, x, n-by, n, s), SliceAxis(a, x, 0, n-by, s)}, x, s)
		}
	}
	return a
}

// FlipOf reverses axes; nil stands for all.
func FlipOf(a *Array, axes []int, s Stream) *Array {
	set := NormAxes("flip", axes, SpecOf(a).Shape)
	for i := range a.NDim() {
		if set.Has(i) {
			a = flip(a, i, s)
		}
	}
	return a
}

// FlattenOf makes the axes from start to end one; a scalar becomes a vector.
func FlattenOf(a *Array, start, end int, s Stream) *Array {
	sh := a.Shape()
	if len(sh) == 0 {
		return ReshapeTo(a, []int{1}, s)
	}
	start, end = NormAxis("flatten", start, sh), NormAxis("flatten", end, sh)
	if start > end {
		Throw("flatten", []Spec{SpecOf(a)}, "axis %d is after axis %d", start, end)
	}
	return ReshapeTo(a, slices.Replace(slices.Clone(sh), start, end+1, sh[start:end+1].Size()), s)
}

// UnflattenOf gives an axis a shape; one size may be -1.
func UnflattenOf(a *Array, axis int, shape []int, s Stream) *Array {
	sh := a.Shape()
	axis = NormAxis("unflatten", axis, sh)
	if len(shape) == 0 {
		Throw("unflatten", []Spec{SpecOf(a)}, "the shape has no axes")
	}
	t, n, wild := slices.Clone(shape), 1, -1
	for i, d := range t {
		switch {
		case d == -1 && wild < 0:
			wild = i
		case d < 0:
			Throw("unflatten", []Spec{SpecOf(a)}, "%v is not a shape", Shape(shape))
		default:
			n *= d
		}
	}
	if wild >= 0 && n != 0 {
		t[wild] = sh[axis] / n
		n *= t[wild]
	}
	if n != sh[axis] || wild >= 0 && t[wild] < 0 {
		Throw("unflatten", []Spec{SpecOf(a)}, "axis %d of size %d does not have shape %v", axis, sh[axis], Shape(shape))
	}
	return ReshapeTo(a, slices.Replace(slices.Clone(sh), axis, axis+1, t...), s)
}

// BroadcastAll repeats arrays to their common shape.
func BroadcastAll(op string, as []*Array, s Stream) []*Array {
	var t Shape
	for _, a := range as {
		t = BroadcastShapes(op, t, SpecOf(a).Shape)
	}
	out := make([]*Array, len(as))
	for i, a := range as {
		out[i] = BroadcastTo(a, t, s)
	}
	return out
}

// AtLeast gives a scalar, vector or matrix n axes: a vector becomes a row, and the
// rows or matrix of three axes have a last axis of size 1.
func AtLeast(n int, a *Array, s Stream) *Array {
	sh := SpecOf(a).Shape
	switch {
	case len(sh) >= n:
		return a
	case len(sh) == 0:
		return ReshapeTo(a, fill(1, n), s)
	case n == 2:
		return ReshapeTo(a, []int{1, sh[0]}, s)
	case len(sh) == 1:
		return ReshapeTo(a, []int{1, sh[0], 1}, s)
	}
	return ReshapeTo(a, []int{sh[0], sh[1], 1}, s)
}

// MeshGrid is the coordinates of a grid, one array for each axis; sparse ones keep
// size 1 in the other axes, xy swaps the first two.
func MeshGrid(as []*Array, sparse, xy bool, s Stream) []*Array {
	n := len(as)
	out := make([]*Array, n)
	for i, a := range as {
		at := i
		if xy && i < 2 && n > 1 {
			at = 1 - i
		}
		t := fill(1, n)
		t[at] = a.Size()
		out[i] = ReshapeTo(a, t, s)
	}
	if sparse {
		return out
	}
	return BroadcastAll("meshgrid", out, s)
}

// Kron is the Kronecker product, in the common dtype; the array with fewer axes
// gets leading ones.
func Kron(a, b *Array, s Stream) *Array {
	n := max(a.NDim(), b.NDim())
	lead := func(x *Array) Shape { return append(Shape(fill(1, n-x.NDim())), SpecOf(x).Shape...) }
	x, y := lead(a), lead(b)
	var wide, thin, t []int
	for i := range n {
		wide, thin, t = append(wide, x[i], 1), append(thin, 1, y[i]), append(t, x[i]*y[i])
	}
	return ReshapeTo(s.mul(ReshapeTo(a, wide, s), ReshapeTo(b, thin, s)), t, s)
}

// PadWidths is a width before and after each axis of a.
func PadWidths(a *Array, widths [][2]int) (low, high []int) {
	if len(widths) != a.NDim() {
		Throw("pad", []Spec{SpecOf(a)}, "%d widths for %d axes", len(widths), a.NDim())
	}
	for i, w := range widths {
		if w[0] < 0 || w[1] < 0 {
			Throw("pad", []Spec{SpecOf(a)}, "widths %d and %d of axis %d are negative", w[0], w[1], i)
		}
		low, high = append(low, w[0]), append(high, w[1])
	}
	return low, high
}

// PadOf adds elements around a: mode is constant (value, a number of weak kind),
// edge, reflect (the edge is not repeated) or symmetric (it is).
func PadOf(a *Array, widths [][2]int, mode string, value float64, s Stream) *Array {
	low, high := PadWidths(a, widths)
	switch mode {
	case "constant":
		v := AsType(FloatScalar(value, dtype.Float64, s), a.DType(), s)
		return Apply1(Pad{MakeInts(low...), MakeInts(high...)}, s, a, v)
	case "edge", "reflect", "symmetric":
	default:
		Throw("pad", []Spec{SpecOf(a)}, "mode %q is not constant, edge, reflect or symmetric", mode)
	}
	for i := range low {
		if low[i] > 0 || high[i] > 0 {
			a = padFrom(a, i, low[i], high[i], mode, s)
		}
	}
	return a
}

// padFrom pads one axis with elements of a.
func padFrom(a *Array, axis, low, high int, mode string, s Stream) *Array {
	n := a.Dim(axis)
	if n == 0 {
		Throw("pad", []Spec{SpecOf(a)}, "axis %d is empty: it has no elements for mode %s", axis, mode)
	}
	if mode == "edge" || n == 1 {
		end := func(from, width int) *Array {
			t := a.Shape()
			t[axis] = width
			return BroadcastTo(SliceAxis(a, axis, from, from+1, s), t, s)
		}
		return ConcatenateOf([]*Array{end(0, low), a, end(n-1, high)}, axis, s)
	}
	skip := 0 // elements of the edge that are not repeated
	if mode == "reflect" {
		skip = 1
	}
	for have := n; low > 0; { // a wide margin mirrors what is there again
		w := min(low, have-skip)
		a = ConcatenateOf([]*Array{flip(SliceAxis(a, axis, skip, skip+w, s), axis, s), a}, axis, s)
		low, have = low-w, have+w
	}
	for have := n; high > 0; {
		w, m := min(high, have-skip), a.Dim(axis)-skip
		a = ConcatenateOf([]*Array{a, flip(SliceAxis(a, axis, m-w, m, s), axis, s)}, axis, s)
		high, have = high-w, have+w
	}
	return a
}

// flip reverses an axis.
func flip(a *Array, axis int, s Stream) *Array {
	sh := SpecOf(a).Shape
	lo, hi, step := make([]int, len(sh)), slices.Clone(sh), fill(1, len(sh))
	lo[axis], hi[axis], step[axis] = sh[axis]-1, -1, -1
	return Apply1(Slice{MakeInts(lo...), MakeInts(hi...), MakeInts(step...)}, s, a)
}
