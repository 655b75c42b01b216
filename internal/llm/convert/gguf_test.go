package convert_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/hf/tokenizer"
	"github.com/mlxgo/mlx/internal/llm/convert"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// sourceOf is the model in a directory.
func sourceOf(t *testing.T, dir string) weights.Source {
	t.Helper()
	set, err := safetensors.OpenDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { set.Close() })
	s := weights.Source{Name: dir, Read: func(name string) ([]byte, error) { return os.ReadFile(filepath.Join(dir, name)) }}
	for _, name := range set.Names() {
		x, _ := set.Tensor(name)
		s.Tensors = append(s.Tensors, weights.Tensor{Tensor: x})
	}
	return s
}

// written is the GGUF file of a source, and what it reads as.
func written(t *testing.T, src weights.Source, kind string) (string, weights.Source) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "m.gguf")
	if err := convert.WriteGGUF(t.Context(), src, path, convert.GGUFOptions{Type: kind}); err != nil {
		t.Fatal(err)
	}
	s, err := foreign.OpenGGUF(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, s
}

// sameTensors holds every tensor of a model that was float32 against it.
func sameTensors(t *testing.T, got, want weights.Source) {
	t.Helper()
	all := map[string]weights.Tensor{}
	for _, x := range got.Tensors {
		all[x.Name] = x
	}
	for _, w := range want.Tensors {
		x, ok := all[w.Name]
		if !ok {
			t.Errorf("%s is missing", w.Name)
			continue
		}
		a, err := x.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		b, err := w.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		if x.RawDType != w.RawDType || !slices.Equal(x.Shape, w.Shape) || !bytes.Equal(a, b) {
			t.Errorf("%s: %s %v is not %s %v bit for bit", w.Name, x.RawDType, x.Shape, w.RawDType, w.Shape)
		}
	}
	if len(got.Tensors) != len(want.Tensors) {
		t.Errorf("%d tensors, want %d", len(got.Tensors), len(want.Tensors))
	}
}

// A float32 model goes to GGUF and back bit for bit; the rows of k are in llama.cpp's
// order of 4 heads.
func TestGGUFRoundTrip(t *testing.T) {
	src := sourceOf(t, llmtest.Shared(t, "models", "stories260k"))
	path, back := written(t, src, "f32")
	sameTensors(t, back, src)
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, x := range f.Tensors() {
		if x.Name != "blk.2.attn_k.weight" {
			continue
		}
		for _, w := range src.Tensors {
			if w.Name != "model.layers.2.self_attn.k_proj.weight" {
				continue
			}
			row := 64 * 4
			for h := range 4 { // reshape(4, 2, 4).swap: row 8h + 2j + i is row 8h + 4i + j
				for i := range 2 {
					for j := range 4 {
						to, from := (8*h+2*j+i)*row, (8*h+4*i+j)*row
						if !bytes.Equal(x.Data[to:to+row], w.Data[from:from+row]) {
							t.Fatalf("head %d: row %d of the file is not the model's", h, 2*j+i)
						}
					}
				}
			}
			return
		}
	}
	t.Error("there is no blk.2.attn_k.weight")
}

// The tokenizer of what is written gives the ids of the model's own, and the reader makes
// the same merges of the scores.
func TestGGUFTokenizerRoundTrip(t *testing.T) {
	texts := []string{"Once upon a time, there was a little girl.", " two  spaces", "Grüße 😀\n\n\tx", "", "a<s>b</s> c", "don't WE'LL 12345 1 000,5"}
	for _, c := range []struct {
		dir  string
		size int
	}{
		{"models/stories260k", 512}, {"models/story-10m", 2048}, {"tokenizers/llama2-tinyllama", 32000},
		{"tokenizers/qwen2.5", 151936}, {"tokenizers/llama3", 128256}, {"tokenizers/gpt2", 50257}, {"tokenizers/smollm2", 49152},
	} {
		if c.size > 1e5 && testing.Short() {
			continue
		}
		dir := llmtest.Shared(t, c.dir)
		raw, err := os.ReadFile(filepath.Join(dir, "tokenizer.json"))
		if err != nil {
			t.Fatal(err)
		}
		own, err := tokenizer.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		src := random(t, map[string]any{"model_type": "llama", "vocab_size": c.size}, map[string]string{"tokenizer.json": string(raw)})
		_, back := written(t, src, "f16")
		again, err := back.Read("tokenizer.json")
		if err != nil {
			t.Fatal(err)
		}
		made, err := tokenizer.Parse(again)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range texts {
			for _, special := range []bool{false, true} {
				a, b := own.Encode(text, special), made.Encode(text, special)
				if !slices.Equal(a, b) {
					t.Errorf("%s: %q is %v, want %v", c.dir, text, b, a)
				}
				if own.Decode(a, false) != made.Decode(b, false) {
					t.Errorf("%s: %q reads %q, want %q", c.dir, text, made.Decode(b, false), own.Decode(a, false))
				}
			}
		}
	}
}

