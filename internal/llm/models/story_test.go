package models_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// reference is an entry of reference_greedy.json and reference_sampled.json.
type reference struct {
	Prompt      string    `json:"prompt"`
	IDs         []int     `json:"ids"`
	Tokens      []int     `json:"tokens"`
	Gaps        []float64 `json:"gaps"`
	Text        string    `json:"text"`
	Seed        uint64    `json:"seed"`
	Temperature float64   `json:"temp"`
	TopP        float64   `json:"top_p"`
	MinP        float64   `json:"min_p"`
	TopK        int       `json:"top_k"`
}

func readJSON(t testing.TB, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// same compares tokens up to a step whose gap is small.
func same(t *testing.T, what string, got []int, ref reference) {
	t.Helper()
	for i, want := range ref.Tokens {
		if i < len(ref.Gaps) && ref.Gaps[i] <= 5e-3 {
			return
		}
		if i >= len(got) || got[i] != want {
			t.Errorf("%s: token %d differs: %v, not %v", what, i, got, ref.Tokens)
			return
		}
	}
	if len(got) != len(ref.Tokens) {
		t.Errorf("%s: %d tokens, not %d", what, len(got), len(ref.Tokens))
	}
}

func TestStory10MGreedy(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "story-10m")
	m := load(t, dir)
	refs := map[string]reference{}
	readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		o := llm.PromptOptions{Text: prompt, IgnoreChatTemplate: true}
		if _, user, ok := strings.Cut(prompt, "<|im_start|>user\n"); ok { // recorded with the template applied
			o.Text, _, _ = strings.Cut(user, "<|im_end|>")
			o.IgnoreChatTemplate = false
		}
		ids, err := m.Tokenizer.Prompt(o)
		if err != nil || fmt.Sprint(ids) != fmt.Sprint(ref.IDs) {
			t.Fatalf("%q: ids %v (%v), not %v", prompt, ids, err, ref.IDs)
		}
		for _, eager := range []bool{false, true} {
			if eager && testing.Short() {
				continue
			}
			got, _ := greedy(t, m, ref.IDs, llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS, Eager: eager})
			same(t, prompt, got, ref)
		}
	}
}

func TestStories260KGreedy(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "stories260k")
	m := load(t, dir)
	refs := map[string]reference{}
	readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		ids, err := m.Tokenizer.Prompt(llm.PromptOptions{Text: prompt})
		if err != nil || fmt.Sprint(ids) != fmt.Sprint(ref.IDs) {
			t.Fatalf("%q: ids %v (%v), not %v", prompt, ids, err, ref.IDs)
		}
		steps := []int{0, 1, 2, 3, 7, 16, 17}
		if testing.Short() {
			steps = []int{0, 3}
		}
		for _, step := range steps {
			got, text := greedy(t, m, ids, llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS, PrefillStep: step})
			same(t, prompt, got, ref)
			if text != ref.Text {
				t.Errorf("%q: text %q, not %q", prompt, text, ref.Text)
			}
		}
	}
}

func TestStory10MSampled(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "story-10m")
	m := load(t, dir)
	var refs []reference
	readJSON(t, filepath.Join(dir, "reference_sampled.json"), &refs)
	if testing.Short() {
		refs = refs[:2]
	}
	for _, ref := range refs {
		seed := ref.Seed
		o := llm.Options{MaxTokens: 60, EOS: m.Config.EOS, Sampling: sample.Options{
			Temperature: ref.Temperature, TopP: ref.TopP, MinP: ref.MinP, TopK: ref.TopK, Seed: &seed,
		}}
		got, _ := greedy(t, m, ref.IDs, o)
		same(t, fmt.Sprintf("seed %d temp %g top_p %g", ref.Seed, ref.Temperature, ref.TopP), got, ref)
	}
}
