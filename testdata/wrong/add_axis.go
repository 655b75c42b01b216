// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Add(mlx.Zeros(mlx.Shape{2}), mlx.Zeros(mlx.Shape{2}), mlx.Axis(1))
}
