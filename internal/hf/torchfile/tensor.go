package torchfile

import (
	"fmt"
	"math"
	"math/bits"

	"github.com/mlxgo/mlx/internal/dtype"
)

// maxRank bounds the dimensions of one tensor.
const maxRank = 64

// element is a type of elements.
type element struct {
	raw   string
	dtype dtype.DType
}

// storages are PyTorch's typed storages, dtypes its names of element types.
var (
	storages = map[string]element{
		"FloatStorage": {"F32", dtype.Float32}, "HalfStorage": {"F16", dtype.Float16}, "BFloat16Storage": {"BF16", dtype.BFloat16},
		"DoubleStorage": {"F64", dtype.Float64}, "LongStorage": {"I64", dtype.Int64}, "IntStorage": {"I32", dtype.Int32},
		"ShortStorage": {"I16", dtype.Int16}, "CharStorage": {"I8", dtype.Int8}, "ByteStorage": {"U8", dtype.Uint8},
		"BoolStorage": {"BOOL", dtype.Bool}, "ComplexFloatStorage": {"C64", dtype.Complex64}, untyped: {"U8", dtype.Uint8},
	}
	dtypes = map[string]element{
		"float32": {"F32", dtype.Float32}, "float16": {"F16", dtype.Float16}, "bfloat16": {"BF16", dtype.BFloat16},
		"float64": {"F64", dtype.Float64}, "int64": {"I64", dtype.Int64}, "int32": {"I32", dtype.Int32},
		"int16": {"I16", dtype.Int16}, "int8": {"I8", dtype.Int8}, "uint8": {"U8", dtype.Uint8}, "bool": {"BOOL", dtype.Bool},
		"uint16": {"U16", dtype.Uint16}, "uint32": {"U32", dtype.Uint32}, "uint64": {"U64", dtype.Uint64}, "complex64": {"C64", dtype.Complex64},
		"float8_e4m3fn": {"F8_E4M3", dtype.Uint8}, "float8_e5m2": {"F8_E5M2", dtype.Uint8}, "float8_e8m0fnu": {"F8_E8M0", dtype.Uint8},
	}
)

const untyped = "UntypedStorage"

// storage is elements of a type, and tensor a view of them.
type (
	storage struct {
		kind element
		data []byte
	}
	tensor struct {
		kind           element
		shape, strides []int
		data           []byte
	}
)

// rebuild is torch._utils._rebuild_tensor_v2: a view of elements from offset on.
func rebuild(s *storage, kind element, offset, size, stride any) (*tensor, error) {
	at, ok := offset.(int64)
	shape, okShape := ints(size)
	strides, okStrides := ints(stride)
	if !ok || !okShape || !okStrides || len(shape) != len(strides) || len(shape) > maxRank || at < 0 {
		return nil, fmt.Errorf("a tensor has offset %s, size %s and stride %s", kindOrInt(offset), kindOrInts(size), kindOrInts(stride))
	}
	n := uint64(len(s.data) / kind.dtype.Size())
	elements, last := uint64(1), uint64(at) // of the view
	for i, d := range shape {
		hi, lo := bits.Mul64(elements, uint64(d))
		if hi != 0 || lo > math.MaxInt64/16 {
			return nil, fmt.Errorf("shape %v has more elements than can be addressed", shape)
		}
		elements = lo
		if d == 0 {
			continue
		}
		hi, lo = bits.Mul64(uint64(d-1), uint64(strides[i]))
		if hi != 0 || lo > math.MaxInt64/2 || last+lo > math.MaxInt64/2 {
			return nil, fmt.Errorf("strides %v of shape %v reach beyond what can be addressed", strides, shape)
		}
		last += lo
	}
	t := &tensor{kind: kind, shape: shape, strides: strides}
	switch {
	case elements == 0:
		return t, nil
	case last >= n:
		return nil, fmt.Errorf("shape %v with strides %v from element %d on needs %d elements, but its storage has %d", shape, strides, at, last+1, n)
	case elements > n:
		return nil, fmt.Errorf("shape %v repeats the %d elements of its storage: save a copy (clone) of an expanded tensor", shape, n)
	}
	t.data = s.data[at*int64(kind.dtype.Size()):]
	return t, nil
}

// ints are the numbers of a tuple, none below 0.
func ints(v any) ([]int, bool) {
	t, ok := v.(tuple)
	if !ok {
		return nil, false
	}
	out := make([]int, len(t))
	for i, x := range t {
		n, ok := x.(int64)
		if !ok || n < 0 || int64(int(n)) != n {
			return nil, false
		}
		out[i] = int(n)
	}
	return out, true
}

func kindOrInt(v any) string {
	if n, ok := v.(int64); ok {
		return fmt.Sprint(n)
	}
	return kind(v)
}

func kindOrInts(v any) string {
	if n, ok := ints(v); ok && len(n) <= maxRank {
		return fmt.Sprint(n)
	}
	return kind(v)
}

// Size is the bytes of the elements.
func (t Tensor) Size() int64 {
	n := int64(t.DType.Size())
	for _, d := range t.Shape {
		n *= int64(d)
	}
	return n
}

// Data are the elements, row-major and little-endian, as they lie in the file; ok is
// false if they lie in another order. They are read-only, at any alignment, and valid
// while the File is referenced and not closed.
func (t Tensor) Data() (data []byte, ok bool) {
	want := 1
	for i := len(t.Shape) - 1; i >= 0; i-- {
		if t.Shape[i] != 1 && t.strides[i] != want {
			return nil, t.Size() == 0
		}
		want *= t.Shape[i]
	}
	return t.data[:t.Size():t.Size()], true
}

// Bytes are the elements, row-major and little-endian: a copy.
func (t Tensor) Bytes() ([]byte, error) {
	out := make([]byte, 0, t.Size())
	if data, ok := t.Data(); ok {
		return append(out, data...), nil
	}
	size := t.DType.Size()
	index := make([]int, len(t.Shape))
	last := len(t.Shape) - 1
	for at := 0; ; {
		for i := range t.Shape[last] {
			from := (at + i*t.strides[last]) * size
			out = append(out, t.data[from:from+size]...)
		}
		axis := last - 1
		for ; axis >= 0; axis-- {
			at += t.strides[axis]
			if index[axis]++; index[axis] < t.Shape[axis] {
				break
			}
			at -= index[axis] * t.strides[axis]
			index[axis] = 0
		}
		if axis < 0 {
			return out, nil
		}
	}
}
