package models_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

// TestRoundedPerplexity: rounding the activations of a quantized model moves the
// perplexity of story-10m on TinyStories by less than 0.1 %. Skipped where the
// model and the text are not; MLX_PERPLEXITY=all takes the whole text instead of
// its first part.
func TestRoundedPerplexity(t *testing.T) {
	shared := os.Getenv("MLX_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "shared")
	}
	dir := filepath.Join(shared, "models", "story-10m")
	text, err := os.ReadFile(filepath.Join(shared, "data", "tinystories", "tinystories_valid.txt"))
	if err != nil || llmtest.Race {
		t.Skip("needs story-10m and the text of TinyStories, and no race detector")
	}
	windows := 24
	if os.Getenv("MLX_PERPLEXITY") == "all" {
		windows = math.MaxInt
	} else {
		text = text[:40_000]
	}
	bf16 := mlx.BFloat16
	for _, bits := range []int{4, 8} {
		m, err := llm.Load(dir, llm.LoadOptions{New: models.New, DType: &bf16})
		if err != nil {
			t.Fatal(err)
		}
		ids := m.Tokenizer.Encode(string(text), false)
		nn.Quantize(m.Model, mlx.Scheme{Mode: "affine", Bits: bits, GroupSize: 64})
		exact := perplexity(t, m, ids, windows)
		for _, l := range nn.Modules(m.Model) {
			switch l := l.(type) {
			case *nn.QuantizedLinear:
				l.RoundActivations = true
			case *nn.QuantizedEmbedding:
				l.RoundActivations = true
			}
		}
		rounded := perplexity(t, m, ids, windows)
		t.Logf("%d bits: perplexity %.4f, with rounded activations %.4f: %+.3f %%", bits, exact, rounded, 100*(rounded/exact-1))
		if math.Abs(rounded/exact-1) > 1e-3 {
			t.Errorf("%d bits: rounding the activations moves the perplexity from %.4f to %.4f", bits, exact, rounded)
		}
	}
}

// perplexity is exp of the mean negative log-likelihood, over windows of 256
// tokens that know nothing of each other.
func perplexity(t *testing.T, m *llm.Loaded, ids []int, windows int) float64 {
	t.Helper()
	const length = 256
	var sum float64
	n := 0
	for i := 0; i < windows && (i+1)*length <= len(ids); i++ {
		w := ids[i*length : (i+1)*length]
		logits, err := m.Logits(w)
		if err != nil {
			t.Fatal(err)
		}
		rows, vocab := mlx.ToSlice[float32](logits), logits.Shape()[1]
		for j, next := range w[1:] {
			row := rows[j*vocab : (j+1)*vocab]
			var total float64
			for _, v := range row {
				total += math.Exp(float64(v))
			}
			sum += math.Log(total) - float64(row[next])
			n++
		}
	}
	return math.Exp(sum / float64(n))
}
