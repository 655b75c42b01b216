package tensor

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// UnaryOp is an elementwise function of one array.
type UnaryOp uint8

// The unary ops. Those before OpSqrt keep the dtype or say which one they give; the
// others compute in floating point and make integers float32.
const (
	OpNegative UnaryOp = iota
	OpAbs
	OpSign
	OpSquare
	OpLogicalNot // any dtype to bool, and so the tests
	OpIsNaN
	OpIsInf
	OpIsPosInf
	OpIsNegInf
	OpIsFinite
	OpFloor // floating only: integers are their own floor, ceil, ...
	OpCeil
	OpTrunc
	OpRound         // halves to even
	OpBitwiseInvert // bool and integers
	OpConjugate     // complex only, and so the parts
	OpReal
	OpImag
	OpToFP8   // floating to e4m3 in uint8
	OpFromFP8 // e4m3 in uint8 to float32
	OpSqrt
	OpRsqrt
	OpReciprocal
	OpExp
	OpExpm1
	OpLog
	OpLog2
	OpLog10
	OpLog1p
	OpSin
	OpCos
	OpTan
	OpArcSin
	OpArcCos
	OpArcTan
	OpSinh
	OpCosh
	OpTanh
	OpArcSinh
	OpArcCosh
	OpArcTanh
	OpSigmoid
	OpErf
	OpErfInv
	NumUnary
)

var unaryNames = [NumUnary]string{
	"negative", "abs", "sign", "square", "logical_not", "isnan", "isinf", "isposinf", "isneginf", "isfinite",
	"floor", "ceil", "trunc", "round", "bitwise_invert", "conjugate", "real", "imag", "to_fp8", "from_fp8",
	"sqrt", "rsqrt", "reciprocal", "exp", "expm1", "log", "log2", "log10", "log1p", "sin", "cos", "tan",
	"arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "arcsinh", "arccosh", "arctanh", "sigmoid", "erf", "erfinv",
}

func (o UnaryOp) String() string { return unaryNames[o] }

// BinaryOp is an elementwise function of two arrays.
type BinaryOp uint8

// The binary ops. Comparisons give bool.
const (
	OpAdd BinaryOp = iota
	OpSubtract
	OpMultiply
	OpDivide // floating
	OpMaximum
	OpMinimum
	OpPower
	OpEqual
	OpNotEqual
	OpLess
	OpLessEqual
	OpGreater
	OpGreaterEqual
	OpLogicalAnd
	OpLogicalOr
	OpLogicalXor
	OpFloorDivide // reals; by 0 integers give 0
	OpRemainder   // reals, with the sign of the divisor; by 0 integers give 0
	OpArcTan2     // real floating
	OpLogAddExp   // floating
	OpBitwiseAnd  // bool and integers
	OpBitwiseOr
	OpBitwiseXor
	OpLeftShift // integers; a count beyond the width, or below 0, shifts all bits out
	OpRightShift
	NumBinary
)

var binaryNames = [NumBinary]string{
	"add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "equal", "not_equal", "less", "less_equal",
	"greater", "greater_equal", "logical_and", "logical_or", "logical_xor", "floor_divide", "remainder", "arctan2",
	"logaddexp", "bitwise_and", "bitwise_or", "bitwise_xor", "left_shift", "right_shift",
}

func (o BinaryOp) String() string { return binaryNames[o] }

// Boolean reports whether the result is bool.
func (o BinaryOp) Boolean() bool { return o >= OpEqual && o <= OpLogicalXor }

// floats reports whether the op computes in floating point.
func (o BinaryOp) floats() bool { return o == OpDivide || o == OpArcTan2 || o == OpLogAddExp }

// Elementwise primitives. Inputs have equal shapes and one dtype: the ops below
// promote and broadcast first.
type (
	// Unary applies Op to each element.
	Unary struct{ Op UnaryOp }
	// Binary applies Op to pairs of elements.
	Binary struct{ Op BinaryOp }
	// Select is where(condition, x, y).
	Select struct{}
	// Cast converts to another dtype.
	Cast struct{ To DType }
	// SwiGLU is silu(gate) * up with inputs gate, up, rounded once.
	SwiGLU struct{}
	// GELU is x * (1 + erf(x/sqrt(2))) / 2, or its tanh form, times a second input when
	// there is one, rounded once.
	GELU struct{ Tanh bool }
)

// Name is the op's name.
func (p Unary) Name() string  { return p.Op.String() }
func (p Binary) Name() string { return p.Op.String() }
func (Select) Name() string   { return "where" }
func (Cast) Name() string     { return "astype" }
func (SwiGLU) Name() string   { return "swiglu" }
func (GELU) Name() string     { return "gelu" }

// Infer keeps the shape.
func (p Unary) Infer(in []Spec) ([]Spec, error) {
	d := in[0].DType
	if !p.Op.takes(d) {
		if p.Op == OpNegative {
			return nil, errors.New("negative of bool; use logical_not")
		}
		return nil, fmt.Errorf("not defined for %v", d)
	}
	switch {
	case p.Op >= OpLogicalNot && p.Op <= OpIsFinite:
		d = dtype.Bool
	case p.Op == OpToFP8:
		d = dtype.Uint8
	case p.Op == OpFromFP8, p.Op == OpReal, p.Op == OpImag, p.Op == OpAbs && d == dtype.Complex64:
		d = dtype.Float32
	}
	return []Spec{{in[0].Shape, d}}, nil
}

