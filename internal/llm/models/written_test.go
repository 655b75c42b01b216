package models_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// written is the model in dir as package convert writes it.
func written(t *testing.T, dir string, o convert.Options) string {
	t.Helper()
	src, set, err := llm.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer set.Close()
	o.New = models.New
	out := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Run(context.Background(), src, out, o); err != nil {
		t.Fatal(err)
	}
	return out
}

// TestWritten: every model type has the logits that it had when it is written, and runs
// when it is quantized; names of what also sees are mlx-lm's.
func TestWritten(t *testing.T) {
	outer := map[string]string{"gemma3": "gemma3_text", "gemma3n": "gemma3n_text", "gemma4": "gemma4_text", "llava": "llama", "mistral3": "mistral",
		"pixtral": "mistral", "qwen2_vl": "qwen2", "qwen2_5_vl": "qwen2", "qwen3_vl": "qwen3", "gemma4_unified": "gemma4_text"}
	for _, kind := range models.Types() {
		t.Run(kind, func(t *testing.T) {
			inner := kind
			if name, ok := outer[kind]; ok {
				inner = name
			}
			c := llmtest.Tiny(inner)
			if change := families[inner]; change != nil {
				change(newRand(1), c)
			}
			switch inner {
			case "gemma3n_text":
				gemma3n(newRand(1), c)
			case "gemma4_text":
				gemma4(newRand(1), c)
			}
			w := llmtest.Random(t, c, 1, mlx.Float32)
			prefix := ""
			if inner != kind {
				c = llmtest.Config{"model_type": kind, "text_config": c, "vision_config": llmtest.Config{"hidden_size": 3}}
				prefix = "language_model."
				if kind == "gemma3n" {
					prefix = "model.language_model."
				}
				for i := range w {
					w[i].Name = prefix + strings.TrimPrefix(w[i].Name, strings.TrimSuffix(prefix, "language_model."))
				}
			}
			dir := llmtest.Write(t, c, w)
			plain := written(t, dir, convert.Options{})
			want, got := logitsIn(t, dir), logitsIn(t, plain)
			if !equalRows([][]float32{got}, [][]float32{want}) {
				t.Error("other logits")
			}
			set, err := safetensors.OpenDir(plain)
			if err != nil {
				t.Fatal(err)
			}
			defer set.Close()
			for _, name := range set.Names() {
				if !strings.HasPrefix(name, prefix) {
					t.Errorf("%s is written without %s", name, prefix)
				}
			}
			packed := written(t, dir, convert.Options{Quantize: true, Scheme: mlx.Scheme{GroupSize: 32, Bits: 8}})
			logitsIn(t, packed)
			back := written(t, packed, convert.Options{Dequantize: true})
			logitsIn(t, back)
		})
	}
}

func logitsIn(t *testing.T, dir string) []float32 {
	t.Helper()
	x, err := load(t, dir).Logits(tokensOf(6))
	if err != nil {
		t.Fatal(err)
	}
	return mlx.ToSlice[float32](x)
}
