package random

import "github.com/mlxgo/mlx/internal/tensor"

// Bits and indices are no floating values, so nothing here has a derivative.

// Vmap draws with each key after the other.
func (p Bits) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapLoop(p, s, in, axes)
}

// VJP: a key does not vary.
func (Bits) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return make([]*Array, len(in))
}

// Vmap samples rows behind the mapped axis. Uniforms and logits have the same leading
// axes, but for one row of logits, whose uniforms have any.
func (p InverseCDF) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	all := tensor.AllInFront(in, axes, s)
	return []*Array{tensor.Apply1(p, s, all...)}, []int{0}
}

// VJP: a sample is an index, a step function of the logits.
func (InverseCDF) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return make([]*Array, len(in))
}
