package tensor

import (
	"fmt"
	"slices"
)

// Primitives that rearrange: views where the layout allows it.
type (
	// Copy is the identity; tracers and On are Copies.
	Copy struct{}
	// Contiguous is a row-major copy.
	Contiguous struct{}
	// Broadcast repeats axes of size 1 and adds leading axes.
	Broadcast struct{ Shape Ints }
	// Reshape gives the row-major elements another shape. Free is 1 + the axis that
	// was asked for as -1, or 0: for compiled functions, whose sizes may change.
	Reshape struct {
		Shape Ints
		Free  int
	}
	// Transpose permutes the axes.
	Transpose struct{ Perm Ints }
	// Slice takes Start, Start+Step, ... before Stop of each axis; for a negative
	// Step, Stop is below Start and may be -1.
	Slice struct{ Start, Stop, Step Ints }
	// Pad adds Low and High elements of input 1 (a scalar) around input 0.
	Pad struct{ Low, High Ints }
	// Concatenate joins inputs of one dtype along Axis.
	Concatenate struct{ Axis int }
)

func (Copy) Name() string        { return "copy" }
func (Contiguous) Name() string  { return "contiguous" }
func (Broadcast) Name() string   { return "broadcast_to" }
func (Reshape) Name() string     { return "reshape" }
func (Transpose) Name() string   { return "transpose" }
func (Slice) Name() string       { return "slice" }
func (Pad) Name() string         { return "pad" }
func (Concatenate) Name() string { return "concatenate" }

// String shows the shape as it was asked for.
func (p Reshape) String() string {
	t := p.Shape.List()
	if p.Free > 0 {
		t[p.Free-1] = -1
	}
	return fmt.Sprintf("{Shape:%v}", t)
}

// same is the inference of ops that keep the spec of their first input.
func same(in []Spec) ([]Spec, error) { return []Spec{in[0]}, nil }

// Infer keeps the spec.
func (Copy) Infer(in []Spec) ([]Spec, error) { return same(in) }

// Infer keeps the spec.
func (Contiguous) Infer(in []Spec) ([]Spec, error) { return same(in) }

// Infer checks that the shape can be broadcast.
func (p Broadcast) Infer(in []Spec) ([]Spec, error) {
	t, s := Shape(p.Shape.List()), in[0].Shape
	ok := len(t) >= len(s)
	for i := 0; ok && i < len(s); i++ {
		ok = s[i] == t[len(t)-len(s)+i] || s[i] == 1
	}
	if !ok {
		return nil, fmt.Errorf("shape %v cannot be broadcast to %v", s, t)
	}
	return []Spec{{t, in[0].DType}}, nil
}

// Infer checks the number of elements.
func (p Reshape) Infer(in []Spec) ([]Spec, error) {
	t := Shape(p.Shape.List())
	if t.Size() != in[0].Shape.Size() {
		return nil, fmt.Errorf("cannot reshape an array of size %d into shape %v", in[0].Shape.Size(), t)
	}
	return []Spec{{t, in[0].DType}}, nil
}

// Infer permutes the shape.
func (p Transpose) Infer(in []Spec) ([]Spec, error) {
	n := p.Perm.Len()
	if n != len(in[0].Shape) {
		return nil, fmt.Errorf("%d axes for an array with %d", n, len(in[0].Shape))
	}
	var seen AxisSet
	for i := range n {
		if a := p.Perm.At(i); a < 0 || a >= n || seen.Has(a) {
			return nil, fmt.Errorf("axes %v are not a permutation", p.Perm)
		} else {
			seen |= 1 << a
		}
	}
	s := make(Shape, n)
	for i := range s {
		s[i] = in[0].Shape[p.Perm.At(i)]
	}
	return []Spec{{s, in[0].DType}}, nil
}

