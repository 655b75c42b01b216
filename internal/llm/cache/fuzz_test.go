package cache_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

// FuzzFile: metadata of any kind, over tensors of rows rows, give a cache that steps or a
// sentence.
func FuzzFile(f *testing.F) {
	for _, state := range []string{
		"2.0 KVCache\n0.0 ",
		"2.0 RotatingKVCache\n0.0.0 4\n0.0.1 16\n0.0.2 10\n0.0.3 10",
		"2.0 RotatingKVCache\n0.0.0 4\n0.0.1 16\n0.0.2 50\n0.0.3 7",
		"2.0 RotatingKVCache\n0.0.0 0\n0.0.1 10\n0.0.2 9223372036854775807\n0.0.3 10",
		"2.0 RotatingKVCache\n0.0.0 0\n0.0.1 1000000000000000\n0.0.2 1000000000000000\n0.0.3 10",
		"2.0 RotatingKVCache\n0.0.0 9223372036854775806\n0.0.1 9223372036854775807\n0.0.2 10\n0.0.3 10",
		"2.0 RotatingKVCache\n0.0.0 0\n0.0.1 0\n0.0.2 10\n0.0.3 10",
		"2.0 QuantizedKVCache\n0.0.0 10\n0.0.1 32\n0.0.2 8",
		"2.0 QuantizedKVCache\n0.0.0 10\n0.0.1 0\n0.0.2 8",
		"2.0 QuantizedRotatingKVCache\n0.0.0 4\n0.0.1 16\n0.0.2 10\n0.0.3 10\n0.0.4 32\n0.0.5 8",
	} {
		f.Add(state, uint8(10), uint8(0))
		f.Add(state, uint8(20), uint8(8))
	}
	const heads, dim = 2, 32
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, text string, rows, window uint8) {
		meta := map[string]string{}
		for line := range strings.Lines(strings.ToValidUTF8(text, "")) {
			key, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), " ")
			meta[key] = value
		}
		var tensors []safetensors.Tensor
		add := func(name string, d mlx.DType, dim int) {
			n := heads * int(rows) * dim * d.Size()
			tensors = append(tensors, safetensors.Tensor{Name: name, DType: d, Shape: mlx.Shape{1, heads, int(rows), dim}, Data: make([]byte, n)})
		}
		for _, name := range []string{"0.0", "0.1"} {
			add(name, mlx.Float32, dim)
			add(name+".0", mlx.Uint32, dim*8/32)
			add(name+".1", mlx.Float32, 1)
			add(name+".2", mlx.Float32, 1)
		}
		path := filepath.Join(dir, "cache.safetensors")
		if err := safetensors.Write(path, tensors, meta); err != nil {
			t.Fatal(err)
		}
		defer os.Remove(path)
		file, err := cache.OpenFile(path)
		if err != nil {
			return
		}
		defer file.Close()
		layout := []cache.Layout{{Heads: heads, KeyDim: dim, ValueDim: dim, Window: int(window)}}
		kind, err := file.Kind(layout)
		if err != nil {
			return
		}
		if kind.Bytes(layout, cache.CapacityFor(file.Len+1), mlx.Float32) > 64<<20 {
			return // the loader has said that there is no memory
		}
		c, err := file.Load(layout, mlx.Float32)
		if err != nil {
			return
		}
		if c.Len() != file.Len || c.Len() < 1 || c.Capacity() < 1 {
			t.Fatalf("%d positions of %d in %d", c.Len(), file.Len, c.Capacity())
		}
		if err := c.Reserve(1); err != nil {
			t.Fatal(err)
		}
		x := mlx.Ones(mlx.Shape{1, heads, 1, dim})
		kv, after := c.Layers(c.Len() + 1)
		y := kv[0].Attend(x, x, x, 1)
		c.SetArrays(after())
		if err := mlx.Eval(y, c.Arrays()); err != nil {
			t.Fatal(err)
		}
	})
}
