package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/tensor"
)

// CausalMask is nn.MultiHeadAttention.create_additive_causal_mask(n, dtype): 0 where a
// query may look, the most negative finite number after it.
func CausalMask(n int, d mlx.DType) *mlx.Array {
	i := mlx.Arange(n)
	return mlx.Where(i.ExpandDims(1).Lt(i.ExpandDims(0)), d.FInfo().Min, 0).AsType(d)
}

// MultiHeadAttention is nn.MultiHeadAttention.
type MultiHeadAttention struct {
	QueryProj, KeyProj, ValueProj, OutProj Layer
	Heads                                  int
}

// NewMultiHeadAttention is nn.MultiHeadAttention(dims, heads), without bias unless
// asked for. It panics with *mlx.Error if heads do not divide dims.
func NewMultiHeadAttention(dims, heads int, opts ...LinearOption) *MultiHeadAttention {
	if heads < 1 || dims%heads != 0 {
		tensor.Throw("nn.MultiHeadAttention", nil, "%d heads do not divide %d dims", heads, dims)
	}
	opts = append([]LinearOption{Bias(false)}, opts...)
	proj := func() Layer { return NewLinear(dims, dims, opts...) }
	return &MultiHeadAttention{QueryProj: proj(), KeyProj: proj(), ValueProj: proj(), OutProj: proj(), Heads: heads}
}

// Forward attends from q to k and v, all [B, L, D]; mask may be nil, else it is
// additive or bool and broadcasts to [B, Heads, Lq, Lk].
func (a *MultiHeadAttention) Forward(q, k, v, mask *mlx.Array) *mlx.Array {
	split := func(l Layer, x *mlx.Array) *mlx.Array {
		return mlx.Unflatten(l.Forward(x), -1, mlx.Shape{a.Heads, -1}).Transpose(0, 2, 1, 3)
	}
	q, k, v = split(a.QueryProj, q), split(a.KeyProj, k), split(a.ValueProj, v)
	var opts []fast.AttentionOption
	if mask != nil {
		if mask.DType() != mlx.Bool {
			mask = mask.AsType(q.DType())
		}
		opts = append(opts, fast.Mask(mask))
	}
	y := fast.ScaledDotProductAttention(q, k, v, 1/math.Sqrt(float64(q.Dim(-1))), opts...)
	return a.OutProj.Forward(mlx.Flatten(y.Transpose(0, 2, 1, 3), 2, 3))
}

// TransformerConfig has the keywords of nn.Transformer; zero fields are MLX's defaults.
type TransformerConfig struct {
	Dims, Heads                  int // 512 and 8
	EncoderLayers, DecoderLayers int // 6
	MLPDims                      int // 4*Dims
	Dropout                      float64
	Activation                   Func // ReLU
	NormLast                     bool // norm_first=False
	Checkpoint                   bool
}

func (c TransformerConfig) filled() TransformerConfig {
	fill := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	fill(&c.Dims, 512)
	fill(&c.Heads, 8)
	fill(&c.EncoderLayers, 6)
	fill(&c.DecoderLayers, 6)
	fill(&c.MLPDims, 4*c.Dims)
	if c.Activation == nil {
		c.Activation = ReLU
	}
	return c
}

// feedForward is the part of a transformer layer behind attention.
type feedForward struct {
	linear1, linear2 Layer
	act              Func
	drop             *Dropout
}

func (f feedForward) forward(x *mlx.Array) *mlx.Array {
	return f.linear2.Forward(f.drop.Forward(f.act(f.linear1.Forward(x))))
}

// TransformerEncoderLayer is nn.TransformerEncoderLayer.
type TransformerEncoderLayer struct {
	Attention        *MultiHeadAttention
	LN1, LN2         *LayerNorm
	Linear1, Linear2 Layer
	Dropout1         *Dropout
	Dropout2         *Dropout
	Activation       Func `mlx:"-"`
	NormLast         bool
}

func newEncoderLayer(c TransformerConfig) *TransformerEncoderLayer {
	return &TransformerEncoderLayer{
		Attention: NewMultiHeadAttention(c.Dims, c.Heads), LN1: NewLayerNorm(c.Dims), LN2: NewLayerNorm(c.Dims),
		Linear1: NewLinear(c.Dims, c.MLPDims), Linear2: NewLinear(c.MLPDims, c.Dims),
		Dropout1: &Dropout{P: c.Dropout}, Dropout2: &Dropout{P: c.Dropout}, Activation: c.Activation, NormLast: c.NormLast}
}

// Forward is [B, L, D] to [B, L, D]; mask may be nil.
func (l *TransformerEncoderLayer) Forward(x, mask *mlx.Array) *mlx.Array {
	ff := feedForward{l.Linear1, l.Linear2, l.Activation, l.Dropout2}
	if l.NormLast {
		y := l.Attention.Forward(x, x, x, mask)
		y = l.LN1.Forward(x.Add(l.Dropout1.Forward(y)))
		return l.LN2.Forward(y.Add(ff.forward(y)))
	}
	y := l.LN1.Forward(x)
	x = x.Add(l.Dropout1.Forward(l.Attention.Forward(y, y, y, mask)))
	return x.Add(ff.forward(l.LN2.Forward(x)))
}

