package tune_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/optim"
	"github.com/mlxgo/mlx/random"
)

// setup is a small run: its options and what they change.
type setup struct {
	layers tune.Layers
	o      tune.Options
	bits   int
	mode   mlx.Mode // of packed weights; "": affine
	mlxLM  bool
	config llmtest.Config // changes of the model
	rate   optim.Schedule // nil: 1e-3
	tokens int            // of each row; 0: several

	optimizer  string // "": adam
	checkpoint bool
	bfloat16   bool
}

var small = setup{
	layers: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Dropout: 0.1},
	o:      tune.Options{Iters: 12, Accumulation: 1, StepsPerReport: 5, StepsPerEval: 4, SaveEvery: 3, ValBatches: 2},
}

// model makes the same model each time, ready to be trained.
func (s setup) model(t *testing.T) (llm.Model, *tune.Trained) {
	t.Helper()
	c := llmtest.Tiny("llama").With(s.config)
	d := mlx.Float32
	l, err := llm.Load(llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32)), llm.LoadOptions{New: models.New, DType: &d, NoTokenizer: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.bits > 0 {
		nn.Quantize(l.Model, mlx.Scheme{Bits: s.bits, GroupSize: 32, Mode: s.mode})
	}
	random.Seed(7)
	trained, err := tune.Prepare(l.Model, s.layers)
	if err != nil {
		t.Fatal(err)
	}
	if s.bfloat16 {
		nn.SetDType(l.Model, mlx.BFloat16)
		l.Model.SetDType(mlx.BFloat16)
	}
	if s.checkpoint {
		if err := l.Model.(llm.Trainable).SetCheckpoint(true); err != nil {
			t.Fatal(err)
		}
	}
	return l.Model, trained
}

// newTrainer makes the same trainer each time.
func (s setup) newTrainer(t *testing.T, h tune.Hooks) (*tune.Trainer, llm.Model) {
	t.Helper()
	m, trained := s.model(t)
	train, valid := s.set(t, 21, m), s.set(t, 9, m)
	var order tune.Order = tune.NewOrder(3)
	if s.mlxLM {
		order = tune.NewTwister(3)
	}
	rate := s.rate
	if rate == nil {
		rate = optim.Constant(1e-3)
	}
	name := s.optimizer
	if name == "" {
		name = "adam"
	}
	opt, err := tune.NewOptimizer(name, rate, nil)
	if err != nil {
		t.Fatal(err)
	}
	return tune.NewTrainer(m, trained, opt, train, valid, order, s.o, h), m
}

func (s setup) set(t *testing.T, n int, m llm.Model) *tune.Set {
	t.Helper()
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	rows := make([]tune.Row, n)
	for i := range rows {
		n := s.tokens
		if n == 0 {
			n = 3 + rng.IntN(40)
		}
		for range n {
			rows[i].Tokens = append(rows[i].Tokens, int32(rng.IntN(m.Info().VocabSize)))
		}
	}
	set, err := tune.NewSet(rows, 4, max(64, s.tokens), s.mlxLM)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

// losses runs a trainer and collects the losses by iteration.
func losses(into map[int]float64) tune.Hooks {
	return tune.Hooks{Step: func(i int, l float64) { into[i] = l }}
}

// TestResume stops a run after each number of iterations and goes on from the last
// checkpoint: losses and weights are those of a run that nobody stopped.
func TestResume(t *testing.T) {
	for name, s := range map[string]setup{
		"plain": small,
		"accumulated": func() setup {
			s := small
			s.o.Accumulation, s.bits, s.mlxLM = 2, 4, true
			return s
		}(),
	} {
		t.Run(name, func(t *testing.T) {
			want := map[int]float64{}
			tr, _ := s.newTrainer(t, losses(want))
			if err := tr.Run(t.Context()); err != nil {
				t.Fatal(err)
			}
			weights := tr.Weights()
			for _, stop := range []int{0, 1, 4, 7, 11} {
				got := map[int]float64{}
				path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
				settings := map[string]string{"seed": "7"}
				ctx, cancel := context.WithCancel(t.Context())
				h := losses(got)
				var tr *tune.Trainer
				h.Step = func(i int, l float64) {
					got[i] = l
					if i == stop {
						cancel()
					}
				}
				h.Save = func(int) error { return tr.SaveCheckpoint(path, settings) }
				tr, _ = s.newTrainer(t, h)
				if err := tr.SaveCheckpoint(path, settings); err != nil {
					t.Fatal(err)
				}
				if stop == 0 {
					cancel()
				}
				if err := tr.Run(ctx); !errors.Is(err, context.Canceled) {
					t.Fatalf("stopped after %d: %v", stop, err)
				}
				tr, _ = s.newTrainer(t, losses(got))
				if err := tr.Resume(path, settings); err != nil {
					t.Fatal(err)
				}
				if err := tr.Run(t.Context()); err != nil {
					t.Fatal(err)
				}
				if !maps.Equal(got, want) {
					t.Errorf("stopped after %d: losses %v, want %v", stop, got, want)
				}
				for path, a := range tr.Weights() {
					if !mlx.Item[bool](mlx.ArrayEqual(a, weights[path])) {
						t.Errorf("stopped after %d: %s differs", stop, path)
					}
				}
			}
		})
	}
}

// TestResumeRefuses names what differs from the run that wrote a checkpoint.
func TestResumeRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	tr, _ := small.newTrainer(t, tune.Hooks{})
	if err := tr.SaveCheckpoint(path, map[string]string{"seed": "7"}); err != nil {
		t.Fatal(err)
	}
	wide := small
	wide.layers.Rank = 8
	other, _ := wide.newTrainer(t, tune.Hooks{})
	for want, err := range map[string]error{
		"seed was 7 and is 8":         tr.Resume(path, map[string]string{"seed": "8"}),
		"is missing or has another":   other.Resume(path, map[string]string{"seed": "7"}),
		"no checkpoint of a training": tr.Resume(modelFile(t), nil),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}

func modelFile(t *testing.T) string {
	c := llmtest.Tiny("llama")
	return filepath.Join(llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32)), "model.safetensors")
}

