package convert

import (
	"os"
	"strconv"
	"testing"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestWriteLarge writes a random model of about MLX_LARGE_GB GB into the directory
// MLX_LARGE_DIR, for measuring by hand; see docs/quantization.md.
func TestWriteLarge(t *testing.T) {
	dir := os.Getenv("MLX_LARGE_DIR")
	if dir == "" {
		t.Skip("MLX_LARGE_DIR says no directory")
	}
	gb, err := strconv.ParseFloat(os.Getenv("MLX_LARGE_GB"), 64)
	if err != nil {
		t.Fatal(err)
	}
	// 0.86 GB of embedding and head, 0.406 GB for each layer.
	layers := max(int((gb-1)/0.4), 1)
	llmtest.WriteShards(t, dir, llmtest.Tiny("llama").With(llmtest.Config{
		"vocab_size": 64000, "hidden_size": 4096, "intermediate_size": 11008, "num_hidden_layers": layers, "num_attention_heads": 32,
		"num_key_value_heads": 32, "head_dim": 128, "torch_dtype": "bfloat16",
	}), 1, 2<<30)
}
