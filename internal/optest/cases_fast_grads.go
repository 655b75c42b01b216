package optest

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	tfast "github.com/mlxgo/mlx/internal/tensor/fast"
)

// fastGradCases are the derivatives of fused ops, which are ops themselves.
func fastGradCases() []Case {
	return slices.Concat(recordedGrads(), normGrads(), gateGrads(), attentionGrads(), packedGrads())
}

// recordedGrads are gradients of the sum of squares that MLX gave.
func recordedGrads() []Case {
	squares := func(f func(in []*mlx.Array) *mlx.Array) func(in []*mlx.Array) []*mlx.Array {
		return func(in []*mlx.Array) []*mlx.Array {
			_, g := autodiff.VJPWith(func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in)} }, in,
				func(y []*mlx.Array) []*mlx.Array { return []*mlx.Array{y[0].Mul(2)} })
			return g
		}
	}
	tol := Tol{Rel: 1e-5, Abs: 1e-4}
	return []Case{
		{Name: "rms_norm.grad", File: "fast", In: []string{"x", "w"}, Keys: []string{"rms_norm.dx", "rms_norm.dw"}, Tol: tol,
			Build: squares(func(in []*mlx.Array) *mlx.Array { return fast.RMSNorm(in[0], in[1], 1e-5) })},
		{Name: "layer_norm.grad", File: "fast", In: []string{"x", "w", "b"}, Keys: []string{"layer_norm.dx", "layer_norm.dw", "layer_norm.db"}, Tol: tol,
			Build: squares(func(in []*mlx.Array) *mlx.Array { return fast.LayerNorm(in[0], in[1], in[2], 1e-5) })},
		{Name: "sdpa.causal.grad", File: "fast", In: []string{"q", "k", "v"}, Keys: []string{"sdpa.causal.dq", "sdpa.causal.dk", "sdpa.causal.dv"}, Tol: tol,
			Build: squares(func(in []*mlx.Array) *mlx.Array {
				return fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.2, fast.Causal)
			})},
	}
}

// formula is what the graph of a fused op gives in float64.
func formula(p tensor.Primitive, in []*mlx.Array) []*mlx.Array {
	wide, specs := make([]*mlx.Array, len(in)), make([]tensor.Spec, len(in))
	for i, a := range in {
		wide[i], specs[i] = a, tensor.SpecOf(a)
		if a.DType().Is(mlx.Floating) {
			wide[i] = a.AsType(mlx.Float64)
		}
	}
	like, err := p.Infer(specs)
	if err != nil {
		panic(err)
	}
	out := p.(tensor.Composite).Fallback(none, wide)
	for i := range out {
		out[i] = out[i].AsType(like[i].DType)
	}
	return out
}

// fused is a case of an op that has a formula.
func fused(name string, p tensor.Primitive, in ...*mlx.Array) Case {
	return Case{Name: name, Inputs: made(in...), Tol: Tol{Rel: 2e-5, Abs: 2e-5}, Halves: true,
		Build: func(in []*mlx.Array) []*mlx.Array { return tensor.Apply(p, none, in...) },
		Want:  func(in []*mlx.Array) []*mlx.Array { return formula(p, in) }}
}

