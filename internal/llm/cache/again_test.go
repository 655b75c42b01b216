package cache_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

// noise is random numbers [1, heads, n, d].
func noise(r *rand.Rand, heads, n, d int) *mlx.Array {
	v := make([]float32, heads*n*d)
	for i := range v {
		v[i] = float32(r.NormFloat64())
	}
	return mlx.FromSlice(v, 1, heads, n, d)
}

// TestAgain: other queries of a pass see what they would see alone, in every kind of
// cache and however the tokens are split.
func TestAgain(t *testing.T) {
	const d, heads, n = 64, 2, 70
	for _, window := range []int{0, 9} {
		for _, kind := range []cache.Kind{{}, {MaxSize: 20}, {MaxSize: 20, Keep: 3}, cache.Kind{}.Quantized(8, 64)} {
			for _, chunk := range []int{1, 30} {
				t.Run(fmt.Sprintf("window %d, %+v, chunks of %d", window, kind, chunk), func(t *testing.T) {
					r := rand.New(rand.NewPCG(1, 50))
					layout := []cache.Layout{{Heads: heads, KeyDim: d, ValueDim: d, Window: window, Shared: true}}
					one, two := cache.NewOf(kind, layout, 1, mlx.Float32), cache.NewOf(kind, layout, 1, mlx.Float32)
					for at := 0; at < n; at += chunk {
						rows := min(chunk, n-at)
						q, other, k, v := noise(r, 4, rows, d), noise(r, 4, rows, d), noise(r, heads, rows, d), noise(r, heads, rows, d)
						var got, want *mlx.Array
						step(t, one, at+rows, rows, func(kv cache.KV) *mlx.Array {
							y := kv.Attend(q, k, v, 0.1)
							got = kv.Again(other, 0.2)
							return y
						})
						step(t, two, at+rows, rows, func(kv cache.KV) *mlx.Array {
							want = kv.Attend(other, k, v, 0.2)
							return want
						})
						for i, x := range mlx.ToSlice[float32](want) {
							if y := mlx.ToSlice[float32](got)[i]; y != x {
								t.Fatalf("at %d: element %d is %v, not %v", at, i, y, x)
							}
						}
					}
				})
			}
		}
	}
}

// step runs n tokens, the last of which is known-1, through the only layer of c.
func step(t *testing.T, c *cache.Cache, known, n int, pass func(cache.KV) *mlx.Array) {
	t.Helper()
	if err := c.Reserve(n); err != nil {
		t.Fatal(err)
	}
	kv, after := c.Layers(known)
	y := pass(kv[0])
	c.SetArrays(after())
	if err := mlx.Eval(y, c.Arrays()); err != nil {
		t.Fatal(err)
	}
	c.Advance(n)
}

// TestSparse: blocks and chunks by their definitions, at every position.
func TestSparse(t *testing.T) {
	const d, heads, kvHeads, n = 8, 4, 2, 60
	for _, s := range []cache.Sparse{{Chunk: 7}, {Block: 4, Local: 2, Stride: 3, Heads: heads}, {Block: 5, Local: 1, Stride: 2, Heads: heads}} {
		sees := func(head, q, k int) bool {
			if s.Chunk > 0 {
				return k <= q && k/s.Chunk == q/s.Chunk
			}
			return k <= q && (q/s.Block-k/s.Block < s.Local || (k/s.Block+head+1)%s.Stride == 0)
		}
		for _, chunk := range []int{1, 11, n} {
			r := rand.New(rand.NewPCG(2, 50))
			q, k, v := noise(r, heads, n, d), noise(r, kvHeads, n, d), noise(r, kvHeads, n, d)
			c := cache.New([]cache.Layout{{Heads: kvHeads, KeyDim: d, ValueDim: d, Sparse: &s}}, 1, mlx.Float32)
			Q, K, V := mlx.ToSlice[float32](q), mlx.ToSlice[float32](k), mlx.ToSlice[float32](v)
			for at := 0; at < n; at += chunk {
				rows := min(chunk, n-at)
				cut := func(a *mlx.Array) *mlx.Array { return mlx.Split(a, []int{at, at + rows}, mlx.Axis(2))[1] }
				var y *mlx.Array
				step(t, c, at+rows, rows, func(kv cache.KV) *mlx.Array {
					y = kv.Attend(cut(q), cut(k), cut(v), 0.5)
					return y
				})
				got := mlx.ToSlice[float32](y)
				for h := range heads {
					for row := range rows {
						want, sum := make([]float64, d), 0.0
						for j := range n {
							if !sees(h, at+row, j) {
								continue
							}
							dot := 0.0
							for i := range d {
								dot += float64(Q[(h*n+at+row)*d+i]) * float64(K[(h/2*n+j)*d+i])
							}
							p := math.Exp(dot * 0.5)
							sum += p
							for i := range d {
								want[i] += p * float64(V[(h/2*n+j)*d+i])
							}
						}
						for i := range d {
							if x := float64(got[(h*rows+row)*d+i]); math.Abs(x-want[i]/sum) > 1e-5 {
								t.Fatalf("%+v, chunks of %d, head %d at %d: %v, not %v", s, chunk, h, at+row, x, want[i]/sum)
							}
						}
					}
				}
			}
		}
	}
	layout := []cache.Layout{{Heads: 1, KeyDim: 8, ValueDim: 8, Sparse: &cache.Sparse{Chunk: 4}}}
	if err := cache.Rotating(16).Check(layout); err == nil {
		t.Error("a ring of a layer that sees its first keys is possible")
	}
}
