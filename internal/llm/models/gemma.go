package models

import (
	"errors"
	"math"
)

// Gemma 1-3. References: transformers modeling_{gemma,gemma2,gemma3}.py,
// mlx_lm/models/{gemma,gemma2,gemma3_text}.py. mlx-lm ignores Gemma 2's windows.

// gemmaConfig: weights of norms less 1, embeddings times the root of their size.
type gemmaConfig struct {
	baseConfig
	HiddenActivation string   `json:"hidden_activation"` // goes before hidden_act
	QueryScalar      float64  `json:"query_pre_attn_scalar"`
	SoftCap          nullable `json:"attn_logit_softcapping"`
	FinalCap         nullable `json:"final_logit_softcapping"`
	Pattern          integer  `json:"sliding_window_pattern"`
	HiddenPattern    integer  `json:"_sliding_window_pattern"`
	LocalBase        float64  `json:"rope_local_base_freq"`
	Bidirectional    *bool    `json:"use_bidirectional_attention"`
	version          int
}

func (c *gemmaConfig) spec() (*spec, error) {
	if c.Bidirectional != nil && *c.Bidirectional {
		return nil, errors.New("config.json: use_bidirectional_attention is not supported: this is no decoder")
	}
	if c.HiddenActivation != "" {
		c.HiddenAct = c.HiddenActivation
	}
	if c.HiddenAct == "" || c.HiddenAct == "gelu" { // the first configurations said gelu and meant its tanh form
		c.HiddenAct = "gelu_pytorch_tanh"
	}
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.tested, s.tie, s.norm = true, tieUnlessThereIsOne, rmsNormPlus1
	s.embedScale = sqrt(s.hidden)
	if c.version == 1 {
		return s, c.attend(s, never)
	}
	if !(c.QueryScalar > 0) {
		return nil, errors.New("config.json: query_pre_attn_scalar is not positive")
	}
	s.scale = 1 / math.Sqrt(c.QueryScalar)
	s.softCap, s.finalCap = float64(c.SoftCap), float64(c.FinalCap)
	s.norms, s.names = sandwichNorms, llamaNames.with(names{
		"AttentionNorm": "post_attention_layernorm", "PreNorm": "pre_feedforward_layernorm", "MLPNorm": "post_feedforward_layernorm"})
	if c.version == 2 {
		return s, c.attend(s, c.slides(everyNth(2)))
	}
	s.qkNorm, s.clipHalf = headsAlike, true
	if c.HiddenPattern != 0 {
		c.Pattern = c.HiddenPattern
	}
	return s, c.attendBy(s, c.slides(everyNth(int(c.Pattern))), func(kind string) (*rope, error) {
		if kind == slidingAttention && !c.byType() {
			local := ropeConfig{Theta: c.LocalBase, MaxPositions: c.MaxPositions, Traditional: c.Traditional}
			return local.newRope(s.headDim, kind)
		}
		return c.newRope(s.headDim, kind)
	})
}