// TestLossFalls overfits a few rows.
func TestLossFalls(t *testing.T) {
	s := small
	s.layers.Dropout = 0
	s.o.Iters = 60
	got := map[int]float64{}
	tr, _ := s.newTrainer(t, losses(got))
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	mean := func(from, to int) (sum float64) {
		for i := from; i < to; i++ {
			sum += got[i] / float64(to-from)
		}
		return sum
	}
	if a, b := mean(1, 11), mean(51, 61); b > a-0.5 {
		t.Errorf("the loss went from %v to %v", a, b)
	}
}

// TestNotFinite stops at a loss that is no number.
func TestNotFinite(t *testing.T) {
	tr, m := small.newTrainer(t, tune.Hooks{})
	for path, a := range nn.Parameters(m) {
		if strings.HasSuffix(path, "lora_a") {
			bad := maps.All(map[string]*mlx.Array{path: mlx.FullLike(a, math.NaN())})
			if err := nn.Update(m, bad); err != nil {
				t.Fatal(err)
			}
			break
		}
	}
	err := tr.Run(t.Context())
	if !errors.Is(err, tune.ErrNotFinite) || !strings.Contains(err.Error(), "iteration 1:") || !strings.Contains(err.Error(), "lora_") {
		t.Errorf("%v", err)
	}
}

// TestOverflowingUpdate: an update whose loss and gradient were finite can leave weights
// that are no numbers. Then nothing is saved any more, neither as usual, nor as the best,
// nor by a stop.
func TestOverflowingUpdate(t *testing.T) {
	for name, at := range map[string]int{"as usual": 6, "after a stop": 4} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
			var saved []int
			var tr *tune.Trainer
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s := small
			s.o.ValBatches = 0
			s.rate = optim.StepDecay(1e-3, 1e41, at-1) // the last update has a rate above the greatest float32
			tr, _ = s.newTrainer(t, tune.Hooks{
				Save: func(i int) error { saved = append(saved, i); return tr.SaveCheckpoint(path, nil) },
				Step: func(i int, _ float64) {
					if i == 4 && at == 4 {
						cancel()
					}
				},
			})
			err := tr.Run(ctx)
			if at == 4 {
				if !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				err = tr.SaveCheckpoint(path, nil)
			}
			if want := fmt.Sprintf("iteration %d: the loss was finite, and its update is not a finite number; so are weights of model.", at); !errors.Is(err, tune.ErrNotFinite) || !strings.HasPrefix(err.Error(), want) {
				t.Errorf("%v, want %s", err, want)
			}
			if !slices.Equal(saved, []int{3}) {
				t.Errorf("saved after %v, want 3", saved)
			}
			again, _ := s.newTrainer(t, tune.Hooks{})
			if err := again.Resume(path, nil); err != nil {
				t.Fatal(err)
			}
			for path, a := range again.Weights() {
				if mlx.Item[bool](mlx.Any(mlx.IsNaN(a).Add(mlx.IsInf(a)))) {
					t.Errorf("the checkpoint's %s is no number", path)
				}
			}
			if again.State().Iter != 3 {
				t.Errorf("the checkpoint is of iteration %d", again.State().Iter)
			}
		})
	}
}

