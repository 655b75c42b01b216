package tensor

import (
	"fmt"
	"runtime"
	"slices"
	"sync/atomic"
	"unsafe"

	"github.com/mlxgo/mlx/internal/fmap"
)

// A Buffer is a range of memory with its count of users. Three kinds: Go heap
// (small values, and all in race builds), off heap (a backend's Memory, recycled)
// and borrowed (a file map, or a cell of a Program).
type Buffer struct {
	host     []byte
	mem      Memory // off heap only
	class    int    // size class of mem
	device   Device
	purpose  Purpose
	refs     atomic.Int32 // values that lie here
	owner    any          // what keeps borrowed memory alive
	mapped   bool         // borrowed memory is pages of a mapped file
	clean    runtime.Cleanup
	native   atomic.Pointer[any]
	released bool

	// The last batch of each stream that touches the buffer, unless it is borrowed;
	// under the graph lock.
	last   *batch
	others []*batch
}

// Host is the memory as the host sees it.
func (b *Buffer) Host() []byte { return b.host }

// Memory is the backend's memory below b; nil if it is on Go's heap or borrowed.
func (b *Buffer) Memory() Memory { return b.mem }

// Native is what a backend keeps with memory that is not its own. Like SetNative it is
// called while the backend encodes.
func (b *Buffer) Native() any {
	if p := b.native.Load(); p != nil {
		return *p
	}
	return nil
}

// SetNative sets what Native returns.
func (b *Buffer) SetNative(v any) { b.native.Store(&v) }

// Bind points a borrowed buffer at other memory: the cells of Programs.
func (b *Buffer) Bind(host []byte) { b.host = host }

// Borrow wraps memory that owner keeps alive. Nothing is counted.
func Borrow(host []byte, owner any) *Buffer {
	return &Buffer{host: host, owner: owner, mapped: fmap.Holds(host)}
}

// Adopt is memory for arrays whose bytes are there already and do not change: mapped
// pages, or what was read or made on Go's heap. They are borrowed from owner, who keeps
// them, and if they are weights they count until the buffer is collected. But where a
// GPU shares the host's memory, bytes of Go's heap are copied into memory of the GPU's
// own: it takes whole pages, and those of Go's heap hold other objects, too.
func Adopt(host []byte, owner any, p Purpose) (*Buffer, error) {
	b := Borrow(host, owner)
	if u := unified.Load(); u != nil && !b.mapped {
		c, err := newBuffer(*u, len(host), nil, p)
		if err == nil {
			copy(c.host, host)
		}
		return c, err
	}
	if p != Other {
		b.purpose = p
		countUse(p, int64(len(host)))
		runtime.AddCleanup(b, func(n int64) { countUse(p, -n) }, int64(len(host)))
	}
	return b, nil
}

// Borrowed reports whether the memory is a file map or another owner's.
func (b *Buffer) Borrowed() bool { return b.owner != nil }

// Mapped reports whether borrowed memory is pages of a mapped file, which devices can use
// where they lie.
func (b *Buffer) Mapped() bool { return b.mapped }

// touch notes that bt reads or writes b.
func (b *Buffer) touch(bt *batch) {
	if b.owner != nil || b.last == bt {
		return
	}
	if b.last.done() || b.last.st == bt.st {
		b.last = bt
		return
	}
	for i, o := range b.others {
		if o.st == bt.st {
			b.others[i] = bt
			return
		}
	}
	b.others = append(b.others, bt)
}

// only reports whether work of st may write to b without waiting: all that touches
// b is done, or st runs it earlier, or st waits for it anyway (except).
func (b *Buffer) only(st *streamState, except *batch) bool {
	free := func(o *batch) bool { return o == except || o.done() || o.st == st }
	return free(b.last) && !slices.ContainsFunc(b.others, func(o *batch) bool { return !free(o) })
}

