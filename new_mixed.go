package mlx

import (
	"reflect"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var arrayType = reflect.TypeFor[*Array]()

// isMixed reports whether the elements of a nested slice have types of their own, or
// are arrays.
func isMixed(t reflect.Type) bool {
	for t.Kind() == reflect.Slice || t.Kind() == reflect.Array {
		t = t.Elem()
	}
	return t.Kind() == reflect.Interface || t == arrayType
}

// concrete is what an interface holds.
func concrete(v reflect.Value) reflect.Value {
	for v.Kind() == reflect.Interface {
		v = v.Elem()
	}
	return v
}

func isList(v reflect.Value) bool {
	return v.Kind() == reflect.Slice || v.Kind() == reflect.Array
}

// fromMixed is an array of a nested list of numbers and arrays: with arrays in it the
// stack of its elements, else of the dtype that holds all the numbers.
func fromMixed(r reflect.Value, wide bool, s Stream) *Array {
	if holdsArray(r) {
		return stackOf(r, wide, s)
	}
	var shape Shape
	for v := r; isList(v); {
		shape = append(shape, v.Len())
		if v.Len() == 0 {
			break
		}
		v = concrete(v.Index(0))
	}
	var leaves []reflect.Value
	var walk func(v reflect.Value, axis int)
	walk = func(v reflect.Value, axis int) {
		if v = concrete(v); isList(v) != (axis < len(shape)) {
			tensor.Throw("array", nil, "ragged: some elements of axis %d are lists, others are not", axis)
		}
		if !isList(v) {
			leaves = append(leaves, v)
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
	return fromLeaves(leaves, shape, wide)
}

func holdsArray(v reflect.Value) bool {
	v = concrete(v)
	if !isList(v) {
		return v.IsValid() && v.Type() == arrayType
	}
	for i := range v.Len() {
		if holdsArray(v.Index(i)) {
			return true
		}
	}
	return false
}

// stackOf stacks a list of which some element is an array.
func stackOf(v reflect.Value, wide bool, s Stream) *Array {
	v = concrete(v)
	if !isList(v) {
		if !v.IsValid() {
			tensor.Throw("array", nil, "cannot make an array of nil")
		}
		a, _ := v.Interface().(*Array)
		switch {
		case v.Type() != arrayType:
			return fromLeaves([]reflect.Value{v}, Shape{}, wide)
		case a == nil:
			tensor.Throw("array", nil, "an array of the list is nil")
		}
		return a
	}
	if !holdsArray(v) {
		return fromMixed(v, wide, s)
	}
	parts := make(Arrays, v.Len())
	for i := range parts {
		parts[i] = stackOf(v.Index(i), wide, s)
	}
	return tensor.StackOf(parts, 0, s)
}

// fromLeaves has the dtype that the dtypes of all numbers promote to; float32 if there
// are none.
func fromLeaves(leaves []reflect.Value, shape Shape, wide bool) *Array {
	d := Float32
	for i, v := range leaves {
		of := leafDType(v, wide)
		if i == 0 {
			d = of
		} else {
			d = dtype.Promote(d, of)
		}
	}
	var a *Array
	switch {
	case d == Complex64:
		a = tensor.FromSlice(each(leaves, asComplex), len(leaves))
	case d.Is(Floating):
		a = tensor.FromSlice(each(leaves, func(v reflect.Value) float64 { return real(asComplex(v)) }), len(leaves))
	case d == Uint64:
		a = tensor.FromSlice(each(leaves, func(v reflect.Value) uint64 {
			if v.CanUint() {
				return v.Uint()
			}
			return uint64(asInt(v))
		}), len(leaves))
	default:
		a = tensor.FromSlice(each(leaves, asInt), len(leaves))
	}
	return tensor.ReshapeTo(tensor.AsType(a, d, Stream{}), shape, Stream{})
}

func each[T any](vs []reflect.Value, f func(reflect.Value) T) []T {
	out := make([]T, len(vs))
	for i, v := range vs {
		out[i] = f(v)
	}
	return out
}

// leafDType is the dtype of NewArray of one number.
func leafDType(v reflect.Value, wide bool) DType {
	if v.IsValid() {
		switch v.Kind() {
		case reflect.Int:
			if n := v.Int(); int64(int32(n)) != n {
				return Int64
			}
			return Int32
		case reflect.Float64:
			if wide {
				return Float64
			}
			return Float32
		case reflect.Complex128:
			return Complex64
		}
		if d, ok := sizedDType(v.Kind()); ok {
			return d
		}
		tensor.Throw("array", nil, "cannot make an array of %v", v.Type())
	}
	tensor.Throw("array", nil, "cannot make an array of nil")
	return 0
}

func asInt(v reflect.Value) int64 {
	switch {
	case v.CanInt():
		return v.Int()
	case v.CanUint():
		return int64(v.Uint())
	case v.Kind() == reflect.Bool && v.Bool():
		return 1
	}
	return 0
}

func asComplex(v reflect.Value) complex128 {
	switch {
	case v.CanComplex():
		return v.Complex()
	case v.CanFloat():
		return complex(v.Float(), 0)
	case v.CanUint():
		return complex(float64(v.Uint()), 0)
	}
	return complex(float64(asInt(v)), 0)
}
