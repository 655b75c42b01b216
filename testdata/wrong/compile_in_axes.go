// does not implement
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.Compile(mlx.Sin, mlx.InAxes{0})
}
