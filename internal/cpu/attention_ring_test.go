package cpu

import (
	"bytes"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// TestAttentionRing: keys in a ring give the bits of the same keys in order, alone and
// among others, cut into segments or not, packed or not, each sequence at its own position.
func TestAttentionRing(t *testing.T) {
	const keys, hk, d, dv = 2640, 2, 32, 64
	rng := newRand(17 << 20)
	for _, c := range []struct {
		d            dtype.DType
		bits         int
		ring, window int
	}{
		{dtype.BFloat16, 0, 512, 100}, {dtype.Float32, 0, 1024, 500}, {dtype.Float32, 0, 1536, 1025}, {dtype.Float64, 0, 512, 65},
		{dtype.Float32, 8, 1024, 600}, {dtype.BFloat16, 4, 512, 64}, {dtype.Float32, 0, 2560, 2000},
	} {
		k, _ := normalArray(rng, c.d, 2, hk, keys, d)
		v, _ := normalArray(rng, c.d, 2, hk, keys, dv)
		p := fast.Attention{Scale: tensor.MakeF64(.125), Causal: true, Window: c.window, Bits: c.bits, Group: 32}
		pk, pv := parts(p, k), parts(p, v)
		for _, n := range [][2]int{{1, 1}, {3, 1}, {3, 7}, {1, 65}} {
			group, l := n[0], n[1]
			for _, pos := range [][]int32{{int32(c.window), 511}, {int32(c.ring - l), 1024}, {2500, int32(c.ring)}} {
				q, _ := normalArray(rng, c.d, 2, hk*group, l, d)
				p := p
				at := tensor.FromSlice(pos)
				want := fast.PackedAttentionOf(p, q, pk, pv, nil, nil, at, none)
				p.Ring = true
				got := fast.PackedAttentionOf(p, q, ringed(pk, pos, l, c.ring), ringed(pv, pos, l, c.ring), nil, nil, at, none)
				if !bytes.Equal(got.Bytes(), want.Bytes()) {
					t.Fatalf("%+v, %d heads, %d rows at %v: other bits", c, group, l, pos)
				}
			}
		}
	}
}

// parts are keys or values as attention takes them.
func parts(p fast.Attention, a *tensor.Array) []*tensor.Array {
	if p.Bits == 0 {
		return []*tensor.Array{a}
	}
	return quant.QuantizeOf(a, quant.Scheme{Mode: quant.Affine, Bits: p.Bits, GroupSize: p.Group}, none)
}

// ringed is what a ring of n rows has after l rows at pos of each sequence; rows that were
// not written yet have values of others.
func ringed(as []*tensor.Array, pos []int32, l, n int) []*tensor.Array {
	count := make([]int32, len(pos))
	for i := range pos {
		count[i] = pos[i] + int32(l)
	}
	out := make([]*tensor.Array, len(as))
	for i, a := range as {
		keys := a.Shape()[2]
		zero := tensor.FromSlice(make([]int32, len(pos)))
		out[i] = fast.RingWriteOf(fast.CacheWrite{Ring: n}, tensor.SliceAxis(a, 2, keys-n, keys, none), a, zero, tensor.FromSlice(count), none)
	}
	return out
}