// release gives a buffer back before the collector does. Under the graph lock.
func (b *Buffer) release() {
	if invariants && b.released {
		panic("tensor: buffer released twice")
	}
	b.released = true
	if b.mem != nil {
		b.clean.Stop()
		recycle(freed{mem: b.mem, class: b.class, device: b.device, last: b.last, others: b.others}, b.purpose)
		b.mem = nil
	}
}

// View is what a kernel sees: typed, strided memory.
type View struct {
	Spec
	Strides []int // in elements
	Buf     *Buffer
	Offset  int // in bytes; the address may be unaligned
}

// Contiguous reports whether the elements are row-major without gaps.
func (v *View) Contiguous() bool {
	n := 1
	for i := len(v.Shape) - 1; i >= 0; i-- {
		if v.Shape[i] != 1 && v.Strides[i] != n {
			return v.Shape.Size() == 0
		}
		n *= v.Shape[i]
	}
	return true
}

// RowsContiguous reports whether what lies under an index of axis 0 is row-major.
func (v *View) RowsContiguous() bool {
	if len(v.Shape) == 0 {
		return true
	}
	w := *v
	w.Shape, w.Strides = v.Shape[1:], v.Strides[1:]
	return w.Contiguous()
}

// MergeAxes gives a strided view with adjacent axes as one where the strides allow it, for
// kernels that list its elements in row-major order. It has at least one axis.
func MergeAxes(shape, stride []int) (mergedShape, mergedStride []int) {
	mergedShape, mergedStride = make([]int, 0, len(shape)+1), make([]int, 0, len(shape)+1)
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if k := len(mergedShape) - 1; k >= 0 && mergedStride[k] == stride[i]*d {
			mergedShape[k] *= d
			mergedStride[k] = stride[i]
			continue
		}
		mergedShape, mergedStride = append(mergedShape, d), append(mergedStride, stride[i])
	}
	if len(mergedShape) == 0 {
		mergedShape, mergedStride = append(mergedShape, 1), append(mergedStride, 0)
	}
	return mergedShape, mergedStride
}

// Ptr is the address of the first element; valid while Buf is reachable.
func (v *View) Ptr() unsafe.Pointer {
	if v.Offset >= len(v.Buf.host) { // an empty view may lie at the end of its buffer
		return unsafe.Pointer(unsafe.SliceData(v.Buf.host))
	}
	return unsafe.Add(unsafe.Pointer(unsafe.SliceData(v.Buf.host)), v.Offset)
}

// HostBytes is the memory of a contiguous view.
func (v *View) HostBytes() []byte { return v.Buf.host[v.Offset : v.Offset+v.Spec.Bytes()] }

// check panics when the view is not within live memory (invariants builds).
func (v *View) check(op string) {
	if v.Buf.released {
		panic(fmt.Sprintf("tensor: %s uses a freed buffer (%v)", op, v.Spec))
	}
	if v.Shape.Size() == 0 {
		return
	}
	if lo, hi := Extent(v.Spec, v.Strides); v.Offset+lo < 0 || v.Offset+hi > len(v.Buf.host) {
		panic(fmt.Sprintf("tensor: %s: %v with strides %v at %d leaves its buffer of %d bytes", op, v.Spec, v.Strides, v.Offset, len(v.Buf.host)))
	}
}

// Extent is the range of bytes, from the first element's, that the elements of a
// strided array lie in; it must not be empty.
func Extent(s Spec, strides []int) (lo, hi int) {
	for i, d := range s.Shape {
		if n := (d - 1) * strides[i]; n < 0 {
			lo += n
		} else {
			hi += n
		}
	}
	size := s.DType.Size()
	return lo * size, (hi + 1) * size
}

// RowMajorView is the view of a whole buffer in row-major order.
func RowMajorView(s Spec, b *Buffer) View {
	return View{Spec: s, Strides: ContiguousStrides(s.Shape), Buf: b}
}

// clone copies the parts that a holder might change.
func (v View) clone() View {
	v.Shape, v.Strides = slices.Clone(v.Shape), slices.Clone(v.Strides)
	return v
}
