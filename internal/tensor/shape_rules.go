package tensor

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// VJP is the cotangent.
func (Copy) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return cotan }

// VJP is the cotangent.
func (Contiguous) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return cotan }

// Vmap leaves the mapped axis where it is.
func (p Copy) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return []*Array{Apply1(p, s, in[0])}, axes
}

// Vmap leaves the mapped axis where it is.
func (p Contiguous) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return []*Array{Apply1(p, s, in[0])}, axes
}

// VJP sums over what was repeated.
func (p Broadcast) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	from, to := SpecOf(in[0]).Shape, SpecOf(out[0]).Shape
	d := len(to) - len(from)
	set := AllAxes(d)
	for i, n := range from {
		if n == 1 && to[d+i] != 1 {
			set |= 1 << (d + i)
		}
	}
	c := cotan[0]
	if set != 0 {
		c = Apply1(Reduce{OpSum, set}, s, c)
	}
	return []*Array{ReshapeTo(c, from, s)}
}

// Vmap adds the mapped axis in front of both shapes.
func (p Broadcast) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	x := MoveAxis(in[0], axes[0], 0, s)
	sh := SpecOf(x).Shape
	t := append([]int{sh[0]}, p.Shape.List()...)
	lead := slices.Clone(sh[:1])
	for range len(t) - len(sh) {
		lead = append(lead, 1)
	}
	return front(fit(ReshapeTo(x, append(lead, sh[1:]...), s), t, s))
}

// VJP has the shape from before.
func (p Reshape) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{ReshapeTo(cotan[0], SpecOf(in[0]).Shape, s)}
}

// Vmap reshapes behind the mapped axis.
func (p Reshape) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	x := MoveAxis(in[0], axes[0], 0, s)
	t := append([]int{x.Dim(0)}, p.Shape.List()...)
	free := p.Free
	if free > 0 {
		free++
	}
	return front(Apply1(Reshape{MakeInts(t...), free}, s, x))
}

// VJP permutes back.
func (p Transpose) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	inverse := make([]int, p.Perm.Len())
	for i := range inverse {
		inverse[p.Perm.At(i)] = i
	}
	return []*Array{Apply1(Transpose{MakeInts(inverse...)}, s, cotan[0])}
}

// Vmap leaves the mapped axis where it is and permutes the others.
func (p Transpose) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	perm := append([]int{0}, p.Perm.List()...)
	for i := range perm[1:] {
		perm[i+1]++
	}
	return front(Apply1(Transpose{MakeInts(perm...)}, s, MoveAxis(in[0], axes[0], 0, s)))
}

// VJP puts the cotangent where it was taken, between zeros.
func (p Slice) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{Apply1(SliceUpdate(p), s, ZerosLike(in[0], s), cotan[0])}
}

// Vmap slices the axes behind the mapped one.
func (p Slice) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	x := MoveAxis(in[0], axes[0], 0, s)
	return front(Apply1(p.behind(x.Dim(0)), s, x))
}

// VJP cuts the padding off; the pad value gets the sum of what was added.
func (p Pad) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := cotan[0]
	low, stop := p.Low.List(), p.Low.List()
	for i, n := range SpecOf(in[0]).Shape {
		stop[i] += n
	}
	inner := Apply1(Slice{MakeInts(low...), MakeInts(stop...), MakeInts(fill(1, len(low))...)}, s, c)
	return grads(need, func(i int) *Array {
		if i == 0 {
			return inner
		}
		return s.sub(ReduceOf(OpSum, c, nil, false, s), ReduceOf(OpSum, inner, nil, false, s))
	})
}

// Vmap pads behind the mapped axis. A mapped pad value is put in by a mask.
func (p Pad) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	n := MappedSize(in, axes)
	low := MakeInts(append([]int{0}, p.Low.List()...)...)
	high := MakeInts(append([]int{0}, p.High.List()...)...)
	x := InFront(in[0], axes[0], n, s)
	if axes[1] == Unmapped {
		return front(Apply1(Pad{low, high}, s, x, in[1]))
	}
	zero := FloatScalar(0, x.DType(), s)
	inside := AsType(Apply1(Pad{low, high}, s, OnesLike(x, s), zero), dtype.Bool, s)
	value := ReshapeTo(in[1], append([]int{n}, fill(1, in[0].NDim()-mapped(axes[0]))...), s)
	return front(Where(inside, Apply1(Pad{low, high}, s, x, zero), value, s))
}

// mapped is 1 for a mapped axis.
func mapped(axis int) int {
	if axis == Unmapped {
		return 0
	}
	return 1
}

// VJP cuts the cotangent.
func (p Concatenate) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	at := 0
	parts := make([]*Array, len(in))
	for i, a := range in {
		n := SpecOf(a).Shape[p.Axis]
		if need[i] {
			parts[i] = SliceAxis(cotan[0], p.Axis, at, at+n, s)
		}
		at += n
	}
	return parts
}

// Vmap joins along the next axis.
func (p Concatenate) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(Apply1(Concatenate{p.Axis + 1}, s, AllInFront(in, axes, s)...))
}

// VJP is c @ b^T and a^T @ c.
func (p MatMul) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return grads(need, func(i int) *Array {
		var g *Array // inputs may have two dtypes
		if i == 0 {
			g = Apply1(p, s, cotan[0], SwapAxes(in[1], -1, -2, s))
		} else {
			g = Apply1(p, s, SwapAxes(in[0], -1, -2, s), cotan[0])
		}
		return AsType(g, in[i].DType(), s)
	})
}

// Vmap adds a batch axis, or rows where the right side is one matrix for all.
func (p MatMul) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if b := in[1]; axes[1] == Unmapped && b.NDim() == 2 {
		a := MoveAxis(in[0], axes[0], 0, s)
		sh := SpecOf(a).Shape
		y := Apply1(p, s, ReshapeTo(a, []int{sh[0] * sh[1], sh[2]}, s), b)
		return front(ReshapeTo(y, []int{sh[0], sh[1], b.Dim(1)}, s))
	}
	return front(Apply1(p, s, AllInFront(in, axes, s)...))
}
