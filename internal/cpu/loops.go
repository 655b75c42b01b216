package cpu

import (
	"math"
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
	b(tensor.OpLogicalXor, logicalXor[T])
	unaryLoops[tensor.OpLogicalNot][d] = loop1(logicalNot[T])
}

// finiteLoops are the tests of dtypes that hold neither NaN nor infinities.
func finiteLoops(d dtype.DType) {
	for _, op := range []tensor.UnaryOp{tensor.OpIsNaN, tensor.OpIsInf, tensor.OpIsPosInf, tensor.OpIsNegInf} {
		unaryLoops[op][d] = constant(0)
	}
	unaryLoops[tensor.OpIsFinite][d] = constant(1)
}

// floatLoops are the tests and quotients of floats.
func floatLoops[T float](d dtype.DType, floorMod func(a, b T) (q, r T)) {
	u := func(op tensor.UnaryOp, f func(y []uint8, x []T)) { unaryLoops[op][d] = loop1(f) }
	u(tensor.OpIsNaN, isNaN[T])
	u(tensor.OpIsInf, isInf[T])
	u(tensor.OpIsPosInf, isPosInf[T])
	u(tensor.OpIsNegInf, isNegInf[T])
	u(tensor.OpIsFinite, isFinite[T])
	binaryLoops[tensor.OpFloorDivide][d] = loop2(func(y, a, b []T) {
		for i, v := range a {
			y[i], _ = floorMod(v, b[i])
		}
	})
	binaryLoops[tensor.OpRemainder][d] = loop2(func(y, a, b []T) {
		for i, v := range a {
			_, y[i] = floorMod(v, b[i])
		}
	})
}

func loopsOfInt[T integer](d dtype.DType) {
	compareLoops[T](d)
	finiteLoops(d)
	u := func(op tensor.UnaryOp, f func(y, x []T)) { unaryLoops[op][d] = loop1(f) }
	u(tensor.OpNegative, negative[T])
	u(tensor.OpAbs, absInt[T])
	u(tensor.OpSign, signInt[T])
	u(tensor.OpSquare, squareOf[T])
	u(tensor.OpBitwiseInvert, invert[T])
	b := func(op tensor.BinaryOp, f func(y, a, b []T)) { binaryLoops[op][d] = loop2(f) }
	b(tensor.OpAdd, add[T])
	b(tensor.OpSubtract, subtract[T])
	b(tensor.OpMultiply, multiply[T])
	b(tensor.OpMaximum, maximum[T])
	b(tensor.OpMinimum, minimum[T])
	b(tensor.OpPower, powerInt[T])
	b(tensor.OpFloorDivide, floorDivideInt[T])
	b(tensor.OpRemainder, remainderInt[T])
	b(tensor.OpBitwiseAnd, bitAnd[T])
	b(tensor.OpBitwiseOr, bitOr[T])
	b(tensor.OpBitwiseXor, bitXor[T])
	b(tensor.OpLeftShift, leftShift[T])
	b(tensor.OpRightShift, rightShift[T])
}

// loopsOfBool computes as C++ does: in integers, and not zero is true.
func loopsOfBool() {
	const d = dtype.Bool
	compareLoops[uint8](d)
	finiteLoops(d)
	for _, op := range []tensor.UnaryOp{tensor.OpAbs, tensor.OpSign, tensor.OpSquare} {
		unaryLoops[op][d] = loop1(identity[uint8])
	}
	unaryLoops[tensor.OpBitwiseInvert][d] = loop1(logicalNot[uint8])
	binaryLoops[tensor.OpAdd][d] = loop2(logicalOr[uint8])
	binaryLoops[tensor.OpSubtract][d] = loop2(notEqual[uint8])
	binaryLoops[tensor.OpMultiply][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpMaximum][d] = loop2(logicalOr[uint8])
	binaryLoops[tensor.OpMinimum][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpPower][d] = loop2(powerBool)
	binaryLoops[tensor.OpFloorDivide][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpRemainder][d] = constant(0)
	binaryLoops[tensor.OpBitwiseAnd][d] = loop2(logicalAnd[uint8])
	binaryLoops[tensor.OpBitwiseOr][d] = loop2(logicalOr[uint8])
	binaryLoops[tensor.OpBitwiseXor][d] = loop2(logicalXor[uint8])
}

