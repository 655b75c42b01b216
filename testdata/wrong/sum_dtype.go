// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Sum(mlx.Zeros(mlx.Shape{2}), mlx.Float16)
}
