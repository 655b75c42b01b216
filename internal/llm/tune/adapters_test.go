package tune_test

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

var prompt = []int32{1, 5, 9, 2, 7, 30, 11, 4}

// logits are those of the prompt.
func logits(t *testing.T, m llm.Model) *mlx.Array {
	t.Helper()
	y := m.Forward(mlx.FromSlice(prompt).Reshape(1, len(prompt)), nil, cache.Fresh(m.Layout(), 1, len(prompt)))
	if err := mlx.Eval(y); err != nil {
		t.Fatal(err)
	}
	return y
}

// apart is the greatest difference of two arrays.
func apart(a, b *mlx.Array) float64 { return float64(mlx.Item[float32](mlx.Max(mlx.Abs(a.Sub(b))))) }

// base is a small model, the same each time.
func base(t *testing.T, bits int) llm.Model {
	t.Helper()
	return load(t, baseDir(t, "llama", nil, mlx.Scheme{Bits: bits, GroupSize: 32}))
}

// baseDir is the directory of a small model, the same each time, with weights of s.Bits if
// that is not 0.
func baseDir(t *testing.T, kind string, changes llmtest.Config, s mlx.Scheme) string {
	t.Helper()
	c := llmtest.Tiny(kind).With(changes)
	dir := llmtest.Write(t, c, llmtest.Random(t, c, 1, mlx.Float32))
	if s.Bits == 0 {
		return dir
	}
	return rewritten(t, dir, convert.Options{Quantize: true, Scheme: s})
}

// rewritten is the directory that mlx convert makes of another.
func rewritten(t *testing.T, dir string, o convert.Options) string {
	t.Helper()
	src, files, err := llm.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	o.New, o.Model, o.Dir, o.KeepDTypes = models.New, dir, dir, true
	out := filepath.Join(t.TempDir(), "out")
	if _, err := convert.Run(context.Background(), src, out, o); err != nil {
		t.Fatal(err)
	}
	return out
}

// load reads a model to compute in float32.
func load(t *testing.T, dir string) llm.Model {
	t.Helper()
	d := mlx.Float32
	l, err := llm.Load(dir, llm.LoadOptions{New: models.New, DType: &d, NoTokenizer: true, ExactActivations: true})
	if err != nil {
		t.Fatal(err)
	}
	return l.Model
}

