package sample

import (
	"cmp"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/threefry"
)

var inf32 = float32(math.Inf(1))

func ptr(x float64) *float64 { return &x }

// process runs the processors of o on a copy of logits.
func process(t *testing.T, o Options, logits []float32, history []int) []float32 {
	t.Helper()
	s := mustNew(t, o, len(logits))
	row := slices.Clone(logits)
	for range 2 { // the second time proves that no state is left behind
		copy(row, logits)
		for _, p := range s.processors {
			if err := p(row, history); err != nil {
				t.Fatal(err)
			}
		}
	}
	return row
}

func TestPenalties(t *testing.T) {
	long := make([]int, 21) // token 1, then twenty times token 0
	long[0] = 1
	third := func(x float32) float32 { return x / 1.5 }
	for _, c := range []struct {
		name    string
		opt     Options
		logits  []float32
		history []int
		want    []float32
	}{
		{"repetition is sign aware", Options{RepetitionPenalty: ptr(1.5)}, []float32{2, -2, 0.5}, []int{0, 1}, []float32{third(2), -3, 0.5}},
		{"once per distinct token", Options{RepetitionPenalty: ptr(1.5)}, []float32{2, -2, 0.5}, []int{0, 1, 0, 1, 1}, []float32{third(2), -3, 0.5}},
		{"penalty 1 is the identity", Options{RepetitionPenalty: ptr(1)}, []float32{0.1, -0.3, inf32 * -1}, []int{0, 1, 2}, []float32{0.1, -0.3, -inf32}},
		{"no history", Options{RepetitionPenalty: ptr(1.5), PresencePenalty: 1, FrequencyPenalty: 1}, []float32{2, -2}, nil, []float32{2, -2}},
		{"token just outside the default window", Options{RepetitionPenalty: ptr(2)}, []float32{2, 2}, long, []float32{1, 2}},
		{"token just inside a window of 21", Options{RepetitionPenalty: ptr(2), RepetitionContext: 21}, []float32{2, 2}, long, []float32{1, 1}},
		{"whole history", Options{RepetitionPenalty: ptr(2), RepetitionContext: WholeHistory}, []float32{2, 2}, long, []float32{1, 1}},
		{"window of one", Options{PresencePenalty: 1, PresenceContext: 1}, []float32{2, 2}, []int{0, 1}, []float32{2, 1}},
		{"presence once", Options{PresencePenalty: 0.5}, []float32{2, -2, 0.5}, []int{0, 0, 1}, []float32{1.5, -2.5, 0.5}},
		{"frequency per occurrence", Options{FrequencyPenalty: 0.5}, []float32{2, -2, 0.5}, []int{0, 0, 1}, []float32{1, -2.5, 0.5}},
		{"negative penalties reward", Options{PresencePenalty: -1, FrequencyPenalty: -1}, []float32{0, 0}, []int{1, 1}, []float32{0, 3}},
		{"frequency window", Options{FrequencyPenalty: 1, FrequencyContext: 2}, []float32{0, 0}, []int{0, 0, 1, 0}, []float32{-1, -1}},
		{"bias", Options{LogitBias: []Bias{{2, 1}, {0, -1}, {2, 0.5}, {1, math.Inf(-1)}}}, []float32{0, 0, 0}, nil, []float32{-1, -inf32, 1.5}},
		// (2+1)/1.5 - 0.25 - 2*0.125 and (-2*1.5) - 0.25 - 0.125
		{"order: bias, repetition, presence, frequency", Options{LogitBias: []Bias{{0, 1}}, RepetitionPenalty: ptr(1.5),
			PresencePenalty: 0.25, FrequencyPenalty: 0.125}, []float32{2, -2, 0.5}, []int{0, 1, 0}, []float32{1.5, -3.375, 0.5}},
	} {
		if got := process(t, c.opt, c.logits, c.history); !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

func TestOwnProcessorRunsLast(t *testing.T) {
	refused := errors.New("refused")
	o := Options{LogitBias: []Bias{{1, 5}}, Processors: []Processor{func(l []float32, h []int) error {
		if len(h) == 0 {
			return refused
		}
		if l[1] != 5 {
			t.Errorf("the bias is not there yet: %v", l)
		}
		l[2] = 9
		return nil
	}}}
	s := mustNew(t, o, 3)
	logits := []float32{0, 0, 0}
	if tok, _, err := s.Sample(logits, []int{0}); tok != 2 || err != nil {
		t.Errorf("Sample = %d, %v, want 2", tok, err)
	}
	if !slices.Equal(logits, []float32{0, 0, 0}) {
		t.Errorf("Sample changed its input to %v", logits)
	}
	if _, _, err := s.Sample(logits, nil); !errors.Is(err, refused) {
		t.Errorf("Sample = %v, want the processor's error", err)
	}
}

func TestValidate(t *testing.T) {
	nan := math.NaN()
	seed1 := uint64(1)
	for _, c := range []struct {
		opt   Options
		field string // "" is valid
	}{
		{Options{}, ""},
		{Options{Temperature: 1, TopP: 1, MinP: 1, TopK: 9, XTCProbability: 1, XTCThreshold: 0.5, XTCSpecial: []int{9}}, ""},
		{Options{Temperature: -0.1}, "temp"},
		{Options{Temperature: nan}, "temp"},
		{Options{Temperature: math.Inf(1)}, "temp"},
		{Options{Temperature: 1e-40}, "temp"},
		{Options{TopP: 1.01}, "top_p"},
		{Options{TopP: -0.1}, "top_p"},
		{Options{TopP: nan}, "top_p"},
		{Options{MinP: 1.5}, "min_p"},
		{Options{MinP: -0.5}, "min_p"},
		{Options{MinTokensToKeep: -1}, "min_tokens_to_keep"},
		{Options{MinTokensToKeep: 11}, "min_tokens_to_keep"},
		{Options{Temperature: 1, TopK: 10}, "top_k"},
		{Options{Temperature: 0, TopK: 10}, ""},
		{Options{Temperature: 1, TopK: -1}, ""},
		{Options{XTCProbability: 1.1}, "xtc_probability"},
		{Options{XTCThreshold: 0.6}, "xtc_threshold"},
		{Options{XTCSpecial: []int{10}}, "xtc_special_tokens"},
		{Options{LogitBias: []Bias{{10, 1}}}, "logit_bias"},
		{Options{LogitBias: []Bias{{-1, 1}}}, "logit_bias"},
		{Options{LogitBias: []Bias{{1, nan}}}, "logit_bias"},
		{Options{LogitBias: []Bias{{1, 1e300}}}, "logit_bias"},
		{Options{LogitBias: []Bias{{1, math.Inf(-1)}}}, ""},
		{Options{RepetitionPenalty: ptr(0)}, "repetition_penalty"},
		{Options{RepetitionPenalty: ptr(-1)}, "repetition_penalty"},
		{Options{RepetitionPenalty: ptr(nan)}, "repetition_penalty"},
		{Options{RepetitionPenalty: ptr(1)}, ""},
		{Options{PresencePenalty: math.Inf(1)}, "presence_penalty"},
		{Options{FrequencyPenalty: nan}, "frequency_penalty"},
		{Options{FrequencyPenalty: -2}, ""},
		{Options{RepetitionContext: -1}, "repetition_context_size"},
		{Options{PresenceContext: -1}, "presence_context_size"},
		{Options{FrequencyContext: -1}, "frequency_context_size"},
		{Options{Seed: &seed1, Generator: threefry.NewGenerator(1)}, "seed"},
	} {
		_, err := New(c.opt, 10)
		var e *OptionError
		switch {
		case c.field == "" && err != nil:
			t.Errorf("%+v: %v, want no error", c.opt, err)
		case c.field != "" && (!errors.As(err, &e) || e.Field != c.field || !strings.Contains(err.Error(), c.field)):
			t.Errorf("%+v: %v, want an error about %s", c.opt, err, c.field)
		}
	}
	if _, err := New(Options{}, 0); err == nil {
		t.Error("New took an empty vocabulary")
	}
}

func TestSampleErrors(t *testing.T) {
	nan := float32(math.NaN())
	for _, temp := range []float64{0, 1} {
		gen := threefry.NewGenerator(1)
		state := gen.State()
		s := mustNew(t, Options{Temperature: temp, Generator: gen, FrequencyPenalty: 1, PresencePenalty: 1}, 3)
		_, _, err := s.Sample([]float32{0, nan, nan}, nil)
		if e, ok := errors.AsType[*NaNError](err); !ok || e.Index != 1 {
			t.Errorf("NaN: %v", err)
		}
		_, _, err = s.Sample([]float32{0, 0, inf32}, nil)
		if e, ok := errors.AsType[*NaNError](err); !ok || e.Index != 2 || e.Value != inf32 {
			t.Errorf("+Inf: %v", err)
		}
		_, _, err = s.Sample([]float32{-inf32, -inf32, -inf32}, nil)
		if e, ok := errors.AsType[*EmptyError](err); !ok || e.Vocab != 3 {
			t.Errorf("only -Inf: %v", err)
		}
		_, _, err = s.Sample([]float32{0, 0}, nil)
		if e, ok := errors.AsType[*LengthError](err); !ok || e.Got != 2 || e.Want != 3 {
			t.Errorf("short row: %v", err)
		}
		_, _, err = s.Sample([]float32{0, 0, 0}, []int{0, 3})
		if e, ok := errors.AsType[*TokenError](err); !ok || e.Position != 1 || e.Token != 3 {
			t.Errorf("token outside: %v", err)
		}
		if gen.State() != state {
			t.Error("a failed call took a key")
		}
	}
}

func TestGreedy(t *testing.T) {
	// Filters and seeds do not matter at temperature 0, ties take the first.
	s := mustNew(t, Options{TopP: 0.5, MinP: 0.5, TopK: 99, XTCProbability: 1, Seed: seed(1)}, 4)
	tok, lp, err := s.Sample([]float32{1, 3, 3, -inf32}, nil)
	want := 3 - math.Log(math.Exp(1)+2*math.Exp(3))
	if tok != 1 || err != nil || math.Abs(float64(lp)-want) > 1e-6 {
		t.Errorf("Sample = %d, %v, %v, want 1, %v", tok, lp, err, want)
	}
	if got := s.Logprobs(); got[3] != -inf32 || got[2] != lp {
		t.Errorf("Logprobs = %v", got)
	}
}

// Seeds: the same seed repeats, also when texts are sampled in turns; without
// one, samplers differ.
func TestSeeds(t *testing.T) {
	const vocab, n = 512, 20
	logits := make([]float32, vocab)
	run := func(s *Sampler, out []int) []int {
		tok, _, err := s.Sample(logits, nil)
		if err != nil {
			t.Fatal(err)
		}
		return append(out, tok)
	}
	text := func(sd *uint64) (out []int) {
		s := mustNew(t, Options{Temperature: 1, Seed: sd}, vocab)
		for range n {
			out = run(s, out)
		}
		return out
	}
	one, two := text(seed(1)), text(seed(2))
	if slices.Equal(one, two) || !slices.Equal(one, text(seed(1))) {
		t.Error("seeds 1, 2, 1 do not give texts a, b, a")
	}
	s1 := mustNew(t, Options{Temperature: 1, Seed: seed(1)}, vocab)
	s2 := mustNew(t, Options{Temperature: 1, Seed: seed(2)}, vocab)
	var mixed1, mixed2 []int
	for range n {
		mixed1, mixed2 = run(s1, mixed1), run(s2, mixed2)
	}
	if !slices.Equal(mixed1, one) || !slices.Equal(mixed2, two) {
		t.Error("texts sampled in turns differ from texts sampled alone")
	}
	var unseeded [][]int
	for range 5 {
		unseeded = append(unseeded, text(nil))
	}
	for i := range unseeded {
		for j := range i {
			if slices.Equal(unseeded[i], unseeded[j]) {
				t.Errorf("unseeded texts %d and %d are equal", j, i)
			}
		}
	}
	// A shared generator goes on where the last text stopped.
	gen := threefry.NewGenerator(1)
	a := mustNew(t, Options{Temperature: 1, Generator: gen}, vocab)
	b := mustNew(t, Options{Temperature: 1, Generator: gen}, vocab)
	var shared []int
	for i := range n {
		if i < n/2 {
			shared = run(a, shared)
		} else {
			shared = run(b, shared)
		}
	}
	if !slices.Equal(shared, one) {
		t.Error("two samplers on one generator do not continue one sequence")
	}
}

func TestKeysPerToken(t *testing.T) {
	logits := []float32{0, 1, 2, 3}
	for _, c := range []struct {
		name string
		opt  Options
		keys int
	}{
		{"greedy", Options{}, 0},
		{"temperature", Options{Temperature: 1}, 1},
		{"all filters but XTC", Options{Temperature: 1, TopP: 0.9, MinP: 0.1, TopK: 2}, 1},
		{"XTC", Options{Temperature: 1, XTCProbability: 0.5, XTCThreshold: 0.1}, 2},
	} {
		gen, want := threefry.NewGenerator(7), threefry.NewGenerator(7)
		c.opt.Generator = gen
		if _, _, err := mustNew(t, c.opt, 4).Sample(logits, nil); err != nil {
			t.Fatal(err)
		}
		for range c.keys {
			want.Next()
		}
		if gen.State() != want.State() {
			t.Errorf("%s: does not take %d keys", c.name, c.keys)
		}
	}
}

// XTC runs in the steps whose first uniform is not above the probability.
func TestXTCCoin(t *testing.T) {
	logits := []float32{2, 2.5, -9} // XTC leaves 0 and the unlikely 2
	s := mustNew(t, Options{Temperature: 0.01, XTCProbability: 0.4, XTCThreshold: 0.1, Seed: seed(5)}, 3)
	gen := threefry.NewGenerator(5)
	runs := 0
	for i := range 200 {
		w, _ := threefry.Block(gen.Next(), 0, 0)
		gen.Next()
		want := 1
		if threefry.Uniform32(w) <= 0.4 {
			want = 0
			runs++
		}
		if tok, _, err := s.Sample(logits, nil); tok != want || err != nil {
			t.Fatalf("step %d: token %d, %v, want %d", i, tok, err, want)
		}
	}
	if runs < 50 || runs > 110 {
		t.Errorf("XTC ran in %d of 200 steps", runs)
	}
}

func TestSampleRowsOfOne(t *testing.T) {
	logits := []float32{0, 1, 2, 3}
	a := mustNew(t, Options{Temperature: 1, Seed: seed(3)}, 4)
	b := mustNew(t, Options{Temperature: 1, Seed: seed(3)}, 4)
	for range 20 {
		tok, lp, _ := a.Sample(logits, nil)
		toks, lps, err := b.SampleRows([][]float32{logits}, [][]int{nil})
		if err != nil || toks[0] != tok || lps[0] != lp {
			t.Fatalf("SampleRows = %v, %v, %v, Sample = %v, %v", toks, lps, err, tok, lp)
		}
	}
	if _, _, err := b.SampleRows([][]float32{logits, logits}, [][]int{nil}); err == nil {
		t.Error("SampleRows took one history for two rows")
	}
	if toks, _, err := b.SampleRows(nil, nil); len(toks) != 0 || err != nil {
		t.Errorf("SampleRows of no rows = %v, %v", toks, err)
	}
}

// The filters by definition: a full sort.

// falling is the order that filters go down: by value, equals by tie rule.
func falling(row []float32, ties tieRule) []int {
	idx := make([]int, len(row))
	for i := range idx {
		idx[i] = i
	}
	slices.SortFunc(idx, func(a, b int) int {
		if c := cmp.Compare(row[b], row[a]); c != 0 {
			return c
		}
		if ties == highFirst {
			return b - a
		}
		return a - b
	})
	return idx
}

// only is row with -Inf outside the given tokens.
func only(row []float32, tokens []int) []float32 {
	out := make([]float32, len(row))
	for i := range out {
		out[i] = negInf
	}
	for _, i := range tokens {
		out[i] = row[i]
	}
	return out
}

// randomRow is a row of log-probabilities; coarse ones have many ties.
func randomRow(r *rand.Rand, n int) []float32 {
	row := make([]float32, n)
	spread, step := r.Float64()*12, []float64{0, 0.5, 4}[r.IntN(3)]
	for i := range row {
		x := r.NormFloat64() * spread
		if step > 0 {
			x = math.Round(x/step) * step
		}
		row[i] = float32(x)
		if i > 0 && r.IntN(8) == 0 {
			row[i] = negInf
		}
	}
	if err := new(blocks).normalize(row, row); err != nil {
		panic(err)
	}
	return row
}

func TestFiltersByDefinition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for trial := range 3000 {
		n := 2 + r.IntN(300)
		row := randomRow(r, n)
		s := &scratch{weight: make([]float64, n)}

		k := 1 + r.IntN(n-1)
		got := slices.Clone(row)
		s.keep(got, nil, float64(k), lowFirst)
		if want := only(row, falling(row, lowFirst)[:k]); !slices.Equal(got, want) {
			t.Fatalf("trial %d: top_k %d: %s", trial, k, firstDiff(got, want))
		}

		p := r.Float64()
		got = slices.Clone(row)
		s.topP(got, p)
		checkTopP(t, row, got, p)

		minP, m := r.Float64(), 1+r.IntN(n)
		got = slices.Clone(row)
		s.minP(got, minP, m)
		cut := slices.Max(row) + float32(math.Log(minP))
		keep := falling(row, highFirst)[:m]
		if m == 1 {
			keep = nil
		}
		for i, l := range row {
			if l >= cut {
				keep = append(keep, i)
			}
		}
		if want := only(row, keep); !slices.Equal(got, want) {
			t.Fatalf("trial %d: min_p %v of %d: %s", trial, minP, m, firstDiff(got, want))
		}
	}
}

// checkTopP holds kept against the rule: the tokens kept lead the falling
// order, they hold p of the mass, and without the last one they would not.
func checkTopP(t *testing.T, row, kept []float32, p float64) {
	t.Helper()
	const eps = 1e-6
	order := falling(row, highFirst)
	n, mass, last := 0, 0.0, 0.0
	for n < len(row) && kept[order[n]] != negInf {
		last = math.Exp(float64(row[order[n]]))
		mass += last
		n++
	}
	if want := only(row, order[:n]); !slices.Equal(kept, want) {
		t.Fatalf("top_p %v keeps tokens that do not lead: %s", p, firstDiff(kept, want))
	}
	if n == 0 || mass < p-eps || mass-last > p+eps {
		t.Fatalf("top_p %v keeps %d tokens of mass %v, the last has %v", p, n, mass, last)
	}
}

func TestTopPBorders(t *testing.T) {
	quarter := float32(math.Log(0.25))
	for _, c := range []struct {
		name string
		row  []float32
		p    float64
		keep []int
	}{
		// In rising order the sums are 1/4, 2/4, 3/4, 1; only those above 1-p stay.
		{"half of four equals", []float32{quarter, quarter, quarter, quarter}, 0.5, []int{2, 3}},
		{"just above half", []float32{quarter, quarter, quarter, quarter}, 0.501, []int{1, 2, 3}},
		{"the token that crosses stays", []float32{float32(math.Log(0.6)), float32(math.Log(0.3)), float32(math.Log(0.1))}, 0.7, []int{0, 1}},
		{"the top alone", []float32{float32(math.Log(0.6)), float32(math.Log(0.3)), float32(math.Log(0.1))}, 0.5, []int{0}},
		{"never nothing", []float32{quarter, float32(math.Log(0.75))}, 1e-12, []int{1}},
	} {
		got := slices.Clone(c.row)
		s := &scratch{weight: make([]float64, len(got))}
		s.topP(got, c.p)
		if want := only(c.row, c.keep); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

func TestXTC(t *testing.T) {
	ln := func(p float64) float32 { return float32(math.Log(p)) }
	row := []float32{ln(0.4), ln(0.3), ln(0.2), ln(0.1)}
	for _, c := range []struct {
		name      string
		threshold float64
		special   []int
		keep      []int
	}{
		{"all but the least likely above", 0.15, nil, []int{2, 3}},
		{"special tokens stay", 0.15, []int{0}, []int{0, 2, 3}},
		{"one above", 0.35, nil, []int{0, 1, 2, 3}},
		{"none above", 0.5, nil, []int{0, 1, 2, 3}},
		{"all above", 0, nil, []int{3}},
	} {
		got := slices.Clone(row)
		s := &scratch{weight: make([]float64, len(got))}
		s.xtc(got, c.threshold, c.special)
		if want := only(row, c.keep); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", c.name, got, want)
		}
	}
}

// Draws follow the distribution: 40,000 draws, each count within 5 sigma.
func TestDrawFrequencies(t *testing.T) {
	logits := []float32{0, 1, -inf32, 2, -1}
	const n, temp = 40000, 0.7
	s := mustNew(t, Options{Temperature: temp, Seed: seed(11)}, len(logits))
	count := make([]int, len(logits))
	for range n {
		tok, _, err := s.Sample(logits, nil)
		if err != nil {
			t.Fatal(err)
		}
		count[tok]++
	}
	total := 0.0
	for _, l := range logits {
		total += math.Exp(float64(l) / temp)
	}
	for i, l := range logits {
		p := math.Exp(float64(l)/temp) / total
		if d := math.Abs(float64(count[i]) - n*p); d > 5*math.Sqrt(n*p*(1-p)) {
			t.Errorf("token %d drawn %d times, expected %.1f", i, count[i], n*p)
		}
	}
}

func TestExp(t *testing.T) {
	for x := -699.9; x <= 0.01; x += 0.00737 {
		if got, want := exp(x), math.Exp(x); math.Abs(got-want) > 4e-12*want {
			t.Fatalf("exp(%v) = %v, want %v", x, got, want)
		}
	}
	if got := exp(math.Inf(-1)); got != 0 {
		t.Errorf("exp(-Inf) = %v", got)
	}
	if got := exp(0); got != 1 {
		t.Errorf("exp(0) = %v", got)
	}
}

func TestNoAllocationPerToken(t *testing.T) {
	s := mustNew(t, Options{Temperature: 0.7, TopP: 0.95, MinP: 0.01, TopK: 50, XTCProbability: 0.5, XTCThreshold: 0.1,
		XTCSpecial: []int{3}, Seed: seed(1), RepetitionPenalty: ptr(1.1), PresencePenalty: 0.1, FrequencyPenalty: 0.1,
		LogitBias: []Bias{{5, 1}}}, 1000)
	logits := randomRow(rand.New(rand.NewPCG(3, 4)), 1000)
	history := []int{1, 2, 3, 2, 1}
	if n := testing.AllocsPerRun(50, func() {
		if _, _, err := s.Sample(logits, history); err != nil {
			t.Fatal(err)
		}
	}); n != 0 {
		t.Errorf("Sample allocates %v times", n)
	}
}

func FuzzSample(f *testing.F) {
	f.Add([]byte{1, 2, 3, 4}, 0.7, 0.9, 0.05, 3, uint64(1))
	f.Add([]byte{0, 0, 0, 0, 128, 0}, 1.0, 0.5, 0.0, 0, uint64(2))
	f.Add([]byte{255, 254, 0}, 0.0, 0.0, 1.0, 1, uint64(3))
	f.Fuzz(func(t *testing.T, data []byte, temp, topP, minP float64, topK int, sd uint64) {
		if len(data) == 0 {
			return
		}
		logits := make([]float32, len(data))
		for i, b := range data {
			logits[i] = float32(int8(b)) / 8
			if b == 128 {
				logits[i] = negInf
			}
		}
		s, err := New(Options{Temperature: temp, TopP: topP, MinP: minP, TopK: topK, Seed: &sd,
			XTCProbability: 0.5, XTCThreshold: 0.1}, len(data))
		if err != nil {
			return
		}
		tok, lp, err := s.Sample(logits, nil)
		if err != nil {
			if e, ok := errors.AsType[*EmptyError](err); !ok || slices.Max(logits) != negInf {
				t.Fatalf("%v (%v)", err, e)
			}
			return
		}
		if tok < 0 || tok >= len(data) || logits[tok] == negInf || !(lp <= 1e-6) {
			t.Fatalf("token %d with log-probability %v", tok, lp)
		}
	})
}

func benchmark(b *testing.B, o Options) {
	const vocab = 128 << 10
	r := rand.New(rand.NewPCG(1, 1))
	logits := make([]float32, vocab)
	for i := range logits {
		logits[i] = float32(r.NormFloat64() * 3)
	}
	o.Seed = seed(1)
	s := mustNew(b, o, vocab)
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := s.Sample(logits, nil); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGreedy128k(b *testing.B) { benchmark(b, Options{}) }

func BenchmarkTemperature128k(b *testing.B) { benchmark(b, Options{Temperature: 0.7}) }

func BenchmarkTopP128k(b *testing.B) { benchmark(b, Options{Temperature: 0.7, TopP: 0.95}) }

func BenchmarkTopK128k(b *testing.B) { benchmark(b, Options{Temperature: 0.7, TopK: 40}) }

func BenchmarkAll128k(b *testing.B) {
	benchmark(b, Options{Temperature: 0.8, TopP: 0.9, MinP: 0.02, TopK: 40, XTCProbability: 0.5, XTCThreshold: 0.1})
}
