package quant

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Quantize has no derivative: it rounds. Packed words do not vary, so Dequantize and
// MatMul have cotangents for x, and for scales and biases if they are floating.

// front is a rule's answer when the results have the mapped axis in front.
func front(out ...*Array) ([]*Array, []int) { return out, make([]int, len(out)) }

// Vmap packs the rows behind the mapped axis.
func (p Quantize) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap unpacks the rows behind the mapped axis.
func (p Dequantize) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// VJP is that of scales and biases.
func (p Dequantize) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return p.partGrads(s, in, cotan[0], need)
}

// partGrads are the cotangents of weight, scales and biases from c, that of the matrix
// they hold: sums over groups, for scales of c times the codes.
func (p Scheme) partGrads(s Stream, in []*Array, c *Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if p.Mode != Affine {
		return grads
	}
	shape := append(slices.Clone(tensor.SpecOf(in[1]).Shape), p.GroupSize)
	grouped := func(a *Array) *Array {
		a = tensor.ReduceOf(tensor.OpSum, tensor.ReshapeTo(a, shape, s), []int{-1}, false, s)
		return tensor.AsType(a, in[1].DType(), s)
	}
	c = tensor.AsType(c, dtype.Float32, s)
	if need[1] { // with scales of 1 and biases of 0 the codes are left
		codes := tensor.Apply1(Dequantize{p, dtype.Float32}, s, in[0], tensor.OnesLike(in[1], s), tensor.ZerosLike(in[2], s))
		grads[1] = grouped(tensor.BinaryOf(tensor.OpMultiply, c, codes, s))
	}
	if need[2] {
		grads[2] = grouped(c)
	}
	return grads
}

// VJP is for x the product the other way, and for scales and biases that of the matrix.
func (p MatMul) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	x, c := in[0], cotan[0]
	if need[0] {
		grads[0] = tensor.Apply1(MatMul{Scheme: p.Scheme, Transpose: !p.Transpose, Halve: p.Halve}, s, append([]*Array{c}, in[1:]...)...)
	}
	if p.Mode != Affine || !need[2] && !need[3] {
		return grads
	}
	// [K, M] @ [M, N], or the other way for the transposed product
	rows := func(a *Array) *Array {
		return tensor.AsType(tensor.ReshapeTo(a, []int{tensor.Shape(a.Shape()[:a.NDim()-1]).Size(), a.Dim(-1)}, s), dtype.Float32, s)
	}
	a, b := rows(x), rows(c)
	if p.Transpose {
		a, b = b, a
	}
	d := tensor.MatMulOf(tensor.SwapAxes(a, 0, 1, s), b, s)
	copy(grads[1:], p.partGrads(s, in[1:], d, need[1:]))
	return grads
}

// Vmap adds rows of x; mapped weights are taken one after the other.
func (p MatMul) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	for _, a := range axes[1:] {
		if a != tensor.Unmapped {
			return tensor.VmapLoop(p, s, in, axes)
		}
	}
	x := tensor.MoveAxis(in[0], axes[0], 0, s)
	return front(tensor.Apply1(p, s, append([]*Array{x}, in[1:]...)...))
}
