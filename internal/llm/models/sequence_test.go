package models_test

import (
	"context"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// drain runs g to its end, or to the end of n tokens.
func drain(t *testing.T, g *llm.Generation, err error, n int) []int {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var ids []int
	for token, err := range g.Tokens(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		ids = append(ids, token.ID)
		if len(ids) == n {
			break
		}
	}
	return ids
}

// A sequence gives the tokens that a fresh generation gives, and runs only what is new.
func TestSequenceGoesOn(t *testing.T) {
	for _, c := range []llmtest.Config{
		llmtest.Tiny("llama"),
		llmtest.Tiny("mistral").With(llmtest.Config{"sliding_window": 8}),
	} {
		m := loadRandom(t, c)
		q := m.NewSequence()
		o := llm.Options{MaxTokens: 10}
		check := func(what string, prompt []int, cached int) []int {
			t.Helper()
			g, err := llm.Generate(m, prompt, o)
			want := drain(t, g, err, 0)
			if s := g.Statistics(); s.PromptTokens != len(prompt) || s.CachedTokens != 0 {
				t.Errorf("%s: fresh: %+v", what, s)
			}
			g, err = q.Generate(prompt, o)
			got := drain(t, g, err, 0)
			if s := g.Statistics(); s.CachedTokens != cached || s.PromptTokens != len(prompt)-cached {
				t.Errorf("%s: %d of %d tokens reused, want %d; %+v", what, s.CachedTokens, len(prompt), cached, s)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s: %v, fresh %v", what, got, want)
			}
			return got
		}
		var prompt []int
		for i := range 21 {
			prompt = append(prompt, (i*37+5)%96)
		}
		said := check("first", prompt, 0)
		longer := append(append(slices.Clone(prompt), said...), 3, 1, 4, 1, 5)
		check("goes on", longer, len(prompt)+9) // the last token was not run
		check("again", longer, len(longer)-1)
		check("another end", append(slices.Clone(prompt[:7]), 9, 9, 9), 7)
		check("other", []int{50, 51}, 0)
		check("shorter", []int{50}, 0)

		g, err := q.Generate(prompt, o) // broken off after 3 tokens, of which 2 were run
		cut := drain(t, g, err, 3)
		check("after a break", append(append(slices.Clone(prompt), cut...), 7), len(prompt)+2)

		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if g, err = q.Generate(longer[2:], o); err != nil {
			t.Fatal(err)
		}
		for token, err := range g.Tokens(ctx) {
			if err != nil || token.Finish != llm.FinishCancelled {
				t.Errorf("%+v, %v", token, err)
			}
		}
		check("after an interrupt", longer[2:], 0)

		// The memory grows while the program of the last answer still holds it.
		long := slices.Clone(longer[2:])
		for i := range 300 {
			long = append(long, (i*31+7)%96)
		}
		check("longer than the memory", long, len(longer)-2)
	}
}

// TestSequenceAnyTurns: whatever is kept, dropped, cut off and added, a sequence says
// what a fresh generation says. Where rows of an answer see otherwise than rows of a
// prompt, it must only go on.
func TestSequenceAnyTurns(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 9))
	config := llmtest.Config{"head_dim": 32, "max_position_embeddings": 1200, "sliding_window": 20}
	for _, kv := range []llm.KVOptions{{}, {Bits: 8}, {MaxSize: 40}, {Bits: 4, QuantizedStart: 100}} {
		for _, name := range []string{"llama", "mistral"} {
			m := loadRandom(t, llmtest.Tiny(name).With(config))
			q, err := m.NewSequenceOf(kv)
			if err != nil {
				t.Fatal(err)
			}
			var past []int
			for turn := range 15 {
				keep := min(rng.IntN(2*len(past)+1), len(past))
				prompt := slices.Clone(past[:keep])
				for range 1 + rng.IntN([]int{3, 40, 300}[rng.IntN(3)]) {
					prompt = append(prompt, rng.IntN(96))
				}
				prompt = prompt[:min(len(prompt), 900)]
				o := llm.Options{MaxTokens: 1 + rng.IntN(40), KV: kv, PrefillStep: []int{0, 16, 7}[rng.IntN(3)]}
				cut := rng.IntN(8) // 0 is to the end
				g, err := q.Generate(prompt, o)
				got := drain(t, g, err, cut)
				g, err = llm.Generate(m, prompt, o)
				want := drain(t, g, err, cut)
				if !slices.Equal(got, want) && kv.MaxSize == 0 && kv.QuantizedStart == 0 {
					t.Fatalf("%s, %+v, turn %d: %v, fresh %v", name, kv, turn, got, want)
				}
				past = append(prompt, got...)
			}
		}
	}
}

func TestSequenceRefuses(t *testing.T) {
	m := loadRandom(t, llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 8}))
	q := m.NewSequence()
	g, err := q.Generate([]int{1, 2, 3}, llm.Options{})
	if ids := drain(t, g, err, 0); len(ids) != 6 || q.Len() != 8 {
		t.Errorf("%v, %d remembered", ids, q.Len())
	}
	for _, prompt := range [][]int{nil, {96}, make([]int, 9)} {
		if _, err := q.Generate(prompt, llm.Options{}); err == nil {
			t.Errorf("prompt %v", prompt)
		}
	}
	if q.Len() != 8 { // refused prompts change nothing
		t.Errorf("%d remembered", q.Len())
	}
}
