package models

import "fmt"

// baseConfig is what configurations of most families share. A family embeds it, sets
// defaults in its registry line and changes the spec that it makes.
type baseConfig struct {
	ropeConfig
	ModelType        string   `json:"model_type"`
	VocabSize        integer  `json:"vocab_size"`
	HiddenSize       integer  `json:"hidden_size"`
	IntermediateSize integer  `json:"intermediate_size"`
	Layers           integer  `json:"num_hidden_layers"`
	Heads            integer  `json:"num_attention_heads"`
	KVHeads          integer  `json:"num_key_value_heads"`
	HeadDim          optional `json:"head_dim"`
	NormEps          *float64 `json:"rms_norm_eps"`
	HiddenAct        string   `json:"hidden_act"`
	AttentionBias    bool     `json:"attention_bias"`
	MLPBias          bool     `json:"mlp_bias"`
	TieEmbeddings    *bool    `json:"tie_word_embeddings"`
	SlidingWindow    optional `json:"sliding_window"`
	LayerTypes       []string `json:"layer_types"`

	Quantization *ternaryConfig `json:"quantization_config"`

	eps float64 // without rms_norm_eps; no pointer, through which json would write into the registry
}

// The entries of layer_types.
const (
	fullAttention    = "full_attention"
	slidingAttention = "sliding_attention"
)

// base is a decoder like Llama's with full attention everywhere. It fills in derived
// values and refuses what cannot be.
func (c *baseConfig) base() (*spec, error) {
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
		within("head_dim", integer(c.HeadDim), 0, 1<<16),
		within("max_position_embeddings", c.MaxPositions, 0, 1<<30),
		within("sliding_window", integer(c.SlidingWindow), 0, 1<<30),
	)
	if err != nil {
		return nil, err
	}
	if c.Heads%c.KVHeads != 0 {
		return nil, fmt.Errorf("config.json: num_attention_heads %d is no multiple of num_key_value_heads %d", c.Heads, c.KVHeads)
	}
	if c.HeadDim == 0 {
		if c.HiddenSize%c.Heads != 0 {
			return nil, fmt.Errorf("config.json: hidden_size %d is no multiple of num_attention_heads %d, and there is no head_dim", c.HiddenSize, c.Heads)
		}
		c.HeadDim = optional(c.HiddenSize / c.Heads)
	}
	setDefault(&c.eps, 1e-6)
	if c.NormEps == nil {
		c.NormEps = &c.eps
	}
	if err := c.checkLayerTypes(); err != nil {
		return nil, err
	}
	act, err := activationOf("hidden_act", c.HiddenAct, actSiLU)
	if err != nil {
		return nil, err
	}
	s := &spec{
		modelType: c.ModelType, vocab: int(c.VocabSize), hidden: int(c.HiddenSize), inner: int(c.IntermediateSize),
		heads: int(c.Heads), kvHeads: int(c.KVHeads), headDim: int(c.HeadDim), context: c.context(),
		eps: *c.NormEps, norms: preNorms, act: act,
		qkvBias: c.AttentionBias, outBias: c.AttentionBias, mlpBias: c.MLPBias,
		tieFlag: c.TieEmbeddings, names: llamaNames, layers: make([]layerSpec, c.Layers),
	}
	if s.ternary, err = c.Quantization.ternary(); err != nil {
		return nil, err
	}
	return s, s.checkTernary()
}

func (c *baseConfig) checkLayerTypes() error {
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

// slides says which layers slide: by layer_types, or by a pattern of the family where
// there are none.
func (c *baseConfig) slides(pattern func(i int) bool) func(i int) bool {
	if len(c.LayerTypes) > 0 {
		return func(i int) bool { return c.LayerTypes[i] == slidingAttention }
	}
	return pattern
}

// everyNth is the pattern where layers n-1, 2n-1, ... are full and the others slide;
// without n all are full.
func everyNth(n int) func(i int) bool {
	return func(i int) bool { return n > 0 && (i+1)%n != 0 }
}

func never(int) bool  { return false }
func always(int) bool { return true }

// attend sets the layers: those that slide have the window, if there is one, and all
// rotate by the parameters of their type.
func (c *baseConfig) attend(s *spec, slides func(i int) bool) error {
	return c.attendBy(s, slides, func(kind string) (*rope, error) { return c.newRope(s.headDim, kind) })
}

// attendBy is attend with the rotation of a layer type, nil for none.
func (c *baseConfig) attendBy(s *spec, slides func(i int) bool, ropeOf func(kind string) (*rope, error)) error {
	ropes := map[string]*rope{} // shared by layers of one type
	for i := range s.layers {
		kind := fullAttention
		if c.SlidingWindow > 0 && slides(i) {
			kind = slidingAttention
			s.layers[i].window = int(c.SlidingWindow)
		}
		r, ok := ropes[kind]
		if !ok {
			var err error
			if r, err = ropeOf(kind); err != nil {
				return err
			}
			ropes[kind] = r
		}
		s.layers[i].rope = r
	}
	return nil
}

// setDefault sets *v where it is zero.
func setDefault[T comparable](v *T, otherwise T) {
	var zero T
	if *v == zero {
		*v = otherwise
	}
}

// ptr is a pointer to v.
func ptr[T any](v T) *T { return &v }

// epsilon sets what norms add to the variance: the first of others that is given, which
// are other names of the key, else rms_norm_eps, else the default.
func (c *baseConfig) epsilon(otherwise float64, others ...*float64) {
	for _, v := range others {
		if v != nil {
			c.NormEps = v
			return
		}
	}
	if c.NormEps == nil {
		c.NormEps = &otherwise
	}
}
