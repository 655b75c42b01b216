package models

import (
	"math"
	"strings"
)

// Families that few models belong to. References: mlx_lm/models/{lille-130m,nanochat,
// plamo}.py.

// lilleConfig: Llama with one projection for q, k and v, and neighbours that rotate.
type lilleConfig struct {
	baseConfig
	Embd    integer  `json:"n_embd"`
	NLayer  integer  `json:"n_layer"`
	NHead   integer  `json:"n_head"`
	NKV     integer  `json:"n_kv_heads"`
	Block   integer  `json:"block_size"`
	Epsilon *float64 `json:"layer_norm_eps"`
}

func (c *lilleConfig) spec() (*spec, error) {
	err := firstError(within("n_embd", c.Embd, 1, 1<<20), within("n_layer", c.NLayer, 1, 1<<12), within("n_head", c.NHead, 1, 1<<16),
		within("n_kv_heads", c.NKV, 1, int(c.NHead)))
	if err != nil {
		return nil, err
	}
	c.HiddenSize, c.Layers, c.Heads, c.KVHeads, c.HeadDim, c.MaxPositions = c.Embd, c.NLayer, c.NHead, c.NKV, 0, c.Block
	c.IntermediateSize = 256 * integer(math.RoundToEven(math.Floor(8*float64(c.Embd)/3)/256))
	c.Traditional, c.TieEmbeddings = true, ptr(true)
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.qkv = inOrder
	s.names = llamaNames.with(names{"Embed": "transformer.tok_embeddings", "Blocks": "transformer.layers", "Norm": "transformer.norm",
		"InputNorm": "attention.norm", "Attention": "attention", "Out": "out_proj", "PreNorm": "feed_forward.norm", "MLP": "feed_forward"})
	s.translate = func(name string) (string, bool) {
		if strings.Contains(name, "rotary_emb") {
			return "", false
		}
		return name, false
	}
	return s, c.attend(s, never)
}

// nanoConfig: nanochat, whose norms have no parameters and whose rotation runs the other
// way.
type nanoConfig struct{ baseConfig }

func (c *nanoConfig) spec() (*spec, error) {
	c.NormEps, c.HiddenAct = ptr(1e-5), "relu2"
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.norm, s.embedNorm, s.qkNorm, s.normAfterRope = rmsNormBare, true, headsAlike, true
	s.mlp, s.finalCap = plainMLP, 15
	s.qkvBias, s.outBias, s.mlpBias = false, false, false
	s.names = llamaNames.with(names{"Embed": "transformer.wte", "Blocks": "transformer.h", "Attention": "attn",
		"Q": "c_q", "K": "c_k", "V": "c_v", "Out": "c_proj", "Up": "c_fc", "Down": "c_proj"})
	return s, c.attendBy(s, never, func(kind string) (*rope, error) {
		r, err := c.newRope(s.headDim, kind)
		if err != nil {
			return nil, err
		}
		if r.Freqs == nil {
			r.Freqs, r.Base = periods(plain(r.Base, r.Dims)), 0
		}
		r.Freqs = r.Freqs.Neg()
		return r, nil
	})
}

// plamoConfig: PLaMo, with one norm before attention and MLP side by side, and key heads
// that queries take in turn.
type plamoConfig struct {
	baseConfig
	Shared integer `json:"n_shared_head"`
}

func (c *plamoConfig) spec() (*spec, error) {
	if err := within("n_shared_head", c.Shared, 1, 1<<16); err != nil {
		return nil, err
	}
	c.KVHeads = (c.Heads + c.Shared - 1) / c.Shared
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	s.parallel, s.norms, s.headsInTurn = true, oneNorm, true
	s.qkvBias, s.outBias, s.mlpBias = false, false, false
	s.names = llamaNames.with(names{"Blocks": "model.layers.layers", "InputNorm": "norm"})
	return s, c.attend(s, never)
}
