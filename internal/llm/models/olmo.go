package models

import "errors"

// OLMo 1-3. References: transformers modeling_{olmo,olmo2,olmo3}.py,
// mlx_lm/models/{olmo,olmo2,olmo3}.py.

// olmoConfig: LayerNorm without parameters, and bounded queries, keys and values. The
// keys below layer_types are those of the first releases (mlx-lm's olmo), whose
// checkpoints have other names.
type olmoConfig struct {
	baseConfig
	ClipQKV   float64 `json:"clip_qkv"`
	DModel    integer `json:"d_model"`
	NLayers   integer `json:"n_layers"`
	NHeads    integer `json:"n_heads"`
	Inner     integer `json:"mlp_hidden_size"` // of gate and up together
	Ratio     integer `json:"mlp_ratio"`
	Rows      integer `json:"embedding_size"`
	Tying     *bool   `json:"weight_tying"`
	MaxLength integer `json:"max_sequence_length"`
}

func (c *olmoConfig) spec() (*spec, error) {
	first := c.DModel != 0
	if first {
		c.first()
	}
	eps := 1e-5
	c.NormEps = &eps
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.norm, s.clipQKV = layerNormBare, c.ClipQKV
	if first {
		s.qkv, s.mlp = inOrder, upGateMLP
		s.names = llamaNames.with(names{"Embed": "model.transformer.wte", "Blocks": "model.transformer.blocks", "Head": "model.transformer.ff_out",
			"Attention": "", "MLP": "", "QKV": "att_proj", "Out": "attn_out", "GateUp": "ff_proj", "Down": "ff_out"})
	}
	return s, c.attend(s, never)
}

// first translates the keys of the first releases.
func (c *olmoConfig) first() {
	setDefault(&c.Ratio, 4)
	setDefault(&c.Inner, c.Ratio*c.DModel)
	c.HiddenSize, c.Layers, c.Heads, c.KVHeads, c.IntermediateSize = c.DModel, c.NLayers, c.NHeads, c.NHeads, c.Inner/2
	if c.Rows != 0 {
		c.VocabSize = c.Rows
	}
	setDefault(&c.MaxPositions, c.MaxLength)
	if c.Tying != nil {
		c.TieEmbeddings = c.Tying
	}
}

// olmo2Config: norms of what the parts give only, and of whole queries and keys. OLMo 3
// has windows, and scales the rotation of full layers only.
type olmo2Config struct {
	baseConfig

	third bool
}

func (c *olmo2Config) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested = !c.third
	s.norms, s.qkNorm = postNorms, headsTogether
	s.names = llamaNames.with(names{"AttentionNorm": "post_attention_layernorm", "MLPNorm": "post_feedforward_layernorm"})
	if !c.third {
		return s, c.attend(s, never)
	}
	return s, c.attendBy(s, c.slides(everyNth(4)), func(kind string) (*rope, error) {
		if kind == fullAttention || c.byType() {
			return c.newRope(s.headDim, kind)
		}
		p, err := c.parameters(fullAttention)
		if err != nil {
			return nil, err
		}
		local := ropeConfig{Theta: p.Theta, MaxPositions: c.MaxPositions}
		return local.newRope(s.headDim, kind)
	})
}

// exaone4Config: OLMo 2 with norms of each head; layers without a window do not rotate
// when others have one.
type exaone4Config struct {
	baseConfig
	Pattern pattern `json:"sliding_window_pattern"`
}

func (c *exaone4Config) spec() (*spec, error) {
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested, s.norms, s.qkNorm = true, postNorms, headsAlike
	s.names = llamaNames.with(names{"AttentionNorm": "post_attention_layernorm", "MLPNorm": "post_feedforward_layernorm"})
	if c.SlidingWindow == 0 {
		return s, c.attend(s, never)
	}
	return s, c.attendBy(s, c.slides(c.Pattern.slides), func(kind string) (*rope, error) {
		if kind == fullAttention {
			return nil, nil
		}
		return c.newRope(s.headDim, kind)
	})
}

// exaoneConfig: EXAONE 3, Llama by other names.
type exaoneConfig struct {
	baseConfig
	NumLayers  integer  `json:"num_layers"`
	Epsilon    *float64 `json:"layer_norm_epsilon"`
	Activation string   `json:"activation_function"`
}

func (c *exaoneConfig) spec() (*spec, error) {
	if c.NumLayers != 0 {
		c.Layers = c.NumLayers
	}
	if c.Layers == 0 {
		return nil, errors.New("config.json: num_layers is missing")
	}
	c.epsilon(1e-5, c.Epsilon)
	setDefault(&c.HiddenAct, c.Activation)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.names = llamaNames.with(names{"Embed": "transformer.wte", "Blocks": "transformer.h", "Norm": "transformer.ln_f",
		"InputNorm": "ln_1", "PreNorm": "ln_2", "Attention": "attn.attention", "Out": "out_proj", "Gate": "c_fc_0", "Up": "c_fc_1", "Down": "c_proj"})
	return s, c.attend(s, never)
}
