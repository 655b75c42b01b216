package models

import (
	"errors"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm/cache"
)

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
	if err := c.attend(s, c.slides(always)); err != nil {
		return nil, err
	}
	if r := s.layers[0].rope; r.long != nil {
		s.recompute = r.original // as transformers, for this family alone
	}
	return s, nil
}

// phi3SmallConfig: LayerNorm, an MLP of its own, and layers whose heads see the last
// blocks and some of those before. References: the repository's modeling_phi3_small.py,
// mlx_lm/models/phi3small.py.
type phi3SmallConfig struct {
	baseConfig
	Every     integer    `json:"dense_attention_every_n_layers"`
	Inner     integer    `json:"ff_intermediate_size"`
	Limit     float64    `json:"gegelu_limit"`
	Epsilon   *float64   `json:"layer_norm_epsilon"`
	Attention float64    `json:"mup_attn_multiplier"`
	Scaling   bool       `json:"mup_use_scaling"`
	Embedding nullable   `json:"mup_embedding_multiplier"`
	Width     nullable   `json:"mup_width_multiplier"`
	RopeBase  float64    `json:"rope_embedding_base"`
	RopeScale float64    `json:"rope_position_scale"`
	BlockSize integer    `json:"blocksparse_block_size"`
	Local     integer    `json:"blocksparse_num_local_blocks"`
	Stride    integer    `json:"blocksparse_vert_stride"`
	Dummies   *[]integer `json:"dummy_token_indices"`
	HomoHeads bool       `json:"blocksparse_homo_head_pattern"`
}

func (c *phi3SmallConfig) spec() (*spec, error) {
	c.IntermediateSize, c.HeadDim, c.HiddenAct, c.Theta = c.Inner, 0, "", c.RopeBase
	c.TieEmbeddings = ptr(true)
	if c.ropeConfig.Scaling != nil || c.HomoHeads {
		return nil, errors.New("config.json: rope_scaling and blocksparse_homo_head_pattern are not supported for phi3small")
	}
	err := firstError(within("dense_attention_every_n_layers", c.Every, 1, 1<<12), within("blocksparse_block_size", c.BlockSize, 1, 1<<16),
		within("blocksparse_num_local_blocks", c.Local, 1, 1<<20), within("blocksparse_vert_stride", c.Stride, 1, 1<<20))
	if err != nil {
		return nil, err
	}
	c.epsilon(1e-5, c.Epsilon)
	s, err := c.base()
	if err != nil {
		return nil, err
	}
	if !(c.Attention > 0 && c.RopeScale > 0 && c.Limit > 0) {
		return nil, errors.New("config.json: mup_attn_multiplier, rope_position_scale or gegelu_limit is not positive")
	}
	s.norm, s.mlp, s.mlpLimit, s.qkv = layerNorm, gegeluMLP, c.Limit, byKeyHead
	s.qkvBias, s.outBias, s.mlpBias = true, true, true
	s.embedScale = float64(c.Embedding)
	if c.Width != 0 {
		s.logitScale = 1 / float64(c.Width)
	}
	if c.Scaling {
		s.scale = c.Attention / float64(s.headDim)
	}
	s.ban = c.banned()
	s.names = llamaNames.with(names{"Norm": "model.final_layernorm", "QKV": "query_key_value", "Out": "dense", "GateUp": "up_proj"})
	if err := c.attend(s, never); err != nil {
		return nil, err
	}
	for i := range s.layers {
		s.layers[i].rope.Scale = c.RopeScale
		if i%int(c.Every) == 0 {
			s.layers[i].sparse = &cache.Sparse{Block: int(c.BlockSize), Local: int(c.Local), Stride: int(c.Stride), Heads: s.heads}
		}
	}
	return s, nil
}

// banned are the tokens of the vocabulary that stand for nothing; nil for none.
func (c *phi3SmallConfig) banned() *mlx.Array {
	ids := []integer{100256, 100258, 100259, 100260, 100264, 100265}
	for id := integer(100267); id < 100352; id++ {
		ids = append(ids, id)
	}
	if c.Dummies != nil {
		ids = *c.Dummies
	}
	ban := make([]bool, c.VocabSize)
	for _, id := range ids {
		if id >= 0 && id < c.VocabSize {
			ban[id] = true
		}
	}
	if !slices.Contains(ban, true) {
		return nil
	}
	return mlx.FromSlice(ban)
}
