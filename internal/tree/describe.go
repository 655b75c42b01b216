package tree

import (
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Describe appends what a compiled function depends on but the elements of arrays:
// the structure of v, which arrays are nil, their dtypes and shapes (ranks and
// axes of size 0 or 1 if shapeless), and constants. Functions, and pointers to what holds no arrays, are
// known by their address.
func Describe(b []byte, v reflect.Value, shapeless bool) []byte {
	d := describer{b: b, shapeless: shapeless, seen: map[pointer]int{}}
	d.value(v)
	return d.b
}

type describer struct {
	b         []byte
	shapeless bool
	seen      map[pointer]int // shared pointers, by number
}

func (d *describer) text(s string) { d.b = append(append(d.b, s...), ' ') }

func (d *describer) value(v reflect.Value) {
	switch v.Kind() {
	case reflect.Invalid:
		d.text("none")
	case reflect.Bool:
		d.text(strconv.FormatBool(v.Bool()))
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		d.b = append(strconv.AppendInt(d.b, v.Int(), 10), ' ')
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64, reflect.Uintptr:
		d.b = append(strconv.AppendUint(d.b, v.Uint(), 10), ' ')
	case reflect.Float32, reflect.Float64:
		d.b = append(strconv.AppendFloat(d.b, v.Float(), 'x', -1, 64), ' ')
	case reflect.Complex64, reflect.Complex128:
		d.text(strconv.FormatComplex(v.Complex(), 'g', -1, 128))
	case reflect.String:
		d.b = append(strconv.AppendQuote(d.b, v.String()), ' ')
	case reflect.Pointer:
		d.pointer(v)
	case reflect.Interface:
		if v.IsNil() {
			d.text("nil")
			return
		}
		d.text(v.Elem().Type().String())
		d.value(v.Elem())
	case reflect.Slice, reflect.Array:
		d.text("[" + strconv.Itoa(v.Len()))
		for i := range v.Len() {
			d.value(v.Index(i))
		}
	case reflect.Map:
		d.mapping(v)
	case reflect.Struct:
		d.text("{")
		for i := range v.NumField() {
			d.value(v.Field(i))
		}
	default: // functions and channels
		d.address(v)
	}
}

func (d *describer) address(v reflect.Value) {
	d.b = append(strconv.AppendUint(append(d.b, '@'), uint64(v.Pointer()), 16), ' ')
}

func (d *describer) pointer(v reflect.Value) {
	switch t := v.Type(); {
	case v.IsNil():
		d.text("nil")
	case t == arrayType && v.CanInterface():
		d.array(v.Interface().(*Array))
	case t == arrayType || !Holds(t):
		d.address(v) // an array that is no part of the tree is a constant
	default:
		k := pointer{t, v.Pointer()}
		if n, ok := d.seen[k]; ok {
			d.text("#" + strconv.Itoa(n))
			return
		}
		d.seen[k] = len(d.seen)
		d.text("*")
		d.value(v.Elem())
	}
}

func (d *describer) array(a *Array) {
	s := tensor.SpecOf(a)
	d.b = append(d.b, byte('a'+s.DType))
	if d.shapeless { // the rank, and which axes are of size 0 or 1
		d.b = append(d.b, '<')
		for _, n := range s.Shape {
			d.b = append(d.b, "01n"[min(n, 2)])
		}
		d.text(">")
		return
	}
	d.text(s.Shape.String())
}

func (d *describer) mapping(v reflect.Value) {
	if v.Type().Key().Kind() != reflect.String {
		d.address(v)
		return
	}
	keys := v.MapKeys()
	slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
	d.text("map" + strconv.Itoa(len(keys)))
	for _, k := range keys {
		d.b = append(strconv.AppendQuote(d.b, k.String()), ':')
		d.value(v.MapIndex(k))
	}
}
