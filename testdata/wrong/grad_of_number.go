// cannot use 1.0
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.Grad(func(x *mlx.Array) *mlx.Array { return x.Mul(2) })(1.0)
}
