package models

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/cache"
	"github.com/mlxgo/mlx/nn"
)

// A spec says what a dense decoder is: sizes, and what its family does differently
// from Llama, whose zero values are. A family's file makes one from config.json; the
// parts are in part_*.go.
type spec struct {
	modelType                        string
	vocab, hidden, inner             int
	heads, kvHeads, headDim          int
	recompute                        int // see llm.Info
	context                          int // positions the model was made for
	positions                        int // > 0: that many learned positions instead of a rotation
	layers                           []layerSpec
	norm                             normKind
	eps                              float64
	norms                            blockNorms
	clipHalf                         bool // residuals of float16 stay finite
	embedNorm                        bool // embeddings are normalized
	headsInTurn                      bool // query head i uses key head i % kvHeads
	parallel                         bool // attention and MLP read the same residual
	qkvBias, outBias, mlpBias        bool
	headBias                         bool
	qkv                              fusion
	qkNorm                           headNorm
	headEps                          float64 // of norms of heads; 0: eps
	split                            int     // > 0: the blocks from there on are another list
	layerSize, layerVocab            int     // > 0: size of embeddings for each layer, and their number
	layerScalars                     bool    // what a layer gives is multiplied by a number
	loopWindow                       int     // > 0: the blocks run twice, see loopGate
	normAfterRope                    bool    // q and k are normalized after the rotation
	clipQKV                          float64 // > 0: bounds queries, keys and values
	scale                            float64 // of scores; 0 stands for 1/sqrt(headDim)
	scaleByLayer                     bool    // of layer i divided by i+1
	softCap                          float64 // > 0: of scores
	queryScale                       *queryScale
	subNorms                         bool     // norms before the last matrix of attention and MLP
	ternary                          *ternary // how matrices of blocks are ternary, nil if they are not
	valueNorm                        bool     // values are normalized by head, without parameters
	steppedKV                        bool     // keys and values are rounded to 8 bits of a step
	mlp                              mlpKind
	mlpLimit                         float64 // of gegeluMLP
	act                              activation
	fixedXIELU                       bool    // its constants are not in the files
	embedScale, logitScale, finalCap float64 // 0: none
	residualScale                    float64 // of what a part adds; 0 stands for 1
	tie                              tieRule
	tieFlag                          *bool // tie_word_embeddings
	names                            names
	ban                              *mlx.Array // bool [vocab]: tokens that are never chosen; nil: none
	tested                           bool       // against recorded references

	// translate is a checkpoint's name as a parameter's path, "" to drop it, and
	// whether its matrix must be transposed; nil: names are paths.
	translate func(name string) (path string, transpose bool)
	// fileName is a parameter's name in the files that mlx-lm writes; nil: its path.
	fileName func(path string) string
	// shape is that of the tensor of a path, nil without one.
	shape func(path string) []int
	// settle adapts the spec to the tensors that there are.
	// Native: they have the paths as names.
	settle func(s *spec, native bool, has func(path string) bool)
}

// layerSpec is what differs by layer.
type layerSpec struct {
	window                int   // a query sees itself and the window-1 keys before; 0: all
	rope                  *rope // nil: none
	heads, kvHeads, inner int   // 0: the spec's
	headDim               int   // likewise
	keysAreValues         bool  // before norm and rotation
	attention, mlp        part
	headNorm              headNorm    // where the spec has headsByLayer
	queryScale            *queryScale // nil: the spec's
	sparse                *cache.Sparse
	sparsity              float64 // > 0: this share of the gate is cut, as if it were normal
	source                int     // n > 0: no keys of its own, it attends to those of layer n-1
}

// part is what stands where a layer has its attention or its MLP.
type part uint8

const (
	whole  part = iota
	linear      // a square matrix
	none        // nothing, and no norm before it
)

// tieRule says when the embedding is the head.
type tieRule uint8

const (
	tieFlagElseAbsence  tieRule = iota // the flag; without it, the absence of a head
	tieUnlessThereIsOne                // also against the flag, where there is no head: mlx-lm has none
)

// names are what a family calls the fields of decoder, block, attention and mlp.
type names map[string]string

// llamaNames are those of Llama and most others.
var llamaNames = names{
	"Embed": "model.embed_tokens", "Positions": "model.embed_positions", "Blocks": "model.layers", "Norm": "model.norm", "Head": "lm_head",
	"InputNorm": "input_layernorm", "Attention": "self_attn", "PreNorm": "post_attention_layernorm", "MLP": "mlp",
	"AttentionNorm": "post_attention_norm", "MLPNorm": "post_mlp_norm",
	"Q": "q_proj", "K": "k_proj", "V": "v_proj", "QKV": "qkv_proj", "Out": "o_proj", "QNorm": "q_norm", "KNorm": "k_norm",
	"OutNorm": "attn_sub_norm", "DownNorm": "ffn_sub_norm", "Linear": "linear", "Inputs": "", "Input": "", "Scalar": "layer_scalar", "KStep": "quant_key_scale", "VStep": "quant_value_scale",
	"Gate": "gate_proj", "Up": "up_proj", "GateUp": "gate_up_proj", "Down": "down_proj", "Act": "act_fn",
}

