package models_test

import (
	"context"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestUnevenBatches: rows of a batch are single runs where layers share keys, run twice or
// see blocks, in growing caches and, where possible, in rotating and quantized ones.
func TestUnevenBatches(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector")
	}
	for _, kind := range []string{"afm7", "gemma3n_text", "gemma4_text", "iquestloopcoder", "llama4_text", "nemotron-nas", "openelm", "phi3small"} {
		r := newRand(2)
		c := llmtest.Tiny(kind).With(llmtest.Config{"head_dim": 32}) // of those that read it
		families[kind](r, c)
		m := load(t, llmtest.Write(t, c, lively(t, r, c, mlx.Float32)))
		var prompts [][]int
		for _, n := range []int{3, 41, 1, 17} {
			prompts = append(prompts, randomTokens(r, c, n))
		}
		for _, kv := range []llm.KVOptions{{}, {MaxSize: 24}, {Bits: 8, GroupSize: 32}} {
			o := llm.Options{MaxTokens: 14, IgnoreEOS: true, KV: kv}
			if _, err := m.NewSequenceOf(kv); err != nil {
				t.Logf("%s: %v", kind, err)
				continue
			}
			for i, row := range batch(t, context.Background(), m, prompts, o, 3) {
				want, _ := greedy(t, m, prompts[i], o)
				got, _ := idsOf(row.Tokens)
				if !slices.Equal(got, want) {
					t.Errorf("%s, %+v: row %d is %v, alone %v", kind, kv, i, got, want)
				}
			}
		}
	}
}
