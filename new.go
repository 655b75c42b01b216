package mlx

import (
	"math"
	"reflect"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Element is a Go type that an array's elements can be made from or read as.
// float16 and bfloat16 have no Go type: read them as float32. In Python it is the type
// of an item.
type Element = tensor.Element

// Scalar is a Go number or bool, as Python's scalars in MLX. Where it meets an array it
// is weak: only its kind (bool, integer, float, complex) matters.
type Scalar interface {
	bool | int | int8 | int16 | int32 | int64 |
		uint | uint8 | uint16 | uint32 | uint64 |
		float32 | float64 | complex64 | complex128
}

// Operand is what a binary op takes on either side, MLX's scalar_or_array: an array, or
// a [Scalar].
type Operand interface {
	*Array | Scalar
}

// creation reads dtype= and stream=.
func creation(op string, opts []opt.Create, d DType) (DType, Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForCreate(&set)
	}
	if set.HasDType {
		d = DType(set.DType)
	}
	return d, streamOf(op, &set)
}

// FromSlice is mx.array of a NumPy array: of the given shape over a copy of data, in
// row-major order; with no shape it has one axis. T's dtype is kept, float64 too. It panics
// if the data does not fill the shape.
func FromSlice[T Element](data []T, shape ...int) *Array { return tensor.FromSlice(data, shape...) }

// FromBytes is an array over a copy of little-endian elements, as np.frombuffer for
// mx.array. It panics if the data does not fill the shape.
func FromBytes(data []byte, shape Shape, d DType) *Array { return tensor.FromBytes(data, shape, d) }

// NewArray is mx.array(v): v is a number, a bool or a slice or array of them,
// nested to any depth and not ragged. Go's plain types are Python's: int gives
// int32 (int64 if a value does not fit), float64 gives float32, complex128 gives
// complex64; sized types keep their size. Lists may mix them ([]any{1, 2.5, true}): the
// dtype is the one that all promote to. Arrays in a list are stacked, so they must have
// one shape. A [DType] decides otherwise.
func NewArray(v any, opts ...CreateOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForCreate(&set)
	}
	s, d := streamOf("array", &set), DType(set.DType)
	wide := set.HasDType && d == Float64 // a float64 is not rounded on its way
	var a *Array
	r := reflect.ValueOf(v)
	switch {
	case isList(r) && isMixed(r.Type()):
		a = fromMixed(r, wide, s)
	case r.Kind() == reflect.Slice || r.Kind() == reflect.Array:
		a = fromNested(r, wide)
	case wide && r.CanFloat():
		return tensor.FloatScalar(r.Float(), d, s)
	default:
		a = tensor.Operand("array", v, s)
		if sized, ok := sizedDType(r.Kind()); ok {
			a = tensor.AsType(a, sized, s)
		}
	}
	if set.HasDType {
		a = tensor.AsType(a, d, s)
	}
	return a
}

// sizedDType is the dtype of a Go type whose width was chosen.
func sizedDType(k reflect.Kind) (DType, bool) {
	d, ok := map[reflect.Kind]DType{
		reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64,
		reflect.Uint8: Uint8, reflect.Uint16: Uint16, reflect.Uint32: Uint32, reflect.Uint64: Uint64, reflect.Uint: Uint64,
		reflect.Float32: Float32, reflect.Bool: Bool, reflect.Complex64: Complex64,
	}[k]
	return d, ok
}

