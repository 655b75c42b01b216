package sample

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/threefry"
)

// The files in testdata were recorded from mlx 0.32.2 and mlx-lm on the CPU.

// tensor is a golden array; both views are of the same words.
type tensor struct {
	shape []int
	f32   []float32
	u32   []int
}

func (x tensor) row(i int) []float32 {
	n := x.shape[len(x.shape)-1]
	return x.f32[i*n : (i+1)*n]
}

func load(t testing.TB, file string) map[string]tensor {
	t.Helper()
	raw, err := os.ReadFile("testdata/" + file)
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Shape   []int  `json:"shape"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	out := map[string]tensor{}
	for name, e := range header {
		if e.DType != "F32" && e.DType != "U32" {
			continue
		}
		x := tensor{shape: e.Shape}
		for b := raw[int(8+n)+e.Offsets[0] : int(8+n)+e.Offsets[1]]; len(b) > 0; b = b[4:] {
			w := binary.LittleEndian.Uint32(b)
			x.f32 = append(x.f32, math.Float32frombits(w))
			x.u32 = append(x.u32, int(w))
		}
		out[name] = x
	}
	return out
}

func mustNew(t testing.TB, o Options, vocab int) *Sampler {
	t.Helper()
	s, err := New(o, vocab)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func seed(s uint64) *uint64 { return &s }

func must[T any](t testing.TB) func(T, error) T {
	return func(x T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
}

func TestFilterGoldens(t *testing.T) {
	g := load(t, "samplers.safetensors")
	filters := []struct {
		name string
		opt  Options
	}{
		{"top_p.0.9", Options{TopP: 0.9}},
		{"min_p.0.05", Options{MinP: 0.05}},
		{"top_k.10", Options{TopK: 10}},
		{"xtc", Options{XTCProbability: 1, XTCThreshold: 0.02, XTCSpecial: []int{7}, Seed: seed(3)}},
	}
	for _, c := range filters {
		c.opt.Temperature = 1
		s := mustNew(t, c.opt, 200)
		s.flip()
		for i := range 3 {
			copy(s.logprobs, g["logprobs"].row(i))
			if got, want := s.filtered(), g[c.name].row(i); !slices.Equal(got, want) {
				t.Errorf("%s row %d differs: %s", c.name, i, firstDiff(got, want))
			}
		}
	}
}

func firstDiff(got, want []float32) string {
	for i := range want {
		if got[i] != want[i] {
			return fmt.Sprintf("[%d] = %v, want %v", i, got[i], want[i])
		}
	}
	return "equal"
}

func TestRepetitionGolden(t *testing.T) {
	g := load(t, "samplers.safetensors")
	penalty := 1.3
	s := mustNew(t, Options{RepetitionPenalty: &penalty}, 200)
	row := slices.Clone(g["logprobs"].row(0))
	for _, p := range s.processors {
		if err := p(row, []int{1, 2, 3, 3}); err != nil {
			t.Fatal(err)
		}
	}
	if want := g["rep"].row(0); !slices.Equal(row, want) {
		t.Errorf("rep differs: %s", firstDiff(row, want))
	}
}

// Eight draws of make_sampler for a batch of three rows.
func TestSampleRowsGolden(t *testing.T) {
	g := load(t, "samplers.safetensors")
	lp := g["logprobs"]
	for _, sd := range []uint64{0, 5} {
		s := mustNew(t, Options{Temperature: 0.8, TopP: 0.9, MinP: 0.02, TopK: 40, Seed: seed(sd)}, 200)
		var got []int
		for range 8 {
			tokens, logprobs, err := s.SampleRows([][]float32{lp.row(0), lp.row(1), lp.row(2)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			for i, tok := range tokens {
				if d := math.Abs(float64(logprobs[i] - lp.row(i)[tok])); d > 2e-6 {
					t.Errorf("seed %d: logprob of token %d is %v, want %v", sd, tok, logprobs[i], lp.row(i)[tok])
				}
			}
			got = append(got, tokens...)
		}
		if want := g[fmt.Sprintf("sampled.%d", sd)].u32; !slices.Equal(got, want) {
			t.Errorf("sampled.%d = %v, want %v", sd, got, want)
		}
	}
}

func TestOneRowGoldens(t *testing.T) {
	g := load(t, "sampling1.safetensors")
	for _, vocab := range []int{32, 200} {
		name := func(s string) string { return fmt.Sprintf("%s.V%d", s, vocab) }
		logits, logprobs := g[name("logits")], g[name("logprobs")]
		got := map[string][]int{}
		add := func(kind string, tokens ...int) { got[kind] = append(got[kind], tokens...) }
		for i := range 8 {
			row := [][]float32{logits.row(i)}
			for sd := range uint64(16) {
				key := threefry.NewKey(sd)
				one := mustNew(t, Options{Temperature: 1, Seed: seed(sd)}, vocab)
				warm := mustNew(t, Options{Temperature: 0.7, Seed: seed(sd)}, vocab)
				made := mustNew(t, Options{Temperature: 0.7, Seed: seed(sd)}, vocab)
				gen := threefry.NewGenerator(sd)
				for range 4 {
					add("global1d", must[[][]int](t)(CategoricalGumbel(row, 1, gen.Next()))[0][0])
					tok, lp, err := one.Sample(row[0], nil)
					if err != nil {
						t.Fatal(err)
					}
					if d := math.Abs(float64(lp - logprobs.row(i)[tok])); d > 2e-6 {
						t.Errorf("logprob of token %d is %v, want %v", tok, lp, logprobs.row(i)[tok])
					}
					add("global", tok)
					tok, _, _ = warm.Sample(row[0], nil)
					add("temp0.7", tok)
					tok, _, _ = made.Sample(logprobs.row(i), nil)
					add("make_sampler0.7", tok)
				}
				add("num_samples4", must[[][]int](t)(Categorical(row, 4, key))[0]...)
				add("key", must[[][]int](t)(Categorical(row, 1, key))[0][0])
				for _, k := range key.SplitN(4) {
					add("split4", must[[][]int](t)(Categorical(row, 1, k))[0][0])
				}
			}
		}
		rows := make([][]float32, 8)
		for i := range rows {
			rows[i] = logits.row(i)
		}
		for sd := range uint64(16) {
			gen := threefry.NewGenerator(sd)
			for range 4 {
				for _, r := range must[[][]int](t)(Categorical(rows, 1, gen.Next())) {
					add("batch8", r[0])
				}
			}
		}
		for _, kind := range []string{"global", "temp0.7", "make_sampler0.7", "split4", "num_samples4",
			"key", "global1d", "batch8"} {
			if want := g[name(kind)].u32; !slices.Equal(got[kind], want) {
				t.Errorf("%s differs from mlx in %d of %d tokens", name(kind), differ(got[kind], want), len(want))
			}
		}
	}
}

func differ(a, b []int) int {
	if len(a) != len(b) {
		return max(len(a), len(b))
	}
	n := 0
	for i := range a {
		if a[i] != b[i] {
			n++
		}
	}
	return n
}

func TestUniformGolden(t *testing.T) {
	g := load(t, "sampling1.safetensors")
	for sd := range 16 {
		gen := threefry.NewGenerator(uint64(sd))
		for c := range 4 {
			w, _ := threefry.Block(gen.Next(), 0, 0)
			if got, want := threefry.Uniform32(w), g["uniform1"].f32[4*sd+c]; got != want {
				t.Errorf("uniform %d of seed %d = %v, want %v", c, sd, got, want)
			}
		}
	}
}

// Several rows, and several draws of several rows, on 0.1*arange(40) as [4,10].
func TestBatchGoldens(t *testing.T) {
	g := load(t, "random.safetensors")
	rows := make([][]float32, 4)
	for i := range rows {
		for j := range 10 {
			rows[i] = append(rows[i], 0.1*float32(10*i+j))
		}
	}
	for _, sd := range []uint64{0, 1, 42} {
		key := threefry.NewKey(sd)
		one := slices.Concat(must[[][]int](t)(Categorical(rows, 1, key))...)
		if want := g[fmt.Sprintf("%d.categorical", sd)].u32; !slices.Equal(one, want) {
			t.Errorf("%d.categorical = %v, want %v", sd, one, want)
		}
		six := slices.Concat(must[[][]int](t)(Categorical(rows, 6, key))...)
		if want := g[fmt.Sprintf("%d.categorical_n", sd)].u32; !slices.Equal(six, want) {
			t.Errorf("%d.categorical_n = %v, want %v", sd, six, want)
		}
	}
}

// What mlx 0.32.2 shows for rows at the edge, key(1).
func TestCategoricalEdges(t *testing.T) {
	inf, nan := float32(math.Inf(1)), float32(math.NaN())
	for _, c := range []struct {
		rows [][]float32
		want [][]int
	}{
		{[][]float32{{-inf, 0, -inf}}, [][]int{{1, 1, 1, 1, 1, 1}}},
		{[][]float32{{-inf, -inf, -inf, -inf}}, [][]int{{3, 0, 3, 2, 2, 2}}},
		{[][]float32{{0, inf, 0, inf}}, [][]int{{3, 1, 3, 3, 3, 3}}},
		{[][]float32{{0}}, [][]int{{0}}},
		{[][]float32{{0, 1, 2, 3}}, [][]int{{3, 1, 3, 3, 2, 3, 1, 2, 1, 1, 2, 2, 3, 1, 0, 3}}},
		{[][]float32{{0, 0, 0, 0}, {0, 0, 0, 0}}, [][]int{{3, 0, 1, 3, 1}, {1, 1, 1, 0, 1}}},
	} {
		got, err := Categorical(c.rows, len(c.want[0]), threefry.NewKey(1))
		if err != nil || !slices.EqualFunc(got, c.want, slices.Equal) {
			t.Errorf("Categorical(%v) = %v, %v, want %v", c.rows, got, err, c.want)
		}
	}
	if _, err := Categorical([][]float32{{0, nan}}, 1, threefry.Key{}); err == nil {
		t.Error("Categorical took a NaN")
	}
	if _, err := Categorical([][]float32{{0, 1}, {0}}, 1, threefry.Key{}); err == nil {
		t.Error("Categorical took rows of unequal length")
	}
}
