package tensor

import "slices"

// Count is the number of elements along Axes of its input less Less, at least 0, as a
// scalar. It stands in
// abstract traces alone, where a number would bake in the size; compiling replaces it
// when it knows the shape, so that no backend runs it.
type Count struct {
	Axes  AxisSet
	DType DType
	Less  int
}

// Name is the op's name.
func (Count) Name() string { return "number_of_elements" }

// Infer gives a scalar.
func (p Count) Infer([]Spec) ([]Spec, error) { return []Spec{{nil, p.DType}}, nil }

// Const is the number for an input of shape sh.
func (p Count) Const(sh Shape) Const {
	n := 1
	for i, d := range sh {
		if p.Axes.Has(i) {
			n *= d
		}
	}
	return Const{p.DType, floatBits(float64(max(n-p.Less, 0)), p.DType)}
}

// VJP: a size does not vary.
func (Count) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return []*Array{nil} }

// Vmap counts the same axes behind the mapped one.
func (p Count) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	n := Count{p.Axes << 1, p.DType, p.Less}.of(MoveAxis(in[0], axes[0], 0, s), s)
	return []*Array{n}, []int{Unmapped}
}

// of is the number for a: a constant unless the size of a may change.
func (p Count) of(a *Array, s Stream) *Array {
	if slices.ContainsFunc(a.n.traces, func(t *Trace) bool { return t.Shapeless && t.Live() }) {
		return Apply1(p, s, a)
	}
	return Apply1(p.Const(SpecOf(a).Shape), s)
}
