package metal

import (
	"encoding/binary"
	"math"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// rope turns x [B, ..., T, D]; strides may be any.
func rope(e *encoder, p fast.RoPE, in, out []View) error {
	t, ok := elements(in[0])
	if !ok || len(in) == 2 && 2*p.Dims > gpu.MaxBytes {
		return noKernel("%d turned elements of %v", p.Dims, in[0].DType)
	}
	k, err := e.kernel("rope", "rope", t)
	if err != nil {
		return err
	}
	s, st := in[0].Shape, in[0].Strides
	n := len(s)
	heads := newWalk(s[1:n-2], st[1:n-2])
	h := tensor.Shape(s[1 : n-2]).Size()
	var table arg
	if len(in) == 3 {
		table = e.in(&in[2])
	} else {
		table = arg{bytes: frequencies(p)}
	}
	perRow := len(in[1].Shape) == 1 && in[1].Shape[0] == s[0]
	params := ints(p.Dims/2, s[n-1], s[n-2], h, len(heads.shape), bit(perRow), bit(p.Traditional), bit(p.Inverse), bit(len(in) == 3), floatBits(p.Scale.Value()))
	params.bytes = append(params.bytes, longs(st[0], st[n-2], st[n-1]).bytes...)
	const headsOfThread = 4
	grid := [3]int{s[n-1] - p.Dims/2, s[n-2], s[0] * ((h + headsOfThread - 1) / headsOfThread)}
	e.run(k, grid, [3]int{32, min(8, grid[1]), 1}, e.in(&in[0]), e.out(&out[0]), e.in(&in[1]), table, params, ints(heads.shape...), longs(heads.stride...))
	return nil
}

// frequencies are exp(-i log(Base)/(Dims/2)), as float32.
func frequencies(p fast.RoPE) []byte {
	half := p.Dims / 2
	step := float32(math.Log(p.Base.Value())) / float32(half)
	var b []byte
	for i := range half {
		f := float32(math.Exp(float64(-float32(i) * step)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(f))
	}
	return b
}
