package models

// Llama 1-3, Mistral, Qwen2 and Qwen3: one decoder with switches. References:
// transformers modeling_{llama,mistral,qwen2,qwen3}.py, mlx_lm/models/{llama,qwen2,
// qwen3}.py. Sliding windows are transformers' (mlx-lm ignores mistral's and
// qwen2's).

import (
	"fmt"
	"math"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/nn"
)

type llamaConfig struct {
	ropeConfig
	ModelType        string   `json:"model_type"`
	VocabSize        integer  `json:"vocab_size"`
	HiddenSize       integer  `json:"hidden_size"`
	IntermediateSize integer  `json:"intermediate_size"`
	Layers           integer  `json:"num_hidden_layers"`
	Heads            integer  `json:"num_attention_heads"`
	KVHeads          integer  `json:"num_key_value_heads"`
	HeadDim          integer  `json:"head_dim"`
	NormEps          *float64 `json:"rms_norm_eps"`
	HiddenAct        string   `json:"hidden_act"`
	AttentionBias    bool     `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`
	QKVBias          bool     `json:"-"` // qwen2: whatever the config says
	TieEmbeddings    *bool    `json:"tie_word_embeddings"`
	SlidingWindow    optional `json:"sliding_window"`
	UseSliding       bool     `json:"use_sliding_window"`
	MaxWindowLayers  integer  `json:"max_window_layers"`
	LayerTypes       []string `json:"layer_types"`

	windowAlways bool // mistral: every layer slides when there is a window
	qkNorm       bool // qwen3: normalize each head's queries and keys
}

