package models_test

import (
	"os"
	"path/filepath"
	"testing"
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
