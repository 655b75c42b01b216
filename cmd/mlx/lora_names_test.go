package main

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/tune"
)

// TestTuningOfSeeing trains the text part of a model that also sees: files have mlx-lm's
// names, and files with the names inside are read too.
func TestTuningOfSeeing(t *testing.T) {
	config, tensors := llmtest.Says(tinyIDs(t, sentence...)...)
	for i := range tensors {
		tensors[i].Name = "language_model." + tensors[i].Name
	}
	inner := config.With(llmtest.Config{"head_dim": 64, "model_type": "ministral3"})
	model := llmtest.Write(t, llmtest.Config{"model_type": "mistral3", "text_config": map[string]any(inner), "eos_token_id": 2}, tensors)
	if err := os.CopyFS(model, os.DirFS(speakerTokenizer(t))); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	parameters := `{"lora_parameters": {"rank": 2, "scale": 10, "dropout": 0, "keys": ["self_attn.q_proj", "model.embed_tokens"]}}`
	for name, data := range map[string][]byte{"train.jsonl": jsonLines("text", 0, 4), "lora.json": []byte(parameters)} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	train := func(out string, args ...string) {
		t.Helper()
		args = append([]string{"lora", "--config", filepath.Join(dir, "lora.json"), "--model", model, "--train", "--data", dir, "--iters", "2", "--batch-size", "2",
			"--learning-rate", "1e-3", "--save-every", "2", "--adapter-path", out}, args...)
		if _, e, code := command(t, false, args...); code != 0 {
			t.Fatalf("exit status %d: %s", code, e)
		}
	}
	first := filepath.Join(dir, "first")
	train(first)
	var names []string
	for _, name := range []string{"adapters.safetensors", "0000002_adapters.safetensors"} {
		all, _, err := mlx.LoadAll(filepath.Join(first, name))
		if err != nil {
			t.Fatal(err)
		}
		names = slices.Sorted(maps.Keys(all))
		const p = "language_model.model."
		if want := []string{p + "embed_tokens.lora_a", p + "embed_tokens.lora_b", p + "layers.0.self_attn.q_proj.lora_a", p + "layers.0.self_attn.q_proj.lora_b"}; !slices.Equal(names, want) {
			t.Errorf("%s: %q, want %q", name, names, want)
		}
	}
	text, err := os.ReadFile(filepath.Join(first, tune.AdapterConfig))
	if err != nil || !strings.Contains(string(text), `"language_model.model.embed_tokens"`) {
		t.Errorf("%s, %v", text, err)
	}
	bare := withoutPrefix(t, filepath.Join(first, tune.AdapterFile), filepath.Join(dir, "bare.safetensors"))
	second, third := filepath.Join(dir, "second"), filepath.Join(dir, "third")
	train(second, "--resume-adapter-file", filepath.Join(first, tune.AdapterFile))
	train(third, "--resume-adapter-file", bare)
	for _, name := range []string{tune.AdapterFile, "0000002_" + tune.AdapterFile} {
		if a, b := filesOf(t, second)[name], filesOf(t, third)[name]; len(a) == 0 || string(a) != string(b) {
			t.Errorf("%s depends on how names are spelled", name)
		}
	}
	train(first, "--resume", "--iters", "4")
	// Whoever runs the model takes both spellings.
	if err := os.Rename(bare, filepath.Join(second, tune.AdapterFile)); err != nil {
		t.Fatal(err)
	}
	for _, out := range []string{first, second} {
		if _, e, code := command(t, false, "generate", "--model", model, "--adapter-path", out, "--prompt", "Once", "--max-tokens", "2", "--verbose", "f"); code != 0 {
			t.Errorf("exit status %d: %s", code, e)
		}
	}
}

// speakerTokenizer is a directory with nothing but the speaker's tokenizer.
func speakerTokenizer(t *testing.T) string {
	t.Helper()
	dir := speaker(t, nil, tinyIDs(t, sentence...)...)
	for _, name := range []string{"config.json", "model.safetensors"} {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// withoutPrefix copies a file of tensors under the names that the text part has inside.
func withoutPrefix(t *testing.T, from, to string) string {
	t.Helper()
	all, _, err := mlx.LoadAll(from)
	if err != nil {
		t.Fatal(err)
	}
	bare := map[string]*mlx.Array{}
	for name, a := range all {
		bare[strings.TrimPrefix(name, "language_model.")] = a
	}
	if err := mlx.SaveSafetensors(to, bare, nil); err != nil {
		t.Fatal(err)
	}
	return to
}
