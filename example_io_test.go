package mlx_test

import (
	"fmt"
	"os"
	"path/filepath"

	"github.com/mlxgo/mlx"
)

func ExampleConv1D() {
	x := mlx.NewArray([]float64{1, 2, 3, 4, 5}).Reshape(1, 5, 1)
	w := mlx.NewArray([]float64{1, 0, -1}).Reshape(1, 3, 1)
	fmt.Println(mlx.Conv1D(x, w, mlx.Padding{1}).Flatten())
	// Output: array([-2, -2, -2, -2, 4], dtype=float32)
}

func ExampleConvolve() {
	a, v := mlx.NewArray([]float64{1, 2, 3}), mlx.NewArray([]float64{0, 1, 0.5})
	fmt.Println(mlx.Convolve(a, v, "full"))
	// Output: array([0, 1, 2.5, 4, 1.5], dtype=float32)
}

func ExampleSave() {
	dir, err := os.MkdirTemp("", "mlx")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "a.npy")
	if err := mlx.Save(path, mlx.NewArray([]int{1, 2, 3})); err != nil {
		fmt.Println(err)
		return
	}
	a, err := mlx.Load(path)
	fmt.Println(a, err)
	// Output: array([1, 2, 3], dtype=int32) <nil>
}

func ExampleSaveSafetensors() {
	dir, err := os.MkdirTemp("", "mlx")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "w.safetensors")
	weights := map[string]*mlx.Array{"weight": mlx.Ones(mlx.Shape{2, 2}), "bias": mlx.Zeros(mlx.Shape{2})}
	if err := mlx.SaveSafetensors(path, weights, map[string]string{"format": "mlx"}); err != nil {
		fmt.Println(err)
		return
	}
	back, meta, err := mlx.LoadAll(path)
	fmt.Println(back["bias"], meta, err)
	// Output: array([0, 0], dtype=float32) map[format:mlx] <nil>
}

func ExampleExportToDot() {
	x := mlx.Exp(mlx.Ones(mlx.Shape{2}))
	if err := mlx.Eval(x); err != nil {
		fmt.Println(err)
		return
	}
	if err := mlx.ExportToDot(os.Stdout, mlx.Abs(x)); err != nil {
		fmt.Println(err)
	}
	// Output:
	// digraph {
	// { rank=source; "A" [label="A\nfloat32 (2,)"]; }
	// { 0 [label="abs", shape=rectangle]; }
	// "A" -> 0
	// { rank=sink; "B" [label="B\nfloat32 (2,)"]; }
	// 0 -> "B"
	// }
}
