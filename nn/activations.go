package nn

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// SiLU is nn.silu: x * sigmoid(x).
func SiLU(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Sigmoid(x)) }

// SwiGLU is silu(gate) * up in one pass, rounded once (not in mlx.nn; mlx-lm's
// activations.swiglu).
func SwiGLU(gate, up *mlx.Array) *mlx.Array { return tensor.SwiGLUOf(gate, up, mlx.Stream{}) }

// ReLU is nn.relu: max(x, 0).
func ReLU(x *mlx.Array) *mlx.Array { return mlx.Maximum(x, 0) }

// ReLU2 is nn.relu2: relu(x)**2.
func ReLU2(x *mlx.Array) *mlx.Array { return mlx.Square(ReLU(x)) }

// GELU is nn.gelu: x * (1 + erf(x/sqrt(2))) / 2, rounded once.
func GELU(x *mlx.Array) *mlx.Array { return tensor.GELUOf(false, x, nil, mlx.Stream{}) }

// GELUApprox is nn.gelu_approx: the tanh form, rounded once.
func GELUApprox(x *mlx.Array) *mlx.Array { return tensor.GELUOf(true, x, nil, mlx.Stream{}) }

// GeGLU is gelu(gate) * up in one pass, rounded once, with GELU in its tanh form if
// approx (not in mlx.nn; mlx-lm's models have it).
func GeGLU(gate, up *mlx.Array, approx bool) *mlx.Array {
	return tensor.GELUOf(approx, gate, up, mlx.Stream{})
}

// Softplus is nn.softplus: log(1 + exp(x)).
func Softplus(x *mlx.Array) *mlx.Array {
	return mlx.Maximum(x, 0).Add(mlx.Log1p(mlx.Exp(mlx.Abs(x).Neg())))
}
