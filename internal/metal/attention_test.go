//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// An attended is a case of attention: q [b, hq, l, d] of keys k [b, hk, n, d].
type attended struct {
	b, hq, hk, l, n, d, dv int
}

// inputs are q, k and v.
func (c attended) inputs(dt dtype.DType) []*tensor.Array {
	return []*tensor.Array{
		someOf(dt, 1, -2, 2, c.b, c.hq, c.l, c.d), someOf(dt, 2, -2, 2, c.b, c.hk, c.n, c.d), someOf(dt, 3, -1, 1, c.b, c.hk, c.n, c.dv),
	}
}

// filled is an array of one value.
func filled(d dtype.DType, v float64, shape ...int) *tensor.Array {
	f := make([]float32, tensor.Shape(shape).Size())
	for i := range f {
		f[i] = float32(v)
	}
	return evaluated(tensor.AsType(tensor.FromSlice(f, shape...), d, onCPU()))
}

// attends compares with attention in float64.
func attends(t *testing.T, what string, p fast.Attention, in ...*tensor.Array) {
	t.Helper()
	if p.Scale.Value() == 0 {
		p.Scale = tensor.MakeF64(1 / math.Sqrt(float64(in[0].Dim(3))))
	}
	if err := hasKernel(p, in); err != nil {
		t.Errorf("%s: %v", what, err)
		return
	}
	got := evaluated(tensor.Apply1(p, onGPU(), in...))
	wide := append([]*tensor.Array(nil), in...)
	for i := range 3 {
		wide[i] = tensor.AsType(in[i], dtype.Float64, onCPU())
	}
	want := evaluated(tensor.AsType(tensor.Apply1(p, onCPU(), wide...), got.DType(), onCPU()))
	if err := differ(got, want, closeness{2e-6, 2e-6}); err != nil {
		t.Errorf("%s: %v: %v", what, specsOf(in), err)
	}
}

var attentionCases = []attended{
	{1, 2, 1, 1, 1, 64, 64},
	{2, 4, 2, 1, 33, 64, 64},
	{1, 3, 3, 3, 70, 80, 80},
	{1, 2, 1, 8, 40, 96, 96},
	{1, 2, 1, 9, 9, 64, 64},
	{2, 4, 2, 33, 70, 64, 64},
	{1, 1, 1, 70, 70, 80, 80},
	{1, 2, 1, 12, 50, 96, 96},
	{1, 2, 2, 12, 31, 128, 128},
	{1, 1, 1, 10, 20, 256, 256},
	{1, 1, 1, 2, 20, 256, 256},
	{1, 2, 1, 10, 33, 20, 50}, // sizes with no kernel of their own
	{1, 2, 1, 2, 33, 20, 50},
	{1, 1, 1, 9, 12, 300, 130}, // no tiles
}

func TestAttention(t *testing.T) {
	for _, d := range floating {
		for _, c := range attentionCases {
			if d != dtype.Float32 && c.d != 64 && !full {
				continue
			}
			attends(t, "all", fast.Attention{}, c.inputs(d)...)
			attends(t, "causal", fast.Attention{Causal: true}, c.inputs(d)...)
		}
	}
	c := attended{1, 2, 1, 0, 40, 64, 64}
	for _, c.l = range []int{3, 20} {
		attends(t, "a cap", fast.Attention{Causal: true, SoftCap: tensor.MakeF64(1.5)}, c.inputs(dtype.Float32)...)
		attends(t, "a window", fast.Attention{Causal: true, Window: 5}, c.inputs(dtype.Float32)...)
	}
	mixed := []*tensor.Array{someOf(dtype.Float32, 1, -2, 2, 1, 2, 1, 64), someOf(dtype.BFloat16, 2, -2, 2, 1, 1, 7, 64), someOf(dtype.Float16, 3, -2, 2, 1, 1, 7, 64)}
	attends(t, "mixed types", fast.Attention{}, mixed...)
	fallsBack(t, fast.Attention{Scale: tensor.MakeF64(1)}, attended{1, 1, 1, 1, 4, 8, 8}.inputs(dtype.Float64)...)
}

