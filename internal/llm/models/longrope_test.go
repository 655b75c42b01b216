package models_test

import (
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestLongRopeBeginsAgain: where phi3 goes over to its long factors, every token is the
// one that the whole text gives at once, in one generation and from turn to turn.
func TestLongRopeBeginsAgain(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 51))
	short, long := make([]float64, 8), make([]float64, 8)
	for i := range short {
		short[i], long[i] = 1, 3+float64(i)
	}
	c := llmtest.Tiny("phi3").With(llmtest.Config{"num_hidden_layers": 3, "original_max_position_embeddings": 32, "max_position_embeddings": 512,
		"rope_scaling": llmtest.Config{"type": "longrope", "short_factor": short, "long_factor": long}})
	m := load(t, llmtest.Write(t, c, lively(t, r, c, mlx.Float32)))
	check := func(all []int, from int) {
		t.Helper()
		for at := from; at < len(all); at++ {
			rows := logitsFrom(t, m, all[:at])
			last, best := rows[at-1], 0
			for i, x := range last {
				if x > last[best] {
					best = i
				}
			}
			if all[at] != best && last[best]-last[all[at]] > 1e-3 {
				t.Fatalf("token %d of the text is %d, not %d", at, all[at], best)
			}
		}
	}
	prompt := randomTokens(r, c, 24)
	for _, eager := range []bool{false, true} {
		out, _ := greedy(t, m, prompt, llm.Options{MaxTokens: 20, IgnoreEOS: true, Eager: eager, PrefillStep: 7})
		check(append(append([]int{}, prompt...), out...), len(prompt))
	}
	for _, draft := range []*llm.Loaded{m, loadRandom(t, llmtest.Tiny("llama"))} {
		out, _ := greedy(t, m, prompt, llm.Options{MaxTokens: 20, IgnoreEOS: true, Draft: draft, DraftTokens: 4})
		check(append(append([]int{}, prompt...), out...), len(prompt))
	}
	q := m.NewSequence()
	g, err := q.Generate(prompt, llm.Options{MaxTokens: 4, IgnoreEOS: true})
	text := append(append([]int{}, prompt...), drain(t, g, err, 0)...)
	text = append(text, randomTokens(r, c, 9)...) // beyond 32
	g, err = q.Generate(text, llm.Options{MaxTokens: 4, IgnoreEOS: true})
	out := drain(t, g, err, 0)
	if s := g.Statistics(); s.CachedTokens != 0 {
		t.Errorf("%d tokens of a cache of short factors are reused", s.CachedTokens)
	}
	check(append(append([]int{}, text...), out...), len(text))
	g, err = q.Generate(text[:20], llm.Options{MaxTokens: 4, IgnoreEOS: true}) // back below
	out = drain(t, g, err, 0)
	check(append(append([]int{}, text[:20]...), out...), 20)
}
