// does not implement
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Zeros(mlx.Shape{2}, mlx.Axis(1))
}
