package convert

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/foreign"
)

// ggufConfig is what a GGUF file says of config.json. Whole numbers may be written as
// floats there.
type ggufConfig struct {
	ModelType string   `json:"model_type"`
	Vocab     float64  `json:"vocab_size"`
	Hidden    float64  `json:"hidden_size"`
	Inner     float64  `json:"intermediate_size"`
	Layers    float64  `json:"num_hidden_layers"`
	Heads     float64  `json:"num_attention_heads"`
	KVHeads   *float64 `json:"num_key_value_heads"`
	HeadDim   *float64 `json:"head_dim"`
	Context   float64  `json:"max_position_embeddings"`
	Eps       *float64 `json:"rms_norm_eps"`
	Act       *string  `json:"hidden_act"`
	Tied      bool     `json:"tie_word_embeddings"`

	Theta      *float64  `json:"rope_theta"`
	Scaling    *ggufRope `json:"rope_scaling"`
	Parameters *ggufRope `json:"rope_parameters"`
	Partial    *float64  `json:"partial_rotary_factor"`

	Window     *float64 `json:"sliding_window"`
	UseWindow  bool     `json:"use_sliding_window"`
	LayerTypes []string `json:"layer_types"`

	Quantization json.RawMessage `json:"quantization"`
	Foreign      json.RawMessage `json:"quantization_config"`

	arch    string // llama.cpp's
	rope    ggufRope
	schemes map[string]mlx.Scheme // of paths with a scheme of their own
	whole   *mlx.Scheme           // of the others, nil: nothing is packed
}

// ggufRope is the rotation, of both layouts of config.json.
type ggufRope struct {
	Type     string   `json:"rope_type"`
	OldType  string   `json:"type"`
	Theta    *float64 `json:"rope_theta"`
	Partial  *float64 `json:"partial_rotary_factor"`
	Factor   float64  `json:"factor"`
	Original float64  `json:"original_max_position_embeddings"`
	Low      float64  `json:"low_freq_factor"`
	High     float64  `json:"high_freq_factor"`

	Attention *float64 `json:"attention_factor"`
	MScale    *float64 `json:"mscale"`
	BetaFast  *float64 `json:"beta_fast"`
	BetaSlow  *float64 `json:"beta_slow"`
}

// ggufArchs are llama.cpp's names of the model types that are written.
var ggufArchs = map[string]string{"llama": "llama", "mistral": "llama", "qwen2": "qwen2", "qwen3": "qwen3"}

func (c *ggufConfig) parse(raw []byte) error {
	if err := json.Unmarshal(raw, c); err != nil {
		return llm.JSONError(err)
	}
	var ok bool
	if c.arch, ok = ggufArchs[c.ModelType]; !ok {
		return fmt.Errorf("models of the type %q cannot be written as GGUF, only llama, mistral, qwen2 and qwen3", c.ModelType)
	}
	if c.KVHeads == nil {
		c.KVHeads = &c.Heads
	}
	for key, n := range map[string]float64{"vocab_size": c.Vocab, "hidden_size": c.Hidden, "intermediate_size": c.Inner,
		"num_hidden_layers": c.Layers, "num_attention_heads": c.Heads, "num_key_value_heads": *c.KVHeads} {
		if n < 1 || n > 1<<24 || n != math.Trunc(n) {
			return fmt.Errorf("%s is %v", key, n)
		}
	}
	if c.HeadDim == nil {
		d := math.Trunc(c.Hidden / c.Heads)
		if c.arch == "qwen3" { // its class's default
			d = 128
		}
		c.HeadDim = &d
	}
	if d := *c.HeadDim; d < 2 || d != math.Trunc(d) || math.Mod(d, 2) != 0 {
		return fmt.Errorf("head_dim is %v", d)
	}
	if c.arch == "qwen2" && *c.HeadDim*c.Heads != c.Hidden {
		return fmt.Errorf("head_dim is %v, and llama.cpp has only hidden_size %v over %v heads in qwen2 models", *c.HeadDim, c.Hidden, c.Heads)
	}
	if c.Act != nil && *c.Act != "silu" && *c.Act != "swish" {
		return fmt.Errorf("hidden_act is %q, and llama.cpp has silu only in %s models", *c.Act, c.arch)
	}
	slides := c.UseWindow || c.ModelType == "mistral" && c.Window != nil && (c.Context == 0 || *c.Window < c.Context)
	if slides || slices.Contains(c.LayerTypes, "sliding_attention") {
		return fmt.Errorf("layers attend to a sliding window, which llama.cpp has not in %s models", c.arch)
	}
	if err := c.parseRope(); err != nil {
		return err
	}
	return c.parseQuantization()
}

