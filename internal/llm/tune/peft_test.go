package tune_test

import (
	"encoding/json"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/llm/peft"
	"github.com/mlxgo/mlx/internal/llm/tune"
	"github.com/mlxgo/mlx/nn"
)

// peftDir writes a directory as PEFT does.
func peftDir(t *testing.T, config map[string]any, tensors map[string]*mlx.Array) string {
	t.Helper()
	dir := t.TempDir()
	llmtest.WriteJSON(t, dir, peft.ConfigFile, config)
	named := map[string]*mlx.Array{}
	for name, a := range tensors {
		named["base_model.model."+name] = a
	}
	if err := mlx.SaveSafetensors(filepath.Join(dir, peft.WeightsFile), named, nil); err != nil {
		t.Fatal(err)
	}
	return dir
}

// loraConfig is a configuration of PEFT's with changes.
func loraConfig(changes map[string]any) map[string]any {
	c := map[string]any{"peft_type": "LORA", "task_type": "CAUSAL_LM", "base_model_name_or_path": "org/base", "r": 4, "lora_alpha": 8,
		"bias": "none", "target_modules": []string{"q_proj", "v_proj", "down_proj"}, "fan_in_fan_out": false, "init_lora_weights": true,
		"lora_dropout": 0.05, "rank_pattern": map[string]any{}, "alpha_pattern": map[string]any{}, "qalora_group_size": 16, "peft_version": "0.17.0"}
	maps.Copy(c, changes)
	return c
}

// noise is a small random matrix.
func noise(r *rand.Rand, shape ...int) *mlx.Array {
	n := 1
	for _, d := range shape {
		n *= d
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(r.NormFloat64() * 0.2)
	}
	return mlx.FromSlice(v).Reshape(shape...)
}

// pair is the two matrices of a layer in PEFT's names.
func pair(r *rand.Rand, to map[string]*mlx.Array, module string, in, rank, out int, adapter string) {
	to[module+".lora_A"+adapter+".weight"], to[module+".lora_B"+adapter+".weight"] = noise(r, rank, in), noise(r, out, rank)
}

// values are the elements in float64.
func values(t *testing.T, a *mlx.Array) ([]float64, []int) {
	t.Helper()
	v := mlx.ToSlice[float32](a.AsType(mlx.Float32))
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out, a.Shape()
}

// mergedPEFT is PEFT's merged weight in float64: W + s B A, with DoRA its rows scaled to
// m.
func mergedPEFT(t *testing.T, w, a, b, m *mlx.Array, s float64) []float64 {
	t.Helper()
	x, shape := values(t, w)
	av, _ := values(t, a)
	bv, bs := values(t, b)
	out, in, rank := shape[0], shape[1], bs[1]
	for i := range out {
		square := 0.0
		for j := range in {
			for k := range rank {
				x[i*in+j] += s * bv[i*rank+k] * av[k*in+j]
			}
			square += x[i*in+j] * x[i*in+j]
		}
		if m != nil {
			mv, _ := values(t, m)
			for j := range in {
				x[i*in+j] *= mv[i] / math.Sqrt(square)
			}
		}
	}
	return x
}

// put puts the adapter in dir over a fresh base.
func put(t *testing.T, dir string) llm.Model {
	t.Helper()
	m := base(t, 0)
	a, err := tune.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Put(m, 1); err != nil {
		t.Fatal(err)
	}
	return m
}

// converted is the adapter in dir in mlx-lm's format.
func converted(t *testing.T, dir string, model any) string {
	t.Helper()
	a, err := tune.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	tensors, config, err := a.ToMLX(model, "")
	if err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(t.TempDir(), "out")
	if err := tune.WriteDir(out, func(dir string) error { return tune.WriteAdapter(dir, tensors, config) }); err != nil {
		t.Fatal(err)
	}
	return out
}

// weights are the matrices of the base by path.
func weights(t *testing.T, m any) map[string]*mlx.Array {
	t.Helper()
	return maps.Collect(nn.Parameters(m))
}

