package tree_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/tree"
)

// Block is a tree: its exported fields are arrays, or trees.
type Block struct {
	Weight *mlx.Array
	Mean   *mlx.Array `mlx:"running_mean,frozen"`
	Parts  []*mlx.Array
	Name   string // configuration
}

func block() *Block {
	return &Block{mlx.NewArray([]float64{1, 2}), mlx.NewArray(3.0), mlx.Arrays{mlx.NewArray(4.0), mlx.NewArray(5.0)}, "b"}
}

func ExampleLeaves() {
	for path, a := range tree.Leaves(block()) {
		fmt.Println(path, a)
	}
	// Output:
	// weight array([1, 2], dtype=float32)
	// running_mean array(3, dtype=float32)
	// parts.0 array(4, dtype=float32)
	// parts.1 array(5, dtype=float32)
}

func ExampleMap() {
	b := block()
	sum := tree.Map(func(a ...*mlx.Array) *mlx.Array { return a[0].Add(a[1]) }, b, b)
	fmt.Println(sum.Weight, sum.Parts[1], sum.Name)
	// Output: array([2, 4], dtype=float32) array(10, dtype=float32) b
}

func ExampleReduce() {
	fmt.Println(tree.Reduce(func(n int, a *mlx.Array) int { return n + a.Size() }, block(), 0))
	// Output: 5
}

func ExampleGet() {
	fmt.Println(tree.Get(block(), "parts.0"), tree.Get(block(), "parts.7") == nil)
	// Output: array(4, dtype=float32) true
}
