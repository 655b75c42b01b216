package calibrate

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// TestFolds: moving factors from one layer to the next changes nothing, whatever the
// family: GQA, biases, norms whose weight is stored less 1, sandwich norms.
func TestFolds(t *testing.T) {
	shared := os.Getenv("MLX_SHARED")
	if shared == "" {
		shared = filepath.Join("..", "..", "..", "..", "shared")
	}
	dirs, _ := filepath.Glob(filepath.Join(shared, "parity", "*", "config.json"))
	if len(dirs) == 0 { // the few that are in the project
		dirs, _ = filepath.Glob(filepath.Join("..", "models", "testdata", "parity", "*", "config.json"))
	}
	folded := 0
	for _, config := range dirs {
		dir := filepath.Dir(config)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			f32 := mlx.Float32
			m, err := llm.Load(dir, llm.LoadOptions{New: models.New, DType: &f32, NoTokenizer: true})
			if err != nil {
				t.Skip(err)
			}
			layered, ok := m.Model.(llm.Layered)
			if !ok {
				t.Skip("its layers do not run one by one")
			}
			layers, err := layered.Layers()
			if err != nil {
				t.Skip(err)
			}
			for path, a := range nn.Parameters(m.Model) { // no rounding of norms
				if a.DType() == mlx.Uint32 {
					t.Skip(path + " is packed")
				}
			}
			nn.SetDType(m.Model, mlx.Float32)
			folded += foldAll(t, m, layers)
		})
	}
	if folded < 8 {
		t.Errorf("only %d places were folded", folded)
	}
}

// foldAll folds random factors everywhere and compares logits.
func foldAll(t *testing.T, m *llm.Loaded, layers []llm.Layer) (folded int) {
	ids := []int{3, 7, 1, 9, 4, 11, 2, 8, 5}
	before, err := m.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{ctx: context.Background(), m: m, dtype: mlx.Float32, bits: map[string]quant.Scheme{},
		o: &Options{Scheme: quant.Scheme{GroupSize: 1}, Rows: [][]int{ids}, Batch: 1, Note: func(string) {}}}
	xs, err := j.enter(m.Model.(llm.Layered))
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, l := range layers {
		one := &layer{Layer: l, j: j, xs: xs}
		one.watch()
		a := newAWQ(one)
		if err := a.read(); err != nil {
			t.Fatal(err)
		}
		for _, f := range l.Folds {
			n := len(a.sizes[f.To[0]])
			if f.Repeat > 1 {
				n /= f.Repeat
			}
			s := make([]float32, n)
			for i := range s {
				s[i] = float32(math.Exp(r.NormFloat64()))
			}
			if err := a.apply(f, s); err != nil {
				t.Fatal(err)
			}
			folded++
		}
		one.replace(func(path string, part nn.Layer) nn.Layer {
			if _, ok := part.(*watched); !ok {
				return part
			}
			return &nn.Linear{Weight: a.weights[path], Bias: a.biases[path]}
		})
	}
	after, err := m.Logits(ids)
	if err != nil {
		t.Fatal(err)
	}
	x, y := mlx.ToSlice[float32](before), mlx.ToSlice[float32](after)
	worst, top := 0.0, 1.0
	for i := range x {
		if x[i] != y[i] { // also -Inf
			worst = max(worst, math.Abs(float64(x[i]-y[i])))
		}
		if !math.IsInf(float64(x[i]), 0) {
			top = max(top, math.Abs(float64(x[i])))
		}
	}
	if !(worst <= 2e-4*top) {
		t.Errorf("%d folds change the logits by %g of %g", folded, worst, top)
	}
	return folded
}