// TestPEFTMerged compares merged weights with W + s B A in float64, read directly and by
// way of mlx-lm's format, of ranks and scales that differ between layers.
func TestPEFTMerged(t *testing.T) {
	sqrt := math.Sqrt
	for name, c := range map[string]struct {
		changes map[string]any
		ranks   map[string]int     // by a module's end, else 4
		scales  map[string]float64 // else that of ""
		adapter string
		dora    bool
	}{
		"plain":   {scales: map[string]float64{"": 2}},
		"named":   {scales: map[string]float64{"": 2}, adapter: ".default"},
		"rslora":  {changes: map[string]any{"use_rslora": true}, scales: map[string]float64{"": 4}},
		"power":   {changes: map[string]any{"alpha_pattern": map[string]any{"v_proj": 32}}, scales: map[string]float64{"": 2, "v_proj": 8}},
		"third":   {changes: map[string]any{"alpha_pattern": map[string]any{"layers.1.self_attn.v_proj": 3}}, scales: map[string]float64{"": 2, "1.self_attn.v_proj": 0.75}},
		"regular": {changes: map[string]any{"rank_pattern": map[string]any{`layers\.\d+\.mlp\.\w+`: 6}}, ranks: map[string]int{"down_proj": 6}, scales: map[string]float64{"": 2, "down_proj": 8.0 / 6}},
		"both": {changes: map[string]any{"use_rslora": true, "rank_pattern": map[string]any{"^model.layers.0.self_attn.q_proj": 2}, "alpha_pattern": map[string]any{"q_proj|v_proj": 5}},
			ranks:  map[string]int{"0.self_attn.q_proj": 2},
			scales: map[string]float64{"": 4, "0.self_attn.q_proj": 5 / sqrt(2), "1.self_attn.q_proj": 2.5, "v_proj": 2.5}},
		"dora":        {changes: map[string]any{"use_dora": true, "alpha_pattern": map[string]any{"v_proj": 7}}, scales: map[string]float64{"": 2, "v_proj": 7.0 / 4}, dora: true},
		"some layers": {changes: map[string]any{"layers_to_transform": []int{0, 1}, "layers_pattern": "layers", "exclude_modules": "lm_head"}, scales: map[string]float64{"": 2}},
		"expression":  {changes: map[string]any{"target_modules": `model\.layers\.\d+\.(self_attn|mlp)\.(q|v|down)_proj`}, scales: map[string]float64{"": 2}},
		"all linear":  {changes: map[string]any{"target_modules": "all-linear"}, scales: map[string]float64{"": 2}},
		"lookahead":   {changes: map[string]any{"target_modules": `^(?!.*vision).*proj$`}, scales: map[string]float64{"": 2}},
	} {
		t.Run(name, func(t *testing.T) {
			r := rand.New(rand.NewPCG(1, 2))
			plain := weights(t, base(t, 0))
			tensors, want := map[string]*mlx.Array{}, map[string][]float64{}
			for path, w := range plain {
				module, ok := strings.CutSuffix(path, ".weight")
				if !ok || !strings.HasSuffix(module, "q_proj") && !strings.HasSuffix(module, "v_proj") && !strings.HasSuffix(module, "down_proj") {
					continue
				}
				rank, scale := 4, c.scales[""]
				for end, n := range c.ranks {
					if strings.HasSuffix(module, end) {
						rank = n
					}
				}
				for end, s := range c.scales {
					if end != "" && strings.HasSuffix(module, end) {
						scale = s
					}
				}
				out, in := w.Dims2()
				pair(r, tensors, module, in, rank, out, c.adapter)
				var m *mlx.Array
				if c.dora {
					m = mlx.Abs(noise(r, out))
					tensors[module+".lora_magnitude_vector"] = m
				}
				want[path] = mergedPEFT(t, w, tensors[module+".lora_A"+c.adapter+".weight"], tensors[module+".lora_B"+c.adapter+".weight"], m, scale)
			}
			dir := peftDir(t, loraConfig(c.changes), tensors)
			through := converted(t, dir, base(t, 0))
			direct := logits(t, put(t, dir))
			if d := apart(direct, logits(t, put(t, through))); d != 0 {
				t.Errorf("logits of the converted adapter differ by %v", d)
			}
			if d := apart(direct, logits(t, put(t, converted(t, dir, nil)))); d != 0 {
				t.Errorf("logits of the adapter that was converted without a model differ by %v", d)
			}
			for _, dir := range []string{dir, through} {
				m := put(t, dir)
				if err := tune.FuseAll(m); err != nil {
					t.Fatal(err)
				}
				have := weights(t, m)
				for path, w := range want {
					got, _ := values(t, have[path])
					for i := range w {
						if math.Abs(got[i]-w[i]) > 2e-6 {
							t.Fatalf("%s: element %d is %v, want %v", path, i, got[i], w[i])
						}
					}
				}
			}
		})
	}
}

