package models_test

import (
	"context"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/sample"
)

// told runs g to its end.
func told(t *testing.T, g *llm.Generation, err error) ([]llm.Token, llm.Statistics) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	var out []llm.Token
	for token, err := range g.Tokens(context.Background()) {
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, token)
	}
	return out, g.Statistics()
}

// sameText compares all that a user sees of two runs; log-probabilities may round
// otherwise.
func sameText(t *testing.T, what string, got, want []llm.Token) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d tokens, not %d:\n%+v\n%+v", what, len(got), len(want), got, want)
	}
	for i, a := range got {
		b := want[i]
		if math.Abs(float64(a.Logprob-b.Logprob)) > 1e-4 {
			t.Errorf("%s: token %d has log-probability %v, not %v", what, i, a.Logprob, b.Logprob)
		}
		if a.Logprob, a.FromDraft = b.Logprob, false; a != b {
			t.Fatalf("%s: token %d is %+v, not %+v", what, i, a, b)
		}
	}
}

// randomLike is a random model with a tokenizer's vocabulary.
func randomLike(t *testing.T, like string, changes llmtest.Config) *llm.Loaded {
	t.Helper()
	m := load(t, like)
	c := llmtest.Tiny("llama").With(llmtest.Config{"vocab_size": m.Model.Info().VocabSize}).With(changes)
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 5, mlx.Float32))
	giveTokenizer(t, like, dir, "", "")
	return load(t, dir)
}

// giveTokenizer copies a tokenizer to dir, with the ids of two tokens exchanged.
func giveTokenizer(t *testing.T, from, dir, a, b string) {
	t.Helper()
	file := map[string]any{}
	readJSON(t, filepath.Join(from, llm.TokenizerFile), &file)
	vocab := file["model"].(map[string]any)["vocab"].(map[string]any)
	if a != "" {
		vocab[a], vocab[b] = vocab[b], vocab[a]
	}
	llmtest.WriteJSON(t, dir, llm.TokenizerFile, file)
}

// TestStories260KDrafted: the reference tokens with any draft and any number of guesses,
// and as much is accepted as the draft is right.
func TestStories260KDrafted(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	dir := llmtest.Shared(t, "models", "stories260k")
	m := load(t, dir)
	random := randomLike(t, dir, nil)
	refs := map[string]reference{}
	readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
	for prompt, ref := range refs {
		for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 9, 64} { // above 6 in several passes
			o := llm.Options{MaxTokens: len(ref.Tokens), EOS: m.Config.EOS, DraftTokens: n}
			g, err := llm.Generate(m, ref.IDs, o)
			want, stats := told(t, g, err)
			if stats.Draft != nil {
				t.Errorf("statistics of a draft without one: %+v", stats.Draft)
			}
			for _, o.Draft = range []*llm.Loaded{m, random} {
				g, err := llm.Generate(m, ref.IDs, o)
				got, stats := told(t, g, err)
				what := fmt.Sprintf("%q, %d guesses, random %v", prompt, n, o.Draft == random)
				sameText(t, what, got, want)
				var ids []int
				guessed := 0
				for _, token := range got {
					ids = append(ids, token.ID)
					if token.FromDraft {
						guessed++
					}
				}
				same(t, what, ids, ref)
				d := stats.Draft
				if d == nil || d.Accepted != guessed || d.Rate != float64(d.Accepted)/float64(d.Tokens) {
					t.Fatalf("%s: %d guessed: %+v", what, guessed, d)
				}
				// The first token has no guess, and each pass gives one more.
				if least := (len(ids) - 1) * n / (n + 1); o.Draft == m && (d.Rate != 1 || guessed < least) {
					t.Errorf("%s: its own guesses: %+v, at least %d", what, d, least)
				}
				if o.Draft == random && d.Rate > 0.2 {
					t.Errorf("%s: %+v", what, d)
				}
				if stats.PromptTokens != len(ref.IDs) || stats.GenerationTokens != len(ids) {
					t.Errorf("%s: %+v", what, stats)
				}
			}
		}
	}
}

