// Compile: fuse the operations of a function into one kernel.
package main

import (
	"flag"
	"fmt"
	"log"
	"math"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// x * (1 + erf(x / sqrt(2))) / 2
func gelu(x *mlx.Array) *mlx.Array {
	return x.Mul(mlx.Add(1, mlx.Erf(x.Div(math.Sqrt2)))).Div(2)
}

var compiledGELU = mlx.Compile(gelu)

func main() {
	iters := flag.Int("iters", 10, "calls that are timed")
	batch := flag.Int("batch", 32, "x is [batch, 1000, 1000]")
	flag.Parse()

	random.Seed(0)
	x := random.Normal(mlx.Shape{4})

	fmt.Println("gelu:         ", gelu(x))
	fmt.Println("compiled gelu:", compiledGELU(x))

	x = random.Normal(mlx.Shape{*batch, 1000, 1000})
	fmt.Println("equal:", mlx.Item[bool](mlx.ArrayEqual(gelu(x), compiledGELU(x))))
	plain, fused := measure(gelu, x, *iters), measure(compiledGELU, x, *iters)
	fmt.Printf("speedup: %.2fx\n", plain.Seconds()/fused.Seconds())
}

// measure is the time of some calls.
func measure(f func(*mlx.Array) *mlx.Array, x *mlx.Array, iters int) time.Duration {
	start := time.Now()
	for range iters {
		if err := mlx.Eval(f(x)); err != nil {
			log.Fatal(err)
		}
	}
	return time.Since(start)
}
