package autodiff

import "github.com/mlxgo/mlx/internal/tensor"

// Ahead is f, whose one result is a scalar, as a checkpoint that computes nothing
// again: where a derivative is taken, the gradients by its arguments are computed
// together with the value, and kept until the cotangent scales them. It pays where
// they are small and the intermediates are large and dear, as of a loss behind
// logits. A function that captures arrays of the transformation remains a
// checkpoint, and so do derivatives of the gradients, and forward mode.
func Ahead(f Func) Func {
	checkpoint := Custom(f, Rules{})
	return func(primals []*Array) []*Array {
		if !differentiated(primals, nil) {
			return checkpoint(primals)
		}
		t := &tensor.Trace{}
		defer t.End()
		ins, outs, again := inside(f, primals, t)
		if len(outs) != 1 || outs[0] == nil || outs[0].NDim() != 0 {
			tensor.Throw("ahead", nil, "the function gave %d results: one scalar is needed", len(outs))
		}
		c := custom{&call{f: again, n: len(primals), inside: t}}
		if differentiated(outs, t) {
			return c.mark(primals, outs)
		}
		for i, g := range Pullback(outs, ins, one(outs), t) {
			if g != nil {
				c.ahead = append(c.ahead, i)
				outs = append(outs, g)
			}
		}
		c.f = func(in []*Array) []*Array {
			outs, grads := VJPWith(again, in, one)
			return append(outs, pickAt(grads, c.ahead)...)
		}
		// The value waits for the gradients: what they are made of is not kept for later.
		outs[0] = tensor.DependsOf(outs[0], outs[1:], tensor.Stream{})
		return c.mark(primals, outs)[:1]
	}
}

// one is the cotangent of a scalar by itself.
func one(outs []*Array) []*Array { return []*Array{tensor.OnesLike(outs[0], tensor.Stream{})} }

// differentiated reports whether a derivative by one of as is being taken, other than of
// t: mapping and compiling have abstract traces.
func differentiated(as []*Array, t *tensor.Trace) bool {
	for _, a := range as {
		if tensor.Differentiated(a, t) {
			return true
		}
	}
	return false
}

// scaled gives the cotangents of the arguments by what Ahead computed; nil if there is
// nothing, or if it is the gradients themselves that are differentiated.
func (c custom) scaled(s *step, cs []*Array, need []bool) []*Array {
	if c.ahead == nil || cs[0] == nil {
		return nil
	}
	for _, x := range cs[1:] {
		if x != nil {
			return nil
		}
	}
	for _, captured := range need[c.n:] {
		if captured {
			return nil
		}
	}
	args := make([]*Array, c.n)
	for k, i := range c.ahead {
		args[i] = tensor.BinaryOf(tensor.OpMultiply, s.out[1+k], cs[0], s.op.Stream())
	}
	return args
}
