package cpu

import (
	"math"
	"math/cmplx"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The loops of elementwise ops by dtype. Each op has its own loop: Go does not
// inline an op that is passed as a function. Halves use the loops of float32.
var (
	unaryLoops  [tensor.NumUnary][dtype.Count]loop
	binaryLoops [tensor.NumBinary][dtype.Count]loop
)

func loop1[R, T any](f func(y []R, x []T)) loop {
	return func(y, a, _, _ unsafe.Pointer, n int) { f(unsafe.Slice((*R)(y), n), unsafe.Slice((*T)(a), n)) }
}

func loop2[R, T any](f func(y []R, a, b []T)) loop {
	return func(y, a, b, _ unsafe.Pointer, n int) {
		f(unsafe.Slice((*R)(y), n), unsafe.Slice((*T)(a), n), unsafe.Slice((*T)(b), n))
	}
}

func init() {
	loopsOfInt[uint8](dtype.Uint8)
	loopsOfInt[uint16](dtype.Uint16)
	loopsOfInt[uint32](dtype.Uint32)
	loopsOfInt[uint64](dtype.Uint64)
	loopsOfInt[int8](dtype.Int8)
	loopsOfInt[int16](dtype.Int16)
	loopsOfInt[int32](dtype.Int32)
	loopsOfInt[int64](dtype.Int64)
	loopsOfBool()
	loopsOfFloat32()
	loopsOfFloat64()
	loopsOfComplex()
}

// compareLoops are the ops with bool results, for ordered types.
func compareLoops[T integer | float](d dtype.DType) {
	b := func(op tensor.BinaryOp, f func(y []uint8, a, b []T)) { binaryLoops[op][d] = loop2(f) }
	b(tensor.OpEqual, equal[T])
	b(tensor.OpNotEqual, notEqual[T])
	b(tensor.OpLess, less[T])
	b(tensor.OpLessEqual, lessEqual[T])
	b(tensor.OpGreater, greater[T])
	b(tensor.OpGreaterEqual, greaterEqual[T])
	b(tensor.OpLogicalAnd, logicalAnd[T])
	b(tensor.OpLogicalOr, logicalOr[T])
	unaryLoops[tensor.OpLogicalNot][d] = loop1(logicalNot[T])
	unaryLoops[tensor.OpIsNaN][d] = loop1(isNaN[T])
}

func loopsOfInt[T integer](d dtype.DType) {
	compareLoops[T](d)
	u := func(op tensor.UnaryOp, f func(y, x []T)) { unaryLoops[op][d] = loop1(f) }
	u(tensor.OpNegative, negative[T])
	u(tensor.OpAbs, absInt[T])
	u(tensor.OpSign, signInt[T])
	u(tensor.OpSquare, squareOf[T])
	u(tensor.OpFloor, identity[T])
	b := func(op tensor.BinaryOp, f func(y, a, b []T)) { binaryLoops[op][d] = loop2(f) }
	b(tensor.OpAdd, add[T])
	b(tensor.OpSubtract, subtract[T])
	b(tensor.OpMultiply, multiply[T])
	b(tensor.OpMaximum, maximum[T])
	b(tensor.OpMinimum, minimum[T])
	b(tensor.OpPower, powerInt[T])
}

// loopsOfBool computes as C++ does: in integers, and not zero is true.
func loopsOfBool() {
	const d = dtype.Bool
	compareLoops[uint8](d)
	for _, op := range []tensor.UnaryOp{tensor.OpAbs, tensor.OpSign, tensor.OpSquare, tensor.OpFloor} {
		unaryLoops[op][d] = loop1(identity[uint8])
	}
	binaryLoops[tensor.OpAdd][d] = loop2(logicalOr[uint8])
	binaryLoops[tensor.OpSubtract][d] = loop2(notEqual[uint8])
	binaryLoops[tensor.OpMultiply][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpMaximum][d] = loop2(logicalOr[uint8])
	binaryLoops[tensor.OpMinimum][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpPower][d] = loop2(powerBool)
}

func loopsOfFloat32() {
	const d = dtype.Float32
	compareLoops[float32](d)
	for op, k := range map[tensor.UnaryOp]simd.UnaryOp{
		tensor.OpNegative: simd.Neg, tensor.OpAbs: simd.Abs, tensor.OpSign: simd.Sign, tensor.OpSquare: simd.Square,
		tensor.OpFloor: simd.Floor, tensor.OpSqrt: simd.Sqrt, tensor.OpRsqrt: simd.Rsqrt, tensor.OpExp: simd.Exp,
		tensor.OpLog: simd.Log, tensor.OpLog1p: simd.Log1p, tensor.OpSin: simd.Sin, tensor.OpCos: simd.Cos,
		tensor.OpTanh: simd.Tanh, tensor.OpSigmoid: simd.Sigmoid, tensor.OpErf: simd.Erf, tensor.OpErfInv: simd.ErfInv,
	} {
		unaryLoops[op][d] = func(y, a, _, _ unsafe.Pointer, n int) {
			simd.K.Unary[k](unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n))
		}
	}
	for op, k := range map[tensor.BinaryOp]simd.BinaryOp{
		tensor.OpAdd: simd.Add, tensor.OpSubtract: simd.Sub, tensor.OpMultiply: simd.Mul, tensor.OpDivide: simd.Div,
		tensor.OpMaximum: simd.Maximum, tensor.OpMinimum: simd.Minimum, tensor.OpPower: simd.Pow,
	} {
		binaryLoops[op][d] = func(y, a, b, _ unsafe.Pointer, n int) {
			simd.K.Binary[k](unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n), unsafe.Slice((*float32)(b), n))
		}
	}
}

