package tune_test

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
)

// seeingDir is the directory of a small model that also sees, with the tensors that mlx-lm
// writes.
func seeingDir(t *testing.T) string {
	t.Helper()
	c := llmtest.Tiny("llama")
	tensors := llmtest.Random(t, c, 1, mlx.Float32)
	for i := range tensors {
		tensors[i].Name = "language_model." + tensors[i].Name
	}
	inner := c.With(llmtest.Config{"model_type": "ministral3"})
	return llmtest.Write(t, llmtest.Config{"model_type": "mistral3", "text_config": map[string]any(inner)}, tensors)
}

// TestNamesInFiles: what is trained has mlx-lm's names in files, and is found by these and
// by those inside the model.
func TestNamesInFiles(t *testing.T) {
	const inside, outside = "model.layers.1.self_attn.q_proj.lora_a", "model.embed_tokens.lora_b"
	for name, c := range map[string]struct{ dir, inside, outside, key string }{
		"reads": {baseDir(t, "llama", nil, mlx.Scheme{}), inside, outside, "model.embed_tokens"},
		"sees":  {seeingDir(t), "language_model." + inside, "language_model." + outside, "language_model.model.embed_tokens"},
	} {
		m := load(t, c.dir)
		trained, err := tune.Prepare(m, tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 2, Scale: 1, Keys: []string{"self_attn.q_proj", "model.embed_tokens"}})
		if err != nil {
			t.Fatal(err)
		}
		if want := []string{"self_attn.q_proj", c.key}; !slices.Equal(trained.Keys, want) {
			t.Errorf("%s: keys %q, want %q", name, trained.Keys, want)
		}
		own := maps.Collect(nn.TrainableParameters(m, trained.Filter))
		files := tune.InFiles(m, own)
		if len(own) != 4 || len(files) != 4 || files[c.inside] == nil || files[c.inside] != own[inside] || files[c.outside] == nil || files[c.outside] != own[outside] {
			t.Errorf("%s: %q in files of %q", name, slices.Sorted(maps.Keys(files)), slices.Sorted(maps.Keys(own)))
		}
		for _, spelled := range []map[string]*mlx.Array{own, files} {
			if again, err := tune.InModel(m, spelled); err != nil || !maps.Equal(again, own) {
				t.Errorf("%s: %q of %q: %v", name, slices.Sorted(maps.Keys(again)), slices.Sorted(maps.Keys(spelled)), err)
			}
		}
		again := load(t, c.dir)
		if trained, err := tune.Prepare(again, tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 2, Scale: 1, Keys: []string{c.key}}); err != nil || !slices.Equal(trained.Changed, []string{"model.embed_tokens"}) {
			t.Errorf("%s: %v, %v", name, trained, err)
		}
	}
	both := map[string]*mlx.Array{inside: mlx.Zeros(mlx.Shape{1}), "language_model." + inside: mlx.Zeros(mlx.Shape{1})}
	if _, err := tune.InModel(load(t, seeingDir(t)), both); err == nil || !strings.Contains(err.Error(), inside+" is there under two names") {
		t.Errorf("%v", err)
	}
}

// TestNamesOfOtherWrappers: Gemma 3n has its prefix inside of model.
func TestNamesOfOtherWrappers(t *testing.T) {
	m, err := models.New("gemma3n", []byte(`{"model_type": "gemma3n", "text_config": {"model_type": "gemma3n_text"}}`))
	if err != nil {
		t.Fatal(err)
	}
	files := tune.InFiles(m, map[string]*mlx.Array{"model.layers.1.mlp.up_proj.lora_a": mlx.Zeros(mlx.Shape{1})})
	if files["model.language_model.layers.1.mlp.up_proj.lora_a"] == nil {
		t.Errorf("%q", slices.Sorted(maps.Keys(files)))
	}
}
