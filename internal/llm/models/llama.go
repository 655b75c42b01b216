package models

import "strings"

// Llama 1-3, Mistral, Qwen2, Qwen3 and what differs from them by little. References:
// transformers modeling_{llama,mistral,qwen2,qwen3,arcee,seed_oss,helium,ernie4_5,
// smollm3,granite,ministral3}.py, mlx_lm/models of the same names. Sliding windows are
// transformers' (mlx-lm ignores mistral's and qwen2's).

// llamaConfig is Llama's own, where layers slide by layer_types.
type llamaConfig struct {
	baseConfig

	untested bool
}

func (c *llamaConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested = !c.untested
	return s, c.attend(s, c.slides(never))
}

// mistralConfig: every layer slides when there is a window.
type mistralConfig struct{ baseConfig }

func (c *mistralConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested = true
	return s, c.attend(s, always)
}

// qwenConfig: Qwen2 has biases of q, k and v whatever the config says, Qwen3 normalizes
// each head.
type qwenConfig struct {
	baseConfig
	UseSliding      bool    `json:"use_sliding_window"`
	MaxWindowLayers integer `json:"max_window_layers"`

	third bool
	mimo  bool // layers that predict further tokens are not used
}

func (c *qwenConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested = true
	if c.third {
		s.qkNorm = headsAlike
	} else {
		s.qkvBias, s.outBias = true, false
	}
	if c.mimo {
		s.tested = false
		s.translate = func(name string) (string, bool) {
			if strings.HasPrefix(name, "model.mtp_layers.") {
				return "", false
			}
			return name, false
		}
	}
	slides := c.slides(func(i int) bool { return i >= int(c.MaxWindowLayers) })
	if !c.UseSliding {
		slides = never
	}
	return s, c.attend(s, slides)
}

// ministralConfig: Mistral with yarn and queries that grow with their position.
type ministralConfig struct{ baseConfig }

func (c *ministralConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	p, err := c.parameters(fullAttention)
	if err != nil {
		return nil, err
	}
	if p.Llama4Beta != 0 {
		setDefault(&p.Original, c.MaxPositions)
		if err := p.needs("original_max_position_embeddings", float64(p.Original)); err != nil {
			return nil, err
		}
		s.queryScale = &queryScale{beta: p.Llama4Beta, original: float64(p.Original)}
	}
	return s, c.attend(s, c.slides(always))
}

// smolConfig: SmolLM3, where some layers do not rotate.
type smolConfig struct {
	baseConfig
	UseSliding bool      `json:"use_sliding_window"`
	RopeLayers []integer `json:"no_rope_layers"` // 1 where a layer rotates
	Interval   integer   `json:"no_rope_layer_interval"`
}

func (c *smolConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested = true
	rotates := func(i int) bool { return c.Interval <= 0 || (i+1)%int(c.Interval) != 0 }
	if len(c.RopeLayers) > 0 {
		if err := needLayers("no_rope_layers", len(c.RopeLayers), s); err != nil {
			return nil, err
		}
		rotates = func(i int) bool { return c.RopeLayers[i] != 0 }
	}
	slides := c.slides(func(i int) bool { return !rotates(i) })
	if !c.UseSliding {
		slides = never
	}
	err = c.attend(s, slides)
	for i := range s.layers {
		if !rotates(i) {
			s.layers[i].rope = nil
		}
	}
	return s, err
}

// bitNetConfig: norms before the last matrix of attention and MLP. Its matrices may be
// ternary, see ternary. References: transformers modeling_bitnet.py and
// integrations/bitnet.py, mlx_lm/models/bitnet.py, which does not round activations.
type bitNetConfig struct{ baseConfig }

func (c *bitNetConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.subNorms = true
	return s, c.attend(s, never)
}

// graniteConfig: multipliers.
type graniteConfig struct {
	baseConfig
	Embedding float64 `json:"embedding_multiplier"`
	Attention float64 `json:"attention_multiplier"`
	Residual  float64 `json:"residual_multiplier"`
	Logits    float64 `json:"logits_scaling"`
}

func (c *graniteConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	if c.Logits == 0 {
		return nil, errZero("logits_scaling")
	}
	s.tested = true
	s.embedScale, s.scale, s.residualScale, s.logitScale = c.Embedding, c.Attention, c.Residual, 1/c.Logits
	return s, c.attend(s, never)
}

// miniCPMConfig: multipliers of another kind.
type miniCPMConfig struct {
	baseConfig
	ScaleEmb   float64 `json:"scale_emb"`
	ScaleDepth float64 `json:"scale_depth"`
	DimBase    float64 `json:"dim_model_base"`
}

func (c *miniCPMConfig) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	setDefault(&c.DimBase, float64(s.hidden))
	s.outBias, s.tie = false, tieUnlessThereIsOne
	s.embedScale, s.residualScale = c.ScaleEmb, c.ScaleDepth/sqrt(len(s.layers))
	s.logitScale = c.DimBase / float64(s.hidden)
	return s, c.attend(s, never)
}

// biasConfig: families that differ from Llama by their biases, and by rotating pairs
// of neighbours.
type biasConfig struct {
	baseConfig
	OutBias *bool `json:"attention_out_bias"` // seed_oss
	UseBias *bool `json:"use_bias"`           // ernie4_5: all of them
	QKVBias *bool `json:"qkv_bias"`           // internlm3
	Bias    *bool `json:"bias"`               // internlm3: the others

	noOutBias  bool // the output has none, whatever attention_bias says
	qkv        bool // q, k and v have biases, and the output none
	neighbours bool // rotation
	qkNorm     headNorm
	plain      bool // the MLP has no gate
	recorded   bool
}

func (c *biasConfig) spec() (*spec, error) {
	c.Traditional = c.Traditional || c.neighbours
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	set := func(to *bool, from *bool) {
		if from != nil {
			*to = *from
		}
	}
	s.tested, s.qkNorm = c.recorded, c.qkNorm
	s.outBias = s.outBias && !c.noOutBias
	if c.qkv {
		s.qkvBias, s.outBias = true, false
	}
	if c.plain {
		s.mlp = plainMLP
	}
	set(&s.outBias, c.OutBias)
	for _, b := range []*bool{&s.qkvBias, &s.outBias, &s.mlpBias} {
		set(b, c.UseBias)
	}
	set(&s.qkvBias, c.QKVBias)
	set(&s.outBias, c.Bias)
	set(&s.mlpBias, c.Bias)
	return s, c.attend(s, c.slides(never))
}