// written makes an adapter for the model, with a B that is not 0, and writes it.
func written(t *testing.T, m llm.Model, o tune.Layers) string {
	t.Helper()
	random.Seed(5)
	trained, err := tune.Prepare(m, o)
	if err != nil {
		t.Fatal(err)
	}
	tensors := map[string]*mlx.Array{}
	for path, a := range nn.TrainableParameters(m, trained.Filter) {
		if strings.HasSuffix(path, "lora_b") {
			a = random.Normal(a.Shape(), random.Scale(0.05))
		}
		tensors[path] = a
	}
	if err := nn.Update(m, maps.All(tensors)); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	err = tune.WriteAdapter(dir, tensors, map[string]any{
		"fine_tune_type": string(o.Kind), "num_layers": o.Num, "model": "org/base",
		"lora_parameters": map[string]any{"rank": o.Rank, "scale": o.Scale, "dropout": 0.0},
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestAdapters writes adapters and puts them over the base again: logits are those of the
// model that was adapted.
func TestAdapters(t *testing.T) {
	for name, c := range map[string]struct {
		o    tune.Layers
		bits int
	}{
		"lora":           {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}},
		"lora last":      {o: tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 2, Scale: 10, Keys: []string{"self_attn.q_proj", "mlp.down_proj"}}},
		"embedding":      {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens", "self_attn.v_proj"}}},
		"dora":           {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10}},
		"dora embedding": {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens"}}},
		"full":           {o: tune.Layers{Kind: tune.Full, Num: 1}},
		"packed":         {o: tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}, bits: 8},
		"packed dora":    {o: tune.Layers{Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 10}, bits: 4},
	} {
		t.Run(name, func(t *testing.T) {
			m := base(t, c.bits)
			plain := logits(t, m)
			dir := written(t, m, c.o)
			want := logits(t, m)
			if c.o.Kind != tune.Full && apart(want, plain) < 1e-3 {
				t.Fatal("the adapter changes nothing")
			}
			again := base(t, c.bits)
			a, err := tune.OpenAdapter(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Put(again, 1); err != nil {
				t.Fatal(err)
			}
			if d := apart(logits(t, again), want); d > 1e-6 {
				t.Errorf("logits of the loaded adapter are off by %v", d)
			}
		})
	}
}

// TestPackedDoRAEmbedding is refused with a way out, for training and for an adapter of
// the unpacked model; the model stays as it was.
func TestPackedDoRAEmbedding(t *testing.T) {
	o := tune.Layers{Kind: tune.DoRA, Num: 1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens"}}
	m := base(t, 4)
	before := logits(t, m)
	_, err := tune.Prepare(m, o)
	a, open := tune.OpenAdapter(written(t, base(t, 0), o))
	if open != nil {
		t.Fatal(open)
	}
	_, put := a.Put(m, 1)
	for _, err := range []error{err, put} {
		if err == nil || !strings.Contains(err.Error(), "model.embed_tokens: dora of a quantized embedding is not supported, as in mlx-lm: train it by lora, or the model that mlx convert --dequantize writes") {
			t.Errorf("%v", err)
		}
	}
	if apart(logits(t, m), before) != 0 {
		t.Error("the model changed")
	}
}

// TestBeginsAsBase: before the first step, adapters change nothing.
func TestBeginsAsBase(t *testing.T) {
	for _, kind := range []tune.Kind{tune.LoRA, tune.DoRA} {
		for _, bits := range []int{0, 4} {
			m := base(t, bits)
			want := logits(t, m)
			if _, err := tune.Prepare(m, tune.Layers{Kind: kind, Num: -1, Rank: 4, Scale: 20}); err != nil {
				t.Fatal(err)
			}
			if d := apart(logits(t, m), want); d > 1e-5 {
				t.Errorf("%s of %d bits: logits are off by %v", kind, bits, d)
			}
		}
	}
}

// TestTwoAdapters adds two with strengths: the order does not matter.
func TestTwoAdapters(t *testing.T) {
	o := tune.Layers{Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10}
	first := written(t, base(t, 0), o)
	o.Num, o.Rank = 1, 2
	second := written(t, base(t, 0), o)
	both := func(order ...string) *mlx.Array {
		m := base(t, 0)
		for _, dir := range order {
			a, err := tune.OpenAdapter(dir)
			if err != nil {
				t.Fatal(err)
			}
			strength := 0.5
			if dir == second {
				strength = 2
			}
			if _, err := a.Put(m, strength); err != nil {
				t.Fatal(err)
			}
		}
		return logits(t, m)
	}
	if d := apart(both(first, second), both(second, first)); d > 1e-5 {
		t.Errorf("the order changes logits by %v", d)
	}
}

// TestAdapterErrors says what does not fit, and changes nothing.
func TestAdapterErrors(t *testing.T) {
	o := tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 4, Scale: 10}
	for want, change := range map[string]func(tensors map[string]*mlx.Array, config map[string]any){
		"no layer model.layers.9": func(x map[string]*mlx.Array, _ map[string]any) {
			x["model.layers.9.mlp.up_proj.lora_a"], x["model.layers.9.mlp.up_proj.lora_b"] = mlx.Zeros(mlx.Shape{2, 4}), mlx.Zeros(mlx.Shape{4, 2})
		},
		"lora_b is missing": func(x map[string]*mlx.Array, _ map[string]any) { delete(x, "model.layers.1.mlp.up_proj.lora_b") },
		"with rank 8 takes": func(_ map[string]*mlx.Array, c map[string]any) { c["lora_parameters"].(map[string]any)["rank"] = 8 },
		"rank above 0 and a scale": func(_ map[string]*mlx.Array, c map[string]any) {
			delete(c["lora_parameters"].(map[string]any), "scale")
		},
		"is not lora, dora or full":            func(_ map[string]*mlx.Array, c map[string]any) { c["fine_tune_type"] = "vera" },
		"fine_tune_type is set and not known":  func(_ map[string]*mlx.Array, c map[string]any) { c["peft_type"] = "LORA" },
		"changes nothing":                      func(x map[string]*mlx.Array, _ map[string]any) { clear(x) },
		"does not belong":                      func(x map[string]*mlx.Array, _ map[string]any) { x["model.norm.lora_c"] = mlx.Zeros(mlx.Shape{2}) },
		"no tensor model.norm.weight of shape": func(x map[string]*mlx.Array, _ map[string]any) { x["model.norm.weight"] = mlx.Zeros(mlx.Shape{2}) },
	} {
		m := base(t, 0)
		before := logits(t, m)
		dir := written(t, base(t, 0), o)
		tensors, _, err := mlx.LoadAll(filepath.Join(dir, tune.AdapterFile))
		if err != nil {
			t.Fatal(err)
		}
		config := map[string]any{"fine_tune_type": "lora", "num_layers": 1, "model": "org/base", "lora_parameters": map[string]any{"rank": 4, "scale": 10.0}}
		change(tensors, config)
		other := t.TempDir()
		if err := tune.WriteAdapter(other, tensors, config); err != nil {
			t.Fatal(err)
		}
		a, err := tune.OpenAdapter(other)
		if err == nil {
			_, err = a.Put(m, 1)
		}
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), other) {
			t.Errorf("%v, want %q and the directory", err, want)
		}
		if apart(logits(t, m), before) != 0 {
			t.Errorf("%q: the model changed", want)
		}
	}
}

