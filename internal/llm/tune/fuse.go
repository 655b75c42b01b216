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
		dense, _ := denseOf(inner)
		base, w = inner, dense.AsType(mlx.Float32).Add(delta(l.LoraA, l.LoraB, l.Scale))
	case *DoRALinear:
		dense, _ := denseOf(l.Linear)
		w = dense.AsType(mlx.Float32).Add(delta(l.LoraA, l.LoraB, l.Scale))
		base, w = l.Linear, w.Mul(l.M.Div(rowNorm(w)).ExpandDims(1))
	case *LoRAEmbedding:
		w = tableOf(l.Embedding).AsType(mlx.Float32).Add(l.LoraA.Mul(l.Scale).MatMul(l.LoraB))
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
		n := &nn.Linear{Weight: w.AsType(l.Weight.DType()), Bias: l.Bias}
		return n, l.Weight.AsType(mlx.Float32), n.Weight.AsType(mlx.Float32)
	case *nn.Embedding:
		n := &nn.Embedding{Weight: w.AsType(l.Weight.DType())}
		return n, l.Weight.AsType(mlx.Float32), n.Weight.AsType(mlx.Float32)
	case *nn.QuantizedLinear:
		dense, _ := denseOf(l)
		if dequantize {
			n := &nn.Linear{Weight: w.AsType(floatOf(l.Scales)), Bias: l.Bias}
			return n, dense.AsType(mlx.Float32), n.Weight.AsType(mlx.Float32)
		}
		q := pack(l.Scales, l.Scheme)
		return &nn.QuantizedLinear{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Bias: l.Bias, Scheme: q.Scheme, RoundActivations: l.RoundActivations},
			dense.AsType(mlx.Float32), mlx.Dequantize(q).AsType(mlx.Float32)
	case *nn.QuantizedEmbedding:
		dense := tableOf(l)
		if dequantize {
			n := &nn.Embedding{Weight: w.AsType(floatOf(l.Scales))}
			return n, dense.AsType(mlx.Float32), n.Weight.AsType(mlx.Float32)
		}
		q := pack(l.Scales, l.Scheme)
		return &nn.QuantizedEmbedding{Weight: q.Weight, Scales: q.Scales, Biases: q.Biases, Scheme: q.Scheme, RoundActivations: l.RoundActivations},
			dense.AsType(mlx.Float32), mlx.Dequantize(q).AsType(mlx.Float32)
	}
	return l, w, w
}

// floatOf is the dtype of weights with these scales; codes of 8-bit floats are of
// bfloat16 weights.
func floatOf(scales *mlx.Array) mlx.DType {
	if d := scales.DType(); d.Is(mlx.Floating) {
		return d
	}
	return mlx.BFloat16
}

// tableOf is the weight of an embedding, unpacked if need be.
func tableOf(e nn.Embedder) *mlx.Array {
	switch e := e.(type) {
	case *nn.Embedding:
		return e.Weight
	case *nn.QuantizedEmbedding:
		return mlx.Dequantize(mlx.Quantized{Weight: e.Weight, Scales: e.Scales, Biases: e.Biases, Scheme: e.Scheme})
	}
	return nil
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
