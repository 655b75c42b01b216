package distributed

import (
	"github.com/mlxgo/mlx/internal/tensor"
)

// A cotangent belongs to this process's result, and the gradient is by this process's
// input while those of the others are constant: a loss that is computed from a sum on
// every process is counted once. Tangents are pushed by all processes together. The
// rules run collectives themselves, so all processes must take the derivative.

// VJP of a sum is the cotangent, as in MLX. That of an extremum goes to the processes
// that have it, in equal parts; MLX gives it to all.
func (p AllReduce) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	switch {
	case !need[0]:
	case p.Op == Sum:
		grads[0] = cotan[0]
	default:
		grads[0] = tensor.BinaryOf(tensor.OpMultiply, cotan[0], p.share(s, in[0], out[0]), s)
	}
	return grads
}

// share is what part of an extremum is this process's.
func (p AllReduce) share(s Stream, x, y *Array) *Array {
	mine := tensor.AsType(tensor.BinaryOf(tensor.OpEqual, x, y, s), x.DType(), s)
	return tensor.BinaryOf(tensor.OpDivide, mine, p.AllReduceOf(Sum, mine, s), s)
}

// JVP joins the tangents of all processes.
func (p AllReduce) JVP(s Stream, in, out, tangent []*Array) []*Array {
	t := tangentOf(s, in[0], tangent[0])
	if p.Op != Sum {
		t = tensor.BinaryOf(tensor.OpMultiply, t, p.share(s, in[0], out[0]), s)
	}
	return []*Array{p.AllReduceOf(Sum, t, s), nil}
}

// tangentOf is zeros where x does not vary here: it may elsewhere.
func tangentOf(s Stream, x, t *Array) *Array {
	if t == nil {
		return tensor.ZerosLike(x, s)
	}
	return t
}

// VJP is this process's part.
func (p AllGather) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if need[0] {
		n := out[0].Dim(0) / p.Size()
		part := tensor.SliceAxis(cotan[0], 0, p.Rank()*n, (p.Rank()+1)*n, s)
		grads[0] = tensor.ReshapeTo(part, in[0].Shape(), s)
	}
	return grads
}

// JVP gathers the tangents.
func (p AllGather) JVP(s Stream, in, out, tangent []*Array) []*Array {
	return []*Array{p.AllGatherOf(tangentOf(s, in[0], tangent[0]), s), nil}
}

// VJP puts the cotangent where this process's part is; that of an extremum goes to the
// processes that have it.
func (p ReduceScatter) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if !need[0] {
		return grads
	}
	n := out[0].Dim(0)
	c := cotan[0]
	if p.Op != Sum {
		part := tensor.SliceAxis(p.share(s, in[0], out[0]), 0, p.Rank()*n, (p.Rank()+1)*n, s)
		c = tensor.BinaryOf(tensor.OpMultiply, c, part, s)
	}
	zeros := func(parts int) *Array {
		shape := append(tensor.Shape{parts * n}, out[0].Shape()[1:]...)
		return tensor.ZerosLike(tensor.SliceAxis(in[0], 0, 0, shape[0], s), s)
	}
	grads[0] = tensor.ConcatenateOf([]*Array{zeros(p.Rank()), c, zeros(p.Size() - 1 - p.Rank())}, 0, s)
	return grads
}

// share is what part of each extremum is this process's, of all processes' parts.
func (p ReduceScatter) share(s Stream, x, y *Array) *Array {
	return AllReduce(p).share(s, x, p.AllGatherOf(y, s))
}

// JVP joins the tangents of all processes.
func (p ReduceScatter) JVP(s Stream, in, out, tangent []*Array) []*Array {
	t := tangentOf(s, in[0], tangent[0])
	if p.Op != Sum {
		t = tensor.BinaryOf(tensor.OpMultiply, t, p.share(s, in[0], out[0]), s)
	}
	return []*Array{p.ReduceScatterOf(Sum, t, s), nil}
}

// VJP is the cotangent: what is sent is a constant to the process that receives it.
func (p Send) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	grads := make([]*Array, len(in))
	if need[0] {
		grads[0] = cotan[0]
	}
	return grads
}

// VJP is none: what others send does not depend on this process.
func (p Recv) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return make([]*Array, len(in))
}

// VJP is none.
func (p Barrier) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return make([]*Array, len(in))
}

// mapped applies p to x with the mapped axis at the given place, where it stays.
func mapped(p Runner, s Stream, in []*Array, axes []int, at int) ([]*Array, []int) {
	x, axis := in[0], tensor.Unmapped
	if axes[0] != tensor.Unmapped {
		x, axis = tensor.MoveAxis(x, axes[0], at, s), at
	}
	return tensor.ApplyMapped(p, s, x, in[len(in)-1]), []int{axis, tensor.Unmapped}
}

// Vmap joins all slices at once.
func (p AllReduce) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return mapped(p, s, in, axes, max(axes[0], 0))
}

// Vmap gathers all slices at once, along the axis before.
func (p AllGather) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if axes[0] != tensor.Unmapped && in[0].NDim() == 1 { // of scalars
		in, axes = append([]*Array{tensor.ExpandDims(in[0], []int{0}, s)}, in[1:]...), []int{1, tensor.Unmapped}
	}
	return mapped(p, s, in, axes, 1)
}

// Vmap scatters all slices at once, along the axis before.
func (p ReduceScatter) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return mapped(p, s, in, axes, 1)
}

// Vmap sends all slices at once.
func (p Send) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return mapped(p, s, in, axes, 0)
}

// Vmap receives all slices at once, if the other process sends so; without a mapped
// input, what it receives is the same for all.
func (p Recv) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	axis := tensor.Unmapped
	if len(in) > 1 && axes[0] != tensor.Unmapped {
		axis = 0
		p.Shape = tensor.MakeInts(append([]int{tensor.MappedSize(in, axes)}, p.Shape.List()...)...)
	}
	return tensor.ApplyMapped(p, s, in...), []int{axis, tensor.Unmapped}
}

// Vmap waits once.
func (p Barrier) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.ApplyMapped(p, s, in...), []int{tensor.Unmapped, tensor.Unmapped}
}
