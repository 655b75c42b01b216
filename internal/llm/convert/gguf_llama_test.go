package convert_test

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// peer is llama.cpp at work: a program of scripts/check-gguf in a directory with the
// package node-llama-cpp.
type peer struct {
	in  *json.Encoder
	out *json.Decoder
}

func newPeer(t *testing.T) *peer {
	t.Helper()
	dir := os.Getenv("MLX_NODE_LLAMA_CPP")
	if dir == "" {
		t.Skip("llama.cpp is not here: run scripts/check-gguf.sh")
	}
	script, err := filepath.Abs("../../../scripts/check-gguf/generate.mjs")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", script)
	cmd.Dir, cmd.Stderr = dir, os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("node: %v", err)
		}
	})
	return &peer{json.NewEncoder(in), json.NewDecoder(out)}
}

// run is llama.cpp's ids and greedy tokens of each prompt.
func (p *peer) run(t *testing.T, path string, prompts []string, tokens int) (out []struct{ IDs, Out []int }) {
	t.Helper()
	if err := p.in.Encode(map[string]any{"model": path, "prompts": prompts, "tokens": tokens}); err != nil {
		t.Fatal(err)
	}
	if err := p.out.Decode(&out); err != nil || len(out) != len(prompts) {
		t.Fatalf("llama.cpp answered %v (%v)", out, err)
	}
	return out
}

// llama.cpp reads what is written: it has the same ids of texts, and generates the same
// tokens as this program does from the same file.
func TestLlamaCpp(t *testing.T) {
	p := newPeer(t)
	source, err := builtin.Source()
	if err != nil {
		t.Fatal(err)
	}
	text, err := source.Read("tokenizer.json")
	if err != nil {
		t.Fatal(err)
	}
	sources := map[string]weights.Source{"the built-in model": source}
	llama3 := map[string]any{"rope_type": "llama3", "factor": 8., "low_freq_factor": 1., "high_freq_factor": 4., "original_max_position_embeddings": 64}
	for name, c := range map[string]map[string]any{
		"random llama":              {"model_type": "llama", "tie_word_embeddings": true},
		"random llama, biases":      {"model_type": "llama", "attention_bias": true},
		"random llama, llama3 rope": {"model_type": "llama", "rope_scaling": llama3},
		"random llama, linear rope": {"model_type": "llama", "rope_scaling": map[string]any{"type": "linear", "factor": 4}},
		"random qwen2":              {"model_type": "qwen2"},
		"random qwen3":              {"model_type": "qwen3"},
	} {
		c["vocab_size"] = 2048
		sources[name] = random(t, c, map[string]string{"tokenizer.json": string(text)})
	}
	for _, name := range []string{"stories260k", "story-10m"} {
		t.Run(name, func(t *testing.T) {
			withLlamaCpp(t, p, name, sourceOf(t, llmtest.Shared(t, "models", name)), convert.GGUFTypes())
		})
	}
	for name, size := range map[string]int{"qwen2.5": 151936, "llama3": 128256, "gpt2": 50257, "smollm2": 49152, "llama2-tinyllama": 32000} {
		t.Run("tokenizer "+name, func(t *testing.T) {
			text, err := os.ReadFile(llmtest.Shared(t, "tokenizers", name, "tokenizer.json"))
			if err != nil {
				t.Fatal(err)
			}
			c := map[string]any{"model_type": "llama", "vocab_size": size}
			withLlamaCpp(t, p, "tokenizer "+name, random(t, c, map[string]string{"tokenizer.json": string(text)}), []string{"f16"})
		})
	}
	for name, source := range sources {
		kinds := []string{"f32"}
		if name == "the built-in model" {
			kinds = convert.GGUFTypes()
		}
		t.Run(name, func(t *testing.T) { withLlamaCpp(t, p, name, source, kinds) })
	}
}

// rounding is by how much logits may differ where tokens part: llama.cpp rounds the
// activations to bfloat16, or to 8 bits, before products with such matrices, and this
// program does not. The numbers of the matrices are the same.
var rounding = map[string]float64{"f32": 0, "f16": 0, "bf16": 0.1, "q8_0": 0.1, "q4_0": 0.1}

// withLlamaCpp writes a model as each kind and compares.
func withLlamaCpp(t *testing.T, p *peer, name string, source weights.Source, kinds []string) {
	float32s := mlx.Float32
	prompts := []string{"Once upon a time", " two  spaces, Grüße 😀\n\nand 12345", "The little dog", "don't WE'LL\t12345 1 000,5\r\n\r\n  \n x=[y]; // no_op\n"}
	for _, kind := range kinds {
		path := filepath.Join(t.TempDir(), "m.gguf")
		if err := convert.WriteGGUF(t.Context(), source, path, convert.GGUFOptions{Type: kind}); err != nil {
			t.Fatalf("%s as %s: %v", name, kind, err)
		}
		m, err := llm.Load(path, llm.LoadOptions{New: models.New, ExactActivations: true, DType: &float32s})
		if err != nil {
			t.Fatalf("%s as %s: %v", name, kind, err)
		}
		const tokens = 48
		for i, theirs := range p.run(t, path, prompts, tokens) {
			ids := m.Tokenizer.Encode(prompts[i], true)
			if !slices.Equal(ids, theirs.IDs) {
				t.Errorf("%s as %s: %q is %v, and for llama.cpp %v", name, kind, prompts[i], ids, theirs.IDs)
				continue
			}
			var own []int
			g, err := llm.Generate(m, ids, llm.Options{MaxTokens: tokens, EOS: m.Config.EOS})
			if err != nil {
				t.Fatal(err)
			}
			for token, err := range g.Tokens(t.Context()) {
				if err != nil {
					t.Fatal(err)
				}
				if token.ID >= 0 && !slices.Contains(m.Config.EOS, token.ID) {
					own = append(own, token.ID)
				}
			}
			agree := 0
			for agree < len(own) && agree < len(theirs.Out) && own[agree] == theirs.Out[agree] {
				agree++
			}
			if agree == len(own) && agree == len(theirs.Out) {
				fmt.Printf("%-26s %-5s %-38q all %d tokens are llama.cpp's\n", name, kind, prompts[i], agree)
				continue
			}
			gap := math.Inf(1)
			if agree < len(own) && agree < len(theirs.Out) {
				logits, err := m.Logits(slices.Concat(ids, own[:agree]))
				if err != nil {
					t.Fatal(err)
				}
				rows := mlx.ToRows[float32](logits)
				last := rows[len(rows)-1]
				gap = float64(last[own[agree]] - last[theirs.Out[agree]])
			}
			fmt.Printf("%-26s %-5s %-38q %d of %d tokens are llama.cpp's, then it takes one whose logit here is lower by %.3f\n", name, kind, prompts[i], agree, len(own), gap)
			if gap > rounding[kind] {
				t.Errorf("%s as %s: %q continues with %v, and in llama.cpp with %v", name, kind, prompts[i], own, theirs.Out)
			}
		}
	}
}
