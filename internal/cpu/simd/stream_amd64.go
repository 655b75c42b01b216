//go:build amd64 && !purego && !race

package simd

import "unsafe"

func aligned(b []byte, to uintptr) bool { return uintptr(unsafe.Pointer(ptr(b)))%to == 0 }

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
