package optest

import (
	"fmt"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	tfast "github.com/mlxgo/mlx/internal/tensor/fast"
)

// cacheCases are the ops of rotating and quantized caches.
func cacheCases() (cases []Case) {
	for _, c := range []tfast.CacheWrite{{Ring: 5}, {Keep: 2, Ring: 5}, {Keep: 3, Ring: 4}} {
		for _, rows := range []int{1, 3, 9} {
			cases = append(cases, ringWrite(c, rows))
			cases = append(cases, ringMask(tfast.RingMask{Keep: c.Keep, Ring: c.Ring, Rows: rows}))
		}
	}
	for _, rows := range []int{1, 5, 70} {
		cases = append(cases, ringAttention(rows, []int32{600, 30}), ringAttention(rows, []int32{511, 1200}))
	}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		cases = append(cases,
			packedAttention("decode", bits, 32, 1, 600, []int32{570, 3}, tfast.Attention{Causal: true}),
			packedAttention("window", bits, 64, 1, 600, []int32{590, 530}, tfast.Attention{Causal: true, Window: 70}),
			packedAttention("prefill", bits, 32, 9, 540, []int32{520, 0}, tfast.Attention{Causal: true}),
			packedAttention("mask", bits, 64, 7, 530, nil, tfast.Attention{Mask: true}))
	}
	return cases
}

// ringWrite writes position by position. One sequence has all rows counted, the
// other all but one.
func ringWrite(p tfast.CacheWrite, rows int) Case {
	slots := p.Keep + p.Ring
	pos, count := []int32{int32(slots) + 3, 1}, []int32{int32(rows), int32(rows - 1)}
	return Case{
		Name:   fmt.Sprintf("cache_write of %d rows into a ring of %d after %d", rows, p.Ring, p.Keep),
		Inputs: made(ramp(2, 2, slots, 4), ramp(2, 2, rows, 4).Add(7), mlx.FromSlice(pos), mlx.FromSlice(count)),
		Build: func(in []*mlx.Array) []*mlx.Array {
			return []*mlx.Array{tfast.RingWriteOf(p, in[0], in[1], in[2], in[3], none)}
		},
		Want: func(in []*mlx.Array) []*mlx.Array {
			state, new := mlx.ToSlice[float32](in[0]), mlx.ToSlice[float32](in[1])
			for bh := range 4 {
				for i := range int(count[bh/2]) {
					t := int(pos[bh/2]) + i
					for t >= slots {
						t -= p.Ring
					}
					copy(state[(bh*slots+t)*4:][:4], new[(bh*rows+i)*4:][:4])
				}
			}
			return []*mlx.Array{mlx.FromSlice(state, 2, 2, slots, 4)}
		}}
}

// ringMask follows which position each row of the ring holds.
func ringMask(p tfast.RingMask) Case {
	pos := []int32{0, 1, 2, 3, 5, 6, 7, 8, 13}
	slots := p.Keep + p.Ring
	row := func(at, i int) (mask []bool) {
		held := slices.Repeat([]int{-1}, slots)
		last := at
		if p.Rows > 1 {
			last--
		}
		for t := range last + 1 {
			s := t
			for s >= slots {
				s -= p.Ring
			}
			held[s] = t
		}
		for j := range p.Rows {
			if p.Rows > 1 {
				held = append(held, at+j)
			}
		}
		for _, t := range held {
			see := t >= 0 && t <= at+i && t > at+i-p.Ring
			if p.Rows == 1 {
				see = t >= 0 && (t < p.Keep || t > at-(p.Ring-p.Keep))
			}
			mask = append(mask, see)
		}
		return mask
	}
	return Case{
		Name: fmt.Sprintf("ring_mask of %d rows over %d after %d", p.Rows, p.Ring, p.Keep), Inputs: made(mlx.FromSlice(pos)),
		Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{tfast.RingMaskOf(p, in[0], none)} },
		Want: func([]*mlx.Array) []*mlx.Array {
			var mask []bool
			for _, at := range pos {
				for i := range p.Rows {
					mask = append(mask, row(int(at), i)...)
				}
			}
			return []*mlx.Array{mlx.FromSlice(mask, len(pos), 1, p.Rows, len(mask)/len(pos)/p.Rows)}
		}}
}

