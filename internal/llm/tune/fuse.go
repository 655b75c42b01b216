package tune

import (
	"fmt"
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
	// Change is the norm of the change relative to that of the weight.
	Change float64
}

// Fuse puts the adapters of a model into its weights, in the dtype of those, packed
// again as they were unless dequantize. It reports the layers in the order of the model.
func Fuse(model any, dequantize bool) ([]Fused, error) {
	var all []Fused
	var fault error
	err := mlx.Try(func() {
		nn.Replace(model, func(path string, l nn.Layer) nn.Layer {
			if fault != nil {
				return l
			}
			now, f, err := fuse(l, dequantize)
			if err != nil {
				fault = fmt.Errorf("%s: %w", path, err)
				return l
			}
			if f != nil {
				f.Path = path
				all = append([]Fused{*f}, all...) // inner places come first
			}
			return now
		})
	})
	if err == nil {
		err = fault
	}
	return all, err
}

// fuse is the layer without its adapter; f is nil where it has none.
func fuse(l nn.Layer, dequantize bool) (nn.Layer, *Fused, error) {
	var base nn.Layer
	var w *mlx.Array // the changed weight, float32
	switch l := l.(type) {
	case *LoRALinear:
		inner, _, err := fuse(l.Linear, false) // adapters may lie over each other
		if err != nil {
			return nil, nil, err
		}
		base, w = inner, weightOf(inner).AsType(mlx.Float32).Add(delta(l.LoraA, l.LoraB, l.Scale))
	case *DoRALinear:
		w = weightOf(l.Linear).AsType(mlx.Float32).Add(delta(l.LoraA, l.LoraB, l.Scale))
		base, w = l.Linear, w.Mul(l.M.Div(rowNorm(w)).ExpandDims(1))
	case *LoRAEmbedding:
		w = weightOf(l.Embedding).AsType(mlx.Float32).Add(l.LoraA.Mul(l.Scale).MatMul(l.LoraB))
		base = l.Embedding
	case *DoRAEmbedding:
		w = l.Embedding.Weight.AsType(mlx.Float32).Add(l.LoraA.Mul(l.Scale).MatMul(l.LoraB))
		base, w = l.Embedding, w.Mul(l.M.Div(rowNorm(w)).ExpandDims(1))
	default:
		return l, nil, nil
	}
	now, before, after := withWeight(base, w, dequantize)
	f, err := survival(before, w, after)
	return now, f, err
}

// withWeight is the layer with another weight, and what it held before and holds now,
// both float32.
func withWeight(l nn.Layer, w *mlx.Array, dequantize bool) (now nn.Layer, before, after *mlx.Array) {
	pack := func(scales *mlx.Array, s mlx.Scheme) mlx.Quantized { return mlx.Quantize(w.AsType(floatOf(scales)), s) }
	switch l := l.(type) {
	case *nn.Linear:
		now = &nn.Linear{Weight: w.AsType(l.Weight.DType()), Bias: l.Bias}
	case *nn.Embedding:
		now = &nn.Embedding{Weight: w.AsType(l.Weight.DType())}
	case *nn.QuantizedLinear:
		if dequantize {
			now = &nn.Linear{Weight: w.AsType(floatOf(l.Scales)), Bias: l.Bias}
			break
		}
		q := pack(l.Scales, l.Scheme)
		now = &nn.QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: l.Bias, Scheme: q.Scheme, RoundActivations: l.RoundActivations}
	case *nn.QuantizedEmbedding:
		if dequantize {
			now = &nn.Embedding{Weight: w.AsType(floatOf(l.Scales))}
			break
		}
		q := pack(l.Scales, l.Scheme)
		now = &nn.QuantizedEmbedding{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme, RoundActivations: l.RoundActivations}
	}
	return now, weightOf(l).AsType(mlx.Float32), weightOf(now).AsType(mlx.Float32)
}

// floatOf is the dtype of weights with these scales; codes of 8-bit floats are of
// bfloat16 weights.
func floatOf(scales *mlx.Array) mlx.DType {
	if d := scales.DType(); d.Is(mlx.Floating) {
		return d
	}
	return mlx.BFloat16
}

// survival compares the change that was wanted with that which is there: the projection
// of the one on the other.
func survival(before, want, after *mlx.Array) (*Fused, error) {
	d := want.Sub(before)
	along, square, whole := mlx.Sum(after.Sub(before).Mul(d)), mlx.Sum(mlx.Square(d)), mlx.Sum(mlx.Square(before))
	if err := mlx.Eval(along, square, whole); err != nil {
		return nil, err
	}
	s := float64(mlx.Item[float32](square))
	f := &Fused{Kept: 1, Change: math.Sqrt(s / math.Max(float64(mlx.Item[float32](whole)), 1e-30))}
	if s > 0 {
		f.Kept = float64(mlx.Item[float32](along)) / s
	}
	return f, nil
}