func loopsOfFloat64() {
	const d = dtype.Float64
	type T = float64
	compareLoops[T](d)
	u := func(op tensor.UnaryOp, f func(y, x []T)) { unaryLoops[op][d] = loop1(f) }
	u(tensor.OpNegative, negative[T])
	u(tensor.OpSquare, squareOf[T])
	for op, f := range map[tensor.UnaryOp]func(T) T{
		tensor.OpAbs: math.Abs, tensor.OpSign: sign64, tensor.OpFloor: math.Floor, tensor.OpSqrt: math.Sqrt,
		tensor.OpRsqrt: func(x T) T { return 1 / math.Sqrt(x) }, tensor.OpExp: math.Exp, tensor.OpLog: math.Log,
		tensor.OpLog1p: math.Log1p, tensor.OpSin: math.Sin, tensor.OpCos: math.Cos, tensor.OpTanh: math.Tanh,
		tensor.OpSigmoid: sigmoid64, tensor.OpErf: math.Erf, tensor.OpErfInv: math.Erfinv,
	} {
		u(op, func(y, x []T) {
			for i, v := range x {
				y[i] = f(v)
			}
		})
	}
	b := func(op tensor.BinaryOp, f func(y, a, b []T)) { binaryLoops[op][d] = loop2(f) }
	b(tensor.OpAdd, add[T])
	b(tensor.OpSubtract, subtract[T])
	b(tensor.OpMultiply, multiply[T])
	b(tensor.OpDivide, divide[T])
	b(tensor.OpMaximum, maximum[T])
	b(tensor.OpMinimum, minimum[T])
	b(tensor.OpPower, func(y, a, b []T) {
		for i, v := range a {
			y[i] = math.Pow(v, b[i])
		}
	})
}

func sign64(x float64) float64 {
	switch {
	case x > 0:
		return 1
	case x < 0:
		return -1
	}
	return 0 // also for -0 and NaN, as in MLX
}

func sigmoid64(x float64) float64 { return 1 / (1 + math.Exp(-x)) }

func swiglu64(y, gate, up []float64) {
	for i, g := range gate {
		y[i] = g * sigmoid64(g) * up[i]
	}
}

// loopsOfComplex computes in complex128 and rounds once. Order is by real part,
// then imaginary part.
func loopsOfComplex() {
	const d = dtype.Complex64
	for op, f := range map[tensor.UnaryOp]func(complex128) complex128{
		tensor.OpSign: signComplex, tensor.OpSqrt: cmplx.Sqrt, tensor.OpExp: cmplx.Exp, tensor.OpLog: cmplx.Log,
		tensor.OpRsqrt: func(z complex128) complex128 { return 1 / cmplx.Sqrt(z) },
		tensor.OpLog1p: func(z complex128) complex128 { return cmplx.Log(1 + z) },
		tensor.OpSin:   cmplx.Sin, tensor.OpCos: cmplx.Cos, tensor.OpTanh: cmplx.Tanh,
		tensor.OpSigmoid:  func(z complex128) complex128 { return 1 / (1 + cmplx.Exp(-z)) },
		tensor.OpNegative: func(z complex128) complex128 { return -z },
		tensor.OpSquare:   func(z complex128) complex128 { return z * z },
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
	unaryLoops[tensor.OpAbs][d] = loop1(func(y []float32, x []complex64) {
		for i, z := range x {
			y[i] = float32(cmplx.Abs(complex128(z)))
		}
	})
	unaryLoops[tensor.OpIsNaN][d] = loop1(func(y []uint8, x []complex64) {
		for i, z := range x {
			y[i] = bit(nanComplex(z))
		}
	})
	unaryLoops[tensor.OpLogicalNot][d] = loop1(func(y []uint8, x []complex64) {
		for i, z := range x {
			y[i] = bit(z == 0)
		}
	})
}

func complexPairs() {
	const d = dtype.Complex64
	for op, f := range map[tensor.BinaryOp]func(a, b complex64) complex64{
		tensor.OpAdd:      func(a, b complex64) complex64 { return a + b },
		tensor.OpSubtract: func(a, b complex64) complex64 { return a - b },
		tensor.OpMultiply: func(a, b complex64) complex64 { return complex64(complex128(a) * complex128(b)) },
		tensor.OpDivide:   func(a, b complex64) complex64 { return complex64(complex128(a) / complex128(b)) },
		tensor.OpMaximum:  maxComplex,
		tensor.OpMinimum:  minComplex,
		tensor.OpPower:    func(a, b complex64) complex64 { return complex64(cmplx.Pow(complex128(a), complex128(b))) },
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

func nanComplex(z complex64) bool {
	re, im := real(z), imag(z)
	return re != re || im != im
}

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
