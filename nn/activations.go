package nn

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Activations. As a layer: nn.Func(nn.ReLU) for nn.ReLU().

// Sigmoid is nn.sigmoid: 1/(1 + exp(-x)).
func Sigmoid(x *mlx.Array) *mlx.Array { return mlx.Sigmoid(x) }

// Tanh is nn.tanh: the hyperbolic tangent.
func Tanh(x *mlx.Array) *mlx.Array { return mlx.Tanh(x) }

// ReLU is nn.relu: max(x, 0).
func ReLU(x *mlx.Array) *mlx.Array { return mlx.Maximum(x, 0) }

// ReLU2 is nn.relu2: relu(x)**2.
func ReLU2(x *mlx.Array) *mlx.Array { return mlx.Square(ReLU(x)) }

// ReLU6 is nn.relu6: min(max(x, 0), 6).
func ReLU6(x *mlx.Array) *mlx.Array { return mlx.Minimum(ReLU(x), 6) }

// SiLU is nn.silu: x * sigmoid(x).
func SiLU(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Sigmoid(x)) }

// SwiGLU is silu(gate) * up in one pass, rounded once (not in mlx.nn; mlx-lm's
// activations.swiglu).
func SwiGLU(gate, up *mlx.Array) *mlx.Array { return tensor.SwiGLUOf(gate, up, mlx.Stream{}) }

// Mish is nn.mish: x * tanh(softplus(x)).
func Mish(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Tanh(Softplus(x))) }

// GELU is nn.gelu: x * (1 + erf(x/sqrt(2))) / 2, rounded once.
func GELU(x *mlx.Array) *mlx.Array { return tensor.GELUOf(false, x, nil, mlx.Stream{}) }

// GELUApprox is nn.gelu_approx: the tanh form, rounded once.
func GELUApprox(x *mlx.Array) *mlx.Array { return tensor.GELUOf(true, x, nil, mlx.Stream{}) }

// GeGLU is gelu(gate) * up in one pass, rounded once, with GELU in its tanh form if
// approx (not in mlx.nn; mlx-lm's models have it).
func GeGLU(gate, up *mlx.Array, approx bool) *mlx.Array {
	return tensor.GELUOf(approx, gate, up, mlx.Stream{})
}

// GELUFastApprox is nn.gelu_fast_approx: x * sigmoid(1.702*x).
func GELUFastApprox(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Sigmoid(x.Mul(1.702))) }

// SELU is nn.selu: the scaled ELU, whose outputs keep mean 0 and variance 1.
func SELU(x *mlx.Array) *mlx.Array { return ELU(x, 1.67326).Mul(1.0507) }

// Softplus is nn.softplus: log(1 + exp(x)).
func Softplus(x *mlx.Array) *mlx.Array { return mlx.LogAddExp(x, 0) }

// Softsign is nn.softsign: x / (1 + |x|).
func Softsign(x *mlx.Array) *mlx.Array { return x.Div(mlx.Abs(x).Add(1)) }

// HardTanh is nn.hard_tanh: x between -1 and 1.
func HardTanh(x *mlx.Array) *mlx.Array { return mlx.Minimum(mlx.Maximum(x, -1), 1) }

// HardSwish is nn.hardswish: x * min(max(x+3, 0), 6) / 6.
func HardSwish(x *mlx.Array) *mlx.Array {
	return x.Mul(mlx.Minimum(mlx.Maximum(x.Add(3), 0), 6)).Div(6)
}

// LogSigmoid is nn.log_sigmoid: log(sigmoid(x)).
func LogSigmoid(x *mlx.Array) *mlx.Array { return Softplus(x.Neg()).Neg() }

// LeakyReLU is nn.leaky_relu: max(slope*x, x); MLX's default slope is 0.01.
func LeakyReLU(x *mlx.Array, slope float64) *mlx.Array { return mlx.Maximum(x.Mul(slope), x) }

// ELU is nn.elu: x above 0, alpha*(exp(x)-1) below; MLX's default is 1.
func ELU(x *mlx.Array, alpha float64) *mlx.Array {
	return mlx.Where(x.Gt(0), x, mlx.Exp(mlx.Minimum(x, 0)).Sub(1).Mul(alpha))
}

// CELU is nn.celu: max(x, 0) + alpha*(exp(min(x, 0)/alpha) - 1); MLX's default is 1.
func CELU(x *mlx.Array, alpha float64) *mlx.Array {
	return ReLU(x).Add(mlx.Exp(mlx.Minimum(x, 0).Div(alpha)).Sub(1).Mul(alpha))
}

// SoftShrink is nn.softshrink: x moved towards 0 by lambda; MLX's default is 0.5.
func SoftShrink(x *mlx.Array, lambda float64) *mlx.Array {
	return mlx.Where(mlx.Abs(x).Gt(lambda), x.Sub(mlx.Sign(x).Mul(lambda)), 0)
}

// HardShrink is nn.hard_shrink: x where |x| is above lambda, else 0; MLX's default is 0.5.
func HardShrink(x *mlx.Array, lambda float64) *mlx.Array {
	return mlx.Where(mlx.Abs(x).Gt(lambda), x, 0)
}

// Step is nn.step: 1 above the threshold, else 0; MLX's default is 0.
func Step(x *mlx.Array, threshold float64) *mlx.Array {
	return mlx.Where(x.Gt(threshold), 1, 0)
}

// Softmax is nn.softmax; MLX's default axis is -1.
func Softmax(x *mlx.Array, axis int) *mlx.Array { return mlx.Softmax(x, mlx.Axis(axis)) }

// Softmin is nn.softmin: the softmax of -x.
func Softmin(x *mlx.Array, axis int) *mlx.Array { return mlx.Softmax(x.Neg(), mlx.Axis(axis)) }

// LogSoftmax is nn.log_softmax: x - logsumexp(x).
func LogSoftmax(x *mlx.Array, axis int) *mlx.Array {
	return x.Sub(mlx.LogSumExp(x, mlx.Axis(axis), mlx.KeepDims(true)))
}

// GLU is nn.glu: the first half of an axis times the sigmoid of the other half.
func GLU(x *mlx.Array, axis int) *mlx.Array {
	halves := mlx.Split(x, 2, mlx.Axis(axis))
	return halves[0].Mul(mlx.Sigmoid(halves[1]))
}
