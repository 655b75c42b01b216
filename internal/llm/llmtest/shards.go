package llmtest

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

// WriteShards writes a model of bfloat16 weights into dir, normal with deviation 0.05 by
// seed, in shards of at most limit bytes with an index. With a "quantization" of c, a
// Config, matrices are packed, and their bits those of such numbers. No more than a
// shard's header and a few kilobytes are in memory.
func WriteShards(t testing.TB, dir string, c Config, seed uint64, limit int64) {
	t.Helper()
	WriteJSON(t, dir, "config.json", c)
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.New(c["model_type"].(string), raw)
	if err != nil {
		t.Fatal(err)
	}
	tied, _ := c["tie_word_embeddings"].(bool)
	m.Sanitize(func(name string) bool { return !(tied && name == "lm_head.weight") })
	var shards [][]safetensors.Tensor
	var filled int64
	for path, a := range nn.Parameters(m) {
		for _, x := range stored(c, path, a.Shape()) {
			if len(shards) == 0 || filled+x.Size() > limit && filled > 0 {
				shards, filled = append(shards, nil), 0
			}
			shards[len(shards)-1] = append(shards[len(shards)-1], x)
			filled += x.Size()
		}
	}
	values := normals()
	index := map[string]string{}
	for i, tensors := range shards {
		name := fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, len(shards))
		rng := rand.New(rand.NewPCG(seed, uint64(i)))
		err := safetensors.WriteFunc(filepath.Join(dir, name), tensors, map[string]string{"format": "pt"}, false, func(x safetensors.Tensor, w io.Writer) error {
			index[x.Name] = name
			return writeNormals(w, x.Size(), values, rng)
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	WriteJSON(t, dir, safetensors.IndexName, map[string]any{"metadata": map[string]any{}, "weight_map": index})
	if len(shards) == 1 { // the name without an index's help
		if err := os.Remove(filepath.Join(dir, safetensors.IndexName)); err != nil {
			t.Fatal(err)
		}
	}
}

// stored are the tensors of a parameter.
func stored(c Config, path string, shape mlx.Shape) []safetensors.Tensor {
	q, _ := c["quantization"].(Config)
	layer, isWeight := strings.CutSuffix(path, ".weight")
	if q == nil || !isWeight || len(shape) != 2 {
		return []safetensors.Tensor{{Name: path, DType: mlx.BFloat16, Shape: shape}}
	}
	rows, columns := shape[0], shape[1]
	groups := mlx.Shape{rows, columns / q["group_size"].(int)}
	return []safetensors.Tensor{
		{Name: path, DType: mlx.Uint32, Shape: mlx.Shape{rows, columns * q["bits"].(int) / 32}},
		{Name: layer + ".scales", DType: mlx.BFloat16, Shape: groups},
		{Name: layer + ".biases", DType: mlx.BFloat16, Shape: groups},
	}
}

// normals are bfloat16 numbers that are equally likely, of a normal distribution.
func normals() *[1 << 16]uint16 {
	var out [1 << 16]uint16
	for i := range out {
		p := (float64(i) + 0.5) / float64(len(out))
		out[i] = dtype.F32ToBF16(float32(0.05 * math.Sqrt2 * math.Erfinv(2*p-1)))
	}
	return &out
}

func writeNormals(w io.Writer, size int64, values *[1 << 16]uint16, rng *rand.Rand) error {
	var buf [8192]byte
	for size > 0 {
		n := min(size, int64(len(buf)))
		for i := 0; i+1 < int(n); i += 8 {
			for u, j := rng.Uint64(), 0; j < 8; j += 2 {
				v := values[u&0xffff]
				buf[i+j], buf[i+j+1] = byte(v), byte(v>>8)
				u >>= 16
			}
		}
		if _, err := w.Write(buf[:n]); err != nil {
			return err
		}
		size -= n
	}
	return nil
}
