// does not implement
package main

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

func main() {
	nn.NewLinear(1, 2, mlx.Stride{2})
}
