package models

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/llm/cache"
)

// Families whose layers differ in size or kind. References: the repositories'
// modeling_openelm.py and modeling_decilm.py, mlx_lm/models/{openelm,nemotron-nas,afm7}.py.

// openELMConfig: every layer has its own heads and width.
type openELMConfig struct {
	baseConfig
	NLayers  integer   `json:"num_transformer_layers"`
	Dim      integer   `json:"model_dim"`
	Queries  []integer `json:"num_query_heads"`
	Keys     []integer `json:"num_kv_heads"`
	Widths   []float64 `json:"ffn_multipliers"`
	Divisor  integer   `json:"ffn_dim_divisor"`
	Gated    *bool     `json:"ffn_with_glu"`
	QKNorm   *bool     `json:"normalize_qk_projections"`
	Tied     *bool     `json:"share_input_output_layers"`
	Freq     float64   `json:"rope_freq_constant"`
	Length   integer   `json:"max_context_length"`
	Function string    `json:"activation_fn_name"`
}

func (c *openELMConfig) spec() (*spec, error) {
	n := int(c.NLayers)
	if err := firstError(within("num_transformer_layers", c.NLayers, 1, 1<<12), within("ffn_dim_divisor", c.Divisor, 1, 1<<16),
		within("model_dim", c.Dim, 1, 1<<20)); err != nil {
		return nil, err
	}
	for key, have := range map[string]int{"num_query_heads": len(c.Queries), "num_kv_heads": len(c.Keys), "ffn_multipliers": len(c.Widths)} {
		if have != n {
			return nil, fmt.Errorf("config.json: %s has %d entries for %d layers", key, have, n)
		}
	}
	c.Layers, c.HiddenSize, c.Heads, c.KVHeads = c.NLayers, c.Dim, c.Queries[0], c.Keys[0]
	c.IntermediateSize, c.HiddenAct = 1, c.Function
	setDefault(&c.MaxPositions, c.Length)
	setDefault(&c.Theta, c.Freq)
	c.TieEmbeddings = ptr(c.Tied == nil || *c.Tied)
	if c.HeadDim == 0 {
		return nil, fmt.Errorf("config.json: head_dim is missing")
	}
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.qkv, s.mlp = inOrder, gateUpMLP
	if c.Gated != nil && !*c.Gated {
		s.mlp = plainMLP
	}
	if c.QKNorm == nil || *c.QKNorm {
		s.qkNorm = headsAlike
	}
	for i := range s.layers {
		if err := s.setHeads(i, "num_query_heads", c.Queries[i], "num_kv_heads", c.Keys[i]); err != nil {
			return nil, err
		}
		if err := s.setWidth(i, "ffn_multipliers", divisible(c.Widths[i]*float64(c.Dim), float64(c.Divisor))); err != nil {
			return nil, err
		}
	}
	s.names = llamaNames.with(names{"Embed": "transformer.token_embeddings", "Blocks": "transformer.layers", "Norm": "transformer.norm",
		"InputNorm": "attn_norm", "Attention": "attn", "PreNorm": "ffn_norm", "MLP": "ffn", "Out": "out_proj", "GateUp": "proj_1", "Up": "proj_1", "Down": "proj_2"})
	return s, c.attend(s, never)
}

// divisible is the multiple of by that is nearest to n, at least 9/10 of it.
func divisible(n, by float64) float64 {
	d := max(by, math.Floor(math.Trunc(n+by/2)/by)*by)
	if d < 0.9*n {
		d += by
	}
	return d
}

// setHeads sets the heads of layer i.
func (s *spec) setHeads(i int, queryKey string, heads integer, keyKey string, kvHeads integer) error {
	if err := firstError(within(queryKey, heads, 1, 1<<16), within(keyKey, kvHeads, 1, int(heads))); err != nil {
		return err
	}
	if heads%kvHeads != 0 {
		return fmt.Errorf("config.json: layer %d has %d query heads, which is no multiple of %d key heads", i, heads, kvHeads)
	}
	s.layers[i].heads, s.layers[i].kvHeads = int(heads), int(kvHeads)
	return nil
}

// setWidth sets the width of the MLP of layer i.
func (s *spec) setWidth(i int, key string, n float64) error {
	if !(n >= 1 && n <= 1<<22) {
		return fmt.Errorf("config.json: %s gives layer %d a width of %g", key, i, n)
	}
	s.layers[i].inner = int(n)
	return nil
}

