//go:build amd64 && !purego && !race

package simd

import "golang.org/x/sys/cpu"

func peakName() string {
	switch {
	case cpu.X86.HasAVX512F:
		return "avx512"
	case cpu.X86.HasAVX2 && cpu.X86.HasFMA:
		return "avx2"
	}
	return "go"
}

func peakRead(b []byte) {
	switch peakName() {
	case "avx512":
		readZ(ptr(b), len(b))
	case "avx2":
		readY(ptr(b), len(b))
	default:
		readGo(b)
	}
}

// peakMultiplyAdd: 16 accumulators of 16 lanes, or 12 of 8.
func peakMultiplyAdd(rounds int) int64 {
	switch peakName() {
	case "avx512":
		fmaZ(rounds)
		return 2 * 16 * 16 * int64(rounds)
	case "avx2":
		fmaY(rounds)
		return 2 * 12 * 8 * int64(rounds)
	}
	return multiplyAddGo(rounds)
}
