//go:build linux && metalemu

package metal_test

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"github.com/mlxgo/mlx"
)

// TestSmallValuesOutliveTheirHandles: what nobody can reach any more is not given to others
// while the GPU has still to read it.
func TestSmallValuesOutliveTheirHandles(t *testing.T) {
	for range 10 {
		one := mlx.FromSlice(slices.Repeat([]float32{1}, 64))
		slow := mlx.Full(mlx.Shape{256, 256}, float32(1), mlx.GPU)
		y := mlx.Add(one, mlx.Multiply(mlx.Max(mlx.MatMul(slow, slow, mlx.GPU), mlx.GPU), float32(0), mlx.GPU), mlx.GPU)
		for range 400 {
			y = mlx.Add(y, one, mlx.GPU)
		}
		mlx.AsyncEval(y)
		runtime.GC()
		time.Sleep(time.Millisecond) // for cleanups
		var others []*mlx.Array
		for range 200 {
			others = append(others, mlx.FromSlice(make([]float32, 64)))
		}
		runtime.KeepAlive(others)
		if got := mlx.ToSlice[float32](y)[3]; got != 401 {
			t.Fatalf("%v after 400 additions of 1 to 1", got)
		}
	}
}
