package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Elementwise ops of two operands, each an *[Array] or a Go number: Add(x, 2),
// Subtract(1, x). Shapes broadcast; dtypes promote as in MLX; numbers are weak.

// Add is mx.add: a + b.
func Add[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpAdd, a, b, on("add", opts))
}

// Subtract is mx.subtract: a - b.
func Subtract[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpSubtract, a, b, on("subtract", opts))
}

// Multiply is mx.multiply: a * b.
func Multiply[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpMultiply, a, b, on("multiply", opts))
}

// Divide is mx.divide: a / b; integers give float32.
func Divide[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpDivide, a, b, on("divide", opts))
}

// Power is mx.power (pow): a ** b; integers with a negative exponent give 0.
func Power[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpPower, a, b, on("power", opts))
}

// Maximum is mx.maximum: the larger; NaN wins.
func Maximum[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpMaximum, a, b, on("maximum", opts))
}

// Minimum is mx.minimum: the smaller; NaN wins.
func Minimum[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpMinimum, a, b, on("minimum", opts))
}

// Where is mx.where: x where the condition holds, else y.
func Where[C, X, Y Operand](cond C, x X, y Y, opts ...StreamOrDevice) *Array {
	s := on("where", opts)
	a, b := tensor.Pair("where", x, y, s)
	return tensor.Where(tensor.Operand("where", cond, s), a, b, s)
}

func unary(op tensor.UnaryOp, x *Array, opts []opt.Op) *Array {
	return tensor.UnaryOf(op, x, on(op.String(), opts))
}

// Abs is mx.abs.
func Abs(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpAbs, x, opts) }

// Negative is mx.negative: -x; it panics for bool.
func Negative(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpNegative, x, opts) }

// Sign is mx.sign: -1, 0 or 1.
func Sign(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSign, x, opts) }

// Square is mx.square.
func Square(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSquare, x, opts) }

// Sqrt is mx.sqrt.
func Sqrt(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSqrt, x, opts) }

// Rsqrt is mx.rsqrt: 1 / sqrt(x).
func Rsqrt(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpRsqrt, x, opts) }

// Exp is mx.exp.
func Exp(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpExp, x, opts) }

// Log is mx.log, the natural logarithm.
func Log(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog, x, opts) }

// Log1p is mx.log1p: log(1 + x).
func Log1p(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog1p, x, opts) }

// Sin is mx.sin.
func Sin(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSin, x, opts) }

// Cos is mx.cos.
func Cos(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpCos, x, opts) }

// Tanh is mx.tanh.
func Tanh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpTanh, x, opts) }

// Sigmoid is mx.sigmoid: 1 / (1 + exp(-x)).
func Sigmoid(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSigmoid, x, opts) }

// Erf is mx.erf, the error function.
func Erf(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpErf, x, opts) }

// ErfInv is mx.erfinv, the inverse of Erf.
func ErfInv(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpErfInv, x, opts) }

// Floor is mx.floor; integers are unchanged.
func Floor(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpFloor, x, opts) }

// IsNaN is mx.isnan, bool.
func IsNaN(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsNaN, x, opts) }

// LogicalNot is mx.logical_not, bool.
func LogicalNot(x *Array, opts ...StreamOrDevice) *Array {
	return unary(tensor.OpLogicalNot, x, opts)
}

// MatMul is mx.matmul: a @ b with numpy's rules; floating only.
func MatMul(a, b *Array, opts ...StreamOrDevice) *Array {
	return tensor.MatMulOf(a, b, on("matmul", opts))
}

// axisKeywords reads axis= (nil if not given) and stream=.
func axisKeywords(op string, opts []opt.Axis) ([]int, Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForAxis(&set)
	}
	return set.Axes, streamOf(op, &set)
}
