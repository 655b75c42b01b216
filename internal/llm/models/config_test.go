package models_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

func tokensOf(n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = 3 + i*7%90
	}
	return out
}

func logitsOf(t testing.TB, c llmtest.Config, w []safetensors.Tensor, tokens []int) [][]float32 {
	t.Helper()
	a, err := load(t, llmtest.Write(t, c, w)).Logits(tokens)
	if err != nil {
		t.Fatal(err)
	}
	return mlx.ToRows[float32](a)
}

func equalRows(a, b [][]float32) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

// TestConfigForms: what a config says in another form, or leaves to the default,
// changes no bit.
func TestConfigForms(t *testing.T) {
	base := llmtest.Tiny("llama")
	w := llmtest.Random(t, base, 1, mlx.Float32)
	tokens := tokensOf(200)
	want := logitsOf(t, base, w, tokens)
	for name, change := range map[string]llmtest.Config{
		"head_dim derived":     {"head_dim": nil},
		"theta default":        {"rope_theta": nil},
		"floats":               {"hidden_size": 64.0, "rope_theta": 1e4},
		"new rope":             {"rope_theta": nil, "rope_parameters": map[string]any{"rope_theta": 1e4, "rope_type": "default"}},
		"null scaling":         {"rope_scaling": nil},
		"null eos":             {"eos_token_id": []int(nil)},
		"unknown keys":         {"frobnicate": map[string]any{"a": 1}},
		"default written":      {"attention_bias": false, "mlp_bias": false, "hidden_act": "silu"},
		"full layer types":     {"layer_types": []string{"full_attention", "full_attention"}, "sliding_window": 4},
		"rope per layer type":  {"rope_theta": nil, "rope_parameters": map[string]any{"full_attention": map[string]any{"rope_theta": 1e4, "rope_type": "default"}}},
		"tie flag left out":    {"tie_word_embeddings": nil},
		"dtype of two spells":  {"dtype": "bfloat16", "torch_dtype": "float16"},
		"torch_dtype prefixed": {"torch_dtype": "torch.bfloat16"},
	} {
		if got := logitsOf(t, base.With(change), w, tokens); !equalRows(got, want) {
			t.Errorf("%s: other logits", name)
		}
	}
	old := base.With(llmtest.Config{"rope_scaling": map[string]any{"type": "linear", "factor": 4.0}})
	now := base.With(llmtest.Config{"rope_theta": nil, "rope_parameters": map[string]any{"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}})
	a, b := logitsOf(t, old, w, tokens), logitsOf(t, now, w, tokens)
	if !equalRows(a, b) || equalRows(a, want) {
		t.Error("rope_scaling and rope_parameters differ, or have no effect")
	}
}

// TestTied: B044. The flag decides; without it the presence of a head does.
func TestTied(t *testing.T) {
	tied := llmtest.Tiny("llama").With(llmtest.Config{"tie_word_embeddings": true})
	w := llmtest.Random(t, tied, 2, mlx.Float32)
	tokens := tokensOf(9)
	want := logitsOf(t, tied, w, tokens)
	var embedding safetensors.Tensor
	for _, x := range w {
		if x.Name == "model.embed_tokens.weight" {
			embedding = x
		}
	}
	head := embedding
	head.Name = "lm_head.weight"
	with := append(append([]safetensors.Tensor{}, w...), head)
	if !equalRows(logitsOf(t, tied, with, tokens), want) {
		t.Error("an identical head changes the logits")
	}
	if !equalRows(logitsOf(t, tied.With(llmtest.Config{"tie_word_embeddings": nil}), w, tokens), want) {
		t.Error("without a flag and a head the embedding is the head")
	}
	other := llmtest.Tensor("lm_head.weight", make([]float32, 96*64), mlx.Float32, 96, 64)
	with[len(with)-1] = other
	m := load(t, llmtest.Write(t, tied, with))
	if len(m.Warnings) != 1 || !strings.Contains(m.Warnings[0], "lm_head.weight differs") {
		t.Errorf("warnings %q", m.Warnings)
	}
	untied := tied.With(llmtest.Config{"tie_word_embeddings": false})
	if equalRows(logitsOf(t, untied, with, tokens), want) {
		t.Error("an untied head is not used")
	}
	_, err := llm.Load(llmtest.Write(t, untied, w), llm.LoadOptions{New: models.New})
	if err == nil || !strings.Contains(err.Error(), "tie_word_embeddings is false") || !strings.Contains(err.Error(), "missing tensor lm_head.weight") {
		t.Errorf("untied without a head: %v", err)
	}
}

// TestWindow: B027. A query sees itself and the w-1 tokens before it: with one
// layer a change of token 0 reaches positions below w and no other, all at once and
// one by one.
func TestWindow(t *testing.T) {
	for _, kind := range []struct {
		modelType string
		extra     llmtest.Config
	}{
		{"mistral", nil},
		{"qwen2", llmtest.Config{"use_sliding_window": true, "max_window_layers": 0}},
		{"qwen3", llmtest.Config{"use_sliding_window": true, "layer_types": []string{"sliding_attention"}}},
		{"llama", llmtest.Config{"layer_types": []string{"sliding_attention"}}},
	} {
		for _, w := range []int{1, 4, 8, 16} {
			if testing.Short() && w != 4 {
				continue
			}
			c := llmtest.Tiny(kind.modelType).With(llmtest.Config{"num_hidden_layers": 1, "sliding_window": w}).With(kind.extra)
			weights := llmtest.Random(t, c, 3, mlx.Float32)
			m := load(t, llmtest.Write(t, c, weights))
			for _, n := range []int{max(w-1, 1), w, w + 1, 2 * w} {
				a, b := tokensOf(n), tokensOf(n)
				b[0]++
				x, y := logitsFrom(t, m, a), logitsFrom(t, m, b)
				for i := range n {
					if differ := fmt.Sprint(x[i]) != fmt.Sprint(y[i]); differ != (i < w) {
						t.Errorf("%s window %d: position %d of %d differs: %v", kind.modelType, w, i, n, differ)
					}
				}
			}
		}
	}
}

func logitsFrom(t testing.TB, m *llm.Loaded, tokens []int) [][]float32 {
	t.Helper()
	a, err := m.Logits(tokens)
	if err != nil {
		t.Fatal(err)
	}
	return mlx.ToRows[float32](a)
}

// TestConfigErrors: one sentence that names the key.
func TestConfigErrors(t *testing.T) {
	base := llmtest.Tiny("llama")
	for _, c := range []struct {
		change llmtest.Config
		want   string
	}{
		{llmtest.Config{"model_type": "frobnicate"}, "the known ones are afm7, apertus, arcee, bitnet, cohere"},
		{llmtest.Config{"num_hidden_layers": 1 << 30}, "num_hidden_layers"},
		{llmtest.Config{"num_hidden_layers": 2.5}, "config.json: num_hidden_layers is a JSON number 2.5, not a whole number"},
		{llmtest.Config{"hidden_size": "64"}, "config.json: hidden_size is a JSON string, not a whole number"},
		{llmtest.Config{"model_type": 5}, "config.json: model_type is a JSON number, not a string"},
		{llmtest.Config{"rms_norm_eps": "x"}, "config.json: rms_norm_eps is a JSON string, not a number"},
		{llmtest.Config{"rope_scaling": []int{1}}, "config.json: rope_scaling is a JSON array, not an object"},
		{llmtest.Config{"rope_parameters": 5}, "config.json: rope_parameters: a JSON number stands where an object belongs"},
		{llmtest.Config{"quantization": 5}, "config.json: quantization: a JSON number stands where an object belongs"},
		{llmtest.Config{"quantization": map[string]any{"bits": "4"}}, "config.json: quantization: bits is a JSON string, not a whole number"},
		{llmtest.Config{"layer_types": []string{"full_attention", "chunked_attention"}}, `layer type "chunked_attention" is not supported`},
		{llmtest.Config{"num_attention_heads": 0}, "num_attention_heads"},
		{llmtest.Config{"num_attention_heads": 3}, "num_key_value_heads"},
		{llmtest.Config{"hidden_size": -1}, "hidden_size"},
		{llmtest.Config{"hidden_act": "snake"}, `hidden_act "snake"`},
		{llmtest.Config{"rope_scaling": map[string]any{"rope_type": "spiral"}}, `rope type "spiral"`},
		{llmtest.Config{"rope_scaling": map[string]any{"rope_type": "llama3", "factor": 8.0}}, "low_freq_factor"},
		{llmtest.Config{"rope_scaling": map[string]any{"rope_type": "linear"}}, "factor"},
		{llmtest.Config{"rope_theta": -3.0}, "rope_theta"},
		{llmtest.Config{"layer_types": []string{"full_attention"}}, "layer_types"},
		{llmtest.Config{"num_attention_heads": 8}, "has shape (64, 64), not (128, 64)"},
		{llmtest.Config{"intermediate_size": 128}, "gate_proj"},
		{llmtest.Config{"num_hidden_layers": 3}, "missing tensors"},
		{llmtest.Config{"num_hidden_layers": 1}, "unexpected tensors"},
		{llmtest.Config{"attention_bias": true}, "missing tensors"},
		{llmtest.Config{"quantization": map[string]any{"bits": 7, "group_size": 64}}, "7 bits"},
		{llmtest.Config{"quantization_config": map[string]any{"quant_method": "hqq"}}, "hqq"},
		{llmtest.Config{"dtype": "int8"}, "int8"},
		{llmtest.Config{"model_type": "gpt2", "n_embd": 0}, "config.json: n_embd is 0, not between"},
		{llmtest.Config{"model_type": "gpt_bigcode"}, "config.json: n_embd is 0"},
		{llmtest.Config{"model_type": "granite", "logits_scaling": 0}, "logits_scaling is 0"},
		{llmtest.Config{"model_type": "smollm3", "no_rope_layers": []int{1}}, "no_rope_layers has 1 entries for 2 layers"},
		{llmtest.Config{"model_type": "exaone4", "sliding_window_pattern": "LLX"}, `"LLX" has other letters`},
		{llmtest.Config{"model_type": "gemma2", "query_pre_attn_scalar": 0}, "query_pre_attn_scalar"},
		{llmtest.Config{"model_type": "gemma3_text", "use_bidirectional_attention": true}, "use_bidirectional_attention"},
		{llmtest.Config{"model_type": "plamo", "n_shared_head": 0}, "n_shared_head"},
		{llmtest.Config{"model_type": "phi3", "rope_scaling": map[string]any{"type": "su"}}, "long_factor"},
		{llmtest.Config{"model_type": "internlm2", "rope_scaling": map[string]any{"type": "dynamic"}}, "factor"},
		{llmtest.Config{"model_type": "mistral3", "text_config": 5}, "config.json: text_config: a JSON number stands where an object belongs"},
	} {
		w := llmtest.Random(t, base, 1, mlx.BFloat16)
		_, err := llm.Load(llmtest.Write(t, base.With(c.change), w), llm.LoadOptions{New: models.New})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %q in it", c.change, err, c.want)
		}
	}
}

// TestRopeKinds: every scaling changes the logits, and decoding one by one gives
// what all at once gives.
func TestRopeKinds(t *testing.T) {
	base := llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 256})
	w := llmtest.Random(t, base, 5, mlx.Float32)
	tokens := tokensOf(80)
	plain := logitsOf(t, base, w, tokens)
	factors := []float64{1, 1.5, 2, 3, 4, 5, 6, 7}
	ones := []float64{1, 1, 1, 1, 1, 1, 1, 1}
	for name, r := range map[string]map[string]any{
		"linear":   {"rope_type": "linear", "factor": 2.0},
		"llama3":   {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16},
		"yarn":     {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 64},
		"longrope": {"rope_type": "longrope", "long_factor": factors, "short_factor": ones, "original_max_position_embeddings": 64},
	} {
		c := base.With(llmtest.Config{"rope_scaling": r})
		dir := llmtest.Write(t, c, w)
		m := load(t, dir)
		got := logitsFrom(t, m, tokens)
		if equalRows(got, plain) {
			t.Errorf("%s has no effect", name)
		}
		a, _ := greedy(t, m, tokens[:50], llm.Options{MaxTokens: 30})
		b, _ := greedy(t, m, tokens[:50], llm.Options{MaxTokens: 30, Eager: true, PrefillStep: 1})
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("%s: %v in one chunk, %v one by one", name, a, b)
		}
		if len(a) != 30 {
			t.Errorf("%s: %d tokens", name, len(a))
		}
	}
}
