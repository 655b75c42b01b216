package nn_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
)

func TestWeights(t *testing.T) {
	for _, ending := range []string{".safetensors", ".npz"} {
		path := filepath.Join(t.TempDir(), "w"+ending)
		from, to := newMLP(), newMLP()
		if err := nn.SaveWeights(from, path); err != nil {
			t.Fatal(err)
		}
		if err := nn.LoadWeights(to, path); err != nil {
			t.Fatal(err)
		}
		want := map[string]*mlx.Array{}
		for p, a := range nn.Parameters(from) {
			want[p] = a
		}
		for p, a := range nn.Parameters(to) {
			if err := optest.Diff(a, want[p], optest.Exact); err != nil {
				t.Errorf("%s %s %v", ending, p, err)
			}
		}
		other := nn.NewLinear(64, 96)
		err := nn.LoadWeights(other, path)
		if err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), "2 missing tensors: weight, bias") || !strings.Contains(err.Error(), "unexpected tensors: embed.weight, linear1.bias") {
			t.Errorf("other names: %v", err)
		}
		if err := nn.LoadWeights(other, path, nn.Strict(false)); err != nil {
			t.Error(err)
		}
		wrong := newMLP()
		wrong.Linear2 = nn.NewLinear(95, 64, nn.Bias(false))
		before := wrong.Norm.Weight
		err = nn.LoadWeights(wrong, path, nn.Strict(false))
		if err == nil || !strings.Contains(err.Error(), "linear2.weight has shape (64, 96), not (64, 95)") || wrong.Norm.Weight != before {
			t.Errorf("another shape: %v", err)
		}
	}
	if err := nn.SaveWeights(newMLP(), "w.bin"); err == nil || !strings.Contains(err.Error(), "w.bin") {
		t.Error(err)
	}
}
