package mlx_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
)

func ExampleSum() {
	x := mlx.Arange(24).Reshape(2, 3, 4)
	fmt.Println(mlx.Sum(x))
	fmt.Println(mlx.Sum(x, mlx.Axes{0, 2}))
	fmt.Println(mlx.Sum(x, mlx.Axis(-1), mlx.KeepDims(true)).Shape())
	// Output:
	// array(276, dtype=int32)
	// array([60, 92, 124], dtype=int32)
	// (2, 3, 1)
}

func ExampleCumSum() {
	x := mlx.NewArray([]int{1, 2, 3, 4})
	fmt.Println(mlx.CumSum(x))
	fmt.Println(mlx.CumSum(x, mlx.Reverse(true), mlx.Inclusive(false)))
	// Output:
	// array([1, 3, 6, 10], dtype=int32)
	// array([9, 7, 4, 0], dtype=int32)
}

func ExampleSort() {
	x := mlx.NewArray([][]int{{3, 1, 2}, {6, 5, 4}})
	fmt.Println(mlx.Sort(x))
	fmt.Println(mlx.ArgSort(x, mlx.Axis(0)))
	fmt.Println(mlx.Max(mlx.TopK(x, 2), mlx.Axis(-1)))
	// Output:
	// array([[1, 2, 3],
	//        [4, 5, 6]], dtype=int32)
	// array([[0, 0, 0],
	//        [1, 1, 1]], dtype=uint32)
	// array([3, 6], dtype=int32)
}

func ExampleConcatenate() {
	a, b := mlx.Zeros(mlx.Shape{2, 1}), mlx.Ones(mlx.Shape{2, 2})
	fmt.Println(mlx.Concatenate(mlx.Arrays{a, b}, mlx.Axis(1)))
	fmt.Println(mlx.Stack(mlx.Arrays{b, b}).Shape(), len(mlx.Split(b, 2, mlx.Axis(-1))))
	// Output:
	// array([[0, 1, 1],
	//        [0, 1, 1]], dtype=float32)
	// (2, 2, 2) 2
}

func ExampleEinsum() {
	a := mlx.NewArray([][]float64{{1, 2}, {3, 4}})
	fmt.Println(mlx.Einsum("ij,kj->ik", mlx.Arrays{a, a}))
	fmt.Println(mlx.Einsum("ii", mlx.Arrays{a})) // the trace
	// Output:
	// array([[5, 11],
	//        [11, 25]], dtype=float32)
	// array(5, dtype=float32)
}

func ExampleArray_On() {
	s := mlx.NewStream(mlx.CPU)
	x := mlx.NewArray([]float64{1, 2}).On(s) // what is computed from it runs on s
	y := x.Mul(2)
	fmt.Println(y, y.Stream() == s)
	// Output: array([2, 4], dtype=float32) true
}

func ExampleDType_FInfo() {
	fmt.Println(mlx.Float16.FInfo())
	fmt.Println(mlx.Int8.IInfo())
	fmt.Println(mlx.BFloat16.FInfo().Eps, mlx.BFloat16.Is(mlx.Floating))
	// Output:
	// finfo(min=-65504, max=65504, dtype=float16)
	// iinfo(min=-128, max=127, dtype=int8)
	// 0.0078125 true
}
