package models_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/nn"
)

// modelKinds are the model types of the decoder.
var modelKinds = []string{"llama", "mistral", "qwen2", "qwen3"}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

func chance(r *rand.Rand, percent int) bool { return r.IntN(100) < percent }

// randomConfig is a small configuration of any shape; with groups its matrices can
// be quantized in groups of that size.
func randomConfig(r *rand.Rand, kind string, group int) llmtest.Config {
	heads := pick(r, 1, 2, 3, 4, 6)
	kv := pick(r, 1, heads)
	if heads%2 == 0 && chance(r, 40) {
		kv = heads / 2
	}
	headDim := pick(r, 4, 8, 10, 16, 18, 32)
	hidden, inner := pick(r, 24, 40, 41, 56, 72), pick(r, 20, 52, 97, 128)
	if group > 0 {
		heads = pick(r, 2, 4, 8)
		kv = pick(r, 1, 2, heads)
		headDim = max(group, 64) / heads
		hidden, inner = max(group, 64)*pick(r, 1, 2), max(group, 64)*pick(r, 1, 3)
	}
	c := llmtest.Tiny(kind).With(llmtest.Config{
		"vocab_size": pick(r, 61, 96, 101, 131), "hidden_size": hidden, "intermediate_size": inner,
		"num_hidden_layers": 1 + r.IntN(3), "num_attention_heads": heads, "num_key_value_heads": kv, "head_dim": headDim,
		"rope_theta": pick(r, 100.0, 10000.0, 500000.0, 1e6), "rms_norm_eps": pick(r, 1e-5, 1e-6, 1e-3),
		"max_position_embeddings": 2048, "tie_word_embeddings": chance(r, 40),
	})
	if hidden == heads*headDim && chance(r, 50) && kind != "qwen3" { // qwen3 has 128 then
		delete(c, "head_dim")
	}
	if kv == heads && chance(r, 50) {
		delete(c, "num_key_value_heads")
	}
	if kind == "llama" || kind == "qwen3" {
		c["attention_bias"] = chance(r, 40)
	}
	if kind == "llama" {
		c["mlp_bias"] = chance(r, 40)
		c["rope_traditional"] = chance(r, 20)
	}
	randomWindows(r, kind, c)
	randomRope(r, c, headDim)
	return c
}

func randomWindows(r *rand.Rand, kind string, c llmtest.Config) {
	if chance(r, 40) {
		return
	}
	layers := c["num_hidden_layers"].(int)
	c["sliding_window"] = 1 + r.IntN(24)
	var types []string
	for range layers {
		types = append(types, pick(r, "full_attention", "sliding_attention"))
	}
	switch kind {
	case "llama":
		c["layer_types"] = types
	case "qwen2", "qwen3":
		c["use_sliding_window"] = chance(r, 80)
		c["max_window_layers"] = r.IntN(layers + 1)
		if chance(r, 50) {
			c["layer_types"] = types
		}
		if chance(r, 15) {
			delete(c, "max_window_layers")
		}
	}
}

// randomRope adds a rotary scaling in one of the ways that configurations say it.
func randomRope(r *rand.Rand, c llmtest.Config, headDim int) {
	partial := 1.0
	if headDim%4 == 0 && chance(r, 25) {
		partial = 0.5
		c["partial_rotary_factor"] = partial
	}
	p := randomScaling(r, c, int(float64(headDim)*partial)/2)
	if p == nil {
		return
	}
	theta := c["rope_theta"]
	switch r.IntN(4) {
	case 0: // old
		c["rope_scaling"] = p
	case 1: // older
		p["type"] = p["rope_type"]
		delete(p, "rope_type")
		c["rope_scaling"] = p
	case 2: // transformers 5
		delete(c, "rope_theta")
		p["rope_theta"] = theta
		c["rope_parameters"] = p
	case 3: // transformers 5, by layer type
		delete(c, "rope_theta")
		p["rope_theta"] = theta
		other := llmtest.Config{"rope_type": "default", "rope_theta": 1234.0}
		c["rope_parameters"] = llmtest.Config{"full_attention": p, "sliding_attention": other}
		if chance(r, 50) {
			c["rope_parameters"] = llmtest.Config{"full_attention": other, "sliding_attention": p}
		}
	}
}

