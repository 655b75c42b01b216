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

// attention is multi-head attention with shared key heads, or a matrix instead.
type attention struct {
	named
	Q, K, V nn.Layer // or QKV; K and V are nil in a layer that attends to another's keys
	QKV     nn.Layer
	Out     nn.Layer
	OutNorm nn.Layer // of what goes into Out; nil: none
	QNorm   nn.Layer // nil: none
	KNorm   nn.Layer
	Linear  nn.Layer // instead of all the others
	KStep   *mlx.Array
	VStep   *mlx.Array

	spec           *spec
	heads, kvHeads int
	headDim        int
	scale          float64
	rope           *rope // nil: none
	headNorm       headNorm
	queryScale     *queryScale
	valueNorm      nn.Layer // nil: none
	reuses         bool
}

func newAttention(s *spec, layer int) *attention {
	l := s.layers[layer]
	switch l.attention {
	case none:
		return nil
	case linear:
		return &attention{named: named{s.names}, Linear: nn.NewLinear(s.hidden, s.hidden, nn.Bias(s.outBias))}
	}
	heads, kvHeads := s.headsOf(layer)
	setDefault(&l.headDim, s.headDim)
	q, kv := heads*l.headDim, kvHeads*l.headDim
	a := &attention{
		named: named{s.names}, spec: s, heads: heads, kvHeads: kvHeads, headDim: l.headDim, scale: s.scoreScale(layer), rope: l.rope,
		headNorm: s.qkNorm, queryScale: s.queryScale, reuses: l.source > 0, Out: s.newLinear(q, s.hidden, s.outBias),
	}
	if s.qkNorm == headsByLayer {
		a.headNorm = l.headNorm
	}
	if l.queryScale != nil {
		a.queryScale = l.queryScale
	}
	if s.valueNorm {
		a.valueNorm = s.newHeadNorm(headsBare, kvHeads, l.headDim)
	}
	if s.subNorms {
		a.OutNorm = s.newNorm(q)
	}
	a.QNorm, a.KNorm = s.newHeadNorm(a.headNorm, heads, l.headDim), s.newHeadNorm(a.headNorm, kvHeads, l.headDim)
	switch {
	case a.reuses:
		a.Q, a.KNorm = s.newLinear(s.hidden, q, s.qkvBias), nil
	case s.qkv == apart:
		a.Q, a.K, a.V = s.newLinear(s.hidden, q, s.qkvBias), s.newLinear(s.hidden, kv, s.qkvBias), s.newLinear(s.hidden, kv, s.qkvBias)
	default:
		a.QKV = s.newLinear(s.hidden, q+2*kv, s.qkvBias)
	}
	if l.keysAreValues {
		a.V = nil
	}
	if s.steppedKV && !a.reuses {
		a.KStep, a.VStep = mlx.Ones(mlx.Shape{}), mlx.Ones(mlx.Shape{})
	}
	return a
}

func (a *attention) forward(x *mlx.Array, kv cache.KV, last *mlx.Array) *mlx.Array {
	if a.Linear != nil {
		return a.Linear.Forward(x)
	}
	s := a.spec
	B, L, _ := x.Dims3()
	var r *rope
	if a.rope != nil {
		r = a.rope.at(last)
	}
	q, k, v := a.project(x)
	q = a.toHeads(q, a.heads, a.QNorm, r, kv.Pos())
	if a.queryScale != nil {
		q = q.Mul(a.queryScale.at(positions(kv, L)).ExpandDims(1, 3).AsType(q.DType()))
	}
	var y *mlx.Array
	if a.reuses {
		y = kv.Again(q, a.scale)
	} else {
		k = a.toHeads(k, a.kvHeads, a.KNorm, r, kv.Pos())
		if c := s.clipQKV; c > 0 {
			v = clip(v, c)
		}
		v = through(a.valueNorm, v.Reshape(B, L, a.kvHeads, a.headDim)).Transpose(0, 2, 1, 3)
		y = kv.Attend(q, stepped(k, a.KStep), stepped(v, a.VStep), a.scale)
	}
	y = y.Transpose(0, 2, 1, 3)
	if s.headsInTurn {
		y = turn(y, a.kvHeads, a.heads/a.kvHeads)
	}
	return a.Out.Forward(through(a.OutNorm, y.Reshape(B, L, -1)))
}

