package models

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// mlpKind is the form of an MLP.
type mlpKind uint8

const (
	gatedMLP  mlpKind = iota // down(act(gate(x)) * up(x))
	gateUpMLP                // the same with gate and up in one projection
	upGateMLP                // the same, up first
	plainMLP                 // down(act(up(x)))
	gegeluMLP                // gate and up in one projection, element by element, bounded by limit
)

// activation is a function between the projections.
type activation uint8

const (
	actSiLU activation = iota
	actGELU
	actGELUTanh
	actReLU
	actReLU2
	actXIELU // with parameters, see xielu
)

// activations are the names of configurations.
var activations = map[string]activation{
	"silu": actSiLU, "swish": actSiLU, "gelu": actGELU, "gelu_python": actGELU,
	"gelu_pytorch_tanh": actGELUTanh, "gelu_new": actGELUTanh, "gelu_fast": actGELUTanh, "gelu_pytorch": actGELU,
	"relu": actReLU, "relu2": actReLU2, "xielu": actXIELU,
}

// activationOf is the activation of a name at a key, or otherwise without one.
func activationOf(key, name string, otherwise activation) (activation, error) {
	if name == "" {
		return otherwise, nil
	}
	a, ok := activations[name]
	if !ok {
		return 0, fmt.Errorf("config.json: %s %q is not supported", key, name)
	}
	return a, nil
}

func (a activation) of(x *mlx.Array) *mlx.Array {
	switch a {
	case actGELU:
		return nn.GELU(x)
	case actGELUTanh:
		return nn.GELUApprox(x)
	case actReLU:
		return nn.ReLU(x)
	case actReLU2:
		return nn.ReLU2(x)
	}
	return nn.SiLU(x)
}

// mlp is the feed-forward part of a layer.
type mlp struct {
	named
	Gate   nn.Layer // nil in a plain one
	Up     nn.Layer
	GateUp nn.Layer // instead of both
	Down   nn.Layer
	// DownNorm is of what goes into Down; nil: none.
	DownNorm nn.Layer
	Act      *xielu   // nil without parameters
	Linear   nn.Layer // instead of all the others

	kind  mlpKind
	act   activation
	inner int
	limit float64
	cuts  bool // the gate begins cut deviations above the mean
	cut   float64
}

func newMLP(s *spec, layer int) *mlp {
	l := s.layers[layer]
	switch l.mlp {
	case none:
		return nil
	case linear:
		return &mlp{named: named{s.names}, Linear: nn.NewLinear(s.hidden, s.hidden, nn.Bias(s.mlpBias))}
	}
	setDefault(&l.inner, s.inner)
	m := &mlp{named: named{s.names}, kind: s.mlp, act: s.act, inner: l.inner, limit: s.mlpLimit, Down: s.newLinear(l.inner, s.hidden, s.mlpBias)}
	if l.sparsity > 0 {
		m.cuts, m.cut = true, math.Sqrt2*math.Erfinv(2*l.sparsity-1)
	}
	switch s.mlp {
	case gatedMLP:
		m.Gate = s.newLinear(s.hidden, l.inner, s.mlpBias)
		m.Up = s.newLinear(s.hidden, l.inner, s.mlpBias)
	case plainMLP:
		m.Up = s.newLinear(s.hidden, l.inner, s.mlpBias)
	default:
		m.GateUp = s.newLinear(s.hidden, 2*l.inner, s.mlpBias)
	}
	if s.subNorms {
		m.DownNorm = s.newNorm(l.inner)
	}
	if s.act == actXIELU {
		m.Act = newXIELU(!s.fixedXIELU)
	}
	return m
}

func (m *mlp) forward(x *mlx.Array) *mlx.Array {
	if m.Linear != nil {
		return m.Linear.Forward(x)
	}
	return m.Down.Forward(through(m.DownNorm, m.widen(x)))
}

