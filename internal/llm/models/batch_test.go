package models_test

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

func loadRandom(t testing.TB, c llmtest.Config) *llm.Loaded {
	t.Helper()
	m, err := llm.Load(llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32)), llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Each sequence of a batch has the logits that it has alone, beyond the first
// growth of the cache and after a reset.
func TestBatch(t *testing.T) {
	c := llmtest.Tiny("qwen3")
	m := loadRandom(t, c)
	const length, sequences = 260, 3
	b, err := m.NewBatch(sequences)
	if err != nil {
		t.Fatal(err)
	}
	tokens := make([][]int, sequences)
	for i := range tokens {
		for j := range length {
			tokens[i] = append(tokens[i], (i*31+j*7)%96)
		}
	}
	want := make([][]float32, sequences)
	for i := range tokens {
		logits, err := m.Logits(tokens[i])
		if err != nil {
			t.Fatal(err)
		}
		want[i] = mlx.ToSlice[float32](logits)
	}
	for range 2 {
		for j := range length {
			rows, err := b.Step([]int{tokens[0][j], tokens[1][j], tokens[2][j]})
			if err != nil {
				t.Fatal(err)
			}
			for i, row := range rows {
				for k, x := range row {
					if d := x - want[i][j*96+k]; !(d < 1e-4 && d > -1e-4) {
						t.Fatalf("sequence %d, position %d, token %d: %g, alone %g", i, j, k, x, want[i][j*96+k])
					}
				}
			}
		}
		kernels, barriers, ok, err := b.Dispatch()
		if b.Len() != length || err != nil || !ok || kernels < 20 || barriers < 10 || barriers >= kernels {
			t.Fatalf("length %d, want %d; %d kernels, %d barriers, %v", b.Len(), length, kernels, barriers, err)
		}
		b.Reset()
	}
}

func TestBatchErrors(t *testing.T) {
	m := loadRandom(t, llmtest.Tiny("llama").With(llmtest.Config{"max_position_embeddings": 2}))
	if _, err := m.NewBatch(0); err == nil {
		t.Error("a batch of 0 sequences")
	}
	if _, err := m.NewBatch(1 << 40); err == nil || !strings.Contains(err.Error(), "memory") {
		t.Errorf("a batch that does not fit: %v", err)
	}
	b, err := m.NewBatch(2)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		tokens []int
		want   string
	}{
		{[]int{1}, "1 tokens for a batch of 2 sequences"},
		{[]int{1, 96}, "token 96 (sequence 1) is not in the vocabulary of 96"},
		{[]int{-1, 1}, "token -1 (sequence 0)"},
		{[]int{1, 2}, ""},
		{[]int{1, 2}, ""},
		{[]int{1, 2}, "the model's context of 2 tokens is full"},
	} {
		_, err := b.Step(c.tokens)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("step %v: %v, want %q", c.tokens, err, c.want)
		}
	}
}
