package tensor

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Views of the row-major elements.
type (
	// AsStrided is elements Offset + sum(i*Strides) of the row-major array.
	AsStrided struct {
		Shape, Strides Ints
		Offset         int
	}
	// Bitcast is the same bytes as another dtype; the last axis changes with its size.
	Bitcast struct{ To DType }
	// Packed is row-major, or else column-major if that is allowed.
	Packed struct{ ColumnMajor bool }
)

func (AsStrided) Name() string { return "as_strided" }
func (Bitcast) Name() string   { return "view" }
func (Packed) Name() string    { return "contiguous" }

// Infer checks that all elements lie inside the array.
func (p AsStrided) Infer(in []Spec) ([]Spec, error) {
	t := Shape(p.Shape.List())
	out := Spec{t, in[0].DType}
	if p.Strides.Len() != len(t) {
		return nil, fmt.Errorf("%d strides for %d axes", p.Strides.Len(), len(t))
	}
	if err := checkSize(out); err != nil {
		return nil, err
	}
	lo, hi, n := p.Offset, p.Offset, in[0].Shape.Size()
	for i, d := range t {
		st := p.Strides.At(i)
		if st > maxBytes || st < -maxBytes {
			return nil, fmt.Errorf("stride %d is too large", st)
		}
		end := (d - 1) * st
		lo, hi = lo+min(end, 0), hi+max(end, 0)
	}
	if t.Size() > 0 && (lo < 0 || hi >= n) {
		return nil, fmt.Errorf("elements %d to %d are outside an array of %d", lo, hi, n)
	}
	return []Spec{out}, nil
}

// Infer divides the last axis by the sizes.
func (p Bitcast) Infer(in []Spec) ([]Spec, error) {
	from, to := in[0].DType.Size(), p.To.Size()
	s := slices.Clone(in[0].Shape)
	if from == to {
		return []Spec{{s, p.To}}, nil
	}
	n := len(s) - 1
	if n < 0 {
		return nil, fmt.Errorf("a scalar of %v cannot be viewed as %v", in[0].DType, p.To)
	}
	if s[n]*from%to != 0 {
		return nil, fmt.Errorf("a last axis of %d bytes cannot be viewed as %v", s[n]*from, p.To)
	}
	s[n] = s[n] * from / to
	return []Spec{{s, p.To}}, nil
}

// Infer keeps the spec.
func (Packed) Infer(in []Spec) ([]Spec, error) { return same(in) }

// View has the strides, over row-major elements.
func (p AsStrided) View(v View) (View, bool) {
	if !v.Contiguous() {
		return View{}, false
	}
	out := View{Spec{p.Shape.List(), v.DType}, p.Strides.List(), v.Buf, v.Offset}
	if out.Shape.Size() > 0 {
		out.Offset += p.Offset * v.DType.Size()
	}
	return out, true
}

// View is the same memory.
func (p Bitcast) View(v View) (View, bool) {
	out, err := p.Infer([]Spec{v.Spec})
	if err != nil || !v.Contiguous() || v.Offset%p.To.Size() != 0 {
		return View{}, false
	}
	return View{out[0], ContiguousStrides(out[0].Shape), v.Buf, v.Offset}, true
}

// View is the input if it lies as it should.
func (p Packed) View(v View) (View, bool) {
	return v, v.Contiguous() || p.ColumnMajor && v.ColumnMajor()
}

// ColumnMajor reports whether the first index runs fastest, without gaps.
func (v *View) ColumnMajor() bool {
	n := 1
	for i, d := range v.Shape {
		if d > 1 && v.Strides[i] != n {
			return false
		}
		n *= d
	}
	return true
}

// ---- rules ----

// index is the row-major index of each element of the result.
func (p AsStrided) index(s Stream) *Array {
	n := p.Shape.Len()
	at := IntScalar(int64(p.Offset), dtype.Int64, s)
	for i := range n {
		t := fill(1, n)
		t[i] = p.Shape.At(i)
		step := Apply1(Arange{Start: MakeF64(0), Step: MakeF64(float64(p.Strides.At(i))), N: t[i], DType: dtype.Int64}, s)
		at = s.add(at, ReshapeTo(step, t, s))
	}
	return at
}