// TestDraftedSampling: a seed gives its tokens with a draft too, with filters, penalties
// and biases; a draft that is the model itself has every guess accepted.
func TestDraftedSampling(t *testing.T) {
	seed, penalty := uint64(7), 1.3
	samplings := []sample.Options{
		{Temperature: 0.8},
		{Temperature: 1.2, TopP: 0.9, TopK: 40, MinP: 0.02},
		{Temperature: 1, XTCProbability: 0.5, XTCThreshold: 0.02},
		{Temperature: 0.9, RepetitionPenalty: &penalty, PresencePenalty: 0.3, FrequencyPenalty: 0.2, FrequencyContext: sample.WholeHistory},
		{RepetitionPenalty: &penalty, LogitBias: []sample.Bias{{Token: 2, Value: math.Inf(-1)}, {Token: 40, Value: 2}}},
	}
	c := llmtest.Tiny("llama")
	m, draft := loadRandom(t, c), load(t, llmtest.Write(t, c, llmtest.Random(t, c, 9, mlx.Float32)))
	for i, s := range samplings {
		if llmtest.Race && i%2 == 0 {
			continue
		}
		if s.Temperature > 0 {
			s.Seed = &seed
		}
		for _, n := range []int{1, 3, 5, 9} {
			o := llm.Options{MaxTokens: 60, EOS: []int{2}, Sampling: s, DraftTokens: n}
			g, err := llm.Generate(m, someTokens(11), o)
			want, _ := told(t, g, err)
			for _, o.Draft = range []*llm.Loaded{m, draft} {
				g, err := llm.Generate(m, someTokens(11), o)
				got, stats := told(t, g, err)
				sameText(t, fmt.Sprintf("sampling %d, %d guesses", i, n), got, want)
				if o.Draft == m && len(want) > 3 && stats.Draft.Rate != 1 {
					t.Errorf("sampling %d, %d guesses: its own are not accepted: %+v", i, n, stats.Draft)
				}
			}
		}
	}
}

// TestDraftedSeedless: without a seed the draft follows the model's own.
func TestDraftedSeedless(t *testing.T) {
	m := loadRandom(t, llmtest.Tiny("llama"))
	o := llm.Options{MaxTokens: 40, IgnoreEOS: true, Draft: m, Sampling: sample.Options{Temperature: 1}}
	g, err := llm.Generate(m, someTokens(5), o)
	if _, stats := told(t, g, err); stats.Draft.Rate != 1 || stats.Draft.Tokens < 25 {
		t.Errorf("%+v", stats.Draft)
	}
}

// TestDraftedBits: however weights are packed and whatever the model computes in, all bits
// are those without a draft, so that half precision gives the same tokens too.
func TestDraftedBits(t *testing.T) {
	fp := func(mode mlx.Mode) *mlx.Scheme { return &mlx.Scheme{Mode: mode} }
	schemes := []*mlx.Scheme{nil, fp("mxfp4"), fp("mxfp8"), fp("nvfp4")}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		schemes = append(schemes, &mlx.Scheme{Mode: "affine", Bits: bits, GroupSize: 64})
	}
	if llmtest.Race {
		t.Skip("without assembly all products are of one kind")
	}
	if testing.Short() {
		schemes = schemes[6:7]
	}
	seed := uint64(3)
	base := llmtest.Tiny("llama").With(llmtest.Config{"hidden_size": 128, "intermediate_size": 192, "head_dim": 32})
	for i, s := range schemes {
		for _, d := range []mlx.DType{mlx.BFloat16, mlx.Float16, mlx.Float32} {
			c, w := base, llmtest.Random(t, base, uint64(i), d)
			if s != nil {
				c, w = quantized(t, newRand(uint64(i)), c, w, *s, false)
			}
			dir := llmtest.Write(t, c, w)
			for _, exact := range []bool{false, true} {
				m, err := llm.Load(dir, llm.LoadOptions{New: models.New, DType: &d, ExactActivations: exact})
				if err != nil {
					t.Fatal(err)
				}
				o := llm.Options{MaxTokens: 40, IgnoreEOS: true, Sampling: sample.Options{Temperature: 1, Seed: &seed}}
				g, err := llm.Generate(m, someTokens(9), o)
				want, _ := told(t, g, err)
				for _, n := range []int{1, 3, 5, 6, 9} {
					o.Draft, o.DraftTokens = m, n
					g, err := llm.Generate(m, someTokens(9), o)
					got, stats := told(t, g, err)
					for j := range got {
						got[j].FromDraft = false
					}
					if !slices.Equal(got, want) || stats.Draft.Rate != 1 {
						t.Fatalf("%v in %v, exact %v, %d guesses, %+v: %+v, not %+v", s, d, exact, n, stats.Draft, got, want)
					}
				}
			}
		}
	}
}