// takes reports whether the op has a meaning for dtype d.
func (o UnaryOp) takes(d DType) bool {
	switch o {
	case OpNegative:
		return d != dtype.Bool
	case OpFloor, OpCeil, OpTrunc, OpExpm1, OpSigmoid, OpErf, OpErfInv, OpToFP8:
		return d.Is(dtype.Floating)
	case OpBitwiseInvert:
		return d == dtype.Bool || d.Is(dtype.Integer)
	case OpConjugate, OpReal, OpImag:
		return d == dtype.Complex64
	case OpFromFP8:
		return d == dtype.Uint8
	}
	return o != OpRound && o < OpSqrt || d.Is(dtype.Inexact)
}

// Infer checks that the specs are equal.
func (p Binary) Infer(in []Spec) ([]Spec, error) {
	if !in[0].Equal(in[1]) {
		return nil, errors.New("specs differ")
	}
	d := in[0].DType
	if !p.Op.takes(d) {
		return nil, fmt.Errorf("not defined for %v", d)
	}
	if p.Op.Boolean() {
		d = dtype.Bool
	}
	return []Spec{{in[0].Shape, d}}, nil
}

// takes reports whether the op has a meaning for dtype d.
func (o BinaryOp) takes(d DType) bool {
	switch o {
	case OpDivide, OpLogAddExp:
		return d.Is(dtype.Inexact)
	case OpArcTan2:
		return d.Is(dtype.Floating)
	case OpFloorDivide, OpRemainder:
		return d != dtype.Complex64
	case OpBitwiseAnd, OpBitwiseOr, OpBitwiseXor:
		return d == dtype.Bool || d.Is(dtype.Integer)
	case OpLeftShift, OpRightShift:
		return d.Is(dtype.Integer)
	}
	return true
}

// Infer checks condition, x, y.
func (Select) Infer(in []Spec) ([]Spec, error) {
	if in[0].DType != dtype.Bool || !in[1].Equal(in[2]) || !slices.Equal(in[0].Shape, in[1].Shape) {
		return nil, errors.New("specs differ, or the condition is not bool")
	}
	return []Spec{in[1]}, nil
}

// Infer changes the dtype.
func (p Cast) Infer(in []Spec) ([]Spec, error) { return []Spec{{in[0].Shape, p.To}}, nil }

// Infer checks gate and up.
func (SwiGLU) Infer(in []Spec) ([]Spec, error) {
	if !in[0].Equal(in[1]) || !in[0].DType.Is(dtype.Floating) {
		return nil, errors.New("gate and up must be floating and of one spec")
	}
	return same(in)
}

// Infer checks x and the second input.
func (GELU) Infer(in []Spec) ([]Spec, error) {
	if !in[0].DType.Is(dtype.Floating) || len(in) == 2 && !in[0].Equal(in[1]) {
		return nil, errors.New("inputs must be floating and of one spec")
	}
	return same(in)
}

// Reuse lets the result take the first input's buffer.
func (Unary) Reuse() int { return 0 }

// Reuse lets the result take the first input's buffer.
func (Binary) Reuse() int { return 0 }

// Reuse lets the result take the gate's buffer.
func (SwiGLU) Reuse() int { return 0 }

// Elementwise marks index-by-index ops.
func (Unary) Elementwise()  {}
func (Binary) Elementwise() {}
func (Select) Elementwise() {}
func (Cast) Elementwise()   {}
func (SwiGLU) Elementwise() {}
func (GELU) Elementwise()   {}

// ---- constants ----

// Const is a scalar that compile can see. Bits is the little-endian element.
type Const struct {
	DType DType
	Bits  uint64
}

// MakeConst is v in dtype d.
func MakeConst(v float64, d DType) Const { return Const{d, floatBits(v, d)} }

// Name is the op's name.
func (Const) Name() string { return "constant" }

// Infer gives the scalar's spec.
func (p Const) Infer([]Spec) ([]Spec, error) { return []Spec{{nil, p.DType}}, nil }

// Arange is Start + i*Step for i below N, computed in double precision.
type Arange struct {
	Start, Step F64
	N           int
	DType       DType
}

// Name is the op's name.
func (Arange) Name() string { return "arange" }

// Infer gives one axis.
func (p Arange) Infer([]Spec) ([]Spec, error) {
	if p.N < 0 {
		return nil, errors.New("negative length")
	}
	return []Spec{{Shape{p.N}, p.DType}}, nil
}

// FloatScalar is v as a scalar of dtype d.
func FloatScalar(v float64, d DType, s Stream) *Array {
	return Apply1(Const{d, floatBits(v, d)}, s)
}

