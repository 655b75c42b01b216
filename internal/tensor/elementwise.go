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

// The unary ops. Those up to OpFloor keep the dtype; the others compute in
// floating point and make integers float32.
const (
	OpNegative UnaryOp = iota
	OpAbs
	OpSign
	OpSquare
	OpLogicalNot // any dtype to bool
	OpIsNaN      // any dtype to bool
	OpFloor
	OpSqrt
	OpRsqrt
	OpExp
	OpLog
	OpLog1p
	OpSin
	OpCos
	OpTanh
	OpSigmoid
	OpErf
	OpErfInv
	NumUnary
)

var unaryNames = [NumUnary]string{
	"negative", "abs", "sign", "square", "logical_not", "isnan", "floor", "sqrt", "rsqrt", "exp", "log", "log1p",
	"sin", "cos", "tanh", "sigmoid", "erf", "erfinv",
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
	NumBinary
)

var binaryNames = [NumBinary]string{
	"add", "subtract", "multiply", "divide", "maximum", "minimum", "power", "equal", "not_equal", "less", "less_equal",
	"greater", "greater_equal", "logical_and", "logical_or",
}

func (o BinaryOp) String() string { return binaryNames[o] }

// Boolean reports whether the result is bool.
func (o BinaryOp) Boolean() bool { return o >= OpEqual && o <= OpLogicalOr }

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
	switch {
	case p.Op == OpLogicalNot || p.Op == OpIsNaN:
		return []Spec{{in[0].Shape, dtype.Bool}}, nil
	case p.Op == OpNegative && d == dtype.Bool:
		return nil, errors.New("negative of bool; use logical_not")
	case p.Op >= OpSqrt && !d.Is(dtype.Inexact):
		return nil, fmt.Errorf("%v is not floating", d)
	case (p.Op == OpErf || p.Op == OpErfInv || p.Op == OpFloor || p.Op == OpSigmoid) && d == dtype.Complex64:
		return nil, errors.New("not defined for complex64")
	case p.Op == OpAbs && d == dtype.Complex64:
		return []Spec{{in[0].Shape, dtype.Float32}}, nil
	}
	return same(in)
}

// Infer checks that the specs are equal.
func (p Binary) Infer(in []Spec) ([]Spec, error) {
	if !in[0].Equal(in[1]) {
		return nil, errors.New("specs differ")
	}
	if p.Op == OpDivide && !in[0].DType.Is(dtype.Inexact) {
		return nil, fmt.Errorf("%v is not floating", in[0].DType)
	}
	if p.Op.Boolean() {
		return []Spec{{in[0].Shape, dtype.Bool}}, nil
	}
	return same(in)
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

// UnaryOf applies op; those that need floating point make integers float32.
func UnaryOf(op UnaryOp, a *Array, s Stream) *Array {
	if op >= OpSqrt {
		a = AsType(a, dtype.AtLeastFloat(a.DType()), s)
	}
	return Apply1(Unary{op}, s, a)
}

// BinaryOf applies op to a and b in their common dtype and shape.
func BinaryOf(op BinaryOp, a, b *Array, s Stream) *Array {
	d := promote(a.DType(), b.DType())
	switch {
	case op == OpDivide:
		d = dtype.AtLeastFloat(d)
	case op == OpLogicalAnd || op == OpLogicalOr:
		d = dtype.Bool
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
