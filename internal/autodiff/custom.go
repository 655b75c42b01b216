package autodiff

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Rules are the derivatives of a function; nil ones are taken from the function.
type Rules struct {
	VJP  func(primals, cotans, outs []*Array) []*Array
	JVP  func(primals, tangents []*Array) []*Array
	VMap func(in []*Array, axes []int) (out []*Array, outAxes []int)
}

// custom marks the results of one call of a function with rules: inputs are the
// n arguments and then what the function made of them. It computes nothing.
type custom struct{ *call }

// call is what a custom mark knows: inside marks what f computes from arguments,
// at first; f repeats the draws of that run. The gradients that Ahead computed are
// results behind the value, for the arguments of ahead.
type call struct {
	f      Func
	rules  Rules
	n      int
	inside *tensor.Trace
	ahead  []int
}

func (custom) Name() string { return "custom_function" }

// String shows no addresses: graphs are printed.
func (custom) String() string { return "{}" }

// Infer gives the specs of the results.
func (c custom) Infer(in []tensor.Spec) ([]tensor.Spec, error) {
	if len(in) < c.n {
		return nil, fmt.Errorf("%d inputs for a function of %d", len(in), c.n)
	}
	return in[c.n:], nil
}

// Forwards says that the results are the inputs behind the arguments.
func (c custom) Forwards() int { return c.n }

// Custom is f with rules of its own. Without any it is a checkpoint: what f
// computes on its way is not kept for the gradient but computed again, after the
// cotangents are known. Arrays of a live transformation that f captures keep what
// leads to them on the tape; a rule knows nothing of them, so differentiating such
// a function with a rule panics.
func Custom(f Func, rules Rules) Func {
	return func(primals []*Array) []*Array {
		t := &tensor.Trace{}
		defer t.End()
		_, outs, again := inside(f, primals, t)
		if len(outs) == 0 {
			return nil
		}
		refuseNil(custom{}.Name(), outs)
		return custom{&call{f: again, rules: rules, n: len(primals), inside: t}}.mark(primals, outs)
	}
}

// inside runs f on tracers of t that are constants of other derivatives; again is f with
// the draws of that run.
func inside(f Func, primals []*Array, t *tensor.Trace) (ins, outs []*Array, again Func) {
	hidden := make([]*Array, len(primals))
	for i, a := range primals {
		hidden[i] = tensor.StopGradientOf(a, tensor.Stream{})
	}
	ins = t.Tracers(hidden)
	draws := new(tensor.Draws)
	draws.Record(func() { outs = f(ins) })
	again = func(in []*Array) (outs []*Array) {
		draws.Replay(func() { outs = f(in) })
		return outs
	}
	return ins, outs, again
}

// mark makes outs the results of a call.
func (c custom) mark(primals, outs []*Array) []*Array {
	return tensor.Apply(c, tensor.Stream{}, append(append([]*Array(nil), primals...), outs...)...)
}

// pull gives the cotangents of a custom function's arguments. Without a rule it
// runs the function again, on arguments that come after the cotangents, and what
// it captured is reached through the new graph, down to ins.
func (c custom) pull(s *step, cs []*Array, need []bool, ins []*Array, t *tensor.Trace) (args, direct []*Array) {
	if c.rules.VJP == nil {
		again := make([]*Array, c.n)
		for i, a := range s.in[:c.n] {
			again[i] = tensor.DependsOf(a, cs, s.op.Stream())
		}
		g := Pullback(c.f(again), append(again, ins...), cs, t)
		return g[:c.n], g[c.n:]
	}
	for _, captured := range need[c.n:] {
		if captured {
			panic(s.fault(capturesText))
		}
	}
	got := c.rules.VJP(s.in[:c.n], cs, s.out)
	if len(got) != c.n {
		panic(s.fault("the VJP rule gave %d gradients for %d arguments", len(got), c.n))
	}
	for i, g := range got {
		if g != nil {
			c.check("VJP", i, g, s.in[i])
		}
	}
	return got, nil
}

const capturesText = "the function has a rule of its own and captures an array that is being transformed; pass it as an argument, or through stop_gradient"

// check refuses a rule's result of another shape.
func (c custom) check(rule string, i int, got, want *Array) {
	if g, w := tensor.SpecOf(got), tensor.SpecOf(want); g.Shape.String() != w.Shape.String() {
		tensor.Throw(c.Name(), nil, "the %s rule gave %v where %v is needed (number %d)", rule, g, w, i)
	}
}

// push gives the tangents of the results by the rule.
func (c custom) push(s *step, ts []*Array) []*Array {
	for _, t := range ts[c.n:] {
		if t != nil {
			panic(s.fault(capturesText))
		}
	}
	full := make([]*Array, c.n)
	for i, t := range ts[:c.n] {
		if full[i] = t; t == nil {
			full[i] = tensor.ZerosLike(s.in[i], s.op.Stream())
		}
	}
	got := c.rules.JVP(s.in[:c.n], full)
	if len(got) != len(s.out) {
		panic(s.fault("the JVP rule gave %d tangents for %d results", len(got), len(s.out)))
	}
	for i, g := range got {
		if g != nil {
			c.check("JVP", i, g, s.out[i])
			got[i] = tensor.AsType(g, s.out[i].DType(), s.op.Stream())
		}
	}
	return got
}

