package cache_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// fixture is n positions of one layer and a cache that they go through.
type fixture struct {
	t       *testing.T
	c       *cache.Cache
	layout  []cache.Layout
	q, k, v *mlx.Array
	seenK   *mlx.Array // as the cache stores them
	seenV   *mlx.Array
	n       int
}

const (
	testHeads = 2
	testDim   = 32
)

func newFixture(t *testing.T, kind cache.Kind, window, n int) *fixture {
	t.Helper()
	f := &fixture{t: t, n: n, layout: []cache.Layout{{Heads: testHeads, KeyDim: testDim, ValueDim: testDim, Window: window}}}
	if err := kind.Check(f.layout); err != nil {
		t.Fatal(err)
	}
	f.c = cache.NewOf(kind, f.layout, 1, mlx.Float32)
	f.k, f.v = wave(1, testHeads*n*testDim, 1, testHeads, n, testDim), wave(2, testHeads*n*testDim, 1, testHeads, n, testDim)
	f.q = wave(3, 2*testHeads*n*testDim, 1, 2*testHeads, n, testDim)
	f.seenK, f.seenV = f.k, f.v
	if kind.Bits > 0 {
		stored := func(a *mlx.Array) *mlx.Array {
			return mlx.Dequantize(mlx.Quantize(a, mlx.Scheme{Bits: kind.Bits, GroupSize: kind.Group}), mlx.Float32)
		}
		f.seenK, f.seenV = stored(f.k), stored(f.v)
	}
	return f
}

func part(a *mlx.Array, from, to int) *mlx.Array {
	idx := make([]int32, 0, to-from)
	for i := from; i < to; i++ {
		idx = append(idx, int32(i))
	}
	return mlx.Take(a, mlx.FromSlice(idx), mlx.Axis(2))
}

// step runs n positions, and with pad as many more that do not count.
func (f *fixture) step(n, pad int) *mlx.Array {
	f.t.Helper()
	at := f.c.Len()
	if err := f.c.Reserve(n + pad); err != nil {
		f.t.Fatal(err)
	}
	rows := func(a *mlx.Array) *mlx.Array {
		if a = part(a, at, at+n); pad > 0 {
			a = mlx.Concatenate(mlx.Arrays{a, mlx.Zeros(mlx.Shape{1, a.Shape()[1], pad, testDim}, a.DType()).Add(9)}, mlx.Axis(2))
		}
		return a
	}
	var count *mlx.Array
	if pad > 0 {
		count = mlx.FromSlice([]int32{int32(n)})
	}
	kv, after := f.c.LayersOf(at+n, count)
	y := kv[0].Attend(rows(f.q), rows(f.k), rows(f.v), 0.5)
	f.c.SetArrays(after())
	if err := mlx.Eval(y, f.c.Arrays()); err != nil {
		f.t.Fatal(err)
	}
	f.c.Advance(n)
	return part(y, 0, n)
}

// want is positions from to to over all keys, of which sees are seen.
func (f *fixture) want(from, to int, sees func(i, j int) bool) *mlx.Array {
	mask := make([]bool, 0, (to-from)*to)
	for i := from; i < to; i++ {
		for j := range to {
			mask = append(mask, sees(i, j))
		}
	}
	m := mlx.FromSlice(mask, 1, 1, to-from, to)
	return fast.ScaledDotProductAttention(part(f.q, from, to), part(f.seenK, 0, to), part(f.seenV, 0, to), 0.5, fast.Mask(m))
}

// check runs n more positions and compares.
func (f *fixture) check(n, pad int, sees func(i, j int) bool) {
	f.t.Helper()
	from := f.c.Len()
	got, want := mlx.ToSlice[float32](f.step(n, pad)), mlx.ToSlice[float32](f.want(from, from+n, sees))
	for i := range want {
		if math.Abs(float64(got[i]-want[i])) > 1e-5 {
			f.t.Fatalf("positions %d to %d (%d padded): element %d is %v, not %v", from, from+n, pad, i, got[i], want[i])
		}
	}
}

func window(w int) func(i, j int) bool { return func(i, j int) bool { return j <= i && j > i-w } }

