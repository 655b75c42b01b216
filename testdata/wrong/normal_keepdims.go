// does not implement
package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

func main() {
	random.Normal(mlx.Shape{2}, mlx.KeepDims(true))
}
