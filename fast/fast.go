// Package fast is mx.fast: fused operations of transformers, each one pass over its
// inputs, with a gradient of its own. All compute in float32 inside, whatever the dtype of
// their inputs.
//
//	y := fast.RMSNorm(x, weight, 1e-5)
//	q = fast.RoPE{Dims: 64, Base: 10000}.Apply(q, offset)
//	o := fast.ScaledDotProductAttention(q, k, v, 1/math.Sqrt(64), fast.Causal)
//
// Layers that hold the weights of norms are in package nn. A [MetalKernel] is a fused
// operation of your own.
package fast

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// RMSNorm is mx.fast.rms_norm(x, weight, eps) over the last axis; weight [D] may be
// nil.
func RMSNorm(x, weight *mlx.Array, eps float64, opts ...mlx.StreamOrDevice) *mlx.Array {
	return fast.RMSNormOf(x, weight, eps, tensor.OnlyStream("rms_norm", opts))
}

// LayerNorm is mx.fast.layer_norm(x, weight, bias, eps) over the last axis; weight [D]
// and bias [D] may be nil.
func LayerNorm(x, weight, bias *mlx.Array, eps float64, opts ...mlx.StreamOrDevice) *mlx.Array {
	return fast.LayerNormOf(x, weight, bias, eps, 0, tensor.OnlyStream("layer_norm", opts))
}

// RoPE is the configuration of mx.fast.rope: rotary position embedding of the
// first Dims features, an even number.
type RoPE struct {
	Dims        int
	Traditional bool       // pairs are neighbours, not halves
	Base        float64    // 0 with Freqs
	Scale       float64    // of positions; 0 stands for 1
	Freqs       *mlx.Array // periods [Dims/2] instead of Base
}

// Apply is mx.fast.rope(x, offset=offset): x is [B, ..., T, D].
func (r RoPE) Apply(x *mlx.Array, offset int, opts ...mlx.StreamOrDevice) *mlx.Array {
	if int(int32(offset)) != offset {
		tensor.Throw("rope", nil, "offset %d does not fit an int32", offset)
	}
	return r.ApplyAt(x, mlx.FromSlice([]int32{int32(offset)}), opts...)
}

// ApplyAt is Apply with an offset per batch row: an int array [B] or of one
// element.
func (r RoPE) ApplyAt(x, offset *mlx.Array, opts ...mlx.StreamOrDevice) *mlx.Array {
	scale := r.Scale
	if scale == 0 {
		scale = 1
	}
	p := fast.RoPE{Dims: r.Dims, Traditional: r.Traditional, Base: tensor.MakeF64(r.Base), Scale: tensor.MakeF64(scale)}
	return fast.RoPEOf(p, x, offset, r.Freqs, tensor.OnlyStream("rope", opts))
}

// AttentionOption is [Causal], [Mask], [Sinks] or a stream.
type AttentionOption = opt.Attention

type causal struct{}

func (causal) ForAttention(s *opt.Set) { s.Causal = true }

// Causal is mask="causal": query i sees keys up to i + (Lk - Lq).
var Causal AttentionOption = causal{}

type mask struct{ a *mlx.Array }

func (m mask) ForAttention(s *opt.Set) { s.SetMask(m.a) }

// Mask is mask=array: bool (true keeps) or added to the scores.
func Mask(m *mlx.Array) AttentionOption { return mask{m} }

type sinks struct{ a *mlx.Array }

func (k sinks) ForAttention(s *opt.Set) { s.SetSinks(k.a) }

// Sinks is sinks=array [Hq]: a logit per head that only the denominator sees.
func Sinks(s *mlx.Array) AttentionOption { return sinks{s} }

// ScaledDotProductAttention is mx.fast.scaled_dot_product_attention: q is
// [B, Hq, Lq, D], k and v are [B, Hkv, Lk, D], Hq a multiple of Hkv. A row that may
// see no key is 0 (MLX's answer differs by path).
func ScaledDotProductAttention(q, k, v *mlx.Array, scale float64, opts ...AttentionOption) *mlx.Array {
	var set opt.Set
	for _, o := range opts {
		o.ForAttention(&set)
	}
	s := tensor.OneStream("scaled_dot_product_attention", &set)
	m, _ := set.Mask.(*mlx.Array)
	k0, _ := set.Sinks.(*mlx.Array)
	if m != nil && set.Causal {
		tensor.Throw("scaled_dot_product_attention", nil, "give one mask: Causal or Mask")
	}
	p := fast.Attention{Scale: tensor.MakeF64(scale), Causal: set.Causal}
	return fast.AttentionOf(p, q, k, v, m, k0, nil, s)
}
