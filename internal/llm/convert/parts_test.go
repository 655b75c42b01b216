package convert

import (
	"context"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// TestPythonJSON: texts as Python's json.dumps(json.loads(text), indent=4) gives them.
func TestPythonJSON(t *testing.T) {
	for text, want := range map[string]string{
		`{}`:                          `{}`,
		`{"a":[],"b":{},"c":[1,[2]]}`: "{\n    \"a\": [],\n    \"b\": {},\n    \"c\": [\n        1,\n        [\n            2\n        ]\n    ]\n}",
		`{"z":1,"a":2,"z":3}`:         "{\n    \"z\": 3,\n    \"a\": 2\n}",
		`{"k":[1e-6,1E5,1.0,-0.5,1e16,1.5e300,0.0001,0.00001,123456789012345678901,-0.0,1e400,-1e400,12345678901234567.0]}`: "{\n    \"k\": [\n        1e-06,\n        100000.0,\n        1.0,\n        -0.5,\n        1e+16,\n        1.5e+300,\n        0.0001,\n        1e-05,\n        123456789012345678901,\n        -0.0,\n        Infinity,\n        -Infinity,\n        1.2345678901234568e+16\n    ]\n}",
		`{"k":"é\u20ac😀\n\u0001/\"\\\u007f<>&"}`: "{\n    \"k\": \"\\u00e9\\u20ac\\ud83d\\ude00\\n\\u0001/\\\"\\\\\x7f<>&\"\n}",
		`{"k":[true,false,null]}`:                "{\n    \"k\": [\n        true,\n        false,\n        null\n    ]\n}",
	} {
		o, err := parseObject([]byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := string(pythonJSON(o)); got != want {
			t.Errorf("%s is written as\n%s, want\n%s", text, got, want)
		}
	}
	for _, bad := range []string{"", "[]", "1", `{"a":}`, `{} {}`, `{"a":1`, strings.Repeat(`{"a":`, 200) + "1" + strings.Repeat("}", 200)} {
		if _, err := parseObject([]byte(bad)); err == nil {
			t.Errorf("%q is an object", bad)
		}
	}
}

// FuzzPythonJSON: what is written is what was read.
func FuzzPythonJSON(f *testing.F) {
	for _, text := range []string{`{}`, `{"a":[1,2.5,"x\u00e9",null,{"b":true}]}`, `{"a":1e400}`, `{"\ud800":0}`, "{\"a\":\"\xff\"}"} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		o, err := parseObject(text)
		if err != nil {
			return
		}
		out := pythonJSON(o)
		if strings.Contains(string(out), "Infinity") { // Python's, no JSON
			return
		}
		back, err := parseObject(out)
		if err != nil || string(pythonJSON(back)) != string(out) {
			t.Fatalf("%q became %q: %v", text, out, err)
		}
		var a, b any
		if json.Unmarshal(text, &a) == nil && json.Unmarshal(out, &b) == nil && fmt.Sprint(a) != fmt.Sprint(b) {
			t.Fatalf("%q became %q", text, out)
		}
	})
}

// FuzzRules: a file of rules is read or refused.
func FuzzRules(f *testing.F) {
	for _, text := range []string{"a: skip", "a*: {bits: 4, group_size: 32, mode: affine}", "- a", "a: {bits: x}", "a: {skip: true, bits: 3}", "? [a]\n: b", "a: &x [*x]", ""} {
		f.Add([]byte(text), "a.b")
	}
	f.Fuzz(func(t *testing.T, text []byte, path string) {
		r, err := ParseRules(text, "rules.yaml")
		if err != nil {
			if !strings.HasPrefix(err.Error(), "rules.yaml: ") || strings.Contains(err.Error(), "\n") {
				t.Fatalf("%q", err)
			}
			return
		}
		s, _ := quant.Scheme{}.Resolve()
		if r.check(s) == nil {
			if one := r.match(path); one != nil && !one.skip {
				if _, err := one.over(s).Resolve(); err != nil {
					t.Fatal(err)
				}
			}
		}
	})
}

