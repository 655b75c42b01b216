package linalg_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
)

func ExampleSVD() {
	a := mlx.NewArray([][]float64{{3, 0}, {0, 2}, {0, 0}})
	u, s, vt := linalg.SVD(a)
	fmt.Println(u.Shape(), s, vt.Shape())

	first := u.Index(mlx.Ellipsis, mlx.To(2)) // the columns that belong to values
	back := first.Mul(s).MatMul(vt)
	fmt.Println(mlx.AllClose(back, a))
	// Output:
	// (3, 3) array([3, 2], dtype=float32) (2, 2)
	// array(True, dtype=bool)
}

func ExampleSolve() {
	a := mlx.NewArray([][]float64{{2, 1}, {1, 3}})
	fmt.Println(linalg.Solve(a, mlx.NewArray([]float64{4, 7})))
	// Output: array([1, 2], dtype=float32)
}

func ExampleNorm() {
	x := mlx.NewArray([][]float64{{3, 4}, {-6, 8}})
	fmt.Println(linalg.Norm(x, mlx.Axis(-1)))
	fmt.Println(linalg.Norm(x, linalg.Ord(1)), linalg.Norm(x, linalg.OrdName("fro")))
	// Output:
	// array([5, 10], dtype=float32)
	// array(12, dtype=float32) array(11.1803, dtype=float32)
}
