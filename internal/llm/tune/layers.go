package tune

import (
	"errors"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// LoRALinear is mlx_lm's LoRALinear: Linear(x) + Scale * (dropout(x) @ A) @ B, where
// only A [in, rank] and B [rank, out] are trained. B begins as zeros.
type LoRALinear struct {
	Linear  nn.Layer // *nn.Linear or *nn.QuantizedLinear
	LoraA   *mlx.Array
	LoraB   *mlx.Array
	Dropout *nn.Dropout
	Scale   float64 `mlx:"-"`
}

// DoRALinear is mlx_lm's DoRALinear: the sum of the weight and its low-rank change, whose
// rows are scaled to the trained lengths M [out].
type DoRALinear struct {
	Linear  nn.Layer
	LoraA   *mlx.Array
	LoraB   *mlx.Array
	M       *mlx.Array
	Dropout *nn.Dropout
	Scale   float64 `mlx:"-"`
}

// LoRAEmbedding is mlx_lm's LoRAEmbedding: A [n, rank], B [rank, dims].
type LoRAEmbedding struct {
	Embedding nn.Embedder // *nn.Embedding or *nn.QuantizedEmbedding
	LoraA     *mlx.Array
	LoraB     *mlx.Array
	Dropout   *nn.Dropout
	Scale     float64 `mlx:"-"`
}

// DoRAEmbedding is mlx_lm's DoRAEmbedding of a plain embedding, with lengths M [n].
type DoRAEmbedding struct {
	Embedding *nn.Embedding
	LoraA     *mlx.Array
	LoraB     *mlx.Array
	M         *mlx.Array
	Dropout   *nn.Dropout
	Scale     float64 `mlx:"-"`
}

// lowRank makes A, uniform in ±1/sqrt(in), and B, zeros; both float32.
func lowRank(in, rank, out int) (a, b *mlx.Array) {
	k := 1 / math.Sqrt(float64(in))
	return random.Uniform(-k, k, mlx.Shape{in, rank}), mlx.Zeros(mlx.Shape{rank, out})
}

// dropout is nil, which passes everything, for p of 0.
func dropout(p float64) *nn.Dropout {
	if p == 0 {
		return nil
	}
	return &nn.Dropout{P: p, Training: true}
}

// low is (dropout(x) @ a) @ b.
func low(d *nn.Dropout, x, a, b *mlx.Array) *mlx.Array {
	if d != nil {
		x = d.Forward(x)
	}
	return x.MatMul(a).MatMul(b)
}

// Forward is [..., in] to [..., out] in the dtype of x.
func (l *LoRALinear) Forward(x *mlx.Array) *mlx.Array {
	y := l.Linear.Forward(x)
	return y.Add(low(l.Dropout, x, l.LoraA, l.LoraB).Mul(l.Scale).AsType(x.DType()))
}

// Forward is [..., in] to [..., out] in the dtype of x.
func (l *DoRALinear) Forward(x *mlx.Array) *mlx.Array {
	w := weightOf(l.Linear)
	y := x.MatMul(w.T()).Add(low(l.Dropout, x, l.LoraA, l.LoraB).Mul(l.Scale).AsType(x.DType()))
	y = y.Mul(l.M.Div(l.norm(w)).AsType(x.DType()))
	if bias := biasOf(l.Linear); bias != nil {
		y = y.Add(bias)
	}
	return y
}

// norm is the lengths of the rows of the changed weight, a constant of the gradient.
func (l *DoRALinear) norm(w *mlx.Array) *mlx.Array {
	return mlx.StopGradient(rowNorm(w.Add(delta(l.LoraA, l.LoraB, l.Scale))))
}

// delta is Scale * (A @ B)^T [out, in].
func delta(a, b *mlx.Array, scale float64) *mlx.Array { return b.T().Mul(scale).MatMul(a.T()) }

func rowNorm(w *mlx.Array) *mlx.Array {
	return mlx.Sqrt(mlx.Sum(mlx.Square(w.AsType(mlx.Float32)), mlx.Axis(1)))
}

// Forward is integers [...] to [..., dims].
func (e *LoRAEmbedding) Forward(x *mlx.Array) *mlx.Array {
	y := e.Embedding.Forward(x)
	z := mlx.Take(e.LoraA, x, mlx.Axis(0)).MatMul(e.LoraB)
	if e.Dropout != nil {
		z = e.Dropout.Forward(z)
	}
	return y.Add(z.Mul(e.Scale).AsType(y.DType()))
}

// AsLinear is the output layer of tied heads.
func (e *LoRAEmbedding) AsLinear(x *mlx.Array) *mlx.Array {
	y := e.Embedding.AsLinear(x)
	if e.Dropout != nil {
		x = e.Dropout.Forward(x)
	}
	return y.Add(x.MatMul(e.LoraB.T()).MatMul(e.LoraA.T()).Mul(e.Scale).AsType(x.DType()))
}

// rowScale is M over the lengths of the changed rows.
func (e *DoRAEmbedding) rowScale() *mlx.Array {
	w := e.Embedding.Weight.Add(e.LoraA.Mul(e.Scale).MatMul(e.LoraB))
	return e.M.Div(mlx.StopGradient(rowNorm(w)))
}

// Forward is integers [...] to [..., dims].
func (e *DoRAEmbedding) Forward(x *mlx.Array) *mlx.Array {
	y := e.Embedding.Forward(x)
	z := mlx.Take(e.LoraA, x, mlx.Axis(0)).MatMul(e.LoraB).Mul(e.Scale)
	if e.Dropout != nil {
		z = e.Dropout.Forward(z)
	}
	return y.Add(z.AsType(y.DType())).Mul(mlx.Take(e.rowScale(), x, mlx.Axis(0)).ExpandDims(-1).AsType(y.DType()))
}

// AsLinear is the output layer of tied heads.
func (e *DoRAEmbedding) AsLinear(x *mlx.Array) *mlx.Array {
	y := e.Embedding.AsLinear(x)
	if e.Dropout != nil {
		x = e.Dropout.Forward(x)
	}
	y = y.Add(x.MatMul(e.LoraB.T()).MatMul(e.LoraA.T()).Mul(e.Scale).AsType(x.DType()))
	return y.Mul(e.rowScale().AsType(x.DType()))
}

// packedOf is the packed weight of a layer; ok is false if it is not packed.
func packedOf(l any) (q mlx.Quantized, ok bool) {
	switch l := l.(type) {
	case *nn.QuantizedLinear:
		return mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}, true
	case *nn.QuantizedEmbedding:
		return mlx.Quantized{Weight: l.Weight, Scales: l.Scales, Biases: l.Biases, Scheme: l.Scheme}, true
	}
	return q, false
}

