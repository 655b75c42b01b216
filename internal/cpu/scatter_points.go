package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// skipped marks the offset of an update that belongs to another chunk.
const skipped = -1 << 62

// A pointLoop combines single elements: update i, ss elements apart from src on, with
// the element at off[i] of dst; negative offsets are skipped.
type pointLoop func(dst, src unsafe.Pointer, off []int64, ss int)

// pointLoopOf is nil for what the combiner does element by element.
func pointLoopOf(op tensor.ScatterOp, d dtype.DType) pointLoop {
	if op == tensor.ScatterSet {
		switch d.Size() {
		case 1:
			return setPoints[uint8]
		case 2:
			return setPoints[uint16]
		case 4:
			return setPoints[uint32]
		}
		return setPoints[uint64]
	}
	switch d {
	case dtype.Float32:
		return pointsOf[float32](op)
	case dtype.Float64:
		return pointsOf[float64](op)
	case dtype.Int32:
		return pointsOf[int32](op)
	case dtype.Int64:
		return pointsOf[int64](op)
	case dtype.Uint32:
		return pointsOf[uint32](op)
	case dtype.Uint64:
		return pointsOf[uint64](op)
	}
	return nil
}

func pointsOf[T number](op tensor.ScatterOp) pointLoop {
	return [...]pointLoop{nil, addPoints[T], multiplyPoints[T], maxPoints[T], minPoints[T]}[op]
}

// elem is the element at offset i.
func elem[T any](p unsafe.Pointer, i int) *T {
	return (*T)(unsafe.Add(p, i*int(unsafe.Sizeof(*new(T)))))
}

func setPoints[T any](dst, src unsafe.Pointer, off []int64, ss int) {
	for i, o := range off {
		if o >= 0 {
			*elem[T](dst, int(o)) = *elem[T](src, i*ss)
		}
	}
}

func addPoints[T number](dst, src unsafe.Pointer, off []int64, ss int) {
	for i, o := range off {
		if o >= 0 {
			*elem[T](dst, int(o)) += *elem[T](src, i*ss)
		}
	}
}

func multiplyPoints[T number](dst, src unsafe.Pointer, off []int64, ss int) {
	for i, o := range off {
		if o >= 0 {
			*elem[T](dst, int(o)) *= *elem[T](src, i*ss)
		}
	}
}

func maxPoints[T number](dst, src unsafe.Pointer, off []int64, ss int) {
	for i, o := range off {
		if o >= 0 {
			y := elem[T](dst, int(o))
			*y = max(*y, *elem[T](src, i*ss))
		}
	}
}

func minPoints[T number](dst, src unsafe.Pointer, off []int64, ss int) {
	for i, o := range off {
		if o >= 0 {
			y := elem[T](dst, int(o))
			*y = min(*y, *elem[T](src, i*ss))
		}
	}
}
