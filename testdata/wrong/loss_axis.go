// does not implement
package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

func main() {
	x := mlx.Zeros(mlx.Shape{2})
	nn.MSELoss(x, x, mlx.Axis(0))
}
