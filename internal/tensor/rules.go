package tensor

import "slices"

// What transformations ask of a primitive. Rules build graphs with the ops of
// this package, on stream s, where the op itself ran; so they can be
// differentiated and vectorized again.
type (
	// A Differentiable gives the cotangents of its inputs from those of its results,
	// each of its input's spec, nil for those that need none (need[i] is false) or
	// have none. Cotangents of results that nobody used are zeros. Complex values
	// follow MLX: the transposed Jacobian, not its conjugate.
	Differentiable interface {
		VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array
	}
	// A Linearizable gives the tangents of its results from those of its inputs, nil
	// for inputs that do not vary. Without it the VJP rule is applied twice.
	Linearizable interface {
		JVP(s Stream, in, out, tangent []*Array) []*Array
	}
	// A Vectorizable applies itself to arrays with one more axis: axes[i] is the
	// place of the mapped axis in in[i], or Unmapped; at least one is mapped. All
	// mapped axes have one size. It returns where the results have theirs. Elementwise
	// ops need no rule.
	Vectorizable interface {
		Vmap(s Stream, in []*Array, axes []int) (out []*Array, outAxes []int)
	}
	// A Composite is a fused op that can also be written as a graph: what has no rule
	// of its own goes through it.
	Composite interface {
		Fallback(s Stream, in []*Array) []*Array
	}
	// A Forwarder's result i is its input Forwards()+i: a mark in the graph that
	// computes nothing. Compiling drops it.
	Forwarder interface{ Forwards() int }
)

// Unmapped is the axis of an input that vmap does not map.
const Unmapped = -1 << 31

// MappedSize is the size of the mapped axis.
func MappedSize(in []*Array, axes []int) int {
	for i, a := range axes {
		if a != Unmapped {
			return SpecOf(in[i]).Shape[a]
		}
	}
	return 1
}

// MoveAxis moves an axis; negative ones count from the end.
func MoveAxis(a *Array, from, to int, s Stream) *Array {
	sh := SpecOf(a).Shape
	from, to = NormAxis("moveaxis", from, sh), NormAxis("moveaxis", to, sh)
	if from == to {
		return a
	}
	perm := make([]int, 0, len(sh))
	for i := range sh {
		if i != from {
			perm = append(perm, i)
		}
	}
	return Apply1(Transpose{MakeInts(slices.Insert(perm, to, from)...)}, s, a)
}

// InFront moves the mapped axis of a to the front, or adds one of size n there.
func InFront(a *Array, axis, n int, s Stream) *Array {
	if axis != Unmapped {
		return MoveAxis(a, axis, 0, s)
	}
	return fit(a, append(Shape{n}, SpecOf(a).Shape...), s)
}

// AllInFront is InFront of every input; unmapped ones are repeated.
func AllInFront(in []*Array, axes []int, s Stream) []*Array {
	n := MappedSize(in, axes)
	out := make([]*Array, len(in))
	for i, a := range in {
		out[i] = InFront(a, axes[i], n, s)
	}
	return out
}

// vmapElementwise maps an op that works index by index: all inputs get the mapped
// axis where the first of them has it.
func vmapElementwise(p Primitive, s Stream, in []*Array, axes []int) ([]*Array, []int) {
	at := slices.IndexFunc(axes, func(a int) bool { return a != Unmapped })
	axis, n := axes[at], MappedSize(in, axes)
	all := make([]*Array, len(in))
	for i, a := range in {
		if axes[i] != Unmapped {
			all[i] = MoveAxis(a, axes[i], axis, s)
			continue
		}
		shape := slices.Insert(slices.Clone(SpecOf(a).Shape), axis, n)
		all[i] = fit(ExpandDims(a, []int{axis}, s), shape, s)
	}
	outs := Apply(p, s, all...)
	return outs, fill(axis, len(outs))
}

func fill(v, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = v
	}
	return out
}

// front is a rule's answer when the results have the mapped axis in front.
func front(out ...*Array) ([]*Array, []int) { return out, make([]int, len(out)) }

// VmapOf applies p to mapped inputs by its rule; ok is false if it has none.
func VmapOf(p Primitive, s Stream, in []*Array, axes []int) (out []*Array, outAxes []int, ok bool) {
	switch r := p.(type) {
	case Vectorizable:
		out, outAxes = r.Vmap(s, in, axes)
	case Elementwise:
		out, outAxes = vmapElementwise(p, s, in, axes)
	default:
		return nil, nil, false
	}
	return out, outAxes, true
}

// ZerosLike is zeros of a's spec.
func ZerosLike(a *Array, s Stream) *Array { return filled(a, 0, s) }

// OnesLike is ones of a's spec.
func OnesLike(a *Array, s Stream) *Array { return filled(a, 1, s) }

// filled repeats v to a's spec without memory for the repetition.
func filled(a *Array, v float64, s Stream) *Array {
	return fit(FloatScalar(v, a.DType(), s), SpecOf(a).Shape, s)
}

// grads is the answer of a rule with one result: f(i) for the inputs that need it.
func grads(need []bool, f func(i int) *Array) []*Array {
	out := make([]*Array, len(need))
	for i, n := range need {
		if n {
			out[i] = f(i)
		}
	}
	return out
}

// VmapLoop maps p by doing it for one slice after the other: the rule of ops that
// cannot do many at once.
func VmapLoop(p Primitive, s Stream, in []*Array, axes []int) ([]*Array, []int) {
	n := MappedSize(in, axes)
	slice := func(k int) []*Array {
		one := make([]*Array, len(in))
		for i, a := range in {
			one[i] = a
			if axes[i] != Unmapped {
				one[i] = Squeeze(SliceAxis(a, axes[i], k, k+1, s), []int{axes[i]}, s)
			}
		}
		return one
	}
	if n == 0 {
		return front(noSlices(p, s, in, axes)...)
	}
	var parts [][]*Array
	for k := range n {
		for i, y := range Apply(p, s, slice(k)...) {
			if k == 0 {
				parts = append(parts, nil)
			}
			parts[i] = append(parts[i], ExpandDims(y, []int{0}, s))
		}
	}
	out := make([]*Array, len(parts))
	for i, ys := range parts {
		out[i] = ConcatenateOf(ys, 0, s)
	}
	return front(out...)
}

// noSlices is the results of mapping p over an axis of size 0.
func noSlices(p Primitive, s Stream, in []*Array, axes []int) []*Array {
	one := make([]Spec, len(in))
	for i, a := range in {
		one[i] = SpecOf(a)
		if axes[i] != Unmapped {
			one[i].Shape = slices.Delete(slices.Clone(one[i].Shape), axes[i], axes[i]+1)
		}
	}
	specs, err := p.Infer(one)
	if err != nil {
		Throw(p.Name(), one, "%v", err)
	}
	out := make([]*Array, len(specs))
	for i, spec := range specs {
		out[i] = fit(FloatScalar(0, spec.DType, s), append(Shape{0}, spec.Shape...), s)
	}
	return out
}