// random is a small model with float32 weights: of defaults, with what config says.
func random(t *testing.T, config map[string]any, files map[string]string) weights.Source {
	t.Helper()
	c := map[string]any{"vocab_size": 40, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 8,
		"num_key_value_heads": 2, "head_dim": 16, "rms_norm_eps": 1e-5, "max_position_embeddings": 512, "tie_word_embeddings": true}
	hidden, inner, d, heads, kv := 64, 96, 16, 8, 2
	if config["model_type"] == "qwen2" && config["head_dim"] == nil { // llama.cpp has no other there
		d = 8
		c["head_dim"] = d
	}
	for key, v := range config {
		if c[key] = v; v == nil {
			delete(c, key)
		}
	}
	raw, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]string{"config.json": string(raw)}
	for name, text := range files {
		all[name] = text
	}
	s := weights.Source{Name: "random", Read: func(name string) ([]byte, error) {
		text, ok := all[name]
		if !ok {
			return nil, fs.ErrNotExist
		}
		return []byte(text), nil
	}}
	r := rand.New(rand.NewPCG(3, 4))
	add := func(name string, shape ...int) {
		n := 1
		for _, d := range shape {
			n *= d
		}
		x := make([]float32, n)
		for i := range min(n, 1<<16) {
			x[i] = float32(r.NormFloat64()) / 8
		}
		data, err := gguf.Quantize(nil, gguf.F32, x)
		if err != nil {
			t.Fatal(err)
		}
		s.Tensors = append(s.Tensors, weights.Tensor{Tensor: safetensors.Tensor{Name: name, DType: dtype.Float32, RawDType: "F32", Shape: shape, Data: data}})
	}
	add("model.embed_tokens.weight", c["vocab_size"].(int), hidden)
	add("model.norm.weight", hidden)
	for i := range 2 {
		at := fmt.Sprintf("model.layers.%d.", i)
		add(at+"self_attn.q_proj.weight", heads*d, hidden)
		add(at+"self_attn.k_proj.weight", kv*d, hidden)
		add(at+"self_attn.v_proj.weight", kv*d, hidden)
		add(at+"self_attn.o_proj.weight", hidden, heads*d)
		add(at+"mlp.gate_proj.weight", inner, hidden)
		add(at+"mlp.up_proj.weight", inner, hidden)
		add(at+"mlp.down_proj.weight", hidden, inner)
		add(at+"input_layernorm.weight", hidden)
		add(at+"post_attention_layernorm.weight", hidden)
		switch c["model_type"] {
		case "qwen2":
			add(at+"self_attn.q_proj.bias", heads*d)
			add(at+"self_attn.k_proj.bias", kv*d)
			add(at+"self_attn.v_proj.bias", kv*d)
		case "qwen3":
			add(at+"self_attn.q_norm.weight", d)
			add(at+"self_attn.k_norm.weight", d)
		case "llama":
			if c["attention_bias"] == true {
				add(at+"self_attn.q_proj.bias", heads*d)
				add(at+"self_attn.k_proj.bias", kv*d)
				add(at+"self_attn.v_proj.bias", kv*d)
				add(at+"self_attn.o_proj.bias", hidden)
			}
		}
	}
	return s
}

