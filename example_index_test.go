package mlx_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
)

func ExampleArray_Index() {
	a := mlx.Arange(12).Reshape(3, 4)
	rows := mlx.NewArray([]int{2, 0})
	fmt.Println(a.Index(-1, mlx.Step(-2)))                        // a[-1, ::-2]
	fmt.Println(a.Index(rows, mlx.Range(1, 3)))                   // a[rows, 1:3]
	fmt.Println(a.Index(a.Gt(8)))                                 // a[a > 8]
	fmt.Println(a.Index(mlx.Ellipsis, mlx.NewAxis, rows).Shape()) // a[..., None, rows].shape
	// Output:
	// array([11, 9], dtype=int32)
	// array([[9, 10],
	//        [1, 2]], dtype=int32)
	// array([9, 10, 11], dtype=int32)
	// (3, 1, 2)
}

func ExampleArray_At() {
	a := mlx.Zeros(mlx.Shape{2, 3})
	a = a.At(0, mlx.From(1)).Set(7) // a[0, 1:] = 7
	fmt.Println(a)
	fmt.Println(a.At(mlx.NewArray([]int{1, 1})).Add(2)) // a.at[[1, 1]].add(2)
	fmt.Println(a.At(a.Gt(0)).Multiply(-1).Index(0))    // where the mask holds
	// Output:
	// array([[0, 7, 7],
	//        [0, 0, 0]], dtype=float32)
	// array([[0, 7, 7],
	//        [4, 4, 4]], dtype=float32)
	// array([0, -7, -7], dtype=float32)
}

func ExampleTakeAlongAxis() {
	a := mlx.NewArray([][]int{{3, 1, 2}, {6, 5, 4}})
	i := mlx.ArgSort(a)
	fmt.Println(mlx.TakeAlongAxis(a, i, -1))
	fmt.Println(mlx.PutAlongAxis(a, i.Index(mlx.Colon, mlx.To(1)), 0, -1)) // the least of each row
	// Output:
	// array([[1, 2, 3],
	//        [4, 5, 6]], dtype=int32)
	// array([[3, 0, 2],
	//        [6, 5, 0]], dtype=int32)
}

func ExampleSlice() {
	a, start := mlx.Arange(10), mlx.NewArray([]int{3})
	fmt.Println(mlx.Slice(a, start, []int{0}, mlx.Shape{4}))
	fmt.Println(mlx.SliceUpdate(a, mlx.NewArray([]int{0, 0}), start, []int{0}))
	// Output:
	// array([3, 4, 5, 6], dtype=int32)
	// array([0, 1, 2, ..., 7, 8, 9], dtype=int32)
}

func ExampleNonZero() {
	at := mlx.NonZero(mlx.NewArray([][]int{{0, 5}, {7, 0}}))
	fmt.Println(at[0], at[1])
	// Output: array([0, 1], dtype=int32) array([1, 0], dtype=int32)
}