// TestRotating: without kept positions a query sees itself and the w-1 before it,
// whatever the split, at every length around the window, and also while the cache
// grows.
func TestRotating(t *testing.T) {
	for _, bits := range []int{0, 8} {
		windows := []int{1, 2, 5, 16, 255, 256, 257, 300}
		if testing.Short() || llmtest.Race {
			windows = []int{1, 5, 257}
		}
		for _, w := range windows {
			kind := cache.Kind{MaxSize: w, Bits: bits}
			if bits > 0 {
				kind.Group = 32
			}
			for first := max(w-3, 1); first <= w+3; first++ {
				for _, then := range [][]int{{1, 1, 1, 1, 1, 1}, {2, 1, 3, 1}, {w + 2, 1, 2}, {1, w, 1}} {
					n := first
					for _, m := range then {
						n += m
					}
					f := newFixture(t, kind, 0, n)
					f.check(first, first%3*5, window(w))
					for i, m := range then {
						pad := 0
						if m > 1 {
							pad = i * 7
						}
						f.check(m, pad, window(w))
					}
				}
			}
		}
	}
}

// TestRotatingOneByOne fills a ring from empty.
func TestRotatingOneByOne(t *testing.T) {
	f := newFixture(t, cache.Kind{MaxSize: 7}, 0, 40)
	for range 40 {
		f.check(1, 0, window(7))
	}
}

// TestOwnWindow: a layer's window holds in every kind, and the smaller one counts.
func TestOwnWindow(t *testing.T) {
	for _, c := range []struct {
		kind cache.Kind
		own  int
		w    int
	}{{cache.Kind{}, 6, 6}, {cache.Kind{MaxSize: 9, Keep: 4}, 6, 6}, {cache.Kind{MaxSize: 6, Keep: 4}, 9, 6}, {cache.Kind{Bits: 4, Group: 32}, 6, 6}} {
		f := newFixture(t, c.kind, c.own, 40)
		for _, n := range []int{4, 1, 1, 1, 9, 1, 2, 21} {
			f.check(n, 0, window(c.w))
		}
	}
}

// TestKeep: a single row sees the first positions and the last, rows of a longer pass
// their last ones.
func TestKeep(t *testing.T) {
	const keep = 4
	sizes := []int{5, 8, 16, 255, 300}
	if testing.Short() || llmtest.Race {
		sizes = []int{5, 16}
	}
	for _, w := range sizes {
		for _, bits := range []int{0, 6} {
			kind := cache.Kind{MaxSize: w, Keep: keep, Bits: bits}
			if bits > 0 {
				kind.Group = 32
			}
			alone := func(i, j int) bool { return j <= i && (j < keep || j > i-(w-keep)) }
			for _, split := range [][]int{{3, 1, w, 1, 1, 2, 1, 2*w + 3, 1}, {w + 9, 1, 1, 1, 5, 1}, {1, 1, 1, 1, 1, 1, w, 1}, {w - 1, 1, 1, 1, 1, 1, 1, 3, 2}} {
				n := 0
				for _, m := range split {
					n += m
				}
				f := newFixture(t, kind, 0, n)
				for i, m := range split {
					if m == 1 {
						f.check(1, 0, alone)
					} else {
						f.check(m, i*3, window(w))
					}
				}
			}
		}
	}
}

// TestQuantized: all positions, in a few bits.
func TestQuantized(t *testing.T) {
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		f := newFixture(t, cache.Kind{Bits: bits, Group: 32}, 0, 300)
		for _, n := range []int{1, 16, 200, 1, 60, 22} {
			f.check(n, 0, window(1000))
		}
		bytes, plain := f.c.Bytes()
		if want := plain / 4 * int64(bits+2) / 8; bytes != want { // two floats for 32 elements
			t.Errorf("%d bits: %d bytes, not %d", bits, bytes, want)
		}
		if f.c.Trim(100) != nil {
			t.Fatal("no way back")
		}
		f.check(100, 0, window(1000))
	}
}