// TransformerEncoder is nn.TransformerEncoder.
type TransformerEncoder struct {
	Layers     []*TransformerEncoderLayer
	LN         *LayerNorm
	Checkpoint bool
}

// NewTransformerEncoder is nn.TransformerEncoder(...).
func NewTransformerEncoder(c TransformerConfig) *TransformerEncoder {
	c = c.filled()
	t := &TransformerEncoder{LN: NewLayerNorm(c.Dims), Checkpoint: c.Checkpoint}
	for range c.EncoderLayers {
		t.Layers = append(t.Layers, newEncoderLayer(c))
	}
	return t
}

// Forward is [B, L, D] to [B, L, D]; mask may be nil.
func (t *TransformerEncoder) Forward(x, mask *mlx.Array) *mlx.Array {
	for _, l := range t.Layers {
		forward := func(l *TransformerEncoderLayer, in [2]*mlx.Array) *mlx.Array { return l.Forward(in[0], in[1]) }
		if in := [2]*mlx.Array{x, mask}; t.Checkpoint {
			x = checkpointed(l, forward)(in)
		} else {
			x = forward(l, in)
		}
	}
	return t.LN.Forward(x)
}

// TransformerDecoderLayer is nn.TransformerDecoderLayer.
type TransformerDecoderLayer struct {
	SelfAttention, CrossAttention *MultiHeadAttention
	LN1, LN2, LN3                 *LayerNorm
	Linear1, Linear2              Layer
	Dropout1, Dropout2, Dropout3  *Dropout
	Activation                    Func `mlx:"-"`
	NormLast                      bool
}

func newDecoderLayer(c TransformerConfig) *TransformerDecoderLayer {
	drop := func() *Dropout { return &Dropout{P: c.Dropout} }
	return &TransformerDecoderLayer{
		SelfAttention: NewMultiHeadAttention(c.Dims, c.Heads), CrossAttention: NewMultiHeadAttention(c.Dims, c.Heads),
		LN1: NewLayerNorm(c.Dims), LN2: NewLayerNorm(c.Dims), LN3: NewLayerNorm(c.Dims),
		Linear1: NewLinear(c.Dims, c.MLPDims), Linear2: NewLinear(c.MLPDims, c.Dims),
		Dropout1: drop(), Dropout2: drop(), Dropout3: drop(), Activation: c.Activation, NormLast: c.NormLast}
}

// Forward attends to itself and to memory; masks may be nil.
func (l *TransformerDecoderLayer) Forward(x, memory, xMask, memoryMask *mlx.Array) *mlx.Array {
	ff := feedForward{l.Linear1, l.Linear2, l.Activation, l.Dropout3}
	if l.NormLast {
		y := l.SelfAttention.Forward(x, x, x, xMask)
		x = l.LN1.Forward(x.Add(l.Dropout1.Forward(y)))
		y = l.CrossAttention.Forward(x, memory, memory, memoryMask)
		x = l.LN2.Forward(x.Add(l.Dropout2.Forward(y)))
		return l.LN3.Forward(x.Add(ff.forward(x)))
	}
	y := l.LN1.Forward(x)
	x = x.Add(l.Dropout1.Forward(l.SelfAttention.Forward(y, y, y, xMask)))
	y = l.CrossAttention.Forward(l.LN2.Forward(x), memory, memory, memoryMask)
	x = x.Add(l.Dropout2.Forward(y))
	return x.Add(ff.forward(l.LN3.Forward(x)))
}

// TransformerDecoder is nn.TransformerDecoder.
type TransformerDecoder struct {
	Layers     []*TransformerDecoderLayer
	LN         *LayerNorm
	Checkpoint bool
}

// NewTransformerDecoder is nn.TransformerDecoder(...).
func NewTransformerDecoder(c TransformerConfig) *TransformerDecoder {
	c = c.filled()
	t := &TransformerDecoder{LN: NewLayerNorm(c.Dims), Checkpoint: c.Checkpoint}
	for range c.DecoderLayers {
		t.Layers = append(t.Layers, newDecoderLayer(c))
	}
	return t
}

// Forward attends to memory; masks may be nil.
func (t *TransformerDecoder) Forward(x, memory, xMask, memoryMask *mlx.Array) *mlx.Array {
	for _, l := range t.Layers {
		forward := func(l *TransformerDecoderLayer, in [4]*mlx.Array) *mlx.Array {
			return l.Forward(in[0], in[1], in[2], in[3])
		}
		if in := [4]*mlx.Array{x, memory, xMask, memoryMask}; t.Checkpoint {
			x = checkpointed(l, forward)(in)
		} else {
			x = forward(l, in)
		}
	}
	return t.LN.Forward(x)
}

// Transformer is nn.Transformer.
type Transformer struct {
	Encoder *TransformerEncoder
	Decoder *TransformerDecoder
}

// NewTransformer is nn.Transformer(...).
func NewTransformer(c TransformerConfig) *Transformer {
	return &Transformer{Encoder: NewTransformerEncoder(c), Decoder: NewTransformerDecoder(c)}
}

// Forward is src, tgt to the decoder's output; masks may be nil.
func (t *Transformer) Forward(src, tgt, srcMask, tgtMask, memoryMask *mlx.Array) *mlx.Array {
	return t.Decoder.Forward(tgt, t.Encoder.Forward(src, srcMask), tgtMask, memoryMask)
}
