package convert_test

import (
	"math"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// Layers that MLX has packed are unpacked into the file: a float32 file of the built-in
// model has its logits.
func TestGGUFUnpacks(t *testing.T) {
	source, err := builtin.Source()
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := convert.WriteGGUF(t.Context(), source, path, convert.GGUFOptions{Type: "f32"}); err != nil {
		t.Fatal(err)
	}
	d := mlx.Float32
	o := llm.LoadOptions{New: models.New, ExactActivations: true, DType: &d}
	ids := []int{1, 426, 439, 263, 401, 512, 7}
	var all [2][]float32
	for i, load := range []func() (*llm.Loaded, error){
		func() (*llm.Loaded, error) { return llm.LoadSource(source, o) },
		func() (*llm.Loaded, error) { return llm.Load(path, o) },
	} {
		m, err := load()
		if err != nil {
			t.Fatal(err)
		}
		logits, err := m.Logits(ids)
		if err != nil {
			t.Fatal(err)
		}
		all[i] = mlx.ToSlice[float32](logits)
	}
	for i, want := range all[0] {
		if math.Abs(float64(all[1][i]-want)) > 1e-3*max(1, math.Abs(float64(want))) {
			t.Fatalf("logit %d is %v, want %v", i, all[1][i], want)
		}
	}
}