// Heads that are not hidden/heads wide, biases, norms of heads, and every layout of the
// rotation: the identity on the tensors, and the configuration comes back.
func TestGGUFForms(t *testing.T) {
	llama3 := map[string]any{"rope_type": "llama3", "factor": 8., "low_freq_factor": 1., "high_freq_factor": 4., "original_max_position_embeddings": 8192.}
	odd := map[string]any{"rope_type": "llama3", "factor": 8., "low_freq_factor": 1.2, "high_freq_factor": 3., "original_max_position_embeddings": 8192.}
	for name, c := range map[string]struct{ config, want map[string]any }{
		"llama":           {map[string]any{"model_type": "llama"}, map[string]any{"model_type": "llama", "head_dim": 16., "rope_theta": 10000.}},
		"llama, biases":   {map[string]any{"model_type": "llama", "attention_bias": true}, map[string]any{"attention_bias": true}},
		"mistral":         {map[string]any{"model_type": "mistral", "sliding_window": nil}, map[string]any{"model_type": "llama"}},
		"qwen2":           {map[string]any{"model_type": "qwen2", "rope_theta": 1e6}, map[string]any{"model_type": "qwen2", "rope_theta": 1e6}},
		"qwen3":           {map[string]any{"model_type": "qwen3"}, map[string]any{"model_type": "qwen3", "head_dim": 16.}},
		"new rope layout": {map[string]any{"model_type": "llama", "rope_parameters": map[string]any{"rope_theta": 5e5}}, map[string]any{"rope_theta": 5e5}},
		"linear, old key": {map[string]any{"model_type": "llama", "rope_scaling": map[string]any{"type": "linear", "factor": 2}},
			map[string]any{"rope_scaling": map[string]any{"rope_type": "linear", "factor": 2.}}},
		"llama3":          {map[string]any{"model_type": "llama", "rope_theta": 5e5, "rope_scaling": llama3}, map[string]any{"rope_scaling": llama3}},
		"llama3, unusual": {map[string]any{"model_type": "llama", "rope_theta": 1e4, "rope_scaling": odd}, nil},
		"counts as floats": {map[string]any{"model_type": "llama", "num_attention_heads": 8.0, "max_position_embeddings": 1e4},
			map[string]any{"max_position_embeddings": 10000.}},
	} {
		src := random(t, c.config, nil)
		_, back := written(t, src, "f32")
		sameTensors(t, back, src)
		raw, err := back.Read("config.json")
		if err != nil {
			t.Fatal(err)
		}
		var got map[string]any
		if err := json.Unmarshal(raw, &got); err != nil {
			t.Fatal(err)
		}
		for key, want := range c.want {
			if fmt.Sprint(got[key]) != fmt.Sprint(want) {
				t.Errorf("%s: %s is %v, want %v", name, key, got[key], want)
			}
		}
		if name == "llama3, unusual" && got["rope_scaling"].(map[string]any)["rope_type"] != "longrope" {
			t.Errorf("%s: %v", name, got["rope_scaling"])
		}
		if _, err := back.Read("tokenizer.json"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: tokenizer.json: %v", name, err)
		}
	}
}

// What cannot be written is refused with a sentence, and no file appears.
func TestGGUFRefuses(t *testing.T) {
	done, cancel := context.WithCancel(t.Context())
	cancel()
	for want, c := range map[string]struct {
		config map[string]any
		kind   string
		ctx    context.Context
		change func(*weights.Source)
	}{
		`GGUF type "q5_k" is not one of`:           {map[string]any{"model_type": "llama"}, "q5_k", nil, nil},
		`models of the type "gemma"`:               {map[string]any{"model_type": "gemma"}, "f32", nil, nil},
		`k_proj.weight has shape [32 64], and con`: {map[string]any{"model_type": "llama", "head_dim": 8}, "f32", nil, nil},
		`partial_rotary_factor is 0.5`:             {map[string]any{"model_type": "llama", "partial_rotary_factor": 0.5}, "f32", nil, nil},
		`rope type "dynamic"`:                      {map[string]any{"model_type": "llama", "rope_scaling": map[string]any{"type": "dynamic", "factor": 2}}, "f32", nil, nil},
		`sliding window`:                           {map[string]any{"model_type": "mistral", "sliding_window": 64}, "f32", nil, nil},
		`head_dim is 16, and llama.cpp`:            {map[string]any{"model_type": "qwen2", "head_dim": 16}, "f32", nil, nil},
		`hidden_act is "gelu"`:                     {map[string]any{"model_type": "llama", "hidden_act": "gelu"}, "f32", nil, nil},
		`there is no tensor model.norm.weight`:     {map[string]any{"model_type": "llama"}, "f32", nil, func(s *weights.Source) { s.Tensors = slices.Delete(s.Tensors, 1, 2) }},
		`tensor model.norm.bias has no place`:      {map[string]any{"model_type": "llama"}, "f32", nil, func(s *weights.Source) { s.Tensors[1].Name = "model.norm.bias" }},
		`num_hidden_layers is 0`:                   {map[string]any{"model_type": "llama", "num_hidden_layers": 0}, "f32", nil, nil},
		`context canceled`:                         {map[string]any{"model_type": "llama"}, "f32", done, nil},
		`weights quantized by the method "awq"`:    {map[string]any{"model_type": "llama", "quantization_config": map[string]any{"quant_method": "awq"}}, "f32", nil, nil},
		`the value 100000 is beyond float16`:       {map[string]any{"model_type": "llama"}, "f16", nil, func(s *weights.Source) { copy(s.Tensors[2].Data, []byte{0, 0x50, 0xc3, 0x47}) }},
		`is I8 of shape [64], which cannot be`:     {map[string]any{"model_type": "llama"}, "f16", nil, func(s *weights.Source) { s.Tensors[1].RawDType = "I8" }},
		`tensor model.layers.0.self_attn.q_proj.b`: {map[string]any{"model_type": "qwen3"}, "f32", nil, func(s *weights.Source) { s.Tensors[2].Name = "model.layers.0.self_attn.q_proj.bias" }},
	} {
		src := random(t, c.config, nil)
		if c.change != nil {
			c.change(&src)
		}
		dir := t.TempDir()
		ctx := c.ctx
		if ctx == nil {
			ctx = t.Context()
		}
		err := convert.WriteGGUF(ctx, src, filepath.Join(dir, "m.gguf"), convert.GGUFOptions{Type: c.kind})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
		if list, _ := os.ReadDir(dir); len(list) != 0 {
			t.Errorf("%s: files are left: %v", want, list)
		}
	}
}