// ringAttention has the bits of attention over the same keys in order.
func ringAttention(rows int, pos []int32) Case {
	const keys, ring, d, dv = 1300, 512, 32, 64
	p := tfast.Attention{Scale: tensor.MakeF64(0.125), Causal: true, Window: 400}
	count := []int32{pos[0] + int32(rows), pos[1] + int32(rows)}
	attend := func(in []*mlx.Array, turn bool) []*mlx.Array {
		p, k, v := p, in[1], in[2]
		if p.Ring = turn; turn {
			write := func(a *mlx.Array) *mlx.Array {
				state := tensor.SliceAxis(a, 2, keys-ring, keys, none)
				return tfast.RingWriteOf(tfast.CacheWrite{Ring: ring}, state, a, mlx.FromSlice([]int32{0, 0}), in[4], none)
			}
			k, v = write(k), write(v)
		}
		return []*mlx.Array{tfast.AttentionOf(p, in[0], k, v, nil, nil, in[3], none)}
	}
	return Case{
		Name:   fmt.Sprintf("attention of %d rows at %v over a ring", rows, pos),
		Long:   rows > 5,
		Inputs: made(ramp(2, 6, rows, d), ramp(2, 2, keys, d).Add(0.1), ramp(2, 2, keys, dv).Mul(-1), mlx.FromSlice(pos), mlx.FromSlice(count)),
		Build:  func(in []*mlx.Array) []*mlx.Array { return attend(in, true) },
		Want:   func(in []*mlx.Array) []*mlx.Array { return attend(in, false) },
	}
}

// packedAttention has the bits of attention over the unpacked keys and values.
func packedAttention(name string, bits, group, rows, keys int, pos []int32, p tfast.Attention) Case {
	const d, dv = 64, 128
	p.Scale = tensor.MakeF64(0.125)
	s := quant.Scheme{Mode: quant.Affine, Bits: bits, GroupSize: group}
	in := []*mlx.Array{ramp(2, 6, rows, d), ramp(2, 2, keys, d).Add(0.1), ramp(2, 2, keys, dv).Mul(-1)}
	if p.Mask {
		mask := make([]bool, rows*keys)
		for i := range mask {
			mask[i] = i*i%7 < 3
		}
		in = append(in, mlx.FromSlice(mask, 1, 1, rows, keys))
	} else {
		in = append(in, mlx.FromSlice(pos))
	}
	attend := func(p tfast.Attention, q *mlx.Array, k, v []*mlx.Array, more *mlx.Array) []*mlx.Array {
		if p.Mask {
			return []*mlx.Array{tfast.PackedAttentionOf(p, q, k, v, more, nil, nil, none)}
		}
		return []*mlx.Array{tfast.PackedAttentionOf(p, q, k, v, nil, nil, more, none)}
	}
	step := 1e-3
	if bits > 5 { // codes are large, and scores bend
		step = 1e-4
	}
	k, v := quant.QuantizeOf(in[1], s, none), quant.QuantizeOf(in[2], s, none)
	return Case{
		Name:   fmt.Sprintf("attention over %d bits in groups of %d, %s", bits, group, name),
		Inputs: made(slices.Concat(in[:1], k, v, in[3:])...), GradStep: step, GradTol: 0.06,
		Build: func(in []*mlx.Array) []*mlx.Array {
			packed := p
			packed.Bits, packed.Group = bits, group
			return attend(packed, in[0], in[1:4], in[4:7], in[7])
		},
		Want: func(in []*mlx.Array) []*mlx.Array {
			whole := func(q []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{quant.DequantizeOf(q[0], q[1], q[2], s, mlx.Float32, none)}
			}
			return attend(p, in[0], whole(in[1:4]), whole(in[4:7]), in[7])
		}}
}
