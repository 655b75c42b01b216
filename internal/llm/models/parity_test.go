package models_test

import (
	"context"
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// supported are the model types that parity directories are tested for.
var supported = setOf("llama", "mistral", "qwen2", "qwen3",
	"cohere2", "ernie4_5", "exaone4", "gemma", "gemma2", "gemma3_text", "glm4", "gpt2", "gpt_neox", "granite", "olmo2",
	"phi3", "smollm3", "stablelm", "starcoder2")

// TestTested: a model type says that it is tested if it is held against recorded
// references, not by our own decoder in float64 alone.
func TestTested(t *testing.T) {
	for _, kind := range models.Types() {
		c := llmtest.Tiny(kind)
		if change := families[kind]; change != nil {
			change(newRand(1), c)
		}
		if kind == "gemma3n" {
			gemma3n(newRand(1), c)
		}
		if setOf("gemma3", "gemma3n", "gemma4", "gemma4_unified", "llava", "mistral3", "pixtral", "qwen2_vl", "qwen2_5_vl", "qwen3_vl")[kind] {
			c = llmtest.Config{"model_type": kind, "text_config": c.With(llmtest.Config{"model_type": nil})}
		}
		m, err := models.New(kind, []byte(describe(c)))
		if err != nil {
			t.Errorf("%s: %v", kind, err)
		} else if got := m.Info().Tested; got != supported[kind] {
			t.Errorf("%s says that it is tested: %v", kind, got)
		}
	}
}

func setOf(names ...string) map[string]bool {
	out := map[string]bool{}
	for _, n := range names {
		out[n] = true
	}
	return out
}

func load(t testing.TB, dir string) *llm.Loaded {
	t.Helper()
	f32 := mlx.Float32
	m, err := llm.Load(dir, llm.LoadOptions{New: models.New, DType: &f32})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// greedy collects n tokens without stopping at EOS.
func greedy(t testing.TB, m *llm.Loaded, prompt []int, o llm.Options) (ids []int, text string) {
	t.Helper()
	g, err := llm.Generate(m, prompt, o)
	if err != nil {
		t.Fatal(err)
	}
	for tok, err := range g.Tokens(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		if tok.ID >= 0 {
			ids = append(ids, tok.ID)
		}
		text += tok.Text
	}
	return ids, text
}

func ints(a *mlx.Array) (out []int) {
	for _, x := range mlx.ToSlice[int32](a) {
		out = append(out, int(x))
	}
	return out
}

// recordings are directories of recorded models, with what their logits may be off.
var recordings = []struct {
	name      string
	tolerance float64
}{{"parity", 2e-3}, {"parity-hf", 2e-3}, {"parity-quantized", 4e-3}}

// TestParity compares logits and greedy tokens with what mlx-lm and transformers
// computed: recorded directories beside the project, a few in testdata.
func TestParity(t *testing.T) {
	for _, kind := range recordings {
		t.Run(kind.name, func(t *testing.T) {
			n := 0
			for _, root := range parityRoots(kind.name) {
				for _, dir := range recordedModels(root) {
					n++
					t.Run(filepath.Base(dir), func(t *testing.T) { parity(t, dir, kind.tolerance) })
				}
			}
			if n == 0 {
				t.Skip("no recorded models")
			}
		})
	}
}

// recordedModels are the directories in root of models that are supported.
func recordedModels(root string) (dirs []string) {
	entries, _ := os.ReadDir(root)
	for _, e := range entries {
		if dir := filepath.Join(root, e.Name()); supported[modelType(dir)] {
			dirs = append(dirs, dir)
		}
	}
	return dirs
}

func modelType(dir string) string {
	raw, err := os.ReadFile(filepath.Join(dir, "config.json"))
	if err != nil {
		return ""
	}
	return llm.ModelType(raw)
}

func parity(t *testing.T, dir string, tolerance float64) {
	ref := llmtest.Arrays(t, filepath.Join(dir, "ref.safetensors"))
	m := load(t, dir)
	ids := ints(ref["input_ids"])
	logits, err := m.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	got, want := mlx.ToSlice[float32](logits), mlx.ToSlice[float32](ref["logits"])
	if len(got) != len(want) {
		t.Fatalf("%d logits, not %d", len(got), len(want))
	}
	largest, worst, at := 0.0, 0.0, 0
	for i := range want {
		largest = math.Max(largest, math.Abs(float64(want[i])))
		if d := math.Abs(float64(got[i] - want[i])); !(d <= worst) {
			worst, at = d, i
		}
	}
	if limit := tolerance * math.Max(1, largest/8); !(worst <= limit) {
		t.Errorf("logit %d is %v, not %v: off by %g, allowed %g", at, got[at], want[at], worst, limit)
	}
	tokens, gaps := ints(ref["greedy"]), mlx.ToSlice[float32](ref["greedy_gap"])
	for _, o := range []llm.Options{{}, {PrefillStep: 5}, {Eager: true}} {
		o.MaxTokens, o.IgnoreEOS = len(tokens), true
		out, _ := greedy(t, m, ids, o)
		for i, want := range tokens {
			if gaps[i] <= 5e-3 {
				break // from here on the texts may differ
			}
			if i >= len(out) || out[i] != want {
				t.Fatalf("options %+v: token %d of %v, not %d (gap %g)", o, i, out, want, gaps[i])
			}
		}
	}
}