// TestRealAdapters puts adapters that mlx-lm's trainer and its users wrote over models of
// their bases' shapes.
func TestRealAdapters(t *testing.T) {
	for _, c := range []struct{ dir, file, kind, config, last string }{
		{"mlx-dpo-qwen0.5b-r8", tune.AdapterFile, "qwen2", `{"model_type": "qwen2", "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24,
			"num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "tie_word_embeddings": true,
			"max_position_embeddings": 32768, "rope_theta": 1e6}`, "model.layers.23."},
		{"mlx-minicpm-lora-r8", "0000100_adapters.safetensors", "minicpm", `{"model_type": "minicpm", "hidden_size": 2304, "intermediate_size": 5760,
			"num_hidden_layers": 40, "num_attention_heads": 36, "num_key_value_heads": 36, "vocab_size": 122753, "rms_norm_eps": 1e-5,
			"max_position_embeddings": 4096, "scale_emb": 12, "dim_model_base": 256, "scale_depth": 1.4}`, "model.layers.39."},
		{"ollama-discollama", tune.AdapterFile, "llama", `{"model_type": "llama", "hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
			"num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 128256, "rms_norm_eps": 1e-5, "rope_theta": 5e5,
			"tie_word_embeddings": false}`, "model.layers.31."},
	} {
		t.Run(c.dir, func(t *testing.T) {
			dir := t.TempDir()
			for to, from := range map[string]string{tune.AdapterConfig: tune.AdapterConfig, tune.AdapterFile: c.file} {
				data, err := os.ReadFile(filepath.Join(shared, "data", "adapters", c.dir, from))
				if err != nil {
					t.Skip("the adapter is not here")
				}
				if err := os.WriteFile(filepath.Join(dir, to), data, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			m, err := models.New(c.kind, []byte(c.config))
			if err != nil {
				t.Fatal(err)
			}
			a, err := tune.OpenAdapter(dir)
			if err != nil {
				t.Fatal(err)
			}
			changed, err := a.Put(m, 1)
			if err != nil {
				t.Fatal(err)
			}
			if len(changed) != len(a.Tensors)/2 || !slices.ContainsFunc(changed, func(p string) bool { return strings.HasPrefix(p, c.last) }) {
				t.Errorf("changed %v", changed)
			}
		})
	}
}
