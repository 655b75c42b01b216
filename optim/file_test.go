package optim_test

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
)

// TestSaveLoad: five steps, a file, and five steps more end with the bits of ten.
func TestSaveLoad(t *testing.T) {
	g := goldens(t)
	all := func() map[string]*optim.Optimizer {
		m := optimizers()
		m["schedule"] = optim.AdamW(optim.CosineDecay(0.1, 8, 0.01))
		first := func(path string, _ *mlx.Array) bool { return path == "none" }
		m["multi"] = optim.Multi(optim.Choice{For: first, Use: optim.SGD(0.1)}, optim.Choice{Use: optim.Lion(0.01)})
		return m
	}
	train := func(m *weights, o *optim.Optimizer, n int) {
		for range n {
			_, grads := nn.ValueAndGrad(m, func(m *weights) *mlx.Array {
				return mlx.Mean(mlx.Square(g["opt.X"].MatMul(m.W.T()).Sub(g["opt.Y"])))
			})
			o.Update(m, grads)
		}
	}
	again := all()
	for name, o := range all() {
		path := filepath.Join(t.TempDir(), "opt.safetensors")
		m := &weights{g["opt.w0"]}
		train(m, o, 5)
		middle := &weights{m.W}
		if err := o.Save(path); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		train(m, o, 5)
		other := again[name]
		if err := other.Load(path); err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		train(middle, other, 5)
		if err := optest.Diff(middle.W, m.W, optest.Exact); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if a, b := mlx.Item[uint64](o.Step()), mlx.Item[uint64](other.Step()); a != 10 || b != 10 {
			t.Errorf("%s: %d and %d steps", name, a, b)
		}
	}
}

func TestSavedNames(t *testing.T) {
	dir := t.TempDir()
	model := nn.NewSequential(nn.NewLinear(2, 3, nn.Bias(false)))
	names := func(o *optim.Optimizer) (path, list string) {
		path = filepath.Join(dir, "x.safetensors")
		o.Init(model)
		if err := o.Save(path); err != nil {
			t.Fatal(err)
		}
		all, _, err := mlx.LoadAll(path)
		if err != nil {
			t.Fatal(err)
		}
		return path, fmt.Sprint(slices.Sorted(maps.Keys(all)))
	}
	if _, s := names(optim.Multi(optim.Choice{Use: optim.Lion(0.1)})); s != "[states.0.layers.0.weight.m states.0.learning_rate states.0.step]" {
		t.Error(s)
	}
	path, s := names(optim.Adam(0.1))
	if s != "[layers.0.weight.m layers.0.weight.v learning_rate step]" {
		t.Error(s)
	}
	wrong := func(o *optim.Optimizer, want string) {
		t.Helper()
		before := o.Updates
		if err := o.Load(path); err == nil || !strings.Contains(err.Error(), path) || !strings.Contains(err.Error(), want) || o.Updates != before {
			t.Errorf("%v, want %q", err, want)
		}
	}
	lion := optim.Lion(0.1)
	lion.Init(model)
	wrong(lion, "layers.0.weight.v is not of this optimizer")
	adam := optim.Adam(0.1)
	adam.Init(nn.NewSequential(nn.NewLinear(3, 3, nn.Bias(false))))
	wrong(adam, "has shape (3, 2), not (3, 3)")
	wrong(optim.Multi(optim.Choice{Use: optim.Lion(0.1)}), "states.0.step is missing")
}
