package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// LinearOption is [Bias].
type LinearOption interface{ linear(*settings) }

// NormOption is [Eps], [Affine] or [Bias].
type NormOption interface{ norm(*settings) }

type settings struct {
	bias, affine bool
	eps          float64
}

// Bias is bias=, true by default where a layer has one.
type Bias bool

// Eps is eps=, 1e-5 by default.
type Eps float64

// Affine is affine=: learn a scale and a bias.
type Affine bool

func (b Bias) linear(s *settings) { s.bias = bool(b) }
func (b Bias) norm(s *settings)   { s.bias = bool(b) }
func (e Eps) norm(s *settings)    { s.eps = float64(e) }
func (a Affine) norm(s *settings) { s.affine = bool(a) }

// Linear is nn.Linear: x @ Weight.T + Bias.
type Linear struct {
	Weight *mlx.Array // [out, in]
	Bias   *mlx.Array // [out] or nil
}

// NewLinear is nn.Linear(in, out, bias), uniform in ±1/sqrt(in). Parameters are
// lazy: replacing them before use costs nothing.
func NewLinear(in, out int, opts ...LinearOption) *Linear {
	s := settings{bias: true}
	for _, o := range opts {
		o.linear(&s)
	}
	k := 1 / math.Sqrt(float64(in))
	l := &Linear{Weight: random.Uniform(-k, k, mlx.Shape{out, in})}
	if s.bias {
		l.Bias = random.Uniform(-k, k, mlx.Shape{out})
	}
	return l
}

// Forward is [..., in] to [..., out].
func (l *Linear) Forward(x *mlx.Array) *mlx.Array {
	return addBias(mlx.MatMul(x, l.Weight.T()), l.Bias)
}

func addBias(y, bias *mlx.Array) *mlx.Array {
	if bias == nil {
		return y
	}
	return y.Add(bias)
}

// ToQuantized is l.to_quantized(...). It panics when the group size does not
// divide the input.
func (l *Linear) ToQuantized(s mlx.Scheme) Layer {
	q := mlx.Quantize(l.Weight, s)
	return &QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: l.Bias, Scheme: q.Scheme}
}

// QuantizedLinear is nn.QuantizedLinear: a product with the packed weight. It is
// frozen.
type QuantizedLinear struct {
	Weight *mlx.Array `mlx:",frozen"` // packed, uint32 [out, in*bits/32]
	Scales *mlx.Array `mlx:",frozen"`
	Biases *mlx.Array `mlx:",frozen"` // affine only
	Bias   *mlx.Array `mlx:",frozen"` // [out] or nil
	Scheme mlx.Scheme `mlx:"-"`
	// RoundActivations is that of the product (not in MLX).
	RoundActivations bool `mlx:"-"`
}

func (l *QuantizedLinear) quantized() mlx.Quantized {
	return mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}
}

// Forward is [..., in] to [..., out].
func (l *QuantizedLinear) Forward(x *mlx.Array) *mlx.Array {
	return addBias(mlx.QuantizedMatMul(x, l.quantized(), mlx.RoundActivations(l.RoundActivations)), l.Bias)
}

// Embedder is an embedding that can also be the output layer, by e.as_linear(x).
type Embedder interface {
	Layer
	AsLinear(x *mlx.Array) *mlx.Array
}

// Embedding is nn.Embedding: rows of Weight by number.
type Embedding struct {
	Weight *mlx.Array // [n, dims]
}

// NewEmbedding is nn.Embedding(n, dims), normal with deviation 1/sqrt(dims).
func NewEmbedding(n, dims int) *Embedding {
	return &Embedding{Weight: random.Normal(mlx.Shape{n, dims}, random.Scale(1/math.Sqrt(float64(dims))))}
}

// Forward is integers [...] to [..., dims].
func (e *Embedding) Forward(x *mlx.Array) *mlx.Array { return mlx.Take(e.Weight, x, mlx.Axis(0)) }

// AsLinear is e.as_linear(x): x @ Weight.T.
func (e *Embedding) AsLinear(x *mlx.Array) *mlx.Array { return mlx.MatMul(x, e.Weight.T()) }

// ToQuantized is e.to_quantized(...). It panics when the group size does not
// divide dims.
func (e *Embedding) ToQuantized(s mlx.Scheme) Layer {
	q := mlx.Quantize(e.Weight, s)
	return &QuantizedEmbedding{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme}
}

// QuantizedEmbedding is nn.QuantizedEmbedding. It is frozen.
type QuantizedEmbedding struct {
	Weight *mlx.Array `mlx:",frozen"` // packed, uint32 [n, dims*bits/32]
	Scales *mlx.Array `mlx:",frozen"`
	Biases *mlx.Array `mlx:",frozen"` // affine only
	Scheme mlx.Scheme `mlx:"-"`
	// RoundActivations is that of AsLinear's product (not in MLX).
	RoundActivations bool `mlx:"-"`
}

// Forward is integers [...] to [..., dims], in the dtype of [mlx.Dequantize].
func (e *QuantizedEmbedding) Forward(x *mlx.Array) *mlx.Array {
	q, shape := e.rows(x)
	return mlx.Dequantize(q).Reshape(shape...)
}

// ForwardAs is Forward with the rows computed in dtype d (not in MLX, where they
// have the scales' dtype).
func (e *QuantizedEmbedding) ForwardAs(x *mlx.Array, d mlx.DType) *mlx.Array {
	q, shape := e.rows(x)
	return mlx.Dequantize(q, d).Reshape(shape...)
}

// rows are the packed rows that x names, and the shape of the result.
func (e *QuantizedEmbedding) rows(x *mlx.Array) (mlx.Quantized, mlx.Shape) {
	flat := x.Flatten()
	take := func(a *mlx.Array) *mlx.Array {
		if a == nil {
			return nil
		}
		return mlx.Take(a, flat, mlx.Axis(0))
	}
	q := mlx.Quantized{Weight: take(e.Weight), Scales: take(e.Scales), Biases: take(e.Biases), Scheme: e.Scheme}
	return q, append(x.Shape(), -1)
}

// AsLinear is e.as_linear(x): a product with the packed weight.
func (e *QuantizedEmbedding) AsLinear(x *mlx.Array) *mlx.Array {
	q := mlx.Quantized{Weight: e.Weight, Scales: e.Scales, Biases: e.Biases, Scheme: e.Scheme}
	return mlx.QuantizedMatMul(x, q, mlx.RoundActivations(e.RoundActivations))
}
