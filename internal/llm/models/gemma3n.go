package models

import (
	"fmt"
	"math"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/nn"
)

// Gemma 3n's text part. References: transformers modeling_gemma3n.py,
// mlx_lm/models/gemma3n.py, which also bounds the coefficients of predictions, and
// normalizes streams without an epsilon.

// gemma3nConfig is gemmaConfig with streams (AltUp), an embedding for each layer, and last
// layers that attend to the keys of earlier ones.
type gemma3nConfig struct {
	gemmaConfig
	Width         widths    `json:"intermediate_size"` // one, or one for each layer
	Sparsity      []float64 `json:"activation_sparsity_pattern"`
	Shared        integer   `json:"num_kv_shared_layers"`
	LayerVocab    integer   `json:"vocab_size_per_layer_input"`
	LayerSize     integer   `json:"hidden_size_per_layer_input"`
	Streams       integer   `json:"altup_num_inputs"`
	Active        integer   `json:"altup_active_idx"`
	ScaleCorrects *bool     `json:"altup_correct_scale"`
	Bound         nullable  `json:"altup_coef_clip"`
	Rank          integer   `json:"laurel_rank"`
}

// gemma3n is the model of a gemma3nConfig.
type gemma3n struct {
	Embed  nn.Embedder `mlx:"model.embed_tokens"`
	Inputs *layerInputs
	Spread []nn.Layer  `mlx:"model.altup_projections"`
	Gather []nn.Layer  `mlx:"model.altup_unembed_projections"`
	Blocks []*altBlock `mlx:"model.layers"`
	Norm   nn.Layer    `mlx:"model.norm"`

	spec  *spec
	dtype mlx.DType
}

// FieldName leaves out the name of what is in this struct for convenience only.
func (m *gemma3n) FieldName(field string) (name string, ok bool) { return "", field == "Inputs" }

// FieldName is that of gemma3n.
func (b *altBlock) FieldName(field string) (name string, ok bool) { return "", field == "Input" }

// altBlock is a layer of several streams, of which one passes attention and MLP.
type altBlock struct {
	InputNorm     nn.Layer   `mlx:"input_layernorm"`
	Attention     *attention `mlx:"self_attn"`
	AttentionNorm nn.Layer   `mlx:"post_attention_layernorm"`
	PreNorm       nn.Layer   `mlx:"pre_feedforward_layernorm"`
	MLP           *mlp       `mlx:"mlp"`
	MLPNorm       nn.Layer   `mlx:"post_feedforward_layernorm"`
	AltUp         *altUp     `mlx:"altup"`
	Laurel        *laurel    `mlx:"laurel"`
	Input         *inputGate
}

// altUp predicts the streams and corrects them by what the active one became.
type altUp struct {
	Scale      *mlx.Array `mlx:"correct_output_scale"` // [D]
	Correction nn.Layer   `mlx:"correction_coefs"`
	Prediction nn.Layer   `mlx:"prediction_coefs"`
	Router     nn.Layer   `mlx:"modality_router"`
	RouterNorm nn.Layer   `mlx:"router_norm"`

	active int
	scales bool
	size   float64
	bound  float64 // > 0: of the weights of Correction
}

// laurel is a residual of low rank.
type laurel struct {
	Left  nn.Layer `mlx:"linear_left"`
	Right nn.Layer `mlx:"linear_right"`
	Norm  nn.Layer `mlx:"post_laurel_norm"`
}

func newGemma3n(c gemma3nConfig) (*gemma3n, error) {
	s, err := c.describe()
	if err != nil {
		return nil, err
	}
	plain := func(in, out int) nn.Layer { return nn.NewLinear(in, out, nn.Bias(false)) }
	n := int(c.Streams)
	m := &gemma3n{Embed: nn.NewEmbedding(s.vocab, s.hidden), Inputs: newLayerInputs(s), Norm: s.newNorm(s.hidden), spec: s, dtype: mlx.Float32}
	for range n - 1 {
		m.Spread, m.Gather = append(m.Spread, plain(s.hidden, s.hidden)), append(m.Gather, plain(s.hidden, s.hidden))
	}
	for i := range s.layers {
		m.Blocks = append(m.Blocks, &altBlock{
			InputNorm: s.newNorm(s.hidden), Attention: newAttention(s, i), AttentionNorm: s.newNorm(s.hidden),
			PreNorm: s.newNorm(s.hidden), MLP: newMLP(s, i), MLPNorm: s.newNorm(s.hidden),
			AltUp: &altUp{
				Scale: mlx.Zeros(mlx.Shape{s.hidden}), Correction: plain(n, n), Prediction: plain(n, n*n), Router: plain(s.hidden, n),
				RouterNorm: s.newNorm(s.hidden), active: int(c.Active), scales: c.ScaleCorrects == nil || *c.ScaleCorrects, size: float64(s.hidden), bound: float64(c.Bound),
			},
			Laurel: &laurel{Left: plain(s.hidden, int(c.Rank)), Right: plain(int(c.Rank), s.hidden), Norm: s.newNorm(s.hidden)},
			Input:  newInputGate(s),
		})
	}
	return m, nil
}

