// does not satisfy mlx.ArrayFunc
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.Grad(func(x *mlx.Array) int { return x.Size() })
}
