// does not implement
package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

func main() {
	fast.ScaledDotProductAttention(nil, nil, nil, 1, mlx.Axis(1))
}
