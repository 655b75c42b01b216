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
// Halves are computed in float32.
func GELU(x *mlx.Array) *mlx.Array {
	return widened(x, func(x *mlx.Array) *mlx.Array {
		return x.Mul(mlx.Erf(x.Mul(1 / math.Sqrt2)).Add(1)).Mul(0.5)
	})
}

// GELUApprox is nn.gelu_approx: the tanh form. Halves are computed in float32.
func GELUApprox(x *mlx.Array) *mlx.Array {
	return widened(x, func(x *mlx.Array) *mlx.Array {
		inner := mlx.Square(x).Mul(0.044715).Add(1).Mul(x).Mul(math.Sqrt(2 / math.Pi))
		return x.Mul(mlx.Tanh(inner).Add(1)).Mul(0.5)
	})
}

// widened is f of x with one rounding at the end.
func widened(x *mlx.Array, f func(x *mlx.Array) *mlx.Array) *mlx.Array {
	if d := x.DType(); d == mlx.Float16 || d == mlx.BFloat16 {
		return f(x.AsType(mlx.Float32)).AsType(d)
	}
	return f(x)
}

// Softplus is nn.softplus: log(1 + exp(x)).
func Softplus(x *mlx.Array) *mlx.Array {
	return mlx.Maximum(x, 0).Add(mlx.Log1p(mlx.Exp(mlx.Abs(x).Neg())))
}
