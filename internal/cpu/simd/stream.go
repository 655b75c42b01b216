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

// StreamUnary[op](y, x): y = op(x), written past the caches, with the bits of
// Table.Unary; nil where this tier has no such kernel. y is aligned to 64 bytes, and
// overlaps x nowhere. StreamEnd must follow.
func StreamUnary(op UnaryOp) func(y, x []float32) {
	f := streamUnary(op)
	if f == nil {
		return nil
	}
	return func(y, x []float32) {
		n := len(y) &^ (streamBlock/4 - 1)
		if !aligned(y, 64) {
			n = 0
		}
		if n > 0 {
			f(&y[0], &x[:n][0], n)
		}
		K.Unary[op](y[n:], x[n:len(y)])
	}
}

// StreamBinary is StreamUnary for Table.Binary.
func StreamBinary(op BinaryOp) func(y, a, b []float32) {
	f := streamBinary(op)
	if f == nil {
		return nil
	}
	return func(y, a, b []float32) {
		n := len(y) &^ (streamBlock/4 - 1)
		if !aligned(y, 64) {
			n = 0
		}
		if n > 0 {
			f(&y[0], &a[:n][0], &b[:n][0], n)
		}
		K.Binary[op](y[n:], a[n:len(y)], b[n:len(y)])
	}
}
