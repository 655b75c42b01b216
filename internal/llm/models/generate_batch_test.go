package models_test

import (
	"context"
	"fmt"
	"maps"
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

// batch runs prompts and gives the results in the order of the prompts.
func batch(t *testing.T, ctx context.Context, m *llm.Loaded, prompts [][]int, o llm.Options, size int) []llm.BatchResult {
	t.Helper()
	results, err := llm.GenerateBatch(ctx, m, prompts, o, size)
	if err != nil {
		t.Fatal(err)
	}
	out := make([]llm.BatchResult, len(prompts))
	for r, err := range results {
		if err != nil {
			t.Fatal(err)
		}
		if out[r.Index].Tokens != nil {
			t.Fatalf("prompt %d has two results", r.Index)
		}
		out[r.Index] = r
	}
	return out
}

func idsOf(tokens []llm.Token) (ids []int, text string) {
	for _, token := range tokens {
		ids, text = append(ids, token.ID), text+token.Text
	}
	return ids, text
}

// The rows of a batch are single runs: prompts of all lengths, ends at all times,
// beyond the first growth of the cache, sampled and greedy.
func TestGenerateBatch(t *testing.T) {
	o := llm.Options{MaxTokens: 30, EOS: []int{1, 2, 3, 4}, PrefillStep: 64}
	seed := uint64(3)
	o.Sampling = sample.Options{Temperature: 1, Seed: &seed}
	for _, c := range []llmtest.Config{
		llmtest.Tiny("qwen3"),
		llmtest.Tiny("mistral").With(llmtest.Config{"sliding_window": 8}),
	} {
		m := loadRandom(t, c)
		var prompts [][]int
		for i, n := range []int{3, 1, 250, 40, 2, 7, 240, 16} {
			prompt := make([]int, n)
			for j := range prompt {
				prompt[j] = (i*31 + j*7) % 96
			}
			prompts = append(prompts, prompt)
		}
		for _, size := range []int{1, 3, 8, 20} {
			for i, r := range batch(t, context.Background(), m, prompts, o, size) {
				g, err := llm.Generate(m, prompts[i], o)
				if err != nil {
					t.Fatal(err)
				}
				var want []llm.Token
				for token, err := range g.Tokens(context.Background()) {
					if err != nil {
						t.Fatal(err)
					}
					want = append(want, token)
				}
				if len(r.Tokens) != len(want) {
					t.Fatalf("size %d, prompt %d: %v, alone %v", size, i, r.Tokens, want)
				}
				for j, token := range r.Tokens {
					d := token.Logprob - want[j].Logprob
					if token.ID != want[j].ID || token.Finish != want[j].Finish || !(d < 1e-4 && d > -1e-4) || size == 1 && d != 0 {
						t.Errorf("size %d, prompt %d, token %d: %+v, alone %+v", size, i, j, token, want[j])
					}
				}
				if s := r.Statistics; s.PromptTokens != len(prompts[i]) || s.GenerationTokens != len(want) {
					t.Errorf("size %d, prompt %d: %+v", size, i, s)
				}
			}
		}
	}
}

// The rows of a batch are single runs with every kind of cache: rings that are full at
// different times, packed keys, capped scores.
func TestGenerateBatchKinds(t *testing.T) {
	for _, c := range []llmtest.Config{
		llmtest.Tiny("qwen3").With(llmtest.Config{"head_dim": 32}),
		llmtest.Tiny("mistral").With(llmtest.Config{"head_dim": 32, "sliding_window": 8}),
	} {
		m := loadRandom(t, c)
		var prompts [][]int
		for i, n := range []int{3, 1, 40, 12, 270} {
			prompts = append(prompts, someTokens(n + i)[i:])
		}
		for _, kv := range []llm.KVOptions{{MaxSize: 12}, {Bits: 8}, {MaxSize: 9, Bits: 4}} {
			o := llm.Options{MaxTokens: 20, PrefillStep: 32, KV: kv}
			for _, size := range []int{1, 2, 4} {
				for i, r := range batch(t, context.Background(), m, prompts, o, size) {
					want, _ := greedy(t, m, prompts[i], o)
					if ids, _ := idsOf(r.Tokens); !slices.Equal(ids, want) {
						t.Errorf("%+v, size %d, prompt %d: %v, alone %v", kv, size, i, ids, want)
					}
					// A ring in a window of the model's own has no fewer rows than short texts have.
					few := kv.Bits == 0 && c["sliding_window"] != nil
					if s := r.Statistics; s.CacheMemory <= 0 || (s.CacheSaved > 0) == few {
						t.Errorf("%+v, size %d, prompt %d: %+v", kv, size, i, s)
					}
				}
			}
		}
		late := llm.Options{KV: llm.KVOptions{Bits: 8, QuantizedStart: 5}}
		if _, err := llm.GenerateBatch(context.Background(), m, prompts, late, 2); err == nil || !strings.Contains(err.Error(), "from their first position") {
			t.Errorf("quantized late: %v", err)
		}
	}
}

// Rows have the recorded tokens of a trained model.
func TestGenerateBatchStories(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	for _, name := range []string{"stories260k", "story-10m"} {
		dir := llmtest.Shared(t, "models", name)
		m := load(t, dir)
		refs := map[string]reference{}
		readJSON(t, filepath.Join(dir, "reference_greedy.json"), &refs)
		keys := slices.Sorted(maps.Keys(refs))
		var prompts [][]int
		longest := 0
		for _, key := range keys {
			prompts = append(prompts, refs[key].IDs)
			longest = max(longest, len(refs[key].Tokens))
		}
		for i, r := range batch(t, context.Background(), m, prompts, llm.Options{MaxTokens: longest, EOS: m.Config.EOS}, 3) {
			ref := refs[keys[i]]
			ids, _ := idsOf(r.Tokens)
			same(t, fmt.Sprintf("%s: %q", name, keys[i]), ids[:min(len(ids), len(ref.Tokens))], ref)
		}
	}
}

func TestGenerateBatchEnds(t *testing.T) {
	m := loadRandom(t, llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 8}))
	prompts := [][]int{{1, 2}, {3}, {1, 2, 3, 4, 5, 6, 7, 8}}
	for i, r := range batch(t, context.Background(), m, prompts, llm.Options{}, 2) {
		if last := r.Tokens[len(r.Tokens)-1]; last.Finish != llm.FinishLength || len(r.Tokens) != 9-len(prompts[i]) {
			t.Errorf("prompt %d: %d tokens, %+v", i, len(r.Tokens), last)
		}
	}
	// A context that ends leaves what there is; what did not begin has no result.
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	results, err := llm.GenerateBatch(ctx, m, [][]int{{1, 2, 3, 4, 5, 6, 7, 8}, {1}, {2}, {3}}, llm.Options{}, 2)
	if err != nil {
		t.Fatal(err)
	}
	finish := map[int]llm.FinishReason{}
	for r, err := range results {
		if err != nil {
			t.Fatal(err)
		}
		finish[r.Index] = r.Tokens[len(r.Tokens)-1].Finish
		cancel()
	}
	if finish[0] != llm.FinishLength || len(finish) > 2 || len(finish) == 2 && finish[1] != llm.FinishCancelled {
		t.Errorf("%v", finish)
	}
	// A loop may be left.
	if results, err = llm.GenerateBatch(context.Background(), m, [][]int{{1}, {2}, {3}}, llm.Options{}, 2); err != nil {
		t.Fatal(err)
	}
	n := 0
	for range results {
		n++
		break
	}
	if n != 1 {
		t.Errorf("%d results", n)
	}
	for prompts, want := range map[string]error{
		"prompt 2": second(llm.GenerateBatch(ctx, m, [][]int{{1}, {96}}, llm.Options{}, 2)),
		"empty":    second(llm.GenerateBatch(ctx, m, [][]int{{}}, llm.Options{}, 2)),
		"batch of": second(llm.GenerateBatch(ctx, m, [][]int{{1}}, llm.Options{}, 0)),
	} {
		if want == nil || !strings.Contains(want.Error(), prompts) {
			t.Errorf("%s: %v", prompts, want)
		}
	}
	if got := batch(t, context.Background(), m, nil, llm.Options{}, 4); len(got) != 0 {
		t.Errorf("%v", got)
	}
}

func second[T any](_ T, err error) error { return err }

// The quantized model in half precision: batches of one have all bits of single runs.
func TestGenerateBatchHalf(t *testing.T) {
	c := llmtest.Tiny("llama")
	m, err := llm.Load(llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.BFloat16)), llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	prompts := [][]int{{5}, {6, 7, 8}}
	o := llm.Options{MaxTokens: 20}
	for i, r := range batch(t, context.Background(), m, prompts, o, 1) {
		want, _ := greedy(t, m, prompts[i], o)
		if ids, _ := idsOf(r.Tokens); !slices.Equal(ids, want) {
			t.Errorf("prompt %d: %v, alone %v", i, ids, want)
		}
	}
}