// TestSoftCap: every kind caps scores. The reference computes them one by one in float64.
func TestSoftCap(t *testing.T) {
	const limit, n = 0.7, 24
	for _, kind := range []cache.Kind{{}, {MaxSize: 9}, {MaxSize: 9, Keep: 4}, {Bits: 8, Group: 32}, {MaxSize: 9, Keep: 4, Bits: 8, Group: 32}} {
		f := newFixture(t, kind, 0, n)
		f.layout[0].SoftCap = limit
		q, k, v := mlx.ToSlice[float32](f.q), mlx.ToSlice[float32](f.seenK), mlx.ToSlice[float32](f.seenV)
		sees := func(i, j int, alone bool) bool {
			if w := kind.MaxSize; w > 0 && alone && kind.Keep > 0 {
				return j < kind.Keep || j > i-(w-kind.Keep)
			} else if w > 0 {
				return j > i-w
			}
			return true
		}
		for _, m := range []int{5, 1, 8, 1, 1, 8} {
			from := f.c.Len()
			got := mlx.ToSlice[float32](f.step(m, 0))
			for h := range 2 * testHeads {
				for i := range m {
					at := from + i
					var want [testDim]float64
					sum := 0.0
					for j := range at + 1 {
						if !sees(at, j, m == 1) {
							continue
						}
						score, key := 0.0, (h/2*n+j)*testDim
						for d := range testDim {
							score += 0.5 * float64(q[(h*n+at)*testDim+d]) * float64(k[key+d])
						}
						e := math.Exp(limit * math.Tanh(score/limit))
						sum += e
						for d := range testDim {
							want[d] += e * float64(v[key+d])
						}
					}
					for d := range testDim {
						if y := float64(got[(h*m+i)*testDim+d]); math.Abs(y-want[d]/sum) > 1e-5 {
							t.Fatalf("%+v, position %d, head %d, element %d: %v, not %v", kind, at, h, d, y, want[d]/sum)
						}
					}
				}
			}
		}
	}
}

// TestQuantizeLater: a cache that is quantized when it has positions is what it would
// be from the beginning.
func TestQuantizeLater(t *testing.T) {
	for _, kind := range []cache.Kind{{}, {MaxSize: 20, Keep: 4}} {
		f := newFixture(t, kind.Quantized(8, 32), 0, 90)
		f.c = cache.NewOf(kind, f.layout, 1, mlx.Float32)
		f.step(70, 0)
		if err := f.c.Quantize(8, 32); err != nil {
			t.Fatal(err)
		}
		w := max(kind.MaxSize, 1)
		if kind.MaxSize == 0 {
			w = 1000
		}
		f.check(20, 0, window(w))
		if f.c.Quantize(8, 32) == nil {
			t.Error("quantized twice")
		}
	}
}

// TestTrimKept: a ring with kept positions goes back while nothing is overwritten, then
// by one position, and to its kept ones.
func TestTrimKept(t *testing.T) {
	f := newFixture(t, cache.Kind{MaxSize: 10, Keep: 2}, 0, 60)
	f.check(9, 0, window(10))
	if err := f.c.Trim(7); err != nil {
		t.Fatal(err)
	}
	f.check(5, 0, window(10))
	f.check(30, 0, window(10))
	if err := f.c.Trim(2); err == nil || !strings.Contains(err.Error(), "cannot go back by 2") {
		t.Errorf("trimmed what is lost: %v", err)
	}
	for range 2 { // the second is the first again
		if err := f.c.Trim(1); err != nil {
			t.Fatal(err)
		}
		if f.c.Trim(1) == nil {
			t.Fatal("one more")
		}
		f.check(1, 0, func(i, j int) bool { return j < 2 || j > i-8 })
	}
	if err := f.c.Trim(1); err != nil {
		t.Fatal(err)
	}
	f.check(3, 0, window(10))
	if err := f.c.Trim(f.c.Len() - 2); err != nil {
		t.Fatal(err)
	}
	f.check(25, 0, window(10))
	if err := f.c.Trim(f.c.Len()); err != nil {
		t.Fatal(err)
	}
	f.check(25, 0, window(10))
	f.c.Reset()
	f.check(25, 0, window(10))
}

// TestClone: a copy and its origin go on apart.
func TestClone(t *testing.T) {
	for _, kind := range []cache.Kind{{}, {MaxSize: 8}, {MaxSize: 8, Bits: 8, Group: 32}} {
		f := newFixture(t, kind, 0, 40)
		w := kind.MaxSize
		if w == 0 {
			w = 1000
		}
		f.check(20, 0, window(w))
		c, err := f.c.Clone()
		if err != nil {
			t.Fatal(err)
		}
		f.check(20, 0, window(w))
		f.c = c
		for range 20 {
			f.check(1, 0, window(w))
		}
	}
}

