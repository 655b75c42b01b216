package tensor

import "slices"

// Marks: they compute nothing, and transformations read them.
type (
	// StopGradient is the identity without a derivative: its result is on no tape.
	StopGradient struct{}
	// Depends is its first input, computed after the others.
	Depends struct{}
)

// Name is the op's name.
func (StopGradient) Name() string { return "stop_gradient" }

// Name is the op's name.
func (Depends) Name() string { return "depends" }

// Infer keeps the spec.
func (StopGradient) Infer(in []Spec) ([]Spec, error) { return same(in) }

// Infer keeps the spec of the first input.
func (Depends) Infer(in []Spec) ([]Spec, error) { return same(in) }

// View is the input.
func (StopGradient) View(v View) (View, bool) { return v, true }

// View is the first input.
func (Depends) View(v View) (View, bool) { return v, true }

// Forwards drops the mark when a graph is compiled.
func (StopGradient) Forwards() int { return 0 }

// Forwards drops tracers when a graph is compiled.
func (Copy) Forwards() int { return 0 }

// VJP is none.
func (StopGradient) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{nil}
}

// JVP is none.
func (StopGradient) JVP(s Stream, in, out, tangent []*Array) []*Array { return []*Array{nil} }

// Vmap marks again.
func (StopGradient) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return []*Array{StopGradientOf(in[0], s)}, axes
}

// VJP is the cotangent, for the first input alone.
func (Depends) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := make([]*Array, len(in))
	c[0] = cotan[0]
	return c
}

// Vmap leaves the mapped axis where it is.
func (p Depends) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return []*Array{Apply1(p, s, in...)}, axes[:1]
}

// StopGradientOf is a as a constant of every gradient: it belongs to abstract traces
// only, so nothing behind it is kept for a tape.
func StopGradientOf(a *Array, s Stream) *Array {
	out := Apply1(StopGradient{}, s, a)
	out.n.traces = slices.DeleteFunc(slices.Clone(out.n.traces), func(t *Trace) bool { return !t.Abstract })
	return out
}

// DependsOf is x, computed after deps. No derivative reaches deps, so it is on the
// tapes of x alone.
func DependsOf(x *Array, deps []*Array, s Stream) *Array {
	if len(deps) == 0 {
		return x
	}
	out := Apply1(Depends{}, s, append([]*Array{x}, deps...)...)
	out.n.traces = slices.DeleteFunc(slices.Clone(out.n.traces), func(t *Trace) bool {
		return !t.Abstract && !hasTrace(x.n.traces, t)
	})
	return out
}
