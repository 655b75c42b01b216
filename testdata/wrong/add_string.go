// string does not satisfy mlx.Operand
package main

import (
	"github.com/mlxgo/mlx"
)

func main() {
	mlx.Add(mlx.Zeros(mlx.Shape{2}), "1")
}
