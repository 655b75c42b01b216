package cpu

import (
	"math"
	"math/cmplx"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// loopsOfComplex computes in complex128 and rounds once. Order is by real part,
// then imaginary part.
func loopsOfComplex() {
	const d = dtype.Complex64
	for op, f := range map[tensor.UnaryOp]func(complex128) complex128{
		tensor.OpSign: signComplex, tensor.OpSqrt: cmplx.Sqrt, tensor.OpExp: cmplx.Exp, tensor.OpLog: cmplx.Log,
		tensor.OpLog2: log2Complex, tensor.OpLog10: cmplx.Log10, tensor.OpLog1p: log1pComplex,
		tensor.OpSin: cmplx.Sin, tensor.OpCos: cmplx.Cos, tensor.OpTan: cmplx.Tan,
		tensor.OpArcSin: cmplx.Asin, tensor.OpArcCos: cmplx.Acos, tensor.OpArcTan: cmplx.Atan,
		tensor.OpSinh: cmplx.Sinh, tensor.OpCosh: cmplx.Cosh, tensor.OpTanh: cmplx.Tanh,
		tensor.OpArcSinh: cmplx.Asinh, tensor.OpArcCosh: cmplx.Acosh, tensor.OpArcTanh: cmplx.Atanh,
		tensor.OpRsqrt:      func(z complex128) complex128 { return 1 / cmplx.Sqrt(z) },
		tensor.OpReciprocal: func(z complex128) complex128 { return 1 / z },
		tensor.OpNegative:   func(z complex128) complex128 { return -z },
		tensor.OpSquare:     func(z complex128) complex128 { return z * z },
		tensor.OpConjugate:  cmplx.Conj,
		tensor.OpRound: func(z complex128) complex128 {
			return complex(math.RoundToEven(real(z)), math.RoundToEven(imag(z)))
		},
	} {
		unaryLoops[op][d] = loop1(func(y, x []complex64) {
			for i, z := range x {
				y[i] = complex64(f(complex128(z)))
			}
		})
	}
	complexTests()
	complexPairs()
}

// complexTests are the unary ops whose results are not complex.
func complexTests() {
	const d = dtype.Complex64
	for op, f := range map[tensor.UnaryOp]func(z complex64) float32{
		tensor.OpAbs:  func(z complex64) float32 { return float32(cmplx.Abs(complex128(z))) },
		tensor.OpReal: func(z complex64) float32 { return real(z) },
		tensor.OpImag: func(z complex64) float32 { return imag(z) },
	} {
		unaryLoops[op][d] = loop1(func(y []float32, x []complex64) {
			for i, z := range x {
				y[i] = f(z)
			}
		})
	}
	inf := complex64(complex(math.Inf(1), 0))
	for op, f := range map[tensor.UnaryOp]func(z complex64) bool{
		tensor.OpIsNaN:      nanComplex,
		tensor.OpIsInf:      infComplex,
		tensor.OpIsPosInf:   func(z complex64) bool { return z == inf },
		tensor.OpIsNegInf:   func(z complex64) bool { return z == -inf },
		tensor.OpIsFinite:   func(z complex64) bool { return !nanComplex(z) && !infComplex(z) },
		tensor.OpLogicalNot: func(z complex64) bool { return z == 0 },
	} {
		unaryLoops[op][d] = loop1(func(y []uint8, x []complex64) {
			for i, z := range x {
				y[i] = bit(f(z))
			}
		})
	}
}

func complexPairs() {
	const d = dtype.Complex64
	for op, f := range map[tensor.BinaryOp]func(a, b complex64) complex64{
		tensor.OpAdd:       func(a, b complex64) complex64 { return a + b },
		tensor.OpSubtract:  func(a, b complex64) complex64 { return a - b },
		tensor.OpMultiply:  func(a, b complex64) complex64 { return complex64(complex128(a) * complex128(b)) },
		tensor.OpDivide:    func(a, b complex64) complex64 { return complex64(complex128(a) / complex128(b)) },
		tensor.OpMaximum:   maxComplex,
		tensor.OpMinimum:   minComplex,
		tensor.OpPower:     func(a, b complex64) complex64 { return complex64(cmplx.Pow(complex128(a), complex128(b))) },
		tensor.OpLogAddExp: logAddExpComplex,
	} {
		binaryLoops[op][d] = loop2(func(y, a, b []complex64) {
			for i, z := range a {
				y[i] = f(z, b[i])
			}
		})
	}
	for op, f := range map[tensor.BinaryOp]func(a, b complex64) bool{
		tensor.OpEqual:        func(a, b complex64) bool { return a == b },
		tensor.OpNotEqual:     func(a, b complex64) bool { return a != b },
		tensor.OpLess:         lessComplex,
		tensor.OpGreater:      func(a, b complex64) bool { return lessComplex(b, a) },
		tensor.OpLessEqual:    func(a, b complex64) bool { return a == b || lessComplex(a, b) },
		tensor.OpGreaterEqual: func(a, b complex64) bool { return a == b || lessComplex(b, a) },
		tensor.OpLogicalAnd:   func(a, b complex64) bool { return a != 0 && b != 0 },
		tensor.OpLogicalOr:    func(a, b complex64) bool { return a != 0 || b != 0 },
		tensor.OpLogicalXor:   func(a, b complex64) bool { return (a != 0) != (b != 0) },
	} {
		binaryLoops[op][d] = loop2(func(y []uint8, a, b []complex64) {
			for i, z := range a {
				y[i] = bit(f(z, b[i]))
			}
		})
	}
}

func signComplex(z complex128) complex128 {
	if z == 0 {
		return 0
	}
	return z / complex(cmplx.Abs(z), 0)
}

// log1pComplex keeps its digits near 0: |1+z|^2 - 1 is x(2+x) + y^2.
func log1pComplex(z complex128) complex128 {
	x, y := real(z), imag(z)
	if math.Abs(x) > 0.5 || math.Abs(y) > 0.5 {
		return cmplx.Log(1 + z)
	}
	return complex(math.Log1p(x*(2+x)+y*y)/2, math.Atan2(y, 1+x))
}

func log2Complex(z complex128) complex128 {
	return cmplx.Log(z) / math.Ln2
}

func logAddExpComplex(a, b complex64) complex64 {
	return complex64(logAddExpWide(complex128(a), complex128(b)))
}

// logAddExpWide takes the larger out, in the order of lessComplex.
func logAddExpWide(hi, lo complex128) complex128 {
	if nanWide(hi) || nanWide(lo) {
		return cmplx.NaN()
	}
	if real(hi) < real(lo) || real(hi) == real(lo) && imag(hi) < imag(lo) {
		hi, lo = lo, hi
	}
	if math.IsInf(real(lo), -1) || math.IsInf(real(hi), 1) {
		return hi
	}
	return hi + log1pComplex(cmplx.Exp(lo-hi))
}

func infComplex(z complex64) bool { return cmplx.IsInf(complex128(z)) }

func nanComplex(z complex64) bool { return nanWide(complex128(z)) }

// nanWide is also true beside an infinite part, unlike cmplx.IsNaN.
func nanWide(z complex128) bool { return math.IsNaN(real(z)) || math.IsNaN(imag(z)) }

func lessComplex(a, b complex64) bool {
	return real(a) < real(b) || real(a) == real(b) && imag(a) < imag(b)
}

func maxComplex(a, b complex64) complex64 {
	if nanComplex(a) || !nanComplex(b) && !lessComplex(a, b) {
		return a
	}
	return b
}

func minComplex(a, b complex64) complex64 {
	if nanComplex(a) || !nanComplex(b) && !lessComplex(b, a) {
		return a
	}
	return b
}