func normGrads() []Case {
	eps, zero, one := tensor.MakeF64(1e-5), tensor.MakeF64(0), tensor.MakeF64(1)
	x, w, c := ramp(3, 5, 37), ramp(37).Add(0.3), ramp(3, 5, 37).Mul(-0.7)
	many := ramp(70, 11)
	return []Case{
		fused("rms_norm_vjp", tfast.NormVJP{Eps: eps, Offset: zero}, x, c),
		fused("rms_norm_vjp with a weight", tfast.NormVJP{Eps: eps, Offset: zero, Weight: true}, x, w, c),
		fused("rms_norm_vjp with a shifted weight", tfast.NormVJP{Eps: eps, Offset: one, Weight: true}, many, ramp(11), many.Add(1)),
		fused("layer_norm_vjp", tfast.NormVJP{Eps: eps, Offset: zero, Layer: true}, x, c),
		fused("layer_norm_vjp with a bias", tfast.NormVJP{Eps: eps, Offset: zero, Layer: true, Bias: true}, x, c),
		fused("layer_norm_vjp with both", tfast.NormVJP{Eps: eps, Offset: one, Layer: true, Weight: true, Bias: true}, many, ramp(11), many.Mul(0.5)),
		fused("layer_norm_vjp of a vector", tfast.NormVJP{Eps: eps, Offset: zero, Layer: true, Weight: true, Bias: true}, ramp(9), ramp(9).Add(1), ramp(9).Mul(2)),
	}
}

func gateGrads() (cases []Case) {
	x, up, c := ramp(3, 701), ramp(3, 701).Add(0.5), ramp(3, 701).Mul(-0.3)
	for _, k := range []tensor.Gate{tensor.GateSiLU, tensor.GateGELU, tensor.GateGELUTanh} {
		p := tensor.GateVJP{Kind: k}
		kind := []string{"silu", "gelu", "gelu of tanh"}[k]
		cases = append(cases, fused("derivative of a unit gated by "+kind, p, x, up, c), fused("derivative of "+kind, p, x, c))
	}
	return cases
}

// attentionGrads compute each kind of mask forwards and backwards.
func attentionGrads() (cases []Case) {
	q, k, v := ramp(2, 6, 5, 9), ramp(2, 2, 7, 9).Add(0.1), ramp(2, 2, 7, 10).Mul(-1)
	low := math.Inf(-1)
	sinks, pos := ramp(6), mlx.FromSlice([]int32{2, 0})
	hidden := mlx.FromSlice([]bool{true, false, true, true, true, false, true}).Reshape(1, 7)
	rows := mlx.FromSlice([]bool{true, false, true, true, true}).Reshape(5, 1)
	empty := hidden.AsType(mlx.Float32).Mul(rows.AsType(mlx.Float32)).Eq(1)
	perHead := ramp(6, 1, 7).Mul(0.5)
	holes := mlx.Where(empty, ramp(2, 1, 5, 7), mlx.NewArray(low))
	add := func(name string, p tfast.Attention, q, k, v, mask, sinks, pos *mlx.Array) {
		p.Mask, p.Sinks, p.Pos = mask != nil, sinks != nil, pos != nil
		p.Scale = tensor.MakeF64(0.3)
		in := []*mlx.Array{q, k, v}
		for _, a := range []*mlx.Array{mask, sinks, pos} {
			if a != nil {
				in = append(in, a)
			}
		}
		cases = append(cases, fused("attention, "+name, p, in...))
		d := tfast.AttentionVJP{Of: p, MaskGrad: mask != nil && mask.DType() != mlx.Bool}
		c := wavy(q.Dim(0), q.Dim(1), q.Dim(2), v.Dim(3))
		whole := func(in []*mlx.Array) []*mlx.Array {
			n := len(in) - 1
			y := tensor.Apply1(p, none, in[:n]...)
			return append(slices.Clone(in[:n]), y, in[n])
		}
		cases = append(cases, Case{Name: "attention backwards, " + name, Inputs: made(append(in, c)...), Tol: Tol{Rel: 5e-5, Abs: 5e-5}, Halves: false,
			Build: func(in []*mlx.Array) []*mlx.Array { return tensor.Apply(d, none, whole(in)...) },
			Want:  func(in []*mlx.Array) []*mlx.Array { return formula(d, whole(in)) }})
	}
	cap := tensor.MakeF64(2)
	add("no mask", tfast.Attention{}, q, k, v, nil, nil, nil)
	add("causal, capped, sinks", tfast.Attention{Causal: true, SoftCap: cap}, q, k, v, nil, sinks, nil)
	add("window at positions", tfast.Attention{Window: 3}, q, k, v, nil, nil, pos)
	add("positions alone", tfast.Attention{}, q, k, v, nil, nil, pos)
	add("rows that see nothing", tfast.Attention{}, q, k, v, empty, nil, nil)
	add("added per head", tfast.Attention{SoftCap: cap}, q, k, v, perHead, nil, nil)
	add("added with holes, sinks", tfast.Attention{Causal: true}, q, k, v, holes, sinks, nil)
	add("fewer keys than queries", tfast.Attention{Causal: true}, q, ramp(2, 2, 3, 9), ramp(2, 2, 3, 10), nil, nil, nil)
	return append(cases, longAttention()...)
}