// nasConfig: Nemotron-NAS, a Llama of which a search removed parts, or put matrices in
// their place.
type nasConfig struct {
	baseConfig
	Blocks []struct {
		Attention struct {
			nasPart
			Group  integer  `json:"n_heads_in_group"`
			Window optional `json:"window_length"`
			Sinks  optional `json:"num_sink_tokens"`
		} `json:"attention"`
		FFN struct {
			nasPart
			Width float64 `json:"ffn_mult"`
		} `json:"ffn"`
	} `json:"block_configs"`
}

type nasPart struct {
	None     bool     `json:"no_op"`
	Linear   bool     `json:"replace_with_linear"`
	Sparsify []string `json:"sparsify"`
}

// part is what the configuration puts there.
func (p nasPart) part() part {
	switch {
	case p.None:
		return none
	case p.Linear:
		return linear
	}
	return whole
}

func (c *nasConfig) spec() (*spec, error) {
	if len(c.Blocks) != int(c.Layers) {
		return nil, fmt.Errorf("config.json: block_configs has %d entries for %d layers", len(c.Blocks), c.Layers)
	}
	c.KVHeads, c.IntermediateSize, c.HeadDim = 0, 1, 0
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	attends := false
	for i, b := range c.Blocks {
		l := &s.layers[i]
		l.attention, l.mlp = b.Attention.part(), b.FFN.part()
		if len(b.Attention.Sparsify)+len(b.FFN.Sparsify) > 0 {
			return nil, fmt.Errorf("config.json: block_configs: layer %d has sparsify, which is not supported", i)
		}
		if l.attention == whole {
			attends = true
			if b.Attention.Window != 0 || b.Attention.Sinks != 0 {
				return nil, fmt.Errorf("config.json: block_configs: layer %d has window_length or num_sink_tokens, which are not supported", i)
			}
			if err := within("n_heads_in_group", b.Attention.Group, 1, int(c.Heads)); err != nil {
				return nil, err
			}
			if c.Heads%b.Attention.Group != 0 {
				return nil, fmt.Errorf("config.json: num_attention_heads %d is no multiple of n_heads_in_group %d of layer %d", c.Heads, b.Attention.Group, i)
			}
			l.kvHeads = int(c.Heads / b.Attention.Group)
		}
		if l.mlp == whole {
			width := math.Trunc(2 * math.RoundToEven(b.FFN.Width*1e6) / 1e6 * float64(c.HiddenSize) / 3)
			if err := s.setWidth(i, "ffn_mult", 256*math.Ceil(width/256)); err != nil {
				return nil, err
			}
		}
	}
	if !attends {
		return nil, fmt.Errorf("config.json: block_configs: no layer has attention")
	}
	return s, c.attend(s, never)
}

// afmConfig: Apple's on-device model. Its last layers attend to the keys of the last one
// before them, and keys and values are rounded to 8 bits.
type afmConfig struct {
	baseConfig
	Dim     integer `json:"hidden_dim"`
	NLayers integer `json:"num_layers"`
	Reuse   integer `json:"num_kv_reuse_layers"`
	NHeads  integer `json:"num_heads"`
	NKV     integer `json:"num_kv_heads"`
	Scale   float64 `json:"hidden_dim_scale_factor"`
}

func (c *afmConfig) spec() (*spec, error) {
	if err := firstError(within("num_layers", c.NLayers, 1, 1<<12), within("num_kv_reuse_layers", c.Reuse, 0, int(c.NLayers)-1),
		within("hidden_dim", c.Dim, 1, 1<<20)); err != nil {
		return nil, err
	}
	width := math.Trunc(float64(c.Dim) * c.Scale)
	if !(width >= 1 && width <= 1<<22) {
		return nil, fmt.Errorf("config.json: hidden_dim_scale_factor is %g", c.Scale)
	}
	c.HiddenSize, c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.IntermediateSize = c.Dim, c.NLayers, c.NHeads, c.NKV, 0, integer(width)
	c.Traditional, c.TieEmbeddings = true, ptr(true)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.qkv, s.qkNorm, s.normAfterRope, s.steppedKV, s.headEps = inOrder, headsAlike, true, true, 1e-5
	s.qkvBias, s.outBias, s.mlpBias = false, false, false
	own := int(c.NLayers - c.Reuse)
	for i := own; i < len(s.layers); i++ {
		s.layers[i].source = own
	}
	s.split = own
	s.names = llamaNames.with(names{"Embed": "model.embedding", "More": "model.kv_reuse_layers", "Norm": "model.output_norm", "Out": "out_proj"})
	return s, c.attend(s, never)
}

