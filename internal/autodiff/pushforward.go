package autodiff

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Pushforward gives the tangents of outs from those of ins, tracers of t, or nil
// for results that do not vary. A nil tangent stands for zeros.
func Pushforward(outs, ins, tangents []*Array, t *tensor.Trace) []*Array {
	known := map[tensor.Node]*Array{}
	for i, a := range ins {
		known[tensor.NodeOf(a)] = tangents[i]
	}
	return push(outs, known, t)
}

// push computes the tangents of outs from those that are known.
func push(outs []*Array, known map[tensor.Node]*Array, t *tensor.Trace) []*Array {
	for _, s := range steps(outs, known, t, allInputs) {
		ts, any := make([]*Array, len(s.in)), false
		for k, n := range s.inNode {
			ts[k] = known[n]
			any = any || ts[k] != nil
		}
		for _, n := range s.outNode {
			known[n] = nil
		}
		if !any {
			continue
		}
		var pushed []*Array
		if c, ok := s.op.Prim().(custom); ok && c.rules.JVP == nil {
			pushed = push(c.f(s.in[:c.n]), known, t)
		} else {
			pushed = pushStep(s, ts)
		}
		for k, x := range pushed {
			known[s.outNode[k]] = x
		}
	}
	result := make([]*Array, len(outs))
	for i, o := range outs {
		result[i] = known[tensor.NodeOf(o)]
	}
	return result
}

// pushStep is the tangents of one op's results.
func pushStep(s *step, ts []*Array) []*Array {
	on := s.op.Stream()
	p := s.op.Prim()
	switch r := p.(type) {
	case custom:
		return r.push(s, ts)
	case tensor.Linearizable:
		return r.JVP(on, s.in, s.out, ts)
	}
	if out := pushDiagonal(p, s, ts); out != nil {
		return out
	}
	return pushTwice(s, ts)
}

// pushDiagonal: the Jacobian of an elementwise op is diagonal, so its transpose is
// itself and the VJP rule serves. For complex results of real inputs it is not.
func pushDiagonal(p tensor.Primitive, s *step, ts []*Array) []*Array {
	r, ok := p.(tensor.Differentiable)
	_, diagonal := p.(tensor.Elementwise)
	if !ok || !diagonal || len(s.out) != 1 {
		return nil
	}
	on := s.op.Stream()
	out := tensor.SpecOf(s.out[0])
	var sum *Array
	for k, x := range ts {
		if x == nil {
			continue
		}
		in := tensor.SpecOf(s.in[k])
		if in.DType == dtype.Complex64 || out.DType == dtype.Complex64 || !slices.Equal(in.Shape, out.Shape) {
			return nil
		}
		need := make([]bool, len(ts))
		need[k] = true
		c := r.VJP(on, s.in, s.out, []*Array{tensor.AsType(x, out.DType, on)}, need)[k]
		if c == nil {
			continue
		}
		c = tensor.AsType(c, out.DType, on)
		if sum != nil {
			c = tensor.BinaryOf(tensor.OpAdd, sum, c, on)
		}
		sum = c
	}
	return []*Array{sum}
}

// pushTwice: a VJP is linear in its cotangent, and pulling a tangent back through
// that function of the cotangent gives the JVP.
func pushTwice(s *step, ts []*Array) []*Array {
	on := s.op.Stream()
	t := &tensor.Trace{}
	defer t.End()
	zeros := make([]*Array, len(s.out))
	for k, o := range s.out {
		zeros[k] = tensor.ZerosLike(o, on)
	}
	cs := t.Tracers(zeros)
	need := make([]bool, len(ts))
	for k, x := range ts {
		need[k] = x != nil
	}
	var back, with []*Array
	for k, g := range s.vjp(cs, need) {
		if g != nil && ts[k] != nil {
			back = append(back, g)
			with = append(with, tensor.AsType(ts[k], g.DType(), on))
		}
	}
	return Pullback(back, cs, with, t)
}

// JVP runs f at primals and pushes the tangents forward. Tangents of results have
// their specs; results that do not vary have zeros.
func JVP(f Func, primals, tangents []*Array) (outs, pushed []*Array) {
	t := &tensor.Trace{}
	defer t.End()
	ins := t.Tracers(primals)
	outs = f(ins)
	refuseNil("jvp", outs)
	pushed = Pushforward(outs, ins, tangents, t)
	for i, o := range outs {
		if pushed[i] == nil {
			pushed[i] = tensor.ZerosLike(o, tensor.Stream{})
		} else {
			pushed[i] = tensor.AsType(pushed[i], o.DType(), tensor.Stream{})
		}
	}
	return outs, pushed
}