// toHeads makes n heads [B, n, L, D], normalized and rotated, of queries or keys of any
// shape that begins with [B, L].
func (a *attention) toHeads(x *mlx.Array, n int, norm nn.Layer, r *rope, pos *mlx.Array) *mlx.Array {
	s := a.spec
	B, L := x.Dim(0), x.Dim(1)
	if c := s.clipQKV; c > 0 {
		x = clip(x, c)
	}
	if a.headNorm == headsTogether {
		x = norm.Forward(x.Reshape(B, L, -1))
	}
	x = x.Reshape(B, L, n, a.headDim)
	if s.headsInTurn && n == a.heads {
		x = turn(x, a.heads/a.kvHeads, a.kvHeads)
	}
	byHead := norm != nil && a.headNorm != headsTogether
	if byHead && !s.normAfterRope {
		x = norm.Forward(x)
	}
	x = x.Transpose(0, 2, 1, 3)
	if r != nil {
		x = r.apply(x, pos)
	}
	if byHead && s.normAfterRope {
		x = norm.Forward(x)
	}
	return x
}

// project gives queries, keys and values of x [B, L, D], of any shape that begins
// with [B, L].
func (a *attention) project(x *mlx.Array) (q, k, v *mlx.Array) {
	s := a.spec
	if a.reuses {
		return a.Q.Forward(x), nil, nil
	}
	switch s.qkv {
	case inOrder:
		n, m := a.heads*a.headDim, a.kvHeads*a.headDim
		parts := mlx.Split(a.QKV.Forward(x), []int{n, n + m}, mlx.Axis(-1))
		return parts[0], parts[1], parts[2]
	case byKeyHead:
		B, L, _ := x.Dims3()
		group := a.heads / a.kvHeads
		y := a.QKV.Forward(x).Reshape(B, L, a.kvHeads, group+2, a.headDim)
		parts := mlx.Split(y, []int{group, group + 1}, mlx.Axis(3))
		return parts[0], parts[1], parts[2]
	}
	k = a.K.Forward(x)
	if a.V == nil {
		return a.Q.Forward(x), k, k
	}
	return a.Q.Forward(x), k, a.V.Forward(x)
}

// stepped rounds x to 8 bits of a step, if there is one: keys and values were trained so.
func stepped(x, step *mlx.Array) *mlx.Array {
	if step == nil {
		return x
	}
	step = step.AsType(mlx.Float32)
	return round8(x.AsType(mlx.Float32).Div(step)).Mul(step).AsType(x.DType())
}

// turn makes heads [B, L, m*n, D] that are m rows of n to n rows of m.
func turn(x *mlx.Array, m, n int) *mlx.Array {
	B, L := x.Dim(0), x.Dim(1)
	return x.Reshape(B, L, m, n, -1).Transpose(0, 1, 3, 2, 4).Reshape(B, L, m*n, -1)
}

func clip(x *mlx.Array, c float64) *mlx.Array { return mlx.Minimum(mlx.Maximum(x, -c), c) }

// queryScale grows queries with their position p: 1 + beta*log(1 + floor((p+shift)/original)).
type queryScale struct{ beta, original, shift float64 }

func (s *queryScale) at(positions *mlx.Array) *mlx.Array {
	p := positions.AsType(mlx.Float32)
	if s.shift != 0 {
		p = p.Add(s.shift)
	}
	return mlx.Log1p(mlx.Floor(p.Div(s.original))).Mul(s.beta).Add(1)
}
