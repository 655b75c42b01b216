package nn

import (
	"math"

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

// GELU is nn.gelu: x * (1 + erf(x/sqrt(2))) / 2.
func GELU(x *mlx.Array) *mlx.Array {
	return x.Mul(mlx.Erf(x.Mul(1 / math.Sqrt2)).Add(1)).Mul(0.5)
}

// GELUApprox is nn.gelu_approx: the tanh form.
func GELUApprox(x *mlx.Array) *mlx.Array {
	inner := mlx.Square(x).Mul(0.044715).Add(1).Mul(x).Mul(math.Sqrt(2 / math.Pi))
	return x.Mul(mlx.Tanh(inner).Add(1)).Mul(0.5)
}

// Softplus is nn.softplus: log(1 + exp(x)).
func Softplus(x *mlx.Array) *mlx.Array {
	return mlx.Maximum(x, 0).Add(mlx.Log1p(mlx.Exp(mlx.Abs(x).Neg())))
}
