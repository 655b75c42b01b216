package optest

import (
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/compile"
)

// TestCompiled: a Step gives the bytes of eager mode, when it is traced and when it
// is replayed with other inputs. On a GPU the order of a sum follows the strides of what it
// reads in place, and a Step takes inputs as rows: so does eager mode here.
func TestCompiled(t *testing.T) {
	each(t, all, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		if len(in) == 0 {
			return // nothing to trace
		}
		step := compile.New(c.Name, func(in, _ []*mlx.Array) (out, state []*mlx.Array) { return c.Build(in), nil })
		other := append([]*mlx.Array{}, in...)
		if other[0] = repeatFirst(in[0]); c.NoRepeat != "" {
			other[0] = variants(in[0])[1]
		}
		for _, args := range [][]*mlx.Array{in, other, in} {
			if mlx.DefaultDevice() != mlx.CPU {
				args = rows(args)
			}
			want := run(t, c, args)
			got, _, err := step.Call(args, nil)
			if err != nil {
				t.Fatal(err)
			}
			compare(t, "compiled", got, want, Exact)
		}
		if n := step.Traces(); n != 1 {
			t.Errorf("traced %d times", n)
		}
	})
}

// rows are arrays in row-major order.
func rows(in []*mlx.Array) []*mlx.Array {
	out := make([]*mlx.Array, len(in))
	for i, a := range in {
		out[i] = mlx.Contiguous(a, false)
	}
	return out
}