func TestRules(t *testing.T) {
	r, err := ParseRules([]byte("lm_head: skip\n'*.v_proj': {bits: 6}\n'model.layers.1*': {mode: mxfp8}\n'*': {skip: false, group_size: 32}\n"), "x.yaml")
	if err != nil {
		t.Fatal(err)
	}
	whole, _ := quant.Scheme{Rounding: quant.RoundCPU}.Resolve()
	if err := r.check(whole); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		"lm_head": "skip", "model.layers.1.v_proj": "affine bits 6 group 64", "model.layers.10.q_proj": "mxfp8 bits 8 group 32",
		"model.lm_head": "affine bits 4 group 32", "model.layers.2.self_attn.v_proj": "affine bits 6 group 64",
	} {
		got := "skip"
		if one := r.match(path); !one.skip {
			got = one.over(whole).String()
			if one.over(whole).Rounding != quant.RoundCPU {
				t.Errorf("%s is rounded otherwise", path)
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", path, got, want)
		}
	}
	for text, want := range map[string]string{
		"a: {bits: 4}\nb: 3":       `line 2: b: "skip" or a map of bits`,
		"a: {bits: four}":          `line 1: a: bits: "four" is not a whole number`,
		"a: {skip: true, bits: 3}": "skip and settings do not go together",
		"- a":                      "a map from patterns",
		"":                         "there are no patterns",
		"a: skip\na: {bits: 3}":    "the pattern \"a\" is there twice",
		"a: {bots: 1}":             `unknown setting "bots"`,
		"a: [":                     "x.yaml: ",
		"? [a]\n: skip":            "a pattern is a text",
		"a: {skip: maybe}":         `skip: "maybe" is not true or false`,
	} {
		if _, err := ParseRules([]byte(text), "x.yaml"); err == nil || !strings.Contains(err.Error(), want) || !strings.HasPrefix(err.Error(), "x.yaml: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
	for _, text := range []string{"a: {bits: 7}", "a: {group_size: 48}", "a: {mode: int4}", "a: {bits: 0}", "a: {mode: mxfp4, bits: 3}"} {
		r, err := ParseRules([]byte(text), "x.yaml")
		if err != nil {
			t.Fatal(err)
		}
		if err := r.check(whole); err == nil || !strings.HasPrefix(err.Error(), "x.yaml: a: ") {
			t.Errorf("%q: %v", text, err)
		}
	}
}

// routed is a model with a router that its own predicate gives 8 bits, a layer that it
// leaves alone, and a parameter that is never cast.
type routed struct {
	llm.Model
	Embed nn.Embedder `mlx:"model.embed_tokens"`
	Gate  nn.Layer    `mlx:"mlp.gate"`
	Up    nn.Layer    `mlx:"mlp.up"`
	Tiny  nn.Layer    `mlx:"mlp.tiny"`
	Bias  *mlx.Array  `mlx:"mlp.expert_bias"`
}

func newRouted(string, []byte) (llm.Model, error) {
	plain := func() nn.Layer { return nn.NewLinear(64, 32, nn.Bias(false)) }
	return &routed{Embed: nn.NewEmbedding(16, 64), Gate: plain(), Up: plain(), Tiny: plain(), Bias: mlx.Zeros(mlx.Shape{4})}, nil
}

func (*routed) Sanitize(func(string) bool) func(string) bool {
	return func(string) bool { return false }
}

func (*routed) QuantPredicate(path string) (mlx.Scheme, bool) {
	switch path {
	case "mlp.gate":
		return mlx.Scheme{Bits: 8, GroupSize: 64}, true
	case "mlp.tiny":
		return mlx.Scheme{}, false
	}
	return mlx.Scheme{}, true
}

func (*routed) Casts(path string) bool { return path != "mlp.expert_bias" }

// TestPredicates: what a model says of its own layers, rules over it, and layers of a model
// that is partly quantized already.
func TestPredicates(t *testing.T) {
	var w []safetensors.Tensor
	m, _ := newRouted("", nil)
	for path, a := range nn.Parameters(m) {
		w = append(w, llmtest.Tensor(path, make([]float32, a.Size()), mlx.Float32, a.Shape()...))
	}
	dir := llmtest.Write(t, llmtest.Config{"model_type": "routed", "torch_dtype": "float16"}, w)
	run := func(dir string, o Options) string {
		src, files, err := llm.OpenDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer files.Close()
		o.New, o.Quantize = newRouted, true
		out := filepath.Join(t.TempDir(), "out")
		if _, err := Run(context.Background(), src, out, o); err != nil {
			t.Fatal(err)
		}
		return out
	}
	block := func(dir string) string {
		var c struct {
			Block json.RawMessage `json:"quantization"`
		}
		readJSON(t, &c, dir, "config.json")
		return strings.Join(strings.Fields(string(c.Block)), " ")
	}
	own := run(dir, Options{Scheme: quant.Scheme{Mode: quant.MXFP4}})
	if got := block(own); got != `{ "group_size": 32, "bits": 4, "mode": "mxfp4", "mlp.gate": { "group_size": 64, "bits": 8 } }` {
		t.Error(got)
	}
	tensors := openWeights(t, own)
	for name, want := range map[string]string{"mlp.gate.scales": "F16", "mlp.up.scales": "U8", "mlp.tiny.weight": "F16", "mlp.expert_bias": "F32", "mlp.gate.weight": "U32"} {
		if got := tensors[name].RawDType; got != want {
			t.Errorf("%s is %s, want %s", name, got, want)
		}
	}
	rules, err := ParseRules([]byte("mlp.gate: {bits: 3}\nmodel.embed_tokens: skip"), "x")
	if err != nil {
		t.Fatal(err)
	}
	ruled := run(dir, Options{Rules: rules})
	if got := block(ruled); got != `{ "group_size": 64, "bits": 4, "mode": "affine", "model.embed_tokens": false, "mlp.gate": { "group_size": 64, "bits": 3, "mode": "affine" } }` {
		t.Error(got)
	}
	// A second time: the embedding is left, and each new layer is named.
	again := run(ruled, Options{Scheme: quant.Scheme{Bits: 8}})
	if got := block(again); got != `{ "group_size": 64, "bits": 4, "mode": "affine", "model.embed_tokens": { "group_size": 64, "bits": 8, "mode": "affine" }, "mlp.gate": { "group_size": 64, "bits": 3, "mode": "affine" } }` {
		t.Error(got)
	}
}

// TestRecipeLayers: which layers get more bits, by the formula's published sets.
func TestRecipeLayers(t *testing.T) {
	for n, want := range map[int]string{
		32: "0 1 2 3 6 9 12 15 18 21 24 27 28 29 30 31", 28: "0 1 2 5 8 11 14 17 20 23 24 25 26 27",
	} {
		paths := []string{"", "lm_head"}
		for i := range n {
			paths = append(paths, fmt.Sprintf("model.layers.%d", i), fmt.Sprintf("model.layers.%d.mlp.down_proj", i))
		}
		r, err := newRecipe("mixed_2_6", paths, nil)
		if err != nil {
			t.Fatal(err)
		}
		bits := func(name string) int { return r.of(name, quant.Scheme{Mode: quant.Affine, GroupSize: 64}).scheme.Bits }
		var more []string
		for i := range n {
			layer := fmt.Sprintf("model.layers.%d.", i)
			if bits(layer+"self_attn.v_proj") != bits(layer+"mlp.down_proj") || bits(layer+"self_attn.q_proj") != 2 {
				t.Errorf("layer %d: other bits", i)
			}
			if bits(layer+"mlp.down_proj") == 6 {
				more = append(more, fmt.Sprint(i))
			}
		}
		if got := strings.Join(more, " "); got != want {
			t.Errorf("%d layers: %s, want %s", n, got, want)
		}
		if bits("lm_head") != 6 || bits("model.embed_tokens") != 2 {
			t.Error("the head or the embedding has other bits")
		}
	}
	if _, err := newRecipe("mixed_2_6", []string{"a.b"}, nil); err == nil || !strings.Contains(err.Error(), "Model does not have expected keys for mixed quant.") {
		t.Error(err)
	}
}

// TestCard: a model card keeps what the source's says of itself.
func TestCard(t *testing.T) {
	config, w := llmtest.Says(5, 6)
	dir := llmtest.Write(t, config, w)
	const old = "---\r\nlicense: mit # ours\ntags:\n- chat\nlibrary_name: transformers\nbase_model: a/b\n---\n# Title\n---\n"
	if err := os.WriteFile(filepath.Join(dir, cardFile), []byte(old), 0o666); err != nil {
		t.Fatal(err)
	}
	for repo, want := range map[string]string{
		"":    "---\nlicense: mit # ours\ntags:\n  - chat\n  - mlx\nlibrary_name: mlx\nbase_model: a/b\npipeline_tag: text-generation\n---\n",
		"o/n": "---\nlicense: mit # ours\ntags:\n  - chat\n  - mlx\nlibrary_name: mlx\nbase_model: o/n\npipeline_tag: text-generation\n---\n",
	} {
		out := convertDir(t, dir, Options{Repo: repo})
		if text, err := os.ReadFile(filepath.Join(out, cardFile)); err != nil || string(text) != want {
			t.Errorf("%q, %v", text, err)
		}
	}
}

// TestTemplates: a template has a file of its own, and tool calls their parser.
func TestTemplates(t *testing.T) {
	config, w := llmtest.Says(5, 6)
	dir := llmtest.Write(t, config, w)
	llmtest.WriteJSON(t, dir, "tokenizer_config.json", map[string]any{"chat_template": "<tool_call>{{ tool_call.name }}é"})
	out := convertDir(t, dir, Options{})
	if text, err := os.ReadFile(filepath.Join(out, templateFile)); err != nil || string(text) != "<tool_call>{{ tool_call.name }}é" {
		t.Errorf("%q, %v", text, err)
	}
	var c map[string]any
	readJSON(t, &c, out, "tokenizer_config.json")
	if c["tool_parser_type"] != "json_tools" || c["chat_template"] != "<tool_call>{{ tool_call.name }}é" {
		t.Errorf("%v", c)
	}
	for text, want := range map[string]string{"": "", "<arg_key><tool_call>tool_call.name": "glm47", "[TOOL_CALLS]": "mistral", `'<tool_call>\n<function='`: "qwen3_coder", "<|tool_call>": ""} {
		if got := toolParser(text); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
}

// TestCasts: every dtype to every other is the library's, and float64 is narrowed.
func TestCasts(t *testing.T) {
	config, w := llmtest.Says(5, 6)
	values := []float32{1, -2.0009765625, 3e-8, 65519, 70000, 1.00390625, 5.877e-39, float32(math.Inf(1))}
	wide := make([]byte, 0, 8*512)
	one := make([]float32, 512)
	for i := range 512 {
		one[i] = values[i%len(values)]
		u := math.Float64bits(float64(one[i]))
		for b := range 8 {
			wide = append(wide, byte(u>>(8*b)))
		}
	}
	types := []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16}
	for _, from := range append(types, mlx.Float64) {
		for i := range w {
			if w[i].Name == "model.norm.weight" {
				if w[i] = llmtest.Tensor(w[i].Name, one, from, 512); from == mlx.Float64 {
					w[i] = safetensors.Tensor{Name: w[i].Name, DType: from, Shape: []int{512}, Data: wide}
				}
			}
		}
		dir := llmtest.Write(t, config, w)
		for _, to := range types {
			got := openWeights(t, convertDir(t, dir, Options{DType: &to}))["model.norm.weight"]
			var src safetensors.Tensor
			for _, x := range w {
				if x.Name == got.Name {
					src = x
				}
			}
			a := mlx.FromBytes(src.Data, mlx.Shape{512}, from)
			if from == mlx.Float64 {
				a = mlx.FromSlice(one)
			}
			if want := a.AsType(to).Bytes(); string(want) != string(got.Data) || got.DType != to {
				t.Errorf("%v to %v differs", from, to)
			}
		}
	}
	if got := openWeights(t, convertDir(t, llmtest.Write(t, config, w), Options{}))["model.norm.weight"]; got.RawDType != "F32" {
		t.Errorf("float64 is written as %s", got.RawDType)
	}
}

// TestTied: the six forms of a head.
func TestTied(t *testing.T) {
	base := llmtest.Tiny("llama")
	w := llmtest.Random(t, base, 3, mlx.Float32)
	var body []safetensors.Tensor
	var embedding safetensors.Tensor
	for _, x := range w {
		if x.Name != "lm_head.weight" {
			body = append(body, x)
		}
		if x.Name == "model.embed_tokens.weight" {
			embedding = x
		}
	}
	same := embedding
	same.Name = "lm_head.weight"
	tied := base.With(llmtest.Config{"tie_word_embeddings": true})
	for name, c := range map[string]struct {
		config llmtest.Config
		w      []safetensors.Tensor
		head   bool
	}{
		"tied": {tied, body, false}, "tied, the same head": {tied, append(body[:len(body):len(body)], same), false},
		"tied, another head": {tied, w, false}, "untied": {base, w, true},
	} {
		dir := llmtest.Write(t, c.config, c.w)
		var notes []string
		out := convertDir(t, dir, Options{Quantize: true, Scheme: quant.Scheme{GroupSize: 32}, Note: func(s string) { notes = append(notes, s) }})
		got := openWeights(t, out)
		if _, ok := got["lm_head.scales"]; ok != c.head {
			t.Errorf("%s: a head is written: %v", name, ok)
		}
		if (len(notes) > 0) != (name == "tied, another head") {
			t.Errorf("%s: notes %q", name, notes)
		}
		m := load(t, out)
		back := load(t, convertDir(t, out, Options{Dequantize: true}))
		a, _ := m.Logits([]int{1, 2, 3})
		b, _ := back.Logits([]int{1, 2, 3})
		x, y := mlx.ToSlice[float32](a), mlx.ToSlice[float32](b)
		for i := range x {
			if math.Abs(float64(x[i]-y[i])) > 1e-5 {
				t.Fatalf("%s: logit %d is %v and %v", name, i, x[i], y[i])
			}
		}
	}
	src, files, err := llm.OpenDir(llmtest.Write(t, base, body))
	if err != nil {
		t.Fatal(err)
	}
	defer files.Close()
	_, err = Run(context.Background(), src, filepath.Join(t.TempDir(), "out"), Options{New: models.New})
	if err == nil || !strings.Contains(err.Error(), "tie_word_embeddings is false") || !strings.Contains(err.Error(), "lm_head.weight") {
		t.Error(err)
	}
}
