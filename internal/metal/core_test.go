//go:build linux && metalemu

package metal_test

import (
	"os"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// The emulator is chosen when the process starts: the tests of this package run with
// MLX_DEVICE=metal-emu, which TestMain sets for a process of its own.
func TestMain(m *testing.M) {
	if os.Getenv("MLX_DEVICE") != "metal-emu" {
		os.Setenv("MLX_DEVICE", "metal-emu")
		os.Exit(again())
	}
	random.Seed(1)
	os.Exit(m.Run())
}

// A strided copy on the GPU, and an op on each device in one graph.
func TestCopyAndStreams(t *testing.T) {
	if !mlx.IsAvailable(mlx.GPU) {
		t.Fatal("no emulated GPU")
	}
	a := mlx.NewArray([]float32{1, 2, 3, 4, 5, 6}).Reshape(2, 3)
	c := mlx.Contiguous(mlx.Transpose(a, mlx.GPU), false, mlx.GPU)
	if got := mlx.ToSlice[float32](c); got[1] != 4 || got[2] != 2 {
		t.Errorf("transposed: %v", got)
	}
	d := mlx.Add(c, c, mlx.CPU)
	e := mlx.Contiguous(mlx.Transpose(d, mlx.GPU), false, mlx.GPU)
	f := mlx.Multiply(e, 10, mlx.GPU) // no kernel yet, or one: the same result
	if got := mlx.ToSlice[float32](f); got[0] != 20 || got[1] != 40 || got[5] != 120 {
		t.Errorf("over both devices: %v", got)
	}
}
