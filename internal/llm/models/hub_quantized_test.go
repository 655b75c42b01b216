package models_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/convert"
)

// TestHubQuantizedParity: checkpoints in the quantized formats of the Hub give the logits
// of their dequantized weights.
func TestHubQuantizedParity(t *testing.T) {
	n := 0
	for _, root := range parityRoots("parity-hub-quantized") {
		entries, _ := os.ReadDir(root)
		for _, e := range entries {
			n++
			t.Run(e.Name(), func(t *testing.T) { parity(t, filepath.Join(root, e.Name()), 1e-3) })
		}
	}
	if n == 0 {
		t.Fatal("no recorded models")
	}
}

// TestHubQuantizedWritten: and so do their conversions.
func TestHubQuantizedWritten(t *testing.T) {
	for _, root := range parityRoots("parity-hub-quantized") {
		entries, _ := os.ReadDir(root)
		for _, e := range entries {
			t.Run(e.Name(), func(t *testing.T) {
				dir := filepath.Join(root, e.Name())
				for _, dequantize := range []bool{false, true} {
					f32 := mlx.Float32
					o := convert.Options{Dequantize: dequantize}
					if dequantize {
						o.DType = &f32
					}
					out := written(t, dir, o)
					ref, err := os.ReadFile(filepath.Join(dir, "ref.safetensors"))
					if err == nil {
						err = os.WriteFile(filepath.Join(out, "ref.safetensors"), ref, 0o666)
					}
					if err != nil {
						t.Fatal(err)
					}
					parity(t, out, 1e-3)
				}
			})
		}
	}
}
