package cache_test

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

// fileOf is a file of mlx-lm with the given positions of keys and values in each layer,
// its class and its state.
type fileOf struct {
	class string
	held  []int32
	state []int
}

func writeFile(t *testing.T, k, v *mlx.Array, layers ...fileOf) string {
	t.Helper()
	meta := map[string]string{"1.model": "m", "1.tokenizer_config": "{}"}
	var tensors []safetensors.Tensor
	for i, l := range layers {
		meta[fmt.Sprintf("2.%d", i)] = l.class
		for j, x := range l.state {
			meta[fmt.Sprintf("0.%d.%d", i, j)] = fmt.Sprint(x)
		}
		if l.state == nil {
			meta[fmt.Sprintf("0.%d", i)] = ""
		}
		for j, a := range []*mlx.Array{k, v} {
			rows := mlx.Take(a, mlx.FromSlice(l.held), mlx.Axis(2))
			var data []byte
			for _, x := range mlx.ToSlice[float32](rows) {
				u := math.Float32bits(x)
				data = append(data, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
			}
			tensors = append(tensors, safetensors.Tensor{Name: fmt.Sprintf("%d.%d", i, j), DType: mlx.Float32, Shape: rows.Shape(), Data: data})
		}
	}
	path := filepath.Join(t.TempDir(), "cache.safetensors")
	if err := safetensors.Write(path, tensors, meta); err != nil {
		t.Fatal(err)
	}
	return path
}

func positions(from, to int) (out []int32) {
	for p := from; p < to; p++ {
		out = append(out, int32(p))
	}
	return out
}

// TestMixedFiles: files of models that have windows in some layers, as mlx-lm leaves them
// after a prompt, after single tokens, and where it ignores the windows.
func TestMixedFiles(t *testing.T) {
	const w, n, more = 12, 40, 30
	layout := []cache.Layout{{Heads: 2, KeyDim: 32, ValueDim: 32, Window: w}, {Heads: 2, KeyDim: 32, ValueDim: 32}}
	size := testHeads * (n + more) * testDim
	k, v := wave(1, size, 1, testHeads, n+more, testDim), wave(2, size, 1, testHeads, n+more, testDim)
	q := wave(3, 2*size, 1, 2*testHeads, n+more, testDim)
	run := func(c *cache.Cache, n int) []float32 {
		t.Helper()
		at := c.Len()
		if err := c.Reserve(n); err != nil {
			t.Fatal(err)
		}
		kv, after := c.Layers(at + n)
		var out []*mlx.Array
		for _, l := range kv {
			out = append(out, l.Attend(part(q, at, at+n), part(k, at, at+n), part(v, at, at+n), 0.5))
		}
		c.SetArrays(after())
		if err := mlx.Eval(out, c.Arrays()); err != nil {
			t.Fatal(err)
		}
		c.Advance(n)
		return append(mlx.ToSlice[float32](out[0]), mlx.ToSlice[float32](out[1])...)
	}
	turned := append(positions(36, 40), positions(28, 36)...) // next is row 4
	all := fileOf{"KVCache", positions(0, n), nil}
	for name, path := range map[string]string{
		"after a prompt":         writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w-7, n), []int{0, w, n, w + 7}}, all),
		"after single tokens":    writeFile(t, k, v, fileOf{"RotatingKVCache", turned, []int{0, w, n, 4}}, all),
		"the least":              writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w+1, n), []int{0, w, n, w - 1}}, all),
		"without the window":     writeFile(t, k, v, all, all),
		"all, though it rotates": writeFile(t, k, v, fileOf{"RotatingKVCache", positions(0, n), []int{0, w, n, n}}, all),
	} {
		want := cache.New(layout, 1, mlx.Float32)
		run(want, n)
		c := loaded(t, path, layout)
		if c.Len() != n || c.Single() != 0 {
			t.Fatalf("%s: %d positions, %d alone", name, c.Len(), c.Single())
		}
		for _, m := range []int{5, 1, 1, 20} {
			if !slices.Equal(run(c, m), run(want, m)) {
				t.Fatalf("%s: other bits", name)
			}
		}
	}
	for want, path := range map[string]string{
		"keeps 0 positions and a window of 13":                      writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-13, n), []int{0, 13, n, 13}}, all),
		"keeps 4 positions and a window of 12":                      writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w, n), []int{4, w, n, w}}, all),
		"layer 1 keeps all positions":                               writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-9, n), []int{0, 9, n, 9}}, all),
		"layer 0 has 10 rows for 40 positions":                      writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w+2, n), []int{0, w, n, w - 2}}, all),
		"layer 0 has room for 4 positions and keeps 4":              writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w, n), []int{4, 4, n, w}}, all),
		"layer 1 has 40 positions, and layer 0 has 39":              writeFile(t, k, v, fileOf{"RotatingKVCache", positions(n-w, n), []int{0, w, n - 1, w}}, all),
		"is the cache of a model with 1 layers, and this one has 2": writeFile(t, k, v, all),
	} {
		file, err := cache.OpenFile(path)
		if err == nil {
			_, err = file.Load(layout, mlx.Float32)
			file.Close()
		}
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}
