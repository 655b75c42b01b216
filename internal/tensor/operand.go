package tensor

import (
	"math"
	"reflect"

	"github.com/mlxgo/mlx/internal/dtype"
)

// A number is a Go number beside an array: only its kind matters.
type number struct {
	kind dtype.Weak
	i    int64
	big  bool // a uint64 above the range of i
	u    uint64
	f    float64
	c    complex128
}

// weakOf reads a Go number or bool; ok is false for anything else.
func weakOf(v any) (w number, ok bool) {
	switch x := v.(type) {
	case bool:
		if x {
			w.i = 1
		}
		return number{kind: dtype.WeakBool, i: w.i, f: float64(w.i)}, true
	case int:
		return number{kind: dtype.WeakInt, i: int64(x), f: float64(x)}, true
	case float64:
		return number{kind: dtype.WeakFloat, f: x}, true
	case complex128:
		return number{kind: dtype.WeakComplex, c: x}, true
	case complex64:
		return number{kind: dtype.WeakComplex, c: complex128(x)}, true
	case float32:
		return number{kind: dtype.WeakFloat, f: float64(x)}, true
	}
	r := reflect.ValueOf(v)
	switch {
	case r.CanInt():
		return number{kind: dtype.WeakInt, i: r.Int(), f: float64(r.Int())}, true
	case r.CanUint():
		u := r.Uint()
		return number{kind: dtype.WeakInt, i: int64(u), f: float64(u), u: u, big: u > math.MaxInt64}, true
	}
	return number{}, false
}

// scalar is w in dtype d.
func (w number) scalar(d DType, s Stream) *Array {
	switch {
	case w.kind == dtype.WeakComplex:
		return ComplexScalar(w.c, s)
	case w.kind == dtype.WeakInt && w.big && d == dtype.Uint64:
		return Apply1(Const{d, w.u}, s)
	case w.kind <= dtype.WeakInt && d.Is(dtype.Integer):
		if w.big {
			Throw("array", nil, "%d would overflow %v", w.u, d)
		}
		return IntScalar(w.i, d, s)
	}
	return FloatScalar(w.f, d, s)
}

// alone is w without an array to adapt to: Python's dtypes.
func (w number) alone(s Stream) *Array {
	d := w.kind.DType()
	if w.kind == dtype.WeakInt {
		switch {
		case w.big:
			d = dtype.Uint64
		case w.i < math.MinInt32 || w.i > math.MaxInt32:
			d = dtype.Int64
		}
	}
	return w.scalar(d, s)
}

// Pair makes arrays of two operands, each an *Array or a Go number or bool. A
// number takes the array's dtype if its kind fits.
func Pair(op string, a, b any, s Stream) (*Array, *Array) {
	x, xa := a.(*Array)
	y, ya := b.(*Array)
	switch {
	case xa && ya:
		return x, y
	case xa:
		return x, beside(op, x, b, s)
	case ya:
		return beside(op, y, a, s), y
	}
	return Operand(op, a, s), Operand(op, b, s)
}

// beside is the number v in the dtype that it takes beside x.
func beside(op string, x *Array, v any, s Stream) *Array {
	w, ok := weakOf(v)
	if !ok {
		Throw(op, []Spec{SpecOf(x)}, "%T is neither an array nor a number", v)
	}
	return w.scalar(dtype.PromoteWeak(x.DType(), w.kind), s)
}

// Operand makes an array of one operand.
func Operand(op string, v any, s Stream) *Array {
	if a, ok := v.(*Array); ok {
		return a
	}
	w, ok := weakOf(v)
	if !ok {
		Throw(op, nil, "%T is neither an array nor a number", v)
	}
	return w.alone(s)
}

// BinaryAny applies op to two operands.
func BinaryAny(op BinaryOp, a, b any, s Stream) *Array {
	x, y := Pair(op.String(), a, b, s)
	return BinaryOf(op, x, y, s)
}
