package models

// Phi 1-4. References: transformers modeling_{phi,phi3}.py, mlx_lm/models/{phi,phi3}.py.
// mlx-lm ignores Phi 3's windows, and its longrope has the long factors only.

// phiConfig: Phi 1 and 2, one LayerNorm before attention and a plain MLP side by side,
// and biases everywhere.
type phiConfig struct {
	baseConfig
	Epsilon *float64 `json:"layer_norm_eps"`
	QKNorm  bool     `json:"qk_layernorm"`
}

func (c *phiConfig) spec() (*spec, error) {
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.norm, s.norms, s.parallel, s.mlp = layerNorm, oneNorm, true, plainMLP
	s.qkvBias, s.outBias, s.mlpBias, s.headBias = true, true, true, true
	if c.QKNorm {
		s.qkNorm = headsLayer
	}
	s.names = llamaNames.with(names{"Norm": "model.final_layernorm", "Out": "dense", "Up": "fc1", "Down": "fc2",
		"QNorm": "q_layernorm", "KNorm": "k_layernorm"})
	return s, c.attend(s, never)
}

// phi3Config: Llama with one projection for q, k and v and one for gate and up.
type phi3Config struct{ baseConfig }

func (c *phi3Config) spec() (*spec, error) {
	c.yarnIsLong = true // as transformers: the first configurations called it so
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.qkv, s.mlp, s.tested = inOrder, gateUpMLP, true
	s.qkvBias, s.outBias, s.mlpBias = false, false, false
	return s, c.attend(s, c.slides(always))
}
