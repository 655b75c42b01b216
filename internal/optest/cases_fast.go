package optest

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/tensor"
	tfast "github.com/mlxgo/mlx/internal/tensor/fast"
)

func fastCases() []Case {
	cases := []Case{
		{Name: "rms_norm", In: []string{"x", "w"}, Halves: true, Build: two(func(x, w *mlx.Array) *mlx.Array { return fast.RMSNorm(x, w, 1e-5) })},
		{Name: "rms_norm_none", In: []string{"x"}, Halves: true, Build: one(func(x *mlx.Array) *mlx.Array { return fast.RMSNorm(x, nil, 1e-5) })},
		{Name: "layer_norm", In: []string{"x", "w", "b"}, // halves are rounded before the sum, as in MLX
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{fast.LayerNorm(in[0], in[1], in[2], 1e-5)}
			}},
		{Name: "rope.scale", In: []string{"x"}, Halves: true, Build: one(func(x *mlx.Array) *mlx.Array {
			return fast.RoPE{Dims: 64, Base: 5e5, Scale: 0.25}.Apply(x, 3)
		})},
		{Name: "rope.freqs", In: []string{"x", "freqs"}, Build: two(func(x, freqs *mlx.Array) *mlx.Array {
			return fast.RoPE{Dims: 64, Freqs: freqs}.Apply(x, 2)
		})},
	}
	for _, traditional := range []bool{false, true} {
		for _, dims := range []int{32, 64} {
			for _, offset := range []int{0, 5} {
				t := 0
				if traditional {
					t = 1
				}
				cases = append(cases, Case{Name: fmt.Sprintf("rope.%d.%d.%d", t, dims, offset), In: []string{"x"}, Halves: true,
					Build: one(func(x *mlx.Array) *mlx.Array {
						return fast.RoPE{Dims: dims, Base: 1e4, Traditional: traditional}.Apply(x, offset)
					})})
			}
		}
	}
	attend := func(name string, more []string, options func(in []*mlx.Array) []fast.AttentionOption) {
		cases = append(cases, Case{Name: name, In: append([]string{"q", "k", "v"}, more...), Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{fast.ScaledDotProductAttention(in[0], in[1], in[2], 0.2, options(in)...)}
			}})
	}
	attend("sdpa", nil, func([]*mlx.Array) []fast.AttentionOption { return nil })
	attend("sdpa.causal", nil, func([]*mlx.Array) []fast.AttentionOption { return []fast.AttentionOption{fast.Causal} })
	attend("sdpa.additive", []string{"am"}, func(in []*mlx.Array) []fast.AttentionOption { return []fast.AttentionOption{fast.Mask(in[3])} })
	attend("sdpa.bool", []string{"bm"}, func(in []*mlx.Array) []fast.AttentionOption { return []fast.AttentionOption{fast.Mask(in[3])} })
	attend("sdpa.sinks", []string{"sinks"}, func(in []*mlx.Array) []fast.AttentionOption {
		return []fast.AttentionOption{fast.Causal, fast.Sinks(in[3])}
	})
	for i := range cases {
		cases[i].File, cases[i].Tol, cases[i].Empty = "fast", F32, false
	}
	return append(append(cases, decoderCases()...), cacheCases()...)
}

// decoderCases are what MLX does with several ops: a cache written and read at
// positions that are data, and a sliding window.
func decoderCases() []Case {
	q, k, v := ramp(2, 4, 3, 16), ramp(2, 2, 9, 16).Add(0.1), ramp(2, 2, 9, 8).Mul(-1)
	pos := mlx.FromSlice([]int32{4, 2})
	write := func(in []*mlx.Array) []*mlx.Array {
		state, rows, at := mlx.ToSlice[float32](in[0]), mlx.ToSlice[float32](in[1]), mlx.ToSlice[int32](in[2])
		for b := range 2 {
			for h := range 2 {
				for r := range 3 {
					copy(state[((b*2+h)*9+int(at[b])+r)*16:][:16], rows[((b*2+h)*3+r)*16:][:16])
				}
			}
		}
		return []*mlx.Array{mlx.FromSlice(state, 2, 2, 9, 16)}
	}
	return []Case{
		{Name: "cache_write", Inputs: made(k, ramp(2, 2, 3, 16).Add(7), pos), Want: write,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{tfast.CacheWriteOf(in[0], in[1], in[2], none)}
			}},
		{Name: "attention at positions", Inputs: made(q, k, v, pos), Tol: F32, Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array {
				p := tfast.Attention{Scale: tensor.MakeF64(0.25), Causal: true}
				return []*mlx.Array{tfast.AttentionOf(p, in[0], in[1], in[2], nil, nil, in[3], none)}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				at := mlx.ToSlice[int32](in[3])
				return attention(in, 0.25, func(b, i, j int) bool { return j <= int(at[b])+i })
			}},
		{Name: "attention in a window", Inputs: made(q, k, v), Tol: F32, Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array {
				p := tfast.Attention{Scale: tensor.MakeF64(0.25), Causal: true, Window: 4}
				return []*mlx.Array{tfast.AttentionOf(p, in[0], in[1], in[2], nil, nil, nil, none)}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				return attention(in, 0.25, func(_, i, j int) bool { return j <= 6+i && j > 6+i-4 })
			}},
	}
}

// attention is softmax(q k^T * scale) v over the keys that sees allows, in float64.
func attention(in []*mlx.Array, scale float64, sees func(b, i, j int) bool) []*mlx.Array {
	q, k, v := floats(in[0]), floats(in[1]), floats(in[2])
	batch, heads, rows, d := in[0].Dims4()
	_, kv, keys, dv := in[2].Dims4()
	out := make([]float64, batch*heads*rows*dv)
	for bh := range batch * heads {
		b, g := bh/heads, (bh/heads)*kv+bh%heads/(heads/kv)
		for i := range rows {
			sum := 0.0
			o := out[(bh*rows+i)*dv:][:dv]
			for j := range keys {
				if !sees(b, i, j) {
					continue
				}
				dot := 0.0
				for c := range d {
					dot += q[(bh*rows+i)*d+c] * k[(g*keys+j)*d+c]
				}
				w := math.Exp(scale * dot)
				sum += w
				for c := range dv {
					o[c] += w * v[(g*keys+j)*dv+c]
				}
			}
			for c := range o {
				o[c] /= sum
			}
		}
	}
	return []*mlx.Array{mlx.FromSlice(out, batch, heads, rows, dv).AsType(in[0].DType())}
}
