// Package nn is the machinery of modules: the walk over structs, slices and maps
// (by string) of arrays by mlx tags, replacement of layers, and assignment of weights by path.
//
// A module is any value whose exported fields hold arrays and modules. Layers,
// losses and the public names are in package mlx/nn.
package nn

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Array is the graph's.
type Array = tensor.Array

var arrayType = reflect.TypeFor[*Array]()

// fieldName is the name of a field in paths: its mlx tag, else snake case. skip
// is true for the tag "-" and for unexported fields.
func fieldName(f reflect.StructField) (name string, skip bool) {
	if !f.IsExported() {
		return "", true
	}
	tag, _, _ := strings.Cut(f.Tag.Get("mlx"), ",")
	switch tag {
	case "-":
		return "", true
	case "":
		return snake(f.Name), false
	}
	return tag, false
}

// snake turns QProj into q_proj, MLP into mlp and Linear1 into linear1.
func snake(s string) string {
	upper := func(i int) bool { return i >= 0 && i < len(s) && s[i] >= 'A' && s[i] <= 'Z' }
	lower := func(i int) bool { return i < len(s) && s[i] >= 'a' && s[i] <= 'z' }
	var b strings.Builder
	for i, r := range s {
		if upper(i) {
			if i > 0 && (!upper(i-1) || lower(i+1)) {
				b.WriteByte('_')
			}
			r += 'a' - 'A'
		}
		b.WriteRune(r)
	}
	return b.String()
}

// A Namer names its fields itself, when one struct serves checkpoints that call its
// parts differently. An empty name leaves the part's name out of paths; ok is false
// for fields that keep their own.
type Namer interface {
	FieldName(field string) (name string, ok bool)
}

// own is what a struct calls its field, if it says so.
func own(v reflect.Value, field string) (name string, ok bool) {
	if !v.CanAddr() {
		return "", false
	}
	if n, is := v.Addr().Interface().(Namer); is {
		return n.FieldName(field)
	}
	return "", false
}

func join(a, b string) string {
	if a == "" || b == "" {
		return a + b
	}
	return a + "." + b
}

// place is where a module holds an array or a module.
type place struct {
	path string
	v    reflect.Value
	of   reflect.Value // the map that holds v under key, which v itself cannot set
	key  reflect.Value
}

// set puts x there.
func (p place) set(x reflect.Value) {
	switch {
	case p.of.IsValid():
		p.of.SetMapIndex(p.key, x)
	case p.v.CanSet():
		p.v.Set(x)
	default:
		tensor.Throw("nn", nil, "%s cannot be set: pass a pointer to the module", p.path)
	}
}

// visitor is called for every place below a module, parents first; it says
// whether to go below it.
type visitor func(p place) (below bool)

// walk visits v's fields and elements in order. Shared pointers are visited each
// time; modules are trees.
func walk(path string, v reflect.Value, fn visitor) {
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != arrayType {
			walk(path, v.Elem(), fn)
		}
	case reflect.Slice, reflect.Array:
		for i := range v.Len() {
			p := place{path: join(path, strconv.Itoa(i)), v: v.Index(i)}
			if fn(p) {
				walk(p.path, p.v, fn)
			}
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			p := place{path: join(path, k.String()), v: v.MapIndex(k), of: v, key: k}
			if fn(p) {
				walk(p.path, p.v, fn)
			}
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, skip := fieldName(v.Type().Field(i))
			if skip {
				continue
			}
			if n, ok := own(v, v.Type().Field(i).Name); ok {
				name = n
			}
			p := place{path: join(path, name), v: v.Field(i)}
			if fn(p) {
				walk(p.path, p.v, fn)
			}
		}
	}
}

// IsTree reports whether v is of a type that can hold arrays: a pointer, interface,
// struct, slice, array or map.
func IsTree(v any) bool {
	switch reflect.ValueOf(v).Kind() {
	case reflect.Pointer, reflect.Interface, reflect.Struct, reflect.Slice, reflect.Array, reflect.Map:
		return true
	}
	return false
}

// Parameters yields the arrays of a module that are not nil, with their paths, in
// field order.
func Parameters(module any) iter.Seq2[string, *Array] {
	return func(yield func(string, *Array) bool) {
		stop := false
		walk("", reflect.ValueOf(module), func(p place) bool {
			if stop {
				return false
			}
			if p.v.Type() == arrayType {
				if !p.v.IsNil() {
					stop = !yield(p.path, p.v.Interface().(*Array))
				}
				return false
			}
			return true
		})
	}
}

// slots are the places that hold an array.
func slots(module any) (out []place) {
	walk("", reflect.ValueOf(module), func(p place) bool {
		if p.v.Type() != arrayType {
			return true
		}
		if !p.v.IsNil() {
			out = append(out, p)
		}
		return false
	})
	return out
}

// Apply replaces each parameter by f of it.
func Apply(module any, f func(path string, a *Array) *Array) {
	for _, s := range slots(module) {
		s.set(reflect.ValueOf(f(s.path, s.v.Interface().(*Array))))
	}
}

// Modules yields every pointer to a struct below a module, itself first with the
// empty path, parents first.
func Modules(module any) iter.Seq2[string, any] {
	return func(yield func(string, any) bool) {
		if !yield("", module) {
			return
		}
		stop := false
		walk("", reflect.ValueOf(module), func(p place) bool {
			v := p.v
			for v.Kind() == reflect.Interface && !v.IsNil() {
				v = v.Elem()
			}
			if !stop && v.Kind() == reflect.Pointer && v.Type() != arrayType && !v.IsNil() {
				stop = !yield(p.path, v.Interface())
			}
			return !stop
		})
	}
}

// Replace calls f for every place whose declared type is an interface that
// includes L and puts the result there. f sees inner places before outer ones. It
// panics when the result does not fit the place.
func Replace[L any](module any, f func(path string, l L) L) {
	want := reflect.TypeFor[L]()
	var places []place
	walk("", reflect.ValueOf(module), func(p place) bool {
		if t := p.v.Type(); t.Kind() == reflect.Interface && t.Implements(want) && !p.v.IsNil() {
			places = append(places, p)
		}
		return true
	})
	for _, p := range slices.Backward(places) {
		old := p.v.Interface().(L)
		now := reflect.ValueOf(f(p.path, old))
		if !now.IsValid() || !now.Type().AssignableTo(p.v.Type()) {
			panic(&tensor.Error{Op: "replace", Err: fmt.Errorf("%s holds a %v, and what replaces it is none", p.path, p.v.Type())})
		}
		p.set(now)
	}
}
