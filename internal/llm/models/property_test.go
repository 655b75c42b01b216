package models_test

import (
	"encoding/json"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
)

// against compares our logits of tokens and greedy continuations of prompt with
// the reference's. steps are PrefillSteps, 0 for all at once; every other one runs
// eagerly, too.
func against(t *testing.T, dir string, tokens, prompt []int, n int, tolerance float64, steps ...int) {
	t.Helper()
	ours, ref := load(t, dir), newRef(t, dir)
	var s refState
	want := ref.feed(&s, tokens)
	got := logitsFrom(t, ours, tokens)
	worst, largest, where := 0.0, 0.0, 0
	for i, row := range want {
		for j, x := range row {
			largest = max(largest, math.Abs(x))
			if d := math.Abs(float64(got[i][j]) - x); !(d <= worst) {
				worst, where = d, i
			}
		}
	}
	if limit := tolerance * max(1, largest/8); !(worst <= limit) {
		t.Errorf("logits at position %d differ by %.3g, allowed %.3g (largest %.3g)", where, worst, limit, largest)
		return
	}
	least := 5e-3 // of a gap between tokens
	if limit := tolerance * max(1, largest/8); tolerance > 1e-2 {
		least = 2 * limit
	}
	recordWorst(worst / (tolerance * max(1, largest/8)))
	for i, step := range steps {
		tokens, gaps := ref.greedy(prompt, len(prompt), n)
		for _, eager := range []bool{false, true} {
			if eager && i%2 == 1 {
				continue
			}
			out, _ := greedy(t, ours, prompt, llm.Options{MaxTokens: n, IgnoreEOS: true, PrefillStep: step, Eager: eager})
			if len(out) != n {
				t.Errorf("step %d, eager %v: %d tokens, not %d", step, eager, len(out), n)
			}
			for i, want := range tokens {
				if gaps[i] <= least {
					break
				}
				if i >= len(out) || out[i] != want {
					t.Errorf("step %d, eager %v: token %d of %v is not %v (gap %.3g)", step, eager, i, out, tokens, gaps[i])
					break
				}
			}
		}
	}
}

// worstShare is the largest part of a tolerance that was used, for the log.
var worstShare float64

func recordWorst(share float64) { worstShare = max(worstShare, share) }

func randomTokens(r *rand.Rand, c llmtest.Config, n int) []int {
	out := make([]int, n)
	for i := range out {
		out[i] = r.IntN(c["vocab_size"].(int))
	}
	return out
}

func describe(c llmtest.Config) string {
	raw, _ := json.Marshal(c)
	return string(raw)
}

// TestAgainstReference: random configurations, weights, dtypes and files.
func TestAgainstReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector; TestParity runs the same code")
	}
	configs := 60
	if testing.Short() {
		configs = 12
	}
	worstShare = 0
	types := []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float16}
	for seed := range configs {
		r := rand.New(rand.NewPCG(uint64(seed), 42))
		c := randomConfig(r, modelKinds[seed%len(modelKinds)], 0)
		own := []mlx.DType{pick(r, types...)}
		if chance(r, 30) {
			own = types // mixed in one model
		}
		dir := writeAny(t, r, c, lively(t, r, c, own...))
		tokens, prompt := randomTokens(r, c, 20+r.IntN(60)), randomTokens(r, c, 2+r.IntN(40))
		against(t, dir, tokens, prompt, 24, 5e-4, pick(r, 1, 3), pick(r, 7, 0))
		if t.Failed() {
			t.Fatalf("seed %d: %s", seed, describe(c))
		}
	}
	t.Logf("worst difference: %.1g of what is allowed", worstShare)
}

// TestQuantizedAgainstReference: every mode, width and group, alone and mixed.
func TestQuantizedAgainstReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector; TestParity runs the same code")
	}
	worstShare = 0
	types := []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float16}
	for i, s := range schemes() {
		if testing.Short() && i%3 != 0 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(i), 43))
		c := randomConfig(r, modelKinds[i%len(modelKinds)], max(s.GroupSize, 64))
		w := lively(t, r, c, types[i%3])
		c, w = quantized(t, r, c, w, s, i%2 == 0)
		dir := writeAny(t, r, c, w)
		tokens, prompt := randomTokens(r, c, 20+r.IntN(30)), randomTokens(r, c, 2+r.IntN(20))
		against(t, dir, tokens, prompt, 24, 5e-4, pick(r, 1, 3, 7, 0))
		if t.Failed() {
			t.Fatalf("%+v: %s", s, describe(c))
		}
	}
	t.Logf("worst difference: %.1g of what is allowed", worstShare)
}

// TestLongAgainstReference: sequences that outgrow the cache's first two capacities,
// windows and the original contexts of scalings.
func TestLongAgainstReference(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector")
	}
	worstShare = 0
	for i, n := range []int{250, 255, 256, 257, 500, 511} {
		if testing.Short() && i != 1 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(n), 44))
		c := randomConfig(r, modelKinds[i%len(modelKinds)], 0).With(llmtest.Config{"num_hidden_layers": 2, "layer_types": nil, "max_window_layers": 1})
		if i%2 == 1 {
			c["sliding_window"] = 200
		}
		dir := writeAny(t, r, c, lively(t, r, c, mlx.BFloat16))
		prompt := randomTokens(r, c, n)
		against(t, dir, prompt, prompt, 24, 1e-3, 0, 100, 33)
		if t.Failed() {
			t.Fatalf("%d tokens: %s", n, describe(c))
		}
	}
	t.Logf("worst difference: %.1g of what is allowed", worstShare)
}
