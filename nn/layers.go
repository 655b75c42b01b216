package nn

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/random"
)

// LinearOption is [Bias].
type LinearOption interface{ linear(*settings) }

// NormOption is [Eps], [Bias], [Affine], [Momentum] or [PyTorchCompatible]. A norm
// panics at one that it does not take.
type NormOption interface{ norm(*settings) }

// settings are the keywords of one layer; given names those of norms that were given.
type settings struct {
	bias, affine, contiguous bool
	eps, momentum            float64
	given                    []string
}

// Bias is bias=, true by default where a layer has one.
type Bias bool

// Eps is eps=, 1e-5 by default.
type Eps float64

// Affine is affine=: learn a scale and a bias.
type Affine bool

// Momentum is momentum= of BatchNorm, 0.1 by default.
type Momentum float64

// PyTorchCompatible is pytorch_compatible= of GroupNorm: groups of neighbours.
type PyTorchCompatible bool

func (b Bias) linear(s *settings) { s.bias = bool(b) }
func (b Bias) norm(s *settings)   { s.note("Bias"); s.bias = bool(b) }
func (e Eps) norm(s *settings)    { s.note("Eps"); s.eps = float64(e) }
func (a Affine) norm(s *settings) { s.note("Affine"); s.affine = bool(a) }
func (m Momentum) norm(s *settings) {
	s.note("Momentum")
	s.momentum = float64(m)
}
func (p PyTorchCompatible) norm(s *settings) {
	s.note("PyTorchCompatible")
	s.contiguous = bool(p)
}

func (s *settings) note(name string) { s.given = append(s.given, name) }

// Bilinear is nn.Bilinear: x1 @ Weight[o] @ x2 for each output o, plus Bias.
type Bilinear struct {
	Weight *mlx.Array // [out, in2, in1]
	Bias   *mlx.Array // [out] or nil
}

// NewBilinear is nn.Bilinear(in1, in2, out, bias), uniform in ±1/sqrt(in1).
func NewBilinear(in1, in2, out int, opts ...LinearOption) *Bilinear {
	k := 1 / math.Sqrt(float64(in1))
	l := &Bilinear{Weight: random.Uniform(-k, k, mlx.Shape{out, in2, in1})}
	if wantsBias(opts) {
		l.Bias = random.Uniform(-k, k, mlx.Shape{out})
	}
	return l
}

// Forward is [..., in1], [..., in2] to [..., out].
func (l *Bilinear) Forward(x1, x2 *mlx.Array) *mlx.Array {
	out, in2, in1 := l.Weight.Dims3()
	shape := x1.Shape()
	y := x1.Reshape(-1, in1).MatMul(l.Weight.Reshape(out*in2, in1).T()).Reshape(-1, out, in2)
	y = y.MatMul(x2.Reshape(-1, in2, 1)).Squeeze(-1)
	return addBias(y.Reshape(append(shape[:len(shape)-1], out)...), l.Bias)
}

// Linear is nn.Linear: x @ Weight.T + Bias.
type Linear struct {
	Weight *mlx.Array // [out, in]
	Bias   *mlx.Array // [out] or nil
}

// NewLinear is nn.Linear(in, out, bias), uniform in ±1/sqrt(in). Parameters are
// lazy: replacing them before use costs nothing.
func NewLinear(in, out int, opts ...LinearOption) *Linear {
	k := 1 / math.Sqrt(float64(in))
	l := &Linear{Weight: random.Uniform(-k, k, mlx.Shape{out, in})}
	if wantsBias(opts) {
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
	// RoundActivations and RoundWeights are those of the product (not in MLX).
	RoundActivations bool `mlx:"-"`
	RoundWeights     bool `mlx:"-"`
}

func (l *QuantizedLinear) quantized() mlx.Quantized {
	return mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}
}

// Forward is [..., in] to [..., out].
func (l *QuantizedLinear) Forward(x *mlx.Array) *mlx.Array {
	return addBias(mlx.QuantizedMatMul(x, l.quantized(), mlx.RoundActivations(l.RoundActivations), mlx.RoundWeights(l.RoundWeights)), l.Bias)
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
	// RoundActivations and RoundWeights are those of AsLinear's product (not in MLX).
	RoundActivations bool `mlx:"-"`
	RoundWeights     bool `mlx:"-"`
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
	return mlx.QuantizedMatMul(x, q, mlx.RoundActivations(e.RoundActivations), mlx.RoundWeights(e.RoundWeights))
}
