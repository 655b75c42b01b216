package peft

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

func TestNames(t *testing.T) {
	const q = "model.layers.0.self_attn.q_proj"
	for name, want := range map[string]tensorName{
		prefix + q + ".lora_A.weight":                              {q, linearA, ""},
		prefix + q + ".lora_B.default.weight":                      {q, linearB, "default"},
		prefix + "model.embed_tokens.lora_embedding_A":             {"model.embed_tokens", embeddingA, ""},
		prefix + "model.embed_tokens.lora_embedding_B.mine":        {"model.embed_tokens", embeddingB, "mine"},
		prefix + q + ".lora_magnitude_vector":                      {q, magnitude, ""},
		prefix + q + ".lora_magnitude_vector.weight":               {q, magnitude, ""},
		prefix + q + ".lora_magnitude_vector.default.weight":       {q, magnitude, "default"},
		prefix + "lm_head.weight":                                  {"lm_head.weight", whole, ""},
		prefix + "lm_head.modules_to_save.default.weight":          {"lm_head.weight", whole, "default"},
		prefix + "model.embed_tokens.base_layer.weight":            {"model.embed_tokens.weight", whole, ""},
		prefix + q + ".bias":                                       {q + ".bias", whole, ""},
		prefix + "transformer.h.0.attn.c_attn.base_layer.bias":     {"transformer.h.0.attn.c_attn.bias", whole, ""},
		prefix + "model.layers.0.mlp.experts.3.w1.lora_A.a.weight": {"model.layers.0.mlp.experts.3.w1", linearA, "a"},
	} {
		if n, err := parseName(name); err != nil || n != want {
			t.Errorf("%s: %+v, %v", name, n, err)
		}
	}
	for _, name := range []string{
		"model.layers.0.lora_A.weight", prefix + "q.lora_A", prefix + "q.lora_A.bias", prefix + "q.lora_A.a.b.weight", prefix + "q.lora_E",
		prefix + "lora_A.weight", prefix + "q.hada_w1_a", prefix + "q..lora_A.weight", prefix + "weight", prefix, prefix + "score.modules_to_save.a.dense.weight",
	} {
		if n, err := parseName(name); err == nil {
			t.Errorf("%s is read as %+v", name, n)
		}
	}
}

func FuzzName(f *testing.F) {
	for _, s := range []string{"q.lora_A.weight", "q.lora_B.default.weight", "e.lora_embedding_A", "q.lora_magnitude_vector.weight", "lm_head.weight", "q.base_layer.bias", "..", "q.lora_A"} {
		f.Add(prefix + s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		n, err := parseName(name)
		if err != nil {
			return
		}
		again, err := parseName(n.String())
		n.adapter = ""
		if err != nil || again != n {
			t.Errorf("%q is %+v, and %q %+v, %v", name, n, n.String(), again, err)
		}
	})
}

const plain = `{"peft_type": "LORA", "r": 8, "lora_alpha": 16, "target_modules": ["q_proj"]`

