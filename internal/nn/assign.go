package nn

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/mlxgo/mlx/internal/tree"
)

// MismatchError says how weights differ from a module's parameters.
type MismatchError struct {
	Missing    []string // parameters without a weight
	Unexpected []string // weights without a parameter
	Shapes     []string // "path has shape (2,), not (3,)"
}

// maxListed bounds the names in an error's text.
const maxListed = 5

func (e *MismatchError) Error() string {
	var parts []string
	list := func(what string, names []string) {
		if len(names) == 0 {
			return
		}
		text := strings.Join(names[:min(len(names), maxListed)], ", ")
		if n := len(names) - maxListed; n > 0 {
			text += fmt.Sprintf(" and %d more", n)
		}
		parts = append(parts, what+text)
	}
	list("wrong shape: ", e.Shapes)
	list(plural("missing tensor", len(e.Missing)), e.Missing)
	list(plural("unexpected tensor", len(e.Unexpected)), e.Unexpected)
	return strings.Join(parts, "; ")
}

func plural(s string, n int) string {
	if n == 1 {
		return s + " "
	}
	return fmt.Sprintf("%d %ss: ", n, s)
}

// Assign sets the parameters of a module from weights by path. Unless strict is
// false, every parameter must have a weight of its shape and every weight a
// parameter; when something does not fit nothing is set, and the error is a
// *MismatchError. Dtypes are the weights'.
func Assign(module any, weights map[string]*Array, strict bool) error {
	var e MismatchError
	all := tree.Places(module, false)
	used := make(map[string]bool, len(all))
	for _, s := range all {
		w, ok := weights[s.Path]
		if !ok {
			e.Missing = append(e.Missing, s.Path)
			continue
		}
		used[s.Path] = true
		if have, want := w.Shape(), s.Value.Interface().(*Array).Shape(); !slices.Equal(have, want) {
			e.Shapes = append(e.Shapes, fmt.Sprintf("%s has shape %v, not %v", s.Path, have, want))
		}
	}
	for _, name := range slices.Sorted(maps.Keys(weights)) {
		if !used[name] {
			e.Unexpected = append(e.Unexpected, name)
		}
	}
	if len(e.Shapes) > 0 || strict && len(e.Missing)+len(e.Unexpected) > 0 {
		return &e
	}
	for _, s := range all {
		if w, ok := weights[s.Path]; ok {
			s.Set(reflect.ValueOf(w))
		}
	}
	return nil
}
