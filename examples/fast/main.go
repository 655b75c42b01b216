// fast.RMSNorm against the same written out.
package main

import (
	"flag"
	"fmt"
	"log"
	"time"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/random"
)

func rmsNorm(x, weight *mlx.Array, eps float64) *mlx.Array {
	y := x.AsType(mlx.Float32)
	y = y.Mul(mlx.Rsqrt(mlx.Mean(
		mlx.Square(y),
		mlx.Axis(-1),
		mlx.KeepDims(true),
	).Add(eps)))
	return weight.Mul(y).AsType(x.DType())
}

const featureDim = 4096

func main() {
	iters := flag.Int("iters", 100, "calls that are timed (1000 in Apple's sample)")
	batch := flag.Int("batch", 8192, "rows of x")
	flag.Parse()

	x := random.Normal(mlx.Shape{*batch, featureDim})
	weight := mlx.Ones(mlx.Shape{featureDim})
	if err := mlx.Eval(x, weight); err != nil {
		log.Fatal(err)
	}

	plain := measure(*iters, func() *mlx.Array { return rmsNorm(x, weight, 1e-5) })
	fmt.Printf("rmsNorm execution: %.4f sec\n", plain.Seconds())

	fused := measure(*iters, func() *mlx.Array { return fast.RMSNorm(x, weight, 1e-5) })
	fmt.Printf("fast.RMSNorm execution: %.4f sec\n", fused.Seconds())
	fmt.Printf("fast.RMSNorm speedup: %.2fx\n", plain.Seconds()/fused.Seconds())

	same := mlx.AllClose(rmsNorm(x, weight, 1e-5), fast.RMSNorm(x, weight, 1e-5), mlx.ATol(1e-5))
	fmt.Println("same:", mlx.Item[bool](same))
}

func measure(iters int, f func() *mlx.Array) time.Duration {
	start := time.Now()
	for range iters {
		if err := mlx.Eval(f()); err != nil {
			log.Fatal(err)
		}
	}
	return time.Since(start)
}
