package cpu

import (
	"math"
	"math/big"
	"math/cmplx"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// References of elementwise ops, in complex128 or 64-bit integers.

func boolValue(b bool) value { return value{u: uint64(bit(b))} }

func isNaNRef(z complex128) bool { return math.IsNaN(real(z)) || math.IsNaN(imag(z)) }

func isInfRef(z complex128, sign int) bool { return math.IsInf(real(z), sign) && imag(z) == 0 }

func unaryRef(op tensor.UnaryOp, d dtype.DType, v value) value {
	if isInt(d) {
		return unaryInt(op, d, v)
	}
	switch op {
	case tensor.OpIsNaN:
		return boolValue(isNaNRef(v.z))
	case tensor.OpIsInf:
		return boolValue(cmplx.IsInf(v.z))
	case tensor.OpIsPosInf:
		return boolValue(isInfRef(v.z, 1))
	case tensor.OpIsNegInf:
		return boolValue(isInfRef(v.z, -1))
	case tensor.OpIsFinite:
		return boolValue(!isNaNRef(v.z) && !cmplx.IsInf(v.z))
	case tensor.OpLogicalNot:
		return boolValue(v.z == 0)
	case tensor.OpToFP8:
		return value{u: nearestFP8(real(v.z))}
	}
	if d == dtype.Complex64 {
		return value{z: unaryComplex[op](v.z)}
	}
	return value{z: complex(unaryFloat[op](real(v.z)), 0)}
}

func unaryInt(op tensor.UnaryOp, d dtype.DType, v value) value {
	neg := isSigned(d) && int64(v.u) < 0
	switch op {
	case tensor.OpNegative:
		return value{u: wrap(d, -v.u)}
	case tensor.OpAbs:
		if neg {
			return value{u: wrap(d, -v.u)}
		}
		return v
	case tensor.OpSign:
		if neg {
			return value{u: wrap(d, math.MaxUint64)}
		}
		return value{u: min(v.u, 1)}
	case tensor.OpSquare:
		return value{u: wrap(d, v.u*v.u)}
	case tensor.OpLogicalNot:
		return boolValue(v.u == 0)
	case tensor.OpIsNaN, tensor.OpIsInf, tensor.OpIsPosInf, tensor.OpIsNegInf:
		return value{}
	case tensor.OpIsFinite:
		return boolValue(true)
	case tensor.OpBitwiseInvert:
		if d == dtype.Bool {
			return boolValue(v.u == 0)
		}
		return value{u: wrap(d, ^v.u)}
	case tensor.OpFromFP8:
		return value{z: complex(valueOfFP8(v.u), 0)}
	}
	panic("no reference of " + op.String())
}

// valueOfFP8 is the number of the bits of e4m3: a sign, an exponent of bias 7, three
// bits of fraction; there are no infinities, and none is NaN here.
func valueOfFP8(b uint64) float64 {
	m, e := float64(b&7), int(b>>3&15)
	f := math.Ldexp(m, -9)
	if e > 0 {
		f = math.Ldexp(8+m, e-10)
	}
	if b>>7 == 1 {
		f = -f
	}
	return f
}

// nearestFP8 searches; of two at one distance the even one is nearer. NaN and what is
// beyond 448 give 448.
func nearestFP8(x float64) uint64 {
	best := uint64(0x7e)
	if a := math.Abs(x); a < 448 {
		for b := range uint64(0x7f) {
			d, e := math.Abs(valueOfFP8(b)-a), math.Abs(valueOfFP8(best)-a)
			if d < e || d == e && b&1 == 0 {
				best = b
			}
		}
	}
	if math.Signbit(x) {
		best |= 0x80
	}
	return best
}

var unaryFloat = map[tensor.UnaryOp]func(x float64) float64{
	tensor.OpNegative: func(x float64) float64 { return -x },
	tensor.OpAbs:      math.Abs,
	tensor.OpSign: func(x float64) float64 {
		if x > 0 {
			return 1
		} else if x < 0 {
			return -1
		}
		return 0
	},
	tensor.OpSquare: func(x float64) float64 { return x * x },
	tensor.OpFloor:  math.Floor, tensor.OpCeil: math.Ceil, tensor.OpTrunc: math.Trunc, tensor.OpRound: math.RoundToEven,
	tensor.OpSqrt: math.Sqrt, tensor.OpRsqrt: func(x float64) float64 { return 1 / math.Sqrt(x) },
	tensor.OpReciprocal: func(x float64) float64 { return 1 / x },
	tensor.OpExp:        math.Exp, tensor.OpExpm1: math.Expm1,
	tensor.OpLog: math.Log, tensor.OpLog2: math.Log2, tensor.OpLog10: math.Log10, tensor.OpLog1p: math.Log1p,
	tensor.OpSin: math.Sin, tensor.OpCos: math.Cos, tensor.OpTan: math.Tan,
	tensor.OpArcSin: math.Asin, tensor.OpArcCos: math.Acos, tensor.OpArcTan: math.Atan,
	tensor.OpSinh: math.Sinh, tensor.OpCosh: math.Cosh, tensor.OpTanh: math.Tanh,
	tensor.OpArcSinh: math.Asinh, tensor.OpArcCosh: math.Acosh, tensor.OpArcTanh: math.Atanh,
	tensor.OpSigmoid: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	tensor.OpErf:     math.Erf, tensor.OpErfInv: math.Erfinv,
}

// unaryComplex are definitions by exponentials where there is one.
var unaryComplex = map[tensor.UnaryOp]func(z complex128) complex128{
	tensor.OpNegative:  func(z complex128) complex128 { return -z },
	tensor.OpAbs:       func(z complex128) complex128 { return complex(math.Hypot(real(z), imag(z)), 0) },
	tensor.OpReal:      func(z complex128) complex128 { return complex(real(z), 0) },
	tensor.OpImag:      func(z complex128) complex128 { return complex(imag(z), 0) },
	tensor.OpConjugate: func(z complex128) complex128 { return complex(real(z), -imag(z)) },
	tensor.OpSign: func(z complex128) complex128 {
		if z == 0 {
			return 0
		}
		return z / complex(math.Hypot(real(z), imag(z)), 0)
	},
	tensor.OpSquare: func(z complex128) complex128 { return z * z },
	tensor.OpRound: func(z complex128) complex128 {
		return complex(math.RoundToEven(real(z)), math.RoundToEven(imag(z)))
	},
	tensor.OpSqrt:       func(z complex128) complex128 { return cmplx.Exp(cmplx.Log(z) / 2) },
	tensor.OpRsqrt:      func(z complex128) complex128 { return cmplx.Exp(-cmplx.Log(z) / 2) },
	tensor.OpReciprocal: func(z complex128) complex128 { return 1 / z },
	tensor.OpExp: func(z complex128) complex128 {
		return complex(math.Exp(real(z)), 0) * complex(math.Cos(imag(z)), math.Sin(imag(z)))
	},
	tensor.OpLog:   cmplx.Log,
	tensor.OpLog2:  func(z complex128) complex128 { return cmplx.Log(z) * math.Log2E },
	tensor.OpLog10: func(z complex128) complex128 { return cmplx.Log(z) * math.Log10E },
	tensor.OpLog1p: func(z complex128) complex128 { return cmplx.Log(1 + z) },
	tensor.OpSin:   cmplx.Sin, tensor.OpCos: cmplx.Cos,
	tensor.OpTan:  func(z complex128) complex128 { return cmplx.Sin(z) / cmplx.Cos(z) },
	tensor.OpSinh: func(z complex128) complex128 { return (cmplx.Exp(z) - cmplx.Exp(-z)) / 2 },
	tensor.OpCosh: func(z complex128) complex128 { return (cmplx.Exp(z) + cmplx.Exp(-z)) / 2 },
	tensor.OpTanh: func(z complex128) complex128 {
		return (cmplx.Exp(z) - cmplx.Exp(-z)) / (cmplx.Exp(z) + cmplx.Exp(-z))
	},
	tensor.OpArcSin: cmplx.Asin, tensor.OpArcCos: cmplx.Acos, tensor.OpArcTan: cmplx.Atan,
	tensor.OpArcSinh: cmplx.Asinh, tensor.OpArcCosh: cmplx.Acosh, tensor.OpArcTanh: cmplx.Atanh,
}

func binaryRef(op tensor.BinaryOp, d dtype.DType, a, b value) value {
	if isInt(d) {
		return binaryInt(op, d, a.u, b.u)
	}
	x, y := a.z, b.z
	nan := isNaNRef(x) || isNaNRef(y)
	less := real(x) < real(y) || real(x) == real(y) && imag(x) < imag(y)
	switch op {
	case tensor.OpMaximum, tensor.OpMinimum:
		switch {
		case isNaNRef(x):
			return a
		case isNaNRef(y):
			return b
		case less == (op == tensor.OpMaximum):
			return b
		}
		return a
	case tensor.OpEqual:
		return boolValue(x == y)
	case tensor.OpNotEqual:
		return boolValue(x != y)
	case tensor.OpLess:
		return boolValue(!nan && less)
	case tensor.OpLessEqual:
		return boolValue(!nan && (less || x == y))
	case tensor.OpGreater:
		return boolValue(!nan && !less && x != y)
	case tensor.OpGreaterEqual:
		return boolValue(!nan && !less)
	case tensor.OpLogicalAnd:
		return boolValue(x != 0 && y != 0)
	case tensor.OpLogicalOr:
		return boolValue(x != 0 || y != 0)
	case tensor.OpLogicalXor:
		return boolValue((x != 0) != (y != 0))
	}
	if d == dtype.Complex64 {
		return value{z: binaryComplex[op](x, y)}
	}
	return value{z: complex(binaryFloat[op](real(x), real(y)), 0)}
}

var binaryComplex = map[tensor.BinaryOp]func(x, y complex128) complex128{
	tensor.OpAdd:       func(x, y complex128) complex128 { return x + y },
	tensor.OpSubtract:  func(x, y complex128) complex128 { return x - y },
	tensor.OpMultiply:  func(x, y complex128) complex128 { return x * y },
	tensor.OpDivide:    func(x, y complex128) complex128 { return x / y },
	tensor.OpPower:     cmplx.Pow,
	tensor.OpLogAddExp: func(x, y complex128) complex128 { return logSumRef(x, y) },
}

// logSumRef has the branch of the larger term, as the op.
func logSumRef(x, y complex128) complex128 {
	if real(x) < real(y) || real(x) == real(y) && imag(x) < imag(y) {
		x, y = y, x
	}
	return x + cmplx.Log(1+cmplx.Exp(y-x))
}

var binaryFloat = map[tensor.BinaryOp]func(x, y float64) float64{
	tensor.OpAdd:      func(x, y float64) float64 { return x + y },
	tensor.OpSubtract: func(x, y float64) float64 { return x - y },
	tensor.OpMultiply: func(x, y float64) float64 { return x * y },
	tensor.OpDivide:   func(x, y float64) float64 { return x / y },
	tensor.OpPower:    math.Pow,
	tensor.OpArcTan2:  math.Atan2,
	tensor.OpLogAddExp: func(x, y float64) float64 {
		if x == y {
			return x + math.Ln2
		}
		return math.Max(x, y) + math.Log1p(math.Exp(-math.Abs(x-y)))
	},
	tensor.OpFloorDivide: func(x, y float64) float64 { q, _ := floorModRef(x, y); return q },
	tensor.OpRemainder:   func(x, y float64) float64 { _, r := floorModRef(x, y); return r },
}

// floorModRef is exact for finite numbers: fractions of any size.
func floorModRef(x, y float64) (q, r float64) {
	switch {
	case y == 0:
		return x / y, math.NaN()
	case math.IsNaN(x) || math.IsNaN(y) || math.IsInf(x, 0):
		return math.NaN(), math.NaN()
	case math.IsInf(y, 0):
		if x == 0 || (x < 0) == (y < 0) {
			return 0, x
		}
		return -1, y
	}
	a, b := new(big.Rat).SetFloat64(x), new(big.Rat).SetFloat64(y)
	ratio := new(big.Rat).Quo(a, b)
	whole := new(big.Int).Div(ratio.Num(), ratio.Denom()) // rounds down: the divisor is positive
	q, _ = new(big.Rat).SetInt(whole).Float64()
	r, _ = a.Sub(a, b.Mul(b, new(big.Rat).SetInt(whole))).Float64()
	return q, r
}

// bigInt is u as a number of dtype d.
func bigInt(d dtype.DType, u uint64) *big.Int {
	if isSigned(d) {
		return big.NewInt(int64(u))
	}
	return new(big.Int).SetUint64(u)
}

// floorModInt is by definition, of unbounded integers; by 0 both are 0.
func floorModInt(d dtype.DType, x, y uint64) (q, r uint64) {
	if y == 0 {
		return 0, 0
	}
	a, b := bigInt(d, x), bigInt(d, y)
	quo, rem := new(big.Int).DivMod(a, b, new(big.Int)) // 0 <= rem < |b|
	if b.Sign() < 0 && rem.Sign() > 0 {
		quo.Sub(quo, big.NewInt(1))
		rem.Add(rem, b)
	}
	low := new(big.Int).SetUint64(math.MaxUint64)
	return quo.And(quo, low).Uint64(), rem.And(rem, low).Uint64()
}

func binaryInt(op tensor.BinaryOp, d dtype.DType, x, y uint64) value {
	less := x < y
	if isSigned(d) {
		less = int64(x) < int64(y)
	}
	num := func(u uint64) value {
		if d == dtype.Bool {
			return boolValue(u != 0)
		}
		return value{u: wrap(d, u)}
	}
	switch op {
	case tensor.OpAdd:
		return num(x + y)
	case tensor.OpSubtract:
		return num(x - y)
	case tensor.OpMultiply:
		return num(x * y)
	case tensor.OpMaximum, tensor.OpMinimum:
		if less == (op == tensor.OpMaximum) {
			return num(y)
		}
		return num(x)
	case tensor.OpPower:
		return num(powerRef(d, x, y))
	case tensor.OpFloorDivide:
		q, _ := floorModInt(d, x, y)
		return num(q)
	case tensor.OpRemainder:
		_, r := floorModInt(d, x, y)
		return num(r)
	case tensor.OpBitwiseAnd:
		return num(x & y)
	case tensor.OpBitwiseOr:
		return num(x | y)
	case tensor.OpBitwiseXor:
		return num(x ^ y)
	case tensor.OpLeftShift, tensor.OpRightShift:
		return num(shiftRef(op, d, x, y))
	}
	return compareRef(op, less, x, y)
}

func powerRef(d dtype.DType, x, y uint64) uint64 {
	if isSigned(d) && int64(y) < 0 {
		return 0
	}
	r := uint64(1)
	for i := 63; i >= 0; i-- { // from the high bits, unlike the kernel
		r *= r
		if y>>i&1 == 1 {
			r *= x
		}
	}
	return r
}

// shiftRef shifts one place at a time; negative counts are beyond every width.
func shiftRef(op tensor.BinaryOp, d dtype.DType, x, y uint64) uint64 {
	if isSigned(d) && int64(y) < 0 {
		y = 64
	}
	for range min(y, 64) {
		switch {
		case op == tensor.OpLeftShift:
			x *= 2
		case isSigned(d):
			x = uint64(int64(x) >> 1)
		default:
			x /= 2
		}
	}
	return x
}

func compareRef(op tensor.BinaryOp, less bool, x, y uint64) value {
	switch op {
	case tensor.OpEqual:
		return boolValue(x == y)
	case tensor.OpNotEqual:
		return boolValue(x != y)
	case tensor.OpLess:
		return boolValue(less)
	case tensor.OpLessEqual:
		return boolValue(less || x == y)
	case tensor.OpGreater:
		return boolValue(!less && x != y)
	case tensor.OpGreaterEqual:
		return boolValue(!less)
	case tensor.OpLogicalAnd:
		return boolValue(x != 0 && y != 0)
	case tensor.OpLogicalOr:
		return boolValue(x != 0 || y != 0)
	case tensor.OpLogicalXor:
		return boolValue((x != 0) != (y != 0))
	}
	panic("no reference of " + op.String())
}
