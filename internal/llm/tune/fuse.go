package tune

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// Fused is what became of one layer's change when its adapter went into the weight.
type Fused struct {
	Path string
	// Kept is how much of the change is in the weight that was written: its part along
	// the change, 1 when nothing was lost. Rounding to few bits loses small changes.
	Kept float64
	// Change is the norm of the change relative to that of the weight, Noise that of what
	// rounding did beside it relative to the change's.
	Change, Noise float64
}

// fuse is the layer without its adapters, packed again as it was unless dequantize, in
// the dtype of its weights or scales; f is nil where it has no adapter.
func fuse(l nn.Layer, dequantize bool) (nn.Layer, *Fused, error) {
	base := baseOf(l)
	if base == l {
		return withWeight(base, weightOf(base), dequantize), nil, nil
	}
	before, want := weightOf(base).AsType(mlx.Float32), changed(l)
	now := withWeight(base, want, dequantize)
	f, err := survival(before, want, weightOf(now).AsType(mlx.Float32))
	return now, f, err
}

// baseOf is the layer below adapters.
func baseOf(l nn.Layer) nn.Layer {
	switch l := l.(type) {
	case *LoRALinear:
		return baseOf(l.Linear)
	case *DoRALinear:
		return baseOf(l.Linear)
	case *LoRAEmbedding:
		return baseOf(l.Embedding)
	case *DoRAEmbedding:
		return l.Embedding
	}
	return l
}

// changed is the weight that a layer with adapters computes with, float32. Adapters of
// LoRA may lie over each other: rounding comes after all of them.
func changed(l nn.Layer) *mlx.Array {
	switch l := l.(type) {
	case *LoRALinear:
		return changed(l.Linear).Add(delta(l.LoraA, l.LoraB, l.Scale))
	case *DoRALinear:
		w := changed(l.Linear).Add(delta(l.LoraA, l.LoraB, l.Scale))
		return w.Mul(l.M.Div(rowNorm(w)).ExpandDims(1))
	case *LoRAEmbedding:
		return changed(l.Embedding).Add(l.LoraA.Mul(l.Scale).MatMul(l.LoraB))
	case *DoRAEmbedding:
		w := changed(l.Embedding).Add(l.LoraA.Mul(l.Scale).MatMul(l.LoraB))
		return w.Mul(l.M.Div(rowNorm(w)).ExpandDims(1))
	}
	return weightOf(l).AsType(mlx.Float32)
}

// withWeight is the layer with another weight, in the layer's own dtype.
func withWeight(l nn.Layer, w *mlx.Array, dequantize bool) (now nn.Layer) {
	pack := func(scales *mlx.Array, s mlx.Scheme) mlx.Quantized {
		return mlx.Quantize(w.AsType(floatOf(scales.DType())), s)
	}
	switch l := l.(type) {
	case *nn.Linear:
		now = &nn.Linear{Weight: w.AsType(l.Weight.DType()), Bias: l.Bias}
	case *nn.Embedding:
		now = &nn.Embedding{Weight: w.AsType(l.Weight.DType())}
	case *nn.QuantizedLinear:
		if dequantize {
			now = &nn.Linear{Weight: w.AsType(floatOf(l.Scales.DType())), Bias: l.Bias}
			break
		}
		q, same := pack(l.Scales, l.Scheme), *l
		same.Weight, same.Scales, same.Biases, same.Scheme = q.Weight, q.Scales, q.Biases, q.Scheme
		now = &same
	case *nn.QuantizedEmbedding:
		if dequantize {
			now = &nn.Embedding{Weight: w.AsType(floatOf(l.Scales.DType()))}
			break
		}
		q, same := pack(l.Scales, l.Scheme), *l
		same.Weight, same.Scales, same.Biases, same.Scheme = q.Weight, q.Scales, q.Biases, q.Scheme
		now = &same
	}
	return now
}

// floatOf is the dtype of weights with these scales; codes of 8-bit floats are of
// bfloat16 weights.
func floatOf(scales mlx.DType) mlx.DType {
	if scales.Is(mlx.Floating) {
		return scales
	}
	return mlx.BFloat16
}

// survival compares the change that was wanted with that which is there: the projection
// of the one on the other, and what is beside it.
func survival(before, want, after *mlx.Array) (*Fused, error) {
	d, e := want.Sub(before), after.Sub(before)
	square, whole := mlx.Sum(mlx.Square(d)), mlx.Sum(mlx.Square(before))
	kept := mlx.Sum(e.Mul(d)).Div(mlx.Maximum(square, 1e-30))
	noise := mlx.Sum(mlx.Square(e.Sub(d.Mul(kept))))
	if err := mlx.Eval(kept, square, whole, noise); err != nil {
		return nil, err
	}
	number := func(a *mlx.Array) float64 { return float64(mlx.Item[float32](a)) }
	f := &Fused{Kept: 1, Change: math.Sqrt(number(square) / math.Max(number(whole), 1e-30))}
	if s := number(square); s > 0 {
		f.Kept, f.Noise = number(kept), math.Sqrt(number(noise)/s)
	}
	return f, nil
}
