package nn

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/random"
)

// Identity is nn.Identity.
type Identity struct{}

// Forward is x.
func (Identity) Forward(x *mlx.Array) *mlx.Array { return x }

// Sequential is nn.Sequential: layers one after the other.
type Sequential struct {
	Layers []Layer
}

// NewSequential is nn.Sequential(layers...).
func NewSequential(layers ...Layer) *Sequential { return &Sequential{Layers: layers} }

// Forward calls the layers in order.
func (s *Sequential) Forward(x *mlx.Array) *mlx.Array {
	for _, l := range s.Layers {
		x = l.Forward(x)
	}
	return x
}

// Dropout is nn.Dropout, Dropout2d and Dropout3d.
type Dropout struct {
	P        float64 // the probability to drop an element, from 0 to below 1
	Channels int     // axes before the last that share a mask: 0, 2 or 3 in MLX
	Training bool
}

// Forward drops elements while Training, drawing from package random's generator, and
// scales the others by 1/(1-P). It panics with *mlx.Error if P is not from 0 to below 1.
func (d *Dropout) Forward(x *mlx.Array) *mlx.Array {
	if d.P < 0 || d.P >= 1 {
		tensor.Throw("nn.dropout", nil, "the probability must be from 0 to below 1, not %v", d.P)
	}
	if d.P == 0 || !d.Training {
		return x
	}
	shape := x.Shape()
	if len(shape) <= d.Channels {
		tensor.Throw("nn.dropout", []mlx.Spec{tensor.SpecOf(x)}, "%d axes that share a mask need more than %d axes", d.Channels, len(shape))
	}
	for i := range d.Channels {
		shape[len(shape)-2-i] = 1
	}
	return dropped(x, d.P, random.Bernoulli(1-d.P, shape))
}

func dropped(x *mlx.Array, p float64, kept *mlx.Array) *mlx.Array {
	return mlx.Where(kept, x.Mul(1/(1-p)), 0)
}

// DropoutWith is dropout by an explicit key, for code without hidden state (not in MLX).
// p is from 0 to below 1.
func DropoutWith(x *mlx.Array, p float64, key random.Key) *mlx.Array {
	return dropped(x, p, random.Bernoulli(1-p, x.Shape(), key))
}

// PReLU is nn.PReLU: a learned slope below zero, 0.25 at first.
type PReLU struct{ Weight *mlx.Array }

// NewPReLU is nn.PReLU(n).
func NewPReLU(n int) *PReLU { return &PReLU{mlx.Full(mlx.Shape{n}, 0.25)} }

// Forward is max(0, x) + Weight * min(0, x).
func (p *PReLU) Forward(x *mlx.Array) *mlx.Array {
	return mlx.Maximum(x, 0).Add(p.Weight.Mul(mlx.Minimum(x, 0)))
}
