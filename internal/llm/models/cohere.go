package models

// Cohere's Command R and R7B. References: transformers modeling_{cohere,cohere2}.py,
// mlx_lm/models/{cohere,cohere2}.py.

// cohereConfig: one LayerNorm without bias before attention and MLP, which run side by
// side; neighbours rotate. In Cohere 2 layers with a window rotate and the others do not.
type cohereConfig struct {
	baseConfig
	Epsilon    *float64 `json:"layer_norm_eps"`
	LogitScale float64  `json:"logit_scale"`
	QKNorm     bool     `json:"use_qk_norm"`
	NormBias   bool     `json:"layer_norm_bias"`
	Pattern    integer  `json:"sliding_window_pattern"`
	Hidden     integer  `json:"_sliding_window_pattern"`

	second bool
}

func (c *cohereConfig) spec() (*spec, error) {
	c.Traditional = true
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.norm, s.norms, s.parallel, s.tie = layerNormUnbiased, oneNorm, true, tieUnlessThereIsOne
	s.logitScale = c.LogitScale
	if c.NormBias {
		s.norm = layerNorm
	}
	if c.QKNorm && !c.second {
		s.qkNorm = headsByRow
	}
	if !c.second {
		return s, c.attend(s, never)
	}
	s.tested = true
	if c.Hidden != 0 {
		c.Pattern = c.Hidden
	}
	slides := c.slides(everyNth(int(c.Pattern)))
	return s, c.attendBy(s, slides, func(kind string) (*rope, error) {
		if kind == fullAttention {
			return nil, nil
		}
		return c.newRope(s.headDim, kind)
	})
}
