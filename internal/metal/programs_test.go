//go:build linux && metalemu

package metal_test

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// Kernels with scratch memory run again and again in a program, each run before the last
// one has ended.
func TestScratchInPrograms(t *testing.T) {
	f := mlx.Compile(func(in []*mlx.Array) []*mlx.Array {
		sorted := mlx.Sort(in[0])
		return []*mlx.Array{mlx.Sum(sorted), mlx.Max(in[0].Reshape(600, 10), mlx.Axis(0)), mlx.ArgSort(in[0])}
	})
	base := random.Uniform(0, 1, mlx.Shape{6000}) // not around 0: a sum that cancels has no digits
	if err := mlx.Eval(base); err != nil {
		t.Fatal(err)
	}
	var got, want [][]*mlx.Array
	for i := range 6 {
		x := mlx.Add(base, i)
		got = append(got, f([]*mlx.Array{x}))
		y := mlx.Contiguous(x, false, mlx.CPU)
		want = append(want, []*mlx.Array{mlx.Sum(y, mlx.CPU), mlx.Max(y.Reshape(600, 10), mlx.Axis(0), mlx.CPU), mlx.ArgSort(y, mlx.CPU)})
	}
	for i := range got {
		for j := range got[i] {
			if !mlx.Item[bool](mlx.AllClose(got[i][j].AsType(mlx.Float32), want[i][j].AsType(mlx.Float32))) {
				t.Errorf("run %d, result %d: %v, want %v", i, j, got[i][j], want[i][j])
			}
		}
	}
}