func TestConfig(t *testing.T) {
	for text, want := range map[string]string{
		`{"peft_type": "LOHA", "r": 8}`:                                                  `peft_type is "LOHA"`,
		`{"peft_type": "IA3"}`:                                                           `peft_type is "IA3"`,
		`{"peft_type": "PROMPT_TUNING"}`:                                                 `peft_type is "PROMPT_TUNING"`,
		`{"peft_type": "LORA"}`:                                                          `r is 0`,
		`{"peft_type": "LORA", "r": "8"}`:                                                `r is a string, which it cannot be`,
		plain + `, "task_type": "SEQ_CLS"}`:                                              `task_type is SEQ_CLS`,
		plain + `, "lora_bias": true}`:                                                   `lora_bias is true`,
		plain + `, "bias": "some"}`:                                                      `bias is "some"`,
		plain + `, "lora_dropout": 1}`:                                                   `lora_dropout is 1`,
		plain + `, "init_lora_weights": "pissa_niter_4"}`:                                `init_lora_weights is "pissa_niter_4"`,
		plain + `, "init_lora_weights": "loftq"}`:                                        `init_lora_weights is "loftq"`,
		plain + `, "layer_replication": [[0, 4]]}`:                                       `layer_replication is set, which repeats layers`,
		plain + `, "trainable_token_indices": {"embed_tokens": [1]}}`:                    `trainable_token_indices is set`,
		plain + `, "target_parameters": ["experts.w"]}`:                                  `target_parameters is set`,
		plain + `, "alora_invocation_tokens": [1]}`:                                      `alora_invocation_tokens is set`,
		plain + `, "use_qalora": true}`:                                                  `use_qalora is set`,
		plain + `, "use_magic": true}`:                                                   `use_magic is set and not known`,
		plain + `, "rank_pattern": {"q_proj": 2.5}}`:                                     `rank_pattern: "q_proj" is 2.5`,
		plain + `, "alpha_pattern": {"(?=q)": 2}}`:                                       `the pattern "(?=q)" is not supported`,
		plain + `, "layers_pattern": "("}`:                                               `layers_pattern`,
		`{"peft_type": "LORA", "r": 8, "target_modules": "q", "layers_to_transform": 1}`: `layers_to_transform is set and target_modules`,
	} {
		if _, err := parseConfig([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", text, err, want)
		}
	}
}

// TestTargets follows PEFT's check_target_module_exists and get_pattern_key.
func TestTargets(t *testing.T) {
	const q0, v11 = "model.layers.0.self_attn.q_proj", "model.layers.11.self_attn.v_proj"
	for _, c := range []struct {
		keys, module string
		adapts       bool
	}{
		{`"target_modules": ["q_proj"]`, q0, true},
		{`"target_modules": ["proj"]`, q0, false},
		{`"target_modules": ["self_attn.q_proj"]`, q0, true},
		{`"target_modules": null`, q0, true},
		{`"target_modules": ".*(q|v)_proj"`, v11, true},
		{`"target_modules": "q_proj"`, q0, false},
		{`"target_modules": "all-linear"`, q0, true},
		{`"target_modules": ["q_proj"], "exclude_modules": ["layers.0.self_attn.q_proj"]`, q0, false},
		{`"target_modules": ["q_proj"], "exclude_modules": ".*layers.0.*"`, q0, false},
		{`"target_modules": ["v_proj"], "layers_to_transform": [1, 11]`, v11, true},
		{`"target_modules": ["v_proj"], "layers_to_transform": 1`, v11, false},
		{`"target_modules": ["v_proj"], "layers_to_transform": 11, "layers_pattern": "layers"`, v11, true},
		{`"target_modules": ["v_proj"], "layers_to_transform": 11, "layers_pattern": ["h", "block"]`, v11, false},
		{`"target_modules": ["` + v11 + `"], "layers_to_transform": 3`, v11, true},
		{`"target_modules": ["v_proj"], "layers_to_transform": []`, v11, true},
	} {
		p, err := parseConfig([]byte(`{"peft_type": "LORA", "r": 8, ` + c.keys + `}`))
		if err != nil {
			t.Fatal(err)
		}
		if p.adapts(c.module, false) != c.adapts {
			t.Errorf("%s: %s is adapted: %v", c.keys, c.module, !c.adapts)
		}
	}
	p, err := parseConfig([]byte(plain + `, "use_rslora": true, "rank_pattern": {"q_proj": 2, "^model.layers.0.self_attn.q_proj": 3, "layers\\.1\\d.*": 4}, "alpha_pattern": {"ers.0.self_attn.q_proj": 1, "self_attn.q_proj": 32}}`))
	if err != nil {
		t.Fatal(err)
	}
	if rank, alpha, err := p.of(q0, false); err != nil || rank != 2 || alpha != 32 { // the first in the file; a key begins at a dot
		t.Error(rank, alpha, err)
	}
	if rank := p.Ranks.of(v11, 8); rank != 4 {
		t.Error(rank)
	}
	if s := p.scale(4, 32); s != 16 {
		t.Error(s)
	}
}

func FuzzConfig(f *testing.F) {
	f.Add([]byte(plain + "}"))
	f.Add([]byte(plain + `, "rank_pattern": {"a.*|b": 2, "c": 4}, "layers_to_transform": [1], "layers_pattern": ["h"], "exclude_modules": "x"}`))
	f.Add([]byte(`{"peft_type": "LORA", "r": 8, "target_modules": ".*(q|v)_proj", "alpha_pattern": {"x": {"y": 1}}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		c, err := parseConfig(raw)
		if err != nil {
			return
		}
		if rank, _, err := c.of("model.layers.0.self_attn.q_proj", false); err == nil && rank < 1 {
			t.Errorf("%s: rank %d", raw, rank)
		}
	})
}

// TestOpenErrors: each fault is told with the file and the tensor or key.
func TestOpenErrors(t *testing.T) {
	const q = prefix + "model.layers.0.self_attn.q_proj"
	ones := func(shape ...int) *mlx.Array { return mlx.Ones(mlx.Shape(shape)) }
	for want, change := range map[string]func(c map[string]any, x map[string]*mlx.Array){
		"lora_B is missing":          func(_ map[string]any, x map[string]*mlx.Array) { delete(x, q+".lora_B.weight") },
		"its rank is 2, and adapter": func(c map[string]any, _ map[string]*mlx.Array) { c["r"] = 8 },
		"PEFT leaves it as it is":    func(c map[string]any, _ map[string]*mlx.Array) { c["target_modules"] = []string{"v_proj"} },
		"it changes nothing":         func(_ map[string]any, x map[string]*mlx.Array) { clear(x) },
		"two adapters, a (": func(_ map[string]any, x map[string]*mlx.Array) {
			x[prefix+"b.q_proj.lora_A.a.weight"], x[prefix+"b.q_proj.lora_B.b.weight"] = ones(2, 3), ones(3, 2)
		},
		"use_dora is not true":         func(_ map[string]any, x map[string]*mlx.Array) { x[q+".lora_magnitude_vector"] = ones(6) },
		"lora_magnitude_vector is mis": func(c map[string]any, _ map[string]*mlx.Array) { c["use_dora"] = true },
		"has shape (5,), not (6,)": func(c map[string]any, x map[string]*mlx.Array) {
			c["use_dora"], x[q+".lora_magnitude_vector"] = true, ones(5)
		},
		"neither modules_to_save nor bias":     func(_ map[string]any, x map[string]*mlx.Array) { x[prefix+"model.norm.weight"] = ones(3) },
		`modules_to_save of adapter_config.js`: func(c map[string]any, _ map[string]*mlx.Array) { c["modules_to_save"] = []string{"norm"} },
		"[rank, in] and [out, rank] are read":  func(_ map[string]any, x map[string]*mlx.Array) { x[q+".lora_A.weight"] = ones(2, 3, 1) },
		"DoRA of an embedding": func(c map[string]any, x map[string]*mlx.Array) {
			clear(x)
			c["use_dora"], c["target_modules"] = true, nil
			x[prefix+"e.lora_embedding_A"], x[prefix+"e.lora_embedding_B"] = ones(2, 3), ones(3, 2)
		},
		"has the dtype": func(_ map[string]any, x map[string]*mlx.Array) {
			x[q+".lora_A.weight"] = mlx.Zeros(mlx.Shape{2, 3}, mlx.Int32)
		},
	} {
		c := map[string]any{"peft_type": "LORA", "r": 2, "lora_alpha": 4, "target_modules": []string{"q_proj"}}
		x := map[string]*mlx.Array{q + ".lora_A.weight": ones(2, 3), q + ".lora_B.weight": ones(6, 2)}
		change(c, x)
		dir := t.TempDir()
		raw, err := json.Marshal(c)
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, ConfigFile), raw, 0o666)
		}
		if err == nil {
			err = mlx.SaveSafetensors(filepath.Join(dir, WeightsFile), x, nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%v, want %q and the directory", err, want)
		}
	}
	if _, err := Open(t.TempDir()); err == nil || !strings.Contains(err.Error(), ConfigFile) {
		t.Error(err)
	}
}

func TestWritten(t *testing.T) {
	for _, c := range []struct {
		modules, targets []string
		layers           []int
	}{
		{[]string{"model.layers.3.mlp.up", "model.layers.4.mlp.up"}, []string{"mlp.up"}, []int{3, 4}},
		{[]string{"model.layers.3.mlp.up", "model.layers.4.mlp.down"}, nil, nil},
		{[]string{"lm_head", "model.layers.3.mlp.up"}, nil, nil},
		{[]string{"layers.3.mlp.up"}, nil, nil}, // PEFT's expression needs a name before it
		{[]string{"model.layers.3.experts.0.up"}, nil, nil},
	} {
		targets, layers := targetsOf(c.modules)
		want := c.targets
		if want == nil {
			want = c.modules
		}
		if !slices.Equal(targets, want) || !slices.Equal(layers, c.layers) {
			t.Errorf("%v: %v of layers %v", c.modules, targets, layers)
		}
	}
	for _, c := range []struct {
		scale float64
		rank  int
		alpha any
	}{{20, 8, int64(160)}, {0.5, 8, int64(4)}, {1.25, 6, 7.5}} {
		if got := alphaOf(c.scale, c.rank); got != c.alpha {
			t.Errorf("%v", got)
		}
	}
}
