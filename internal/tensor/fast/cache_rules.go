package fast

import (
	"github.com/mlxgo/mlx/internal/tensor"
)

// VJP splits the cotangent: the state has zeros where rows were written, and the rows
// have what lies there; rows that were not kept have zeros. Positions do not vary.
func (p CacheWrite) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if need[0] {
		zero := tensor.ZerosLike(in[1], s)
		grads[0] = tensor.Apply1(p, s, append([]*Array{cotan[0], zero}, in[2:]...)...)
	}
	if need[1] {
		q := CacheRead{Write: p, Rows: in[1].Dim(2)}
		grads[1] = tensor.Apply1(q, s, append([]*Array{cotan[0]}, in[2:]...)...)
	}
	return grads
}

// Vmap makes batch rows of the mapped axis.
func (p CacheWrite) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return foldAll(p, s, in, axes)
}

// CacheRead gives the rows [B, H, Rows, D] of a state that a CacheWrite of as many rows
// wrote, and zeros for those that it did not keep. Inputs are state, pos and, if there
// is one, the count.
type CacheRead struct {
	Write CacheWrite
	Rows  int
}

// Name is the op's name.
func (CacheRead) Name() string { return "cache_read" }

// Infer checks what CacheWrite does.
func (p CacheRead) Infer(in []Spec) ([]Spec, error) {
	rows := in[0]
	if len(rows.Shape) == 4 {
		rows.Shape = append(rows.Shape[:2:2], p.Rows, rows.Shape[3])
	}
	_, err := p.Write.Infer(append([]Spec{in[0], rows}, in[1:]...))
	return []Spec{rows}, err
}

// VJP writes the rows into zeros.
func (p CacheRead) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	zero := tensor.ZerosLike(in[0], s)
	grads := make([]*Array, len(in))
	grads[0] = tensor.Apply1(p.Write, s, append([]*Array{zero, cotan[0]}, in[1:]...)...)
	return grads
}

// Vmap makes batch rows of the mapped axis.
func (p CacheRead) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return foldAll(p, s, in, axes)
}

// Vmap makes batch rows of the mapped axis.
func (p RingMask) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return foldAll(p, s, in, axes)
}

// foldAll maps an op whose arrays all have the batch in front.
func foldAll(p tensor.Primitive, s Stream, in []*Array, axes []int) ([]*Array, []int) {
	o, n := ops{s}, tensor.MappedSize(in, axes)
	if n == 0 {
		return tensor.VmapLoop(p, s, in, axes)
	}
	folded := make([]*Array, len(in))
	for i, a := range in {
		folded[i] = foldBatch(o, a, axes[i], n)
	}
	y := tensor.Apply1(p, s, folded...)
	sh := shapeOf(y)
	return front(o.shaped(y, append([]int{n, sh[0] / n}, sh[1:]...)...))
}
