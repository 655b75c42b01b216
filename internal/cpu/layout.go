package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// maxRank bounds the axes of a view, as tensor.AxisSet does.
const maxRank = 32

// View is the graph's strided memory.
type View = tensor.View

// at is n elements of T from element offset off of v. Kernels call it while they
// run: a Program rebinds the buffers of its views.
func at[T any](v *View, off, n int) []T {
	if n <= 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Add(v.Ptr(), off*int(unsafe.Sizeof(*new(T))))), n)
}

// all is the n elements of a row-major view.
func all[T any](v *View) []T { return at[T](v, 0, v.Shape.Size()) }

// elemOf is the simd type of a float of at most 32 bits.
func elemOf(d dtype.DType) (simd.Elem, bool) {
	switch d {
	case dtype.Float32:
		return simd.F32, true
	case dtype.Float16:
		return simd.F16, true
	case dtype.BFloat16:
		return simd.BF16, true
	}
	return 0, false
}

func isHalf(d dtype.DType) bool { return d == dtype.Float16 || d == dtype.BFloat16 }

// rawAt is n elements from element off of a view of floats.
func rawAt(v *View, off, n int) simd.Raw {
	e, _ := elemOf(v.DType)
	size := e.Size()
	if n <= 0 {
		return simd.Raw{Elem: e}
	}
	return simd.Raw{Elem: e, Data: unsafe.Slice((*byte)(unsafe.Add(v.Ptr(), off*size)), n*size)}
}

// A walk lists the elements of a strided view in row-major order, with adjacent
// axes merged where the strides allow it. It has at least one axis.
type walk struct {
	shape, stride []int // strides in elements
}

// newWalk merges the axes of a view.
func newWalk(shape, stride []int) (w walk) {
	w.shape, w.stride = tensor.MergeAxes(shape, stride)
	return w
}

// seek finds element i: its index and its offset.
func (w *walk) seek(i int, idx *[maxRank]int) (off int) {
	for k := len(w.shape) - 1; k >= 0; k-- {
		d := w.shape[k]
		if k == 0 {
			d = max(d, i+1) // the first axis needs no division
		}
		if i < d {
			idx[k] = i
			off += i * w.stride[k]
			i = 0
			continue
		}
		q := i / d
		idx[k] = i - q*d
		off += idx[k] * w.stride[k]
		i = q
	}
	return off
}

// offset is where element i lies.
func (w *walk) offset(i int) int {
	if len(w.shape) == 1 {
		return i * w.stride[0]
	}
	var idx [maxRank]int
	return w.seek(i, &idx)
}

// advance moves m elements along the last axis, to its end at most.
func (w *walk) advance(idx *[maxRank]int, off, m int) int {
	k := len(w.shape) - 1
	idx[k] += m
	off += m * w.stride[k]
	for k > 0 && idx[k] == w.shape[k] {
		off += w.stride[k-1] - idx[k]*w.stride[k]
		idx[k] = 0
		k--
		idx[k]++
	}
	return off
}

// gather copies len(dst) elements from the lo-th on.
func gather[T any](w *walk, dst []T, src unsafe.Pointer, lo int) {
	var idx [maxRank]int
	off := w.seek(lo, &idx)
	last := len(w.shape) - 1
	n0, st := w.shape[last], w.stride[last]
	size := int(unsafe.Sizeof(*new(T)))
	for len(dst) > 0 {
		m := min(n0-idx[last], len(dst))
		run := dst[:m]
		p := unsafe.Add(src, off*size)
		switch st {
		case 1:
			copy(run, unsafe.Slice((*T)(p), m))
		case 0:
			v := *(*T)(p)
			for i := range run {
				run[i] = v
			}
		default:
			step := st * size
			for i := range run {
				run[i] = *(*T)(unsafe.Add(p, i*step))
			}
		}
		dst = dst[m:]
		if len(dst) > 0 {
			off = w.advance(&idx, off, m)
		}
	}
}

