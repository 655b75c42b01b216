package fast

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Unpack gives the float32 values code*scale + bias of affine quantization: inputs are
// words [..., K*Bits/32] uint32, scales and biases [..., K/Group].
type Unpack struct{ Bits, Group int }

// Name is the op's name.
func (Unpack) Name() string { return "unpack" }

// Infer checks the parts.
func (p Unpack) Infer(in []Spec) ([]Spec, error) {
	out, err := Attention{Bits: p.Bits, Group: p.Group}.unpackedOf(in)
	return []Spec{{Shape: out.Shape, DType: dtype.Float32}}, err
}

// VJP is that of scales and biases; words do not vary.
func (p Unpack) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	o := ops{s}
	sh := append(shapeOf(in[1]), p.Group)
	grads := make([]*Array, 3)
	grouped := func(a *Array) *Array { return o.sum(o.shaped(a, sh...), false, -1) }
	if need[1] { // of ones and zeros, what is unpacked are the codes
		codes := tensor.Apply1(p, s, in[0], tensor.OnesLike(in[1], s), tensor.ZerosLike(in[2], s))
		grads[1] = o.as(grouped(o.mul(cotan[0], codes)), in[1].DType())
	}
	if need[2] {
		grads[2] = o.as(grouped(cotan[0]), in[2].DType())
	}
	return grads
}

// Vmap unpacks behind the mapped axis.
func (p Unpack) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(tensor.Apply1(p, s, tensor.AllInFront(in, axes, s)...))
}

// unpack is the keys or values of their three parts.
func unpack(p Attention, s Stream, parts []*Array) *Array {
	return tensor.Apply1(Unpack{p.Bits, p.Group}, s, parts...)
}

// packedGrads are the cotangents of three parts from that of what they hold.
func packedGrads(p Attention, s Stream, parts []*Array, c *Array, need []bool) []*Array {
	return Unpack{p.Bits, p.Group}.VJP(s, parts, nil, []*Array{c}, need)
}
