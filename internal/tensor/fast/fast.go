// Package fast declares mx.fast's primitives: RMSNorm, LayerNorm, RoPE, Attention, the
// CacheWrite that decoders need, and Custom, a kernel of the caller's own. The functions take plain parameters; the public
// package mlx/fast gives them MLX's keywords.
//
// All but Custom compute in float32 inside, whatever the dtype of their inputs.
package fast

import (
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

type (
	// Array and Spec are the graph's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Stream = tensor.Stream
)

// RMSNorm is x * rsqrt(mean(x^2) + Eps) over the last axis, times a weight when
// there is a second input. The normalized value is rounded to x's dtype before
// the product, as MLX does; the result has the common dtype. Offset is added to the
// weight in float32 (1 for Gemma's).
type RMSNorm struct{ Eps, Offset tensor.F64 }

// Name is the op's name.
func (RMSNorm) Name() string { return "rms_norm" }

// Infer checks the weight.
func (RMSNorm) Infer(in []Spec) ([]Spec, error) {
	s := in[0].Shape
	if len(s) == 0 || !in[0].DType.Is(dtype.Floating) {
		return nil, errors.New("needs a floating array with an axis")
	}
	return affine(in)
}

// affine is the result of a norm with vectors of the last axis behind x.
func affine(in []Spec) ([]Spec, error) {
	out, n := in[0], in[0].Shape[len(in[0].Shape)-1]
	for _, w := range in[1:] {
		if len(w.Shape) != 1 || w.Shape[0] != n {
			return nil, fmt.Errorf("weight or bias %v does not have the size %d of the last axis", w.Shape, n)
		}
		out.DType = dtype.Promote(out.DType, w.DType)
	}
	return []Spec{out}, nil
}

// RMSNormOf normalizes; weight may be nil.
func RMSNormOf(x, weight *Array, eps float64, s Stream) *Array {
	p := RMSNorm{Eps: tensor.MakeF64(eps), Offset: tensor.MakeF64(0)}
	if weight == nil {
		return tensor.Apply1(p, s, x)
	}
	return tensor.Apply1(p, s, x, weight)
}

// RMSNormPlusOf is RMSNormOf with an offset of the weight.
func RMSNormPlusOf(x, weight *Array, eps, offset float64, s Stream) *Array {
	return tensor.Apply1(RMSNorm{Eps: tensor.MakeF64(eps), Offset: tensor.MakeF64(offset)}, s, x, weight)
}

// LayerNorm is (x - mean) * rsqrt(var + Eps) over the last axis, times a weight and
// plus a bias as the fields announce inputs of them. The normalized value is rounded
// to x's dtype before the product, and so is the product before the sum; the result
// has the common dtype. Offset is added to the weight in float32 (1 for Nemotron's).
type LayerNorm struct {
	Eps, Offset  tensor.F64
	Weight, Bias bool
}

// Name is the op's name.
func (LayerNorm) Name() string { return "layer_norm" }

// Infer checks weight and bias.
func (LayerNorm) Infer(in []Spec) ([]Spec, error) {
	if len(in[0].Shape) == 0 || !in[0].DType.Is(dtype.Floating) {
		return nil, errors.New("needs a floating array with an axis")
	}
	return affine(in)
}

// LayerNormOf normalizes; weight and bias may be nil.
func LayerNormOf(x, weight, bias *Array, eps, offset float64, s Stream) *Array {
	p := LayerNorm{Eps: tensor.MakeF64(eps), Weight: weight != nil, Bias: bias != nil}
	p.Offset = tensor.MakeF64(0)
	in := []*Array{x}
	if weight != nil {
		p.Offset = tensor.MakeF64(offset)
		in = append(in, weight)
	}
	if bias != nil {
		in = append(in, bias)
	}
	return tensor.Apply1(p, s, in...)
}

// RoPE rotates the first Dims features of x [B, ..., T, D] by their positions:
// (t + offset_b) * Scale times the frequencies exp(-i log(Base) / (Dims/2)), or
// the reciprocals of a third input of periods [Dims/2] when Base is 0. The second
// input is the offset, int32, a scalar or [B].
type RoPE struct {
	Dims        int
	Traditional bool // pairs are neighbours, not halves
	Inverse     bool // rotate back
	Base, Scale tensor.F64
}

// Name is the op's name.
func (RoPE) Name() string { return "rope" }

// Infer checks ranks and sizes.
func (p RoPE) Infer(in []Spec) ([]Spec, error) {
	s := in[0].Shape
	if len(s) < 3 || !in[0].DType.Is(dtype.Floating) {
		return nil, errors.New("needs a floating array of at least three axes")
	}
	if p.Dims <= 0 || p.Dims%2 != 0 || p.Dims > s[len(s)-1] {
		return nil, fmt.Errorf("dims %d is not even and within the %d features", p.Dims, s[len(s)-1])
	}
	if o := in[1]; o.DType != dtype.Int32 || o.Shape.Size() != 1 && (len(o.Shape) != 1 || o.Shape[0] != s[0]) {
		return nil, fmt.Errorf("offset %v is neither one int32 nor one per batch row", o)
	}
	if (len(in) == 3) != (p.Base.Value() == 0) {
		return nil, errors.New("give exactly one of base and freqs")
	}
	if len(in) == 3 && (in[2].DType != angleType(in[0].DType) || len(in[2].Shape) != 1 || in[2].Shape[0] != p.Dims/2) {
		return nil, fmt.Errorf("freqs %v is not %v(%d,)", in[2], angleType(in[0].DType), p.Dims/2)
	}
	return []Spec{in[0]}, nil
}

// Reuse lets the result take x's buffer.
func (RoPE) Reuse() int { return 0 }

// RoPEOf rotates x; freqs may be nil.
func RoPEOf(p RoPE, x, offset, freqs *Array, s Stream) *Array {
	offset = tensor.AsType(offset, dtype.Int32, s)
	if freqs == nil {
		return tensor.Apply1(p, s, x, offset)
	}
	return tensor.Apply1(p, s, x, offset, tensor.AsType(freqs, angleType(x.DType()), s))
}

// angleType is what angles are computed in.
func angleType(x tensor.DType) tensor.DType {
	if x == dtype.Float64 {
		return x
	}
	return dtype.Float32
}