// with is n with other names for some fields.
func (n names) with(change names) names {
	out := names{}
	for _, m := range []names{n, change} {
		for field, name := range m {
			out[field] = name
		}
	}
	return out
}

// named gives a struct's fields the family's names.
type named struct{ names names }

// FieldName is the family's name of a field.
func (n *named) FieldName(field string) (name string, ok bool) {
	name, ok = n.names[field]
	return name, ok
}

// block is a layer. A norm that the family lacks is nil.
type block struct {
	named
	InputNorm     nn.Layer // before attention
	Attention     *attention
	AttentionNorm nn.Layer // of what attention gives
	PreNorm       nn.Layer // before the MLP
	MLP           *mlp
	MLPNorm       nn.Layer // of what the MLP gives
	Input         *inputGate
	Scalar        *mlx.Array // [1]; nil: none

	parallel bool
	clipHalf bool
	residual float64
}

func newBlock(s *spec, layer int) *block {
	l := s.layers[layer]
	when := func(has bool, p part) nn.Layer {
		if !has || p == none {
			return nil
		}
		return s.newNorm(s.hidden)
	}
	b := &block{
		named: named{s.names}, parallel: s.parallel, clipHalf: s.clipHalf, residual: s.residualScale,
		InputNorm: when(s.norms.input, l.attention), Attention: newAttention(s, layer), AttentionNorm: when(s.norms.attention, l.attention),
		PreNorm: when(s.norms.pre, l.mlp), MLP: newMLP(s, layer), MLPNorm: when(s.norms.mlp, l.mlp),
	}
	if s.layerSize > 0 {
		b.Input = newInputGate(s)
	}
	if s.layerScalars {
		b.Scalar = mlx.Ones(mlx.Shape{1})
	}
	return b
}

// forward is the layer of x [B, L, D]. Kv is nil where there is nothing to attend to.
func (b *block) forward(x *mlx.Array, kv cache.KV, last *mlx.Array) *mlx.Array {
	if b.Attention == nil {
		return b.feed(x)
	}
	h := through(b.InputNorm, x)
	y := through(b.AttentionNorm, b.Attention.forward(h, kv, last))
	if b.parallel {
		if b.PreNorm != nil {
			h = b.PreNorm.Forward(x)
		}
		return b.add(x, y.Add(through(b.MLPNorm, b.MLP.forward(h))))
	}
	return b.feed(b.add(x, y))
}

// finish adds what the layer's own embedding lets through, and scales.
func (b *block) finish(x, input *mlx.Array) *mlx.Array {
	if b.Input != nil {
		x = x.Add(b.Input.forward(x, input))
	}
	if b.Scalar != nil {
		x = x.Mul(b.Scalar.AsType(x.DType()))
	}
	return x
}

// feed adds what the MLP gives.
func (b *block) feed(x *mlx.Array) *mlx.Array {
	if b.MLP == nil {
		return x
	}
	return b.add(x, through(b.MLPNorm, b.MLP.forward(through(b.PreNorm, x))))
}

// add adds what a part gives to the residual.
func (b *block) add(x, y *mlx.Array) *mlx.Array {
	if b.residual != 0 {
		y = y.Mul(b.residual)
	}
	if b.clipHalf && x.DType() == mlx.Float16 {
		return clip(x.AsType(mlx.Float32).Add(y), maxFloat16).AsType(mlx.Float16)
	}
	return x.Add(y)
}

const maxFloat16 = 65504

// through is x itself without a layer.
func through(l nn.Layer, x *mlx.Array) *mlx.Array {
	if l == nil {
		return x
	}
	return l.Forward(x)
}

// decoder is a model of a spec.
type decoder struct {
	named
	Embed     nn.Embedder
	EmbedNorm nn.Layer // nil: none
	Inputs    *layerInputs
	Positions nn.Embedder // learned ones, nil for a rotation
	Blocks    []*block
	More      []*block    // the blocks after those
	Gates     []*loopGate // one for each block that runs twice
	Norm      nn.Layer
	Head      nn.Layer // nil when tied to Embed

	spec    *spec
	foreign bool // the files have other names than the parameters
	dtype   mlx.DType

	checkpoint bool // see SetCheckpoint
}

