package cache_test

import (
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// same runs n more positions and compares bits with a full cache under an explicit mask.
func (f *fixture) same(n, pad, w int) {
	f.t.Helper()
	from := f.c.Len()
	got, want := mlx.ToSlice[float32](f.step(n, pad)), mlx.ToSlice[float32](f.want(from, from+n, window(w)))
	if !slices.Equal(got, want) {
		f.t.Fatalf("window %d, positions %d to %d (%d padded): other bits", w, from, from+n, pad)
	}
}

// TestWindowBits: a layer with a window of its own, or of a cache that rotates and keeps
// nothing of the beginning, has the bits of a cache of all positions under an
// explicit mask, at every length around the window and around the ring, however the
// text is cut, padded or not, quantized or not.
func TestWindowBits(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	windows := []int{1, 100, 448, 512}
	if testing.Short() {
		windows = []int{448}
	}
	for _, kind := range []cache.Kind{{}, {Bits: 8, Group: 32}, {MaxSize: 2000, Keep: 4}, {MaxSize: 1}} {
		for _, w := range windows {
			own := w
			if kind.MaxSize > 0 && kind.Keep == 0 {
				kind.MaxSize, own = w, 0
			}
			if kind != (cache.Kind{}) && w != 448 {
				continue
			}
			ring := (w + cache.Slack + 511) / 512 * 512
			for _, around := range []int{w, ring} {
				for _, first := range []int{max(around-2, 1), around - 1, around, around + 1} {
					if first == 0 {
						continue
					}
					f := newFixture(t, kind, own, first+ring+20)
					f.same(first, first%3*5, w) // in pieces if it is long
					for i, n := range []int{1, 2, 1, 9, ring - 20, 1, 1} {
						f.same(n, (n-1)*i%16, w)
					}
				}
			}
		}
	}
}

// TestWindowCuts goes on and back at random. Going back is possible by cache.Slack, and to
// the beginning.
func TestWindowCuts(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	r := rand.New(rand.NewPCG(5, 9))
	for round := range 12 {
		w := []int{1, 3, 60, 448, 500}[r.IntN(5)]
		kind := cache.Kind{}
		if round%3 == 2 {
			kind = cache.Kind{Bits: 4, Group: 32}
		}
		f := newFixture(t, kind, w, 2600)
		if round%2 == 0 {
			for range 2 { // as a chat that begins anew
				f.same(700, 0, w)
				if err := f.c.Trim(700); err != nil {
					t.Fatal(err)
				}
			}
		}
		for f.c.Len() < 2000 {
			n := 1 + r.IntN([]int{1, 8, 100, 600}[r.IntN(4)])
			f.same(n, r.IntN(9)*min(n-1, 1), w)
			if back := r.IntN(cache.Slack + 2); r.IntN(3) == 0 && back <= min(n, cache.Slack) {
				if err := f.c.Trim(back); err != nil {
					t.Fatalf("window %d, %d positions: %v", w, f.c.Len(), err)
				}
			}
		}
		at := f.c.Len()
		if err := f.c.Trim(at / 2); err == nil || !strings.Contains(err.Error(), "cannot go back") || f.c.Len() != at {
			t.Errorf("window %d: back to the middle of %d: %v", w, at, err)
		}
		f.same(5, 0, w) // nothing has changed
	}
}

// TestWindowTrim: the way back is as long as the ring is longer than the window, from
// wherever it was longest, and not longer.
func TestWindowTrim(t *testing.T) {
	const w, most = 448, 64 // of a ring of 512: w-1 before the next position, 65 rows more
	f := newFixture(t, cache.Kind{}, w, 900)
	f.same(500, 0, w)
	if err := f.c.Trim(499); err != nil { // nothing is overwritten yet
		t.Fatal(err)
	}
	f.same(699, 0, w)
	if err := f.c.Trim(most + 2); err == nil {
		t.Fatal("went back to what is lost")
	}
	if err := f.c.Trim(most + 1); err != nil {
		t.Fatal(err)
	}
	if f.c.Trim(1) == nil {
		t.Fatal("went back twice")
	}
	f.same(20, 0, w) // what lies after them is of before
	if err := f.c.Trim(20); err != nil {
		t.Fatal(err)
	}
	if f.c.Trim(1) == nil {
		t.Fatal("went back beyond the first time")
	}
	f.same(most+1+50, 0, w)
}

// TestWindowMemory: a short text has no room for the whole window, and a long one no
// more than the window, some slack and whole segments.
func TestWindowMemory(t *testing.T) {
	layout := []cache.Layout{{Heads: 2, KeyDim: 32, ValueDim: 32, Window: 4096}, {Heads: 2, KeyDim: 32, ValueDim: 32}}
	c := cache.New(layout, 1, mlx.BFloat16)
	row := layout[0].Bytes(1, mlx.BFloat16)
	for _, s := range []struct{ n, window, all int64 }{{10, 256, 256}, {1000, 1024, 1024}, {4600, 4608, 4608}, {32768, 4608, 32768}} {
		if err := c.Reserve(int(s.n)); err != nil {
			t.Fatal(err)
		}
		n, plain := c.Bytes()
		if n != row*(s.window+s.all) || plain != 2*row*s.all || (cache.Kind{}).Bytes(layout, int(s.n), mlx.BFloat16) != n {
			t.Errorf("%d positions: %d bytes, %d of all positions", s.n, n, plain)
		}
		held := 0
		for _, a := range c.Arrays() {
			held += a.Size() * a.DType().Size()
		}
		if int64(held) != n {
			t.Errorf("%d positions: %d bytes are said, %d are held", s.n, n, held)
		}
	}
}

// TestWindowBatch: each sequence has its own position in its ring.
func TestWindowBatch(t *testing.T) {
	const w, n, dim = 20, 1100, 8
	layout := []cache.Layout{{Heads: 1, KeyDim: dim, ValueDim: dim, Window: w}}
	k, v, q := wave(1, 2*n*dim, 2, 1, n, dim), wave(2, 2*n*dim, 2, 1, n, dim), wave(3, 2*n*dim, 2, 1, n, dim)
	run := func(arrays []*mlx.Array, pos []int32, rows [3]*mlx.Array) (*mlx.Array, []*mlx.Array) {
		kv, after := cache.Bind(cache.Kind{}, layout, arrays, cache.Place{Pos: mlx.FromSlice(pos), Last: mlx.FromSlice(pos)})
		y := kv[0].Attend(rows[0], rows[1], rows[2], 0.5)
		arrays = after()
		if err := mlx.Eval(y, arrays); err != nil {
			t.Fatal(err)
		}
		return y, arrays
	}
	empty := func(b int) []*mlx.Array {
		return []*mlx.Array{mlx.Zeros(mlx.Shape{b, 1, 512, dim}, mlx.Float32), mlx.Zeros(mlx.Shape{b, 1, 512, dim}, mlx.Float32)}
	}
	const apart = 333 // the second sequence is so far ahead: it begins with zeros
	both, one, two := empty(2), empty(1), empty(1)
	for at := range n - apart {
		var rows, first, second [3]*mlx.Array
		for i, a := range []*mlx.Array{q, k, v} {
			x, y := row(a, 0, at), row(a, 1, at+apart)
			rows[i], first[i], second[i] = mlx.Concatenate(mlx.Arrays{x, y}, mlx.Axis(0)), x, y
		}
		var got, a, b *mlx.Array
		got, both = run(both, []int32{int32(at), int32(at + apart)}, rows)
		a, one = run(one, []int32{int32(at)}, first)
		b, two = run(two, []int32{int32(at + apart)}, second)
		if want := append(mlx.ToSlice[float32](a), mlx.ToSlice[float32](b)...); !slices.Equal(mlx.ToSlice[float32](got), want) {
			t.Fatalf("position %d: %v, not %v", at, mlx.ToSlice[float32](got), want)
		}
	}
}

// row is position i of sequence b.
func row(a *mlx.Array, b, i int) *mlx.Array {
	return mlx.Take(mlx.Take(a, mlx.FromSlice([]int32{int32(b)}), mlx.Axis(0)), mlx.FromSlice([]int32{int32(i)}), mlx.Axis(2))
}

// TestWindowSave: a saved window goes on as before, also back by the slack, in files that
// mlx-lm reads where it has a class for the layer.
func TestWindowSave(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	const w = 448
	for _, c := range []struct {
		kind      cache.Kind
		n, back   int
		class     string
		rows, may int // may go back
	}{
		{cache.Kind{}, 10, 0, "RotatingKVCache", 10, 10},
		{cache.Kind{}, w, 0, "RotatingKVCache", w, w},
		{cache.Kind{}, 511, 0, "RotatingKVCache", 511, 511},
		{cache.Kind{}, 512, 0, "RotatingKVCache", 511, cache.Slack},
		{cache.Kind{}, 1100, 0, "RotatingKVCache", 511, cache.Slack},
		{cache.Kind{}, 1100, 30, "RotatingKVCache", 482, cache.Slack - 29},
		{cache.Kind{MaxSize: 300, Keep: 4}, 1100, 0, "RotatingKVCache", 363, cache.Slack},
		{cache.Kind{Bits: 8, Group: 32}, 200, 0, "QuantizedKVCache", 200, 200},
		{cache.Kind{Bits: 8, Group: 32}, 1100, 7, "QuantizedRotatingKVCache", 505, cache.Slack - 6},
	} {
		f := newFixture(t, c.kind, w, c.n+700)
		sees := w
		if s := c.kind.MaxSize; s > 0 {
			sees = s
		}
		f.same(c.n, 0, sees)
		if err := f.c.Trim(c.back); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(t.TempDir(), "cache.safetensors")
		if err := f.c.Save(path, nil); err != nil {
			t.Fatal(err)
		}
		s, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		name := "0.0"
		if c.kind.Bits > 0 {
			name = "0.0.0"
		}
		if x, _ := s.Tensor(name); s.Metadata["2.0"] != c.class || x.Shape[2] != c.rows {
			t.Errorf("%+v, %d-%d positions: a %s with %v", c.kind, c.n, c.back, s.Metadata["2.0"], x.Shape)
		}
		s.Close()
		saved := f.c
		for _, back := range []int{0, c.may, c.may + 1} {
			f.c = loaded(t, path, f.layout)
			if err := f.c.Trim(back); (err == nil) != (back <= c.may) {
				t.Fatalf("%+v, %d-%d positions from a file: back by %d: %v", c.kind, c.n, c.back, back, err)
			} else if err != nil {
				continue
			}
			f.same(3, 4, sees)
			f.same(1, 0, sees)
			f.same(600, 0, sees)
		}
		f.c = saved
		f.same(2, 0, sees)
	}
}

func loaded(t *testing.T, path string, layout []cache.Layout) *cache.Cache {
	t.Helper()
	file, err := cache.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	c, err := file.Load(layout, mlx.Float32)
	if err != nil {
		t.Fatal(err)
	}
	return c
}
