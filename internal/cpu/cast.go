package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Casts. Integers wrap, as in C. Floats are cut towards zero and clamped to the
// range of an integer, NaN is 0 there, so that all machines agree. To bool: not
// zero (NaN is true). From complex: the real part.

// castLoops are the casts between dtypes that are not half.
var castLoops [dtype.Count][dtype.Count]loop

// castLoop is the cast between computeType(from) and computeType(to); half says
// that its result must still be rounded.
func castLoop(from, to dtype.DType) (f loop, half bool) {
	return castLoops[computeType(from)][computeType(to)], isHalf(to)
}

// halfCast converts between halves and float32 in one step, else nil.
func halfCast(from, to dtype.DType) loop {
	switch {
	case to == dtype.Float32 && isHalf(from):
		return func(y, x, _, _ unsafe.Pointer, n int) { widen(unsafe.Slice((*float32)(y), n), x, from, n) }
	case from == dtype.Float32 && isHalf(to):
		return func(y, x, _, _ unsafe.Pointer, n int) { narrow(y, unsafe.Slice((*float32)(x), n), to) }
	}
	return nil
}

type (
	signed   interface{ int8 | int16 | int32 | int64 }
	unsigned interface {
		uint8 | uint16 | uint32 | uint64
	}
	integer interface{ signed | unsigned }
	float   interface{ float32 | float64 }
)

func init() {
	castsFromInt[uint8](dtype.Uint8)
	castsFromInt[uint16](dtype.Uint16)
	castsFromInt[uint32](dtype.Uint32)
	castsFromInt[uint64](dtype.Uint64)
	castsFromInt[int8](dtype.Int8)
	castsFromInt[int16](dtype.Int16)
	castsFromInt[int32](dtype.Int32)
	castsFromInt[int64](dtype.Int64)
	castsFromInt[uint8](dtype.Bool)
	castsFromFloat[float32](dtype.Float32)
	castsFromFloat[float64](dtype.Float64)
	for to := range castLoops { // bytes of bool that are neither 0 nor 1 count as 1
		if f := castLoops[dtype.Bool][to]; f != nil {
			castLoops[dtype.Bool][to] = normalBool(f, dtype.DType(to).Size())
		}
		if f := castLoops[dtype.Float32][to]; f != nil {
			castLoops[dtype.Complex64][to] = realPart(f, dtype.DType(to).Size())
		}
	}
	castLoops[dtype.Bool][dtype.Bool] = loop1(func(y, x []uint8) { copy(y, x) })
	castLoops[dtype.Float32][dtype.Float32] = loop1(func(y, x []float32) { copy(y, x) })
	castLoops[dtype.Float64][dtype.Float64] = loop1(func(y, x []float64) { copy(y, x) })
	castLoops[dtype.Complex64][dtype.Complex64] = loop1(func(y, x []complex64) { copy(y, x) })
	castLoops[dtype.Complex64][dtype.Bool] = loop1(complexToBool)
}

func castsFromInt[T integer](d dtype.DType) {
	c := &castLoops[d]
	c[dtype.Bool] = loop1(toBool[T])
	c[dtype.Uint8] = loop1(convert[uint8, T])
	c[dtype.Uint16] = loop1(convert[uint16, T])
	c[dtype.Uint32] = loop1(convert[uint32, T])
	c[dtype.Uint64] = loop1(convert[uint64, T])
	c[dtype.Int8] = loop1(convert[int8, T])
	c[dtype.Int16] = loop1(convert[int16, T])
	c[dtype.Int32] = loop1(convert[int32, T])
	c[dtype.Int64] = loop1(convert[int64, T])
	c[dtype.Float32] = loop1(convert[float32, T])
	c[dtype.Float64] = loop1(convert[float64, T])
	c[dtype.Complex64] = loop1(toComplex[T])
}

func castsFromFloat[T float](d dtype.DType) {
	c := &castLoops[d]
	c[dtype.Bool] = loop1(toBool[T])
	c[dtype.Uint8] = loop1(func(y []uint8, x []T) { clampTo(y, x, 0, math.MaxUint8) })
	c[dtype.Uint16] = loop1(func(y []uint16, x []T) { clampTo(y, x, 0, math.MaxUint16) })
	c[dtype.Uint32] = loop1(func(y []uint32, x []T) { clampTo(y, x, 0, math.MaxUint32) })
	c[dtype.Int8] = loop1(func(y []int8, x []T) { clampTo(y, x, math.MinInt8, math.MaxInt8) })
	c[dtype.Int16] = loop1(func(y []int16, x []T) { clampTo(y, x, math.MinInt16, math.MaxInt16) })
	c[dtype.Int32] = loop1(func(y []int32, x []T) { clampTo(y, x, math.MinInt32, math.MaxInt32) })
	c[dtype.Int64] = loop1(toInt64[T])
	c[dtype.Uint64] = loop1(toUint64[T])
	c[dtype.Float32] = loop1(convert[float32, T])
	c[dtype.Float64] = loop1(convert[float64, T])
	c[dtype.Complex64] = loop1(toComplex[T])
}

func convert[R, T integer | float](y []R, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = R(v)
	}
}

func toBool[T integer | float](y []uint8, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = bit(v != 0)
	}
}

// bit is 1 for true; the compiler makes it one instruction.
func bit(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}

func toComplex[T integer | float](y []complex64, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = complex(float32(v), 0)
	}
}

// clampTo is for integers of at most 32 bits, whose limits float64 holds.
func clampTo[R integer, T float](y []R, x []T, lo, hi float64) {
	x = x[:len(y)]
	for i, v := range x {
		f := float64(v)
		switch {
		case f >= hi:
			f = hi
		case f <= lo:
			f = lo
		case f != f:
			f = 0
		}
		y[i] = R(int64(f))
	}
}

func toInt64[T float](y []int64, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		switch f := float64(v); {
		case f >= 1<<63:
			y[i] = math.MaxInt64
		case f < -1<<63:
			y[i] = math.MinInt64
		case f != f:
			y[i] = 0
		default:
			y[i] = int64(f)
		}
	}
}

func toUint64[T float](y []uint64, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		switch f := float64(v); {
		case f >= 1<<64:
			y[i] = math.MaxUint64
		case f >= 1<<63:
			y[i] = uint64(int64(f-1<<63)) + 1<<63
		case f > 0:
			y[i] = uint64(int64(f))
		default:
			y[i] = 0
		}
	}
}

// normalBool makes bools 0 or 1 before f, to elements of size bytes, sees them.
func normalBool(f loop, size int) loop {
	return func(y, x, _, _ unsafe.Pointer, n int) {
		var buf [256]uint8
		in := unsafe.Slice((*uint8)(x), n)
		for i := 0; i < n; i += len(buf) {
			m := min(len(buf), n-i)
			toBool(buf[:m], in[i:i+m])
			f(unsafe.Add(y, i*size), unsafe.Pointer(&buf), nil, nil, m)
		}
	}
}

// realPart passes the real parts to f, to elements of size bytes.
func realPart(f loop, size int) loop {
	return func(y, x, _, _ unsafe.Pointer, n int) {
		var buf [256]float32
		in := unsafe.Slice((*complex64)(x), n)
		for i := 0; i < n; i += len(buf) {
			m := min(len(buf), n-i)
			for k, v := range in[i : i+m] {
				buf[k] = real(v)
			}
			f(unsafe.Add(y, i*size), unsafe.Pointer(&buf), nil, nil, m)
		}
	}
}

func complexToBool(y []uint8, x []complex64) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = bit(v != 0)
	}
}