// TestPEFTRoundTrip writes adapters of mlx-lm's as PEFT's and reads them again: all bits
// and settings are the same.
func TestPEFTRoundTrip(t *testing.T) {
	for name, o := range map[string]tune.Layers{
		"lora":  {Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10},
		"last":  {Kind: tune.LoRA, Num: 1, Rank: 3, Scale: 0.1, Keys: []string{"self_attn.q_proj", "mlp.down_proj"}},
		"dora":  {Kind: tune.DoRA, Num: -1, Rank: 4, Scale: 20},
		"table": {Kind: tune.LoRA, Num: -1, Rank: 4, Scale: 10, Keys: []string{"model.embed_tokens", "self_attn.v_proj"}},
	} {
		for _, model := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				dir := written(t, base(t, 0), o)
				var with any
				if model {
					with = base(t, 0)
				}
				a, err := tune.OpenAdapter(dir)
				if err != nil {
					t.Fatal(err)
				}
				p, turned, err := a.ToPEFT(with, "")
				if err != nil || turned {
					t.Fatal(err, turned)
				}
				there := t.TempDir()
				if err := peft.Write(there, p, turned); err != nil {
					t.Fatal(err)
				}
				back := converted(t, there, nil)
				first, _, err := mlx.LoadAll(filepath.Join(dir, tune.AdapterFile))
				if err != nil {
					t.Fatal(err)
				}
				second, _, err := mlx.LoadAll(filepath.Join(back, tune.AdapterFile))
				if err != nil {
					t.Fatal(err)
				}
				if len(first) != len(second) {
					t.Fatalf("%d and %d tensors", len(first), len(second))
				}
				for path, x := range first {
					if y := second[path]; y == nil || y.DType() != x.DType() || !slices.Equal(x.Shape(), y.Shape()) || apart(x, y) != 0 {
						t.Errorf("%s differs", path)
					}
				}
				again, err := tune.OpenAdapter(back)
				if err != nil {
					t.Fatal(err)
				}
				// Not every scale is a quotient by the rank in float64; one bit of 53 is lost.
				if again.Rank != a.Rank || math.Abs(again.Scale-a.Scale) > 0x1p-52*a.Scale || again.Kind != a.Kind || again.Model != a.Model {
					t.Errorf("rank %d, scale %v, kind %s of %s", again.Rank, again.Scale, again.Kind, again.Model)
				}
				if d := apart(logits(t, put(t, dir)), logits(t, put(t, there))); d != 0 {
					t.Errorf("logits differ by %v", d)
				}
			})
		}
	}
}

