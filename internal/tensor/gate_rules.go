package tensor

import (
	"errors"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
)

// A Gate is the function of a gated unit.
type Gate int

// The gates.
const (
	GateSiLU Gate = iota
	GateGELU
	GateGELUTanh
)

// GateVJP is the derivative of y = gate(x) * up: inputs are x, up if there is one, and
// the cotangent c; results c * up * gate'(x) and, with up, c * gate(x).
type GateVJP struct{ Kind Gate }

// Name is the op's name.
func (p GateVJP) Name() string { return [...]string{"swiglu_vjp", "gelu_vjp", "gelu_vjp"}[p.Kind] }

// Infer needs floating arrays of one spec.
func (GateVJP) Infer(in []Spec) ([]Spec, error) {
	for _, s := range in {
		if !s.Equal(in[0]) || !s.DType.Is(dtype.Floating) {
			return nil, errors.New("needs floating inputs of one shape and dtype")
		}
	}
	return in[:len(in)-1], nil
}

// Elementwise marks it.
func (GateVJP) Elementwise() {}

// Fallback is the formula, in float32 for halves.
func (p GateVJP) Fallback(s Stream, in []*Array) []*Array {
	wide := make([]*Array, len(in))
	for i, a := range in {
		wide[i] = a
		if a.DType().Size() == 2 {
			wide[i] = AsType(a, dtype.Float32, s)
		}
	}
	x, c := wide[0], wide[len(in)-1]
	a, d := p.parts(s, x)
	if len(in) == 2 {
		return []*Array{AsType(s.mul(c, d), in[0].DType(), s)}
	}
	dx, dup := s.mul(s.mul(c, wide[1]), d), s.mul(c, a)
	return []*Array{AsType(dx, in[0].DType(), s), AsType(dup, in[1].DType(), s)}
}

// parts are the gate's value and derivative.
func (p GateVJP) parts(s Stream, x *Array) (a, d *Array) {
	switch p.Kind {
	case GateGELU:
		cdf := s.mul(s.add(s.do(OpErf, s.mul(x, math.Sqrt(0.5))), 1), 0.5)
		density := s.mul(s.do(OpExp, s.mul(s.do(OpSquare, x), -0.5)), 1/math.Sqrt(2*math.Pi))
		return s.mul(x, cdf), s.add(cdf, s.mul(x, density))
	case GateGELUTanh: // (1 + tanh(u)) / 2 is sigmoid(2u)
		k, cube := 2*math.Sqrt(2/math.Pi), 0.044715
		sq := s.do(OpSquare, x)
		g := s.do(OpSigmoid, s.mul(s.mul(x, s.add(s.mul(sq, cube), 1)), k))
		a = s.mul(x, g)
		slope := s.mul(s.add(s.mul(sq, 3*cube), 1), k)
		return a, s.add(g, s.mul(s.mul(a, s.sub(1, g)), slope))
	}
	g := s.do(OpSigmoid, x)
	a = s.mul(x, g)
	return a, s.add(g, s.mul(a, s.sub(1, g)))
}

// VJP is one pass.
func (SwiGLU) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return Apply(GateVJP{GateSiLU}, s, in[0], in[1], cotan[0])
}

// VJP is one pass.
func (p GELU) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	kind := GateGELU
	if p.Tanh {
		kind = GateGELUTanh
	}
	args := append([]*Array(nil), in...)
	return Apply(GateVJP{kind}, s, append(args, cotan[0])...)
}
