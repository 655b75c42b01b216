package fast_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

func ExampleLayerNorm() {
	x := mlx.NewArray([]float64{1, 2, 3, 6})
	fmt.Printf("%.3f\n", fast.LayerNorm(x, nil, nil, 0))
	// Output: array([-1.069, -0.535, 0.000, 1.604], dtype=float32)
}