// randomScaling is one scaling, nil for none; contexts are short, so that the
// tests cross them.
func randomScaling(r *rand.Rand, c llmtest.Config, pairs int) llmtest.Config {
	factor := pick(r, 1.0, 2.0, 4.0, 8.0, 32.0)
	original := pick(r, 16, 64, 300)
	p := llmtest.Config{}
	switch kind := pick(r, "", "default", "linear", "dynamic", "llama3", "yarn", "yarn", "longrope", "longrope"); kind {
	case "":
		return nil
	case "default":
		p["rope_type"] = kind
	case "linear", "dynamic":
		p["rope_type"], p["factor"] = kind, factor
	case "llama3":
		p = llmtest.Config{"rope_type": kind, "factor": factor, "low_freq_factor": 1.0, "high_freq_factor": pick(r, 2.0, 4.0), "original_max_position_embeddings": original}
	case "yarn":
		p = llmtest.Config{"rope_type": kind, "factor": factor, "original_max_position_embeddings": original}
		for _, o := range []struct {
			key string
			v   any
		}{{"attention_factor", 0.8}, {"beta_fast", 16.0}, {"beta_slow", 2.0}, {"truncate", false}} {
			if chance(r, 33) {
				p[o.key] = o.v
			}
		}
		if chance(r, 40) {
			p["mscale"], p["mscale_all_dim"] = pick(r, 1.0, 0.707), pick(r, 1.0, 0.5, 0.0)
		}
		if chance(r, 20) {
			p["factor"] = nil
		}
	case "longrope":
		short, long := make([]float64, pairs), make([]float64, pairs)
		for i := range short {
			short[i], long[i] = 1+r.Float64(), 1+8*r.Float64()
		}
		p = llmtest.Config{"rope_type": kind, "short_factor": short, "long_factor": long}
		switch r.IntN(3) {
		case 0:
			p["original_max_position_embeddings"] = original
		case 1:
			c["original_max_position_embeddings"] = original
		case 2:
			p["original_max_position_embeddings"], p["factor"] = original, factor
		}
		if chance(r, 25) {
			p["attention_factor"] = 1.1
		}
	}
	return p
}

// lively are weights that make attention choose and logits differ: with small ones
// a wrong rotation or mask would hide.
func lively(t testing.TB, r *rand.Rand, c llmtest.Config, types ...mlx.DType) []safetensors.Tensor {
	t.Helper()
	out := llmtest.Random(t, c, 1, mlx.Float32)
	for i, x := range out {
		n, deviation, mean := 1, 0.3, 0.0
		for _, d := range x.Shape {
			n *= d
		}
		switch {
		case strings.HasSuffix(x.Name, "norm.weight"):
			mean = 1
		case strings.Contains(x.Name, "embed_tokens"):
			deviation = 1
			if c["rms_norm_eps"] == nil {
				deviation = 0.003 // so that the default matters
			}
		case len(x.Shape) == 2:
			deviation = 1.2 / math.Sqrt(float64(x.Shape[1]))
			if strings.Contains(x.Name, "q_proj") || strings.Contains(x.Name, "k_proj") {
				deviation *= 1.5
			}
			if strings.Contains(x.Name, "lm_head") {
				deviation *= 2
			}
		}
		v := make([]float32, n)
		for j := range v {
			v[j] = float32(mean + deviation*r.NormFloat64())
		}
		out[i] = llmtest.Tensor(x.Name, v, pick(r, types...), x.Shape...)
	}
	return out
}

// schemes are all ways to quantize.
func schemes() (out []mlx.Scheme) {
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			out = append(out, mlx.Scheme{Mode: "affine", Bits: bits, GroupSize: group})
		}
	}
	return append(out, mlx.Scheme{Mode: "mxfp4", Bits: 4, GroupSize: 32}, mlx.Scheme{Mode: "mxfp8", Bits: 8, GroupSize: 32},
		mlx.Scheme{Mode: "nvfp4", Bits: 4, GroupSize: 16})
}

// schemeEntry writes a scheme as one of its forms: what is the mode's default may
// be null or missing.
func schemeEntry(r *rand.Rand, s mlx.Scheme) llmtest.Config {
	entry := llmtest.Config{"group_size": s.GroupSize, "bits": s.Bits, "mode": string(s.Mode)}
	var d mlx.Scheme
	d.Mode = s.Mode
	d, _ = d.Resolve()
	if s.Mode == "affine" && chance(r, 50) {
		delete(entry, "mode")
	}
	if s.GroupSize == d.GroupSize && chance(r, 60) {
		entry["group_size"] = pick[any](r, nil, s.GroupSize)
	}
	if s.Bits == d.Bits && chance(r, 30) {
		delete(entry, "bits")
	}
	return entry
}