// TestSpeedAfterResume: iterations and tokens per second are those of this run alone, by
// the same time, though the loss is the mean since the last report.
func TestSpeedAfterResume(t *testing.T) {
	const stop = 3 // of 5 to the first report
	path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	trained := map[int]int{}
	var tr *tune.Trainer
	var first tune.Report
	ctx, cancel := context.WithCancel(t.Context())
	h := tune.Hooks{
		Step: func(i int, _ float64) {
			trained[i] = tr.State().Trained
			if i == stop {
				cancel()
			}
		},
		Report: func(r tune.Report) {
			if first.Iter == 0 {
				first = r
			}
		},
	}
	tr, _ = small.newTrainer(t, h)
	if err := tr.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := tr.SaveCheckpoint(path, nil); err != nil {
		t.Fatal(err)
	}
	tr, _ = small.newTrainer(t, h)
	if err := tr.Resume(path, nil); err != nil {
		t.Fatal(err)
	}
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	want := float64(trained[5]-trained[stop]) / (5 - stop)
	if got := first.TokensPerSecond / first.ItersPerSecond; first.Iter != 5 || math.Abs(got-want) > 1e-9*want {
		t.Errorf("report of iteration %d: %v tokens per iteration, want %v", first.Iter, got, want)
	}
	if first.TrainedTokens != trained[5] {
		t.Errorf("%d trained tokens, want %d", first.TrainedTokens, trained[5])
	}
}

// TestTargets counts targets by hand: rows of 6 and 40 tokens have 5 and 39.
func TestTargets(t *testing.T) {
	rows := []tune.Row{{Tokens: make([]int32, 6)}, {Tokens: make([]int32, 40)}, {Tokens: make([]int32, 1)}, {Tokens: make([]int32, 9), Offset: 6}}
	_, m := small.newTrainer(t, tune.Hooks{})
	for _, c := range []struct {
		rows        []int
		right, mlxs float32
	}{{[]int{0, 1}, 44, 46}, {[]int{2, 0}, 5, 7}, {[]int{2, 2}, 0, 2}, {[]int{3, 0}, 8, 10}} {
		var some []tune.Row
		for _, i := range c.rows {
			some = append(some, rows[i])
		}
		set, err := tune.NewSet(some, 2, 64, true)
		if err != nil {
			t.Fatal(err)
		}
		for mlxLM, want := range map[bool]float32{false: c.right, true: c.mlxs} {
			loss, count := tune.Loss(m, set.Batch(0, 0, 1), mlxLM)
			if got := mlx.Item[float32](count); got != want {
				t.Errorf("rows %v: %v targets, want %v", c.rows, got, want)
			}
			if l := mlx.Item[float32](loss); want == 0 && l != 0 || math.IsNaN(float64(l)) {
				t.Errorf("rows %v: loss %v", c.rows, l)
			}
		}
	}
}

// TestStopInValidation stops a run while it looks at the validation set: what is drawn
// then is drawn again after --resume.
func TestStopInValidation(t *testing.T) {
	s := small
	s.o.ValBatches, s.o.StepsPerEval = 1, 2 // another order shows another batch
	want, wantValid := map[int]float64{}, map[int]float64{}
	h := losses(want)
	h.Validated = func(v tune.Validation) { wantValid[v.Iter] = v.Loss }
	tr, _ := s.newTrainer(t, h)
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	for validations, at := range map[int]int{1: 2, 2: 4, 4: 8} { // so many come whole
		got, gotValid := map[int]float64{}, map[int]float64{}
		path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
		h = losses(got)
		h.Validated = func(v tune.Validation) { gotValid[v.Iter] = v.Loss }
		tr, _ = s.newTrainer(t, h)
		ctx := &endsIn{Context: t.Context(), left: at + validations} // the next one is asked before its batch
		if err := tr.Run(ctx); !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), fmt.Sprintf("validation before iteration %d:", at)) {
			t.Fatalf("it stopped elsewhere: %v after %d", err, tr.State().Iter)
		}
		if err := tr.SaveCheckpoint(path, nil); err != nil {
			t.Fatal(err)
		}
		tr, _ = s.newTrainer(t, h)
		if err := tr.Resume(path, nil); err != nil {
			t.Fatal(err)
		}
		if err := tr.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if !maps.Equal(got, want) || !maps.Equal(gotValid, wantValid) {
			t.Errorf("losses %v and %v, want %v and %v", got, gotValid, want, wantValid)
		}
	}
}

// endsIn is a context that ends when it was asked so often.
type endsIn struct {
	context.Context
	left int
}

func (c *endsIn) Err() error {
	if c.left--; c.left < 0 {
		return context.Canceled
	}
	return nil
}
