package mlx

import (
	"math"

	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Elementwise ops of one array; the result has its shape. Those that are only
// defined on reals (Exp, Sin, Sqrt, ...) make bool and integers float32; the others
// keep the dtype. Floats are computed in float32 at least. A dtype that an op has
// no meaning for is misuse.

func unary(op tensor.UnaryOp, x *Array, opts []opt.Op) *Array {
	return tensor.UnaryOf(op, x, on(op.String(), opts))
}

// Abs is mx.abs: the absolute value; float32 for complex64.
func Abs(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpAbs, x, opts) }

// Sign is mx.sign: -1, 0 or 1 (0 for NaN); z/|z| for complex64.
func Sign(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSign, x, opts) }

// Positive is mx.positive: x itself.
func Positive(x *Array, opts ...StreamOrDevice) *Array {
	on("positive", opts)
	return x
}

// Negative is mx.negative: -x; integers wrap. It panics for bool.
func Negative(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpNegative, x, opts) }

// Square is mx.square: x*x; integers wrap.
func Square(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSquare, x, opts) }

// Sqrt is mx.sqrt: the square root.
func Sqrt(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSqrt, x, opts) }

// Rsqrt is mx.rsqrt: 1 / sqrt(x).
func Rsqrt(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpRsqrt, x, opts) }

// Reciprocal is mx.reciprocal: 1 / x.
func Reciprocal(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpReciprocal, x, opts) }

// Exp is mx.exp: e**x.
func Exp(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpExp, x, opts) }

// Expm1 is mx.expm1: e**x - 1, exact near 0; not for complex64.
func Expm1(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpExpm1, x, opts) }

// Log is mx.log: the natural logarithm.
func Log(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog, x, opts) }

// Log2 is mx.log2: the logarithm to base 2.
func Log2(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog2, x, opts) }

// Log10 is mx.log10: the logarithm to base 10.
func Log10(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog10, x, opts) }

// Log1p is mx.log1p: log(1 + x), exact near 0.
func Log1p(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLog1p, x, opts) }

// Sin is mx.sin: the sine.
func Sin(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSin, x, opts) }

// Cos is mx.cos: the cosine.
func Cos(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpCos, x, opts) }

// Tan is mx.tan: the tangent.
func Tan(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpTan, x, opts) }

// ArcSin is mx.arcsin (asin): the inverse sine.
func ArcSin(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcSin, x, opts) }

// ArcCos is mx.arccos (acos): the inverse cosine.
func ArcCos(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcCos, x, opts) }

// ArcTan is mx.arctan (atan): the inverse tangent.
func ArcTan(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcTan, x, opts) }

// Sinh is mx.sinh: the hyperbolic sine.
func Sinh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSinh, x, opts) }

// Cosh is mx.cosh: the hyperbolic cosine.
func Cosh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpCosh, x, opts) }

// Tanh is mx.tanh: the hyperbolic tangent.
func Tanh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpTanh, x, opts) }

// ArcSinh is mx.arcsinh (asinh): the inverse hyperbolic sine.
func ArcSinh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcSinh, x, opts) }

// ArcCosh is mx.arccosh (acosh): the inverse hyperbolic cosine.
func ArcCosh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcCosh, x, opts) }

// ArcTanh is mx.arctanh (atanh): the inverse hyperbolic tangent.
func ArcTanh(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpArcTanh, x, opts) }

// Degrees is mx.degrees: radians to degrees.
func Degrees(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.Scaled(x, 180/math.Pi, on("degrees", opts))
}

// Radians is mx.radians: degrees to radians.
func Radians(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.Scaled(x, math.Pi/180, on("radians", opts))
}

// Floor is mx.floor: down to an integer; keeps the dtype. Not for complex64.
func Floor(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpFloor, x, opts) }

// Ceil is mx.ceil: up to an integer; keeps the dtype. Not for complex64.
func Ceil(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpCeil, x, opts) }

// Trunc is mx.trunc: toward zero; keeps the dtype. Not for complex64.
func Trunc(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpTrunc, x, opts) }

// Round is mx.round(x, decimals): to nearest, halves to even; negative decimals round
// to tens, hundreds, ... It keeps the dtype, and integers are exact.
func Round(x *Array, decimals int, opts ...StreamOrDevice) *Array {
	return tensor.RoundTo(x, decimals, on("round", opts))
}

// Erf is mx.erf: the error function; not for complex64.
func Erf(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpErf, x, opts) }

// ErfInv is mx.erfinv: the inverse of [Erf]; NaN beyond -1 and 1. Not for complex64.
func ErfInv(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpErfInv, x, opts) }

// Sigmoid is mx.sigmoid: 1 / (1 + exp(-x)); not for complex64.
func Sigmoid(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpSigmoid, x, opts) }

// LogicalNot is mx.logical_not: not x, bool; what is not 0 is true, NaN too.
func LogicalNot(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpLogicalNot, x, opts) }

// BitwiseInvert is mx.bitwise_invert: ~x, for integers and bool.
func BitwiseInvert(x *Array, opts ...StreamOrDevice) *Array {
	return unary(tensor.OpBitwiseInvert, x, opts)
}

// IsNaN is mx.isnan: bool.
func IsNaN(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsNaN, x, opts) }

// IsInf is mx.isinf: bool, either infinity; of a part if complex64.
func IsInf(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsInf, x, opts) }

// IsPosInf is mx.isposinf: bool.
func IsPosInf(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsPosInf, x, opts) }

// IsNegInf is mx.isneginf: bool.
func IsNegInf(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsNegInf, x, opts) }

// IsFinite is mx.isfinite: bool, neither infinite nor NaN.
func IsFinite(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpIsFinite, x, opts) }

// Conjugate is mx.conjugate (conj): the complex conjugate; reals are unchanged.
func Conjugate(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpConjugate, x, opts) }

// Real is mx.real: the real part, float32 of complex64; reals are unchanged.
func Real(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpReal, x, opts) }

// Imag is mx.imag: the imaginary part, float32 of complex64; 0 of reals, in their dtype.
func Imag(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpImag, x, opts) }

// StopGradient is mx.stop_gradient: x, through which no gradient flows.
func StopGradient(x *Array, opts ...StreamOrDevice) *Array {
	return tensor.StopGradientOf(x, on("stop_gradient", opts))
}

// NaNToNum is mx.nan_to_num(x, nan, posinf, neginf): MLX's defaults are 0 and the
// largest finite values, which infinities here stand for. Integers are unchanged;
// of complex64 each part is replaced.
func NaNToNum(x *Array, nan, posInf, negInf float64, opts ...StreamOrDevice) *Array {
	return tensor.NaNToNum(x, nan, posInf, negInf, on("nan_to_num", opts))
}

// ToFP8 is mx.to_fp8: floating x as float8 e4m3 bits in uint8, rounded half to even;
// what is beyond 448 becomes 448, NaN too.
func ToFP8(x *Array, opts ...StreamOrDevice) *Array { return unary(tensor.OpToFP8, x, opts) }

// FromFP8 is mx.from_fp8(x, dtype): float8 e4m3 bits in uint8 as floating numbers,
// bfloat16 unless a dtype is given.
func FromFP8(x *Array, opts ...CreateOption) *Array {
	d, s := creation("from_fp8", opts, BFloat16)
	if !d.Is(Floating) {
		tensor.Throw("from_fp8", nil, "%v is not floating", d)
	}
	return tensor.AsType(tensor.UnaryOf(tensor.OpFromFP8, x, s), d, s)
}