// describe checks the configuration and makes the spec of its parts.
func (c *gemma3nConfig) describe() (*spec, error) {
	err := firstError(within("num_hidden_layers", c.Layers, 1, 1<<12), within("num_kv_shared_layers", c.Shared, 0, int(c.Layers)-1),
		within("vocab_size_per_layer_input", c.LayerVocab, 1, 1<<24), within("hidden_size_per_layer_input", c.LayerSize, 1, 1<<16),
		within("altup_num_inputs", c.Streams, 1, 64), within("altup_active_idx", c.Active, 0, int(c.Streams)-1), within("laurel_rank", c.Rank, 1, 1<<16))
	if err != nil {
		return nil, err
	}
	c.IntermediateSize = 1
	if c.Pattern == 0 {
		c.Pattern = 5
	}
	c.version = 3
	s, err := c.spec()
	if err != nil {
		return nil, err
	}
	s.tested, s.norm, s.scale, s.valueNorm = false, rmsNorm, 1, true
	s.layerSize, s.layerVocab = int(c.LayerSize), int(c.LayerVocab)
	for i := range s.layers {
		l := &s.layers[i]
		if err := s.setWidth(i, "intermediate_size", c.Width.of(i)); err != nil {
			return nil, err
		}
		if i < len(c.Sparsity) {
			l.sparsity = c.Sparsity[i]
		} else if c.Sparsity == nil && i < 10 && len(s.layers) > 10 {
			l.sparsity = 0.95
		}
		if l.sparsity < 0 || l.sparsity >= 1 {
			return nil, fmt.Errorf("config.json: activation_sparsity_pattern has %g", l.sparsity)
		}
	}
	if err := s.shareKeys(int(c.Shared)); err != nil {
		return nil, err
	}
	return s, nil
}

// Translate maps the names of the files to paths.
func (m *gemma3n) Translate(func(string) bool) func(string) (string, bool) { return m.spec.translate }

// FileName is a parameter's name in the files that mlx-lm writes.
func (m *gemma3n) FileName(path string) string { return m.spec.nameInFiles(path) }

// Sanitize drops the head, which is the embedding.
func (m *gemma3n) Sanitize(func(string) bool) (drop func(name string) bool) {
	return func(name string) bool {
		return strings.HasPrefix(name, "lm_head.") || strings.HasSuffix(name, "rotary_emb.inv_freq")
	}
}

// SetDType sets the computing type.
func (m *gemma3n) SetDType(d mlx.DType) { m.dtype = d }

// Layout has an entry for each layer with keys of its own.
func (m *gemma3n) Layout() []cache.Layout { return m.spec.layout() }

// Together is how many tokens have the rotation in one pass that they have one by one.
func (m *gemma3n) Together(pos, n int) int { return m.spec.together(pos, n) }

// Info is the model's dimensions.
func (m *gemma3n) Info() llm.Info { return m.spec.info() }

func (m *gemma3n) parts() *spec { return m.spec }

// Forward maps tokens int32 [B, L] to logits.
func (m *gemma3n) Forward(tokens, rows *mlx.Array, c []cache.KV) *mlx.Array {
	s := m.spec
	B, L := tokens.Dims2()
	x := embed(m.Embed, tokens, m.dtype).Mul(s.embedScale)
	inputs := m.Inputs.of(tokens, x, m.dtype)
	streams := []*mlx.Array{x}
	for _, l := range m.Spread {
		streams = append(streams, sized(l.Forward(x), x))
	}
	at := s.caches()
	for i, b := range m.Blocks {
		streams = b.forward(streams, inputs[i], c[at[i]], c[0].Last())
	}
	if rows != nil {
		for i, y := range streams {
			streams[i] = pickRows(y, rows, B, L)
		}
	}
	sum := streams[0]
	for i, l := range m.Gather {
		sum = sum.Add(sized(l.Forward(streams[i+1]), streams[0]))
	}
	x = m.Embed.AsLinear(m.Norm.Forward(sum.Mul(1 / float64(len(streams)))))
	if limit := s.finalCap; limit != 0 {
		x = mlx.Tanh(x.AsType(mlx.Float32).Mul(1 / limit)).Mul(limit)
	}
	return x
}