// llama4Config: Llama 4 without experts. Layers that rotate see their chunk only; the
// queries of the others grow with their position. References: transformers
// modeling_llama4.py, mlx_lm/models/llama4_text.py, which normalizes heads of all layers,
// and has neither chunks nor growth.
type llama4Config struct {
	baseConfig
	Inner      integer    `json:"intermediate_size_mlp"`
	RopeLayers []integer  `json:"no_rope_layers"` // 1 where a layer rotates
	Interval   integer    `json:"no_rope_layer_interval"`
	QKNorm     bool       `json:"use_qk_norm"`
	Chunk      optional   `json:"attention_chunk_size"`
	Tuning     bool       `json:"attn_temperature_tuning"`
	FloorScale float64    `json:"floor_scale"`
	AttnScale  float64    `json:"attn_scale"`
	MoELayers  *[]integer `json:"moe_layers"`
	MoEStep    integer    `json:"interleave_moe_layer_step"`
}

func (c *llama4Config) spec() (*spec, error) {
	if dense := c.MoELayers != nil && len(*c.MoELayers) == 0 || c.MoELayers == nil && c.MoEStep == 0; !dense {
		return nil, fmt.Errorf("config.json: moe_layers or interleave_moe_layer_step: layers of experts are not supported")
	}
	if c.Inner != 0 {
		c.IntermediateSize = c.Inner
	}
	c.Traditional = true
	types := c.LayerTypes
	c.LayerTypes = nil // they follow from the others
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.outBias, s.mlpBias, s.qkNorm, s.normAfterRope = c.AttentionBias, false, headsByLayer, true
	rotates := func(i int) bool { return c.Interval <= 0 || (i+1)%int(c.Interval) != 0 }
	if len(c.RopeLayers) > 0 {
		if err := needLayers("no_rope_layers", len(c.RopeLayers), s); err != nil {
			return nil, err
		}
		rotates = func(i int) bool { return c.RopeLayers[i] != 0 }
	}
	if err := firstError(within("attention_chunk_size", integer(c.Chunk), 0, 1<<30), c.attend(s, never)); err != nil {
		return nil, err
	}
	if err := needTypes(types, len(s.layers)); err != nil {
		return nil, err
	}
	if c.Tuning && !(c.FloorScale > 0) {
		return nil, fmt.Errorf("config.json: floor_scale is not positive")
	}
	for i := range s.layers {
		l := &s.layers[i]
		if rotates(i) {
			if c.QKNorm {
				l.headNorm = headsBare
			}
		} else {
			l.rope = nil
			if c.Tuning {
				l.queryScale = &queryScale{beta: c.AttnScale, original: c.FloorScale, shift: 1}
			}
		}
		chunked := rotates(i)
		if len(types) > 0 {
			chunked = types[i] == "chunked_attention"
		}
		if chunked && c.Chunk > 0 && (c.MaxPositions == 0 || integer(c.Chunk) < c.MaxPositions) {
			l.sparse = &cache.Sparse{Chunk: int(c.Chunk)}
		}
	}
	s.names = llamaNames.with(names{"MLP": "feed_forward", "Head": "output"})
	s.translate = func(name string) (string, bool) {
		if name == "lm_head.weight" {
			return "output.weight", false
		}
		return name, false
	}
	return s, nil
}

// needTypes checks the layer_types of Llama 4.
func needTypes(types []string, layers int) error {
	if n := len(types); n > 0 && n < layers {
		return fmt.Errorf("config.json: layer_types has %d entries for %d layers", n, layers)
	}
	for _, kind := range types {
		if kind != fullAttention && kind != "chunked_attention" {
			return fmt.Errorf("config.json: layer type %q is not supported for llama4_text, only %s and chunked_attention", kind, fullAttention)
		}
	}
	return nil
}