// TestSave: a loaded cache goes on as the saved one.
func TestSave(t *testing.T) {
	for i, kind := range []cache.Kind{
		{}, {Bits: 4, Group: 32}, {MaxSize: 16}, {MaxSize: 16, Keep: 4}, {MaxSize: 300, Keep: 4}, {MaxSize: 16, Keep: 4, Bits: 8, Group: 32},
	} {
		lengths := []int{1, 7, 16, 20, 21, 50, 310}
		if testing.Short() || llmtest.Race {
			lengths = []int{7, 20, 21, 50}
		}
		for _, n := range lengths {
			for _, back := range []int{0, 1} {
				if back >= n {
					continue
				}
				f := newFixture(t, kind, 0, n+40)
				f.step(n, 0)
				if err := f.c.Trim(back); err != nil {
					t.Fatal(err)
				}
				path := filepath.Join(t.TempDir(), "cache.safetensors")
				if err := f.c.Save(path, map[string]string{"model": "m"}); err != nil {
					t.Fatal(err)
				}
				file, err := cache.OpenFile(path)
				if err != nil {
					t.Fatal(err)
				}
				if k, err := file.Kind(f.layout); file.Len != n-back || k != kind || err != nil || file.Metadata["model"] != "m" {
					t.Fatalf("%d: %+v of %d, %v, %v", i, k, file.Len, file.Metadata, err)
				}
				saved := f.c
				if f.c, err = file.Load(f.layout, mlx.Float32); err != nil {
					t.Fatal(err)
				}
				file.Close()
				if f.c.Single() != 0 {
					t.Errorf("%d: %d positions are missing", i, f.c.Single())
				}
				loaded := f.c
				for _, m := range []int{3, 1, 1, 20, 1} {
					f.c = saved
					want := mlx.ToSlice[float32](f.step(m, 0))
					f.c = loaded
					if got := mlx.ToSlice[float32](f.step(m, 0)); !slices.Equal(got, want) {
						t.Fatalf("%d: after %d-%d positions %d more differ", i, n, back, m)
					}
				}
			}
		}
	}
}

// TestFormat: names and metadata are mlx-lm's.
func TestFormat(t *testing.T) {
	for _, c := range []struct {
		kind  cache.Kind
		names string
		meta  map[string]string
		shape string
	}{
		{cache.Kind{}, "[0.0 0.1]", map[string]string{"0.0": "", "2.0": "KVCache", "1.model": "m"}, "[1 2 50 32]"},
		{cache.Kind{Bits: 8, Group: 32}, "[0.0.0 0.0.1 0.0.2 0.1.0 0.1.1 0.1.2]",
			map[string]string{"0.0.0": "50", "0.0.1": "32", "0.0.2": "8", "2.0": "QuantizedKVCache"}, "[1 2 50 8]"},
		{cache.Kind{MaxSize: 16, Keep: 4}, "[0.0 0.1]",
			map[string]string{"0.0.0": "4", "0.0.1": "16", "0.0.2": "50", "0.0.3": "20", "2.0": "RotatingKVCache"}, "[1 2 20 32]"},
	} {
		f := newFixture(t, c.kind, 0, 50)
		f.step(50, 0)
		path := filepath.Join(t.TempDir(), "cache.safetensors")
		if err := f.c.Save(path, map[string]string{"model": "m"}); err != nil {
			t.Fatal(err)
		}
		s, err := safetensors.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, x := range s.Tensors() {
			names = append(names, x.Name)
		}
		slices.Sort(names)
		if first, _ := s.Tensor(names[0]); fmt.Sprint(names) != c.names || fmt.Sprint(first.Shape) != c.shape {
			t.Errorf("%v, %v", names, first.Shape)
		}
		for k, v := range c.meta {
			if got, ok := s.Metadata[k]; !ok || got != v {
				t.Errorf("metadata %s is %q, not %q", k, got, v)
			}
		}
		s.Close()
	}
}