// widen is what goes into Down.
func (m *mlp) widen(x *mlx.Array) *mlx.Array {
	switch m.kind {
	case plainMLP:
		return m.activate(m.Up.Forward(x))
	case gegeluMLP:
		return gegelu(m.GateUp.Forward(x), m.limit)
	}
	var gate, up *mlx.Array
	if m.kind == gatedMLP {
		gate, up = m.Gate.Forward(x), m.Up.Forward(x)
	} else {
		parts := mlx.Split(m.GateUp.Forward(x), []int{m.inner}, mlx.Axis(-1))
		gate, up = parts[0], parts[1]
		if m.kind == upGateMLP {
			gate, up = up, gate
		}
	}
	if m.cuts {
		gate = cutAbove(gate, m.cut)
	}
	switch m.act {
	case actSiLU:
		return nn.SwiGLU(gate, up)
	case actGELU, actGELUTanh:
		return nn.GeGLU(gate, up, m.act == actGELUTanh)
	}
	return m.activate(gate).Mul(up)
}

// cutAbove is what x [..., n] is above the mean of its last axis and some deviations.
func cutAbove(x *mlx.Array, deviations float64) *mlx.Array {
	y := x.AsType(mlx.Float32)
	mean := mlx.Mean(y, mlx.Axis(-1), mlx.KeepDims(true))
	variance := mlx.Mean(mlx.Square(y.Sub(mean)), mlx.Axis(-1), mlx.KeepDims(true))
	return mlx.Maximum(y.Sub(mean).Sub(mlx.Sqrt(variance).Mul(deviations)), 0).AsType(x.DType())
}

// gegelu is Phi-3-small's: of pairs of neighbours the first is the gate, by an estimate
// of GELU, and the second grows by 1; both are bounded.
func gegelu(x *mlx.Array, limit float64) *mlx.Array {
	shape := x.Shape()
	n := shape[len(shape)-1] / 2
	parts := mlx.Split(x.Reshape(append(shape[:len(shape)-1], n, 2)...), []int{1}, mlx.Axis(-1))
	gate := mlx.Minimum(parts[0].Squeeze(-1), limit)
	return gate.Mul(mlx.Sigmoid(gate.Mul(1.702))).Mul(clip(parts[1].Squeeze(-1), limit).Add(1))
}

func (m *mlp) activate(x *mlx.Array) *mlx.Array {
	if m.Act != nil {
		return m.Act.Forward(x)
	}
	return m.act.of(x)
}

// xielu is Apertus' activation, see arXiv 2411.13010: a parabola above zero, an
// exponential below, and a line.
type xielu struct {
	AlphaP *mlx.Array // [1]
	AlphaN *mlx.Array // [1]
	Beta   *mlx.Array // scalar; nil: 0.5
	Eps    *mlx.Array // scalar; nil: -1e-6
}

func newXIELU(buffers bool) *xielu {
	const alpha = 0.55 // softplus of it is about 1
	a := &xielu{AlphaP: mlx.Full(mlx.Shape{1}, alpha), AlphaN: mlx.Full(mlx.Shape{1}, alpha)}
	if buffers {
		a.Beta, a.Eps = mlx.Full(mlx.Shape{}, 0.5), mlx.Full(mlx.Shape{}, -1e-6)
	}
	return a
}

// Forward computes in float32.
func (a *xielu) Forward(x *mlx.Array) *mlx.Array {
	f32 := func(y *mlx.Array, otherwise float64) *mlx.Array {
		if y == nil {
			return mlx.Full(mlx.Shape{}, otherwise)
		}
		return y.AsType(mlx.Float32)
	}
	beta, y := f32(a.Beta, 0.5), x.AsType(mlx.Float32)
	p, n := nn.Softplus(f32(a.AlphaP, 0)), beta.Add(nn.Softplus(f32(a.AlphaN, 0)))
	above := mlx.Square(y).Mul(p)
	below := mlx.Exp(mlx.Minimum(y, f32(a.Eps, -1e-6))).Sub(1).Sub(y).Mul(n)
	return mlx.Where(y.Gt(0), above, below).Add(y.Mul(beta)).AsType(x.DType())
}
