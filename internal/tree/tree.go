// Package tree walks trees of arrays: *Array; slices, arrays and maps by string of
// trees; structs, and pointers to them, by their exported fields. Order is field
// order, index order and key order, so it is always the same.
//
// A field's name in paths is its mlx tag, else its Go name in snake case; the tag "-"
// leaves it out and ",frozen" marks what is below it as never trained.
//
// Its main functions are Leaves, Places and Map. It knows no layers: package nn
// replaces and loads them.
package tree

import (
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
func fieldName(f reflect.StructField) (name string, frozen, skip bool) {
	if !f.IsExported() {
		return "", false, true
	}
	tag, rest, _ := strings.Cut(f.Tag.Get("mlx"), ",")
	switch tag {
	case "-":
		return "", false, true
	case "":
		tag = snake(f.Name)
	}
	return tag, rest == "frozen", false
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

// maxDepth bounds trees: those with cycles have no end.
const maxDepth = 200

// A Place is where a tree holds an array or a tree.
type Place struct {
	Path   string
	Frozen bool
	Value  reflect.Value

	depth int
	of    reflect.Value // the map that holds the value under key, which Value cannot set
	key   reflect.Value
}

// Set puts x there. It panics with *tensor.Error where a tree was given by value.
func (p Place) Set(x reflect.Value) {
	switch {
	case p.of.IsValid():
		p.of.SetMapIndex(p.key, x)
	case p.Value.CanSet():
		p.Value.Set(x)
	default:
		tensor.Throw("tree", nil, "%s cannot be set: pass a pointer to the tree", p.Path)
	}
}

// Array is the array there; ok is false for other places, nil for an empty one.
func (p Place) Array() (a *Array, ok bool) {
	v := p.Value
	if v.Kind() == reflect.Interface && !v.IsNil() {
		v = v.Elem()
	}
	if v.Type() != arrayType {
		return nil, false
	}
	return v.Interface().(*Array), true
}

// Walk visits every place below t, parents first, in order; fn says whether to go
// below it. Shared pointers are visited each time.
func Walk(t any, fn func(p Place) (below bool)) {
	v := reflect.ValueOf(t)
	if v.IsValid() && v.Type() == arrayType {
		fn(Place{Value: v})
		return
	}
	walk(Place{}, v, fn)
}

// walk visits v's fields and elements; at has the path and what it passes on.
func walk(at Place, v reflect.Value, fn func(Place) bool) {
	if at.depth > maxDepth {
		tensor.Throw("tree", nil, "%.60s… is more than %d levels deep: the tree has a cycle", at.Path, maxDepth)
	}
	below := func(p Place) {
		p.depth = at.depth + 1
		if fn(p) {
			walk(p, p.Value, fn)
		}
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Interface:
		if !v.IsNil() && v.Type() != arrayType {
			walk(at, v.Elem(), fn)
		}
	case reflect.Slice, reflect.Array:
		if !Holds(v.Type().Elem()) {
			return
		}
		for i := range v.Len() {
			below(Place{Path: join(at.Path, strconv.Itoa(i)), Frozen: at.Frozen, Value: v.Index(i)})
		}
	case reflect.Map:
		if v.Type().Key().Kind() != reflect.String {
			return
		}
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			below(Place{Path: join(at.Path, k.String()), Frozen: at.Frozen, Value: v.MapIndex(k), of: v, key: k})
		}
	case reflect.Struct:
		for i := range v.NumField() {
			name, frozen, skip := fieldName(v.Type().Field(i))
			if skip {
				continue
			}
			if n, ok := own(v, v.Type().Field(i).Name); ok {
				name = n
			}
			below(Place{Path: join(at.Path, name), Frozen: at.Frozen || frozen, Value: v.Field(i)})
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

// Leaves yields the arrays of t that are not nil, with their paths.
func Leaves(t any) iter.Seq2[string, *Array] {
	return func(yield func(string, *Array) bool) {
		stop := false
		Walk(t, func(p Place) bool {
			a, leaf := p.Array()
			if a != nil && !stop {
				stop = !yield(p.Path, a)
			}
			return !leaf && !stop
		})
	}
}

// Places are the places of t that hold arrays, and those that could but are nil if
// empty.
func Places(t any, empty bool) (out []Place) {
	Walk(t, func(p Place) bool {
		a, leaf := p.Array()
		if leaf && (a != nil || empty) {
			out = append(out, p)
		}
		return !leaf
	})
	return out
}