// fromNested flattens a nested slice of one element type; wide keeps float64.
func fromNested(r reflect.Value, wide bool) *Array {
	var shape Shape
	leaf := r.Type()
	for v := r; leaf.Kind() == reflect.Slice || leaf.Kind() == reflect.Array; leaf = leaf.Elem() {
		n := 0
		if v.IsValid() {
			n = v.Len()
		}
		shape = append(shape, n)
		if n > 0 {
			v = v.Index(0)
		} else {
			v = reflect.Value{}
		}
	}
	switch leaf.Kind() {
	case reflect.Int:
		return ints(flatten[int64](r, shape, reflect.Value.Int), shape)
	case reflect.Float64:
		if wide {
			return tensor.FromSlice(flatten[float64](r, shape, reflect.Value.Float), shapeOrNone(shape)...)
		}
		return narrow(flatten[float64](r, shape, reflect.Value.Float), shape)
	case reflect.Complex128, reflect.Complex64:
		return tensor.FromSlice(flatten[complex128](r, shape, reflect.Value.Complex), shapeOrNone(shape)...)
	}
	d, ok := sizedDType(leaf.Kind())
	if !ok {
		tensor.Throw("array", nil, "cannot make an array of %v", leaf)
	}
	switch {
	case d == Bool:
		return tensor.FromSlice(flatten[bool](r, shape, reflect.Value.Bool), shapeOrNone(shape)...)
	case d.Is(dtype.UnsignedInteger):
		return tensor.AsType(tensor.FromSlice(flatten[uint64](r, shape, reflect.Value.Uint), shapeOrNone(shape)...), d, Stream{})
	case d.Is(dtype.SignedInteger):
		return tensor.AsType(tensor.FromSlice(flatten[int64](r, shape, reflect.Value.Int), shapeOrNone(shape)...), d, Stream{})
	}
	return narrow(flatten[float64](r, shape, reflect.Value.Float), shape)
}

// shapeOrNone keeps an explicit shape apart from none at all.
func shapeOrNone(s Shape) []int { return s }

func flatten[T any](r reflect.Value, shape Shape, get func(reflect.Value) T) []T {
	out := make([]T, 0, shape.Size())
	var walk func(v reflect.Value, axis int)
	walk = func(v reflect.Value, axis int) {
		if axis == len(shape) {
			out = append(out, get(v))
			return
		}
		if v.Len() != shape[axis] {
			tensor.Throw("array", nil, "ragged: axis %d has rows of %d and %d elements", axis, shape[axis], v.Len())
		}
		for i := range v.Len() {
			walk(v.Index(i), axis+1)
		}
	}
	walk(r, 0)
	return out
}

func ints(v []int64, shape Shape) *Array {
	small := make([]int32, len(v))
	for i, x := range v {
		if x < math.MinInt32 || x > math.MaxInt32 {
			return tensor.FromSlice(v, shapeOrNone(shape)...)
		}
		small[i] = int32(x)
	}
	return tensor.FromSlice(small, shapeOrNone(shape)...)
}

func narrow(v []float64, shape Shape) *Array {
	f := make([]float32, len(v))
	for i, x := range v {
		f[i] = float32(x)
	}
	return tensor.FromSlice(f, shapeOrNone(shape)...)
}

// Zeros is mx.zeros(shape), float32 unless a dtype is given.
func Zeros(shape Shape, opts ...CreateOption) *Array { return filled("zeros", shape, 0, opts) }

// Ones is mx.ones(shape), float32 unless a dtype is given.
func Ones(shape Shape, opts ...CreateOption) *Array { return filled("ones", shape, 1, opts) }

func filled(op string, shape Shape, v float64, opts []opt.Create) *Array {
	d, s := creation(op, opts, Float32)
	for _, n := range shape {
		if n < 0 {
			tensor.Throw(op, nil, "shape %v has a negative axis", shape)
		}
	}
	return tensor.FullOf(tensor.FloatScalar(v, d, s), shape, s)
}

// Full is mx.full(shape, v): v is broadcast to shape; its dtype is kept unless one
// is given.
func Full[V Operand](shape Shape, v V, opts ...CreateOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForCreate(&set)
	}
	s := streamOf("full", &set)
	if d := DType(set.DType); set.HasDType && d == Float64 {
		if r := reflect.ValueOf(v); r.CanFloat() { // not by way of float32
			return tensor.FullOf(tensor.FloatScalar(r.Float(), d, s), shape, s)
		}
	}
	a := tensor.Operand("full", v, s)
	if set.HasDType {
		a = tensor.AsType(a, DType(set.DType), s)
	}
	return tensor.FullOf(a, shape, s)
}

