//go:build linux && metalemu

package tune_test

import (
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// onMetal are the runs that are tried on the emulated GPU, without their options.
func onMetal() map[string]setup {
	lora := tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}
	dropout, dora, full := lora, lora, tune.Layers{Kind: tune.Full, Num: -1}
	dropout.Dropout, dora.Kind = 0.1, tune.DoRA
	biased := llmtest.Config{"attention_bias": true, "tie_word_embeddings": true}
	return map[string]setup{
		"lora":                {layers: lora},
		"lora checkpoint":     {layers: lora, checkpoint: true},
		"lora 4-bit":          {layers: lora, bits: 4},
		"lora 4-bit, dropout": {layers: dropout, bits: 4, checkpoint: true},
		"dora 8-bit, biases":  {layers: dora, bits: 8, config: biased},
		"full":                {layers: full},
		"bfloat16":            {layers: lora, bits: 4, bfloat16: true},
		"mxfp4, sgd":          {layers: lora, bits: 4, mode: "mxfp4", optimizer: "sgd"},
		"muon":                {layers: lora, optimizer: "muon"},
		"adafactor":           {layers: lora, optimizer: "adafactor"},
	}
}

// tolerance is that of float32, or what the 8 bits of bfloat16 allow, which are all that layers
// hand on.
func (s setup) tolerance(float32s float64) float64 {
	if s.bfloat16 {
		return 0.03
	}
	return float32s
}

// gradients are the loss and its derivatives by what is trained, evaluated.
func gradients(t *testing.T, m llm.Model, trained *tune.Trained, b tune.Batch) (loss float64, grads map[string]*mlx.Array) {
	t.Helper()
	random.Seed(11) // of dropout
	l, _, g := nn.ValueAndGradAux(m, func(m llm.Model) (*mlx.Array, *mlx.Array) { return tune.Loss(m, b, false) }, trained.Filter)
	if err := mlx.Eval(l, g); err != nil {
		t.Fatal(err)
	}
	return float64(mlx.Item[float32](l)), maps.Collect(nn.Parameters(g))
}

// TestMetalGradients: a step's gradients on the emulated GPU are the CPU's within 1e-3 of
// the greatest, and no op of it runs on the CPU.
func TestMetalGradients(t *testing.T) {
	for name, s := range onMetal() {
		t.Run(name, func(t *testing.T) {
			m, trained := s.model(t)
			tolerance := s.tolerance(1e-3)
			moved := map[string]*mlx.Array{} // an adapter's second factor is 0 at first, which leaves the first without gradients
			for path, a := range nn.TrainableParameters(m, trained.Filter) {
				if strings.HasSuffix(path, "lora_b") {
					moved[path] = random.Normal(a.Shape()).Mul(0.05).AsType(a.DType())
				}
			}
			if err := nn.Update(m, maps.All(moved)); err != nil {
				t.Fatal(err)
			}
			b := s.set(t, 8, m).Batch(1, 0, 1)
			wantLoss, want := gradients(t, m, trained, b)
			var gotLoss float64
			var got map[string]*mlx.Array
			ran := llmtest.OnMetal(t, func() { gotLoss, got = gradients(t, m, trained, b) })
			if d := math.Abs(gotLoss - wantLoss); !(d <= tolerance/10*wantLoss) {
				t.Errorf("the loss is %v, on the CPU %v", gotLoss, wantLoss)
			}
			if len(got) != len(want) || len(got) == 0 {
				t.Fatalf("gradients of %q, on the CPU of %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
			}
			worst := 0.0
			for path, w := range want {
				if mlx.Item[bool](mlx.All(w.Eq(0))) {
					t.Errorf("the gradient of %s is 0", path)
				}
				off := difference(got[path], w)
				if !(off <= tolerance) {
					t.Errorf("the gradient of %s is off by %.3g of its greatest value", path, off)
				}
				worst = max(worst, off)
			}
			t.Logf("%d tensors, off by %.2g at most", len(got), worst)
			if ran.On("scaled_dot_product_attention_vjp") == 0 {
				t.Error("no derivative of attention was seen on the GPU")
			}
		})
	}
}

// TestMetalTraining: whole runs, in compiled steps, have the CPU's losses. MLX_FULL=1 tries
// all kinds.
func TestMetalTraining(t *testing.T) {
	for name, s := range onMetal() {
		if os.Getenv("MLX_FULL") == "" && name != "lora 4-bit, dropout" {
			continue
		}
		t.Run(name, func(t *testing.T) {
			s.o = steps(5)
			s.o.Accumulation, s.o.MaxGradNorm = 2, 1
			run := func() []float64 {
				got := map[int]float64{}
				tr, _ := s.newTrainer(t, losses(got))
				if err := tr.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				var list []float64
				for _, i := range slices.Sorted(maps.Keys(got)) {
					list = append(list, got[i])
				}
				return list
			}
			want := run()
			var got []float64
			llmtest.OnMetal(t, func() { got = run() })
			if len(want) != s.o.Iters || len(got) != len(want) {
				t.Fatalf("losses %v, on the CPU %v", got, want)
			}
			for i, w := range want {
				if d := math.Abs(got[i] - w); !(d <= s.tolerance(1e-4)/10*w) {
					t.Errorf("step %d: the loss is %v, on the CPU %v", i, got[i], w)
				}
			}
		})
	}
}

// TestMetalRecorded follows recordings of mlx-lm's trainer on the emulated GPU: the
// gradients of step 0, and the first losses.
func TestMetalRecorded(t *testing.T) {
	if os.Getenv("MLX_FULL") == "" {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	for _, file := range recordings(t) {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".safetensors"), func(t *testing.T) {
			r := readRecording(t, file)
			const n = 3
			var got run
			llmtest.OnMetal(t, func() { got = r.train(t, mlx.Float32, n) })
			for name, grad := range r.group("grad0") {
				if d := difference(got.grads[name], grad); !(d <= 1e-3) {
					t.Errorf("the gradient of %s is off by %.3g of its greatest value", name, d)
				}
			}
			for i, w := range toDouble(mlx.ToSlice[float32](r.tensors["losses"]))[:n] {
				if d := math.Abs(got.losses[i] - w); !(d <= 1e-3) {
					t.Errorf("step %d: the loss is %v, recorded %v", i, got.losses[i], w)
				}
			}
		})
	}
}