// Infer counts the steps of each axis.
func (p Slice) Infer(in []Spec) ([]Spec, error) {
	s := slices.Clone(in[0].Shape)
	if p.Start.Len() != len(s) || p.Stop.Len() != len(s) || p.Step.Len() != len(s) {
		return nil, fmt.Errorf("slice of %d axes for an array with %d", p.Start.Len(), len(s))
	}
	for i := range s {
		lo, hi, step := p.Start.At(i), p.Stop.At(i), p.Step.At(i)
		n := 0
		switch {
		case step > 0 && hi > lo:
			n = (hi-lo-1)/step + 1
		case step < 0 && hi < lo:
			n = (hi-lo+1)/step + 1
		case step == 0:
			return nil, fmt.Errorf("slice step 0 on axis %d", i)
		}
		if n > 0 && (lo < 0 || lo >= s[i] || lo+(n-1)*step < 0 || lo+(n-1)*step >= s[i]) {
			return nil, fmt.Errorf("slice %d:%d:%d leaves axis %d of size %d", lo, hi, step, i, s[i])
		}
		s[i] = n
	}
	return []Spec{{s, in[0].DType}}, nil
}

// Infer adds the widths.
func (p Pad) Infer(in []Spec) ([]Spec, error) {
	s := slices.Clone(in[0].Shape)
	if p.Low.Len() != len(s) || p.High.Len() != len(s) {
		return nil, fmt.Errorf("%d pad widths for %d axes", p.Low.Len(), len(s))
	}
	if in[1].DType != in[0].DType || len(in[1].Shape) != 0 {
		return nil, fmt.Errorf("the pad value is %v, not a scalar of %v", in[1], in[0].DType)
	}
	for i := range s {
		if lo, hi := p.Low.At(i), p.High.At(i); lo < 0 || hi < 0 || lo > maxBytes || hi > maxBytes {
			return nil, fmt.Errorf("pad widths %d and %d on axis %d are negative or too large", lo, hi, i)
		}
		s[i] += p.Low.At(i) + p.High.At(i)
	}
	return []Spec{{s, in[0].DType}}, nil
}

// Infer adds the sizes along the axis.
func (p Concatenate) Infer(in []Spec) ([]Spec, error) {
	s := slices.Clone(in[0].Shape)
	if p.Axis < 0 || p.Axis >= len(s) {
		return nil, fmt.Errorf("axis %d is out of range for shape %v", p.Axis, s)
	}
	for _, x := range in[1:] {
		if len(x.Shape) != len(s) || x.DType != in[0].DType {
			return nil, fmt.Errorf("%v does not fit %v", x, in[0])
		}
		for i, d := range x.Shape {
			if i != p.Axis && d != s[i] {
				return nil, fmt.Errorf("shapes %v and %v differ outside axis %d", in[0].Shape, x.Shape, p.Axis)
			}
		}
		s[p.Axis] += x.Shape[p.Axis]
	}
	return []Spec{{s, in[0].DType}}, nil
}

// View is the input.
func (Copy) View(v View) (View, bool) { return v, true }

// View repeats with stride 0.
func (p Broadcast) View(v View) (View, bool) {
	t := Shape(p.Shape.List())
	st := make([]int, len(t))
	d := len(t) - len(v.Shape)
	for i := range v.Shape {
		if v.Shape[i] == t[d+i] {
			st[d+i] = v.Strides[i]
		}
	}
	return View{Spec{t, v.DType}, st, v.Buf, v.Offset}, true
}

// View splits and merges axes where the strides allow it.
func (p Reshape) View(v View) (View, bool) {
	t := Shape(p.Shape.List())
	spec := Spec{t, v.DType}
	if v.Contiguous() {
		return View{spec, ContiguousStrides(t), v.Buf, v.Offset}, true
	}
	st, ok := reshapeStrides(v.Shape, v.Strides, t)
	return View{spec, st, v.Buf, v.Offset}, ok
}

// View permutes the strides.
func (p Transpose) View(v View) (View, bool) {
	n := len(v.Shape)
	s, st := make(Shape, n), make([]int, n)
	for i := range s {
		s[i], st[i] = v.Shape[p.Perm.At(i)], v.Strides[p.Perm.At(i)]
	}
	return View{Spec{s, v.DType}, st, v.Buf, v.Offset}, true
}