// Arange is mx.arange: Arange(stop), Arange(start, stop) or Arange(start, stop,
// step). Integers give int32, floats float32; use AsType for another dtype.
func Arange[T int | float64](bounds ...T) *Array {
	var start, stop T
	step := T(1)
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	default:
		tensor.Throw("arange", nil, "needs one to three bounds, not %d", len(bounds))
	}
	if step == 0 {
		tensor.Throw("arange", nil, "step is 0")
	}
	d := Int32
	if _, ok := any(start).(float64); ok {
		d = Float32
	}
	length := math.Ceil((float64(stop) - float64(start)) / float64(step))
	if math.IsInf(float64(step), 0) && (stop > start) == (step > 0) {
		length, step = 1, 0
	}
	if math.IsNaN(length) || length > math.MaxInt32 {
		tensor.Throw("arange", nil, "cannot compute the length of (%v, %v, %v)", start, stop, step)
	}
	n := max(0, int(length))
	return tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(float64(start)), Step: tensor.MakeF64(float64(step)), N: n, DType: d}, Stream{})
}

// likeOf is the dtype of a, or the one given.
func likeOf(op string, a *Array, v float64, opts []opt.Create) *Array {
	d, s := creation(op, opts, a.DType())
	return tensor.FullOf(tensor.FloatScalar(v, d, s), a.Shape(), s)
}

// ZerosLike is mx.zeros_like(a): a's shape, and its dtype unless one is given.
func ZerosLike(a *Array, opts ...CreateOption) *Array { return likeOf("zeros_like", a, 0, opts) }

// OnesLike is mx.ones_like(a): a's shape, and its dtype unless one is given.
func OnesLike(a *Array, opts ...CreateOption) *Array { return likeOf("ones_like", a, 1, opts) }

// FullLike is mx.full_like(a, v): v is broadcast to a's shape, in a's dtype unless
// one is given.
func FullLike[V Operand](a *Array, v V, opts ...CreateOption) *Array {
	d, s := creation("full_like", opts, a.DType())
	_, x := tensor.Pair("full_like", a, v, s)
	return tensor.FullOf(tensor.AsType(x, d, s), a.Shape(), s)
}

// Linspace is mx.linspace(start, stop, num): both ends included, float32 unless a
// dtype is given; computed in float64.
func Linspace(start, stop float64, num int, opts ...CreateOption) *Array {
	d, s := creation("linspace", opts, Float32)
	return tensor.LinspaceOf(start, stop, num, d, s)
}

// Identity is mx.identity(n), also mx.eye(n): float32 unless a dtype is given.
func Identity(n int, opts ...CreateOption) *Array {
	d, s := creation("identity", opts, Float32)
	return tensor.EyeOf(n, n, 0, d, s)
}

// Eye is mx.eye(n, m, k): ones on the k-th diagonal.
func Eye(n, m, k int, opts ...CreateOption) *Array {
	d, s := creation("eye", opts, Float32)
	return tensor.EyeOf(n, m, k, d, s)
}

// Tri is mx.tri(n, m, k): ones at and below the k-th diagonal.
func Tri(n, m, k int, opts ...CreateOption) *Array {
	d, s := creation("tri", opts, Float32)
	return tensor.TriOf(n, m, k, d, s)
}

// Bartlett is mx.bartlett(m), a window of m points, float32.
func Bartlett(m int, opts ...StreamOrDevice) *Array { return tensor.Bartlett(m, on("bartlett", opts)) }

// Blackman is mx.blackman(m), a window of m points, float32.
func Blackman(m int, opts ...StreamOrDevice) *Array {
	return tensor.Cosines("blackman", m, on("blackman", opts), 0.42, 0.5, 0.08)
}

// Hamming is mx.hamming(m), a window of m points, float32.
func Hamming(m int, opts ...StreamOrDevice) *Array {
	return tensor.Cosines("hamming", m, on("hamming", opts), 0.54, 0.46)
}

// Hanning is mx.hanning(m), a window of m points, float32.
func Hanning(m int, opts ...StreamOrDevice) *Array {
	return tensor.Cosines("hanning", m, on("hanning", opts), 0.5, 0.5)
}

// MeshGrid is mx.meshgrid(*arrays, sparse, indexing): the coordinates of a grid, one
// array for each axis; sparse ones keep size 1 in the other axes. Indexing is "xy",
// which swaps the first two axes, or "ij".
func MeshGrid(arrays Arrays, sparse bool, indexing string, opts ...StreamOrDevice) Arrays {
	if indexing != "xy" && indexing != "ij" {
		tensor.Throw("meshgrid", nil, "indexing %q is not xy or ij", indexing)
	}
	return tensor.MeshGrid(arrays, sparse, indexing == "xy", on("meshgrid", opts))
}
