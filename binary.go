package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Elementwise ops of two operands, each an *[Array] or a Go number: Add(x, 2),
// Subtract(1, x). Shapes broadcast; dtypes promote as in MLX; numbers are weak.
// Integers wrap.

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

// FloorDivide is mx.floor_divide: a // b, down to an integer, of integers too (MLX
// truncates those); an integer by 0 gives 0. Not for complex64.
func FloorDivide[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpFloorDivide, a, b, on("floor_divide", opts))
}

// Remainder is mx.remainder: a % b with the sign of b, so that (a//b)*b + a%b is a; an
// integer by 0 gives 0. Not for complex64.
func Remainder[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpRemainder, a, b, on("remainder", opts))
}

// DivMod is mx.divmod: [FloorDivide] and [Remainder].
func DivMod[A, B Operand](a A, b B, opts ...StreamOrDevice) (quo, rem *Array) {
	s := on("divmod", opts)
	x, y := tensor.Pair("divmod", a, b, s)
	return tensor.BinaryOf(tensor.OpFloorDivide, x, y, s), tensor.BinaryOf(tensor.OpRemainder, x, y, s)
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

// ArcTan2 is mx.arctan2 (atan2): the angle of (b, a), from -pi to pi; integers give
// float32. Not for complex64.
func ArcTan2[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpArcTan2, a, b, on("arctan2", opts))
}

// LogAddExp is mx.logaddexp: log(exp(a) + exp(b)), without overflow; integers give
// float32.
func LogAddExp[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLogAddExp, a, b, on("logaddexp", opts))
}

// Equal is mx.equal: a == b, bool.
func Equal[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpEqual, a, b, on("equal", opts))
}

// NotEqual is mx.not_equal: a != b, bool.
func NotEqual[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpNotEqual, a, b, on("not_equal", opts))
}

// Less is mx.less: a < b, bool; complex64 by real part, then imaginary part.
func Less[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLess, a, b, on("less", opts))
}

// LessEqual is mx.less_equal: a <= b, bool.
func LessEqual[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLessEqual, a, b, on("less_equal", opts))
}

// Greater is mx.greater: a > b, bool.
func Greater[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpGreater, a, b, on("greater", opts))
}

// GreaterEqual is mx.greater_equal: a >= b, bool.
func GreaterEqual[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpGreaterEqual, a, b, on("greater_equal", opts))
}

// LogicalAnd is mx.logical_and: bool; what is not 0 is true.
func LogicalAnd[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLogicalAnd, a, b, on("logical_and", opts))
}

// LogicalOr is mx.logical_or: bool; what is not 0 is true.
func LogicalOr[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLogicalOr, a, b, on("logical_or", opts))
}

// LogicalXor is mx.logical_xor: bool; what is not 0 is true.
func LogicalXor[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLogicalXor, a, b, on("logical_xor", opts))
}

// BitwiseAnd is mx.bitwise_and: a & b, for integers and bool.
func BitwiseAnd[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpBitwiseAnd, a, b, on("bitwise_and", opts))
}

// BitwiseOr is mx.bitwise_or: a | b, for integers and bool.
func BitwiseOr[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpBitwiseOr, a, b, on("bitwise_or", opts))
}

// BitwiseXor is mx.bitwise_xor: a ^ b, for integers and bool.
func BitwiseXor[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpBitwiseXor, a, b, on("bitwise_xor", opts))
}

// LeftShift is mx.left_shift (bitwise_left_shift): a << b for integers; bool gives uint8.
// A count beyond the width, or below 0, shifts all bits out.
func LeftShift[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpLeftShift, a, b, on("left_shift", opts))
}

// RightShift is mx.right_shift (bitwise_right_shift): a >> b for integers, with the sign; see
// [LeftShift].
func RightShift[A, B Operand](a A, b B, opts ...StreamOrDevice) *Array {
	return tensor.BinaryAny(tensor.OpRightShift, a, b, on("right_shift", opts))
}

// Where is mx.where: x where the condition holds, else y.
func Where[C, X, Y Operand](cond C, x X, y Y, opts ...StreamOrDevice) *Array {
	s := on("where", opts)
	a, b := tensor.Pair("where", x, y, s)
	return tensor.Where(tensor.Operand("where", cond, s), a, b, s)
}

// Clip is mx.clip(x, lo, hi): the smaller of hi and the larger of lo and x; NaN in
// any is NaN. A nil *[Array] is no bound; it panics if neither is given.
func Clip[L, H Operand](x *Array, lo L, hi H, opts ...StreamOrDevice) *Array {
	s := on("clip", opts)
	below, above := noBound(lo), noBound(hi)
	if below && above {
		tensor.Throw("clip", []Spec{tensor.SpecOf(x)}, "neither bound is given")
	}
	if !below {
		x = tensor.BinaryAny(tensor.OpMaximum, x, lo, s)
	}
	if !above {
		x = tensor.BinaryAny(tensor.OpMinimum, x, hi, s)
	}
	return x
}

// noBound reports whether v is a nil array.
func noBound(v any) bool {
	a, ok := v.(*Array)
	return ok && a == nil
}

func closeness(op string, opts []opt.Close) (tensor.Closeness, Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForClose(&set)
	}
	c := tensor.Closeness{RTol: 1e-5, ATol: 1e-8, EqualNaN: set.EqualNaN}
	if set.RTol != nil {
		c.RTol = *set.RTol
	}
	if set.ATol != nil {
		c.ATol = *set.ATol
	}
	return c, streamOf(op, &set)
}

// IsClose is mx.isclose: |a - b| <= atol + rtol*|b|, bool, in float32 at least;
// equal infinities are close.
func IsClose[A, B Operand](a A, b B, opts ...CloseOption) *Array {
	c, s := closeness("isclose", opts)
	x, y := tensor.Pair("isclose", a, b, s)
	return tensor.IsCloseOf(x, y, c, s)
}

// AllClose is mx.allclose: all of [IsClose], one bool.
func AllClose[A, B Operand](a A, b B, opts ...CloseOption) *Array {
	c, s := closeness("allclose", opts)
	x, y := tensor.Pair("allclose", a, b, s)
	return tensor.ReduceOf(tensor.OpAll, tensor.IsCloseOf(x, y, c, s), nil, false, s)
}

// ArrayEqual is mx.array_equal: same shape and elements, one bool; dtypes may
// differ. Of the keywords it takes EqualNaN and a stream; tolerances are misuse.
func ArrayEqual(a, b *Array, opts ...CloseOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForClose(&set)
	}
	if set.RTol != nil || set.ATol != nil {
		tensor.Throw("array_equal", nil, "takes no tolerance; see AllClose")
	}
	return tensor.ArrayEqualOf(a, b, set.EqualNaN, streamOf("array_equal", &set))
}
