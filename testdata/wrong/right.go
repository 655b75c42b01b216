// compiles
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Sum(mlx.Add(mlx.Zeros(mlx.Shape{2}, mlx.Float16), 1, mlx.CPU), mlx.Axis(0), mlx.KeepDims(true))
}