// asPEFT writes the adapter of mlx-lm's in dir as PEFT's, without a model.
func asPEFT(t *testing.T, dir string) (a *tune.Adapter, out string) {
	t.Helper()
	a, err := tune.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	p, _, err := a.ToPEFT(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	out = t.TempDir()
	if err := peft.Write(out, p, false); err != nil {
		t.Fatal(err)
	}
	return a, out
}

// TestPEFTTargets: what is written names exactly the layers that are adapted.
func TestPEFTTargets(t *testing.T) {
	dir := written(t, base(t, 0), tune.Layers{Kind: tune.LoRA, Num: 1, Rank: 2, Scale: 10, Keys: []string{"self_attn.q_proj", "mlp.down_proj"}})
	_, out := asPEFT(t, dir)
	raw, err := os.ReadFile(filepath.Join(out, peft.ConfigFile))
	if err != nil {
		t.Fatal(err)
	}
	var c struct {
		Alpha   any      `json:"lora_alpha"`
		R       int      `json:"r"`
		Targets []string `json:"target_modules"`
		Layers  []int    `json:"layers_to_transform"`
		Base    string   `json:"base_model_name_or_path"`
	}
	if err := json.Unmarshal(raw, &c); err != nil {
		t.Fatal(err)
	}
	if c.Alpha != 20.0 || c.R != 2 || !slices.Equal(c.Targets, []string{"mlp.down_proj", "self_attn.q_proj"}) || !slices.Equal(c.Layers, []int{1}) || c.Base != "org/base" {
		t.Errorf("%s", raw)
	}
	tensors, _, err := mlx.LoadAll(filepath.Join(out, peft.WeightsFile))
	if err != nil {
		t.Fatal(err)
	}
	if x := tensors["base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"]; len(tensors) != 4 || x == nil || x.Dim(0) != 2 {
		t.Errorf("%v", slices.Sorted(maps.Keys(tensors)))
	}
}

// TestPEFTWhole reads layers that were trained whole, over plain and packed bases.
func TestPEFTWhole(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	plain := weights(t, base(t, 0))
	head := noise(r, plain["lm_head.weight"].Shape()...)
	tensors := map[string]*mlx.Array{"lm_head.weight": head, "model.norm.weight": noise(r, plain["model.norm.weight"].Shape()...)}
	out, in := plain["model.layers.0.self_attn.q_proj.weight"].Dims2()
	pair(r, tensors, "model.layers.0.self_attn.q_proj", in, 4, out, "")
	dir := peftDir(t, loraConfig(map[string]any{"modules_to_save": []string{"lm_head", "norm"}}), tensors)
	through := converted(t, dir, base(t, 0))
	for _, bits := range []int{0, 8} {
		for _, dir := range []string{dir, through} {
			m := base(t, bits)
			a, err := tune.OpenAdapter(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := a.Put(m, 0.5); err == nil || !strings.Contains(err.Error(), "no strength") {
				t.Errorf("%v", err)
			}
			if _, err := a.Put(m, 1); err != nil {
				t.Fatal(err)
			}
			have := weights(t, m)
			if apart(have["lm_head.weight"], head) != 0 || apart(have["model.norm.weight"], tensors["model.norm.weight"]) != 0 {
				t.Errorf("%d bits: the whole weights are not in the model", bits)
			}
		}
	}
}

// TestPEFTTorch reads adapter_model.bin.
func TestPEFTTorch(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	plain := weights(t, base(t, 0))
	out, in := plain["model.layers.0.self_attn.q_proj.weight"].Dims2()
	tensors := map[string]*mlx.Array{}
	pair(r, tensors, "model.layers.0.self_attn.q_proj", in, 4, out, "")
	dir := peftDir(t, loraConfig(nil), tensors)
	want := logits(t, put(t, dir))
	path := filepath.Join(dir, peft.WeightsFile)
	f, err := safetensors.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	llmtest.WriteTorch(t, dir, peft.TorchFile, f.Tensors())
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if d := apart(logits(t, put(t, dir)), want); d != 0 {
		t.Errorf("logits differ by %v", d)
	}
}

// TestPEFTTied refuses what PEFT means otherwise where the head is the embedding.
func TestPEFTTied(t *testing.T) {
	c := llmtest.Tiny("llama").With(llmtest.Config{"tie_word_embeddings": true})
	config, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(7, 8))
	table := weights(t, base(t, 0))["model.embed_tokens.weight"]
	n, dims := table.Dims2()
	tensors := map[string]*mlx.Array{"model.embed_tokens.lora_embedding_A": noise(r, 4, n), "model.embed_tokens.lora_embedding_B": noise(r, dims, 4)}
	for _, ties := range []bool{false, true} {
		m, err := models.New("llama", config)
		if err != nil {
			t.Fatal(err)
		}
		m.Sanitize(func(string) bool { return false })
		a, err := tune.OpenAdapter(peftDir(t, loraConfig(map[string]any{"target_modules": []string{"embed_tokens"}, "ensure_weight_tying": ties}), tensors))
		if err != nil {
			t.Fatal(err)
		}
		if _, err = a.Put(m, 1); ties && err != nil || !ties && (err == nil || !strings.Contains(err.Error(), "ensure_weight_tying")) {
			t.Errorf("ties %v: %v", ties, err)
		}
	}
}

// TestPEFTNames: GPT-2's and GPT-NeoX's layers have other names in transformers.
func TestPEFTNames(t *testing.T) {
	for kind, layer := range map[string]string{"gpt2": "transformer.h.1.attn.c_attn", "gpt_neox": "gpt_neox.layers.1.attention.query_key_value"} {
		config, err := json.Marshal(llmtest.Tiny(kind))
		if err != nil {
			t.Fatal(err)
		}
		model := func() any {
			m, err := models.New(kind, config)
			if err != nil {
				t.Fatal(err)
			}
			return m
		}
		var in, out int
		for path, w := range weights(t, model()) {
			if strings.HasSuffix(path, "1."+strings.Join(strings.Split(layer, ".")[3:], ".")+".weight") {
				out, in = w.Dims2()
			}
		}
		r, tensors := rand.New(rand.NewPCG(9, 9)), map[string]*mlx.Array{}
		pair(r, tensors, layer, in, 4, out, "")
		dir := peftDir(t, loraConfig(map[string]any{"target_modules": []string{layer[strings.LastIndexByte(layer, '.')+1:]}, "fan_in_fan_out": kind == "gpt2"}), tensors)
		a, err := tune.OpenAdapter(converted(t, dir, model()))
		if err != nil {
			t.Fatal(err)
		}
		p, turned, err := a.ToPEFT(model(), "")
		if err != nil {
			t.Fatal(err)
		}
		if _, ok := p.Layers[layer]; !ok || turned != (kind == "gpt2") {
			t.Errorf("%s: %v, turned %v", kind, slices.Sorted(maps.Keys(p.Layers)), turned)
		}
	}
}

// TestPEFTReal writes real adapters of mlx-lm's as PEFT's and back.
func TestPEFTReal(t *testing.T) {
	for _, name := range []string{"mlx-dpo-qwen0.5b-r8", "ollama-discollama"} {
		dir := filepath.Join(shared, "data", "adapters", name)
		if _, err := os.Stat(dir); err != nil {
			t.Skip("the adapters are not here")
		}
		a, there := asPEFT(t, dir)
		again, err := tune.OpenAdapter(converted(t, there, nil))
		if err != nil {
			t.Fatal(err)
		}
		if len(again.Tensors) != 8 || again.Scale != a.Scale {
			t.Errorf("%d tensors, scale %v", len(again.Tensors), again.Scale)
		}
		for path, x := range a.Tensors {
			if y := again.Tensors[path]; y == nil || apart(x, y) != 0 {
				t.Errorf("%s: %s differs", name, path)
			}
		}
	}
}

// TestPEFTOtherParts: the text part of a model that sees takes its layers and says what is
// left.
func TestPEFTOtherParts(t *testing.T) {
	text := llmtest.Tiny("llama")
	config, err := json.Marshal(map[string]any{"model_type": "llava", "text_config": text})
	if err != nil {
		t.Fatal(err)
	}
	model := func() any {
		m, err := models.New("mistral3", config)
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	out, in := weights(t, model())["model.layers.1.self_attn.q_proj.weight"].Dims2()
	r, tensors := rand.New(rand.NewPCG(9, 9)), map[string]*mlx.Array{}
	pair(r, tensors, "model.language_model.layers.1.self_attn.q_proj", in, 4, out, "")
	seeing := maps.Clone(tensors)
	pair(r, seeing, "model.vision_tower.layers.1.self_attn.q_proj", 8, 4, 8, "")
	for _, with := range []any{nil, model()} {
		a, err := tune.OpenAdapter(peftDir(t, loraConfig(nil), tensors))
		if err != nil {
			t.Fatal(err)
		}
		named, _, err := a.ToMLX(with, "")
		if err != nil {
			t.Fatal(err)
		}
		if len(named) != 2 || named["language_model.model.layers.1.self_attn.q_proj.lora_a"] == nil {
			t.Errorf("%v", slices.Sorted(maps.Keys(named)))
		}
	}
	dir := peftDir(t, loraConfig(nil), seeing)
	a, err := tune.OpenAdapter(converted(t, dir, model()))
	if err != nil {
		t.Fatal(err)
	}
	if changed, err := a.Put(model(), 1); err != nil || !slices.Equal(changed, []string{"model.layers.1.self_attn.q_proj"}) {
		t.Errorf("%v, %v", changed, err)
	}
	p, _, err := a.ToPEFT(nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, ok := p.Layers["model.language_model.layers.1.self_attn.q_proj"]; !ok {
		t.Errorf("%v", slices.Sorted(maps.Keys(p.Layers)))
	}
	direct, err := tune.OpenAdapter(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Put(model(), 1); err != nil || len(direct.Notes) != 1 || !strings.Contains(direct.Notes[0], "2 of 4 tensors") {
		t.Errorf("%v, %q", err, direct.Notes)
	}
}

// TestPEFTExperts: what mlx-lm has as one layer is refused.
func TestPEFTExperts(t *testing.T) {
	r, tensors := rand.New(rand.NewPCG(9, 9)), map[string]*mlx.Array{}
	pair(r, tensors, "model.layers.0.mlp.experts.3.down_proj", 8, 4, 8, "")
	a, err := tune.OpenAdapter(peftDir(t, loraConfig(nil), tensors))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := a.ToMLX(nil, ""); err == nil || !strings.Contains(err.Error(), "experts.3.down_proj is one of several experts") {
		t.Error(err)
	}
}

// TestPEFTHalf: float16 takes another scale without a loss, and keeps its dtype otherwise.
func TestPEFTHalf(t *testing.T) {
	r, tensors := rand.New(rand.NewPCG(9, 9)), map[string]*mlx.Array{}
	pair(r, tensors, "a.q_proj", 8, 4, 8, "")
	pair(r, tensors, "b.q_proj", 8, 4, 8, "")
	pair(r, tensors, "a.v_proj", 8, 4, 8, "")
	for name, x := range tensors {
		tensors[name] = x.AsType(mlx.Float16)
	}
	a, err := tune.OpenAdapter(peftDir(t, loraConfig(map[string]any{"alpha_pattern": map[string]any{"v_proj": 8.0 / (1 << 22)}}), tensors))
	if err != nil {
		t.Fatal(err)
	}
	small := a.Tensors["a.v_proj.lora_b"]
	if want := tensors["a.v_proj.lora_B.weight"].T().AsType(mlx.Float32).Mul(1.0 / (1 << 22)); small.DType() != mlx.Float32 || apart(small, want) != 0 {
		t.Errorf("%v", small.DType())
	}
	if a.Scale != 2 || a.Tensors["a.q_proj.lora_b"].DType() != mlx.Float16 || !strings.Contains(strings.Join(a.Notes, " "), "exactly in 1") {
		t.Errorf("scale %v, %q", a.Scale, a.Notes)
	}
}
