package cache_test

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

func wave(seed, n int, shape ...int) *mlx.Array {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(math.Sin(float64(seed*7919 + i*31)))
	}
	return mlx.FromSlice(v, shape...)
}

// TestAttend: a cache that is filled piece by piece, across a growth, attends as the
// plain attention over all keys; after Trim the last rows are written anew.
func TestAttend(t *testing.T) {
	const heads, dim, n = 2, 8, 300
	layout := []cache.Layout{{Heads: heads, KeyDim: dim, ValueDim: dim}}
	c := cache.New(layout, 1, mlx.Float32)
	k, v := wave(1, heads*n*dim, 1, heads, n, dim), wave(2, heads*n*dim, 1, heads, n, dim)
	q := wave(3, 2*heads*n*dim, 1, 2*heads, n, dim)
	rows := func(a *mlx.Array, from, to int) *mlx.Array {
		idx := make([]int32, 0, to-from)
		for i := from; i < to; i++ {
			idx = append(idx, int32(i))
		}
		return mlx.Take(a, mlx.FromSlice(idx), mlx.Axis(2))
	}
	step := func(from, to int) *mlx.Array {
		if err := c.Reserve(to - from); err != nil {
			t.Fatal(err)
		}
		kv, after := c.Layers(to)
		y := kv[0].Attend(rows(q, from, to), rows(k, from, to), rows(v, from, to), 0.5)
		c.SetArrays(after())
		if err := mlx.Eval(y, c.Arrays()); err != nil {
			t.Fatal(err)
		}
		c.Advance(to - from)
		return y
	}
	want := mlx.ToSlice[float32](fast.ScaledDotProductAttention(q, k, v, 0.5, fast.Causal))
	check := func(y *mlx.Array, from, to int) {
		t.Helper()
		got := mlx.ToSlice[float32](y)
		for h := range 2 * heads {
			for i := from; i < to; i++ {
				for d := range dim {
					g, w := got[(h*(to-from)+i-from)*dim+d], want[(h*n+i)*dim+d]
					if math.Abs(float64(g-w)) > 1e-6 {
						t.Fatalf("head %d, position %d: %v, not %v", h, i, g, w)
					}
				}
			}
		}
	}
	at := 0
	for _, size := range []int{1, 16, 200, 1, 60, 22} {
		check(step(at, at+size), at, at+size)
		at += size
	}
	if c.Len() != n || c.Capacity() != 512 {
		t.Errorf("%d positions in a capacity of %d", c.Len(), c.Capacity())
	}
	if c.Trim(n+1) == nil || c.Trim(-1) == nil || c.Trim(10) != nil || c.Len() != n-10 {
		t.Errorf("trimmed to %d", c.Len())
	}
	check(step(n-10, n), n-10, n)
}

func TestCapacity(t *testing.T) {
	got := []int{cache.CapacityFor(0), cache.CapacityFor(256), cache.CapacityFor(257), cache.CapacityFor(4096), cache.CapacityFor(4097), cache.CapacityFor(5000)}
	if fmt.Sprint(got) != "[256 256 512 4096 4608 5120]" {
		t.Error(got)
	}
	for n := 1; n < 100_000; n++ {
		if c := cache.CapacityFor(n); c < n || c-n > max(255, c/8) || cache.CapacityFor(c) != c {
			t.Fatalf("%d positions have a capacity of %d", n, c)
		}
	}
	if b := (cache.Layout{Heads: 2, KeyDim: 3, ValueDim: 5}).Bytes(10, mlx.BFloat16); b != 2*8*10*2 {
		t.Error(b)
	}
}