// vectorUnary and vectorBinary are the ops that simd.Table has for float32.
var (
	vectorUnary = map[tensor.UnaryOp]simd.UnaryOp{
		tensor.OpNegative: simd.Neg, tensor.OpAbs: simd.Abs, tensor.OpSign: simd.Sign, tensor.OpSquare: simd.Square,
		tensor.OpFloor: simd.Floor, tensor.OpCeil: simd.Ceil, tensor.OpTrunc: simd.Trunc, tensor.OpRound: simd.Rint,
		tensor.OpSqrt: simd.Sqrt, tensor.OpRsqrt: simd.Rsqrt, tensor.OpReciprocal: simd.Reciprocal, tensor.OpExp: simd.Exp,
		tensor.OpExpm1: simd.Expm1, tensor.OpLog: simd.Log, tensor.OpLog2: simd.Log2, tensor.OpLog10: simd.Log10,
		tensor.OpLog1p: simd.Log1p, tensor.OpSin: simd.Sin, tensor.OpCos: simd.Cos, tensor.OpTan: simd.Tan,
		tensor.OpArcSin: simd.Asin, tensor.OpArcCos: simd.Acos, tensor.OpArcTan: simd.Atan, tensor.OpSinh: simd.Sinh,
		tensor.OpCosh: simd.Cosh, tensor.OpTanh: simd.Tanh, tensor.OpArcSinh: simd.Asinh, tensor.OpArcCosh: simd.Acosh,
		tensor.OpArcTanh: simd.Atanh, tensor.OpSigmoid: simd.Sigmoid, tensor.OpErf: simd.Erf, tensor.OpErfInv: simd.ErfInv,
	}
	vectorBinary = map[tensor.BinaryOp]simd.BinaryOp{
		tensor.OpAdd: simd.Add, tensor.OpSubtract: simd.Sub, tensor.OpMultiply: simd.Mul, tensor.OpDivide: simd.Div,
		tensor.OpMaximum: simd.Maximum, tensor.OpMinimum: simd.Minimum, tensor.OpPower: simd.Pow,
		tensor.OpArcTan2: simd.Atan2, tensor.OpLogAddExp: simd.LogAddExp,
	}
)

func loopsOfFloat32() {
	const d = dtype.Float32
	compareLoops[float32](d)
	floatLoops(d, floorMod32)
	for op, k := range vectorUnary {
		unaryLoops[op][d] = func(y, a, _, _ unsafe.Pointer, n int) {
			simd.K.Unary[k](unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n))
		}
	}
	for op, k := range vectorBinary {
		binaryLoops[op][d] = func(y, a, b, _ unsafe.Pointer, n int) {
			simd.K.Binary[k](unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n), unsafe.Slice((*float32)(b), n))
		}
	}
	unaryLoops[tensor.OpToFP8][d] = loop1(toFP8[float32])
	unaryLoops[tensor.OpFromFP8][dtype.Uint8] = loop1(fromFP8)
}

func toFP8[T float](y []uint8, x []T) {
	for i, v := range x {
		y[i] = simd.ToE4M3(float32(v))
	}
}

func fromFP8(y []float32, x []uint8) {
	for i, v := range x {
		y[i] = simd.FromE4M3(v)
	}
}

// wideUnary are the ops of float64 that call a function for each element.
var wideUnary = map[tensor.UnaryOp]func(float64) float64{
	tensor.OpAbs: math.Abs, tensor.OpSign: sign64,
	tensor.OpFloor: math.Floor, tensor.OpCeil: math.Ceil, tensor.OpTrunc: math.Trunc, tensor.OpRound: math.RoundToEven,
	tensor.OpSqrt: math.Sqrt, tensor.OpRsqrt: func(x float64) float64 { return 1 / math.Sqrt(x) },
	tensor.OpReciprocal: func(x float64) float64 { return 1 / x },
	tensor.OpExp:        math.Exp, tensor.OpExpm1: math.Expm1,
	tensor.OpLog: math.Log, tensor.OpLog2: math.Log2, tensor.OpLog10: math.Log10, tensor.OpLog1p: math.Log1p,
	tensor.OpSin: math.Sin, tensor.OpCos: math.Cos, tensor.OpTan: math.Tan,
	tensor.OpArcSin: math.Asin, tensor.OpArcCos: math.Acos, tensor.OpArcTan: math.Atan,
	tensor.OpSinh: math.Sinh, tensor.OpCosh: math.Cosh, tensor.OpTanh: math.Tanh,
	tensor.OpArcSinh: math.Asinh, tensor.OpArcCosh: math.Acosh, tensor.OpArcTanh: math.Atanh,
	tensor.OpSigmoid: sigmoid64, tensor.OpErf: math.Erf, tensor.OpErfInv: math.Erfinv,
}

func loopsOfFloat64() {
	const d = dtype.Float64
	type T = float64
	compareLoops[T](d)
	floatLoops(d, floorMod64)
	u := func(op tensor.UnaryOp, f func(y, x []T)) { unaryLoops[op][d] = loop1(f) }
	u(tensor.OpNegative, negative[T])
	u(tensor.OpSquare, squareOf[T])
	for op, f := range wideUnary {
		u(op, func(y, x []T) {
			for i, v := range x {
				y[i] = f(v)
			}
		})
	}
	unaryLoops[tensor.OpToFP8][d] = loop1(toFP8[T])
	b := func(op tensor.BinaryOp, f func(y, a, b []T)) { binaryLoops[op][d] = loop2(f) }
	b(tensor.OpAdd, add[T])
	b(tensor.OpSubtract, subtract[T])
	b(tensor.OpMultiply, multiply[T])
	b(tensor.OpDivide, divide[T])
	b(tensor.OpMaximum, maximum[T])
	b(tensor.OpMinimum, minimum[T])
	for op, f := range map[tensor.BinaryOp]func(a, b T) T{
		tensor.OpPower: math.Pow, tensor.OpArcTan2: math.Atan2, tensor.OpLogAddExp: logAddExp64,
	} {
		b(op, func(y, a, b []T) {
			for i, v := range a {
				y[i] = f(v, b[i])
			}
		})
	}
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
