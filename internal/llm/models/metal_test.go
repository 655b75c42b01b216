//go:build linux && metalemu

package models_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestMetalParity: on the emulated GPU, recorded models give their reference within the
// CPU's tolerances, and no op of theirs runs on the CPU. MLX_FULL=1 tries all of ../shared.
func TestMetalParity(t *testing.T) {
	for _, kind := range recordings {
		root := filepath.Join("testdata", kind.name)
		if os.Getenv("MLX_FULL") != "" {
			root = llmtest.Shared(t, kind.name)
		}
		for _, dir := range recordedModels(root) {
			t.Run(kind.name+"/"+filepath.Base(dir), func(t *testing.T) {
				ran := llmtest.OnMetal(t, func() { parity(t, dir, kind.tolerance) })
				if ran.On("scaled_dot_product_attention") == 0 || ran.On("matmul")+ran.On("quantized_matmul") == 0 {
					t.Error("no attention or no product was seen on the GPU")
				}
			})
		}
	}
}
