package llm_test

import (
	"context"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// Passes that judge guesses are compiled once for a capacity, whatever was guessed and
// however the text ends.
func TestVerifyCompiledOnce(t *testing.T) {
	c := llmtest.Tiny("llama")
	var loaded []*llm.Loaded
	for seed := range uint64(2) {
		m, err := llm.Load(llmtest.Write(t, c, llmtest.Random(t, c, seed+1, mlx.Float32)), llm.LoadOptions{New: models.New})
		if err != nil {
			t.Fatal(err)
		}
		loaded = append(loaded, m)
	}
	m, draft := loaded[0], loaded[1]
	for _, n := range []int{20, 21, 22, 23, 200} {
		g, err := llm.Generate(m, []int{5, 6, 7}, llm.Options{MaxTokens: n, IgnoreEOS: true, Draft: draft})
		if err != nil {
			t.Fatal(err)
		}
		got := 0
		for _, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			got++
		}
		if got != n {
			t.Fatalf("%d tokens, not %d", got, n)
		}
	}
	if decode, verify := llm.Traced(m); decode > 1 || verify != 1 {
		t.Errorf("the model was compiled %d times for one token, %d times for guesses", decode, verify)
	}
	if decode, verify := llm.Traced(draft); decode != 1 || verify != 0 {
		t.Errorf("the draft was compiled %d times for one token, %d times for guesses", decode, verify)
	}
}
