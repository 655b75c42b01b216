package models_test

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// TestWrapped: the text part of a model that sees gives the logits of the text model
// alone, by Hugging Face's old and new names and by mlx-lm's, quantized or not.
func TestWrapped(t *testing.T) {
	tokens := tokensOf(30)
	for _, c := range []struct{ outer, inner, declared string }{
		{"gemma3", "gemma3_text", "gemma3_text"}, {"mistral3", "mistral", "mistral"}, {"mistral3", "ministral3", "ministral3"},
		{"qwen2_vl", "qwen2", "qwen2_vl_text"}, {"qwen3_vl", "qwen3", "qwen3_vl_text"},
		{"gemma3n", "gemma3n_text", "gemma3n_text"}, {"llava", "llama", "llama"},
		{"gemma4", "gemma4_text", "gemma4_text"}, {"gemma4_unified", "gemma4_text", "gemma4_text"},
	} {
		base := llmtest.Tiny(c.inner)
		switch c.inner {
		case "gemma3n_text":
			gemma3n(newRand(1), base)
		case "gemma4_text":
			gemma4(newRand(1), base)
		}
		w := llmtest.Random(t, base, 1, mlx.Float32)
		want := logitsOf(t, base, w, tokens)
		outer := llmtest.Config{"model_type": c.outer, "text_config": base.With(llmtest.Config{"model_type": c.declared}), "vision_config": llmtest.Config{"hidden_size": 3}}
		rename := func(f func(name string) string) (out []safetensors.Tensor) {
			for _, x := range w {
				x.Name = f(x.Name)
				out = append(out, x)
			}
			return append(out, llmtest.Tensor("vision_tower.patch.weight", []float32{1}, mlx.Float32, 1),
				llmtest.Tensor("model.visual.patch.weight", []float32{1}, mlx.Float32, 1))
		}
		for name, f := range map[string]func(string) string{
			"old": func(n string) string { return "language_model." + n },
			"new": func(n string) string { return strings.Replace(n, "model.", "model.language_model.", 1) },
		} {
			if got := logitsOf(t, outer, rename(f), tokens); !equalRows(got, want) {
				t.Errorf("%s in %s, %s names: other logits", c.inner, c.outer, name)
			}
		}
	}
	bad := llmtest.Config{"model_type": "mistral3", "text_config": llmtest.Tiny("gpt2")}
	_, err := llm.Load(llmtest.Write(t, bad, nil), llm.LoadOptions{New: models.New})
	if err == nil || !strings.Contains(err.Error(), `model type "gpt2"`) {
		t.Errorf("another text model: %v", err)
	}
}

// TestWrappedQuantized: overrides by the files' names reach the text part.
func TestWrappedQuantized(t *testing.T) {
	base := llmtest.Tiny("qwen3")
	w := llmtest.Random(t, base, 1, mlx.Float32)
	c, packed := quantized(t, newRand(5), base, w, mlx.Scheme{Mode: "affine", Bits: 4, GroupSize: 32}, true)
	want := logitsOf(t, c, packed, tokensOf(20))
	block, _ := c["quantization"].(llmtest.Config)
	if block == nil {
		block = c["quantization_config"].(llmtest.Config)
	}
	outer := llmtest.Config{"model_type": "qwen3_vl", "text_config": base.With(llmtest.Config{"model_type": "qwen3_vl_text"})}
	renamed := llmtest.Config{}
	for key, v := range block {
		if strings.Contains(key, ".") || key == "lm_head" {
			key = "language_model." + key
		}
		renamed[key] = v
	}
	outer["quantization"] = renamed
	for i := range packed {
		packed[i].Name = "language_model." + packed[i].Name
	}
	if got := logitsOf(t, outer, packed, tokensOf(20)); !equalRows(got, want) {
		t.Error("other logits")
	}
}

// TestGemma3nUnused: matrices of keys that no layer uses are no surprise.
func TestGemma3nUnused(t *testing.T) {
	base := llmtest.Tiny("gemma3n_text")
	gemma3n(newRand(1), base)
	base["num_kv_shared_layers"] = 2
	w := llmtest.Random(t, base, 1, mlx.Float32)
	want := logitsOf(t, base, w, tokensOf(9))
	last := "model.layers." + itoa(base["num_hidden_layers"].(int)-1) + ".self_attn."
	for _, name := range []string{"k_proj", "v_proj", "k_norm"} {
		w = append(w, llmtest.Tensor(last+name+".weight", []float32{1}, mlx.Float32, 1))
	}
	if got := logitsOf(t, base, w, tokensOf(9)); !equalRows(got, want) {
		t.Error("other logits")
	}
	w = append(w, llmtest.Tensor("model.layers.0.self_attn.k_proj.bias", []float32{1}, mlx.Float32, 1))
	if _, err := llm.Load(llmtest.Write(t, base, w), llm.LoadOptions{New: models.New}); err == nil {
		t.Error("a matrix too many in a layer that has keys")
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 47)) }

// TestGPT2Names: the names of the oldest checkpoints, with buffers, give the logits of the
// newer names; files with mlx-lm's names have matrices [out, in] and MLPs of the width
// that the tensors have.
func TestGPT2Names(t *testing.T) {
	dir := filepath.Join("testdata", "parity-hf", "gpt2")
	f, err := safetensors.Open(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		t.Fatal(err)
	}
	c := llmtest.Config{}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	tokens := tokensOf(40)
	want := logitsFrom(t, load(t, dir), tokens)
	old := []safetensors.Tensor{llmtest.Tensor("h.0.attn.bias", []float32{1}, mlx.Float32, 1, 1, 1, 1)}
	for _, x := range f.Tensors() {
		x.Name = strings.TrimPrefix(x.Name, "transformer.")
		old = append(old, x)
	}
	if got := logitsOf(t, c, old, tokens); !equalRows(got, want) {
		t.Error("names without a prefix: other logits")
	}
	var native []safetensors.Tensor
	for _, x := range f.Tensors() {
		if strings.Contains(x.Name, ".c_") && len(x.Shape) == 2 {
			a := mlx.FromBytes(x.Data, x.Shape, x.DType).T().AsType(mlx.Float32)
			x = llmtest.Tensor(x.Name, mlx.ToSlice[float32](a), mlx.Float32, a.Shape()...)
		}
		x.Name = strings.Replace(x.Name, "transformer.", "model.", 1)
		native = append(native, x)
	}
	// mlx-lm reads no n_inner, we write what has one: the tensors tell.
	if got := logitsOf(t, c, native, tokens); !equalRows(got, want) {
		t.Error("mlx-lm's names with another width: other logits")
	}
}