// Packed types hold the numbers of the model within half a step, and rows that are no
// whole blocks are float16.
func TestGGUFPacked(t *testing.T) {
	src := sourceOf(t, llmtest.Shared(t, "models", "stories260k"))
	for kind, bits := range map[string]int{"q8_0": 8, "q4_0": 4} {
		path, back := written(t, src, kind)
		names := map[string]weights.Tensor{}
		for _, x := range back.Tensors {
			names[x.Name] = x
		}
		if x := names["model.layers.0.mlp.down_proj.weight"]; x.RawDType != "F16" {
			t.Errorf("%s: a matrix of rows of 172 is %s", kind, x.RawDType)
		}
		if x := names["model.layers.0.mlp.up_proj.weight"]; x.RawDType != "U32" || !slices.Equal(x.Shape, []int{172, 64 * bits / 32}) {
			t.Errorf("%s: a matrix is %s %v", kind, x.RawDType, x.Shape)
		}
		raw, err := back.Read("config.json")
		if err != nil || !strings.Contains(string(raw), fmt.Sprintf(`"bits": %d`, bits)) {
			t.Errorf("%s: %s %v", kind, raw, err)
		}
		checkPacked(t, path, names, bits)
	}
}

// checkPacked holds MLX's form of every packed matrix against ggml's, element by element.
func checkPacked(t *testing.T, path string, names map[string]weights.Tensor, bits int) {
	t.Helper()
	f, err := gguf.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	part := func(name string) []byte {
		b, err := names[name].Bytes()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	checked := 0
	for _, x := range f.Tensors() {
		if x.Name != "blk.1.ffn_up.weight" && x.Name != "blk.3.attn_q.weight" {
			continue
		}
		hf := map[string]string{"blk.1.ffn_up.weight": "model.layers.1.mlp.up_proj", "blk.3.attn_q.weight": "model.layers.3.self_attn.q_proj"}[x.Name]
		want := make([]float32, x.Elements())
		gguf.Dequantize(want, x.Type, x.Data)
		codes, scales, biases := part(hf+".weight"), part(hf+".scales"), part(hf+".biases")
		half := func(b []byte, i int) float32 { return dtype.F16ToF32(uint16(b[2*i]) | uint16(b[2*i+1])<<8) }
		for i := range want {
			at := i
			if x.Name == "blk.3.attn_q.weight" { // 8 heads of 8 rows: 2j+i of the file is 4i+j here
				row, col := i/64, i%64
				at = (row/8*8+row%8%2*4+row%8/2)*64 + col
			}
			q := codes[at*bits/8] >> (at * bits % 8) & byte(1<<bits-1)
			if got := half(scales, at/32)*float32(q) + half(biases, at/32); got != want[i] {
				t.Fatalf("%s: element %d is %v, want %v", x.Name, i, got, want[i])
			}
		}
		checked++
	}
	if checked != 2 {
		t.Errorf("%d matrices were checked", checked)
	}
}
