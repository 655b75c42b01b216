package models

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/nn"
)

// normKind is how a family normalizes.
type normKind uint8

const (
	rmsNorm           normKind = iota
	rmsNormPlus1               // the weight is stored less 1
	rmsNormBare                // no parameters
	layerNorm                  // with a bias
	layerNormPlus1             // with a bias, and the weight is stored less 1
	layerNormUnbiased          // a weight only
	layerNormBare              // no parameters
)

// blockNorms are the norms that a block has.
type blockNorms struct{ input, attention, pre, mlp bool }

var (
	preNorms      = blockNorms{input: true, pre: true}
	postNorms     = blockNorms{attention: true, mlp: true}
	sandwichNorms = blockNorms{true, true, true, true}
	oneNorm       = blockNorms{input: true}
)

// newNorm is a norm of n features.
func (s *spec) newNorm(n int) nn.Layer { return s.newNormOf(n, s.eps) }

func (s *spec) newNormOf(n int, eps float64) nn.Layer {
	if s.norm <= rmsNormBare {
		l := nn.NewRMSNorm(n, nn.Eps(eps))
		switch s.norm {
		case rmsNormPlus1:
			l.Offset = 1
		case rmsNormBare:
			l.Weight = nil
		}
		return l
	}
	l := nn.NewLayerNorm(n, nn.Eps(eps))
	switch s.norm {
	case layerNormPlus1:
		l.Offset = 1
	case layerNormUnbiased:
		l.Bias = nil
	case layerNormBare:
		l.Weight, l.Bias = nil, nil
	}
	return l
}

// headNorm is how queries and keys are normalized.
type headNorm uint8

const (
	headsFree     headNorm = iota
	headsAlike             // each head, by one norm of the family's kind
	headsLayer             // each head, by one LayerNorm with a bias
	headsTogether          // the whole projection
	headsByRow             // LayerNorm of each head with an own row of one weight
	headsApart             // LayerNorm of each head with an own norm
	headsBare              // RMSNorm of each head without parameters
	headsByLayer           // layers differ
)

// newHeadNorm is the norm of n heads of headDim features, nil if there is none.
func (s *spec) newHeadNorm(kind headNorm, n, headDim int) nn.Layer {
	eps := s.headEps
	setDefault(&eps, s.eps)
	switch kind {
	case headsBare:
		l := nn.NewRMSNorm(headDim, nn.Eps(s.eps))
		l.Weight = nil
		return l
	case headsAlike:
		return s.newNormOf(headDim, eps)
	case headsLayer:
		return nn.NewLayerNorm(headDim, nn.Eps(s.eps))
	case headsTogether:
		return s.newNorm(n * headDim)
	case headsByRow:
		return &rowNorm{Weight: mlx.Ones(mlx.Shape{n, headDim}), eps: s.eps}
	case headsApart:
		l := &apartNorm{eps: s.eps}
		for range n {
			one := nn.NewLayerNorm(headDim, nn.Eps(s.eps))
			one.Bias = nil
			l.Norms = append(l.Norms, one)
		}
		return l
	}
	return nil
}

// rowNorm is Cohere's: LayerNorm of [..., H, D] with a weight for each head.
type rowNorm struct {
	Weight *mlx.Array // [H, D]

	eps float64
}

// Forward normalizes the last axis.
func (n *rowNorm) Forward(x *mlx.Array) *mlx.Array {
	return fast.LayerNorm(x, nil, nil, n.eps).Mul(n.Weight.AsType(x.DType()))
}

// apartNorm is StableLM's: a LayerNorm without bias for each head of [..., H, D].
type apartNorm struct {
	Norms []*nn.LayerNorm

	eps float64
}

// Forward normalizes the last axis.
func (n *apartNorm) Forward(x *mlx.Array) *mlx.Array {
	var w mlx.Arrays
	for _, l := range n.Norms {
		w = append(w, l.Weight)
	}
	all := mlx.Concatenate(w).Reshape(len(n.Norms), -1)
	return fast.LayerNorm(x, nil, nil, n.eps).Mul(all.AsType(x.DType()))
}
