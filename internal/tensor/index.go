package tensor

import (
	"fmt"
	"math"
	"reflect"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Span is a Python slice: start:stop:step. The zero Span is ":".
type Span struct {
	start, stop, step int
	has               uint8
}

const (
	hasStart uint8 = 1 << iota
	hasStop
	hasStep
)

type (
	newAxis  struct{}
	ellipsis struct{}
)

// The index expressions that are no numbers.
var (
	Colon    Span     // :
	NewAxis  newAxis  // None, mx.newaxis
	Ellipsis ellipsis // ...
)

// Range is start:stop.
func Range(start, stop int) Span { return Span{start, stop, 0, hasStart | hasStop} }

// From is start: (to the end).
func From(start int) Span { return Span{start, 0, 0, hasStart} }

// To is :stop.
func To(stop int) Span { return Span{0, stop, 0, hasStop} }

// StepBy is ::n; StepBy(-1) reverses.
func StepBy(n int) Span { return Span{0, 0, n, hasStep} }

// By is s with a step: From(1).By(2) is 1::2, Range(5, 1).By(-2) is 5:1:-2.
func (s Span) By(step int) Span {
	s.step, s.has = step, s.has|hasStep
	return s
}

// String is the slice in Python.
func (s Span) String() string {
	part := func(bit uint8, v int) string {
		if s.has&bit == 0 {
			return ""
		}
		return fmt.Sprint(v)
	}
	t := part(hasStart, s.start) + ":" + part(hasStop, s.stop)
	if s.has&hasStep != 0 {
		t += ":" + part(hasStep, s.step)
	}
	return t
}

// of is the slice of an axis of n elements, as Slice takes it: out of range is cut.
func (s Span) of(n int) (start, stop, step, count int) {
	step = 1
	if s.has&hasStep != 0 {
		step = s.step
	}
	low, high := 0, n // what start and stop are cut to
	start, stop = 0, n
	if step < 0 {
		low, high = -1, n-1
		start, stop = n-1, -1
	}
	cut := func(v int) int {
		if v < 0 {
			v = max(v, -n-1) + n
		}
		return min(max(v, low), high)
	}
	if s.has&hasStart != 0 {
		start = cut(s.start)
	}
	if s.has&hasStop != 0 {
		stop = cut(s.stop)
	}
	switch {
	case step > 0 && stop > start:
		count = (stop-start-1)/step + 1
	case step < 0 && stop < start:
		count = int(uint(start-stop-1)/-uint(step)) + 1 // -step may overflow an int
	}
	if count == 0 {
		start, stop = 0, 0
		step = 1
	} else if count == 1 { // a step that leaves the axis says no more
		step = 1
		stop = start + 1
	}
	return start, stop, step, count
}

// A selection is a[ix...] taken apart: a Slice of a, a reshape to shape that drops
// the axes of ints and adds new ones, and index arrays for some axes of that.
type selection struct {
	start, stop, step []int // of the axes of a
	sliced, shape     Shape
	whole             bool // the slice is all of a
	axes              []int
	arrays            []*Array // of one shape
	common            Shape    // that shape
	at                int      // the place of its axes among the others in the result
}

// selector builds a selection.
type selector struct {
	selection
	op     string
	in     Spec
	others int // result axes so far that are not of arrays
	// adv is whether an int or array was met, between whether something else followed.
	adv, between, apart bool
}

// advanced notes an int or array: their axes take the place of the first if nothing
// else lies between them, else they come first, as in NumPy.
func (b *selector) advanced() {
	if !b.adv {
		b.adv, b.at = true, b.others
	}
	b.apart = b.apart || b.between
}

// basic notes a slice or new axis.
func (b *selector) basic(n int) {
	b.between = b.adv
	b.others++
	b.shape = append(b.shape, n)
}

func (b *selector) slice(start, stop, step, count int) {
	b.start, b.stop, b.step, b.sliced = append(b.start, start), append(b.stop, stop), append(b.step, step), append(b.sliced, count)
}

// array indexes an axis of n elements of the reshaped slice.
func (b *selector) array(ids *Array, n int) {
	b.advanced()
	b.axes, b.arrays = append(b.axes, len(b.shape)), append(b.arrays, ids)
	b.shape = append(b.shape, n)
}

// next is the size of the next axis of a.
func (b *selector) next() int { return b.in.Shape[len(b.start)] }

func (b *selector) fail(format string, a ...any) { Throw(b.op, []Spec{b.in}, format, a...) }

// consumes is how many axes an index takes.
func consumes(ix any) int {
	switch x := ix.(type) {
	case newAxis, ellipsis, bool:
		return 0
	case *Array:
		if err := x.unusable(); err == nil && x.DType() == dtype.Bool {
			return x.NDim()
		}
	}
	return 1
}

// pick takes a[ix...] apart.
func pick(op string, a *Array, ix []any) selection {
	b := &selector{op: op, in: SpecOf(a)}
	left, dots := len(b.in.Shape), false
	for _, x := range ix {
		left -= consumes(x)
		if _, ok := x.(ellipsis); ok {
			if dots {
				b.fail("an index has one ellipsis at most")
			}
			dots = true
		}
	}
	if left < 0 {
		b.fail("too many indices for an array with %d axes", len(b.in.Shape))
	}
	if !dots {
		ix = append(slices.Clip(ix), Ellipsis)
	}
	for _, x := range ix {
		b.add(x, left)
	}
	b.finish()
	return b.selection
}

// add takes one index; rest is how many axes an ellipsis stands for.
func (b *selector) add(ix any, rest int) {
	switch x := ix.(type) {
	case ellipsis:
		for range rest {
			b.add(Colon, 0)
		}
	case newAxis:
		b.basic(1)
	case Span:
		if x.has&hasStep != 0 && x.step == 0 {
			b.fail("slice step 0 on axis %d", len(b.start))
		}
		start, stop, step, n := x.of(b.next())
		b.slice(start, stop, step, n)
		b.basic(n)
	case bool:
		b.flag(x)
	case *Array:
		b.addArray(x)
	default:
		b.addInt(ix)
	}
}

// flag is a bool without axes: a new axis of one element, or of none.
func (b *selector) flag(on bool) {
	n := 0
	if on {
		n = 1
	}
	b.array(fit(IntScalar(0, dtype.Int32, Stream{}), Shape{n}, Stream{}), 1)
}

func (b *selector) addInt(ix any) {
	r := reflect.ValueOf(ix)
	var i int
	switch {
	case ix != nil && r.CanInt():
		i = int(r.Int())
	case ix != nil && r.CanUint() && r.Uint() <= math.MaxInt64:
		i = int(r.Uint())
	default:
		b.fail("%T is no index: an int, a Span, NewAxis, Ellipsis, a bool or an *Array", ix)
	}
	n := b.next()
	if i < -n || i >= n {
		b.fail("index %d is out of range for axis %d of size %d", i, len(b.start), n)
	}
	if i < 0 {
		i += n
	}
	b.advanced()
	b.slice(i, i+1, 1, 1)
}

func (b *selector) addArray(x *Array) {
	if err := x.unusable(); err != nil {
		b.fail("an index: %w", err)
	}
	d := x.DType()
	switch {
	case d == dtype.Bool && x.NDim() == 0:
		b.flag(flags(b.op, x)[0])
	case d == dtype.Bool:
		n, sh := 1, SpecOf(x).Shape
		for _, m := range sh {
			if m != b.next() {
				b.fail("a mask of shape %v for axes from %d on", sh, len(b.start))
			}
			b.slice(0, m, 1, m)
			n *= m
		}
		b.array(flatTrue(flags(b.op, x)), n)
	case d.Is(dtype.Integer):
		n := b.next()
		b.slice(0, n, 1, n)
		b.array(x, n)
	default:
		b.fail("an index of %v: only integers and bools are", d)
	}
}

// finish broadcasts the arrays.
func (b *selector) finish() {
	b.whole = slices.Equal(b.sliced, b.in.Shape)
	for i, st := range b.step {
		b.whole = b.whole && (st == 1 || b.sliced[i] == 0)
	}
	if b.apart {
		b.at = 0
	}
	for _, a := range b.arrays {
		b.common = BroadcastShapes(b.op, b.common, SpecOf(a).Shape)
	}
	for i, a := range b.arrays {
		b.arrays[i] = fit(a, b.common, Stream{})
	}
}

// flags reads a mask.
func flags(op string, mask *Array) []bool {
	for _, t := range mask.n.traces {
		if t.Abstract && t.Live() {
			Throw(op, []Spec{SpecOf(mask)}, "a mask is read to know how many elements it picks, and inside compile or vmap it has no values: use where")
		}
	}
	return ToSlice[bool](mask)
}

// flatTrue is the row-major places of what is true.
func flatTrue(on []bool) *Array {
	if len(on) > math.MaxInt32 {
		return FromSlice(trueAt[int64](on))
	}
	return FromSlice(trueAt[int32](on))
}

func trueAt[T int32 | int64](on []bool) (at []T) {
	for i, v := range on {
		if v {
			at = append(at, T(i))
		}
	}
	return at
}

// part is the slice that arrays index, reshaped.
func (p *selection) part(a *Array, s Stream) *Array {
	if !p.whole {
		a = Apply1(Slice{MakeInts(p.start...), MakeInts(p.stop...), MakeInts(p.step...)}, s, a)
	}
	return ReshapeTo(a, p.shape, s)
}

// window is the shape with size 1 on the axes of arrays; rest has none there.
func (p *selection) window() (window, rest Shape) {
	window = slices.Clone(p.shape)
	for i, n := range p.shape {
		if slices.Contains(p.axes, i) {
			window[i] = 1
		} else {
			rest = append(rest, n)
		}
	}
	return window, rest
}

// result is the shape of a[ix...].
func (p *selection) result() Shape {
	_, rest := p.window()
	return slices.Concat(rest[:p.at], p.common, rest[p.at:])
}

func (p *selection) read(a *Array, s Stream) *Array {
	a = p.part(a, s)
	if len(p.arrays) == 0 {
		return a
	}
	window, rest := p.window()
	if len(p.arrays) == 1 && p.axes[0] == 0 {
		return place(TakeRows(a, p.arrays[0], s), len(p.common), p.at, s)
	}
	out := Apply1(Gather{MakeInts(p.axes...), MakeInts(window...)}, s, append([]*Array{a}, p.arrays...)...)
	return place(ReshapeTo(out, slices.Concat(p.common, rest), s), len(p.common), p.at, s)
}

// unplace undoes place.
func unplace(a *Array, k, at int, s Stream) *Array {
	if k == 0 || at == 0 {
		return a
	}
	perm := make([]int, 0, a.NDim())
	for i := range k {
		perm = append(perm, at+i)
	}
	for i := range a.NDim() {
		if i < at || i >= at+k {
			perm = append(perm, i)
		}
	}
	return Apply1(Transpose{MakeInts(perm...)}, s, a)
}

// write is a with v, of result's shape, combined with what was picked.
func (p *selection) write(op ScatterOp, a, v *Array, s Stream) *Array {
	if len(p.arrays) > 0 {
		window, _ := p.window()
		v = ReshapeTo(unplace(v, len(p.common), p.at, s), slices.Concat(p.common, window), s)
		in := append(append([]*Array{p.part(a, s)}, p.arrays...), v)
		v = Apply1(Scatter{MakeInts(p.axes...), op}, s, in...)
	} else if op != ScatterSet {
		v = BinaryOf(atOps[op], p.part(a, s), v, s)
	}
	v = ReshapeTo(v, p.sliced, s)
	if p.whole {
		return v
	}
	return Apply1(SliceUpdate{MakeInts(p.start...), MakeInts(p.stop...), MakeInts(p.step...)}, s, a, v)
}

// Index is a[ix...]. Each index is an int, a [Span], [NewAxis], [Ellipsis], or
// an *[Array] of integers or bools (as in NumPy; a bool mask reads the chosen
// elements, and evaluates the mask to know how many). A bool, and a mask without
// axes, adds an axis of one element or none. Ints out of range panic; values of
// integer arrays that are out of range are a fault of Eval, and negative ones count
// from the end. Axes of index arrays lie where NumPy puts them: at the first if all
// ints and arrays are neighbours, else in front.
func (a *Array) Index(ix ...any) *Array {
	p := pick("index", a, ix)
	return p.read(a, Stream{})
}
