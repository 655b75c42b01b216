//go:build !amd64 || purego || race

package simd

import "unsafe"

func aligned[T any]([]T, uintptr) bool { return false }

func stream(dst, src []byte, a, b unsafe.Pointer) int { return 0 }

func streamEnd() {}

func streamUnary(UnaryOp) func(y, x *float32, n int) { return nil }

func streamBinary(BinaryOp) func(y, a, b *float32, n int) { return nil }
