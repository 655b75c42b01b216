package tree

import (
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/mlxgo/mlx/internal/tensor"
)

var holds sync.Map // reflect.Type to bool

// Holds reports whether a value of type t can hold arrays.
func Holds(t reflect.Type) bool {
	if h, ok := holds.Load(t); ok {
		return h.(bool)
	}
	h := canHold(t, map[reflect.Type]bool{})
	holds.Store(t, h)
	return h
}

func canHold(t reflect.Type, seen map[reflect.Type]bool) bool {
	if t == arrayType {
		return true
	}
	if seen[t] {
		return false
	}
	seen[t] = true
	switch t.Kind() {
	case reflect.Interface:
		return true
	case reflect.Pointer, reflect.Slice, reflect.Array:
		return canHold(t.Elem(), seen)
	case reflect.Map:
		return t.Key().Kind() == reflect.String && canHold(t.Elem(), seen)
	case reflect.Struct:
		for i := range t.NumField() {
			if _, _, skip := fieldName(t.Field(i)); !skip && canHold(t.Field(i).Type, seen) {
				return true
			}
		}
	}
	return false
}

// Visit sees an array of a tree and gives the one that takes its place in a copy.
type Visit func(path string, frozen bool, a *Array) *Array

// Map is a copy of t with other arrays. What is no tree is copied as it is, and
// pointers that are shared in t are shared in the copy.
func Map[T any](t T, f Visit) T {
	return MapValue(reflect.ValueOf(&t).Elem(), f).Interface().(T)
}

// MapValue is Map of a reflected value, of the same type.
func MapValue(v reflect.Value, f Visit) reflect.Value {
	c := copier{f: f, done: map[pointer]reflect.Value{}}
	return c.copy(Place{}, v)
}

// Arrays are the arrays of a reflected value, in the order in which MapValue visits
// them: shared ones once.
func Arrays(v reflect.Value) (out []*Array) {
	MapValue(v, func(_ string, _ bool, a *Array) *Array {
		out = append(out, a)
		return a
	})
	return out
}

// Once is the arrays of a tree by path; what shared pointers lead to again has its
// first path only, as it is one thing to train.
func Once(t any) map[string]*Array {
	out := map[string]*Array{}
	MapValue(reflect.ValueOf(t), func(path string, _ bool, a *Array) *Array {
		out[path] = a
		return a
	})
	return out
}

type pointer struct {
	t  reflect.Type
	to uintptr
}

type copier struct {
	f    Visit
	done map[pointer]reflect.Value // pointers seen
}

func (c *copier) copy(at Place, v reflect.Value) reflect.Value {
	t := v.Type()
	if !Holds(t) {
		return v
	}
	if at.depth++; at.depth > maxDepth {
		tensor.Throw("tree", nil, "%.60s… is more than %d levels deep: the tree has a cycle", at.Path, maxDepth)
	}
	out := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Pointer:
		return c.pointer(at, v)
	case reflect.Interface:
		if !v.IsNil() {
			out.Set(c.copy(at, v.Elem()))
		}
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.MakeSlice(t, v.Len(), v.Len()))
		c.elements(at, v, out)
	case reflect.Array:
		c.elements(at, v, out)
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		out.Set(reflect.MakeMapWithSize(t, v.Len()))
		keys := v.MapKeys()
		slices.SortFunc(keys, func(a, b reflect.Value) int { return strings.Compare(a.String(), b.String()) })
		for _, k := range keys {
			out.SetMapIndex(k, c.copy(at.below(k.String()), v.MapIndex(k)))
		}
	case reflect.Struct:
		out.Set(v)
		c.fields(at, v, out)
	}
	return out
}

func (p Place) below(name string) Place {
	return Place{Path: join(p.Path, name), Frozen: p.Frozen, depth: p.depth}
}

func (c *copier) pointer(at Place, v reflect.Value) reflect.Value {
	if v.IsNil() {
		return v
	}
	if v.Type() == arrayType {
		return reflect.ValueOf(c.f(at.Path, at.Frozen, v.Interface().(*Array)))
	}
	key := pointer{v.Type(), v.Pointer()}
	if d, ok := c.done[key]; ok {
		return d
	}
	out := reflect.New(v.Type().Elem())
	c.done[key] = out
	if v.Elem().Kind() == reflect.Struct { // in place, so that a Namer sees its struct
		out.Elem().Set(v.Elem())
		c.fields(at, v.Elem(), out.Elem())
	} else {
		out.Elem().Set(c.copy(at, v.Elem()))
	}
	return out
}

func (c *copier) elements(at Place, v, out reflect.Value) {
	for i := range v.Len() {
		out.Index(i).Set(c.copy(at.below(strconv.Itoa(i)), v.Index(i)))
	}
}

func (c *copier) fields(at Place, v, out reflect.Value) {
	for i := range v.NumField() {
		name, frozen, skip := fieldName(v.Type().Field(i))
		if skip || !Holds(v.Type().Field(i).Type) {
			continue
		}
		if n, ok := own(v, v.Type().Field(i).Name); ok {
			name = n
		}
		p := at.below(name)
		p.Frozen = p.Frozen || frozen
		out.Field(i).Set(c.copy(p, v.Field(i)))
	}
}
