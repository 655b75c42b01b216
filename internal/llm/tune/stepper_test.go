package tune_test

import (
	"maps"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// steps are batches of one shape, without reports, validations and saves.
func steps(n int) tune.Options {
	return tune.Options{Iters: n, Accumulation: 1, StepsPerReport: n + 1, StepsPerEval: n + 1, SaveEvery: n + 1}
}

// stepCosts are, for each step after the first ones, the objects that Go's heap got.
func (s setup) stepCosts(t *testing.T, warm int) (objects []uint64) {
	t.Helper()
	var before, now runtime.MemStats
	var system, peak int64
	tr, _ := s.newTrainer(t, tune.Hooks{Step: func(i int, _ float64) {
		runtime.ReadMemStats(&now)
		have := mlx.ActiveMemory() + mlx.CacheMemory()
		switch {
		case i == warm:
			mlx.ResetPeakMemory()
			system, peak = have, mlx.PeakMemory()
		case i > warm:
			objects = append(objects, now.Mallocs-before.Mallocs)
			if have > system || mlx.PeakMemory() > peak { // less: the garbage of other tests has gone
				t.Errorf("step %d: the arrays' memory went from %d to %d bytes, with %d at the most", i, system, have, mlx.PeakMemory())
			}
		}
		runtime.ReadMemStats(&before)
	}})
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	return objects
}

// TestStepAllocates: when its plan is compiled, a step takes no memory of arrays, though
// nothing is collected, and makes a few small objects, as many for a large model or long
// rows as for small ones.
func TestStepAllocates(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	wide := llmtest.Config{"hidden_size": 256} // its adapters are too large for Go's heap
	deep := llmtest.Config{"hidden_size": 512, "num_hidden_layers": 4}
	lora := tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 64, Scale: 10}
	dropout, dora := lora, lora
	dropout.Dropout, dora.Kind = 0.1, tune.DoRA
	accumulated := steps(10)
	accumulated.Accumulation = 2
	accumulated.MaxGradNorm = 1
	for name, s := range map[string]setup{
		"lora":        {layers: lora, o: steps(8), bits: 4, config: wide},
		"deep":        {layers: lora, o: steps(8), bits: 4, config: deep},
		"checkpoint":  {layers: lora, o: steps(8), bits: 4, config: wide, checkpoint: true},
		"accumulated": {layers: dropout, o: accumulated, bits: 4, config: wide},
		"dora":        {layers: dora, o: steps(8), bits: 4, config: wide},
		"full":        {layers: tune.Layers{Kind: tune.Full, Num: -1}, o: steps(8), config: wide},
		"muon":        {layers: lora, o: steps(8), bits: 4, config: wide, optimizer: "muon"},
		"adafactor":   {layers: lora, o: steps(8), bits: 4, config: wide, optimizer: "adafactor"},
	} {
		t.Run(name, func(t *testing.T) {
			for _, tokens := range []int{33, 129} {
				s.tokens = tokens
				got := slices.Sorted(slices.Values(s.stepCosts(t, 2*s.o.Accumulation)))
				t.Logf("%d tokens: %d to %d objects", 4*tokens, got[0], got[len(got)-1])
				if middle := got[len(got)/2]; middle > 70 {
					t.Errorf("%d tokens: %d objects in a step, at most 70 are meant", 4*tokens, middle)
				}
			}
		})
	}
}

// TestStepsKeepMemory: validations, saves and looks at the weights between steps give the
// memory of what is trained back and take it again without a copy.
func TestStepsKeepMemory(t *testing.T) {
	defer debug.SetGCPercent(debug.SetGCPercent(-1))
	s := setup{layers: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 64, Scale: 10}, bits: 4, config: llmtest.Config{"hidden_size": 256}, tokens: 33,
		o: tune.Options{Iters: 12, Accumulation: 1, StepsPerReport: 2, StepsPerEval: 4, SaveEvery: 3, ValBatches: 2}}
	path := filepath.Join(t.TempDir(), "checkpoint.safetensors")
	adapters := 0
	at := map[string]uintptr{}
	var tr *tune.Trainer
	where := func(i int) {
		for path, a := range tr.Weights() {
			v, err := tensor.ValueOf(a)
			if err != nil {
				t.Fatal(err)
			}
			if now := uintptr(v.Ptr()); at[path] == 0 {
				at[path] = now
				adapters++
			} else if at[path] != now {
				t.Errorf("step %d: %s has moved", i, path)
			}
		}
	}
	tr, _ = s.newTrainer(t, tune.Hooks{
		Step: func(i int, _ float64) { where(i) },
		Save: func(i int) error { where(i); return tr.SaveCheckpoint(path, nil) },
	})
	if err := tr.Run(t.Context()); err != nil {
		t.Fatal(err)
	}
	if where(13); adapters != 28 {
		t.Errorf("%d weights, want 28", adapters)
	}
}

// TestStepsOfWeights: weights and the model's parameters can be read between runs and in
// hooks, and reading them changes nothing.
func TestStepsOfWeights(t *testing.T) {
	var want, got map[string]*mlx.Array
	for _, look := range []bool{false, true} {
		var tr *tune.Trainer
		last := map[string][]byte{}
		s := small
		s.o.Accumulation, s.bits = 2, 4
		tr, m := s.newTrainer(t, tune.Hooks{Step: func(i int, _ float64) {
			if !look {
				return
			}
			same := 0
			for path, a := range tr.Weights() {
				now := a.Bytes()
				if i > 1 && string(now) == string(last[path]) {
					same++
				}
				last[path] = now
			}
			if updated := i%2 == 0; i > 2 && (same == 0) != updated { // the first update moves B alone
				t.Errorf("after iteration %d %d of %d weights are as before", i, same, len(last))
			}
		}})
		if err := tr.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		got = tr.Weights()
		for path, a := range nn.Parameters(m) {
			if w := got[path]; w != nil && w != a || len(a.Bytes()) == 0 {
				t.Errorf("%s of the model is another array", path)
			}
		}
		if want == nil {
			want = got
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d weights, want %d", len(got), len(want))
	}
	for _, path := range slices.Sorted(maps.Keys(want)) {
		if string(got[path].Bytes()) != string(want[path].Bytes()) {
			t.Errorf("%s depends on who looks", path)
		}
	}
}