// quantized packs weights by a scheme, some layers otherwise, and says so in the
// configuration: by false, true, an own scheme, or by the absence of scales.
func quantized(t testing.TB, r *rand.Rand, c llmtest.Config, w []safetensors.Tensor, whole mlx.Scheme, overrides bool) (llmtest.Config, []safetensors.Tensor) {
	t.Helper()
	m, err := llm.Load(llmtest.Write(t, c, w), llm.LoadOptions{New: models.New, NoTokenizer: true})
	if err != nil {
		t.Fatal(err)
	}
	block := schemeEntry(r, whole)
	resolved, err := whole.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	nn.Quantize(m.Model, nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) {
		if linear, ok := l.(*nn.Linear); ok && linear.Weight.Dim(1)%resolved.GroupSize != 0 {
			return whole, false // as mlx-lm
		}
		if !overrides {
			return whole, true
		}
		switch r.IntN(6) {
		case 0:
			block[path] = false
			return whole, false
		case 1:
			return whole, false
		case 2:
			block[path] = true
		case 3:
			for {
				own := pick(r, schemes()...)
				if own.GroupSize <= whole.GroupSize || own.GroupSize <= 64 {
					block[path] = schemeEntry(r, own)
					return own, true
				}
			}
		}
		return whole, true
	}), whole)
	var out []safetensors.Tensor
	for path, a := range nn.Parameters(m.Model) {
		out = append(out, safetensors.Tensor{Name: path, DType: a.DType(), Shape: a.Shape(), Data: a.Bytes()})
	}
	return c.With(llmtest.Config{pick(r, "quantization", "quantization_config"): block}), out
}

// writeShards is llmtest.Write with the tensors dealt to n files and an index.
func writeShards(t testing.TB, r *rand.Rand, c llmtest.Config, w []safetensors.Tensor, n int) string {
	t.Helper()
	dir := t.TempDir()
	llmtest.WriteJSON(t, dir, "config.json", c)
	files := make([][]safetensors.Tensor, n)
	where := map[string]string{}
	name := func(i int) string { return fmt.Sprintf("model-%05d-of-%05d.safetensors", i+1, n) }
	for _, x := range w {
		i := r.IntN(n)
		files[i] = append(files[i], x)
		where[x.Name] = name(i)
	}
	for i, tensors := range files {
		if len(tensors) == 0 {
			tensors = []safetensors.Tensor{llmtest.Tensor("model.layers.0.self_attn.rotary_emb.inv_freq", []float32{1}, mlx.Float32, 1)}
			where[tensors[0].Name] = name(i)
		}
		if err := safetensors.Write(filepath.Join(dir, name(i)), tensors, nil); err != nil {
			t.Fatal(err)
		}
	}
	llmtest.WriteJSON(t, dir, "model.safetensors.index.json", llmtest.Config{"metadata": llmtest.Config{}, "weight_map": where})
	return dir
}

// writeUnaligned writes a file by hand whose data begin at an odd offset: a header
// of odd length, tensors in any order, as mlx writes them.
func writeUnaligned(t testing.TB, r *rand.Rand, c llmtest.Config, w []safetensors.Tensor) string {
	t.Helper()
	dir := t.TempDir()
	llmtest.WriteJSON(t, dir, "config.json", c)
	names := map[mlx.DType]string{mlx.Float32: "F32", mlx.BFloat16: "BF16", mlx.Float16: "F16", mlx.Uint32: "U32", mlx.Uint8: "U8"}
	header := map[string]any{"__metadata__": nil}
	var data []byte
	for _, i := range r.Perm(len(w)) {
		x := w[i]
		header[x.Name] = map[string]any{"dtype": names[x.DType], "shape": append([]int{}, x.Shape...), "data_offsets": []int{len(data), len(data) + len(x.Data)}}
		data = append(data, x.Data...)
	}
	text, err := json.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	for len(text)%2 == 0 {
		text = append(text, ' ')
	}
	file := binary.LittleEndian.AppendUint64(nil, uint64(len(text)))
	file = append(append(file, text...), data...)
	if err := os.WriteFile(filepath.Join(dir, "model.safetensors"), file, 0o666); err != nil {
		t.Fatal(err)
	}
	return dir
}

// writeAny writes a directory in one of these forms.
func writeAny(t testing.TB, r *rand.Rand, c llmtest.Config, w []safetensors.Tensor) string {
	switch r.IntN(3) {
	case 0:
		return writeShards(t, r, c, w, 1+r.IntN(4))
	case 1:
		return writeUnaligned(t, r, c, w)
	}
	return llmtest.Write(t, c, w)
}