// View moves the offset and multiplies the strides.
func (p Slice) View(v View) (View, bool) {
	out, err := p.Infer([]Spec{v.Spec})
	if err != nil {
		return View{}, false
	}
	st := make([]int, len(v.Strides))
	off := 0
	for i, x := range v.Strides {
		st[i] = x * p.Step.At(i)
		if out[0].Shape[i] > 0 {
			off += p.Start.At(i) * x
		}
	}
	if out[0].Shape.Size() == 0 {
		off = 0
	}
	return View{out[0], st, v.Buf, v.Offset + off*v.DType.Size()}, true
}

// reshapeStrides finds strides for shape t over the elements of a strided array:
// it pairs the smallest groups of axes of equal size, and each old group must be
// mergeable into one axis.
func reshapeStrides(s, st, t []int) ([]int, bool) {
	out := make([]int, len(t))
	if Shape(s).Size() == 0 {
		return ContiguousStrides(t), true
	}
	i, j := 0, 0
	for i < len(s) || j < len(t) {
		i0, j0, ns, nt := i, j, 1, 1
		if i < len(s) {
			ns, i = s[i], i+1
		}
		if j < len(t) {
			nt, j = t[j], j+1
		}
		for ns != nt {
			switch {
			case ns < nt && i < len(s):
				ns, i = ns*s[i], i+1
			case ns > nt && j < len(t):
				nt, j = nt*t[j], j+1
			default:
				return nil, false
			}
		}
		base, ok := mergedStride(s[i0:i], st[i0:i])
		if !ok {
			return nil, false
		}
		for k := j - 1; k >= j0; k-- {
			out[k] = base
			base *= t[k]
		}
	}
	return out, true
}

// mergedStride is the stride of a group of axes as one axis.
func mergedStride(s, st []int) (base int, ok bool) {
	base = 1
	prev := -1
	for k := len(s) - 1; k >= 0; k-- {
		if s[k] == 1 {
			continue
		}
		if prev >= 0 && st[k] != st[prev]*s[prev] {
			return 0, false
		}
		if prev < 0 {
			base = st[k]
		}
		prev = k
	}
	return base, true
}

// ---- ops ----

// CopyOf is a row-major copy of a.
func CopyOf(a *Array, s Stream) *Array { return Apply1(Contiguous{}, s, a) }

// BroadcastTo repeats a to shape.
func BroadcastTo(a *Array, shape Shape, s Stream) *Array {
	if slices.Equal(SpecOf(a).Shape, shape) && !s.set {
		return a
	}
	return Apply1(Broadcast{MakeInts(shape...)}, s, a)
}

// canBroadcast reports whether two shapes can be broadcast.
func canBroadcast(a, b Shape) bool {
	for i, j := len(a)-1, len(b)-1; i >= 0 && j >= 0; i, j = i-1, j-1 {
		if a[i] != b[j] && a[i] != 1 && b[j] != 1 {
			return false
		}
	}
	return true
}

// BroadcastShapes is the shape that a and b are broadcast to.
func BroadcastShapes(op string, a, b Shape) Shape {
	if len(a) < len(b) {
		a, b = b, a
	}
	s := slices.Clone(a)
	for i := range b {
		j := len(a) - len(b) + i
		switch {
		case b[i] == s[j] || b[i] == 1:
		case s[j] == 1:
			s[j] = b[i]
		default:
			Throw(op, nil, "shapes %v and %v cannot be broadcast", a, b)
		}
	}
	return s
}

// ReshapeTo gives a another shape; one dim may be -1.
func ReshapeTo(a *Array, dims []int, s Stream) *Array {
	t := append(Shape(nil), dims...)
	n, wild := 1, -1
	for i, d := range t {
		switch {
		case d == -1 && wild < 0:
			wild = i
		case d < 0:
			Throw("reshape", []Spec{SpecOf(a)}, "shape %v is not a shape", t)
		default:
			n *= d
		}
	}
	if wild >= 0 {
		if n == 0 || a.Size()%n != 0 {
			Throw("reshape", []Spec{SpecOf(a)}, "cannot reshape an array of size %d into shape %v", a.Size(), t)
		}
		t[wild] = a.Size() / n
	}
	if slices.Equal(SpecOf(a).Shape, t) && !s.set {
		return a
	}
	return Apply1(Reshape{MakeInts(t...), wild + 1}, s, a)
}

