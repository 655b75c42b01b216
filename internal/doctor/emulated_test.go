//go:build linux && metalemu

package doctor

import (
	"os"
	"testing"

	"github.com/mlxgo/mlx"
)

// TestEmulated: on the emulated GPU every kernel compiles and every check passes there.
func TestEmulated(t *testing.T) {
	if os.Getenv("MLX_FULL") == "" || mlx.DefaultDevice() != mlx.GPU {
		t.Skip("MLX_FULL=1 MLX_DEVICE=metal-emu compiles all kernels")
	}
	var r Report
	Compile(func(c Compiled) { r.Compiled = append(r.Compiled, c) })
	if err := Checks(mlx.GPU, func(c Result) { r.Checks = append(r.Checks, c) }); err != nil {
		t.Fatal(err)
	}
	Measures(mlx.GPU, func(m Measure) { r.Measures = append(r.Measures, m) })
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	if len(r.Compiled) < 20 || len(r.Checks) < 200 || len(r.Measures) < 4 {
		t.Errorf("%d files of kernels, %d checks, %d measures", len(r.Compiled), len(r.Checks), len(r.Measures))
	}
	for _, c := range r.Checks {
		if c.Status == LeftOut {
			t.Errorf("%s is left out: %s", c.Title(), c.Detail)
		}
	}
}
