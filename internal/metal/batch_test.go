//go:build linux && metalemu

package metal_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
)

// A chain of dependent ops that is longer than a batch.
func TestChainOverBatches(t *testing.T) {
	for range 3 {
		x, y := mlx.FromSlice([]float32{1}, 1), mlx.FromSlice([]float32{1}, 1)
		for range 100 {
			x, y = mlx.Add(x, y, mlx.GPU), mlx.Multiply(mlx.Subtract(x, y, mlx.GPU), 0.5, mlx.GPU)
		}
		a, b := 1.0, 1.0
		for range 100 {
			a, b = a+b, (a-b)/2
		}
		if got := float64(mlx.ToSlice[float32](x)[0]); math.Abs(got-a) > 1e-4*math.Abs(a) {
			t.Errorf("%v, want %v", got, a)
		}
	}
}
