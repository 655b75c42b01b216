// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Quantize(mlx.Zeros(mlx.Shape{2, 64}), mlx.Axis(0))
}