// captures reports whether f reads values of t that are not its arguments.
func (c custom) captures(s *step, t *tensor.Trace) bool {
	seen := map[tensor.Node]bool{}
	var walk func(n tensor.Node) bool
	walk = func(n tensor.Node) bool {
		if seen[n] || !n.DependsOn(t) {
			return false
		}
		seen[n] = true
		if !n.DependsOn(c.inside) {
			return true
		}
		_, in, _, _, ok := n.Expand()
		if op, is := n.Op(); is {
			if _, tracer := op.Prim().(tensor.Copy); tracer && !in[0].DependsOn(c.inside) {
				return false // an argument
			}
		}
		for _, i := range in {
			if ok && walk(i) {
				return true
			}
		}
		return false
	}
	for _, n := range s.inNode[c.n:] {
		if walk(n) {
			return true
		}
	}
	return false
}

// mapByRule maps a call of a function that has a VMap rule.
func (c custom) mapByRule(s *step, batched map[tensor.Node]batch) {
	in, axes, any := batchesOf(s.in[:c.n], batched)
	var outs []*Array
	outAxes := slices.Repeat([]int{tensor.Unmapped}, len(s.out))
	if any {
		outs, outAxes = c.rules.VMap(in, axes)
		c.checkMapped(outs, outAxes, s.out, tensor.MappedSize(in, axes))
	} else {
		outs = Custom(c.f, c.rules)(in)
	}
	for k, n := range s.outNode {
		batched[n] = batch{outs[k], outAxes[k]}
	}
}

// Vmap is f over the mapped axes, whose derivatives are the rules over them.
func (c custom) Vmap(s tensor.Stream, in []*Array, axes []int) ([]*Array, []int) {
	primals, at := in[:c.n], axes[:c.n]
	n := tensor.MappedSize(in, axes)
	f := func(x []*Array) []*Array { return VMap(c.f, x, at, InFront) }
	outs := make([]*Array, len(in)-c.n)
	for i := range outs {
		outs[i] = tensor.InFront(in[c.n+i], axes[c.n+i], n, s)
	}
	mark := custom{&call{f: f, rules: c.mapped(at), n: c.n, inside: c.inside}}
	return tensor.Apply(mark, s, append(append([]*Array(nil), primals...), outs...)...), make([]int, len(outs))
}

// checkMapped refuses results of a VMap rule that are not n of what the function gives for
// each slice.
func (c custom) checkMapped(outs []*Array, outAxes []int, slice []*Array, n int) {
	if k := len(slice); len(outs) != k || len(outAxes) != k {
		tensor.Throw(c.Name(), nil, "the VMap rule gave %d results and %d axes for %d results", len(outs), len(outAxes), k)
	}
	refuseNil(c.Name(), outs)
	for i, o := range outs {
		got, want, at := tensor.SpecOf(o), tensor.SpecOf(slice[i]), outAxes[i]
		if at != tensor.Unmapped && (at < 0 || at >= len(got.Shape) || got.Shape[at] != n) {
			tensor.Throw(c.Name(), nil, "the VMap rule gave %v, which has no axis %d of size %d (number %d)", got, at, n, i)
		}
		if got.Shape = without(got.Shape, at); got.DType != want.DType || !slices.Equal(got.Shape, want.Shape) {
			tensor.Throw(c.Name(), nil, "the VMap rule gave slices of %v where %v is needed (number %d)", got, want, i)
		}
	}
}

// without is a shape without the mapped axis.
func without(sh tensor.Shape, axis int) tensor.Shape {
	if axis == tensor.Unmapped {
		return sh
	}
	return slices.Delete(slices.Clone(sh), axis, axis+1)
}

// mapped is the rules over a mapped axis: at for arguments, 0 for results.
func (c custom) mapped(at []int) (r Rules) {
	if rule := c.rules.VJP; rule != nil {
		r.VJP = func(primals, cotans, outs []*Array) []*Array {
			k := len(cotans)
			all := append(append(append([]*Array(nil), primals...), cotans...), outs...)
			axes := append(append([]int(nil), at...), make([]int, 2*k)...)
			return sumUnmapped(VMap(func(x []*Array) []*Array {
				return orZeros(rule(x[:c.n], x[c.n:c.n+k], x[c.n+k:]), x[:c.n])
			}, all, axes, InFront), at)
		}
	}
	if rule := c.rules.JVP; rule != nil {
		r.JVP = func(primals, tangents []*Array) []*Array {
			all := append(append([]*Array(nil), primals...), tangents...)
			axes := append(append([]int(nil), at...), at...)
			k := len(primals)
			return VMap(func(x []*Array) []*Array { return orZeros(rule(x[:k], x[k:]), c.f(x[:k])) }, all, axes, InFront)
		}
	}
	return r
}

// orZeros fills in what a rule left nil.
func orZeros(got, like []*Array) []*Array {
	if len(got) != len(like) {
		tensor.Throw(custom{}.Name(), nil, "a rule gave %d arrays where %d are needed", len(got), len(like))
	}
	out := slices.Clone(got)
	for i, a := range like {
		if out[i] == nil {
			out[i] = tensor.ZerosLike(a, tensor.Stream{})
		}
	}
	return out
}

// sumUnmapped gives each gradient the axis of its argument; one that was given
// whole gets the sum over all slices.
func sumUnmapped(grads []*Array, at []int) []*Array {
	var s tensor.Stream
	for i, g := range grads {
		if at[i] == tensor.Unmapped {
			grads[i] = tensor.ReduceOf(tensor.OpSum, g, []int{0}, false, s)
		} else {
			grads[i] = tensor.MoveAxis(g, 0, at[i], s)
		}
	}
	return grads
}
