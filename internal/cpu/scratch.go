package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// A scratch is the private memory of one worker (or of one queue, when its owner
// runs alone). Kernels take pieces for the length of one chunk; once it has grown
// to the largest chunk nothing is allocated any more.
type scratch struct {
	slab  []uint64
	level int // words taken
	peak  int // most words taken since reset, also beyond the slab

	shared []byte // what a task prepares for the next one; of all workers of a run
	own    []byte // the same, for runs of this worker alone

	// Arguments of kernels that are called through a table, which would move
	// them to the heap otherwise.
	q   simd.QMatrix
	att simd.Attention
	seg simd.Attention // a segment of att

	fused fusedBlock // of a chunk; only its lists last longer
}

// reset gives all pieces back; it is called before each chunk.
func (s *scratch) reset() {
	if s.peak > len(s.slab) {
		s.slab = make([]uint64, s.peak+s.peak/4)
	}
	s.level, s.peak = 0, 0
}

// take is uninitialized memory, aligned to 64 bytes relative to the slab.
func (s *scratch) take(words int) []uint64 {
	words = (words + 7) &^ 7
	from := s.level
	s.level += words
	s.peak = max(s.peak, s.level)
	if s.level > len(s.slab) {
		return make([]uint64, words)
	}
	return s.slab[from:s.level:s.level]
}

// piece is n uninitialized elements of T, which has no pointers.
func piece[T any](s *scratch, n int) []T {
	if n <= 0 {
		return nil
	}
	w := s.take((n*int(unsafe.Sizeof(*new(T))) + 7) / 8)
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(w))), n)
}

// floats is n uninitialized numbers; from own on they are Go's to free, since a worker keeps
// its pieces.
func floats(s *scratch, n, own int) []float64 {
	if n >= own {
		return make([]float64, n)
	}
	return piece[float64](s, n)
}

// zeros is n zeros in the memory of x, if they fit.
func zeros[T any](x []T, n int) []T {
	if n > cap(x) {
		return make([]T, n)
	}
	x = x[:n]
	clear(x)
	return x
}

// grown is b with at least n bytes; what was in it is lost when it grows.
func grown(b []byte, n int) []byte {
	if n <= len(b) {
		return b
	}
	w := make([]uint64, n/8+8) // aligned to 8
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(w))), 8*len(w))
}
