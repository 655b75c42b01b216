package models_test

import (
	"fmt"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// The trained model's GGUF file generates what mlx-lm recorded of its directory.
func TestGGUFGreedy(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	m := load(t, llmtest.Shared(t, "models", "stories260Ktok512.gguf"))
	refs := map[string]reference{}
	readJSON(t, filepath.Join(llmtest.Shared(t, "models", "stories260k"), "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		ids, err := m.Tokenizer.Prompt(llm.PromptOptions{Text: prompt})
		if err != nil || fmt.Sprint(ids) != fmt.Sprint(ref.IDs) {
			t.Fatalf("%q: ids %v (%v), not %v", prompt, ids, err, ref.IDs)
		}
		got, _ := greedy(t, m, ref.IDs, llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS})
		same(t, prompt, got, ref)
	}
}
