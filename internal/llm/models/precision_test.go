package models_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
)

// TestHalfPrecision: computing in bfloat16 and float16, on weights of any type,
// really happens in that type and stays near float32.
func TestHalfPrecision(t *testing.T) {
	if llmtest.Race {
		t.Skip("slow with the race detector")
	}
	f32, bf16, f16 := mlx.Float32, mlx.BFloat16, mlx.Float16
	mixed := []mlx.DType{f32, bf16, f16}
	affine := func(bits, group int) *mlx.Scheme {
		return &mlx.Scheme{Mode: "affine", Bits: bits, GroupSize: group}
	}
	fp := func(mode mlx.Mode) *mlx.Scheme { s, _ := (mlx.Scheme{Mode: mode}).Resolve(); return &s }
	for i, c := range []struct {
		weights []mlx.DType
		scheme  *mlx.Scheme
	}{
		{[]mlx.DType{f32}, nil}, {[]mlx.DType{bf16}, nil}, {[]mlx.DType{f16}, nil}, {mixed, nil},
		{[]mlx.DType{f32}, affine(4, 64)}, {[]mlx.DType{bf16}, affine(4, 32)}, {[]mlx.DType{f16}, affine(3, 64)},
		{[]mlx.DType{f16}, affine(8, 128)}, {mixed, affine(6, 32)}, {[]mlx.DType{bf16}, affine(2, 64)}, {[]mlx.DType{f32}, affine(5, 64)},
		{[]mlx.DType{bf16}, fp("mxfp4")}, {[]mlx.DType{f32}, fp("mxfp8")}, {[]mlx.DType{f16}, fp("nvfp4")}, {mixed, fp("mxfp4")},
	} {
		if testing.Short() && i%4 != 3 {
			continue
		}
		r := rand.New(rand.NewPCG(uint64(i), 46))
		group := 0
		if c.scheme != nil {
			group = max(c.scheme.GroupSize, 64)
		}
		config := randomConfig(r, modelKinds[i%len(modelKinds)], group).With(llmtest.Config{"num_hidden_layers": 2, "layer_types": nil})
		w := lively(t, r, config, c.weights...)
		if c.scheme != nil {
			config, w = quantized(t, r, config, w, *c.scheme, i%2 == 0)
		}
		dir := writeAny(t, r, config, w)
		tokens := randomTokens(r, config, 40)
		exact := logitsFrom(t, load(t, dir), tokens)
		for _, d := range []mlx.DType{bf16, f16} {
			what := fmt.Sprintf("%v weights, %v, computed in %v", c.weights, c.scheme, d)
			limit := map[mlx.DType]float64{bf16: 0.05, f16: 0.01}[d]
			if c.scheme != nil { // products with packed weights round their activations, unless told not to
				halfPrecision(t, what, dir, llm.LoadOptions{DType: &d}, tokens, exact, 0.05)
				what += ", activations as they are"
			}
			halfPrecision(t, what, dir, llm.LoadOptions{DType: &d, ExactActivations: true}, tokens, exact, limit)
			if t.Failed() {
				t.Fatal(describe(config))
			}
		}
	}
}

// halfPrecision bounds the difference of logits in dtype d from the exact ones by a
// share of their spread.
func halfPrecision(t *testing.T, what, dir string, o llm.LoadOptions, tokens []int, exact [][]float32, limit float64) {
	t.Helper()
	o.New = models.New
	m, err := llm.Load(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	d := *o.DType
	if m.DType != d {
		t.Errorf("%s: the computing type is %v", what, m.DType)
	}
	computesIn(t, what, m, d, tokens)
	var sum, squares, errors, worst float64
	n := 0
	got := logitsFrom(t, m, tokens)
	for i, row := range exact {
		for j, x := range row {
			e := float64(got[i][j]) - float64(x)
			if math.IsNaN(e) || math.IsInf(e, 0) {
				t.Fatalf("%s: logit %v at position %d", what, got[i][j], i)
			}
			sum, squares, errors, worst = sum+float64(x), squares+float64(x)*float64(x), errors+e*e, max(worst, math.Abs(e))
			n++
		}
	}
	mean := sum / float64(n)
	spread := math.Sqrt(squares/float64(n) - mean*mean)
	typical := math.Sqrt(errors/float64(n)) / spread
	t.Logf("%s: off by %.2g of the spread, at worst %.2g", what, typical, worst/spread)
	if typical > limit || worst/spread > 10*limit {
		t.Errorf("%s: off by %.2g of the spread, at worst %.2g", what, typical, worst/spread)
	}
	if typical == 0 {
		t.Errorf("%s: nothing was rounded", what)
	}
	// All ways of running give a full text, of the tokens that have a clear lead.
	for _, o := range []llm.Options{{}, {PrefillStep: 7}, {PrefillStep: 1}, {Eager: true}} {
		o.MaxTokens, o.IgnoreEOS = 12, true
		if out, _ := greedy(t, m, tokens, o); len(out) != 12 {
			t.Errorf("%s: %+v: %d tokens", what, o, len(out))
		} else if first := argmax(got[len(got)-1]); lead(got[len(got)-1]) > 10*limit*spread && out[0] != first {
			t.Errorf("%s: %+v: the first token is %d, not %d", what, o, out[0], first)
		}
	}
}

// computesIn looks at what a pass makes: logits and cache have dtype d.
func computesIn(t *testing.T, what string, m *llm.Loaded, d mlx.DType, tokens []int) {
	t.Helper()
	c := cache.New(m.Model.Layout(), 1, d)
	if err := c.Reserve(len(tokens)); err != nil {
		t.Fatal(err)
	}
	ids := make([]int32, len(tokens))
	for i, x := range tokens {
		ids[i] = int32(x)
	}
	kv, after := c.Layers(len(tokens))
	logits := m.Model.Forward(mlx.FromSlice(ids, 1, len(ids)), nil, kv)
	for i, a := range append(after(), logits) {
		if a.DType() != d {
			t.Errorf("%s: result %d of a pass is %v", what, i, a.DType())
		}
	}
}

func argmax(x []float32) (best int) {
	for i := range x {
		if x[i] > x[best] {
			best = i
		}
	}
	return best
}

// lead is by how much the best logit is ahead.
func lead(x []float32) float64 {
	best, second := argmax(x), math.Inf(-1)
	for i := range x {
		if i != best {
			second = max(second, float64(x[i]))
		}
	}
	return float64(x[best]) - second
}
