//go:build amd64 && !purego && !race

package simd

import "unsafe"

func aligned[T any](b []T, to uintptr) bool { return uintptr(unsafe.Pointer(ptr(b)))%to == 0 }

// stream copies len(src) bytes, and returns how many it took.
func stream(dst, src []byte, a, b unsafe.Pointer) int {
	if a == nil {
		a = unsafe.Pointer(ptr(src))
	}
	if b == nil {
		b = a
	}
	switch peakName() {
	case "avx512":
		streamZ(ptr(dst), ptr(src), len(src), (*byte)(a), (*byte)(b))
	case "avx2":
		streamY(ptr(dst), ptr(src), len(src), (*byte)(a), (*byte)(b))
	default:
		return 0
	}
	return len(src)
}

func streamEnd() { storeFence() }

// wide reports whether the tier in use has vectors of 64 bytes.
func wide() bool { return K.Name == "avx512" || K.Name == "amx" }

func streamUnary(op UnaryOp) func(y, x *float32, n int) {
	if !wide() {
		return nil
	}
	switch op {
	case Neg:
		return streamNeg
	case Abs:
		return streamAbs
	case Square:
		return streamSquare
	case Sqrt:
		return streamSqrt
	}
	return nil
}

func streamBinary(op BinaryOp) func(y, a, b *float32, n int) {
	if !wide() {
		return nil
	}
	switch op {
	case Add:
		return streamAdd
	case Sub:
		return streamSub
	case Mul:
		return streamMul
	case Div:
		return streamDiv
	case Maximum:
		return streamMax
	case Minimum:
		return streamMin
	}
	return nil
}
