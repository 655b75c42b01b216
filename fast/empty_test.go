package fast_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/internal/tensor"
)

// grads are the gradients of sum(y * c).
func grads(f func(in []*mlx.Array) *mlx.Array, in []*mlx.Array, c *mlx.Array) []*mlx.Array {
	_, g := autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in)} }, in, []*mlx.Array{c})
	return g
}

func finite(t *testing.T, what string, as ...*mlx.Array) {
	t.Helper()
	for i, a := range as {
		for _, x := range mlx.ToSlice[float32](a.AsType(mlx.Float32)) {
			if x-x != 0 {
				t.Fatalf("%s: array %d holds %v", what, i, x)
			}
		}
	}
}

// TestEmptyRowGradients: a row that may see no key has zero gradient and gives none, by
// every mask, dtype and length, once and twice differentiated, and mapped.
func TestEmptyRowGradients(t *testing.T) {
	low := mlx.NewArray(math.Inf(-1))
	for _, keys := range []int{3, 4, 300} {
		for _, rows := range []int{1, 4} {
			for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
				empty := make([]bool, rows*keys) // row 1, or the only one
				padded := make([]bool, rows*keys)
				for i := range empty {
					empty[i] = i/keys != min(1, rows-1)
					padded[i] = i%keys > 1 && i%keys <= i/keys+max(keys-rows, 0)
				}
				for name, open := range map[string][]bool{"empty": empty, "left padding": padded} {
					see := mlx.FromSlice(open, rows, keys)
					added := mlx.Where(see, mlx.NewArray(0.0), low).AsType(d)
					for kind, m := range map[string]*mlx.Array{"bool": see, "added": added} {
						checkEmpty(t, fmt.Sprintf("%s, %s, %v, %d queries, %d keys", name, kind, d, rows, keys), d, open, m, rows, keys)
					}
				}
			}
		}
	}
}

func checkEmpty(t *testing.T, what string, d mlx.DType, open []bool, m *mlx.Array, rows, keys int) {
	t.Helper()
	in := []*mlx.Array{wave(1, 2, rows, 8).AsType(d), wave(1, 2, keys, 8).AsType(d).Mul(0.5), wave(1, 2, keys, 8).AsType(d)}
	f := func(in []*mlx.Array) *mlx.Array {
		return fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.5, fast.Mask(m))
	}
	c := wave(1, 2, rows, 8).AsType(d).Add(0.25)
	sees := make([]float32, rows) // 0 for empty rows
	for i, o := range open {
		if o {
			sees[i/keys] = 1
		}
	}
	only := c.Mul(mlx.FromSlice(sees, rows, 1).AsType(d))
	all, rest := grads(f, in, c), grads(f, in, only)
	finite(t, what, all...)
	for i := range all {
		if err := optest.Diff(all[i], rest[i], optest.Exact); err != nil {
			t.Fatalf("%s: an empty row contributes to gradient %d: %v", what, i, err)
		}
	}
	for i, x := range mlx.ToSlice[float32](all[0].AsType(mlx.Float32)) {
		if sees[i/8%rows] == 0 && x != 0 {
			t.Fatalf("%s: the gradient of an empty row is %v", what, x)
		}
	}
	wide := make([]*mlx.Array, 3)
	for i, a := range in {
		wide[i] = a.AsType(mlx.Float64)
	}
	tol := map[mlx.DType]float64{mlx.Float32: 1e-4, mlx.Float16: 1e-2, mlx.BFloat16: 5e-2}[d]
	for i, g := range grads(f, wide, c.AsType(mlx.Float64)) {
		if err := optest.Diff(all[i].AsType(mlx.Float64), g, optest.Tol{Rel: tol, Abs: tol}); err != nil {
			t.Fatalf("%s: gradient %d: %v", what, i, err)
		}
	}
	if d != mlx.Float32 || keys == 300 {
		return
	}
	twice := grads(func(in []*mlx.Array) *mlx.Array {
		return tensor.BinaryOf(tensor.OpAdd, grads(f, in, c)[0], in[0], mlx.Stream{})
	}, in, c)
	finite(t, what+", twice", twice...)
	finite(t, what+", mapped", autodiff.VMap(func(q []*mlx.Array) []*mlx.Array {
		return grads(f, []*mlx.Array{q[0], in[1], in[2]}, c)
	}, []*mlx.Array{mlx.Concatenate(mlx.Arrays{in[0].ExpandDims(0), in[0].ExpandDims(0)})}, []int{0}, autodiff.InFront)...)
}

// TestHiddenKeysDoNotMatter: NaN and Inf at keys that nobody sees change no gradient.
func TestHiddenKeysDoNotMatter(t *testing.T) {
	const rows, keys = 5, 70
	see := make([]bool, keys)
	clean := make([]float32, 2*keys*8)
	dirty := make([]float32, 2*keys*8)
	for i := range clean {
		clean[i] = float32(math.Sin(float64(i)))
		if see[i/8%keys] = i/8%keys%3 != 1; see[i/8%keys] {
			dirty[i] = clean[i]
		} else {
			dirty[i] = []float32{float32(math.NaN()), float32(math.Inf(1)), 1e30}[i%3]
		}
	}
	q, c := wave(1, 2, rows, 8), wave(1, 2, rows, 8).Add(0.25)
	mask := mlx.FromSlice(see)
	for _, d := range []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float64} {
		for name, m := range map[string]*mlx.Array{"bool": mask, "added": mlx.Where(mask, mlx.NewArray(0.5), mlx.NewArray(math.Inf(-1)))} {
			f := func(in []*mlx.Array) *mlx.Array {
				return fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.5, fast.Mask(m.AsType(m.DType())))
			}
			g := func(v []float32) []*mlx.Array {
				kv := mlx.FromSlice(v, 1, 2, keys, 8).AsType(d)
				return grads(f, []*mlx.Array{q.AsType(d), kv, kv}, c.AsType(d))
			}
			want, got := g(clean), g(dirty)
			finite(t, name, got...)
			for i := range got {
				if err := optest.Diff(got[i], want[i], optest.Tol{Rel: 1e-6, Abs: 1e-6, Ulps: 1}); err != nil {
					t.Errorf("%s, %v: gradient %d: %v", name, d, i, err)
				}
			}
		}
	}
}

// TestWideMask: an additive mask may be wider than the queries, unlike in MLX.
func TestWideMask(t *testing.T) {
	q := wave(1, 2, 3, 8).AsType(mlx.Float16)
	m := wave(3, 3)
	got := fast.ScaledDotProductAttention(q, q, q, 0.5, fast.Mask(m))
	want := fast.ScaledDotProductAttention(q.AsType(mlx.Float32), q.AsType(mlx.Float32), q.AsType(mlx.Float32), 0.5, fast.Mask(m))
	if err := optest.Diff(got, want.AsType(mlx.Float16), optest.Tol{Ulps: 1}); err != nil {
		t.Error(err)
	}
}
