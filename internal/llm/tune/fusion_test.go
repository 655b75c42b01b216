package tune_test

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
)

// strong opens an adapter.
func strong(t *testing.T, dir string, strength float64) tune.Strong {
	t.Helper()
	a, err := tune.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tune.Strong{Adapter: a, Strength: strength}
}

// fused writes the fusion of the model in dir, and gives the report.
func fused(t *testing.T, dir string, o tune.FuseOptions) (out string, report []tune.Fused) {
	t.Helper()
	src, files, err := llm.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	o.New = models.New
	f, err := tune.NewFusion(src, o)
	if err != nil {
		t.Fatal(err)
	}
	out = filepath.Join(t.TempDir(), "fused")
	if _, err := convert.Run(context.Background(), f.Source(), out, convert.Options{New: models.New, Model: dir, Dir: dir, KeepDTypes: true, Identity: f.Identity()}); err != nil {
		t.Fatal(err)
	}
	if report, err = f.Report(); err != nil {
		t.Fatal(err)
	}
	return out, report
}

// adapted is the model in dir under adapters.
func adapted(t *testing.T, dir string, adapters ...tune.Strong) llm.Model {
	t.Helper()
	m := load(t, dir)
	for _, a := range adapters {
		if _, err := a.Put(m, a.Strength); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

var fusions = map[string]struct {
	o          tune.Layers
	kind       string
	changes    llmtest.Config
	s          mlx.Scheme
	dequantize bool
	two        bool    // the same adapter twice, with two strengths
	kept       float64 // how far Kept may be from 1
}{
	"lora":               {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}},
	"lora last":          {o: tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 2, Scale: 10, Keys: []string{"self_attn.q_proj", "mlp.down_proj"}}},
	"two":                {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}, two: true},
	"embedding":          {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens", "self_attn.v_proj"}}, two: true},
	"tied":               {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens"}}, changes: llmtest.Config{"tie_word_embeddings": true}},
	"tied dora":          {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens"}}, changes: llmtest.Config{"tie_word_embeddings": true}},
	"dora":               {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10}},
	"full":               {o: tune.Layers{Kind: tune.Full, Num: 1}},
	"biases":             {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10}, kind: "qwen2"},
	"packed":             {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}, s: mlx.Scheme{Bits: 8, GroupSize: 32}, kept: 0.05},
	"packed 4":           {o: tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10}, s: mlx.Scheme{Bits: 4, GroupSize: 32}, two: true, kept: 0.1},
	"packed mxfp8":       {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens", "mlp.up_proj"}}, s: mlx.Scheme{Bits: 8, GroupSize: 32, Mode: "mxfp8"}, kept: 0.1},
	"dequantized":        {o: tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10}, s: mlx.Scheme{Bits: 4, GroupSize: 32}, dequantize: true},
	"dequantized two":    {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}, s: mlx.Scheme{Bits: 4, GroupSize: 32}, dequantize: true, two: true},
	"dequantized dora":   {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10}, s: mlx.Scheme{Bits: 4, GroupSize: 32}, dequantize: true},
	"dequantized 2 bits": {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens"}}, s: mlx.Scheme{Bits: 2, GroupSize: 32}, dequantize: true},
	"packed full":        {o: tune.Layers{Kind: tune.Full, Num: 1}, s: mlx.Scheme{Bits: 4, GroupSize: 32}, dequantize: true},
}