// ringFile is a RotatingKVCache as mlx-lm leaves it after single tokens: the ring in its
// own order, next the row to be written.
func ringFile(t *testing.T, f *fixture, keep, size, length, next int) string {
	t.Helper()
	held := make([]int32, size)
	for p := range length {
		s := p
		for s >= size {
			s -= size - keep
		}
		held[s] = int32(p)
	}
	var tensors []safetensors.Tensor
	for i, a := range []*mlx.Array{f.k, f.v} {
		rows := mlx.Take(a, mlx.FromSlice(held), mlx.Axis(2))
		data := mlx.ToSlice[float32](rows)
		bytes := make([]byte, 0, 4*len(data))
		for _, x := range data {
			u := math.Float32bits(x)
			bytes = append(bytes, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
		}
		tensors = append(tensors, safetensors.Tensor{Name: fmt.Sprintf("0.%d", i), DType: mlx.Float32, Shape: rows.Shape(), Data: bytes})
	}
	path := filepath.Join(t.TempDir(), "ring.safetensors")
	meta := map[string]string{"2.0": "RotatingKVCache", "1.model": "m", "1.tokenizer_config": "{}"}
	for i, x := range []int{keep, size, length, next} {
		meta[fmt.Sprintf("0.0.%d", i)] = fmt.Sprint(x)
	}
	if err := safetensors.Write(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestRingOfMLX: a ring of mlx-lm has fewer positions than rows of a longer pass see;
// single ones come first.
func TestRingOfMLX(t *testing.T) {
	for _, keep := range []int{0, 4} {
		for _, length := range []int{12, 13, 20, 23, 40} {
			const size = 12
			f := newFixture(t, cache.Kind{MaxSize: size, Keep: keep}, 0, length+30)
			next := size
			if length > size {
				next = keep + (length-size)%(size-keep)
				if next == keep {
					next = size
				}
			}
			file, err := cache.OpenFile(ringFile(t, f, keep, size, length, next))
			if err != nil {
				t.Fatal(err)
			}
			if f.c, err = file.Load(f.layout, mlx.Float32); err != nil {
				t.Fatal(err)
			}
			file.Close()
			if length > size && f.c.Trim(2) == nil {
				t.Error("trimmed what is not there")
			}
			for f.c.Single() > 0 {
				f.check(1, 0, func(i, j int) bool { return j <= i && (j < keep || j > i-(size-keep)) })
			}
			f.check(9, 0, window(size))
		}
	}
}

// TestBadFiles: what does not fit is named in a sentence.
func TestBadFiles(t *testing.T) {
	f := newFixture(t, cache.Kind{}, 0, 10)
	f.step(10, 0)
	dir := t.TempDir()
	path := filepath.Join(dir, "cache.safetensors")
	if err := f.c.Save(path, nil); err != nil {
		t.Fatal(err)
	}
	good, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ key, value, want string }{
		{"2.0", "ArraysCache", "layer 0 is a ArraysCache"},
		{"2.0", "RotatingKVCache", "has 0 numbers, not 4"},
		{"0.0.0", "many", `"many" for a number`},
		{"2.0", "", "no classes"},
	} {
		meta := map[string]string{"0.0": "", "2.0": "KVCache"}
		meta[c.key] = c.value
		if c.value == "" {
			delete(meta, c.key)
		}
		bad := filepath.Join(dir, "bad.safetensors")
		if err := safetensors.Write(bad, good.Tensors(), meta); err != nil {
			t.Fatal(err)
		}
		if _, err := cache.OpenFile(bad); err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), bad) {
			t.Errorf("%v: %v", c, err)
		}
	}
	file, err := cache.OpenFile(path)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	other := slices.Clone(f.layout)
	other[0].Heads = 3
	for _, c := range []struct {
		layout []cache.Layout
		d      mlx.DType
		want   string
	}{
		{append(f.layout, f.layout...), mlx.Float32, "a model with 1 layers"},
		{other, mlx.Float32, "the model has 3 key heads"},
		{f.layout, mlx.BFloat16, "is of float32"},
	} {
		if _, err := file.Load(c.layout, c.d); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v", c.want, err)
		}
	}
	if err := cache.New(f.layout, 1, mlx.Float32).Save(path, nil); err == nil {
		t.Error("an empty cache was saved")
	}
}

// TestKindCheck: what cannot be is refused in a sentence.
func TestKindCheck(t *testing.T) {
	layout := []cache.Layout{{Heads: 1, KeyDim: 64, ValueDim: 96}}
	for _, c := range []struct {
		kind cache.Kind
		want string
	}{
		{cache.Kind{MaxSize: 4, Keep: 4}, "no room"},
		{cache.Kind{MaxSize: -1}, "not possible"},
		{cache.Kind{Bits: 7, Group: 64}, "7 bits"},
		{cache.Kind{Bits: 8, Group: 48}, "group size 48"},
		{cache.Kind{Bits: 8, Group: 64}, "the head size of layer 0 is 96"},
	} {
		if err := c.kind.Check(layout); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.kind, err)
		}
	}
	if cache.GroupFor(layout) != 32 || cache.GroupFor(layout[:0]) != 64 {
		t.Error("group sizes")
	}
	if !cache.Rotating(9).Same(cache.Kind{MaxSize: 9, Keep: 4}, layout) || cache.Rotating(9).Same(cache.Kind{}, layout) {
		t.Error("kinds compare wrongly")
	}
}