// parseRope settles the rotation as package models does: rope_scaling goes before
// rope_parameters.
func (c *ggufConfig) parseRope() error {
	theta, partial := c.Theta, c.Partial
	if p := c.Parameters; p != nil {
		c.rope = *p
		if p.Theta != nil {
			theta = p.Theta
		}
		if p.Partial != nil {
			partial = p.Partial
		}
	}
	if s := c.Scaling; s != nil && (s.Type != "" || s.OldType != "" || c.Parameters == nil) {
		c.rope = *s
	}
	if theta == nil {
		otherwise := 10000.
		theta = &otherwise
	}
	if c.rope.Type == "" {
		c.rope.Type = c.rope.OldType
	}
	c.rope.Theta = theta
	if partial != nil && *partial != 1 {
		return fmt.Errorf("partial_rotary_factor is %v, which llama.cpp has not in %s models", *partial, c.arch)
	}
	switch r := &c.rope; r.Type {
	case "", "default":
		r.Type = ""
	case "linear":
		if !(r.Factor > 0) {
			return fmt.Errorf("rope type linear has the factor %v", r.Factor)
		}
	case "llama3":
		if !(r.Factor > 0 && r.Low > 0 && r.High > r.Low && r.Original > 0) {
			return fmt.Errorf("rope type llama3 needs factor, low_freq_factor, high_freq_factor and original_max_position_embeddings")
		}
	case "yarn":
		if !(r.Factor > 0) || r.Attention != nil || r.MScale != nil {
			return fmt.Errorf("rope type yarn can be written with a factor, and without attention_factor and mscale")
		}
		if r.Original == 0 {
			r.Original = c.Context
		}
	default:
		return fmt.Errorf("rope type %q cannot be written as GGUF", r.Type)
	}
	return nil
}

// parseQuantization reads MLX's block.
func (c *ggufConfig) parseQuantization() error {
	block := c.Quantization
	if ggufNull(block) {
		block = c.Foreign
	}
	if ggufNull(block) {
		return nil
	}
	var entries map[string]json.RawMessage
	if err := json.Unmarshal(block, &entries); err != nil {
		return fmt.Errorf("quantization: %w", llm.JSONError(err))
	}
	if m, ok := entries["quant_method"]; ok {
		return fmt.Errorf("weights quantized by the method %s cannot be written as GGUF: convert them to MLX first", m)
	}
	scheme := func(raw json.RawMessage) (mlx.Scheme, error) {
		var s struct {
			GroupSize int    `json:"group_size"`
			Bits      int    `json:"bits"`
			Mode      string `json:"mode"`
		}
		if err := json.Unmarshal(raw, &s); err != nil {
			return mlx.Scheme{}, llm.JSONError(err)
		}
		return mlx.Scheme{GroupSize: s.GroupSize, Bits: s.Bits, Mode: mlx.Mode(s.Mode)}.Resolve()
	}
	whole, err := scheme(block)
	if err != nil {
		return fmt.Errorf("quantization: %w", err)
	}
	c.whole, c.schemes = &whole, map[string]mlx.Scheme{}
	for path, raw := range entries {
		if strings.HasPrefix(string(raw), "{") {
			if c.schemes[path], err = scheme(raw); err != nil {
				return fmt.Errorf("quantization: %s: %w", path, err)
			}
		}
	}
	return nil
}

