// does not satisfy
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.Grad(func(x *mlx.Array) float64 { return 3 })
}