// sized is y with the root mean square of like.
func sized(y, like *mlx.Array) *mlx.Array {
	square := func(a *mlx.Array) *mlx.Array {
		return mlx.Mean(mlx.Square(a.AsType(mlx.Float32)), mlx.Axis(-1), mlx.KeepDims(true))
	}
	by := mlx.Sqrt(square(like)).Div(mlx.Sqrt(mlx.Maximum(square(y), 1e-5)))
	return y.AsType(mlx.Float32).Mul(by).AsType(like.DType())
}

func (b *altBlock) forward(streams []*mlx.Array, input *mlx.Array, kv cache.KV, last *mlx.Array) []*mlx.Array {
	predicted := b.AltUp.predict(streams)
	x := predicted[b.AltUp.active]
	h := b.InputNorm.Forward(x)
	low := h.Add(b.Laurel.Norm.Forward(b.Laurel.Right.Forward(b.Laurel.Left.Forward(h))))
	y := x.Add(b.AttentionNorm.Forward(b.Attention.forward(h, kv, last))).Add(low).Mul(math.Sqrt2 / 2)
	y = y.Add(b.MLPNorm.Forward(b.MLP.forward(b.PreNorm.Forward(y))))
	streams = b.AltUp.correct(predicted, y)
	first := streams[b.AltUp.active]
	if b.AltUp.scales {
		first = first.Mul(b.AltUp.Scale.AsType(first.DType()))
	}
	first = b.Input.forward(first, input)
	for i := 1; i < len(streams); i++ {
		streams[i] = streams[i].Add(first)
	}
	return streams
}

// modalities are float32 [B, L, streams].
func (a *altUp) modalities(x *mlx.Array) *mlx.Array {
	return mlx.Tanh(a.Router.Forward(a.RouterNorm.Forward(x).Mul(1 / a.size)).AsType(mlx.Float32))
}

// columns are the parts [B, L, 1] of x [B, L, n].
func columns(x *mlx.Array) mlx.Arrays {
	var at []int
	for i := 1; i < x.Dim(-1); i++ {
		at = append(at, i)
	}
	return mlx.Split(x, at, mlx.Axis(-1))
}

// predict adds to each stream a mix of all.
func (a *altUp) predict(streams []*mlx.Array) []*mlx.Array {
	n := len(streams)
	mix := columns(a.Prediction.Forward(a.modalities(streams[a.active])))
	out := make([]*mlx.Array, n)
	for j, x := range streams {
		sum := x.AsType(mlx.Float32)
		for i, y := range streams {
			sum = sum.Add(y.AsType(mlx.Float32).Mul(mix[j*n+i].AsType(mlx.Float32)))
		}
		out[j] = sum.AsType(x.DType())
	}
	return out
}

// correct moves each stream by the difference of the active one to its prediction.
func (a *altUp) correct(predicted []*mlx.Array, active *mlx.Array) []*mlx.Array {
	by := columns(a.corrections(a.modalities(active)))
	difference := active.Sub(predicted[a.active]).AsType(mlx.Float32)
	out := make([]*mlx.Array, len(predicted))
	for i, x := range predicted {
		out[i] = difference.Mul(by[i].AsType(mlx.Float32).Add(1)).Add(x.AsType(mlx.Float32)).AsType(x.DType())
	}
	return out
}

// corrections are how far each stream moves, less 1. The matrix of so few streams is
// never quantized in files; a quantized one is used as it is.
func (a *altUp) corrections(x *mlx.Array) *mlx.Array {
	l, ok := a.Correction.(*nn.Linear)
	if !ok || a.bound <= 0 {
		return a.Correction.Forward(x)
	}
	return mlx.MatMul(x, clip(l.Weight.AsType(mlx.Float32), a.bound).T())
}