// entries are the configuration's, in the order of convert_hf_to_gguf.py.
func (c *ggufConfig) entries() []gguf.Entry {
	count := func(key string, n float64) gguf.Entry {
		return gguf.Entry{Key: c.arch + "." + key, Value: gguf.Number(gguf.Uint32, n)}
	}
	float := func(key string, x float64) gguf.Entry {
		return gguf.Entry{Key: c.arch + "." + key, Value: gguf.Number(gguf.Float32, x)}
	}
	eps := 1e-6
	if c.Eps != nil {
		eps = *c.Eps
	}
	context := c.Context
	if context == 0 { // llama.cpp needs one: its classes' default
		context = 2048
	}
	out := []gguf.Entry{
		count("block_count", c.Layers), count("context_length", context), count("embedding_length", c.Hidden),
		count("feed_forward_length", c.Inner), count("attention.head_count", c.Heads), count("attention.head_count_kv", *c.KVHeads),
		float("rope.freq_base", *c.rope.Theta), float("attention.layer_norm_rms_epsilon", eps),
		count("attention.key_length", *c.HeadDim), count("attention.value_length", *c.HeadDim),
		count("vocab_size", c.Vocab), count("rope.dimension_count", *c.HeadDim),
	}
	if r := c.rope; r.Type == "linear" || r.Type == "yarn" {
		out = append(out, gguf.Entry{Key: c.arch + ".rope.scaling.type", Value: gguf.Text(r.Type)}, float("rope.scaling.factor", r.Factor))
		if r.Type == "yarn" && r.Original > 0 {
			out = append(out, count("rope.scaling.original_context_length", r.Original))
		}
		for key, x := range map[string]*float64{"rope.scaling.yarn_beta_fast": r.BetaFast, "rope.scaling.yarn_beta_slow": r.BetaSlow} {
			if x != nil && r.Type == "yarn" {
				out = append(out, float(key, *x))
			}
		}
	}
	return out
}

// factors is what the rotary frequencies are divided by one by one, nil if they are not.
func (c *ggufConfig) factors() []float32 {
	if c.rope.Type != "llama3" {
		return nil
	}
	return foreign.Llama3Factors(*c.rope.Theta, int(*c.HeadDim), c.rope.Factor, c.rope.Low, c.rope.High, c.rope.Original)
}

// ggufShape is what a tensor must be.
type ggufShape struct {
	shape    []int
	optional bool
}

// shapes are the tensors that the configuration makes, by Hugging Face's names.
func (c *ggufConfig) shapes() map[string]ggufShape {
	hidden, inner, d := int(c.Hidden), int(c.Inner), int(*c.HeadDim)
	q, kv := int(c.Heads)*d, int(*c.KVHeads)*d
	out := map[string]ggufShape{"model.embed_tokens.weight": {shape: []int{int(c.Vocab), hidden}}, "model.norm.weight": {shape: []int{hidden}}}
	if !c.Tied {
		out["lm_head.weight"] = ggufShape{shape: []int{int(c.Vocab), hidden}}
	}
	for i := range int(c.Layers) {
		at := fmt.Sprintf("model.layers.%d.", i)
		for name, shape := range map[string][]int{"self_attn.q_proj": {q, hidden}, "self_attn.k_proj": {kv, hidden}, "self_attn.v_proj": {kv, hidden},
			"self_attn.o_proj": {hidden, q}, "mlp.gate_proj": {inner, hidden}, "mlp.up_proj": {inner, hidden}, "mlp.down_proj": {hidden, inner}} {
			out[at+name+".weight"] = ggufShape{shape: shape}
			if c.arch == "llama" {
				out[at+name+".bias"] = ggufShape{shape[:1], true}
			}
			if c.arch == "qwen2" && slices.Contains([]string{"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"}, name) {
				out[at+name+".bias"] = ggufShape{shape: shape[:1]}
			}
		}
		out[at+"input_layernorm.weight"] = ggufShape{shape: []int{hidden}}
		out[at+"post_attention_layernorm.weight"] = ggufShape{shape: []int{hidden}}
		if c.arch == "qwen3" {
			out[at+"self_attn.q_norm.weight"] = ggufShape{shape: []int{d}}
			out[at+"self_attn.k_norm.weight"] = ggufShape{shape: []int{d}}
		}
	}
	return out
}

// row is which of the model's rows is each row of the file, nil: the same. Only q and k
// of Llama change, each with its own heads.
func (c *ggufConfig) row(name string) func(row int) int {
	if c.arch != "llama" || !strings.Contains(name, ".self_attn.q_proj.") && !strings.Contains(name, ".self_attn.k_proj.") {
		return nil
	}
	d := int(*c.HeadDim)
	from := make([]int, d) // by the row in the file
	for i := range from {
		from[foreign.GGUFRow(i, d)] = i
	}
	return func(row int) int { return row/d*d + from[row%d] }
}