func newDecoder(s *spec) *decoder {
	m := &decoder{spec: s, dtype: mlx.Float32}
	m.build()
	return m
}

// build makes the parts, with lazy random parameters.
func (m *decoder) build() {
	s := m.spec
	m.named = named{s.names}
	m.Embed = nn.NewEmbedding(s.vocab, s.hidden)
	m.EmbedNorm, m.Positions, m.Inputs = nil, nil, nil
	if s.layerSize > 0 {
		m.Inputs = newLayerInputs(s)
	}
	if s.embedNorm {
		m.EmbedNorm = s.newNorm(s.hidden)
	}
	if s.positions > 0 {
		m.Positions = nn.NewEmbedding(s.positions, s.hidden)
	}
	m.Blocks, m.More, m.Gates = nil, nil, nil
	for i := range s.layers {
		b := newBlock(s, i)
		if s.split > 0 && i >= s.split {
			m.More = append(m.More, b)
		} else {
			m.Blocks = append(m.Blocks, b)
		}
		if s.loopWindow > 0 {
			m.Gates = append(m.Gates, newLoopGate(s))
		}
	}
	m.Norm = s.newNorm(s.hidden)
	m.Head = nn.NewLinear(s.hidden, s.vocab, nn.Bias(s.headBias))
}

// Translate maps the names of the files to paths.
func (m *decoder) Translate(has func(name string) bool) func(name string) (path string, transpose bool) {
	m.foreign = !has(m.spec.names["Embed"] + ".weight")
	if m.spec.translate == nil {
		return nil
	}
	return m.spec.translate
}

// FileName is a parameter's name in the files that mlx-lm writes.
func (m *decoder) FileName(path string) string { return m.spec.nameInFiles(path) }

func (s *spec) nameInFiles(path string) string {
	if s.fileName == nil {
		return path
	}
	return s.fileName(path)
}

// ReadShapes is for what settles sizes.
func (m *decoder) ReadShapes(shape func(path string) []int) { m.spec.shape = shape }

// rowsOf is how many rows the tensor of a path has, otherwise without one.
func (s *spec) rowsOf(path string, otherwise int) int {
	if s.shape == nil {
		return otherwise
	}
	if shape := s.shape(path); len(shape) > 0 {
		return shape[0]
	}
	return otherwise
}

// Sanitize drops buffers that old checkpoints carry, and settles what depends on the
// tensors: whether the head is tied, and what else the family leaves to them.
func (m *decoder) Sanitize(has func(name string) bool) (drop func(name string) bool) {
	s := m.spec
	if s.settle != nil {
		s.settle(s, !m.foreign, has)
		m.build()
	}
	head := s.names["Head"]
	tied := !has(head + ".weight")
	if flag := s.tieFlag; flag != nil && (s.tie == tieFlagElseAbsence || *flag) {
		tied = *flag
	}
	if tied {
		m.Head = nil
	}
	return func(name string) bool {
		return strings.HasSuffix(name, "rotary_emb.inv_freq") || strings.HasSuffix(name, "rope.inv_freq") || tied && strings.HasPrefix(name, head+".")
	}
}

// SetDType sets the computing type. The weights are there.
func (m *decoder) SetDType(d mlx.DType) {
	m.dtype = d
	for _, l := range nn.Modules(m) {
		if l, ok := l.(*bitLinear); ok && l.packed {
			l.prepare()
		}
	}
}

// Forward maps tokens int32 [B, L] to logits.
func (m *decoder) Forward(tokens, rows *mlx.Array, c []cache.KV) *mlx.Array {
	x := m.Hidden(tokens, c)
	if rows != nil {
		B, L := tokens.Dims2()
		x = pickRows(x, rows, B, L)
	}
	return m.Outputs(x)
}

// Hidden maps tokens int32 [B, L] to what Outputs takes, [B, L, D].
func (m *decoder) Hidden(tokens *mlx.Array, c []cache.KV) *mlx.Array {
	x := m.Enter(tokens, c)
	inputs := make([]*mlx.Array, len(m.spec.layers))
	if m.Inputs != nil {
		inputs = m.Inputs.of(tokens, x, m.dtype)
	}
	at := m.spec.caches()
	for i, b := range slices.Concat(m.Blocks, m.More) {
		var kv cache.KV
		if at[i] >= 0 {
			kv = c[at[i]]
		}
		layer := func(x *mlx.Array) *mlx.Array { return b.finish(b.forward(x, kv, c[0].Last()), inputs[i]) }
		if m.checkpoint {
			layer = mlx.Checkpoint(layer)
		}
		x = layer(x)
	}
	for i, gate := range m.Gates {
		x = m.Blocks[i].repeat(x, gate, c[i], c[len(m.Blocks)+i])
	}
	return x
}

