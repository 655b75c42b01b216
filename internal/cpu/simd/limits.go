package simd

import (
	"math"
	"sync/atomic"
)

// What the CPU can do at most, whatever the tier in use: rates of kernels are
// compared with it. A limit is that of one thread; the caller has the clock.

// ReadBlock is what ReadAll reads at a time.
const ReadBlock = 256

// ReadAll reads b once, but for a rest below ReadBlock bytes, in two streams.
func ReadAll(b []byte) {
	if n := len(b) / ReadBlock * ReadBlock; n > 0 {
		peakRead(b[:n])
	}
}

// MultiplyAdd does at least the given number of rounds of independent float32
// multiply-adds in registers, and returns how many operations these are: two for
// each multiply-add.
func MultiplyAdd(rounds int) (operations int64) {
	if rounds < 1 {
		return 0
	}
	return peakMultiplyAdd(rounds)
}

// LimitKernels names what ReadAll and MultiplyAdd are made of: "avx512" or "avx2"
// for assembly with vectors of this width, and "go", which reaches the limits of
// Go's compiler and not the CPU's.
func LimitKernels() string { return peakName() }

// sink keeps the compiler from dropping the loops.
var sink atomic.Uint64

// readGo is ReadAll in Go: eight bytes a load, two streams.
func readGo(b []byte) {
	words := Uint64s(b)
	half := len(words) / 2
	var s0, s1, s2, s3 uint64
	for i := 0; i+8 <= half; i += 8 {
		x, y := (*[8]uint64)(words[i:]), (*[8]uint64)(words[half+i:])
		s0 ^= x[0] ^ x[4] ^ y[0] ^ y[4]
		s1 ^= x[1] ^ x[5] ^ y[1] ^ y[5]
		s2 ^= x[2] ^ x[6] ^ y[2] ^ y[6]
		s3 ^= x[3] ^ x[7] ^ y[3] ^ y[7]
	}
	sink.Store(s0 ^ s1 ^ s2 ^ s3)
}

// multiplyAddGo is MultiplyAdd in Go, which fuses where the architecture lets it.
func multiplyAddGo(rounds int) int64 {
	x := float32(1e-3)
	var a, b, c, d, e, f, g, h float32
	for range rounds {
		a += x * x
		b += x * x
		c += x * x
		d += x * x
		e += x * x
		f += x * x
		g += x * x
		h += x * x
	}
	sink.Store(uint64(math.Float32bits(a + b + c + d + e + f + g + h)))
	return 16 * int64(rounds)
}
