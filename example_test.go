package mlx_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
)

func Example() {
	a := mlx.NewArray([]int{1, 2, 3})
	b := mlx.Sum(a.Mul(2)) // nothing is computed yet
	fmt.Println(mlx.Item[int32](b))
	// Output: 12
}

func ExampleArray() {
	a := mlx.NewArray([]int{1, 2, 3})
	fmt.Println(a.Add(mlx.NewArray([]int{4, 5, 6})))
	x := mlx.Arange(20).Reshape(2, 10).Div(8)
	fmt.Println(x)
	fmt.Printf("%.2f\n", a.Div(3))
	fmt.Printf("loss %.3f\n", mlx.Mean(x)) // no axes: the bare number
	// Output:
	// array([5, 7, 9], dtype=int32)
	// array([[0, 0.125, 0.25, ..., 0.875, 1, 1.125],
	//        [1.25, 1.375, 1.5, ..., 2.125, 2.25, 2.375]], dtype=float32)
	// array([0.33, 0.67, 1.00], dtype=float32)
	// loss 1.188
}

func ExampleSetPrintOptions() {
	old := mlx.SetPrintOptions(mlx.PrintOptions{Precision: 2})
	fmt.Println(mlx.NewArray([]float64{0.5, 2.0 / 3, 1e6}))
	mlx.SetPrintOptions(old)
	// Output: array([0.50, 0.67, 1000000.00], dtype=float32)
}

func ExampleNewArray() {
	for _, a := range []*mlx.Array{
		mlx.NewArray(1.5),
		mlx.NewArray([][]int{{1, 2, 3}, {4, 5, 6}}),
		mlx.NewArray([]float64{1, 2}, mlx.BFloat16),
		mlx.NewArray([]uint8{7}),
	} {
		fmt.Println(a.DType(), a.Shape())
	}
	// Output:
	// float32 ()
	// int32 (2, 3)
	// bfloat16 (2,)
	// uint8 (1,)
}

func ExampleAdd() {
	half := mlx.Ones(mlx.Shape{2}, mlx.Float16)
	fmt.Println(mlx.Add(half, 2).DType(), mlx.Add(half, 2.5).DType()) // numbers are weak
	fmt.Println(mlx.Add(mlx.NewArray([]int{1}), 2.5).DType())         // but a float widens integers
	fmt.Println(mlx.Add(half, mlx.Ones(mlx.Shape{2})).DType())        // arrays promote
	// Output:
	// float16 float16
	// float32
	// float32
}

func ExampleMean() {
	x := mlx.NewArray([][]float64{{1, 2, 3}, {4, 5, 9}})
	fmt.Println(mlx.Item[float32](mlx.Mean(x)))
	fmt.Println(mlx.ToSlice[float32](mlx.Mean(x, mlx.Axis(-1))))
	fmt.Println(mlx.Mean(x, mlx.Axes{0, 1}, mlx.KeepDims(true)).Shape())
	// Output:
	// 4
	// [2 6]
	// (1, 1)
}

func ExampleWhere() {
	x := mlx.NewArray([]float64{-1, 2, -3})
	fmt.Println(mlx.ToSlice[float32](mlx.Where(x.Gt(0), x, 0)))
	// Output: [0 2 0]
}

func ExampleSoftmax() {
	logits := mlx.NewArray([][]float64{{0, 0}, {1, 1}})
	fmt.Println(mlx.ToRows[float32](mlx.Softmax(logits, mlx.Axis(-1))))
	// Output: [[0.5 0.5] [0.5 0.5]]
}

func ExampleMatMul() {
	a := mlx.NewArray([][]float64{{1, 2}, {3, 4}})
	fmt.Println(mlx.ToRows[float32](mlx.MatMul(a, a.T())))
	fmt.Println(mlx.ToSlice[float32](a.MatMul(mlx.NewArray([]float64{1, 10}))))
	// Output:
	// [[5 11] [11 25]]
	// [21 43]
}

func ExampleQuantize() {
	w := mlx.Arange(128).AsType(mlx.Float32).Reshape(2, 64)
	q := mlx.Quantize(w, mlx.Bits(8), mlx.GroupSize(64))
	fmt.Println(q.Weight.Shape(), q.Scales.Shape(), q.Scheme)
	y := mlx.QuantizedMatMul(mlx.Ones(mlx.Shape{1, 64}), q)
	fmt.Println(y.Shape())
	// Output:
	// (2, 16) (2, 1) affine bits 8 group 64
	// (1, 2)
}

func ExampleTry() {
	err := mlx.Try(func() {
		mlx.MatMul(mlx.Zeros(mlx.Shape{1, 7, 64}), mlx.Zeros(mlx.Shape{32, 100}))
	})
	fmt.Println(err)
	// Output: matmul[float32(1, 7, 64) float32(32, 100)]: inner dimensions differ (64, 32)
}

func ExampleEval() {
	a := mlx.Ones(mlx.Shape{2, 2})
	b := a.Add(1)
	c := b.Mul(b)
	if err := mlx.Eval(b, c); err != nil { // one walk of the graph for both
		fmt.Println(err)
	}
	fmt.Println(mlx.ToSlice[float32](b), mlx.ToSlice[float32](c))
	// Output: [2 2 2 2] [4 4 4 4]
}
