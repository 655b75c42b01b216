// Package llmtest makes small models for tests: random ones of any configuration,
// and ones that say a chosen sequence of tokens. It finds recorded references in
// ../shared; it is imported by tests only.
package llmtest

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

// Config is a config.json.
type Config map[string]any

// Tiny is a small configuration of a llama-shaped model_type.
func Tiny(modelType string) Config {
	return Config{
		"model_type": modelType, "vocab_size": 96, "hidden_size": 64, "intermediate_size": 96,
		"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16,
		"max_position_embeddings": 4096, "rms_norm_eps": 1e-5, "rope_theta": 10000.0,
		"tie_word_embeddings": false, "eos_token_id": 2, "bos_token_id": 1,
	}
}

// With is a copy of c with other values; a nil value removes the key.
func (c Config) With(changes Config) Config {
	out := Config{}
	for k, v := range c {
		out[k] = v
	}
	for k, v := range changes {
		if v == nil {
			delete(out, k)
		} else {
			out[k] = v
		}
	}
	return out
}

// Random is the weights of a configuration, normal with deviation 0.05 by seed;
// norms are about 1.
func Random(t testing.TB, c Config, seed uint64, d mlx.DType) []safetensors.Tensor {
	t.Helper()
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	m, err := models.New(c["model_type"].(string), raw)
	if err != nil {
		t.Fatal(err)
	}
	tied, _ := c["tie_word_embeddings"].(bool)
	drop := m.Sanitize(func(name string) bool { return !(tied && name == "lm_head.weight") })
	rng := rand.New(rand.NewPCG(seed, 7))
	var out []safetensors.Tensor
	for path, a := range nn.Parameters(m) {
		if drop(path) {
			continue
		}
		v := make([]float32, a.Size())
		for i := range v {
			v[i] = float32(rng.NormFloat64() * 0.05)
			if a.NDim() == 1 && filepath.Ext(path) == ".weight" {
				v[i]++
			}
		}
		out = append(out, Tensor(path, v, d, a.Shape()...))
	}
	return out
}

// Tensor is float32 values in dtype d.
func Tensor(name string, v []float32, d mlx.DType, shape ...int) safetensors.Tensor {
	data := make([]byte, 0, len(v)*d.Size())
	for _, x := range v {
		switch d {
		case mlx.BFloat16:
			h := dtype.F32ToBF16(x)
			data = append(data, byte(h), byte(h>>8))
		case mlx.Float16:
			h := dtype.F32ToF16(x)
			data = append(data, byte(h), byte(h>>8))
		default:
			u := math.Float32bits(x)
			data = append(data, byte(u), byte(u>>8), byte(u>>16), byte(u>>24))
		}
	}
	return safetensors.Tensor{Name: name, DType: d, Shape: shape, Data: data}
}

// Says is a llama that says ids one after the other, greedily, with a gap of 22.6:
// an identity embedding and a head that maps each id to the next. Ids differ and
// are below 512; size is the vocabulary and width.
func Says(ids ...int) (Config, []safetensors.Tensor) {
	const n, inner = 512, 64
	c := Config{
		"model_type": "llama", "vocab_size": n, "hidden_size": n, "intermediate_size": inner, "num_hidden_layers": 1,
		"num_attention_heads": 8, "num_key_value_heads": 8, "max_position_embeddings": 512, "rms_norm_eps": 1e-5,
		"rope_theta": 10000.0, "tie_word_embeddings": false, "eos_token_id": 2, "bos_token_id": 1,
	}
	eye, head := make([]float32, n*n), make([]float32, n*n)
	ones := make([]float32, n)
	for i := range n {
		eye[i*n+i], ones[i] = 1, 1
	}
	for i := range len(ids) - 1 {
		head[ids[i+1]*n+ids[i]] = 1
	}
	head[2*n+ids[len(ids)-1]] = 1
	zero := func(name string, rows, cols int) safetensors.Tensor {
		return Tensor("model.layers.0."+name+".weight", make([]float32, rows*cols), mlx.Float32, rows, cols)
	}
	f := mlx.Float32
	return c, []safetensors.Tensor{
		Tensor("model.embed_tokens.weight", eye, f, n, n), Tensor("lm_head.weight", head, f, n, n),
		Tensor("model.norm.weight", ones, f, n),
		Tensor("model.layers.0.input_layernorm.weight", ones, f, n),
		Tensor("model.layers.0.post_attention_layernorm.weight", ones, f, n),
		zero("self_attn.q_proj", n, n), zero("self_attn.k_proj", n, n), zero("self_attn.v_proj", n, n), zero("self_attn.o_proj", n, n),
		zero("mlp.gate_proj", inner, n), zero("mlp.up_proj", inner, n), zero("mlp.down_proj", n, inner),
	}
}

// Write makes a model directory of a configuration and weights.
func Write(t testing.TB, c Config, tensors []safetensors.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	WriteJSON(t, dir, "config.json", c)
	if err := safetensors.Write(filepath.Join(dir, "model.safetensors"), tensors, map[string]string{"format": "pt"}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// WriteJSON writes v as a file of dir.
func WriteJSON(t testing.TB, dir, name string, v any) {
	t.Helper()
	raw, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, name), raw, 0o666); err != nil {
		t.Fatal(err)
	}
}

// Shared is a path below the recorded references; the test is skipped where they
// are not: $MLX_SHARED, else ../shared beside the project.
func Shared(t testing.TB, elem ...string) string {
	t.Helper()
	root := os.Getenv("MLX_SHARED")
	if root == "" {
		dir, err := os.Getwd()
		for err == nil {
			if _, e := os.Stat(filepath.Join(dir, "go.mod")); e == nil {
				break
			}
			if dir == filepath.Dir(dir) {
				break
			}
			dir = filepath.Dir(dir)
		}
		root = filepath.Join(dir, "..", "shared")
	}
	path := filepath.Join(append([]string{root}, elem...)...)
	if _, err := os.Stat(path); err != nil {
		t.Skipf("recorded references are not here: %v", err)
	}
	return path
}

// Arrays reads a safetensors file of references.
func Arrays(t testing.TB, path string) map[string]*mlx.Array {
	t.Helper()
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	out := map[string]*mlx.Array{}
	for _, x := range f.Tensors() {
		out[x.Name] = mlx.FromBytes(x.Data, x.Shape, x.DType)
	}
	return out
}
