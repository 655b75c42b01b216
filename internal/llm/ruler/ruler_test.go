package ruler_test

import (
	"context"
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/ruler"
	"github.com/mlxgo/mlx/nn"
)

const story = `Once upon a time there was a little dog named Max. Max had a red ball and loved to play in the park.
One day the ball rolled into the pond. Max was sad, but a big duck came and pushed the ball back.
"Thank you," said Max. "You are my friend." They played until the sun went down, and then Max went home.`

func load(t *testing.T, name string) *llm.Loaded {
	t.Helper()
	f32 := mlx.Float32
	o := llm.LoadOptions{New: models.New, DType: &f32, ExactActivations: true}
	var m *llm.Loaded
	var err error
	if name == "builtin" {
		m, err = builtin.Load(o)
	} else {
		dir := filepath.Join(shared(), "models", name)
		if _, err := os.Stat(dir); err != nil {
			t.Skipf("needs %s", dir)
		}
		m, err = llm.Load(dir, o)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func shared() string {
	if dir := os.Getenv("MLX_SHARED"); dir != "" {
		return dir
	}
	return filepath.Join("..", "..", "..", "..", "shared")
}

// logProbs are log-probabilities of each position of a row in float64, by the way of
// mlx logits.
func logProbs(t *testing.T, m *llm.Loaded, row []int) [][]float64 {
	t.Helper()
	logits, err := m.Logits(row)
	if err != nil {
		t.Fatal(err)
	}
	all, vocab := mlx.ToSlice[float32](logits), logits.Dim(1)
	out := make([][]float64, len(row))
	for i := range row {
		top, total := float64(slices.Max(all[i*vocab:(i+1)*vocab])), 0.0
		for _, v := range all[i*vocab : (i+1)*vocab] {
			total += math.Exp(float64(v) - top)
			out[i] = append(out[i], float64(v))
		}
		for j := range out[i] {
			out[i][j] -= top + math.Log(total)
		}
	}
	return out
}

func near(t *testing.T, what string, got, want, tolerance float64) {
	t.Helper()
	if math.Abs(got-want) > tolerance*max(1, math.Abs(want)) || math.IsNaN(got) {
		t.Errorf("%s is %.9g, not %.9g", what, got, want)
	}
}

func rowsOf(t *testing.T, m *llm.Loaded, length int) [][]int {
	t.Helper()
	rows, err := ruler.Cut(m.Tokenizer, []string{story}, ruler.RowsOptions{Length: length, Samples: -1})
	if err != nil {
		t.Fatal(err)
	}
	return rows
}

// TestMeasure compares with float64, in any batch and with logits in any pieces.
func TestMeasure(t *testing.T) {
	for _, name := range []string{"builtin", "stories260k"} {
		t.Run(name, func(t *testing.T) {
			m := load(t, name)
			rows := rowsOf(t, m, 24)
			var losses []float64
			for _, row := range rows {
				for i, p := range logProbs(t, m, row)[:len(row)-1] {
					losses = append(losses, -p[row[i+1]])
				}
			}
			var mean, squares float64
			for _, l := range losses {
				mean += l / float64(len(losses))
			}
			for _, l := range losses {
				squares += (l - mean) * (l - mean)
			}
			n := float64(len(losses))
			for _, c := range []struct{ batch, bytes int }{{0, 64 << 20}, {1, 64 << 20}, {3, 7 * 4 * m.Model.Info().VocabSize}} {
				restore := ruler.SetLogitBytes(c.bytes)
				done := 0
				p, err := ruler.Measure(context.Background(), m, rows, ruler.Options{Batch: c.batch, Progress: func(n, total int) { done = n * 1000 / total }})
				restore()
				if err != nil {
					t.Fatal(err)
				}
				near(t, "loss", p.Loss, mean, 2e-6)
				near(t, "perplexity", p.Value, math.Exp(mean), 2e-6)
				near(t, "standard error", p.StandardError, math.Exp(mean)*math.Sqrt(squares/(n-1))/math.Sqrt(n), 1e-5)
				if p.Targets != len(losses) || p.Rows != len(rows) || p.Tokens != 24*len(rows) || done != 1000 {
					t.Errorf("%d targets of %d rows, %d tokens, progress %d", p.Targets, p.Rows, p.Tokens, done)
				}
			}
		})
	}
}

// TestCompare compares a model with its rounding to 3 bits, in float64.
func TestCompare(t *testing.T) {
	for _, name := range []string{"stories260k", "story-10m"} {
		t.Run(name, func(t *testing.T) {
			a, b := load(t, name), load(t, name)
			nn.Quantize(b.Model, mlx.Scheme{Bits: 3, GroupSize: 32}, nn.Predicate(func(_ string, l nn.Quantizable) (mlx.Scheme, bool) {
				linear, ok := l.(*nn.Linear)
				return mlx.Scheme{}, ok && linear.Weight.Dim(1)%32 == 0
			}))
			rows := rowsOf(t, a, 20)
			var kls []float64
			agree, worst, at := 0, -1.0, [2]int{}
			for r, row := range rows {
				pa, pb := logProbs(t, a, row), logProbs(t, b, row)
				for i := range len(row) - 1 {
					var kl float64
					for j, l := range pa[i] {
						kl += math.Exp(l) * (l - pb[i][j])
					}
					if kls = append(kls, kl); kl > worst {
						worst, at = kl, [2]int{r, i + 1}
					}
					if argmax(pa[i]) == argmax(pb[i]) {
						agree++
					}
				}
			}
			restore := ruler.SetLogitBytes(4 * 9 * a.Model.Info().VocabSize)
			defer restore()
			c, err := ruler.Compare(context.Background(), a, b, rows, ruler.CompareOptions{Options: ruler.Options{Batch: 2}, Worst: 3, Context: 5})
			if err != nil {
				t.Fatal(err)
			}
			var mean float64
			for _, kl := range kls {
				mean += kl / float64(len(kls))
			}
			slices.Sort(kls)
			near(t, "mean", c.KL.Mean, mean, 1e-6)
			near(t, "max", c.KL.Max, worst, 1e-5)
			for _, q := range c.KL.Quantiles {
				near(t, "quantile", q.Value, kls[int(math.Ceil(q.Q*float64(len(kls))))-1], 1e-5)
			}
			near(t, "agreement", c.Agreement, float64(agree)/float64(len(kls)), 1e-12)
			w := c.Worst[0]
			if len(c.Worst) != 3 || w.Row != at[0] || w.At != at[1] || w.Next.ID != rows[w.Row][w.At] {
				t.Errorf("worst %+v, not at %v", w, at)
			}
			pa, pb := logProbs(t, a, rows[w.Row])[w.At-1], logProbs(t, b, rows[w.Row])[w.At-1]
			if w.A.ID != argmax(pa) || w.B.ID != argmax(pb) {
				t.Errorf("top tokens %d and %d, not %d and %d", w.A.ID, w.B.ID, argmax(pa), argmax(pb))
			}
			for _, p := range []struct{ got, want float64 }{{w.A.A, pa[w.A.ID]}, {w.A.B, pb[w.A.ID]}, {w.B.A, pa[w.B.ID]}, {w.B.B, pb[w.B.ID]}, {w.Next.A, pa[w.Next.ID]}, {w.Next.B, pb[w.Next.ID]}} {
				near(t, "probability", p.got, math.Exp(p.want), 1e-5)
			}
			if want := a.Tokenizer.Decode(rows[w.Row][max(0, w.At-5):w.At], false); w.Context != want {
				t.Errorf("context %q, not %q", w.Context, want)
			}
			for i, m := range []*llm.Loaded{a, b} {
				p, err := ruler.Measure(context.Background(), m, rows, ruler.Options{})
				if err != nil {
					t.Fatal(err)
				}
				near(t, "perplexity", []ruler.Perplexity{c.A, c.B}[i].Value, p.Value, 1e-6)
			}
		})
	}
}

func argmax(p []float64) int { return slices.Index(p, slices.Max(p)) }

// TestCompareSame: a model is no distance from itself.
func TestCompareSame(t *testing.T) {
	m := load(t, "builtin")
	if err := ruler.SameTokens(m, m, []string{story}); err != nil {
		t.Fatal(err)
	}
	c, err := ruler.Compare(context.Background(), m, m, rowsOf(t, m, 32), ruler.CompareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	if c.KL.Max != 0 || c.Agreement != 1 || c.A.Value != c.B.Value || len(c.Worst) != 0 {
		t.Errorf("%+v", c)
	}
}

func TestSameTokens(t *testing.T) {
	err := ruler.SameTokens(load(t, "builtin"), load(t, "stories260k"), []string{story})
	if err == nil || !strings.Contains(err.Error(), "vocabularies of 2048 and 512 tokens") {
		t.Error(err)
	}
}

func TestCut(t *testing.T) {
	m := load(t, "builtin")
	docs := strings.Split(story, "\n")
	all, err := ruler.Cut(m.Tokenizer, docs, ruler.RowsOptions{Length: 8, Samples: -1, Seed: 1})
	if err != nil {
		t.Fatal(err)
	}
	joined := slices.Concat(all...)
	bos, _ := m.Tokenizer.TokenID(m.Tokenizer.BOS())
	eos, _ := m.Tokenizer.TokenID(m.Tokenizer.EOS())
	if n := count(joined, bos); n != 3 || joined[0] != bos {
		t.Errorf("%d of 3 documents begin with BOS", n)
	}
	if n := count(joined, eos); n < 2 {
		t.Errorf("%d of 3 documents end with EOS", n)
	}
	few, err := ruler.Cut(m.Tokenizer, docs, ruler.RowsOptions{Length: 8, Samples: 2, Seed: 1})
	if err != nil || len(few) != 2 || !slices.Equal(few[1], all[1]) {
		t.Errorf("2 samples are %v (%v), not the first of %v", few, err, all)
	}
	one, err := ruler.Cut(m.Tokenizer, []string{story}, ruler.RowsOptions{Length: 8, Samples: 2, Seed: 1})
	if err != nil || len(one) != 2 || slices.Equal(slices.Concat(one...), slices.Concat(rowsOf(t, m, 8)[:2]...)) {
		t.Errorf("rows of one document are not drawn: %v, %v", one, err)
	}
	for _, c := range []struct {
		length int
		want   string
	}{{1, "at least 2"}, {10000, "fewer than one row"}} {
		if _, err := ruler.Cut(m.Tokenizer, docs, ruler.RowsOptions{Length: c.length}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Error(err)
		}
	}
}

func count(ids []int, id int) (n int) {
	for _, i := range ids {
		if i == id {
			n++
		}
	}
	return n
}

func TestParseText(t *testing.T) {
	for _, c := range []struct {
		text, separator string
		lines           bool
		want            []string
		err             string
	}{
		{text: "a\nb\n", want: []string{"a\nb\n"}},
		{text: "a\n--\nb\n--\n", separator: "--", want: []string{"a", "b"}},
		{text: "{\"text\": \"a\"}\n\n{\"text\":\"b\", \"x\": 1}", lines: true, want: []string{"a", "b"}},
		{text: " \n", err: "no text"},
		{text: "\xff", err: "not UTF-8"},
		{text: "{\"text\": \"a\"}\n{", lines: true, err: "line 2"},
		{text: "{\"texts\": \"a\"}", lines: true, err: "line 1: there is no \"text\""},
	} {
		docs, err := ruler.ParseText([]byte(c.text), c.lines, c.separator)
		if c.err == "" && (err != nil || !slices.Equal(docs, c.want)) || c.err != "" && (err == nil || !strings.Contains(err.Error(), c.err)) {
			t.Errorf("%q gives %q, %v", c.text, docs, err)
		}
	}
	if _, err := ruler.ReadText("allenai/tulu-3-sft-mixture", ""); err == nil || !strings.Contains(err.Error(), "hf download --repo-type dataset") {
		t.Error(err)
	}
	if _, err := ruler.ReadText(t.TempDir(), ""); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Error(err)
	}
}

func FuzzParseText(f *testing.F) {
	f.Add([]byte(`{"text": "a"}`), true, "")
	f.Add([]byte("a<|endoftext|>b"), false, "<|endoftext|>")
	f.Add([]byte("\xff\n{}"), true, "\n")
	f.Fuzz(func(t *testing.T, data []byte, lines bool, separator string) {
		docs, err := ruler.ParseText(data, lines, separator)
		if err == nil && len(docs) == 0 {
			t.Fatal("no documents and no error")
		}
		for _, d := range docs {
			if strings.TrimSpace(d) == "" {
				t.Fatalf("a document without letters: %q", docs)
			}
		}
	})
}

// TestRefuses: rows that are not for the model, and a cancelled run.
func TestRefuses(t *testing.T) {
	m := load(t, "builtin")
	ctx := context.Background()
	long := make([]int, 600)
	for _, c := range []struct {
		rows [][]int
		want string
	}{
		{nil, "no rows"}, {[][]int{{1}}, "no rows"}, {[][]int{long}, "context of 512"},
		{[][]int{{1, 2}, {1, 2, 3}}, "same length"}, {[][]int{{1, 4096}}, "token 4096"},
	} {
		if _, err := ruler.Measure(ctx, m, c.rows, ruler.Options{}); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
	}
	cancelled, cancel := context.WithCancel(ctx)
	cancel()
	if _, err := ruler.Measure(cancelled, m, rowsOf(t, m, 8), ruler.Options{}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
