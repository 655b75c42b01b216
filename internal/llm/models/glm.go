package models

// GLM-4 of both generations. References: transformers modeling_{glm,glm4}.py,
// mlx_lm/models/{glm,glm4}.py.

// glmConfig: half of each head rotates, by neighbours; gate and up are one projection.
// GLM-4-0414 (glm4) also normalizes what the parts give.
type glmConfig struct {
	baseConfig

	sandwich bool
}

func (c *glmConfig) spec() (*spec, error) {
	c.Traditional = c.Traditional || !c.sandwich // mlx-lm reads rope_traditional for glm4 only
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.outBias, s.mlp, s.tested = false, gateUpMLP, c.sandwich
	if c.sandwich {
		s.norms = sandwichNorms
		s.names = llamaNames.with(names{"AttentionNorm": "post_self_attn_layernorm", "MLPNorm": "post_mlp_layernorm"})
	}
	return s, c.attend(s, never)
}
