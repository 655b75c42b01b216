// Package tree is mlx.utils.tree_*: functions over trees of arrays. A tree is an
// *mlx.Array; a slice, array or map[string] of trees; or a struct, or pointer to one,
// whose exported fields are trees. Order is field order, index order and key order of
// maps, so it is always the same.
//
// A field's name is its tag, or else its Go name in snake case (QProj is q_proj):
//
//	Weight *mlx.Array `mlx:"weight"`
//	Blocks []*Block   `mlx:"model.layers"`        // a dotted name adds levels
//	Mean   *mlx.Array `mlx:"running_mean,frozen"` // never trained
//	Cache  *mlx.Array `mlx:"-"`                   // no part of the tree
//
// Nil leaves are left out. Fields of other types are configuration: copied, not
// walked.
package tree

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tree"
)

// Leaves is tree_flatten: the arrays of t with their dotted paths. To a map:
// maps.Collect(tree.Leaves(t)).
func Leaves(t any) iter.Seq2[string, *mlx.Array] { return tree.Leaves(t) }

// Map is tree_map(f, t, rest...): a tree of the type of t. What is no array is copied
// from t; pointers shared in t are shared in the result. It panics with *mlx.Error
// where a tree of rest has no array at a path of t.
func Map[T any](f func(a ...*mlx.Array) *mlx.Array, t T, rest ...T) T {
	others := make([]map[string]*mlx.Array, len(rest))
	for i, r := range rest {
		others[i] = map[string]*mlx.Array{}
		for path, a := range tree.Leaves(r) {
			others[i][path] = a
		}
	}
	return tree.Map(t, func(path string, _ bool, a *mlx.Array) *mlx.Array {
		as := []*mlx.Array{a}
		for i, o := range others {
			b, ok := o[path]
			if !ok {
				panic(&mlx.Error{Op: "tree_map", Err: fmt.Errorf("tree %d has no array at %q", i+1, path)})
			}
			as = append(as, b)
		}
		return f(as...)
	})
}

// MapPath is tree_map_with_path.
func MapPath[T any](f func(path string, a *mlx.Array) *mlx.Array, t T) T {
	return tree.Map(t, func(path string, _ bool, a *mlx.Array) *mlx.Array { return f(path, a) })
}

// Reduce is tree_reduce: f over the arrays of t in order, beginning with init.
func Reduce[A any](f func(acc A, a *mlx.Array) A, t any, init A) A {
	for _, a := range tree.Leaves(t) {
		init = f(init, a)
	}
	return init
}

// Unflatten is tree_unflatten into the shape of t: a copy of t with these arrays. It
// returns an error that lists missing and unexpected paths.
func Unflatten[T any](t T, leaves iter.Seq2[string, *mlx.Array]) (T, error) {
	with := map[string]*mlx.Array{}
	for path, a := range leaves {
		with[path] = a
	}
	var missing []string
	out := tree.Map(t, func(path string, _ bool, a *mlx.Array) *mlx.Array {
		b, ok := with[path]
		if !ok {
			missing = append(missing, path)
			return a
		}
		delete(with, path)
		return b
	})
	if len(missing)+len(with) == 0 {
		return out, nil
	}
	var unexpected []string
	for path := range with {
		unexpected = append(unexpected, path)
	}
	slices.Sort(unexpected)
	return t, fmt.Errorf("tree_unflatten: missing [%s], unexpected [%s]", strings.Join(missing, ", "), strings.Join(unexpected, ", "))
}

// Get is the leaf at a path, or nil: what Python writes grads["linear1"]["weight"] is
// tree.Get(grads, "linear1.weight").
func Get(t any, path string) *mlx.Array {
	for p, a := range tree.Leaves(t) {
		if p == path {
			return a
		}
	}
	return nil
}