// TestFusion: logits of the fused model are those of the model under its adapters; where
// it is packed again, weights are as far from that as the report says.
func TestFusion(t *testing.T) {
	for name, c := range fusions {
		t.Run(name, func(t *testing.T) {
			if c.kind == "" {
				c.kind = "llama"
			}
			dir := baseDir(t, c.kind, c.changes, c.s)
			path := written(t, load(t, dir), c.o)
			if c.o.Kind == tune.Full {
				shift(t, path)
			}
			adapters := []tune.Strong{strong(t, path, 1)}
			if c.two {
				adapters = []tune.Strong{strong(t, path, 0.5), strong(t, path, 2)}
			}
			m := adapted(t, dir, adapters...)
			want := logits(t, m)
			without := apart(want, logits(t, load(t, dir)))
			if without < 1e-3 {
				t.Fatal("the adapter changes nothing")
			}
			out, report := fused(t, dir, tune.FuseOptions{Adapters: adapters, Dequantize: c.dequantize})
			for _, f := range report {
				if math.Abs(f.Kept-1) > c.kept+1e-5 || f.Change < 1e-3 || c.kept == 0 && f.Noise > 1e-4 {
					t.Errorf("%s: %.3f of a change of %.3g is left beside a noise of %.3g", f.Path, f.Kept, f.Change, f.Noise)
				}
			}
			if per := map[tune.Kind]int{tune.LoRA: 2, tune.DoRA: 3, tune.Full: 1}[c.o.Kind]; len(report) != len(adapters[0].Tensors)/per {
				t.Errorf("%d layers in the report of an adapter of %d tensors", len(report), len(adapters[0].Tensors))
			}
			now := load(t, out)
			tol := 1e-5
			if c.kept > 0 {
				weighed(t, dir, out, adapters, report)
				tol = without / 4
			}
			if d := apart(logits(t, now), want); d > tol {
				t.Errorf("logits of the fused model are off by %v", d)
			}
			text, err := os.ReadFile(filepath.Join(out, "config.json"))
			if packed := strings.Contains(string(text), `"quantization"`); err != nil || packed != (c.s.Bits > 0 && !c.dequantize) {
				t.Errorf("config.json says packed: %v", packed)
			}
		})
	}
}

// shift moves the whole weights of an adapter.
func shift(t *testing.T, dir string) {
	t.Helper()
	path := filepath.Join(dir, tune.AdapterFile)
	tensors, _, err := mlx.LoadAll(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, a := range tensors {
		tensors[name] = a.Mul(1.25)
	}
	if err := mlx.SaveSafetensors(path, tensors, nil); err != nil {
		t.Fatal(err)
	}
}

// matrices are the weights of the linear layers and embeddings of a model, float64.
func matrices(m llm.Model) map[string][]float64 {
	out := map[string][]float64{}
	for path, l := range nn.Modules(m) {
		var w *mlx.Array
		switch l := l.(type) {
		case *nn.Linear:
			w = l.Weight
		case *nn.Embedding:
			w = l.Weight
		case *nn.QuantizedLinear:
			w = mlx.Dequantize(mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}, mlx.DType(mlx.Float32))
		case *nn.QuantizedEmbedding:
			w = mlx.Dequantize(mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}, mlx.DType(mlx.Float32))
		default:
			continue
		}
		out[path] = toDouble(mlx.ToSlice[float32](w.AsType(mlx.Float32)))
	}
	return out
}

// weighed computes the report a second way: in float64, from the two directories and the
// tensors of the adapters.
func weighed(t *testing.T, dir, out string, adapters []tune.Strong, report []tune.Fused) {
	t.Helper()
	before, after := matrices(load(t, dir)), matrices(load(t, out))
	for _, f := range report {
		delta := make([]float64, len(before[f.Path]))
		for _, a := range adapters {
			A, B := a.Tensors[f.Path+".lora_a"], a.Tensors[f.Path+".lora_b"]
			x, y := toDouble(mlx.ToSlice[float32](A)), toDouble(mlx.ToSlice[float32](B))
			n, r := A.Dims2()
			_, k := B.Dims2()
			embedding := strings.HasSuffix(f.Path, "embed_tokens")
			for i := range n {
				for j := range k {
					var sum float64
					for l := range r {
						sum += x[i*r+l] * y[l*k+j]
					}
					at := j*n + i
					if embedding {
						at = i*k + j
					}
					delta[at] += a.Scale * a.Strength * sum
				}
			}
		}
		var along, square, whole, noise float64
		for i, d := range delta {
			e := after[f.Path][i] - before[f.Path][i]
			along, square, whole = along+e*d, square+d*d, whole+before[f.Path][i]*before[f.Path][i]
		}
		for i, d := range delta {
			e := after[f.Path][i] - before[f.Path][i] - along/square*d
			noise += e * e
		}
		want := tune.Fused{Path: f.Path, Kept: along / square, Change: math.Sqrt(square / whole), Noise: math.Sqrt(noise / square)}
		if math.Abs(f.Kept-want.Kept) > 1e-4 || math.Abs(f.Change-want.Change) > 1e-4*want.Change || math.Abs(f.Noise-want.Noise) > 1e-3*want.Noise {
			t.Errorf("reported %+v, computed %+v", f, want)
		}
	}
}

