package autodiff

import (
	"github.com/mlxgo/mlx/internal/tensor"
)

// Pullback gives for each of ins, tracers of t, the cotangent that cotans of outs
// lead to, or nil if no derivative reaches it. A nil cotangent stands for zeros.
func Pullback(outs, ins, cotans []*Array, t *tensor.Trace) []*Array {
	acc := &sums{m: map[tensor.Node]*Array{}}
	for i, o := range outs {
		if cotans[i] != nil {
			acc.add(tensor.NodeOf(o), cotans[i], tensor.Stream{})
		}
	}
	order := steps(outs, nodeSet(ins), t, allInputs)
	for i := len(order) - 1; i >= 0; i-- {
		s := order[i]
		order[i] = nil
		cs, any := make([]*Array, len(s.out)), false
		for k, n := range s.outNode {
			cs[k] = acc.take(n)
			any = any || cs[k] != nil
		}
		if !any {
			continue
		}
		grads, direct := pullStep(s, cs, ins, t)
		for k, c := range grads {
			if c != nil && s.inNode[k].DependsOn(t) {
				acc.add(s.inNode[k], c, s.op.Stream())
			}
		}
		for k, c := range direct {
			if c != nil {
				acc.add(tensor.NodeOf(ins[k]), c, s.op.Stream())
			}
		}
	}
	grads := make([]*Array, len(ins))
	for i, a := range ins {
		grads[i] = acc.m[tensor.NodeOf(a)]
	}
	return grads
}

// sums adds up the cotangents that values get.
type sums struct{ m map[tensor.Node]*Array }

func (s *sums) add(n tensor.Node, c *Array, on tensor.Stream) {
	c = tensor.AsType(c, n.Spec().DType, on)
	if have := s.m[n]; have != nil {
		c = tensor.BinaryOf(tensor.OpAdd, have, c, on)
	}
	s.m[n] = c
}

// take gives what n got; nothing more will come, as all its readers are done.
func (s *sums) take(n tensor.Node) *Array {
	c := s.m[n]
	delete(s.m, n)
	return c
}

// pullStep applies the rule of one op; direct is what reached ins on a way of its
// own. Inputs that do not depend on t need nothing.
func pullStep(s *step, cs, ins []*Array, t *tensor.Trace) (grads, direct []*Array) {
	need := make([]bool, len(s.in))
	for k, n := range s.inNode {
		need[k] = n.DependsOn(t)
	}
	c, marked := s.op.Prim().(custom)
	if marked {
		if args := c.scaled(s, cs, need); args != nil {
			return args, nil
		}
	}
	for k, o := range s.out {
		if cs[k] == nil {
			cs[k] = tensor.ZerosLike(o, s.op.Stream())
		}
	}
	if marked {
		return c.pull(s, cs, need, ins, t)
	}
	return s.vjp(cs, need), nil
}

// vjp is the rule of the op, or of the graph that it can be written as.
func (s *step) vjp(cs []*Array, need []bool) []*Array {
	switch p := s.op.Prim().(type) {
	case tensor.Differentiable:
		return p.VJP(s.op.Stream(), s.in, s.out, cs, need)
	case tensor.Composite:
		return pullFallback(p, s, cs, need)
	}
	panic(s.fault("it has no derivative; use stop_gradient on what it reads"))
}

// pullFallback differentiates a fused op through its graph.
func pullFallback(p tensor.Composite, s *step, cs []*Array, need []bool) []*Array {
	on := s.op.Stream()
	grads := make([]*Array, len(s.in))
	var at []int
	for k, n := range need {
		if n {
			at = append(at, k)
		}
	}
	_, got := VJP(func(vars []*Array) []*Array {
		in := append([]*Array(nil), s.in...)
		for j, k := range at {
			in[k] = vars[j]
		}
		return p.Fallback(on, in)
	}, pickAt(s.in, at), cs)
	for j, k := range at {
		grads[k] = got[j]
	}
	return grads
}

func pickAt(as []*Array, at []int) []*Array {
	out := make([]*Array, len(at))
	for j, k := range at {
		out[j] = as[k]
	}
	return out
}

// VJP runs f at primals and pulls the cotangents of its results back. Gradients
// have the specs of primals; nil marks those that no derivative reaches.
func VJP(f Func, primals, cotans []*Array) (outs, grads []*Array) {
	return VJPWith(f, primals, func([]*Array) []*Array { return cotans })
}

// VJPWith is VJP whose cotangents are chosen when the results are known.
func VJPWith(f Func, primals []*Array, seed func(outs []*Array) []*Array) (outs, grads []*Array) {
	t := &tensor.Trace{}
	defer t.End()
	ins := t.Tracers(primals)
	outs = f(ins)
	grads = Pullback(outs, ins, seed(outs), t)
	return outs, grads
}
