package fast_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/optest"
)

// wave is a float32 array of fixed numbers.
func wave(shape ...int) *mlx.Array {
	v := make([]float32, mlx.Shape(shape).Size())
	for i := range v {
		v[i] = float32(math.Sin(1.3*float64(i) + 0.4))
	}
	return mlx.FromSlice(v, shape...)
}

// TestEmptyRows: a row that may see no key is 0, by every mask, dtype and length;
// the other rows are those of a call without it.
func TestEmptyRows(t *testing.T) {
	for _, keys := range []int{4, 300} {
		for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
			q, k, v := wave(1, 2, 4, 8).AsType(d), wave(1, 2, keys, 8).AsType(d), wave(1, 2, keys, 8).AsType(d)
			open := make([]bool, 4*keys)
			add := make([]float32, 4*keys)
			for i := range open {
				if open[i] = i/keys != 1; !open[i] {
					add[i] = float32(math.Inf(-1))
				}
			}
			whole := mlx.ToSlice[float32](fast.ScaledDotProductAttention(q, k, v, 0.5).AsType(mlx.Float32))
			for name, m := range map[string]*mlx.Array{"bool": mlx.FromSlice(open, 4, keys), "added": mlx.FromSlice(add, 4, keys).AsType(d)} {
				got := mlx.ToSlice[float32](fast.ScaledDotProductAttention(q, k, v, 0.5, fast.Mask(m)).AsType(mlx.Float32))
				for i, x := range got {
					switch row := i / 8 % 4; {
					case row == 1 && x != 0:
						t.Fatalf("%s, %v, %d keys: an empty row holds %v", name, d, keys, x)
					case row != 1 && math.Abs(float64(x-whole[i])) > 0.01:
						t.Fatalf("%s, %v, %d keys: row %d holds %v, want %v", name, d, keys, row, x, whole[i])
					}
				}
			}
		}
	}
}

// TestCausalShortKeys: with fewer keys than queries the first queries see none.
func TestCausalShortKeys(t *testing.T) {
	v := mlx.NewArray([][]float64{{1, 2}, {3, 4}}).Reshape(1, 1, 2, 2)
	out := fast.ScaledDotProductAttention(mlx.Ones(mlx.Shape{1, 1, 3, 2}), mlx.Ones(mlx.Shape{1, 1, 2, 2}), v, 1, fast.Causal)
	want := mlx.NewArray([][]float64{{0, 0}, {1, 2}, {2, 3}}).Reshape(1, 1, 3, 2)
	if err := optest.Diff(out, want, optest.F32); err != nil {
		t.Error(err)
	}
}

// TestDecodeEqualsPrefill: one query at a time gives the rows of all at once.
func TestDecodeEqualsPrefill(t *testing.T) {
	q, k, v := wave(2, 4, 9, 16), wave(2, 2, 9, 16).Mul(0.9), wave(2, 2, 9, 16).Add(0.1)
	all := fast.ScaledDotProductAttention(q, k, v, 0.25, fast.Causal)
	cut := func(a *mlx.Array, from, to int) *mlx.Array {
		ids := make([]int32, 0, to-from)
		for i := from; i < to; i++ {
			ids = append(ids, int32(i))
		}
		return mlx.Take(a, mlx.FromSlice(ids), mlx.Axis(2))
	}
	for i := range 9 {
		one := fast.ScaledDotProductAttention(cut(q, i, i+1), cut(k, 0, i+1), cut(v, 0, i+1), 0.25, fast.Causal)
		if err := optest.Diff(one, cut(all, i, i+1), optest.F32); err != nil {
			t.Errorf("query %d: %v", i, err)
		}
	}
}

// TestRoPEOffsets: an offset per row, an offset for all, and positions in x agree.
func TestRoPEOffsets(t *testing.T) {
	r := fast.RoPE{Dims: 8, Base: 1e4}
	x := wave(2, 3, 5, 8)
	both := r.ApplyAt(x, mlx.NewArray([]int{7, 7}))
	if err := optest.Diff(both, r.Apply(x, 7), optest.Exact); err != nil {
		t.Error(err)
	}
	moved := r.ApplyAt(x, mlx.NewArray([]int{0, 2}))
	for b, offset := range []int{0, 2} {
		one := mlx.Take(x, mlx.NewArray([]int{b}), mlx.Axis(0))
		if err := optest.Diff(mlx.Take(moved, mlx.NewArray([]int{b}), mlx.Axis(0)), r.Apply(one, offset), optest.Exact); err != nil {
			t.Errorf("row %d: %v", b, err)
		}
	}
	// A rotation keeps lengths, and the features beyond Dims.
	part := fast.RoPE{Dims: 4, Base: 1e4}.Apply(x, 3)
	tail := mlx.NewArray([]int{4, 5, 6, 7})
	if err := optest.Diff(mlx.Take(part, tail, mlx.Axis(-1)), mlx.Take(x, tail, mlx.Axis(-1)), optest.Exact); err != nil {
		t.Error(err)
	}
	if err := optest.Diff(mlx.Sum(both.Mul(both), mlx.Axis(-1)), mlx.Sum(x.Mul(x), mlx.Axis(-1)), optest.F32); err != nil {
		t.Error(err)
	}
}

func TestErrors(t *testing.T) {
	q := wave(1, 2, 3, 4)
	for name, f := range map[string]func(){
		"two masks": func() { fast.ScaledDotProductAttention(q, q, q, 1, fast.Causal, fast.Mask(wave(3, 3))) },
		"a mask twice": func() {
			fast.ScaledDotProductAttention(q, q, q, 1, fast.Mask(wave(3, 3)), fast.Mask(wave(3, 3)))
		},
		"offset":      func() { fast.RoPE{Dims: 2, Base: 1e4}.Apply(q, 1<<31) },
		"two streams": func() { fast.RMSNorm(q, nil, 1e-5, mlx.CPU, mlx.CPU) },
		"sinks":       func() { fast.ScaledDotProductAttention(q, q, q, 1, fast.Sinks(wave(3))) },
		"weight":      func() { fast.RMSNorm(q, wave(5), 1e-5) },
		"odd dims":    func() { fast.RoPE{Dims: 3, Base: 1e4}.Apply(q, 0) },
	} {
		if err := mlx.Try(f); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}

func ExampleRMSNorm() {
	x := mlx.NewArray([][]float64{{3, 4}, {0, 0}})
	fmt.Printf("%.4f\n", mlx.ToRows[float32](fast.RMSNorm(x, nil, 0.5)))
	// Output:
	// [[0.8321 1.1094] [0.0000 0.0000]]
}

func ExampleScaledDotProductAttention() {
	q := mlx.Ones(mlx.Shape{1, 1, 2, 2}) // batch, heads, length, size
	v := mlx.NewArray([][]float64{{1, 2}, {3, 4}}).Reshape(1, 1, 2, 2)
	out := fast.ScaledDotProductAttention(q, q, v, 1, fast.Causal)
	fmt.Println(mlx.ToRows[float32](out.Reshape(2, 2)))
	// Output:
	// [[1 2] [2 3]]
}

func ExampleRoPE() {
	x := mlx.NewArray([][]float64{{1, 0}, {1, 0}}).Reshape(1, 2, 2) // two positions
	out := fast.RoPE{Dims: 2, Base: 10000}.Apply(x, 0)
	fmt.Printf("%.4f\n", mlx.ToRows[float32](out.Reshape(2, 2)))
	// Output:
	// [[1.0000 0.0000] [0.5403 0.8415]]
}