// TestDraftedCaches: windows, quantized caches, also such that are quantized on the way,
// rotations that depend on the length, growth of the cache, and graphs without programs.
func TestDraftedCaches(t *testing.T) {
	long := make([]float64, 8)
	for i := range long {
		long[i] = 1 + float64(i)
	}
	loaded := kvModels(t)
	for name, c := range map[string]llmtest.Config{
		"gemma2": llmtest.Tiny("gemma2").With(llmtest.Config{"sliding_window": 12, "query_pre_attn_scalar": 16, "head_dim": 32,
			"attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0, "tie_word_embeddings": true}),
		"dynamic": llmtest.Tiny("llama").With(llmtest.Config{"head_dim": 32, "max_position_embeddings": 25,
			"rope_scaling": llmtest.Config{"rope_type": "dynamic", "factor": 4.0}}),
		"longrope": llmtest.Tiny("llama").With(llmtest.Config{"original_max_position_embeddings": 25,
			"rope_scaling": llmtest.Config{"rope_type": "longrope", "short_factor": long, "long_factor": append(slices.Clone(long[4:]), long[:4]...)}}),
	} {
		loaded[name] = load(t, llmtest.Write(t, c, llmtest.Random(t, c, 3, mlx.Float32)))
	}
	c := llmtest.Tiny("llama").With(llmtest.Config{"head_dim": 32})
	other := load(t, llmtest.Write(t, c, llmtest.Random(t, c, 4, mlx.Float32)))
	few := testing.Short() || llmtest.Race
	for name, m := range loaded {
		for _, kv := range []llm.KVOptions{{}, {Bits: 8}, {Bits: 4, GroupSize: 32, QuantizedStart: 29}} {
			if kv.Bits > 0 && name == "longrope" { // heads of 16
				continue
			}
			for _, n := range []int{3, 1, 5, 9} {
				if few && n != 3 {
					break
				}
				for _, eager := range []bool{false, true} {
					if few && eager {
						break
					}
					o := llm.Options{MaxTokens: 50, IgnoreEOS: true, KV: kv, DraftTokens: n, Eager: eager}
					g, err := llm.Generate(m, someTokens(20), o)
					want, _ := told(t, g, err)
					for _, o.Draft = range []*llm.Loaded{m, other} {
						g, err := llm.Generate(m, someTokens(20), o)
						got, stats := told(t, g, err)
						sameText(t, fmt.Sprintf("%s %+v, %d guesses, eager %v", name, kv, n, eager), got, want)
						if o.Draft == m && name != "dynamic" && stats.Draft.Rate != 1 {
							t.Errorf("%s %+v, %d guesses: its own are not accepted: %+v", name, kv, n, stats.Draft)
						}
					}
				}
			}
		}
	}
	if few {
		return
	}
	m := loaded["llama"]
	o := llm.Options{MaxTokens: 300, IgnoreEOS: true} // the cache grows
	g, err := llm.Generate(m, someTokens(40), o)
	want, _ := told(t, g, err)
	for _, o.Draft = range []*llm.Loaded{m, other} {
		g, err = llm.Generate(m, someTokens(40), o)
		got, _ := told(t, g, err)
		sameText(t, "300 tokens", got, want)
	}
}

// TestDraftedWindows: layers that hold their window only go back behind wrong guesses,
// before they are full, on the way and long after, quantized or not, in both models.
func TestDraftedWindows(t *testing.T) {
	c := llmtest.Tiny("mistral").With(llmtest.Config{"sliding_window": 24, "head_dim": 32})
	loaded := kvModels(t)
	m, other := loaded["mistral"], load(t, llmtest.Write(t, c, llmtest.Random(t, c, 4, mlx.Float32)))
	for _, kv := range []llm.KVOptions{{}, {Bits: 8}} {
		for _, length := range []int{480, 1300} {
			if length > 1000 && (testing.Short() || llmtest.Race) {
				continue
			}
			o := llm.Options{MaxTokens: 60, IgnoreEOS: true, KV: kv}
			g, err := llm.Generate(m, someTokens(length), o)
			want, _ := told(t, g, err)
			for _, o.Draft = range []*llm.Loaded{m, other, loaded["llama"]} {
				for _, o.DraftTokens = range []int{1, 5, 9, llm.MaxDraftTokens} {
					g, err := llm.Generate(m, someTokens(length), o)
					got, stats := told(t, g, err)
					sameText(t, fmt.Sprintf("%+v, %d tokens, %d guesses", kv, length, o.DraftTokens), got, want)
					if o.Draft == m && stats.Draft.Rate != 1 {
						t.Errorf("%+v, %d tokens, %d guesses: its own are not accepted: %+v", kv, length, o.DraftTokens, stats.Draft)
					}
				}
			}
		}
	}
}

// TestDraftedEnds: limits, EOS, stop strings, the context, breaks and interrupts end a text
// with a draft where they end it without, also among guesses, and the memory is right then.
func TestDraftedEnds(t *testing.T) {
	m := loadRandom(t, llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 40}))
	prompt := someTokens(6)
	g, err := llm.Generate(m, prompt, llm.Options{MaxTokens: 30, IgnoreEOS: true})
	all, _ := told(t, g, err)
	q := m.NewSequence()
	remembered := func(what string, text []int) {
		t.Helper()
		if ids, ok := q.Tokens(); !ok || !slices.Equal(ids, text) || q.Len() != len(text) {
			t.Errorf("%s: %v are remembered (%d), not %v", what, ids, q.Len(), text)
		}
	}
	text := func(n int) []int { // the prompt and what is remembered of n tokens
		out := slices.Clone(prompt)
		for _, token := range all[:n-1] {
			out = append(out, token.ID)
		}
		return out
	}
	for i := range 24 {
		n, guesses := i/2+1, 4+i%2*5
		o := llm.Options{MaxTokens: n, IgnoreEOS: true, Draft: m, DraftTokens: guesses}
		g, err := q.Generate(prompt, o)
		got, _ := told(t, g, err)
		if len(got) != n || got[n-1].Finish != llm.FinishLength {
			t.Fatalf("%d tokens: %+v", n, got)
		}
		remembered("max tokens", text(n))

		id := all[n-1].ID
		first := slices.IndexFunc(all, func(t llm.Token) bool { return t.ID == id }) + 1
		g, err = q.Generate(prompt, llm.Options{EOS: []int{id}, Draft: m, DraftTokens: guesses})
		got, stats := told(t, g, err)
		if len(got) != first || got[first-1].Finish != llm.FinishStop || first > 1 && stats.Draft.Rate != 1 {
			t.Fatalf("EOS %d: %+v, %+v", id, got, stats.Draft)
		}
		remembered("EOS", text(first))

		o.MaxTokens = 30
		g, err = q.Generate(prompt, o)
		drain(t, g, err, n)
		remembered("a break", text(n))

		ctx, cancel := context.WithCancel(context.Background())
		if g, err = q.Generate(prompt, o); err != nil {
			t.Fatal(err)
		}
		got = nil
		for token, err := range g.Tokens(ctx) {
			if err != nil {
				t.Fatal(err)
			}
			if got = append(got, token); len(got) == n {
				cancel()
			}
		}
		cancel()
		if len(got) != n+1 || got[n].Finish != llm.FinishCancelled || got[n].ID != -1 {
			t.Fatalf("cancelled after %d: %+v", n, got)
		}
		remembered("an interrupt", text(n))
	}
	o := llm.Options{IgnoreEOS: true}
	g, err = llm.Generate(m, prompt, o)
	want, _ := told(t, g, err)
	for n := 1; n <= 16; n += 3 {
		o.Draft, o.DraftTokens = m, n
		g, err := q.Generate(prompt, o)
		got, _ := told(t, g, err)
		sameText(t, "the context", got, want)
		if !strings.Contains(got[len(got)-1].Detail, "context of 40") {
			t.Errorf("%+v", got[len(got)-1])
		}
	}
	// A draft with less context guesses as long as it can.
	short := loadRandom(t, llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 20}))
	o.Draft = short
	g, err = llm.Generate(m, prompt, o)
	got, stats := told(t, g, err)
	sameText(t, "a draft's context", got, want)
	if s := stats.Draft; s.Accepted < 10 || s.Accepted > 15 {
		t.Errorf("%+v", s)
	}
}

