package tensor

import (
	"fmt"
	"runtime"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Element is a Go type that an array's elements can be made from or read as.
// float16 and bfloat16 have no Go type: they are read as float32.
type Element interface {
	bool | int | int8 | int16 | int32 | int64 |
		uint | uint8 | uint16 | uint32 | uint64 |
		float32 | float64 | complex64 | complex128
}

// DTypeOf is the dtype that holds T: int and uint are 64 bits wide, complex128
// becomes complex64.
func DTypeOf[T Element]() DType {
	var z T
	switch any(z).(type) {
	case bool:
		return dtype.Bool
	case uint8:
		return dtype.Uint8
	case uint16:
		return dtype.Uint16
	case uint32:
		return dtype.Uint32
	case uint64, uint:
		return dtype.Uint64
	case int8:
		return dtype.Int8
	case int16:
		return dtype.Int16
	case int32:
		return dtype.Int32
	case int64, int:
		return dtype.Int64
	case float32:
		return dtype.Float32
	case float64:
		return dtype.Float64
	}
	return dtype.Complex64
}

// FromSlice is an array of the given shape over a copy of data, row-major; with
// no shape it has one axis.
func FromSlice[T Element](data []T, shape ...int) *Array {
	if len(shape) == 0 {
		shape = []int{len(data)}
	}
	s := Spec{append(Shape(nil), shape...), DTypeOf[T]()}
	if err := checkSize(s); err != nil || s.Shape.Size() != len(data) {
		Throw("array", nil, "%d values do not fill shape %v", len(data), s.Shape)
	}
	if c, ok := any(data).([]complex128); ok {
		narrow := make([]complex64, len(c))
		for i, x := range c {
			narrow[i] = complex64(x)
		}
		return fromMemory(unsafe.Pointer(unsafe.SliceData(narrow)), s)
	}
	return fromMemory(unsafe.Pointer(unsafe.SliceData(data)), s)
}

// FromBytes is an array over a copy of little-endian elements.
func FromBytes(data []byte, shape Shape, d DType) *Array {
	s := Spec{append(Shape(nil), shape...), d}
	if err := checkSize(s); err != nil || s.Bytes() != len(data) {
		Throw("array", nil, "%d bytes do not fill %v", len(data), s)
	}
	return fromMemory(unsafe.Pointer(unsafe.SliceData(data)), s)
}

func fromMemory(p unsafe.Pointer, s Spec) *Array {
	b, err := newBuffer(hostDevice, s.Bytes(), nil, Other)
	if err != nil {
		panic(&Error{Op: "array", In: []Spec{s}, Err: err})
	}
	copy(b.host, unsafe.Slice((*byte)(p), s.Bytes()))
	return leaf(RowMajorView(s, b))
}

// hostDevice is where host data goes: unified memory, every device reads it.
var hostDevice = Device{Kind: KindCPU}

func leaf(v View) *Array {
	v.Buf.refs.Add(1)
	return handleFor(&node{Spec: v.Spec, val: &v})
}

// FromView makes an array of existing memory: a file map, a cache.
func FromView(v View) *Array { return leaf(v.clone()) }

// ValueOf evaluates a, waits, and returns its memory. The caller keeps a alive
// for as long as it reads.
func ValueOf(a *Array) (View, error) {
	n := a.node()
	graph.Lock()
	ready := n.val != nil
	graph.Unlock()
	if !ready {
		if err := Eval(a); err != nil {
			return View{}, err
		}
	}
	graph.Lock()
	v, b := n.val, n.batch
	var e Event
	if v != nil && b != nil {
		e = b.signal()
	}
	graph.Unlock()
	if v == nil {
		return View{}, &Error{Op: "read", Err: errDonated}
	}
	if e != nil {
		if err := e.Wait(); err != nil {
			return View{}, err
		}
		trimCache()
	}
	runtime.KeepAlive(a)
	return *v, nil
}

// RowMajor evaluates a; the array returned is a or a row-major copy, and keeps
// the view's memory alive.
func RowMajor(a *Array) (*Array, View, error) {
	v, err := ValueOf(a)
	if err == nil && !v.Contiguous() {
		a = Apply1(Contiguous{}, Stream{}, a)
		v, err = ValueOf(a)
	}
	return a, v, err
}

// read is RowMajor for accessors: a fault panics as *Error.
func read(a *Array) (*Array, View) {
	a, v, err := RowMajor(a)
	if err != nil {
		if e, ok := err.(*Error); ok {
			panic(e)
		}
		panic(&Error{Op: "read", Err: err})
	}
	return a, v
}

// Bytes is a copy of the elements in row-major order, little-endian.
func (a *Array) Bytes() []byte {
	r, v := read(a)
	out := append([]byte(nil), v.HostBytes()...)
	runtime.KeepAlive(r)
	return out
}

// Item is the value of an array of size one; T must hold every value of the
// array's dtype.
func Item[T Element](a *Array) T {
	if a.Size() != 1 {
		Throw("item", []Spec{SpecOf(a)}, "has %d elements, not one", a.Size())
	}
	var out [1]T
	CopyTo(out[:], a)
	return out[0]
}

// ToSlice is the elements in row-major order; T as in Item.
func ToSlice[T Element](a *Array) []T {
	out := make([]T, a.Size())
	CopyTo(out, a)
	return out
}

// CopyTo is ToSlice into dst, which must have length a.Size().
func CopyTo[T Element](dst []T, a *Array) {
	if len(dst) != a.Size() {
		Throw("copy", []Spec{SpecOf(a)}, "%d elements do not fit a slice of %d", a.Size(), len(dst))
	}
	to := DTypeOf[T]()
	if d := a.DType(); !holds(to, d) {
		Throw("read", []Spec{SpecOf(a)}, "%v does not hold every %v; use AsType", to, d)
	}
	r, v := read(a)
	convert(dst, &v)
	runtime.KeepAlive(r)
}

// CopyView copies the row-major elements of v into dst, which must be of v's dtype
// and size: the outputs of Programs, without an Array.
func CopyView[T Element](dst []T, v *View) {
	copy(dst, elems[T](v, v.Shape.Size()))
}

// holds reports whether to holds every value of from.
func holds(to, from DType) bool {
	if to == from {
		return true
	}
	if from == dtype.Bool {
		return false
	}
	fi, ti := from.Is(dtype.Integer), to.Is(dtype.Integer)
	switch {
	case fi && ti:
		fs, ts := from.Is(dtype.SignedInteger), to.Is(dtype.SignedInteger)
		return fs == ts && from.Size() < to.Size() || !fs && ts && from.Size() < to.Size()
	case fi:
		return to == dtype.Float64 && from.Size() <= 4 || to == dtype.Float32 && from.Size() <= 2
	case to == dtype.Complex64:
		return from != dtype.Float64
	case to == dtype.Float64:
		return from != dtype.Complex64
	case to == dtype.Float32:
		return from == dtype.Float16 || from == dtype.BFloat16
	}
	return false
}

// convert copies the row-major elements of v; holds has been checked.
func convert[T Element](dst []T, v *View) {
	n := len(dst)
	if n == 0 {
		return
	}
	switch v.DType {
	case DTypeOf[T]():
		switch d := any(dst).(type) {
		case []complex128:
			widen(d, elems[complex64](v, n), func(x complex64) complex128 { return complex128(x) })
		default:
			copy(dst, elems[T](v, n))
		}
	case dtype.Uint8:
		numbers(dst, elems[uint8](v, n))
	case dtype.Uint16:
		numbers(dst, elems[uint16](v, n))
	case dtype.Uint32:
		numbers(dst, elems[uint32](v, n))
	case dtype.Int8:
		numbers(dst, elems[int8](v, n))
	case dtype.Int16:
		numbers(dst, elems[int16](v, n))
	case dtype.Int32:
		numbers(dst, elems[int32](v, n))
	case dtype.Float32:
		numbers(dst, elems[float32](v, n))
	case dtype.Float16:
		numbers(dst, halves(elems[uint16](v, n), dtype.F16ToF32))
	case dtype.BFloat16:
		numbers(dst, halves(elems[uint16](v, n), dtype.BF16ToF32))
	default:
		panic(fmt.Sprintf("tensor: no conversion from %v", v.DType))
	}
}

func elems[T any](v *View, n int) []T { return unsafe.Slice((*T)(v.Ptr()), n) }

func halves(h []uint16, f func(uint16) float32) []float32 {
	out := make([]float32, len(h))
	for i, x := range h {
		out[i] = f(x)
	}
	return out
}

func widen[A, B any](dst []B, src []A, f func(A) B) {
	for i, x := range src {
		dst[i] = f(x)
	}
}

func numbers[T Element, F int8 | int16 | int32 | uint8 | uint16 | uint32 | float32](dst []T, src []F) {
	switch d := any(dst).(type) {
	case []int:
		widen(d, src, func(x F) int { return int(x) })
	case []int16:
		widen(d, src, func(x F) int16 { return int16(x) })
	case []int32:
		widen(d, src, func(x F) int32 { return int32(x) })
	case []int64:
		widen(d, src, func(x F) int64 { return int64(x) })
	case []uint:
		widen(d, src, func(x F) uint { return uint(x) })
	case []uint16:
		widen(d, src, func(x F) uint16 { return uint16(x) })
	case []uint32:
		widen(d, src, func(x F) uint32 { return uint32(x) })
	case []uint64:
		widen(d, src, func(x F) uint64 { return uint64(x) })
	case []float32:
		widen(d, src, func(x F) float32 { return float32(x) })
	case []float64:
		widen(d, src, func(x F) float64 { return float64(x) })
	case []complex64:
		widen(d, src, func(x F) complex64 { return complex(float32(x), 0) })
	case []complex128:
		widen(d, src, func(x F) complex128 { return complex(float64(x), 0) })
	default:
		panic(fmt.Sprintf("tensor: no conversion to %T", dst))
	}
}

// NewView allocates row-major memory of the default device that no pending work
// touches: states and outputs of Programs. p says what it is for.
func NewView(s Spec, p Purpose) (View, error) {
	b, err := newBuffer(resolve(Stream{}).Device, s.Bytes(), nil, p)
	if err != nil {
		return View{}, err
	}
	return RowMajorView(s, b), nil
}

// NewArena allocates size bytes for a Program's temporaries.
func NewArena(d Device, size int) (*Buffer, error) { return newBuffer(d, size, nil, Arena) }

// NewScratch allocates size bytes that a backend needs until a batch has ended.
func NewScratch(d Device, size int) (*Buffer, error) { return newBuffer(d, size, nil, Other) }

// Own takes a's memory for writing: the buffer itself when nobody else has it or
// has still to read it, else a copy. The handle is dead afterwards.
func Own(a *Array, p Purpose) (View, error) {
	if _, err := ValueOf(a); err != nil {
		return View{}, err
	}
	graph.Lock()
	n := a.n
	v := *n.val
	b := v.Buf
	sole := n.uses.Load() == 0 && b.refs.Load() == 1 && b.owner == nil && (b.mem != nil || unified.Load() == nil) && v.Contiguous() && v.Offset == 0 &&
		countLive(n.traces) == 0 && b.only(nil, nil)
	if sole {
		a.dead.Store(true)
		n.freed, n.val = true, nil
		b.refs.Store(0)
	}
	graph.Unlock()
	if !sole {
		c := Apply1(Contiguous{}, Stream{}, a)
		var err error
		if v, err = ValueOf(c); err != nil {
			return View{}, err
		}
		v.Buf.refs.Store(0)
		a.dead.Store(true)
	}
	v.Buf.setPurpose(p)
	return v, nil
}

// Retain counts one more user of v's buffer: the constants of a Plan.
func Retain(v View) { v.Buf.refs.Add(1) }

func (b *Buffer) setPurpose(p Purpose) {
	if b.mem == nil || b.purpose == p {
		return
	}
	n := int64(b.mem.Size())
	mem.Lock()
	defer mem.Unlock()
	countLocked(b.purpose, -n)
	countLocked(p, n)
	b.purpose = p
	b.clean.Stop()
	b.clean = runtime.AddCleanup(b, func(f freed) { recycle(f, p) }, freed{mem: b.mem, class: b.class, device: b.device})
}
