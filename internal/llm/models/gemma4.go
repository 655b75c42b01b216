package models

import (
	"errors"
	"fmt"
	"strconv"
)

// gemma4Config: Gemma 4 without experts. Full layers have larger heads, and may have
// no matrix of values; a layer's embedding and a number end it. References: transformers
// modeling_gemma4.py, mlx_lm/models/gemma4_text.py.
type gemma4Config struct {
	baseConfig
	Activation    string              `json:"hidden_activation"`
	FinalCap      nullable            `json:"final_logit_softcapping"`
	GlobalDim     optional            `json:"global_head_dim"`
	GlobalKV      integer             `json:"num_global_key_value_heads"`
	KeysAreValues bool                `json:"attention_k_eq_v"`
	Shared        integer             `json:"num_kv_shared_layers"`
	DoubleWide    bool                `json:"use_double_wide_mlp"`
	LayerVocab    integer             `json:"vocab_size_per_layer_input"`
	LayerSize     optional            `json:"hidden_size_per_layer_input"`
	Experts       bool                `json:"enable_moe_block"`
	Bidirectional string              `json:"use_bidirectional_attention"`
	ByLayer       map[string]ownHeads `json:"per_layer_config"`
}

// ownHeads is an entry of per_layer_config.
type ownHeads struct {
	HeadDim integer `json:"head_dim"`
	KVHeads integer `json:"num_key_value_heads"`
}

func (c *gemma4Config) spec() (*spec, error) {
	switch {
	case c.Experts:
		return nil, errors.New("config.json: enable_moe_block: layers of experts are not supported")
	case c.Bidirectional == "all":
		return nil, errors.New("config.json: use_bidirectional_attention is not supported: this is no decoder")
	}
	c.HiddenAct = c.Activation
	err := firstError(within("num_kv_shared_layers", c.Shared, 0, max(int(c.Layers)-1, 0)), within("global_head_dim", integer(c.GlobalDim), 0, 1<<16),
		within("hidden_size_per_layer_input", integer(c.LayerSize), 0, 1<<16), within("vocab_size_per_layer_input", c.LayerVocab, 1, 1<<24))
	if err != nil {
		return nil, err
	}
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.embedScale, s.scale, s.finalCap, s.qkNorm, s.valueNorm = sqrt(s.hidden), 1, float64(c.FinalCap), headsAlike, true
	s.mlpBias, s.layerSize, s.layerVocab, s.layerScalars = false, int(c.LayerSize), int(c.LayerVocab), true
	s.norms, s.names = sandwichNorms, llamaNames.with(names{
		"AttentionNorm": "post_attention_layernorm", "PreNorm": "pre_feedforward_layernorm", "MLPNorm": "post_feedforward_layernorm"})
	last := int(c.Layers) - 1
	kinds := c.slides(everyNth(6))
	slides := func(i int) bool { return i != last && kinds(i) }
	for i := range s.layers {
		if err := c.heads(s, i, slides(i)); err != nil {
			return nil, err
		}
		if c.DoubleWide && i >= len(s.layers)-int(c.Shared) {
			s.layers[i].inner = 2 * s.inner
		}
	}
	ropes := map[string]ropeParameters{
		slidingAttention: {Type: "default", Theta: 1e4}, fullAttention: {Type: "proportional", Theta: 1e6, PartialFactor: 0.25},
	}
	err = c.attendBy(s, slides, func(kind string) (*rope, error) {
		own := c.ropeConfig
		own.otherwise = ropes[kind]
		dim := s.headDim
		for i, l := range s.layers { // layers of a type have heads of one size
			if slides(i) == (kind == slidingAttention) && l.headDim != 0 {
				dim = l.headDim
			}
		}
		return own.newRope(dim, kind)
	})
	if err != nil {
		return nil, err
	}
	return s, s.shareKeys(int(c.Shared))
}

// heads sets those of layer i.
func (c *gemma4Config) heads(s *spec, i int, slides bool) error {
	l := &s.layers[i]
	if own, ok := c.ByLayer[strconv.Itoa(i)]; ok {
		l.headDim, l.kvHeads = int(own.HeadDim), int(own.KVHeads)
	} else if !slides && c.ByLayer == nil {
		l.headDim = int(c.GlobalDim)
		if c.KeysAreValues {
			l.kvHeads = int(c.GlobalKV)
		}
	}
	l.keysAreValues = c.KeysAreValues && !slides
	if err := firstError(within("head_dim", integer(l.headDim), 0, 1<<16), within("num_key_value_heads", integer(l.kvHeads), 0, s.heads)); err != nil {
		return err
	}
	if l.kvHeads > 0 && s.heads%l.kvHeads != 0 {
		return fmt.Errorf("config.json: layer %d has %d query heads, which is no multiple of %d key heads", i, s.heads, l.kvHeads)
	}
	return nil
}