// Fallback takes the elements by index.
func (p AsStrided) Fallback(s Stream, in []*Array) []*Array {
	flat := ReshapeTo(in[0], []int{in[0].Size()}, s)
	return []*Array{Apply1(Take{}, s, flat, p.index(s))}
}

// Vmap steps over whole arrays along the mapped axis.
func (p AsStrided) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	x := MoveAxis(in[0], axes[0], 0, s)
	n := x.Dim(0)
	lead := func(v int, rest Ints) Ints { return MakeInts(append([]int{v}, rest.List()...)...) }
	step := 0
	if n > 0 {
		step = x.Size() / n
	}
	return front(Apply1(AsStrided{lead(n, p.Shape), lead(step, p.Strides), p.Offset}, s, x))
}

// VJP: bits do not vary.
func (Bitcast) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return []*Array{nil} }

// Vmap keeps to the last axis; a scalar has its size in bytes still.
func (p Bitcast) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if in[0].NDim() == 1 {
		x := ExpandDims(in[0], []int{1}, s)
		return front(ReshapeTo(Apply1(p, s, x), []int{in[0].Size()}, s))
	}
	return VmapInFront(p, s, in, axes)
}

// VJP is the cotangent.
func (Packed) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return cotan }

// Vmap leaves the mapped axis where it is.
func (p Packed) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return []*Array{Apply1(p, s, in[0])}, axes
}

// ---- ops ----

// AsStridedOf is elements of the row-major a at offset plus multiples of strides.
func AsStridedOf(a *Array, shape, strides []int, offset int, s Stream) *Array {
	return Apply1(AsStrided{MakeInts(shape...), MakeInts(strides...), offset}, s, a)
}

// ViewAs is a's bytes as another dtype.
func ViewAs(a *Array, d DType, s Stream) *Array {
	if a.DType() == d {
		return a
	}
	return Apply1(Bitcast{d}, s, a)
}

// diagonalAt is the start and length of diagonal k of n rows and m columns.
func diagonalAt(n, m, k int) (start, length int) {
	row, col := max(-k, 0), max(k, 0)
	return row*m + col, max(0, min(n-row, m-col))
}

// DiagonalOf is the diagonal of two axes, as the last axis.
func DiagonalOf(a *Array, offset, axis1, axis2 int, s Stream) *Array {
	sh := SpecOf(a).Shape
	if len(sh) < 2 {
		Throw("diagonal", []Spec{SpecOf(a)}, "needs two axes")
	}
	i, j := NormAxis("diagonal", axis1, sh), NormAxis("diagonal", axis2, sh)
	if i == j {
		Throw("diagonal", []Spec{SpecOf(a)}, "axis %d is given twice", i)
	}
	var perm []int
	for k := range sh {
		if k != i && k != j {
			perm = append(perm, k)
		}
	}
	a = Apply1(Transpose{MakeInts(append(perm, i, j)...)}, s, a)
	n, m := sh[i], sh[j]
	start, length := diagonalAt(n, m, offset)
	t := slices.Clone(SpecOf(a).Shape)
	t = append(t[:len(t)-2], n*m)
	a = ReshapeTo(a, t, s)
	lo, hi, step := make([]int, len(t)), slices.Clone(t), fill(1, len(t))
	last := len(t) - 1
	lo[last], step[last] = start, m+1
	hi[last] = start + max(0, (length-1)*(m+1)+1)
	if length == 0 {
		lo[last], hi[last] = 0, 0
	}
	return Apply1(Slice{MakeInts(lo...), MakeInts(hi...), MakeInts(step...)}, s, a)
}

// DiagOf is diagonal k of a matrix, or a matrix with a vector as that diagonal.
func DiagOf(a *Array, k int, s Stream) *Array {
	switch a.NDim() {
	case 1:
		n := a.Size()
		if n == 0 {
			m := max(k, -k)
			return fit(FloatScalar(0, a.DType(), s), Shape{m, m}, s)
		}
		m := n + max(k, -k)
		start, _ := diagonalAt(m, m, k)
		zeros := fit(FloatScalar(0, a.DType(), s), Shape{m * m}, s)
		at := SliceUpdate{MakeInts(start), MakeInts(start + (n-1)*(m+1) + 1), MakeInts(m + 1)}
		return ReshapeTo(Apply1(at, s, zeros, a), []int{m, m}, s)
	case 2:
		return DiagonalOf(a, k, 0, 1, s)
	}
	Throw("diag", []Spec{SpecOf(a)}, "needs a vector or a matrix")
	return nil
}