// weightOf is the weight of a linear layer [out, in] or an embedding [n, dims], unpacked if
// need be, nil for other layers.
func weightOf(l any) *mlx.Array {
	switch l := l.(type) {
	case *nn.Linear:
		return l.Weight
	case *nn.Embedding:
		return l.Weight
	}
	if q, ok := packedOf(l); ok {
		return mlx.Dequantize(q)
	}
	return nil
}

// biasOf is the bias of a linear layer, nil if it has none.
func biasOf(l nn.Layer) *mlx.Array {
	switch l := l.(type) {
	case *nn.Linear:
		return l.Bias
	case *nn.QuantizedLinear:
		return l.Bias
	}
	return nil
}

// sizes are the rows of A and the columns of B of an adapter: inputs and outputs of a
// linear layer, rows and columns of an embedding. ok is false for other layers.
func sizes(l nn.Layer) (in, out int, embedding, ok bool) {
	var w *mlx.Array
	switch l := l.(type) {
	case *nn.Linear:
		w = l.Weight
	case *nn.Embedding:
		w, embedding = l.Weight, true
	case *nn.QuantizedLinear:
		w = l.Weight
	case *nn.QuantizedEmbedding:
		w, embedding = l.Weight, true
	default:
		return 0, 0, false, false
	}
	rows, columns := w.Dims2()
	if q, packed := packedOf(l); packed {
		columns = columns * 32 / q.Scheme.Bits
	}
	if embedding {
		return rows, columns, true, true
	}
	return columns, rows, false, true
}

// part is what an adapter adds to a layer; m is that of DoRA.
type part struct {
	a, b, m *mlx.Array
	dropout *nn.Dropout
	scale   float64
}

// wrap is a layer, or for LoRA one with an adapter, with its part.
func wrap(kind Kind, l nn.Layer, p part) (nn.Layer, error) {
	if e, ok := l.(nn.Embedder); ok {
		if kind != DoRA {
			return &LoRAEmbedding{Embedding: e, LoraA: p.a, LoraB: p.b, Dropout: p.dropout, Scale: p.scale}, nil
		}
		table, ok := e.(*nn.Embedding)
		if !ok {
			return nil, errors.New("dora of a quantized embedding is not supported, as in mlx-lm: train it by lora, or the model that mlx convert --dequantize writes")
		}
		return &DoRAEmbedding{Embedding: table, LoraA: p.a, LoraB: p.b, M: p.m, Dropout: p.dropout, Scale: p.scale}, nil
	}
	if kind != DoRA {
		return &LoRALinear{Linear: l, LoraA: p.a, LoraB: p.b, Dropout: p.dropout, Scale: p.scale}, nil
	}
	return &DoRALinear{Linear: l, LoraA: p.a, LoraB: p.b, M: p.m, Dropout: p.dropout, Scale: p.scale}, nil
}
