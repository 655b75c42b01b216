// Package dtype names the element types of arrays and holds what depends on
// them alone: sizes, categories, promotion, limits, and the conversions between
// float32 and the narrow floats (float16, bfloat16).
//
// The main type is [DType]. The package knows nothing of arrays or devices.
package dtype

import (
	"fmt"
	"math"
)

// DType is the type of an array's elements.
type DType uint8

// The element types. Float64 runs on the CPU only.
const (
	Bool DType = iota
	Uint8
	Uint16
	Uint32
	Uint64
	Int8
	Int16
	Int32
	Int64
	Float16
	BFloat16
	Float32
	Float64
	Complex64
)

// Count is the number of dtypes; every valid DType is less.
const Count = int(Complex64) + 1

var names = [Count]string{
	"bool", "uint8", "uint16", "uint32", "uint64", "int8", "int16", "int32", "int64",
	"float16", "bfloat16", "float32", "float64", "complex64",
}

var sizes = [Count]uint8{1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 2, 4, 8, 8}

// Valid reports whether d is one of the declared dtypes.
func (d DType) Valid() bool { return int(d) < Count }

// String is MLX's name without its module: "float32", "bool", "bfloat16".
func (d DType) String() string {
	if !d.Valid() {
		return fmt.Sprintf("dtype(%d)", uint8(d))
	}
	return names[d]
}

// Size is the number of bytes of an element. It panics for an invalid dtype.
func (d DType) Size() int { return int(sizes[d]) }

// Parse gives the dtype of a name as String writes it; "bool_", the spelling
// of MLX's Python module, is bool too. Any other name is an error.
func Parse(name string) (DType, error) {
	if name == "bool_" {
		return Bool, nil
	}
	for i, n := range names {
		if n == name {
			return DType(i), nil
		}
	}
	return 0, fmt.Errorf("dtype: unknown name %q", name)
}

// Category is a set of dtypes as in mx.issubdtype.
type Category uint8

// The categories: Generic > Number > {Integer > {SignedInteger, UnsignedInteger},
// Inexact > {Floating, ComplexFloating}}. Bool is Generic only.
const (
	Generic Category = iota
	Number
	Integer
	SignedInteger
	UnsignedInteger
	Inexact
	Floating
	ComplexFloating
)

var categoryNames = [...]string{
	"generic", "number", "integer", "signedinteger", "unsignedinteger", "inexact", "floating", "complexfloating",
}

// String is MLX's name of the category: "generic", "signedinteger".
func (c Category) String() string {
	if int(c) >= len(categoryNames) {
		return fmt.Sprintf("category(%d)", uint8(c))
	}
	return categoryNames[c]
}

// Is is mx.issubdtype(d, c).
func (d DType) Is(c Category) bool {
	unsigned := d >= Uint8 && d <= Uint64
	signed := d >= Int8 && d <= Int64
	floating := d >= Float16 && d <= Float64
	complexed := d == Complex64
	switch c {
	case Generic:
		return d.Valid()
	case Number:
		return unsigned || signed || floating || complexed
	case Integer:
		return unsigned || signed
	case SignedInteger:
		return signed
	case UnsignedInteger:
		return unsigned
	case Inexact:
		return floating || complexed
	case Floating:
		return floating
	case ComplexFloating:
		return complexed
	}
	return false
}

// FInfo describes a floating dtype (mx.finfo).
type FInfo struct {
	Bits                          int
	Min, Max, Eps, SmallestNormal float64
	DType                         DType
}

// String is as in MLX: finfo(min=-65504, max=65504, dtype=float16).
func (f FInfo) String() string {
	return fmt.Sprintf("finfo(min=%.6g, max=%.6g, dtype=%v)", f.Min, f.Max, f.DType)
}

// FInfo is mx.finfo(d); for Complex64 it is that of Float32. It panics for
// integers and bool.
func (d DType) FInfo() FInfo {
	var bits, mantissa, maxExp int
	switch d {
	case Float16:
		bits, mantissa, maxExp = 16, 10, 15
	case BFloat16:
		bits, mantissa, maxExp = 16, 7, 127
	case Float32, Complex64:
		bits, mantissa, maxExp = 32, 23, 127
	case Float64:
		bits, mantissa, maxExp = 64, 52, 1023
	default:
		panic(fmt.Sprintf("dtype: finfo of %v, which is not inexact", d))
	}
	eps := math.Ldexp(1, -mantissa)
	limit := math.Ldexp(2-eps, maxExp)
	return FInfo{Bits: bits, Min: -limit, Max: limit, Eps: eps, SmallestNormal: math.Ldexp(1, 1-maxExp), DType: d}
}

// IInfo describes an integer dtype (mx.iinfo).
type IInfo struct {
	Bits  int
	Min   int64
	Max   uint64
	DType DType
}

// String is as in MLX: iinfo(min=-128, max=127, dtype=int8).
func (i IInfo) String() string {
	return fmt.Sprintf("iinfo(min=%d, max=%d, dtype=%v)", i.Min, i.Max, i.DType)
}

// IInfo is mx.iinfo(d); it panics for floats, complex and bool.
func (d DType) IInfo() IInfo {
	bits := 8
	if d.Valid() {
		bits = 8 * d.Size()
	}
	switch {
	case d.Is(UnsignedInteger):
		return IInfo{Bits: bits, Max: math.MaxUint64 >> (64 - bits), DType: d}
	case d.Is(SignedInteger):
		return IInfo{Bits: bits, Min: math.MinInt64 >> (64 - bits), Max: math.MaxInt64 >> (64 - bits), DType: d}
	}
	panic(fmt.Sprintf("dtype: iinfo of %v, which is not an integer", d))
}