// longAttention has several blocks of queries and keys.
func longAttention() []Case {
	q, k, v := ramp(1, 4, 150, 8), ramp(1, 2, 200, 8).Add(0.1), ramp(1, 2, 200, 6)
	p := tfast.Attention{Scale: tensor.MakeF64(0.3), Causal: true, Window: 90}
	d := tfast.AttentionVJP{Of: p}
	whole := func(in []*mlx.Array) []*mlx.Array {
		return []*mlx.Array{in[0], in[1], in[2], tensor.Apply1(p, none, in[:3]...), in[3]}
	}
	return []Case{{Name: "attention backwards, long", Long: true, Inputs: made(q, k, v, wavy(1, 4, 150, 6)), Tol: Tol{Rel: 5e-5, Abs: 5e-5}, NoVMap: "long",
		Build: func(in []*mlx.Array) []*mlx.Array { return tensor.Apply(d, none, whole(in)...) },
		Want:  func(in []*mlx.Array) []*mlx.Array { return formula(d, whole(in)) }}}
}

// wavy is a cotangent.
func wavy(shape ...int) *mlx.Array { return ramp(shape...).Mul(0.3).Add(0.05) }

// packedGrads are the parts of the derivatives of caches.
func packedGrads() []Case {
	s := quant.Scheme{Mode: quant.Affine, Bits: 4, GroupSize: 32}
	q := quant.QuantizeOf(ramp(2, 3, 64), s, none)
	state, pos, count := ramp(2, 3, 6, 5), mlx.FromSlice([]int32{9, 1}), mlx.FromSlice([]int32{4, 3})
	read := tfast.CacheRead{Write: tfast.CacheWrite{Keep: 2, Ring: 4, Count: true}, Rows: 4}
	return []Case{
		{Name: "unpack", Inputs: made(q...),
			Build: func(in []*mlx.Array) []*mlx.Array { return tensor.Apply(tfast.Unpack{Bits: 4, Group: 32}, none, in...) },
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{quant.DequantizeOf(in[0], in[1], in[2], s, mlx.Float32, none)}
			}},
		{Name: "cache_read", Inputs: made(state, pos, count),
			Build: func(in []*mlx.Array) []*mlx.Array { return tensor.Apply(read, none, in...) },
			// Position t >= 2 lies in row 2 + (t-2) % 4: 9 to 12 in 5, 2, 3, 4, and 1 to 3 in 1, 2, 3.
			Want: func(in []*mlx.Array) []*mlx.Array {
				rows := mlx.Concatenate(mlx.Arrays{in[0], tensor.ZerosLike(tensor.SliceAxis(in[0], 2, 0, 1, none), none)}, mlx.Axis(2))
				first := mlx.Take(tensor.SliceAxis(rows, 0, 0, 1, none), mlx.NewArray([]int{5, 2, 3, 4}), mlx.Axis(2))
				second := mlx.Take(tensor.SliceAxis(rows, 0, 1, 2, none), mlx.NewArray([]int{1, 2, 3, 6}), mlx.Axis(2))
				return []*mlx.Array{mlx.Concatenate(mlx.Arrays{first, second})}
			}},
	}
}
