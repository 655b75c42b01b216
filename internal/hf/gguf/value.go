package gguf

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math"
	"unicode/utf8"
)

// Value is the value of an entry: a number, a text or an array of these. What it holds
// stays in the file's memory until it is asked for. Its encoding is the file's.
type Value struct {
	kind Kind
	elem Kind   // of an array
	n    int    // elements of an array
	data []byte // little-endian; strings with their lengths
}

// Kind is the value's kind.
func (v Value) Kind() Kind { return v.kind }

// Len is the number of an array's elements, 0 of other kinds.
func (v Value) Len() int { return v.n }

// Elem is the kind of an array's elements.
func (v Value) Elem() Kind { return v.elem }

// number reads a number of kind k at the start of data.
func number(k Kind, data []byte) float64 {
	switch k {
	case Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(data)))
	case Float64:
		return math.Float64frombits(binary.LittleEndian.Uint64(data))
	case Uint64:
		return float64(binary.LittleEndian.Uint64(data))
	}
	return float64(integer(k, data))
}

// integer reads a whole number of kind k, other than a uint64 above the largest int64.
func integer(k Kind, data []byte) int64 {
	switch k {
	case Uint8, Bool:
		return int64(data[0])
	case Int8:
		return int64(int8(data[0]))
	case Uint16:
		return int64(binary.LittleEndian.Uint16(data))
	case Int16:
		return int64(int16(binary.LittleEndian.Uint16(data)))
	case Uint32:
		return int64(binary.LittleEndian.Uint32(data))
	case Int32:
		return int64(int32(binary.LittleEndian.Uint32(data)))
	}
	return int64(binary.LittleEndian.Uint64(data))
}

// Float is a number of any kind.
func (v Value) Float() (float64, error) {
	if v.kind == Bool || v.kind.size() == 0 {
		return 0, fmt.Errorf("is %s, not a number", v.describe())
	}
	return number(v.kind, v.data), nil
}

// Int is a whole number of any kind that is not negative and that an int holds.
func (v Value) Int() (int, error) {
	f, err := v.Float()
	if err != nil {
		return 0, err
	}
	if f != math.Trunc(f) || f < 0 || f >= 1<<53 {
		return 0, fmt.Errorf("is %v, not a count", f)
	}
	return int(f), nil
}

// Bool is a truth value.
func (v Value) Bool() (bool, error) {
	if v.kind != Bool {
		return false, fmt.Errorf("is %s, not a bool", v.describe())
	}
	return v.data[0] != 0, nil
}

// Text is a string. It is valid UTF-8: what is not stands as U+FFFD.
func (v Value) Text() (string, error) {
	if v.kind != String {
		return "", fmt.Errorf("is %s, not a string", v.describe())
	}
	return text(v.data[8:]), nil
}

func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return string([]rune(string(b)))
}

// Texts goes through an array of strings, in order; the bytes are the file's as they
// are, valid UTF-8 or not.
func (v Value) Texts() (iter.Seq2[int, []byte], error) {
	if v.kind != Array || v.elem != String {
		return nil, fmt.Errorf("is %s, not an array of strings", v.describe())
	}
	return func(yield func(int, []byte) bool) {
		data := v.data
		for i := range v.n {
			n := binary.LittleEndian.Uint64(data) // parse has checked it
			if !yield(i, data[8:8+n]) {
				return
			}
			data = data[8+n:]
		}
	}, nil
}

// Floats is an array of numbers, or of truth values as 0 and 1.
func (v Value) Floats() ([]float64, error) {
	size := v.elem.size()
	if v.kind != Array || size == 0 {
		return nil, fmt.Errorf("is %s, not an array of numbers", v.describe())
	}
	out := make([]float64, v.n)
	for i := range out {
		out[i] = number(v.elem, v.data[i*size:])
	}
	return out, nil
}

func (v Value) describe() string {
	if v.kind == Array {
		return fmt.Sprintf("an array of %v", v.elem)
	}
	return "a " + v.kind.String()
}

// Number is a value of a numeric kind.
func Number(k Kind, x float64) Value {
	b := make([]byte, k.size())
	switch k {
	case Float32:
		binary.LittleEndian.PutUint32(b, math.Float32bits(float32(x)))
	case Float64:
		binary.LittleEndian.PutUint64(b, math.Float64bits(x))
	default:
		for i, n := 0, uint64(int64(x)); i < len(b); i++ {
			b[i] = byte(n >> (8 * i))
		}
	}
	return Value{kind: k, data: b}
}

// Truth is a bool.
func Truth(b bool) Value {
	v := Value{kind: Bool, data: []byte{0}}
	if b {
		v.data[0] = 1
	}
	return v
}

// Text is a string.
func Text(s string) Value { return Value{kind: String, data: appendText(nil, s)} }

func appendText(b []byte, s string) []byte {
	return append(binary.LittleEndian.AppendUint64(b, uint64(len(s))), s...)
}

// Texts is an array of strings.
func Texts(s []string) Value {
	v := Value{kind: Array, elem: String, n: len(s)}
	for _, s := range s {
		v.data = appendText(v.data, s)
	}
	return v
}

// Numbers is an array of numbers of kind k.
func Numbers[T int | int32 | float32 | float64](k Kind, x []T) Value {
	v := Value{kind: Array, elem: k, n: len(x), data: make([]byte, 0, len(x)*k.size())}
	for _, x := range x {
		v.data = append(v.data, Number(k, float64(x)).data...)
	}
	return v
}
