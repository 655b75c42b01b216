package models

// Llama by other names. References: the repositories' modeling_internlm2.py,
// modeling_hunyuan.py and modeling_qwen.py, transformers modeling_hunyuan_v1_dense.py,
// mlx_lm/models/{internlm2,hunyuan_v1_dense,qwen}.py.

// internLM2Config: one projection for each key head's queries, key and value.
type internLM2Config struct {
	baseConfig
	Bias bool `json:"bias"`
}

func (c *internLM2Config) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.qkv, s.qkvBias, s.outBias, s.mlpBias = byKeyHead, c.Bias, c.Bias, false
	s.names = llamaNames.with(names{"Embed": "model.tok_embeddings", "Head": "output", "InputNorm": "attention_norm", "PreNorm": "ffn_norm",
		"Attention": "attention", "MLP": "feed_forward", "QKV": "wqkv", "Out": "wo", "Gate": "w1", "Up": "w3", "Down": "w2"})
	return s, c.attend(s, never)
}

// hunyuanConfig: heads are normalized after the rotation.
type hunyuanConfig struct {
	baseConfig
	QKNorm *bool `json:"use_qk_norm"`
}

func (c *hunyuanConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.mlpBias, s.tie = false, tieUnlessThereIsOne
	if c.QKNorm == nil || *c.QKNorm {
		s.qkNorm, s.normAfterRope = headsAlike, true
	}
	s.names = llamaNames.with(names{"QNorm": "query_layernorm", "KNorm": "key_layernorm", "GateUp": "gate_and_up_proj"})
	s.settle = func(s *spec, _ bool, has func(string) bool) { // the first checkpoints have one matrix
		if !has("model.layers.0.mlp.gate_proj.weight") && has("model.layers.0.mlp.gate_and_up_proj.weight") {
			s.mlp = gateUpMLP
		}
	}
	return s, c.attend(s, never)
}

// qwen1Config: the first Qwen, where intermediate_size counts gate and up.
type qwen1Config struct {
	baseConfig
	Epsilon *float64 `json:"layer_norm_epsilon"`
	Width   integer  `json:"kv_channels"`
	NoBias  *bool    `json:"no_bias"`
	Length  integer  `json:"seq_length"`
}

func (c *qwen1Config) spec() (*spec, error) {
	c.epsilon(1e-6, c.Epsilon)
	c.KVHeads, c.HeadDim, c.IntermediateSize = c.Heads, optional(c.Width), c.IntermediateSize/2
	setDefault(&c.MaxPositions, c.Length)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	bias := c.NoBias != nil && !*c.NoBias
	s.qkv, s.qkvBias, s.outBias, s.mlpBias = inOrder, true, bias, bias
	s.settle = func(s *spec, _ bool, has func(string) bool) {
		s.headBias = bias && has("lm_head.bias") // mlx-lm's
	}
	s.names = llamaNames.with(names{"Embed": "transformer.wte", "Blocks": "transformer.h", "Norm": "transformer.ln_f",
		"InputNorm": "ln_1", "PreNorm": "ln_2", "Attention": "attn", "QKV": "c_attn", "Out": "c_proj", "Gate": "w2", "Up": "w1", "Down": "c_proj"})
	return s, c.attend(s, never)
}
