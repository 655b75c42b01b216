package models_test

import (
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// packedTernary replaces the matrices of blocks by codes of 2 bits.
func packedTernary(t *testing.T, r *rand.Rand, c llmtest.Config, inverse bool) []safetensors.Tensor {
	t.Helper()
	out := lively(t, r, c, mlx.Float32)
	at := map[string]int{}
	for i, x := range out {
		at[x.Name] = i
	}
	for _, name := range slices.Sorted(maps.Keys(at)) {
		i := at[name]
		path, ok := strings.CutSuffix(name, "_scale")
		if !ok {
			continue
		}
		w := &out[at[path]]
		codes := make([]byte, w.Shape[0]*w.Shape[1])
		for j := range codes {
			for bit := 0; bit < 8; bit += 2 {
				codes[j] |= byte(r.IntN(3)) << bit
			}
		}
		*w = safetensors.Tensor{Name: path, DType: mlx.Uint8, Shape: w.Shape, Data: codes}
		scale := float32(0.05 + 0.1*r.Float64())
		if inverse {
			scale = 1 / scale
		}
		out[i] = llmtest.Tensor(name, []float32{scale}, mlx.Float32, 1)
	}
	return out
}

// TestTernary: matrices of 2 bits as BitNet's own files have them, and those of a Llama
// that was trained so, whose scales are inverse.
func TestTernary(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector")
	}
	for i, kind := range []string{"bitnet", "llama", "bitnet"} {
		r := rand.New(rand.NewPCG(uint64(i), 49))
		q := llmtest.Config{"quant_method": "bitnet", "modules_to_not_convert": nil}
		if kind == "bitnet" {
			q["linear_class"], q["quantization_mode"] = "autobitlinear", "offline"
		}
		c := llmtest.Tiny(kind).With(llmtest.Config{"quantization_config": q, "attention_bias": i == 2, "intermediate_size": pick(r, 96, 128)})
		dir := writeAny(t, r, c, packedTernary(t, r, c, kind == "llama"))
		against(t, dir, randomTokens(r, c, 30), randomTokens(r, c, 9), 16, 1e-1, 3, 0) // as in TestFamiliesAgainstReference
	}
}

// TestTernaryRefused: what packed matrices cannot be.
func TestTernaryRefused(t *testing.T) {
	for want, change := range map[string]llmtest.Config{
		"multiples of 32, not 72":      {"intermediate_size": 72},
		"only lm_head can be left out": {"quantization_config": llmtest.Config{"quant_method": "bitnet", "modules_to_not_convert": []string{"lm_head", "model.layers.0"}}},
	} {
		c := llmtest.Tiny("bitnet").With(llmtest.Config{"quantization_config": llmtest.Config{"quant_method": "bitnet"}}).With(change)
		if _, err := models.New("bitnet", []byte(describe(c))); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, not %s", err, want)
		}
	}
}
