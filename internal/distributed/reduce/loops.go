package reduce

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/distributed"
)

// view is b as elements. Unaligned memory is fine where this runs, as in package simd.
func view[T any](b []byte) []T {
	var t T
	if len(b) < int(unsafe.Sizeof(t)) {
		return nil // a pointer to a T would leave the memory
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(t)))
}

// bools are bytes 0 and 1, eight at a time.
func bools(op distributed.ReduceOp, dst, a, b []byte) {
	n := len(dst) &^ 7
	bits(op, view[uint64](dst[:n]), view[uint64](a[:n]), view[uint64](b[:n]))
	bits(op, dst[n:], a[n:], b[n:])
}

func bits[T uint8 | uint64](op distributed.ReduceOp, y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	if op == distributed.Min {
		for i, v := range a {
			y[i] = v & b[i]
		}
		return
	}
	for i, v := range a {
		y[i] = v | b[i]
	}
}

type number interface {
	~uint8 | ~uint16 | ~uint32 | ~uint64 | ~int8 | ~int16 | ~int32 | ~int64 | ~float64
}

// numbers joins what Go's operators join; max and min of floats are NaN if either is.
func numbers[T number](op distributed.ReduceOp, dst, a, b []byte) {
	y, x, z := view[T](dst), view[T](a), view[T](b)
	x, z = x[:len(y)], z[:len(y)]
	switch op {
	case distributed.Sum:
		for i, v := range x {
			y[i] = v + z[i]
		}
	case distributed.Max:
		for i, v := range x {
			y[i] = max(v, z[i])
		}
	case distributed.Min:
		for i, v := range x {
			y[i] = min(v, z[i])
		}
	}
}

func complexes(op distributed.ReduceOp, dst, a, b []byte) {
	y, x, z := view[complex64](dst), view[complex64](a), view[complex64](b)
	x, z = x[:len(y)], z[:len(y)]
	for i, v := range x {
		switch w := z[i]; op {
		case distributed.Sum:
			y[i] = v + w
		case distributed.Max:
			y[i] = first(v, w, !less(v, w))
		case distributed.Min:
			y[i] = first(v, w, !less(w, v))
		}
	}
}

// first is v if it wins or is NaN, else w.
func first(v, w complex64, wins bool) complex64 {
	if nan(v) || wins && !nan(w) {
		return v
	}
	return w
}

func less(v, w complex64) bool {
	return real(v) < real(w) || real(v) == real(w) && imag(v) < imag(w)
}

func nan(v complex64) bool {
	return math.IsNaN(float64(real(v))) || math.IsNaN(float64(imag(v)))
}
