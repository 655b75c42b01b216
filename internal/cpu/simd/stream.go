package simd

import "unsafe"

// streamBlock is what the kernels of Stream copy at a time.
const streamBlock = 256

// Stream copies src to the start of dst, past the caches where the CPU can: for
// results that are larger than those and will not be read soon. The memory of dst is
// not read, which saves a third of the traffic of a copy. As many bytes at a and b, if
// not nil, will be read next; they need not be there. StreamEnd must follow before others
// read dst.
func Stream(dst, src []byte, a, b unsafe.Pointer) {
	n := 0
	if m := len(src) &^ (streamBlock - 1); m > 0 && aligned(dst, 64) {
		n = stream(dst[:m], src[:m], a, b)
	}
	copy(dst[n:], src[n:])
}

// StreamEnd waits until what this thread has streamed is in memory.
func StreamEnd() { streamEnd() }
