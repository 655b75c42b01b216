package models

import "strings"

// The GPT line. References: transformers modeling_{gpt2,gpt_neox,gpt_bigcode}.py,
// mlx_lm/models/{gpt2,gpt_neox,gpt_bigcode}.py. Paths are mlx-lm's.

// gptConfig: GPT-2 and GPT-BigCode, with learned positions and LayerNorm.
type gptConfig struct {
	baseConfig
	Embd        integer  `json:"n_embd"`
	NLayer      integer  `json:"n_layer"`
	NHead       integer  `json:"n_head"`
	NPositions  integer  `json:"n_positions"`
	NInner      integer  `json:"n_inner"`
	Epsilon     *float64 `json:"layer_norm_epsilon"`
	Activation  string   `json:"activation_function"`
	MultiQuery  bool     `json:"multi_query"`
	ScaleScores *bool    `json:"scale_attn_weights"`
	ByLayer     bool     `json:"scale_attn_by_inverse_layer_idx"`

	bigcode bool
}

func (c *gptConfig) spec() (*spec, error) {
	err := firstError(within("n_embd", c.Embd, 1, 1<<20), within("n_layer", c.NLayer, 1, 1<<12), within("n_head", c.NHead, 1, 1<<16),
		within("n_inner", c.NInner, 0, 1<<22), within("n_positions", c.NPositions, 1, 1<<24))
	if err != nil {
		return nil, err
	}
	c.HiddenSize, c.Layers, c.Heads, c.KVHeads, c.HeadDim = c.Embd, c.NLayer, c.NHead, c.NHead, 0
	if c.MultiQuery {
		c.KVHeads = 1
	}
	c.IntermediateSize = c.NInner
	setDefault(&c.IntermediateSize, 4*c.Embd)
	c.MaxPositions = c.NPositions
	c.epsilon(1e-5, c.Epsilon)
	setDefault(&c.HiddenAct, c.Activation)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.positions, s.norm, s.mlp, s.qkv, s.tie = int(c.NPositions), layerNorm, plainMLP, inOrder, tieUnlessThereIsOne
	s.scaleByLayer = c.ByLayer
	if c.ScaleScores != nil && !*c.ScaleScores {
		s.scale = 1
	}
	own := names{"Embed": "model.wte", "Positions": "model.wpe", "Blocks": "model.h", "Norm": "model.ln_f", "Head": "lm_head",
		"InputNorm": "ln_1", "Attention": "attn", "PreNorm": "ln_2", "QKV": "c_attn", "Out": "c_proj", "Up": "c_fc", "Down": "c_proj"}
	if c.bigcode {
		if !c.MultiQuery {
			s.qkv = byKeyHead
		}
		own["Embed"], own["Positions"], own["Blocks"], own["Norm"] = "transformer.wte", "transformer.wpe", "transformer.h", "transformer.ln_f"
		s.names = llamaNames.with(own)
		return s, nil
	}
	s.qkvBias, s.outBias, s.mlpBias = true, true, true
	s.tested, s.names, s.translate = true, llamaNames.with(own), gpt2Name
	s.settle = func(s *spec, native bool, _ func(string) bool) {
		if native {
			s.inner = s.rowsOf("model.h.0.mlp.c_fc.bias", 4*s.hidden) // mlx-lm reads no n_inner, and we write what has one
		}
	}
	return s, nil
}

// gpt2Name: Hugging Face's names begin with "transformer.", or with nothing in the
// oldest checkpoints, and their matrices are [in, out].
func gpt2Name(name string) (path string, transpose bool) {
	if strings.HasSuffix(name, ".attn.bias") || strings.HasSuffix(name, ".attn.masked_bias") {
		return "", false
	}
	if strings.HasPrefix(name, "model.") || strings.HasPrefix(name, "lm_head.") {
		return name, false
	}
	path = "model." + strings.TrimPrefix(name, "transformer.")
	for _, matrix := range []string{".c_attn.weight", ".c_proj.weight", ".c_fc.weight"} {
		transpose = transpose || strings.HasSuffix(name, matrix)
	}
	return path, transpose
}

// neoXConfig: GPT-NeoX and Pythia. A quarter of each head rotates; attention and MLP run
// side by side, each with its own norm.
type neoXConfig struct {
	baseConfig
	Epsilon  *float64 `json:"layer_norm_eps"`
	Rotary   float64  `json:"rotary_pct"`
	Base     float64  `json:"rotary_emb_base"`
	Bias     *bool    `json:"attention_bias"`
	Parallel bool     `json:"use_parallel_residual"`
}

func (c *neoXConfig) spec() (*spec, error) {
	c.epsilon(1e-5, c.Epsilon)
	setDefault(&c.PartialFactor, c.Rotary)
	setDefault(&c.Theta, c.Base)
	c.KVHeads = c.Heads
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested, s.norm, s.mlp, s.qkv, s.parallel = true, layerNorm, plainMLP, byKeyHead, c.Parallel
	s.qkvBias = c.Bias == nil || *c.Bias
	s.outBias, s.mlpBias = s.qkvBias, true
	s.names = llamaNames.with(names{"Embed": "model.embed_in", "Blocks": "model.h", "Norm": "model.final_layer_norm", "Head": "model.embed_out",
		"Attention": "attention", "QKV": "query_key_value", "Out": "dense", "Up": "dense_h_to_4h", "Down": "dense_4h_to_h"})
	s.translate = neoXName
	s.settle = func(s *spec, native bool, has func(string) bool) {
		if native { // mlx-lm reads neither, and we write what has them
			s.inner = s.rowsOf("model.h.0.mlp.dense_h_to_4h.bias", 4*s.hidden)
			s.qkvBias = has("model.h.0.attention.query_key_value.bias")
			s.outBias = s.qkvBias
		}
	}
	return s, c.attend(s, never)
}

// neoXName: Hugging Face says gpt_neox.layers, mlx-lm model.h.
func neoXName(name string) (path string, transpose bool) {
	for _, buffer := range []string{".attention.bias", ".attention.masked_bias", ".rotary_emb.inv_freq"} {
		if strings.HasSuffix(name, buffer) {
			return "", false
		}
	}
	if rest, ok := strings.CutPrefix(name, "gpt_neox."); ok {
		if layer, ok := strings.CutPrefix(rest, "layers."); ok {
			rest = "h." + layer
		}
		return "model." + rest, false
	}
	if strings.HasPrefix(name, "embed_out.") {
		return "model." + name, false
	}
	return name, false
}
