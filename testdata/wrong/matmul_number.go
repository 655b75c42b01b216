// cannot use 2
package main

import "github.com/mlxgo/mlx"

func main() {
	mlx.Zeros(mlx.Shape{2, 2}).MatMul(2)
}
