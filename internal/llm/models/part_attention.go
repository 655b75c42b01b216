package models

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/nn"
)

// fusion is how one projection holds queries, keys and values.
type fusion uint8

const (
	apart     fusion = iota // three projections
	inOrder                 // all queries, then all keys, then all values
	byKeyHead               // for each key head its queries, its key and its value
)

// attention is multi-head attention with shared key heads.
type attention struct {
	named
	Q, K, V nn.Layer // or QKV
	QKV     nn.Layer
	Out     nn.Layer
	QNorm   nn.Layer // nil: none
	KNorm   nn.Layer

	spec  *spec
	scale float64
	rope  *rope // nil: none
}

func newAttention(s *spec, layer int) *attention {
	q, kv := s.heads*s.headDim, s.kvHeads*s.headDim
	bias := nn.Bias(s.qkvBias)
	a := &attention{
		named: named{s.names}, spec: s, scale: s.scoreScale(layer), rope: s.layers[layer].rope,
		Out:   nn.NewLinear(q, s.hidden, nn.Bias(s.outBias)),
		QNorm: s.newHeadNorm(s.heads), KNorm: s.newHeadNorm(s.kvHeads),
	}
	if s.qkv == apart {
		a.Q, a.K, a.V = nn.NewLinear(s.hidden, q, bias), nn.NewLinear(s.hidden, kv, bias), nn.NewLinear(s.hidden, kv, bias)
	} else {
		a.QKV = nn.NewLinear(s.hidden, q+2*kv, bias)
	}
	return a
}

func (a *attention) forward(x *mlx.Array, kv cache.KV, last *mlx.Array) *mlx.Array {
	s := a.spec
	B, L, _ := x.Dims3()
	q, k, v := a.project(x)
	if c := s.clipQKV; c > 0 {
		q, k, v = clip(q, c), clip(k, c), clip(v, c)
	}
	heads := func(y *mlx.Array, n int) *mlx.Array { return y.Reshape(B, L, n, s.headDim) }
	if s.qkNorm == headsTogether {
		q, k = a.QNorm.Forward(q.Reshape(B, L, -1)), a.KNorm.Forward(k.Reshape(B, L, -1))
	}
	q, k, v = heads(q, s.heads), heads(k, s.kvHeads), heads(v, s.kvHeads)
	if s.headsInTurn {
		q = turn(q, s.heads/s.kvHeads, s.kvHeads)
	}
	byHead := a.QNorm != nil && s.qkNorm != headsTogether
	if byHead && !s.normAfterRope {
		q, k = a.QNorm.Forward(q), a.KNorm.Forward(k)
	}
	q, k, v = q.Transpose(0, 2, 1, 3), k.Transpose(0, 2, 1, 3), v.Transpose(0, 2, 1, 3)
	if a.rope != nil {
		r := a.rope.at(last)
		q, k = r.apply(q, kv.Pos()), r.apply(k, kv.Pos())
	}
	if byHead && s.normAfterRope {
		q, k = a.QNorm.Forward(q), a.KNorm.Forward(k)
	}
	if s.queryScale != nil {
		q = q.Mul(s.queryScale.at(positions(kv, L)).ExpandDims(1, 3).AsType(q.DType()))
	}
	y := kv.Attend(q, k, v, a.scale).Transpose(0, 2, 1, 3)
	if s.headsInTurn {
		y = turn(y, s.kvHeads, s.heads/s.kvHeads)
	}
	return a.Out.Forward(y.Reshape(B, L, -1))
}

// project gives queries, keys and values of x [B, L, D], of any shape that begins
// with [B, L].
func (a *attention) project(x *mlx.Array) (q, k, v *mlx.Array) {
	s := a.spec
	switch s.qkv {
	case inOrder:
		n, m := s.heads*s.headDim, s.kvHeads*s.headDim
		parts := mlx.Split(a.QKV.Forward(x), []int{n, n + m}, mlx.Axis(-1))
		return parts[0], parts[1], parts[2]
	case byKeyHead:
		B, L, _ := x.Dims3()
		group := s.heads / s.kvHeads
		y := a.QKV.Forward(x).Reshape(B, L, s.kvHeads, group+2, s.headDim)
		parts := mlx.Split(y, []int{group, group + 1}, mlx.Axis(3))
		return parts[0], parts[1], parts[2]
	}
	return a.Q.Forward(x), a.K.Forward(x), a.V.Forward(x)
}

// turn makes heads [B, L, m*n, D] that are m rows of n to n rows of m.
func turn(x *mlx.Array, m, n int) *mlx.Array {
	B, L := x.Dim(0), x.Dim(1)
	return x.Reshape(B, L, m, n, -1).Transpose(0, 1, 3, 2, 4).Reshape(B, L, m*n, -1)
}

func clip(x *mlx.Array, c float64) *mlx.Array { return mlx.Minimum(mlx.Maximum(x, -c), c) }

// queryScale grows queries with their position: 1 + beta*log(1 + floor(p/original)).
type queryScale struct{ beta, original float64 }

func (s *queryScale) at(positions *mlx.Array) *mlx.Array {
	p := mlx.Floor(positions.AsType(mlx.Float32).Div(s.original))
	return mlx.Log1p(p).Mul(s.beta).Add(1)
}