// TestDraftedSequence: in a text that goes on the draft reads only what is new, and after
// a saved beginning all of it.
func TestDraftedSequence(t *testing.T) {
	c := llmtest.Tiny("llama")
	m, draft := loadRandom(t, c), load(t, llmtest.Write(t, c, llmtest.Random(t, c, 9, mlx.Float32)))
	for _, d := range []*llm.Loaded{m, draft} {
		q := m.NewSequence()
		text := someTokens(20)
		for turn := range 4 {
			if turn == 2 {
				text = append(slices.Clone(text[:15]), 7, 7, 8)
			}
			o := llm.Options{MaxTokens: 15, IgnoreEOS: true}
			g, err := llm.Generate(m, text, o)
			want, _ := told(t, g, err)
			o.Draft = d
			g, err = q.Generate(text, o)
			got, stats := told(t, g, err)
			sameText(t, fmt.Sprintf("turn %d", turn), got, want)
			if turn == 1 && stats.CachedTokens != 34 || turn == 2 && stats.CachedTokens != 15 {
				t.Errorf("turn %d: %+v", turn, stats)
			}
			for _, token := range got {
				text = append(text, token.ID)
			}
			text = append(text, 11, 12)
		}
		prompt := someTokens(30)
		o := llm.Options{MaxTokens: 15, IgnoreEOS: true}
		g, err := llm.Generate(m, prompt, o)
		want, _ := told(t, g, err)
		o.Draft = d
		g, err = saved(t, m, llm.KVOptions{}, prompt[:20], 0).Generate(prompt, o)
		got, stats := told(t, g, err)
		sameText(t, "saved", got, want)
		if stats.CachedTokens != 20 || d == m && stats.Draft.Rate != 1 {
			t.Errorf("%+v, %+v", stats, stats.Draft)
		}
	}
}

