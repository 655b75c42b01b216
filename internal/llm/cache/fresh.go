package cache

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// fresh is KV of whole sequences from position 0 that nobody continues: nothing is
// written, so that a derivative can pass.
type fresh struct {
	layout    Layout
	pos, last *mlx.Array
	again     func(q *mlx.Array, scale float64) *mlx.Array
}

// Fresh are the layers of a pass over n tokens of batch sequences from position 0, which
// remember nothing. Training uses them.
func Fresh(layout []Layout, batch, n int) []KV {
	pos := mlx.Zeros(mlx.Shape{batch}, mlx.Int32)
	last := mlx.Full(mlx.Shape{batch}, n-1, mlx.Int32)
	kv := make([]KV, len(layout))
	for i, l := range layout {
		kv[i] = &fresh{layout: l, pos: pos, last: last}
	}
	return kv
}

func (f *fresh) Pos() *mlx.Array  { return f.pos }
func (f *fresh) Last() *mlx.Array { return f.last }

func (f *fresh) Attend(q, k, v *mlx.Array, scale float64) *mlx.Array {
	p := fast.Attention{Causal: true, SoftCap: tensor.MakeF64(f.layout.SoftCap)}
	_, _, n, _ := q.Dims4()
	if f.layout.Window < n {
		p.Window = f.layout.Window
	}
	var mask *mlx.Array
	if s := f.layout.Sparse; s != nil {
		p.Causal = false
		mask = s.mask(f.pos, n, n)
	}
	f.again = func(q *mlx.Array, scale float64) *mlx.Array {
		p := p
		p.Scale = tensor.MakeF64(scale)
		return fast.PackedAttentionOf(p, q, []*mlx.Array{k}, []*mlx.Array{v}, mask, nil, nil, mlx.Stream{})
	}
	return f.again(q, scale)
}

func (f *fresh) Again(q *mlx.Array, scale float64) *mlx.Array { return f.again(q, scale) }
