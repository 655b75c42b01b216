package dtype

import "fmt"

// promotion is MLX's symmetric table, rows and columns in the order of the
// constants. Mixed signs take the next wider signed type; uint64 with a signed
// type has none and becomes float32; float16 with bfloat16 becomes float32.
var promotion = func() (t [Count][Count]DType) {
	for a := range DType(Count) {
		for b := range DType(Count) {
			t[a][b] = promote(a, b)
		}
	}
	return t
}()

func promote(a, b DType) DType {
	if a > b {
		a, b = b, a
	}
	switch {
	case a == b || a == Bool:
		return b
	case b == Complex64:
		return Complex64
	case b.Is(Floating):
		if a == Float16 && b == BFloat16 {
			return Float32
		}
		return b
	case a.Is(UnsignedInteger) && b.Is(SignedInteger):
		return promoteSigns(a, b)
	}
	return b // two integers of one sign: the constants grow with the width
}

// promoteSigns is the smallest signed type that holds both, else float32.
func promoteSigns(unsigned, signed DType) DType {
	if unsigned == Uint64 {
		return Float32
	}
	return max(signed, unsigned-Uint8+Int8+1)
}

// Promote is the dtype in which an op on arrays of dtypes a and b computes
// (mx.result_type of two). It is symmetric. It panics for an invalid dtype.
func Promote(a, b DType) DType { return promotion[a][b] }

// CanCast is mx.can_cast: whether promoting from with to gives back to.
func CanCast(from, to DType) bool { return Promote(from, to) == to }

// Weak is the kind of a plain number beside an array: it bends to the array's
// dtype and widens it only where its kind demands.
type Weak uint8

// The kinds of plain numbers.
const (
	WeakBool Weak = iota
	WeakInt
	WeakFloat
	WeakComplex
)

// String is "bool", "int", "float" or "complex".
func (w Weak) String() string {
	switch w {
	case WeakBool:
		return "bool"
	case WeakInt:
		return "int"
	case WeakFloat:
		return "float"
	case WeakComplex:
		return "complex"
	}
	return fmt.Sprintf("weak(%d)", uint8(w))
}

// DType is the dtype of an array made of plain numbers of this kind: bool,
// int32, float32, complex64.
func (w Weak) DType() DType {
	return [...]DType{WeakBool: Bool, WeakInt: Int32, WeakFloat: Float32, WeakComplex: Complex64}[w]
}

// PromoteWeak is the dtype in which an op on an array and a plain number
// computes: the array's, except that an int makes bool int32, a float makes
// bool and integers float32, and a complex makes all complex64.
func PromoteWeak(array DType, kind Weak) DType {
	switch kind {
	case WeakInt:
		if array == Bool {
			return Int32
		}
	case WeakFloat:
		if !array.Is(Inexact) {
			return Float32
		}
	case WeakComplex:
		return Complex64
	}
	return array
}

// AtLeastFloat is the dtype in which exp, sqrt, divide, mean and their like
// compute: float32 for bool and integers, else d.
func AtLeastFloat(d DType) DType { return PromoteWeak(d, WeakFloat) }

// FitsWeakInt reports whether the plain integer v may meet an array of dtype d.
// MLX refuses v outside the range of an 8, 16 or 32-bit integer dtype; wider
// integers, floats, complex and bool take any.
func FitsWeakInt(d DType, v int64) bool {
	if !d.Is(Integer) || d.Size() == 8 {
		return true
	}
	r := d.IInfo()
	return v >= r.Min && v <= int64(r.Max)
}
