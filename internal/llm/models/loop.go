package models

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

// IQuest-Coder's loop model. Reference: mlx_lm/models/iquestloopcoder.py.

// loopConfig: Llama whose layers run twice. See loopGate.
type loopConfig struct {
	baseConfig
	Loops  integer `json:"loop_num"`
	Window integer `json:"loop_window_size"`
}

func (c *loopConfig) spec() (*spec, error) {
	if c.Loops != 2 {
		return nil, fmt.Errorf("config.json: loop_num is %d; only 2 is supported", c.Loops)
	}
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.loopWindow = int(c.Window)
	s.names = llamaNames.with(names{"Gates": "model.gate_projections"})
	return s, firstError(within("loop_window_size", c.Window, 1, 1<<30), c.attend(s, never))
}

// loopGate says how much of the second pass of a layer attends to the keys of its first
// pass: the rest attends to those of the second, within a window.
type loopGate struct {
	Weight *mlx.Array // [H, D]
	Bias   *mlx.Array // [H]
}

func newLoopGate(s *spec) *loopGate {
	return &loopGate{Weight: mlx.Zeros(mlx.Shape{s.heads, s.headDim}), Bias: mlx.Zeros(mlx.Shape{s.heads})}
}

// of is the share [B, H, L, 1] for queries [B, H, L, D].
func (g *loopGate) of(q *mlx.Array) *mlx.Array {
	w, b := g.Weight.AsType(q.DType()), g.Bias.AsType(q.DType())
	return mlx.Sigmoid(mlx.MatMul(q, w.ExpandDims(-1)).Add(b.ExpandDims(-1, -2)))
}

// repeat is the layer's second pass; first and second are the memories of its passes.
func (b *block) repeat(x *mlx.Array, gate *loopGate, first, second cache.KV) *mlx.Array {
	a := b.Attention
	B, L, _ := x.Dims3()
	var r *rope
	if a.rope != nil {
		r = a.rope.at(first.Last())
	}
	q, k, v := a.project(through(b.InputNorm, x))
	q, k = a.toHeads(q, a.heads, a.QNorm, r, first.Pos()), a.toHeads(k, a.kvHeads, a.KNorm, r, first.Pos())
	v = v.Reshape(B, L, a.kvHeads, a.headDim).Transpose(0, 2, 1, 3)
	far, near := first.Again(q, a.scale), second.Attend(q, k, v, a.scale)
	g := gate.of(q)
	y := far.Mul(g).Add(near.Mul(g.Neg().Add(1)))
	return b.feed(b.add(x, a.Out.Forward(y.Transpose(0, 2, 1, 3).Reshape(B, L, -1))))
}