// Nothing to attend to gives zeros.
func TestAttentionOfNothing(t *testing.T) {
	attends(t, "no keys", fast.Attention{}, attended{1, 2, 1, 3, 0, 64, 64}.inputs(dtype.Float32)...)
	attends(t, "queries before all keys", fast.Attention{Causal: true}, attended{1, 2, 1, 12, 4, 64, 64}.inputs(dtype.Float32)...)
	attends(t, "few queries before all keys", fast.Attention{Causal: true}, attended{1, 2, 1, 6, 4, 64, 64}.inputs(dtype.Float32)...)
	for _, l := range []int{2, 12} {
		in := attended{1, 2, 1, l, 9, 64, 64}.inputs(dtype.Float32)
		hidden := filled(dtype.Bool, 0, l, 9)
		attends(t, "all is hidden", fast.Attention{Mask: true}, append(in, hidden)...)
		low := filled(dtype.Float32, -math.MaxFloat32, l, 9)
		attends(t, "all is low", fast.Attention{Mask: true}, append(in, low)...)
		none := filled(dtype.Float32, math.Inf(-1), 1, 1)
		attends(t, "all is -inf", fast.Attention{Mask: true, Sinks: true}, append(in, none, someOf(dtype.Float32, 9, -1, 1, 2))...)
	}
}

func TestAttentionMasks(t *testing.T) {
	for _, l := range []int{2, 34} {
		c := attended{2, 4, 2, l, 37, 64, 64}
		in := c.inputs(dtype.Float32)
		for _, shape := range [][]int{{2, 4, l, 37}, {2, 1, l, 37}, {l, 37}, {2, 4, 1, 37}, {37}} {
			for _, d := range []dtype.DType{dtype.Bool, dtype.Float32, dtype.BFloat16} {
				if d == dtype.BFloat16 && len(shape) != 2 {
					continue
				}
				mask := someOf(d, 5, -1.5, 2, shape...)
				attends(t, fmt.Sprint("mask ", shape), fast.Attention{Mask: true}, append(in[:3:3], mask)...)
				if len(shape) == 2 {
					attends(t, "causal, mask and sinks", fast.Attention{Mask: true, Causal: true, Sinks: true},
						append(in[:3:3], mask, someOf(dtype.Float32, 6, -2, 4, 4))...)
					turned := evaluated(tensor.SwapAxes(someOf(d, 5, -1.5, 2, 37, l), 0, 1, onCPU()))
					attends(t, "a turned mask", fast.Attention{Mask: true}, append(in[:3:3], turned)...)
				}
			}
		}
	}
}

// Positions say which of the keys are there; what lies behind is not read.
func TestAttentionPositions(t *testing.T) {
	for _, l := range []int{1, 5, 12} {
		in := attended{3, 2, 1, l, 64, 64, 64}.inputs(dtype.Float32)
		for i := range 2 {
			parts := []*tensor.Array{tensor.SliceAxis(in[1+i], 2, 0, 40, onCPU()),
				filled(dtype.Float32, math.NaN(), 3, 1, 24, 64)}
			in[1+i] = evaluated(tensor.ConcatenateOf(parts, 2, onCPU()))
		}
		in = append(in, evaluated(tensor.FromSlice([]int32{0, 17, 28})))
		for _, p := range []fast.Attention{{Pos: true}, {Pos: true, Causal: true}, {Pos: true, Causal: true, Window: 7}} {
			attends(t, fmt.Sprint(l, " queries"), p, in...)
		}
		in[3] = evaluated(tensor.FromSlice([]int32{-3, -40, 3}))
		attends(t, "before the beginning", fast.Attention{Pos: true, Causal: true}, in...)
	}
}

func TestAttentionRing(t *testing.T) {
	for _, l := range []int{1, 13} {
		in := append(attended{3, 2, 1, l, 512, 32, 32}.inputs(dtype.Float32), evaluated(tensor.FromSlice([]int32{3, 505, 1530})))
		attends(t, "ring", fast.Attention{Pos: true, Causal: true, Window: 40, Ring: true}, in...)
		in = append(attended{1, 2, 1, l, 37, 32, 32}.inputs(dtype.Float32), evaluated(tensor.FromSlice([]int32{20})))
		attends(t, "not yet a ring", fast.Attention{Pos: true, Causal: true, Window: 10, Ring: true}, in...)
	}
}

// Long contexts are cut into parts.
func TestAttentionInParts(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float32, dtype.BFloat16} {
		c := attended{1, 2, 1, 1, 1100, 32, 32}
		attends(t, "parts", fast.Attention{}, c.inputs(d)...)
		in := append(c.inputs(d), someOf(dtype.Float32, 4, 0, 3, 2), evaluated(tensor.FromSlice([]int32{9})))
		attends(t, "a window over two parts", fast.Attention{Causal: true, Window: 200}, c.inputs(d)...)
		attends(t, "parts without keys", fast.Attention{Causal: true, Sinks: true, Pos: true}, in...)
	}
}