// IntScalar is v as a scalar of dtype d; it panics when an integer d of less than
// 64 bits does not hold v. Beside uint64 a negative v wraps, as in MLX.
func IntScalar(v int64, d DType, s Stream) *Array {
	if d.Is(dtype.Integer) {
		if d.Size() < 8 && !dtype.FitsWeakInt(d, v) {
			Throw("array", nil, "%d would overflow %v", v, d)
		}
		return Apply1(Const{d, uint64(v) & (1<<(8*d.Size()-1)<<1 - 1)}, s)
	}
	return FloatScalar(float64(v), d, s)
}

// ComplexScalar is v as a complex64 scalar.
func ComplexScalar(v complex128, s Stream) *Array {
	re, im := math.Float32bits(float32(real(v))), math.Float32bits(float32(imag(v)))
	return Apply1(Const{dtype.Complex64, uint64(re) | uint64(im)<<32}, s)
}

func floatBits(v float64, d DType) uint64 {
	switch d {
	case dtype.Bool:
		if v != 0 {
			return 1
		}
		return 0
	case dtype.Float16:
		return uint64(dtype.F32ToF16(float32(v)))
	case dtype.BFloat16:
		return uint64(dtype.F32ToBF16(float32(v)))
	case dtype.Float32, dtype.Complex64:
		return uint64(math.Float32bits(float32(v)))
	case dtype.Float64:
		return math.Float64bits(v)
	}
	return uint64(int64(v)) & (1<<(8*d.Size()-1)<<1 - 1)
}

// FullOf repeats scalar v to shape.
func FullOf(v *Array, shape Shape, s Stream) *Array {
	return CopyOf(BroadcastTo(v, shape, s), s)
}

// ---- ops ----

func promote(a, b DType) DType { return dtype.Promote(a, b) }

// AsType converts a to d.
func AsType(a *Array, d DType, s Stream) *Array {
	if a.DType() == d {
		return a
	}
	return Apply1(Cast{d}, s, a)
}

// UnaryOf applies op; those that need floating point make integers float32. What
// an op leaves as it is, such as the floor of an integer, is a itself.
func UnaryOf(op UnaryOp, a *Array, s Stream) *Array {
	d := a.DType()
	switch {
	case op >= OpSqrt:
		a = AsType(a, dtype.AtLeastFloat(d), s)
	case op >= OpFloor && op <= OpRound && !d.Is(dtype.Inexact), (op == OpConjugate || op == OpReal) && d != dtype.Complex64:
		return a
	case op == OpImag && d != dtype.Complex64:
		return ZerosLike(a, s)
	}
	return Apply1(Unary{op}, s, a)
}

// BinaryOf applies op to a and b in their common dtype and shape.
func BinaryOf(op BinaryOp, a, b *Array, s Stream) *Array {
	d := promote(a.DType(), b.DType())
	switch {
	case op.floats():
		d = dtype.AtLeastFloat(d)
	case op >= OpLogicalAnd && op <= OpLogicalXor:
		d = dtype.Bool
	case (op == OpLeftShift || op == OpRightShift) && d == dtype.Bool:
		d = dtype.Uint8
	}
	a, b = AsType(a, d, s), AsType(b, d, s)
	a, b = broadcastPair(op.String(), a, b, s)
	return Apply1(Binary{op}, s, a, b)
}

func broadcastPair(op string, a, b *Array, s Stream) (*Array, *Array) {
	x, y := SpecOf(a).Shape, SpecOf(b).Shape
	if slices.Equal(x, y) {
		return a, b
	}
	t := BroadcastShapes(op, x, y)
	return fit(a, t, s), fit(b, t, s)
}

// fit broadcasts without touching an array that fits.
func fit(a *Array, t Shape, s Stream) *Array {
	if slices.Equal(SpecOf(a).Shape, t) {
		return a
	}
	return Apply1(Broadcast{MakeInts(t...)}, s, a)
}

// Where is x where the condition holds, else y.
func Where(cond, x, y *Array, s Stream) *Array {
	d := promote(x.DType(), y.DType())
	cond, x, y = AsType(cond, dtype.Bool, s), AsType(x, d, s), AsType(y, d, s)
	t := BroadcastShapes("where", BroadcastShapes("where", SpecOf(cond).Shape, SpecOf(x).Shape), SpecOf(y).Shape)
	return Apply1(Select{}, s, fit(cond, t, s), fit(x, t, s), fit(y, t, s))
}

// SwiGLUOf is silu(gate) * up, in their common dtype.
func SwiGLUOf(gate, up *Array, s Stream) *Array {
	d := dtype.AtLeastFloat(promote(gate.DType(), up.DType()))
	return Apply1(SwiGLU{}, s, AsType(gate, d, s), AsType(up, d, s))
}

// GELUOf is gelu(x), times up unless it is nil, in their common dtype.
func GELUOf(tanh bool, x, up *Array, s Stream) *Array {
	d := dtype.AtLeastFloat(x.DType())
	if up == nil {
		return Apply1(GELU{tanh}, s, AsType(x, d, s))
	}
	d = dtype.AtLeastFloat(promote(d, up.DType()))
	return Apply1(GELU{tanh}, s, AsType(x, d, s), AsType(up, d, s))
}
