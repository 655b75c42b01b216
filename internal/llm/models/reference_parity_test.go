package models_test

import (
	"math"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// TestReference: the reference itself gives what mlx-lm and transformers computed.
func TestReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector, and nothing runs at once")
	}
	n := 0
	for _, kind := range []string{"parity", "parity-hf", "parity-quantized"} {
		for _, root := range parityRoots(kind) {
			entries, _ := os.ReadDir(root)
			for _, e := range entries {
				dir := filepath.Join(root, e.Name())
				if !supported[modelType(dir)] {
					continue
				}
				n++
				t.Run(kind+"/"+e.Name(), func(t *testing.T) { referenceParity(t, dir, otherGELU[kind+"/"+e.Name()]) })
			}
		}
	}
	if n == 0 {
		t.Skip("no recorded models")
	}
}

// parityRoots are the folders of recorded models of a kind.
func parityRoots(kind string) []string {
	shared := os.Getenv("MLX_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "shared")
	}
	return []string{filepath.Join("testdata", kind), filepath.Join(shared, kind)}
}

// otherGELU are where mlx-lm has another form of GELU than transformers, and how much
// logits differ for it.
var otherGELU = map[string]float64{"parity/gemma": 1e-2, "parity/gpt_neox": 4e-3}

func referenceParity(t *testing.T, dir string, allowed float64) {
	recorded := llmtest.Arrays(t, filepath.Join(dir, "ref.safetensors"))
	ids := ints(recorded["input_ids"])
	m := newRef(t, dir)
	var s refState
	rows := m.feed(&s, ids)
	worst := 0.0
	for i, want := range mlx.ToSlice[float32](recorded["logits"]) {
		if d := math.Abs(rows[i/m.vocab][i%m.vocab] - float64(want)); !(d <= worst) {
			worst = d
		}
	}
	t.Logf("%d logits, worst difference %.2g", len(rows)*m.vocab, worst)
	if !(worst <= max(1e-3, allowed)) {
		t.Errorf("logits differ by %g", worst)
	}
	want, gaps := ints(recorded["greedy"]), mlx.ToSlice[float32](recorded["greedy_gap"])
	got, _ := m.greedy(ids, len(ids), len(want))
	for i := range want {
		if gaps[i] <= 5e-3 {
			break
		}
		if got[i] != want[i] {
			t.Fatalf("token %d of %v is not %d", i, got, want[i])
		}
	}
}
