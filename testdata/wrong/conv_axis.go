// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	x := mlx.Zeros(mlx.Shape{1, 4, 1})
	mlx.Conv1D(x, x, mlx.Axis(0))
}
