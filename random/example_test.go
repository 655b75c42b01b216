package random_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

func Example() {
	random.Seed(11)
	fmt.Printf("%.4f\n", mlx.ToSlice[float32](random.Uniform(0, 1, mlx.Shape{2})))

	k := random.NewKey(1) // the result depends on the key alone
	fmt.Println(mlx.ToSlice[int32](random.RandInt(0, 100, mlx.Shape{8}, k)))
	fmt.Println(mlx.ToSlice[uint32](random.Permutation(10, k)))
	// Output:
	// [0.6469 0.1870]
	// [20 96 6 95 83 5 2 15]
	// [2 5 1 8 4 3 9 0 6 7]
}

func ExampleCategorical() {
	logits := mlx.NewArray([][]float64{{0, 1, 2, 3}})
	draws := random.Categorical(logits, random.NumSamples(16), random.NewKey(1))
	fmt.Println(mlx.ToSlice[uint32](draws))
	// Output:
	// [3 1 3 3 2 3 1 2 1 1 2 2 3 1 0 3]
}
