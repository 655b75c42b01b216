// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Softmax(mlx.Zeros(mlx.Shape{2}), mlx.KeepDims(true))
}
