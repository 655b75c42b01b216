// cannot use mlx.Arrays
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.SaveSafetensors("a.safetensors", mlx.Arrays{mlx.NewArray(5)}, nil)
}
