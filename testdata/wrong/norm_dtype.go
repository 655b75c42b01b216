// does not implement
package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
)

func main() {
	linalg.Norm(mlx.Zeros(mlx.Shape{2}), linalg.Ord(1), mlx.Float16)
}