// Packed keys and values are those that dequantizing gives, to the bit.
func TestAttentionPacked(t *testing.T) {
	for _, bits := range []int{4, 8, 3} {
		for _, l := range []int{1, 11} {
			in := append(attended{2, 4, 2, l, 40, 64, 128}.inputs(dtype.Float32), int32s(29, 3))
			p := fast.Attention{Causal: true, Pos: true, Scale: tensor.MakeF64(0.2)}
			pack := func(a *tensor.Array) (parts []*tensor.Array, whole *tensor.Array) {
				parts = quant.QuantizeOf(a, affine(bits, 32), onCPU())
				return parts, quant.DequantizeOf(parts[0], parts[1], parts[2], affine(bits, 32), dtype.Float32, onCPU())
			}
			k, wholeK := pack(in[1])
			v, wholeV := pack(in[2])
			want := evaluated(tensor.Apply1(p, onGPU(), in[0], wholeK, wholeV, in[3]))
			p.Bits, p.Group = bits, 32
			all := append(append(append(in[:1:1], k...), v...), in[3])
			if err := tensor.Eval(all...); err != nil {
				t.Fatal(err)
			}
			if err := hasKernel(p, all); err != nil {
				t.Error(err)
			}
			if err := differ(evaluated(tensor.Apply1(p, onGPU(), all...)), want, closeness{}); err != nil {
				t.Errorf("%d bits, %d queries: %v", bits, l, err)
			}
			sameAsCPU(t, "unpack", fast.Unpack{Bits: bits, Group: 32}, closeness{1e-6, 0}, k...)
		}
	}
}

func TestAttentionOfViews(t *testing.T) {
	for _, l := range []int{3, 10} {
		in := attended{2, 4, 2, l, 21, 32, 32}.inputs(dtype.Float32)
		turned := append([]*tensor.Array(nil), in...)
		for i, a := range in { // heads behind positions, as projections leave them
			turned[i] = evaluated(tensor.SwapAxes(evaluated(tensor.CopyOf(tensor.SwapAxes(a, 1, 2, onCPU()), onCPU())), 1, 2, onCPU()))
		}
		attends(t, "turned", fast.Attention{Causal: true}, turned...)
		for name, v := range stridedForms(in[1]) {
			attends(t, "keys: "+name, fast.Attention{}, in[0], v, in[2])
		}
	}
}

// The kernels have no races and stay inside of their arrays.
func TestAttentionSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	pos := evaluated(tensor.FromSlice([]int32{3}))
	sinks := someOf(dtype.Float32, 6, -2, 4, 2)
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, c := range []struct {
			what string
			p    fast.Attention
			at   attended
			more []*tensor.Array
		}{
			{"a row", fast.Attention{Sinks: true, Pos: true, Causal: true}, attended{1, 2, 1, 2, 19, 50, 20}, []*tensor.Array{sinks, pos}},
			{"parts", fast.Attention{}, attended{1, 2, 1, 1, 1030, 32, 32}, nil},
			{"tiles", fast.Attention{Sinks: true, Pos: true, Causal: true}, attended{1, 2, 1, 35, 70, 50, 20}, []*tensor.Array{sinks, pos}},
			{"a mask", fast.Attention{Mask: true}, attended{1, 2, 1, 10, 19, 80, 80}, []*tensor.Array{someOf(dtype.Bool, 5, -1.5, 2, 10, 19)}},
		} {
			c.p.Scale = tensor.MakeF64(0.2)
			sanitized(t, mode, c.what, c.p, closeness{1e-5, 1e-5}, append(c.at.inputs(dtype.Float32), c.more...)...)
		}
	}
}

func TestDialectOfAttention(t *testing.T) {
	for _, i := range []instance{
		{"attention", "attend_row", []string{"bfloat", "half", "bfloat", "float", "half", "bfloat", "3", "2"}},
		{"attention", "attend_tiles", []string{"bfloat", "half", "bfloat", "float", "uchar", "bfloat", "192", "80", "16"}},
		{"attention", "attend_merge", []string{"half"}},
		{"take", "take", []string{"ushort", "ulong"}}, {"take", "take", []string{"ulong", "char"}},
		{"cache", "cache_write", []string{"ulong"}}, {"cache", "cache_read", []string{"uchar"}},
	} {
		checkSource(t, i.hostName(), i.source)
	}
}