// TestFusionKeeps: what no adapter changes has the bytes, dtypes and schemes that it had.
func TestFusionKeeps(t *testing.T) {
	c := llmtest.Tiny("llama")
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.BFloat16))
	rules, err := convert.ParseRules([]byte("'*.down_proj': {bits: 8}\n"), "rules")
	if err != nil {
		t.Fatal(err)
	}
	dir = rewritten(t, dir, convert.Options{Quantize: true, Scheme: mlx.Scheme{Bits: 4, GroupSize: 32}, Rules: rules})
	path := written(t, load(t, dir), tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10, Keys: []string{"mlp.down_proj", "self_attn.q_proj"}})
	out, report := fused(t, dir, tune.FuseOptions{Adapters: []tune.Strong{strong(t, path, 1)}})
	if len(report) != 2 {
		t.Fatalf("report %+v", report)
	}
	before, _, err := mlx.LoadAll(filepath.Join(dir, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	after, _, err := mlx.LoadAll(filepath.Join(out, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if a, b := slices.Sorted(maps.Keys(before)), slices.Sorted(maps.Keys(after)); !slices.Equal(a, b) {
		t.Fatalf("tensors %q and %q", a, b)
	}
	for name, a := range before {
		b := after[name]
		if a.DType() != b.DType() || !slices.Equal(a.Shape(), b.Shape()) {
			t.Errorf("%s: %v %v and %v %v", name, a.DType(), a.Shape(), b.DType(), b.Shape())
		}
		changes := slices.ContainsFunc(report, func(f tune.Fused) bool { return strings.HasPrefix(name, f.Path+".") })
		if same := string(a.Bytes()) == string(b.Bytes()); same == changes {
			t.Errorf("%s: the same bytes: %v", name, same)
		}
	}
	for _, name := range []string{"config.json", "README.md"} {
		a, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(out, name)); err != nil || string(a) != string(b) {
			t.Errorf("%s differs (%v)", name, err)
		}
	}
}

// TestFusionOfFiles: names of files with a prefix, and an adapter with the names of mlx-lm.
func TestFusionOfFiles(t *testing.T) {
	dir := seeingDir(t)
	path := written(t, load(t, dir), tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10})
	file := filepath.Join(path, tune.AdapterFile)
	own, _, err := mlx.LoadAll(file)
	if err != nil {
		t.Fatal(err)
	}
	prefixed := map[string]*mlx.Array{}
	for name, a := range own {
		prefixed["language_model."+name] = a
	}
	if err := mlx.SaveSafetensors(file, prefixed, nil); err != nil {
		t.Fatal(err)
	}
	a := strong(t, path, 1)
	want := logits(t, adapted(t, dir, a))
	out, report := fused(t, dir, tune.FuseOptions{Adapters: []tune.Strong{a}})
	if len(report) != len(own)/2 {
		t.Errorf("%d layers changed", len(report))
	}
	if d := apart(logits(t, load(t, out)), want); d > 1e-5 {
		t.Errorf("logits are off by %v", d)
	}
}

// TestFusionRefuses: what changes nothing, and what does not fit.
func TestFusionRefuses(t *testing.T) {
	dir := baseDir(t, "llama", nil, mlx.Scheme{})
	lora := written(t, load(t, dir), tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10})
	full := written(t, load(t, dir), tune.Layers{Kind: tune.Full, Num: 1})
	dora := written(t, load(t, dir), tune.Layers{Kind: tune.DoRA, Num: 1, Rank: 4, Scale: 0})
	for want, adapters := range map[string][]tune.Strong{
		"there is no adapter":              nil,
		"nothing would change in any of 7": {strong(t, lora, 0)},
		"nothing would change in any of 9": {strong(t, full, 1)},
		"nothing would change in any of":   {strong(t, dora, 1)},
		"whole weights have no strength":   {strong(t, full, 0.5)},
		"dora lies over no other adapter":  {strong(t, lora, 1), strong(t, dora, 1)},
	} {
		src, files, err := llm.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := tune.NewFusion(src, tune.FuseOptions{New: models.New, Adapters: adapters}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		files.Close()
	}
}

// TestFusionResume: a fusion that is interrupted leaves no model; the same goes on to the
// same bytes and report, another adapter does not.
func TestFusionResume(t *testing.T) {
	dir := baseDir(t, "llama", nil, mlx.Scheme{Bits: 4, GroupSize: 32})
	path := written(t, load(t, dir), tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10})
	want, report := fused(t, dir, tune.FuseOptions{Adapters: []tune.Strong{strong(t, path, 1)}})
	out := filepath.Join(t.TempDir(), "fused")
	try := func(strength float64, until int64) (*tune.Fusion, error) {
		src, files, err := llm.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { files.Close() })
		f, err := tune.NewFusion(src, tune.FuseOptions{New: models.New, Adapters: []tune.Strong{strong(t, path, strength)}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		defer cancel()
		o := convert.Options{New: models.New, Model: dir, Dir: dir, KeepDTypes: true, Identity: f.Identity(), Progress: func(done, total int64) {
			if done*10 >= total*until {
				cancel()
			}
		}}
		_, err = convert.Run(ctx, f.Source(), out, o)
		return f, err
	}
	_, err := try(1, 5)
	if _, ok := errors.AsType[*convert.Interrupted](err); !ok {
		t.Fatalf("interrupted: %v", err)
	}
	if _, err := os.Stat(out); err == nil {
		t.Error("there is a model")
	}
	if _, err := try(2, 11); err == nil || !strings.Contains(err.Error(), "unfinished") {
		t.Errorf("another strength: %v", err)
	}
	f, err := try(1, 11)
	if err != nil {
		t.Fatal(err)
	}
	a, err := os.ReadFile(filepath.Join(want, "model.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(out, "model.safetensors")); err != nil || string(a) != string(b) {
		t.Errorf("other bytes (%v)", err)
	}
	if again, err := f.Report(); err != nil || !slices.Equal(again, report) {
		t.Errorf("%v: report %v, not %v", err, again, report)
	}
}

// TestFusionFormats: models whose files have matrices turned, another tool's packing, or
// layers of several bits.
func TestFusionFormats(t *testing.T) {
	for name, keys := range map[string][]string{
		"parity-hf/gpt2":                 nil,
		"parity-hub-quantized/qwen3-awq": nil,
		"parity-quantized/qwen2-mixed":   {"model.embed_tokens", "mlp.down_proj"},
		"parity-hf/gemma2":               nil,
	} {
		t.Run(name, func(t *testing.T) {
			dir := filepath.Join("..", "models", "testdata", name)
			path := written(t, load(t, dir), tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10, Keys: keys})
			a := strong(t, path, 1)
			want, without := logits(t, adapted(t, dir, a)), logits(t, load(t, dir))
			for _, dequantize := range []bool{false, true} {
				out, report := fused(t, dir, tune.FuseOptions{Adapters: []tune.Strong{a}, Dequantize: dequantize})
				if len(report) != len(a.Tensors)/2 {
					t.Errorf("%d layers in the report", len(report))
				}
				var noise float64
				for _, f := range report {
					noise = max(noise, f.Noise+math.Abs(f.Kept-1))
				}
				d, all := apart(logits(t, load(t, out)), want), apart(without, want)
				t.Logf("dequantize %v: off by %.3g of %.3g, noise %.3g", dequantize, d, all, noise)
				if d > 1e-5+2*noise*all || all < 1e-4 {
					t.Errorf("logits are off by %v; the adapter changes them by %v, and the noise is %v", d, all, noise)
				}
			}
		})
	}
}
