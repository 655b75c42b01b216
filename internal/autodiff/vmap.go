package autodiff

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// VMap runs f over slices of in along axes (tensor.Unmapped for inputs that are
// given whole) and stacks the results along outAxes: one for all, or one each;
// tensor.Unmapped takes a result that does not vary as it is. It panics with
// *tensor.Error for axes that do not fit.
func VMap(f Func, in []*Array, axes []int, outAxes func(i int) int) []*Array {
	t := (&tensor.Trace{Abstract: true}).Begin()
	defer t.End()
	n, axes := mappedSize(in, axes)
	ins := make([]*Array, len(in))
	batched := map[tensor.Node]batch{}
	for i, a := range in {
		if axes[i] == tensor.Unmapped {
			ins[i] = a
			continue
		}
		spec := tensor.SpecOf(a)
		ins[i] = t.Placeholder(tensor.Spec{Shape: without(spec.Shape, axes[i]), DType: spec.DType})
		batched[tensor.NodeOf(ins[i])] = batch{a, axes[i]}
	}
	outs := f(ins)
	refuseNil("vmap", outs)
	refuseDraws(outs, t)
	mapSteps(outs, batched, t)
	result := make([]*Array, len(outs))
	for i, o := range outs {
		result[i] = batchOf(o, batched).to(outAxes(i), n)
	}
	return result
}

// A batch is the values of a node for all slices; axis is Unmapped if they are one.
type batch struct {
	a    *Array
	axis int
}

// to moves the mapped axis, or repeats a value that does not vary.
func (b batch) to(axis, n int) *Array {
	var s tensor.Stream
	if axis == tensor.Unmapped {
		if b.axis != tensor.Unmapped {
			tensor.Throw("vmap", []tensor.Spec{tensor.SpecOf(b.a)}, "a result varies over the mapped axis: its out axis cannot be Unmapped")
		}
		return b.a
	}
	a := tensor.InFront(b.a, b.axis, n, s)
	return tensor.MoveAxis(a, 0, axis, s)
}

// mappedSize is the one size of all mapped axes, and the axes counted from 0.
func mappedSize(in []*Array, axes []int) (int, []int) {
	if len(in) != len(axes) {
		tensor.Throw("vmap", nil, "%d axes for %d inputs", len(axes), len(in))
	}
	axes = slices.Clone(axes)
	n, from := -1, 0
	for i, a := range in {
		if axes[i] == tensor.Unmapped {
			continue
		}
		sh := tensor.SpecOf(a).Shape
		axes[i] = tensor.NormAxis("vmap", axes[i], sh)
		switch d := sh[axes[i]]; {
		case n < 0:
			n, from = d, i
		case n != d:
			tensor.Throw("vmap", []tensor.Spec{tensor.SpecOf(in[from]), tensor.SpecOf(a)},
				"mapped axes have sizes %d and %d", n, d)
		}
	}
	if n < 0 {
		tensor.Throw("vmap", nil, "no input is mapped")
	}
	return n, axes
}

// mapSteps does the ops behind outs for all slices.
func mapSteps(outs []*Array, batched map[tensor.Node]batch, t *tensor.Trace) {
	for _, s := range steps(outs, batched, t, mappedInputs) {
		refuseDraws(s.in, t)
		c, ok := s.op.Prim().(custom)
		if !ok || !c.captures(s, t) {
			if ok && c.rules.VMap != nil {
				c.mapByRule(s, batched)
			} else {
				mapStep(s, batched)
			}
			continue
		}
		if c.rules.VJP != nil || c.rules.JVP != nil || c.rules.VMap != nil {
			panic(s.fault(capturesText))
		}
		again := c.f(s.in[:c.n]) // a checkpoint of captured arrays is mapped as what it computes
		mapSteps(again, batched, t)
		for k, n := range s.outNode {
			batched[n] = batchOf(again[k], batched)
		}
	}
}

// mappedInputs are the arguments of a function with a VMap rule: what it does inside is
// not mapped, and need not have a rule. Of other ops they are all inputs.
func mappedInputs(s *step) []tensor.Node {
	if c, ok := s.op.Prim().(custom); ok && c.rules.VMap != nil {
		return s.inNode[:c.n]
	}
	return s.inNode
}

// refuseDraws panics if a captured value was drawn since t began.
func refuseDraws(as []*Array, t *tensor.Trace) {
	for _, a := range as {
		if n := tensor.NodeOf(a); !n.DependsOn(t) && t.Drew(n) {
			tensor.Throw("vmap", []tensor.Spec{n.Spec()}, "%s", drawText)
		}
	}
}

const drawText = "a draw from the generator of the process, or what another process sends, would be the same for all slices: pass a key for each, use RecvLike"

func batchOf(a *Array, batched map[tensor.Node]batch) batch {
	if b, ok := batched[tensor.NodeOf(a)]; ok {
		return b
	}
	return batch{a, tensor.Unmapped}
}

// mapStep does one op for all slices.
func mapStep(s *step, batched map[tensor.Node]batch) {
	in, axes, any := batchesOf(s.in, batched)
	on := s.op.Stream()
	var outs []*Array
	var outAxes []int
	if !any { // it depends on the trace, but on nothing mapped
		outs = tensor.Apply(s.op.Prim(), on, in...)
		outAxes = slices.Repeat([]int{tensor.Unmapped}, len(outs))
	} else {
		outs, outAxes = mapRule(s, in, axes)
	}
	for k, n := range s.outNode {
		batched[n] = batch{outs[k], outAxes[k]}
	}
}

// batchesOf are the values of as for all slices, and whether any of them varies.
func batchesOf(as []*Array, batched map[tensor.Node]batch) (in []*Array, axes []int, any bool) {
	in, axes = make([]*Array, len(as)), make([]int, len(as))
	for k, a := range as {
		b := batchOf(a, batched)
		in[k], axes[k] = b.a, b.axis
		any = any || b.axis != tensor.Unmapped
	}
	return in, axes, any
}

func mapRule(s *step, in []*Array, axes []int) ([]*Array, []int) {
	p, on := s.op.Prim(), s.op.Stream()
	if outs, outAxes, ok := tensor.VmapOf(p, on, in, axes); ok {
		return outs, outAxes
	}
	c, ok := p.(tensor.Composite)
	if !ok {
		panic(s.fault("it cannot be vectorized by vmap"))
	}
	outs := VMap(func(in []*Array) []*Array { return c.Fallback(on, in) }, in, axes, InFront)
	return outs, make([]int, len(outs))
}

// InFront puts the mapped axis of every result first.
func InFront(i int) int { return 0 }
