package nn

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	core "github.com/mlxgo/mlx/internal/tensor/fast"
)

// RMSNorm is nn.RMSNorm.
type RMSNorm struct {
	Weight *mlx.Array // [dims], or nil for none
	Eps    float64    `mlx:"-"`
	// Offset is added to the weight in float32: 1 for Gemma's norms (not in mlx.nn).
	Offset float64 `mlx:"-"`
}

// NewRMSNorm is nn.RMSNorm(dims, eps), ones.
func NewRMSNorm(dims int, opts ...NormOption) *RMSNorm {
	return &RMSNorm{Weight: mlx.Ones(mlx.Shape{dims}), Eps: normSettings(opts).eps}
}

func normSettings(opts []NormOption) settings {
	s := settings{eps: 1e-5, affine: true, bias: true}
	for _, o := range opts {
		o.norm(&s)
	}
	return s
}

// Forward normalizes the last axis.
func (n *RMSNorm) Forward(x *mlx.Array) *mlx.Array {
	if n.Offset == 0 {
		return fast.RMSNorm(x, n.Weight, n.Eps)
	}
	return core.RMSNormPlusOf(x, n.Weight, n.Eps, n.Offset, mlx.Stream{})
}

// LayerNorm is nn.LayerNorm, with [fast.LayerNorm].
type LayerNorm struct {
	Weight *mlx.Array // [dims], or nil for none
	Bias   *mlx.Array // [dims], or nil for none
	Dims   int        `mlx:"-"` // how it prints without a weight
	Eps    float64    `mlx:"-"`
	// Offset is added to the weight in float32: 1 for Nemotron's norms (not in mlx.nn).
	Offset float64 `mlx:"-"`
}

// NewLayerNorm is nn.LayerNorm(dims, eps, affine, bias): ones and zeros; without
// [Affine] there is neither.
func NewLayerNorm(dims int, opts ...NormOption) *LayerNorm {
	s := normSettings(opts)
	n := &LayerNorm{Dims: dims, Eps: s.eps}
	if s.affine {
		n.Weight = mlx.Ones(mlx.Shape{dims})
		if s.bias {
			n.Bias = mlx.Zeros(mlx.Shape{dims})
		}
	}
	return n
}

// Forward normalizes the last axis.
func (n *LayerNorm) Forward(x *mlx.Array) *mlx.Array {
	if n.Offset == 0 {
		return fast.LayerNorm(x, n.Weight, n.Bias, n.Eps)
	}
	return core.LayerNormOf(x, n.Weight, n.Bias, n.Eps, n.Offset, mlx.Stream{})
}