// TransposeTo permutes the axes; negative ones count from the end.
func TransposeTo(a *Array, perm []int, s Stream) *Array {
	p := make([]int, len(perm))
	for i, x := range perm {
		p[i] = NormAxis("transpose", x, SpecOf(a).Shape)
	}
	return Apply1(Transpose{MakeInts(p...)}, s, a)
}

// SwapAxes exchanges axes i and j.
func SwapAxes(a *Array, i, j int, s Stream) *Array {
	sh := SpecOf(a).Shape
	i, j = NormAxis("swapaxes", i, sh), NormAxis("swapaxes", j, sh)
	p := make([]int, len(sh))
	for k := range p {
		p[k] = k
	}
	p[i], p[j] = j, i
	return Apply1(Transpose{MakeInts(p...)}, s, a)
}

// ExpandDims adds axes of size 1 at these places of the result.
func ExpandDims(a *Array, axes []int, s Stream) *Array {
	sh := SpecOf(a).Shape
	n := len(sh) + len(axes)
	if n > maxRank {
		Throw("expand_dims", []Spec{SpecOf(a)}, "%d axes are more than %d", n, maxRank)
	}
	var at AxisSet
	for _, x := range axes {
		if x < 0 {
			x += n
		}
		if x < 0 || x >= n || at.Has(x) {
			Throw("expand_dims", []Spec{SpecOf(a)}, "axes %v are not distinct axes of a result with %d", axes, n)
		}
		at |= 1 << x
	}
	t := make(Shape, 0, n)
	for i, k := 0, 0; i < n; i++ {
		if at.Has(i) {
			t = append(t, 1)
		} else {
			t = append(t, sh[k])
			k++
		}
	}
	return ReshapeTo(a, t, s)
}

// Squeeze drops axes of size 1, all of them if none is given.
func Squeeze(a *Array, axes []int, s Stream) *Array {
	sh := SpecOf(a).Shape
	var drop AxisSet
	for _, x := range axes {
		x = NormAxis("squeeze", x, sh)
		if sh[x] != 1 {
			Throw("squeeze", []Spec{SpecOf(a)}, "axis %d has size %d, not 1", x, sh[x])
		}
		drop |= 1 << x
	}
	var t Shape
	for i, d := range sh {
		if !(drop.Has(i) || len(axes) == 0 && d == 1) {
			t = append(t, d)
		}
	}
	return ReshapeTo(a, t, s)
}

// SliceAxis takes [start, stop) of one axis.
func SliceAxis(a *Array, axis, start, stop int, s Stream) *Array {
	sh := SpecOf(a).Shape
	axis = NormAxis("slice", axis, sh)
	lo, hi, step := make([]int, len(sh)), slices.Clone(sh), make([]int, len(sh))
	for i := range step {
		step[i] = 1
	}
	lo[axis], hi[axis] = start, stop
	return Apply1(Slice{MakeInts(lo...), MakeInts(hi...), MakeInts(step...)}, s, a)
}

// PadWith adds low[i] and high[i] elements of value around axis i.
func PadWith(a *Array, low, high []int, value float64, s Stream) *Array {
	v := FloatScalar(value, a.DType(), s)
	return Apply1(Pad{MakeInts(low...), MakeInts(high...)}, s, a, v)
}

// ConcatenateOf joins arrays along axis, in their common dtype.
func ConcatenateOf(as []*Array, axis int, s Stream) *Array {
	if len(as) == 0 {
		Throw("concatenate", nil, "no arrays")
	}
	axis = NormAxis("concatenate", axis, SpecOf(as[0]).Shape)
	d := as[0].DType()
	for _, a := range as[1:] {
		d = promote(d, a.DType())
	}
	in := make([]*Array, len(as))
	for i, a := range as {
		in[i] = AsType(a, d, s)
	}
	return Apply1(Concatenate{axis}, s, in...)
}