// gatherBytes is gather for elements of size bytes.
func gatherBytes(w *walk, dst, src unsafe.Pointer, size, lo, n int) {
	switch size {
	case 1:
		gather(w, unsafe.Slice((*uint8)(dst), n), src, lo)
	case 2:
		gather(w, unsafe.Slice((*uint16)(dst), n), src, lo)
	case 4:
		gather(w, unsafe.Slice((*uint32)(dst), n), src, lo)
	default:
		gather(w, unsafe.Slice((*uint64)(dst), n), src, lo)
	}
}

// An operand gives blocks of a view's elements as contiguous memory.
type operand struct {
	v    *View
	w    walk
	size int
	flat bool // row-major: blocks are where they are
}

func operandOf(v *View) operand {
	o := operand{v: v, size: v.DType.Size(), flat: v.Contiguous()}
	if !o.flat {
		o.w = newWalk(v.Shape, v.Strides)
	}
	return o
}

// block is elements [lo, lo+n), in place or in buf, which holds n of 8 bytes.
func (o *operand) block(buf []uint64, lo, n int) unsafe.Pointer {
	if o.flat {
		return unsafe.Add(o.v.Ptr(), lo*o.size)
	}
	p := unsafe.Pointer(unsafe.SliceData(buf))
	gatherBytes(&o.w, p, o.v.Ptr(), o.size, lo, n)
	return p
}

// A rowsOf gives the rows of a view's last axis as contiguous memory.
type rowsOf struct {
	v     *View
	outer walk
	n, k  int // rows, and their length
	st    int // stride within a row
	size  int
}

func rowsOfView(v *View) rowsOf {
	r := len(v.Shape) - 1
	o := rowsOf{v: v, outer: newWalk(v.Shape[:r], v.Strides[:r]), n: v.Shape[:r].Size(), k: v.Shape[r], st: v.Strides[r], size: v.DType.Size()}
	if o.k <= 1 {
		o.st = 1
	}
	return o
}

// row is row i, in place or gathered into buf of k elements of 8 bytes (nil if
// the rows are in place).
func (o *rowsOf) row(buf []uint64, i int) unsafe.Pointer { return o.rowAt(buf, o.outer.offset(i)) }

// rowAt is the row that starts at element off.
func (o *rowsOf) rowAt(buf []uint64, off int) unsafe.Pointer {
	src := unsafe.Add(o.v.Ptr(), off*o.size)
	if o.st == 1 {
		return src
	}
	p := unsafe.Pointer(unsafe.SliceData(buf))
	w := walk{[]int{o.k}, []int{o.st}}
	gatherBytes(&w, p, src, o.size, 0, o.k)
	return p
}

// buffer is the memory that row needs.
func (o *rowsOf) buffer(s *scratch) []uint64 {
	if o.st == 1 {
		return nil
	}
	return piece[uint64](s, (o.k*o.size+7)/8)
}

// buffer32 is the memory that f32 needs: none for rows of float32, which may be
// very long.
func (o *rowsOf) buffer32(s *scratch) []float32 {
	if o.v.DType == dtype.Float32 {
		return nil
	}
	return piece[float32](s, o.k)
}

// f32 is row i as float32: in place if it is, else in buf, which has length k.
func (o *rowsOf) f32(gathered []uint64, buf []float32, i int) []float32 {
	return widen(buf, o.row(gathered, i), o.v.DType, o.k)
}

// widen is n floats at p as float32: in place if they are, else in buf.
func widen(buf []float32, p unsafe.Pointer, d dtype.DType, n int) []float32 {
	if n == 0 {
		return nil
	}
	switch d {
	case dtype.Float16:
		simd.K.F16ToF32(buf[:n], unsafe.Slice((*uint16)(p), n))
	case dtype.BFloat16:
		simd.K.BF16ToF32(buf[:n], unsafe.Slice((*uint16)(p), n))
	default:
		return unsafe.Slice((*float32)(p), n)
	}
	return buf[:n]
}

// narrow rounds src to halves at p.
func narrow(p unsafe.Pointer, src []float32, d dtype.DType) {
	if len(src) == 0 {
		return
	}
	if d == dtype.Float16 {
		simd.K.F32ToF16(unsafe.Slice((*uint16)(p), len(src)), src)
	} else {
		simd.K.F32ToBF16(unsafe.Slice((*uint16)(p), len(src)), src)
	}
}
