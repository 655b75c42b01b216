// does not implement
package main

import "github.com/mlxgo/mlx/fast"

func main() {
	const mask = "foo"
	fast.ScaledDotProductAttention(nil, nil, nil, 1, mask)
}
