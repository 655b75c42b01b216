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

// TestBatchRopes: a row of a batch does not feel how long the others are, where the
// rotation depends on the length.
func TestBatchRopes(t *testing.T) {
	r := newRand(4)
	short, long := make([]float64, 8), make([]float64, 8)
	for i := range short {
		short[i], long[i] = 1, 2+float64(i)
	}
	for _, scaling := range []llmtest.Config{
		{"rope_type": "longrope", "short_factor": short, "long_factor": long, "original_max_position_embeddings": 24},
		{"rope_type": "dynamic", "factor": 8.0},
	} {
		c := llmtest.Tiny("llama").With(llmtest.Config{"rope_scaling": scaling, "max_position_embeddings": 24})
		if scaling["rope_type"] == "longrope" {
			c["max_position_embeddings"] = 200
		}
		m := load(t, llmtest.Write(t, c, lively(t, r, c, mlx.Float32)))
		var prompts [][]int
		for _, n := range []int{3, 60, 20} {
			prompts = append(prompts, randomTokens(r, c, n))
		}
		o := llm.Options{MaxTokens: 16, IgnoreEOS: true}
		for i, row := range batch(t, context.Background(), m, prompts, o, 3) {
			want, _ := greedy(t, m, prompts[i], o)
			if got, _ := idsOf(row.Tokens); !slices.Equal(got, want) {
				t.Errorf("%v: row %d is %v, alone %v", scaling["rope_type"], i, got, want)
			}
		}
	}
}