// TestDraftPadding: models with one tokenizer may have rows beyond it, and such ids may
// stand in a text.
func TestDraftPadding(t *testing.T) {
	dir := llmtest.Shared(t, "models", "stories260k")
	m, more := randomLike(t, dir, nil), randomLike(t, dir, llmtest.Config{"vocab_size": 530})
	for _, pair := range [][2]*llm.Loaded{{m, more}, {more, m}} {
		o := llm.Options{MaxTokens: 25, IgnoreEOS: true}
		if pair[0] == more {
			o.Sampling.LogitBias = []sample.Bias{{Token: 525, Value: 0.5}} // may be chosen
		}
		prompt := someTokens(9)
		if pair[0] == more {
			prompt[4] = 529
		}
		g, err := llm.Generate(pair[0], prompt, o)
		want, _ := told(t, g, err)
		o.Draft = pair[1]
		g, err = llm.Generate(pair[0], prompt, o)
		got, _ := told(t, g, err)
		sameText(t, "padding", got, want)
	}
}

// TestDraftRefused: what cannot be is refused in a sentence.
func TestDraftRefused(t *testing.T) {
	c := llmtest.Tiny("llama")
	m := loadRandom(t, c)
	refused := func(m *llm.Loaded, o llm.Options, want string) {
		t.Helper()
		if _, err := llm.Generate(m, someTokens(9), o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
	refused(m, llm.Options{Draft: loadRandom(t, c.With(llmtest.Config{"vocab_size": 97}))}, "another vocabulary: 97 tokens, and the model has 96")
	refused(m, llm.Options{Draft: m, DraftTokens: -1}, "is -1: it must be from 1 to 64")
	refused(m, llm.Options{Draft: m, DraftTokens: 65}, "is 65")
	refused(m, llm.Options{Draft: m, KV: llm.KVOptions{MaxSize: 16}}, "rotating")
	refused(m, llm.Options{Draft: loadRandom(t, c.With(llmtest.Config{"max_position_embeddings": 8}))}, "draft model's context of 8")
	if _, err := llm.GenerateBatch(context.Background(), m, [][]int{{1}}, llm.Options{Draft: m}, 1); err == nil {
		t.Error("a batch with a draft")
	}
	dir := llmtest.Shared(t, "models", "stories260k")
	like := randomLike(t, dir, nil)
	big := c.With(llmtest.Config{"vocab_size": 512})
	changed := llmtest.Write(t, big, llmtest.Random(t, big, 5, mlx.Float32))
	giveTokenizer(t, dir, changed, "▁there", "▁they")
	refused(like, llm.Options{Draft: load(t, changed)}, `"▁there", and the model's is "▁they"`)
	refused(like, llm.Options{Draft: load(t, llmtest.Shared(t, "models", "story-10m"))}, "2048 tokens in its tokenizer.json, and the model has 512")
}
