//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A vjpCase is attention over b batch rows, hq and hk heads, l queries and c keys.
type vjpCase struct {
	p                       fast.Attention
	b, hq, hk, l, c, d, dv  int
	mask, sinks             *tensor.Array
	pos                     []int32
	maskGrad, strided, junk bool
}

// inputs are the op and its inputs in d; the result is the CPU's.
func (c vjpCase) inputs(d dtype.DType) (fast.AttentionVJP, []*tensor.Array) {
	p := c.p
	p.Scale = tensor.MakeF64(1 / math.Sqrt(float64(c.d)))
	q, k, v := someOf(d, 1, -2, 2, c.b, c.hq, c.l, c.d), someOf(d, 2, -2, 2, c.b, c.hk, c.c, c.d), someOf(d, 3, -2, 2, c.b, c.hk, c.c, c.dv)
	if c.junk { // behind the last position
		last := int(c.pos[0]) + c.l
		k = withJunk(k, last)
		v = withJunk(v, last)
	}
	if c.strided { // [B, L, H, D], as projections leave it
		turn := func(a *tensor.Array) *tensor.Array {
			return evaluated(tensor.SwapAxes(tensor.CopyOf(tensor.SwapAxes(a, 1, 2, onCPU()), onCPU()), 1, 2, onCPU()))
		}
		q, k, v = turn(q), turn(k), turn(v)
	}
	in := []*tensor.Array{q, k, v}
	if p.Mask = c.mask != nil; p.Mask {
		in = append(in, c.mask)
	}
	if p.Sinks = c.sinks != nil; p.Sinks {
		in = append(in, c.sinks)
	}
	if p.Pos = c.pos != nil; p.Pos {
		in = append(in, evaluated(tensor.FromSlice(c.pos)))
	}
	y := evaluated(tensor.Apply1(p, onCPU(), in...))
	return fast.AttentionVJP{Of: p, MaskGrad: c.maskGrad}, append(in, y, someOf(d, 4, -1, 1, c.b, c.hq, c.l, c.dv))
}

// withJunk makes keys from row n on infinite or NaN.
func withJunk(a *tensor.Array, n int) *tensor.Array {
	first := tensor.SliceAxis(a, 2, 0, n, onCPU())
	rest := tensor.SliceAxis(a, 2, n, a.Dim(2), onCPU())
	rest = tensor.BinaryOf(tensor.OpDivide, rest, tensor.ZerosLike(rest, onCPU()), onCPU())
	return evaluated(tensor.ConcatenateOf([]*tensor.Array{first, rest}, 2, onCPU()))
}

func vjpCases() map[string]vjpCase {
	cap := tensor.MakeF64(3)
	sinks := someOf(dtype.Float32, 5, -2, 2, 4)
	bools := someOf(dtype.Bool, 6, 0, 2, 2, 1, 37, 70)
	return map[string]vjpCase{
		"plain":               {b: 2, hq: 4, hk: 2, l: 37, c: 70, d: 40, dv: 24},
		"one query":           {b: 1, hq: 4, hk: 1, l: 1, c: 5, d: 3, dv: 1},
		"causal":              {p: fast.Attention{Causal: true}, b: 1, hq: 2, hk: 1, l: 70, c: 70, d: 64, dv: 64, strided: true},
		"causal, fewer keys":  {p: fast.Attention{Causal: true}, b: 1, hq: 2, hk: 2, l: 40, c: 7, d: 8, dv: 8},
		"window":              {p: fast.Attention{Window: 20, SoftCap: cap}, b: 1, hq: 2, hk: 1, l: 90, c: 120, d: 16, dv: 16},
		"sinks":               {p: fast.Attention{Causal: true, SoftCap: cap}, b: 2, hq: 4, hk: 2, l: 37, c: 70, d: 16, dv: 16, sinks: sinks},
		"bools":               {b: 2, hq: 4, hk: 2, l: 37, c: 70, d: 16, dv: 16, mask: bools},
		"a bool mask of rows": {b: 2, hq: 4, hk: 2, l: 37, c: 70, d: 16, dv: 16, mask: someOf(dtype.Bool, 6, 0, 2, 37, 1), sinks: sinks},
		"added": {p: fast.Attention{Causal: true, SoftCap: cap}, b: 2, hq: 4, hk: 2, l: 37, c: 70, d: 16, dv: 16,
			mask: someOf(dtype.Float32, 6, -2, 2, 4, 37, 70), maskGrad: true, sinks: sinks},
		"positions": {p: fast.Attention{Causal: true}, b: 2, hq: 4, hk: 2, l: 5, c: 70, d: 16, dv: 16, pos: []int32{40, 3}},
		"junk":      {p: fast.Attention{Causal: true}, b: 1, hq: 4, hk: 2, l: 5, c: 70, d: 16, dv: 16, pos: []int32{40}, junk: true},
		"large":     {p: fast.Attention{Causal: true}, b: 1, hq: 2, hk: 1, l: 40, c: 40, d: 96, dv: 128},
		"widest":    {b: 1, hq: 1, hk: 1, l: 33, c: 34, d: 256, dv: 200},
	}
}

func TestAttentionVJP(t *testing.T) {
	for name, c := range vjpCases() {
		p, in := c.inputs(dtype.Float32)
		sameAsCPU(t, name, p, closeness{2e-5, 1e-6}, in...)
	}
}

// Halves are read as floats: the cotangents are the CPU's, rounded once.
func TestAttentionVJPOfHalves(t *testing.T) {
	for _, d := range []dtype.DType{dtype.Float16, dtype.BFloat16} {
		for _, name := range []string{"causal", "added", "sinks"} {
			p, in := vjpCases()[name].inputs(d)
			if d == dtype.BFloat16 {
				for i := range in {
					if in[i].DType() == dtype.Float32 { // masks and sinks of the same type
						in[i] = evaluated(tensor.AsType(in[i], d, onCPU()))
					}
				}
			}
			sameAsCPU(t, fmt.Sprint(name, d), p, closeness{1e-4, 1e-5}, in...)
		}
	}
}

func TestAttentionVJPFallsBack(t *testing.T) {
	c := vjpCase{b: 1, hq: 1, hk: 1, l: 3, c: 3, d: 4, dv: 4}
	p, in := c.inputs(dtype.Float64)
	fallsBack(t, p, in...)
	p, in = c.inputs(dtype.Float32)
	in[1] = evaluated(tensor.AsType(in[1], dtype.Float16, onCPU()))
	fallsBack(t, p, in...)
	c.d = 300
	p, in = c.inputs(dtype.Float32)
	fallsBack(t, p, in...)
}

func TestDialectOfAttentionVJP(t *testing.T) {
	for _, i := range []instance{
		{"attention_vjp", "attention_rows", []string{"half"}}, {"attention_vjp", "attention_keys", []string{"bfloat", "2"}},
		{"attention_vjp", "attention_queries", []string{"float", "4"}},
	} {
		checkSource(t, i.hostName(), i.source)
	}
}

func TestAttentionVJPSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, name := range []string{"added", "causal", "positions"} {
			p, in := vjpCases()[name].inputs(dtype.Float32)
			sanitized(t, mode, name, p, closeness{2e-5, 1e-6}, in...)
		}
	}
}