// TraceOf is the sum of a diagonal, in a's dtype.
func TraceOf(a *Array, offset, axis1, axis2 int, s Stream) *Array {
	return AsType(ReduceOf(OpSum, DiagonalOf(a, offset, axis1, axis2, s), []int{-1}, false, s), a.DType(), s)
}

// below is where column j of row i is at most i+k.
func below(n, m, k int, s Stream) *Array {
	index := func(start, count int) *Array {
		return Apply1(Arange{Start: MakeF64(float64(start)), Step: MakeF64(1), N: count, DType: dtype.Int64}, s)
	}
	return s.is(OpGreaterEqual, ExpandDims(index(k, n), []int{1}, s), index(0, m))
}

// TriOf is ones at and below diagonal k.
func TriOf(n, m, k int, d DType, s Stream) *Array {
	if n < 0 || m < 0 {
		Throw("tri", nil, "shape %v has a negative axis", Shape{n, m})
	}
	return AsType(below(n, m, k, s), d, s)
}

// TrilOf is 0 above diagonal k.
func TrilOf(op string, a *Array, k int, upper bool, s Stream) *Array {
	if a.NDim() < 2 {
		Throw(op, []Spec{SpecOf(a)}, "needs two axes")
	}
	zero := FloatScalar(0, a.DType(), s)
	if upper {
		return Where(below(a.Dim(-2), a.Dim(-1), k-1, s), zero, a, s)
	}
	return Where(below(a.Dim(-2), a.Dim(-1), k, s), a, zero, s)
}

// EyeOf is ones on diagonal k.
func EyeOf(n, m, k int, d DType, s Stream) *Array {
	if n < 0 || m < 0 {
		Throw("eye", nil, "shape %v has a negative axis", Shape{n, m})
	}
	return AsType(s.sub(TriOf(n, m, k, dtype.Int32, s), TriOf(n, m, k-1, dtype.Int32, s)), d, s)
}

// LinspaceOf is num numbers from start to stop, both included, computed in float64.
func LinspaceOf(start, stop float64, num int, d DType, s Stream) *Array {
	if num < 0 {
		Throw("linspace", nil, "%d numbers are negative", num)
	}
	t := s.div(float64Range(num, s), float64(max(num-1, 1)))
	return AsType(s.add(s.mul(s.sub(1, t), start), s.mul(t, stop)), d, s)
}

// float64Range is 0, 1, 2, ... in float64.
func float64Range(n int, s Stream) *Array {
	return Apply1(Arange{Start: MakeF64(0), Step: MakeF64(1), N: n, DType: dtype.Float64}, s)
}

var errWindow = errors.New("a window has no negative size")

// Cosines is the window a[0] - a[1] cos(x) + a[2] cos(2x) - ... of m points, x from
// 0 to 2 pi: float32, computed in float64.
func Cosines(op string, m int, s Stream, coefficients ...float64) *Array {
	if m < 0 {
		Throw(op, nil, "%v: %d", errWindow, m)
	}
	if m == 1 {
		return fit(FloatScalar(1, dtype.Float32, s), Shape{1}, s)
	}
	x := s.mul(s.div(float64Range(m, s), float64(max(m-1, 1))), 2*math.Pi)
	w := fit(FloatScalar(coefficients[0], dtype.Float64, s), Shape{m}, s)
	for k, c := range coefficients[1:] {
		if k%2 == 0 {
			c = -c
		}
		w = s.add(w, s.mul(s.do(OpCos, s.mul(x, float64(k+1))), c))
	}
	return AsType(w, dtype.Float32, s)
}

// Bartlett is the triangular window of m points.
func Bartlett(m int, s Stream) *Array {
	if m < 0 {
		Throw("bartlett", nil, "%v: %d", errWindow, m)
	}
	if m == 1 {
		return fit(FloatScalar(1, dtype.Float32, s), Shape{1}, s)
	}
	x := s.sub(s.div(s.mul(float64Range(m, s), 2), float64(max(m-1, 1))), 1)
	return AsType(s.sub(1, s.do(OpAbs, x)), dtype.Float32, s)
}
