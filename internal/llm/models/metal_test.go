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
		root := parityRoots(kind.name)[0] // testdata
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

// TestMetalReferences: neither do other architectures and settings leave the GPU, which
// are held against a decoder in float64.
func TestMetalReferences(t *testing.T) {
	if os.Getenv("MLX_FULL") == "" {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	for name, f := range map[string]func(*testing.T){
		"families": TestFamiliesAgainstReference, "ternary": TestTernary, "hub": TestHubQuantizedParity,
		"half": TestHalfPrecision, "llama": TestAgainstReference, "quantized": TestQuantizedAgainstReference, "config": TestConfigAgainstReference,
	} {
		t.Run(name, func(t *testing.T) { llmtest.OnMetal(t, func() { f(t) }) })
	}
}
