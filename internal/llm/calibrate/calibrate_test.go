package calibrate_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/builtin"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/calibrate"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/ruler"
	"github.com/mlxgo/mlx/internal/llm/sample"
	"github.com/mlxgo/mlx/internal/quant"
)

// rowLength is that of the rows that the built-in model writes for itself.
const rowLength = 64

// own is text of the built-in model, as rows of tokens that it drew.
var own = sync.OnceValues(func() (rows [][]int, err error) {
	m, err := builtin.Load(llm.LoadOptions{New: models.New})
	if err != nil {
		return nil, err
	}
	for i, start := range []string{"Once upon a time", "One day", "The little dog", "Lily and Tom", "It was a sunny day", "A bird"} {
		seed := uint64(i)
		prompt := m.Tokenizer.Encode(start, true)
		o := llm.Options{MaxTokens: 4*rowLength - len(prompt), IgnoreEOS: true, Sampling: sample.Options{Temperature: 0.8, Seed: &seed}}
		g, err := llm.Generate(m, prompt, o)
		if err != nil {
			return nil, err
		}
		ids := prompt
		for token, err := range g.Tokens(context.Background()) {
			if err != nil {
				return nil, err
			}
			if token.ID >= 0 {
				ids = append(ids, token.ID)
			}
		}
		for ; len(ids) >= rowLength; ids = ids[rowLength:] {
			rows = append(rows, ids[:rowLength])
		}
	}
	return rows, nil
})

// dense is a directory with the built-in model, its weights unpacked.
func dense(t *testing.T) (llm.Source, string) {
	t.Helper()
	src, err := builtin.Source()
	if err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "dense")
	if _, err := convert.Run(context.Background(), src, dir, convert.Options{New: models.New, Model: "builtin", Dequantize: true}); err != nil {
		t.Fatal(err)
	}
	out, files, err := llm.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { files.Close() })
	return out, dir
}

func options(t *testing.T, dir, method string) calibrate.Options {
	t.Helper()
	rows, err := own()
	if err != nil {
		t.Fatal(err)
	}
	kept := len(rows) / 4
	s := quant.Scheme{Bits: 2, GroupSize: 64}
	o := calibrate.Options{Convert: convert.Options{New: models.New, Model: dir, Dir: dir}, Method: method, Scheme: s, Embed: s,
		Rows: rows[kept:], HeldOut: rows[:kept], Grid: 6}
	if method == calibrate.Dynamic {
		o.Scheme, o.High, o.Target = quant.Scheme{Bits: 2, GroupSize: 128}, quant.Scheme{Bits: 3, GroupSize: 64}, 2.507
		o.Rows = o.Rows[:8]
	}
	return o
}

// TestMethods: each loses less than plain rounding of the same size, on text that it has
// not seen, and what is written is what was measured.
func TestMethods(t *testing.T) {
	if llmtest.Race {
		t.Skip("takes too long with the race detector")
	}
	src, dir := dense(t)
	for _, method := range calibrate.Methods() {
		t.Run(method, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), "out")
			o := options(t, dir, method)
			r, err := calibrate.Run(context.Background(), src, out, o)
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s: %.3f, plain %.3f, original %.3f at %.3f bits, %.1f s", method, r.Method.Value, r.Plain.Value, r.Original.Value, r.BitsPerWeight, r.Seconds)
			if !(r.Method.Loss < r.Plain.Loss) || r.BitsPerWeight > 2.508 {
				t.Errorf("loss %.4f at %.3f bits, plain rounding %.4f at 2.507", r.Method.Loss, r.BitsPerWeight, r.Plain.Loss)
			}
			f32 := mlx.Float32
			m, err := llm.Load(out, llm.LoadOptions{New: models.New, DType: &f32, ExactActivations: true})
			if err != nil {
				t.Fatal(err)
			}
			p, err := ruler.Measure(context.Background(), m, o.HeldOut, ruler.Options{})
			if err != nil {
				t.Fatal(err)
			}
			if d := p.Loss - r.Method.Loss; d > 1e-5 || d < -1e-5 {
				t.Errorf("the directory has the loss %.7f, not %.7f", p.Loss, r.Method.Loss)
			}
			if method == calibrate.Dynamic {
				again(t, src, o, r, out)
			}
		})
	}
}

// again runs dynamic with the sensitivities of a run, through a file.
func again(t *testing.T, src llm.Source, o calibrate.Options, r *calibrate.Result, out string) {
	path := filepath.Join(t.TempDir(), "sensitivities.json")
	if err := calibrate.WriteSensitivities(path, r.Sensitivities); err != nil {
		t.Fatal(err)
	}
	var err error
	if o.Sensitivities, err = calibrate.ReadSensitivities(path); err != nil {
		t.Fatal(err)
	}
	second := out + "2"
	if _, err := calibrate.Run(context.Background(), src, second, o); err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(filepath.Join(out, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(second, "model.safetensors"))
	if err != nil || string(a) != string(b) {
		t.Errorf("the same sensitivities give other weights (%v)", err)
	}
}

// TestRefuses: one sentence, and nothing is written.
func TestRefuses(t *testing.T) {
	src, dir := dense(t)
	packed, err := builtin.Source()
	if err != nil {
		t.Fatal(err)
	}
	cancelled, cancel := context.WithCancel(context.Background())
	cancel()
	for _, c := range []struct {
		src    llm.Source
		change func(o *calibrate.Options)
		want   string
	}{
		{packed, func(*calibrate.Options) {}, "the model is quantized already"},
		{src, func(o *calibrate.Options) { o.Method = "magic" }, "no method \"magic\", only awq, gptq, dynamic"},
		{src, func(o *calibrate.Options) { o.Scheme = quant.Scheme{Mode: quant.MXFP4} }, "affine only"},
		{src, func(o *calibrate.Options) { o.Scheme.Bits = 7 }, "7 bits"},
		{src, func(o *calibrate.Options) { o.Rows = nil }, "no text"},
		{src, func(o *calibrate.Options) {
			o.Method, o.Target, o.Sensitivities = calibrate.Dynamic, 1, []calibrate.Sensitivity{{Path: "model.nix", Value: 1}}
		}, "name a layer model.nix"},
	} {
		o := options(t, dir, calibrate.GPTQ)
		o.Rows, o.HeldOut = o.Rows[:1], o.HeldOut[:1]
		c.change(&o)
		out := filepath.Join(t.TempDir(), "out")
		if _, err := calibrate.Run(context.Background(), c.src, out, o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v, not %q", err, c.want)
		}
		if _, err := os.Stat(out); err == nil {
			t.Errorf("%q, and something is written", c.want)
		}
	}
	if _, err := calibrate.Run(cancelled, src, filepath.Join(t.TempDir(), "out"), options(t, dir, calibrate.AWQ)); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func FuzzSensitivities(f *testing.F) {
	f.Add([]byte(`[["model.layers.0.mlp.up_proj", 0.25], ["a", -1e3]]`))
	f.Add([]byte(`[[1, "a"]]`))
	f.Add([]byte(`[["a"]]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		path := filepath.Join(t.TempDir(), "s.json")
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if all, err := calibrate.ReadSensitivities(path); err == nil && len(all) == 0 {
			t.Fatal("no sensitivities and no error")
		}
	})
}
