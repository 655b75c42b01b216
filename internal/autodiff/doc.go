// Package autodiff transforms functions of arrays: pullbacks (reverse mode),
// tangents (forward mode), vmap, checkpoints and functions with derivatives of
// their own. All of them trace the function, walk the graph that it built and
// apply the rules of its primitives (package tensor); results are graphs again, so
// that transformations nest.
//
// Its main functions are VJP, JVP, VMap and Custom; Pullback and Pushforward are
// the engines under them.
//
// It does not compile and it knows no trees: package mlx turns user's functions
// into functions of lists.
package autodiff

import "github.com/mlxgo/mlx/internal/tensor"

type (
	// Array is the graph's.
	Array = tensor.Array
	// Func is a function as the engines see it.
	Func = func([]*Array) []*Array
)
