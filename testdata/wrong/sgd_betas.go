// does not implement
package main

import "github.com/mlxgo/mlx/optim"

func main() {
	optim.SGD(0.1, optim.Betas{0.9, 0.999})
}
