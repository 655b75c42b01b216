package compile

import (
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// gelu is x (1 + erf(x/sqrt 2)) / 2.
func gelu(x *Array) *Array {
	e := un(tensor.OpErf, mul(x, scalar(1/math.Sqrt2)))
	return mul(mul(x, plus(scalar(1), e)), scalar(0.5))
}

func dense(x, w, b *Array) *Array { return plus(tensor.MatMulOf(x, w, none), b) }

func ones(outs []*Array) []*Array { return []*Array{tensor.OnesLike(outs[0], none)} }

// mlp is the loss of two layers with a checkpointed GELU if again is set.
func mlp(again bool) autodiff.Func {
	act := func(in []*Array) []*Array { return []*Array{gelu(in[0])} }
	if again {
		act = autodiff.Custom(act, autodiff.Rules{})
	}
	return func(p []*Array) []*Array { // x, y, w1, b1, w2, b2
		h := act([]*Array{dense(p[0], p[2], p[3])})[0]
		d := minus(dense(h, p[4], p[5]), p[1])
		return []*Array{tensor.Mean(un(tensor.OpSquare, d), nil, false, none)}
	}
}

// step is a step of gradient descent of mlp: the parameters are states.
func step(again bool) Traced {
	return func(in, s []*Array) ([]*Array, []*Array) {
		out, g := autodiff.VJPWith(mlp(again), append(in[:2:2], s...), ones)
		news := make([]*Array, len(s))
		for i, p := range s {
			news[i] = minus(p, mul(g[2+i], scalar(0.125)))
		}
		return out, news
	}
}

func TestGoldenGraphs(t *testing.T) {
	params := []tensor.Spec{f32(3, 8), f32(8), f32(8, 2), f32(2)}
	data := []tensor.Spec{f32(4, 3), f32(4, 2)}
	for _, c := range []struct {
		name      string
		f         Traced
		in, state []tensor.Spec
	}{
		{"gelu", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{gelu(in[0])}, nil }, []tensor.Spec{f32(4, 5)}, nil},
		{"train", step(false), data, params},
		{"checkpoint", step(true), data, params},
		{"rmsnorm", func(in, _ []*Array) ([]*Array, []*Array) {
			x := in[0]
			h := fast.RMSNormOf(x, in[1], 1e-5, none)
			gate := tensor.MatMulOf(h, in[2], none)
			return []*Array{plus(x, tensor.MatMulOf(mul(gate, un(tensor.OpSigmoid, gate)), in[3], none))}, nil
		}, []tensor.Spec{f32(2, 3, 8), f32(8), f32(8, 6), f32(6, 8)}, nil},
	} {
		e, err := New(c.name, c.f).For(c.in, c.state)
		if err != nil {
			t.Fatal(err)
		}
		text := e.Graph.String() + e.Plan.String()
		golden(t, c.name+".txt", text)
		if strings.Contains(text, "0x") {
			t.Errorf("%s: the text has an address", c.name)
		}
	}
}

// A traced custom function prints without addresses too.
func TestTracedGraphIsStable(t *testing.T) {
	text := ""
	for range 2 {
		g, err := trace(step(true), []tensor.Spec{f32(4, 3), f32(4, 2)}, []tensor.Spec{f32(3, 8), f32(8), f32(8, 2), f32(2)}, tensor.DefaultDevice())
		if err != nil {
			t.Fatal(err)
		}
		if s := g.String(); strings.Contains(s, "0x") || text != "" && s != text {
			t.Errorf("traced graph\n%s", s)
		} else {
			text = s
		}
	}
}