// check fills in derived values and refuses what cannot be.
func (c *llamaConfig) check() error {
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	err := firstError(
		within("vocab_size", c.VocabSize, 1, 1<<24),
		within("hidden_size", c.HiddenSize, 1, 1<<20),
		within("intermediate_size", c.IntermediateSize, 1, 1<<22),
		within("num_hidden_layers", c.Layers, 1, 1<<12),
		within("num_attention_heads", c.Heads, 1, 1<<16),
		within("num_key_value_heads", c.KVHeads, 1, int(c.Heads)),
		within("head_dim", c.HeadDim, 0, 1<<16),
		within("max_position_embeddings", c.MaxPositions, 0, 1<<30),
		within("sliding_window", integer(c.SlidingWindow), 0, 1<<30),
	)
	if err != nil {
		return err
	}
	if c.Heads%c.KVHeads != 0 {
		return fmt.Errorf("config.json: num_attention_heads %d is no multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	if c.HeadDim == 0 {
		if c.HiddenSize%c.Heads != 0 {
			return fmt.Errorf("config.json: hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim", c.HiddenSize, c.Heads)
		}
		c.HeadDim = c.HiddenSize / c.Heads
	}
	if c.NormEps == nil {
		eps := 1e-6
		c.NormEps = &eps
	}
	if c.HiddenAct != "" && c.HiddenAct != "silu" && c.HiddenAct != "swish" {
		return fmt.Errorf("config.json: hidden_act %q is not supported for %s, only silu", c.HiddenAct, c.ModelType)
	}
	if n := len(c.LayerTypes); n != 0 && n < int(c.Layers) {
		return fmt.Errorf("config.json: layer_types has %d entries for %d layers", n, c.Layers)
	}
	for _, kind := range c.LayerTypes {
		if kind != fullAttention && kind != slidingAttention {
			return fmt.Errorf("config.json: layer type %q is not supported for %s, only %s and %s", kind, c.ModelType, fullAttention, slidingAttention)
		}
	}
	return nil
}

// The entries of layer_types.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// layerType is the kind of attention of layer i, and window its width, 0 for all.
func (c *llamaConfig) layerType(i int) (kind string, window int) {
	kind = fullAttention
	switch {
	case c.SlidingWindow == 0:
	case c.windowAlways:
		kind = slidingAttention
	case c.ModelType == "qwen2" || c.ModelType == "qwen3":
		if c.UseSliding && (c.LayerTypes != nil && c.LayerTypes[i] == slidingAttention || c.LayerTypes == nil && i >= int(c.MaxWindowLayers)) {
			kind = slidingAttention
		}
	case c.LayerTypes != nil && c.LayerTypes[i] == slidingAttention:
		kind = slidingAttention
	}
	if kind == slidingAttention {
		return kind, int(c.SlidingWindow)
	}
	return kind, 0
}

type llamaAttention struct {
	QProj nn.Layer
	KProj nn.Layer
	VProj nn.Layer
	OProj nn.Layer
	QNorm nn.Layer // qwen3
	KNorm nn.Layer

	heads, kvHeads int
	scale          float64
	rope           *rope
}

func newLlamaAttention(c llamaConfig, r *rope) *llamaAttention {
	hidden, d := int(c.HiddenSize), int(c.HeadDim)
	bias, out := nn.Bias(c.AttentionBias || c.QKVBias), nn.Bias(c.AttentionBias && !c.QKVBias)
	a := &llamaAttention{
		QProj: nn.NewLinear(hidden, int(c.Heads)*d, bias),
		KProj: nn.NewLinear(hidden, int(c.KVHeads)*d, bias),
		VProj: nn.NewLinear(hidden, int(c.KVHeads)*d, bias),
		OProj: nn.NewLinear(int(c.Heads)*d, hidden, out),
		heads: int(c.Heads), kvHeads: int(c.KVHeads), scale: 1 / math.Sqrt(float64(d)), rope: r,
	}
	if c.qkNorm {
		a.QNorm, a.KNorm = nn.NewRMSNorm(d, nn.Eps(*c.NormEps)), nn.NewRMSNorm(d, nn.Eps(*c.NormEps))
	}
	return a
}

func (a *llamaAttention) forward(x *mlx.Array, kv cache.KV, last *mlx.Array) *mlx.Array {
	B, L, _ := x.Dims3()
	q := a.QProj.Forward(x).Reshape(B, L, a.heads, -1)
	k := a.KProj.Forward(x).Reshape(B, L, a.kvHeads, -1)
	v := a.VProj.Forward(x).Reshape(B, L, a.kvHeads, -1).Transpose(0, 2, 1, 3)
	if a.QNorm != nil {
		q, k = a.QNorm.Forward(q), a.KNorm.Forward(k)
	}
	r := a.rope.at(last)
	q = r.apply(q.Transpose(0, 2, 1, 3), kv.Pos())
	k = r.apply(k.Transpose(0, 2, 1, 3), kv.Pos())
	y := kv.Attend(q, k, v, a.scale)
	return a.OProj.Forward(y.Transpose(0, 2, 1, 3).Reshape(B, L, -1))
}

type llamaMLP struct {
	GateProj nn.Layer
	UpProj   nn.Layer
	DownProj nn.Layer
}

func newLlamaMLP(c llamaConfig) *llamaMLP {
	hidden, inner, bias := int(c.HiddenSize), int(c.IntermediateSize), nn.Bias(c.MLPBias)
	return &llamaMLP{
		GateProj: nn.NewLinear(hidden, inner, bias),
		UpProj:   nn.NewLinear(hidden, inner, bias),
		DownProj: nn.NewLinear(inner, hidden, bias),
	}
}

func (m *llamaMLP) forward(x *mlx.Array) *mlx.Array {
	return m.DownProj.Forward(nn.SwiGLU(m.GateProj.Forward(x), m.UpProj.Forward(x)))
}

type llamaBlock struct {
	InputLayernorm         *nn.RMSNorm
	SelfAttn               *llamaAttention
	PostAttentionLayernorm *nn.RMSNorm
	MLP                    *llamaMLP `mlx:"mlp"`
}

func (b *llamaBlock) forward(x *mlx.Array, kv cache.KV, last *mlx.Array) *mlx.Array {
	x = x.Add(b.SelfAttn.forward(b.InputLayernorm.Forward(x), kv, last))
	return x.Add(b.MLP.forward(b.PostAttentionLayernorm.Forward(x)))
}

type llama struct {
	Embed  nn.Embedder   `mlx:"model.embed_tokens"`
	Blocks []*llamaBlock `mlx:"model.layers"`
	Norm   *nn.RMSNorm   `mlx:"model.norm"`
	Head   nn.Layer      `mlx:"lm_head"` // nil when tied to Embed

	config llamaConfig
	dtype  mlx.DType
}

func newLlama(c llamaConfig) (*llama, error) {
	if err := c.check(); err != nil {
		return nil, err
	}
	hidden, eps := int(c.HiddenSize), nn.Eps(*c.NormEps)
	m := &llama{
		Embed:  nn.NewEmbedding(int(c.VocabSize), hidden),
		Norm:   nn.NewRMSNorm(hidden, eps),
		Head:   nn.NewLinear(hidden, int(c.VocabSize), nn.Bias(false)),
		config: c,
		dtype:  mlx.Float32,
	}
	ropes := map[string]*rope{} // shared by layers of one kind
	for i := range int(c.Layers) {
		kind, _ := c.layerType(i)
		if ropes[kind] == nil {
			r, err := c.newRope(int(c.HeadDim), kind)
			if err != nil {
				return nil, err
			}
			ropes[kind] = r
		}
		m.Blocks = append(m.Blocks, &llamaBlock{
			InputLayernorm: nn.NewRMSNorm(hidden, eps), PostAttentionLayernorm: nn.NewRMSNorm(hidden, eps),
			SelfAttn: newLlamaAttention(c, ropes[kind]), MLP: newLlamaMLP(c),
		})
	}
	return m, nil
}

// Sanitize drops buffers that old checkpoints carry, and settles whether the head
// is tied: the flag decides; without it, the presence of a head does.
func (m *llama) Sanitize(has func(name string) bool) (drop func(name string) bool) {
	tied := !has("lm_head.weight")
	if m.config.TieEmbeddings != nil {
		tied = *m.config.TieEmbeddings
	}
	if tied {
		m.Head = nil
	}
	return func(name string) bool {
		return strings.HasSuffix(name, "rotary_emb.inv_freq") || tied && strings.HasPrefix(name, "lm_head.")
	}
}

// SetDType sets the computing type.
func (m *llama) SetDType(d mlx.DType) { m.dtype = d }

// Forward maps tokens int32 [B, L] to logits.
func (m *llama) Forward(tokens, rows *mlx.Array, c []cache.KV) *mlx.Array {
	B, L := tokens.Dims2()
	x := embed(m.Embed, tokens, m.dtype)
	last := c[0].Last()
	for i, b := range m.Blocks {
		x = b.forward(x, c[i], last)
	}
	if rows != nil {
		x = pickRows(x, rows, B, L)
	}
	x = m.Norm.Forward(x)
	if m.Head == nil {
		return m.Embed.AsLinear(x)
	}
	return m.Head.Forward(x)
}

// Layout has the same heads in every layer.
func (m *llama) Layout() []cache.Layout {
	out := make([]cache.Layout, len(m.Blocks))
	for i := range out {
		_, window := m.config.layerType(i)
		d := int(m.config.HeadDim)
		out[i] = cache.Layout{Heads: int(m.config.KVHeads), KeyDim: d, ValueDim: d, Window: window}
	}
	return out
}

// Info is the model's dimensions.
func (m *llama) Info() llm.Info {
	c := m.config
	return llm.Info{ModelType: c.ModelType, VocabSize: int(c.VocabSize), MaxContext: int(c.MaxPositions), Tested: true}
}
