package models

// Families with LayerNorm and Llama's names. References: transformers
// modeling_{stablelm,starcoder2,nemotron,apertus}.py, mlx_lm/models of the same names.
// mlx-lm ignores StarCoder 2's windows.

// stableLMConfig: a quarter of each head rotates.
type stableLMConfig struct {
	baseConfig
	Epsilon  *float64 `json:"layer_norm_eps"`
	QKVBias  bool     `json:"use_qkv_bias"`
	QKNorm   bool     `json:"qk_layernorm"`
	Parallel bool     `json:"use_parallel_residual"`
}

func (c *stableLMConfig) spec() (*spec, error) {
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested, s.norm = true, layerNorm
	s.qkvBias, s.outBias, s.mlpBias = c.QKVBias, false, false
	if c.Parallel {
		s.parallel, s.norms = true, oneNorm
	}
	if c.QKNorm {
		s.qkNorm = headsApart
		err = within("num_attention_heads", c.Heads, 1, 1<<10) // each has a norm
	}
	if err != nil {
		return nil, err
	}
	s.names = llamaNames.with(names{"QNorm": "q_layernorm", "KNorm": "k_layernorm"})
	return s, c.attend(s, never)
}

// starCoder2Config: a plain MLP.
type starCoder2Config struct {
	baseConfig
	Epsilon *float64 `json:"norm_epsilon"`
	Bias    bool     `json:"use_bias"`
}

func (c *starCoder2Config) spec() (*spec, error) {
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested, s.norm, s.mlp = true, layerNorm, plainMLP
	s.qkvBias, s.outBias, s.mlpBias = c.Bias, c.Bias, c.Bias
	s.names = llamaNames.with(names{"Up": "c_fc", "Down": "c_proj"})
	return s, c.attend(s, c.slides(always))
}

// nemotronConfig: weights of LayerNorm less 1, a plain MLP with squared ReLU.
type nemotronConfig struct {
	baseConfig
	Epsilon *float64 `json:"norm_eps"`
}

func (c *nemotronConfig) spec() (*spec, error) {
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.norm, s.mlp = layerNormPlus1, plainMLP
	return s, c.attend(s, never)
}

// apertusConfig: norms of each head, and a plain MLP with an activation that is learned.
// Neither reference reads post_norm and qk_norm.
type apertusConfig struct{ baseConfig }

func (c *apertusConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.mlp, s.qkNorm = plainMLP, headsAlike
	s.names = llamaNames.with(names{"InputNorm": "attention_layernorm", "PreNorm": "feedforward_layernorm"})
	s.settle = func(s *spec, _ bool, has func(string) bool) { s.fixedXIELU = !has("model.layers.0.mlp.act_fn.beta") }
	return s, c.attend(s, never)
}