// Enter maps tokens int32 [B, L] to what the first layer takes, [B, L, D].
func (m *decoder) Enter(tokens *mlx.Array, c []cache.KV) *mlx.Array {
	_, L := tokens.Dims2()
	x := embed(m.Embed, tokens, m.dtype)
	if s := m.spec.embedScale; s != 0 {
		x = x.Mul(s)
	}
	if m.EmbedNorm != nil {
		x = m.EmbedNorm.Forward(x)
	}
	if m.Positions != nil { // rows behind the end of a padded chunk may have none
		at := mlx.Minimum(positions(c[0], L), m.spec.positions-1)
		x = x.Add(embed(m.Positions, at, m.dtype))
	}
	return x
}

// SetCheckpoint makes layers forget their intermediates, which the gradient computes
// again. It is an error for models whose layers attend to keys of others.
func (m *decoder) SetCheckpoint(on bool) error {
	for _, l := range m.Layout() {
		if on && l.Shared {
			return fmt.Errorf("layers of %s share keys: their intermediates cannot be forgotten one by one", m.spec.modelType)
		}
	}
	m.checkpoint = on
	return nil
}

// Outputs maps what Hidden gives to logits [..., V].
func (m *decoder) Outputs(x *mlx.Array) *mlx.Array {
	x = m.Norm.Forward(x)
	if m.Head == nil {
		x = m.Embed.AsLinear(x)
	} else {
		x = m.Head.Forward(x)
	}
	if s := m.spec.logitScale; s != 0 {
		x = x.Mul(s)
	}
	if limit := m.spec.finalCap; limit != 0 {
		x = mlx.Tanh(x.AsType(mlx.Float32).Mul(1 / limit)).Mul(limit)
	}
	if m.spec.ban != nil {
		x = mlx.Where(m.spec.ban, math.Inf(-1), x)
	}
	return x
}

// positions are those of the L tokens of a pass, int32 [B, L].
func positions(kv cache.KV, L int) *mlx.Array {
	return kv.Pos().ExpandDims(1).Add(mlx.Arange(L).AsType(mlx.Int32))
}

// Together is how many tokens have the rotation in one pass that they have one by one.
func (m *decoder) Together(pos, n int) int { return m.spec.together(pos, n) }

func (s *spec) together(pos, n int) int {
	for _, l := range s.layers {
		if l.rope != nil {
			n = l.rope.together(pos, n)
		}
	}
	return n
}

// Layout has an entry for each layer with keys of its own.
func (m *decoder) Layout() []cache.Layout { return m.spec.layout() }

func (s *spec) layout() (out []cache.Layout) {
	shared := map[int]bool{}
	for _, l := range s.layers {
		shared[l.source-1] = true
	}
	for i, l := range s.layers {
		if l.attention == whole && l.source == 0 {
			_, heads := s.headsOf(i)
			setDefault(&l.headDim, s.headDim)
			out = append(out, cache.Layout{Heads: heads, KeyDim: l.headDim, ValueDim: l.headDim, Window: l.window, SoftCap: s.softCap, Sparse: l.sparse,
				Shared: shared[i] || s.loopWindow > 0})
		}
	}
	if s.loopWindow > 0 {
		again := slices.Clone(out)
		for i := range again {
			again[i].Window, again[i].Shared = s.loopWindow, false
		}
		out = append(out, again...)
	}
	return out
}

// caches says which entry of the layout each layer attends to, -1 for none.
func (s *spec) caches() []int {
	at, n := make([]int, len(s.layers)), 0
	for i, l := range s.layers {
		switch {
		case l.attention != whole:
			at[i] = -1
		case l.source > 0:
			at[i] = at[l.source-1]
		default:
			at[i] = n
			n++
		}
	}
	return at
}

// headsOf are the query and key heads of a layer.
func (s *spec) headsOf(layer int) (heads, kvHeads int) {
	l := s.layers[layer]
	setDefault(&l.heads, s.heads)
	setDefault(&l.kvHeads, s.kvHeads)
	return l.heads, l.kvHeads
}

// Info is the model's dimensions.
func (m *decoder) Info() llm.Info { return m.spec.info() }

// parts is what a wrapper changes.
func (m *decoder) parts() *spec { return m.spec }

func (s *spec) info() llm.Info {
	return llm.Info{ModelType: s.modelType, VocabSize: s.vocab, MaxContext: s.context, Tested: s.tested, Recompute: s.recompute}
}

// scoreScale is what scores of a layer are multiplied by.
func (s *spec) scoreScale(layer int) float64 {
	scale := s.scale
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(s.headDim))
	}
	if s.scaleByLayer {
		scale /= float64(layer + 1)
	}
	return scale
}
