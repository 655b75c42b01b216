package cpu

import (
	"sync"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/limits"
	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// streamMin is the bytes of a result from which on it is written past the caches: it
// would not fit, and lines need not be read to be written.
var streamMin = sync.OnceValue(func() int { return max(int(limits.Host().Cache), 16<<20) })

// large reports whether y, written whole, is to be streamed.
func large(y *View) bool { return y.Shape.Size()*y.DType.Size() >= streamMin() }

// over reports whether y lies where one of in starts: then its lines are read anyway.
func over(y *View, in []View) bool {
	for i := range in {
		if in[i].Ptr() == y.Ptr() {
			return true
		}
	}
	return false
}

// streamBlocks computes elements [lo, hi) of y, lo a multiple of blockLen, into memory
// in the first cache and streams them from there. Meanwhile row-major inputs come near.
func streamBlocks(s *scratch, y *View, in []View, lo, hi int, f func(dst unsafe.Pointer, lo, n int)) {
	size := y.DType.Size()
	var starts, next [2]unsafe.Pointer
	inputs := 0
	for i := range in {
		if inputs < len(next) && in[i].DType.Size() == size && in[i].Contiguous() {
			starts[inputs] = in[i].Ptr()
			inputs++
		}
	}
	buf := unsafe.Pointer(unsafe.SliceData(piece[uint64](s, (blockLen*size+7)/8)))
	for ; lo < hi; lo += blockLen {
		n := min(blockLen, hi-lo)
		f(buf, lo, n)
		for i := range inputs {
			next[i] = nil
			if lo+blockLen < hi {
				next[i] = unsafe.Add(starts[i], (lo+blockLen)*size)
			}
		}
		simd.Stream(unsafe.Slice((*byte)(unsafe.Add(y.Ptr(), lo*size)), n*size), unsafe.Slice((*byte)(buf), n*size), next[0], next[1])
	}
	simd.StreamEnd()
}

// pastUnary and pastBinary are the loops that write past the caches, nil without one.
func pastUnary(op simd.UnaryOp) loop {
	f := simd.StreamUnary(op)
	if f == nil {
		return nil
	}
	return func(y, a, _, _ unsafe.Pointer, n int) {
		f(unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n))
	}
}

func pastBinary(op simd.BinaryOp) loop {
	f := simd.StreamBinary(op)
	if f == nil {
		return nil
	}
	return func(y, a, b, _ unsafe.Pointer, n int) {
		f(unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n), unsafe.Slice((*float32)(b), n))
	}
}
