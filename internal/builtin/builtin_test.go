package builtin_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/sample"
	"github.com/mlxgo/mlx/nn"
)

// recorded is what mlx-lm's quantizer made of the bf16 weights: shape, dtype and
// sha256 of the bytes of each tensor.
type recorded struct {
	Quantization map[string]any    `json:"quantization"`
	Tensors      map[string][3]any `json:"tensors"`
}

func check(t *testing.T, m llm.Model, ref recorded) {
	t.Helper()
	n := 0
	for path, a := range nn.Parameters(m) {
		want, ok := ref.Tensors[path]
		if !ok {
			t.Errorf("%s was not recorded", path)
			continue
		}
		n++
		var shape mlx.Shape
		for _, d := range want[0].([]any) {
			shape = append(shape, int(d.(float64)))
		}
		sum := sha256.Sum256(a.Bytes())
		if d := strings.TrimPrefix(want[1].(string), "mlx.core."); !slices.Equal(a.Shape(), shape) || a.DType().String() != d || hex.EncodeToString(sum[:]) != want[2] {
			t.Errorf("%s: %v%v with other bytes than the recorded %s%v", path, a.DType(), a.Shape(), d, shape)
		}
	}
	if n != len(ref.Tensors) {
		t.Errorf("%d tensors, %d were recorded", n, len(ref.Tensors))
	}
}

func read(t *testing.T, path string, v any) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(raw, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestBytes(t *testing.T) {
	m, err := builtin.Load(llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	var ref recorded
	read(t, "testdata/affine-b4-g64.json", &ref)
	check(t, m.Model, ref)
}

// TestQuantizeBytes quantizes the bf16 weights in every recorded way.
func TestQuantizeBytes(t *testing.T) {
	dir := llmtest.Shared(t, "models", "story-10m")
	var refs map[string]recorded
	read(t, filepath.Join(dir, "reference_quantized.json"), &refs)
	for name, ref := range refs {
		t.Run(name, func(t *testing.T) {
			m, err := llm.Load(dir, llm.LoadOptions{New: models.New})
			if err != nil {
				t.Fatal(err)
			}
			whole := scheme(ref.Quantization)
			nn.Quantize(m.Model, nn.Predicate(func(path string, _ nn.Quantizable) (mlx.Scheme, bool) {
				if own, ok := ref.Quantization[path].(map[string]any); ok {
					return scheme(own), true
				}
				return whole, true
			}))
			check(t, m.Model, ref)
		})
	}
}

func scheme(q map[string]any) mlx.Scheme {
	mode, _ := q["mode"].(string)
	return mlx.Scheme{GroupSize: int(q["group_size"].(float64)), Bits: int(q["bits"].(float64)), Mode: mlx.Mode(mode), Rounding: mlx.RoundCPU}
}

// TestStory: the same seed tells the same story, in whole sentences; another seed
// another one.
func TestStory(t *testing.T) {
	if llmtest.Race {
		t.Skip("minutes with the race detector")
	}
	m, err := builtin.Load(llm.LoadOptions{New: models.New})
	if err != nil {
		t.Fatal(err)
	}
	temperature, topP := builtin.Sampling()
	tell := func(seed uint64) string {
		prompt, err := m.Tokenizer.Prompt(llm.PromptOptions{Text: "Once upon a time", IgnoreChatTemplate: true})
		if err != nil {
			t.Fatal(err)
		}
		g, err := llm.Generate(m, prompt, llm.Options{MaxTokens: 60, EOS: m.Config.EOS,
			Sampling: sample.Options{Temperature: temperature, TopP: topP, Seed: &seed}})
		if err != nil {
			t.Fatal(err)
		}
		var b strings.Builder
		for tok, err := range g.Tokens(context.Background()) {
			if err != nil {
				t.Fatal(err)
			}
			b.WriteString(tok.Text)
		}
		return b.String()
	}
	one, again, two := tell(1), tell(1), tell(2)
	if one != again || one == two {
		t.Errorf("seed 1: %q and %q; seed 2: %q", one, again, two)
	}
	if len(strings.Fields(one)) < 20 || !strings.Contains(one, ".") {
		t.Errorf("no story: %q", one)
	}
	t.Log(one)
}
