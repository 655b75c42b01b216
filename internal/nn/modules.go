// Package nn is the machinery of modules on top of trees: replacement of layers, and
// assignment of weights by path.
//
// A module is a tree whose nodes are pointers to structs. Layers, losses and the
// public names are in package mlx/nn.
package nn

import (
	"fmt"
	"iter"
	"reflect"
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tree"
)

// Array is the graph's.
type Array = tensor.Array

var arrayType = reflect.TypeFor[*Array]()

// Apply replaces each parameter by f of it.
func Apply(module any, f func(path string, a *Array) *Array) {
	for _, p := range tree.Places(module, false) {
		a, _ := p.Array()
		p.Set(reflect.ValueOf(f(p.Path, a)))
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
		tree.Walk(module, func(p tree.Place) bool {
			v := p.Value
			for v.Kind() == reflect.Interface && !v.IsNil() {
				v = v.Elem()
			}
			if !stop && v.Kind() == reflect.Pointer && v.Type() != arrayType && !v.IsNil() {
				stop = !yield(p.Path, v.Interface())
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
	var places []tree.Place
	tree.Walk(module, func(p tree.Place) bool {
		if t := p.Value.Type(); t.Kind() == reflect.Interface && t.Implements(want) && !p.Value.IsNil() {
			places = append(places, p)
		}
		return true
	})
	for _, p := range slices.Backward(places) {
		old := p.Value.Interface().(L)
		now := reflect.ValueOf(f(p.Path, old))
		if !now.IsValid() || !now.Type().AssignableTo(p.Value.Type()) {
			panic(&tensor.Error{Op: "replace", Err: fmt.Errorf("%s holds a %v, and what replaces it is none", p.Path, p.Value.Type())})
		}
		p.Set(now)
	}
}
