//go:build !amd64 || purego || race

package simd

import "unsafe"

func aligned([]byte, uintptr) bool { return false }

func stream(dst, src []byte, a, b unsafe.Pointer) int { return 0 }

func streamEnd() {}
