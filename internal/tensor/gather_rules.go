package tensor

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// sumInto is zeros like x with c added at the indices; halves are added in float32.
func sumInto(p Primitive, x, c *Array, idx []*Array, s Stream) *Array {
	d := x.DType()
	wide := d
	if d.Size() == 2 && d.Is(dtype.Floating) {
		wide = dtype.Float32
	}
	zeros := fit(FloatScalar(0, wide, s), SpecOf(x).Shape, s)
	in := append(append([]*Array{zeros}, idx...), AsType(c, wide, s))
	return AsType(Apply1(p, s, in...), d, s)
}

// VJP adds the cotangent of each row to the row that was taken.
func (Take) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	k := in[1].NDim()
	c := ReshapeTo(cotan[0], slices.Insert(cotan[0].Shape(), k, 1), s)
	return []*Array{sumInto(Scatter{MakeInts(0), ScatterSum}, in[0], c, in[1:], s), nil}
}

// Vmap takes from one table, or rows of several arrays, or is a gather.
func (p Take) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if axes[0] == Unmapped {
		return []*Array{Apply1(p, s, in...)}, axes[1:]
	}
	if axes[1] == Unmapped {
		return []*Array{Apply1(p, s, MoveAxis(in[0], axes[0], 1, s), in[1])}, []int{in[1].NDim()}
	}
	sizes := MoveAxis(in[0], axes[0], 0, s).Shape()[1:]
	sizes[0] = 1
	g := Gather{MakeInts(0), MakeInts(sizes...)}
	outs, at := g.Vmap(s, in, axes)
	k := in[1].NDim()
	return []*Array{ReshapeTo(outs[0], slices.Delete(outs[0].Shape(), k, k+1), s)}, at
}

// VJP adds the cotangent where it was taken.
func (p Gather) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return append([]*Array{sumInto(Scatter{p.Axes, ScatterSum}, in[0], cotan[0], in[1:], s)}, make([]*Array, len(in)-1)...)
}

func anyMapped(axes []int) bool {
	return slices.ContainsFunc(axes, func(a int) bool { return a != Unmapped })
}

// shifted is axes behind a new first one.
func shifted(axes Ints) []int {
	out := axes.List()
	for i := range out {
		out[i]++
	}
	return out
}

// mappedIndices are index arrays with the mapped axis in front, behind one that
// counts along it.
func mappedIndices(idx []*Array, axes []int, n int, s Stream) []*Array {
	out := []*Array{nil}
	for i, a := range idx {
		out = append(out, InFront(a, axes[i], n, s))
	}
	sh := SpecOf(out[1]).Shape
	count := Apply1(Arange{0, MakeF64(1), n, dtype.Int64}, s)
	out[0] = fit(ReshapeTo(count, append([]int{n}, fill(1, len(sh)-1)...), s), sh, s)
	return out
}

// Vmap gathers from the mapped axis too, or leaves it in the window.
func (p Gather) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	n := MappedSize(in, axes)
	if !anyMapped(axes[1:]) {
		x := MoveAxis(in[0], axes[0], 0, s)
		g := Gather{MakeInts(shifted(p.Axes)...), MakeInts(append([]int{n}, p.Sizes.List()...)...)}
		return []*Array{Apply1(g, s, append([]*Array{x}, in[1:]...)...)}, []int{in[1].NDim()}
	}
	ids := mappedIndices(in[1:], axes[1:], n, s)
	if axes[0] == Unmapped {
		return front(Apply1(p, s, append(in[:1:1], ids[1:]...)...))
	}
	x := MoveAxis(in[0], axes[0], 0, s)
	g := Gather{MakeInts(append([]int{0}, shifted(p.Axes)...)...), MakeInts(append([]int{1}, p.Sizes.List()...)...)}
	out := Apply1(g, s, append([]*Array{x}, ids...)...)
	k := ids[0].NDim()
	return front(ReshapeTo(out, slices.Delete(out.Shape(), k, k+1), s))
}

// VJP follows MLX: what was replaced gets nothing, every update gets the cotangent
// of its place (also one that a later update overwrote), and equal extremes all get
// theirs.
func (p Scatter) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	last := len(in) - 1
	x, idx, u, c := in[0], in[1:last], in[last], cotan[0]
	take := func(a *Array) *Array {
		g := Gather{p.Axes, MakeInts(SpecOf(u).Shape[idx[0].NDim():]...)}
		return Apply1(g, s, append([]*Array{a}, idx...)...)
	}
	put := func(op ScatterOp, a, v *Array) *Array {
		return Apply1(Scatter{p.Axes, op}, s, append(append([]*Array{a}, idx...), v)...)
	}
	return grads(need, func(i int) *Array {
		switch {
		case i > 0 && i < last:
			return nil
		case p.Op == ScatterSum && i == 0:
			return c
		case p.Op <= ScatterSum && i > 0:
			return take(c)
		case p.Op == ScatterSet:
			return put(ScatterSet, c, ZerosLike(u, s))
		case p.Op == ScatterProd && i == 0:
			return put(ScatterProd, c, u)
		case p.Op == ScatterProd:
			return prodRule(s, x, u, c, take, put)
		case i == 0:
			return s.pick(s.is(OpEqual, out[0], x), c)
		}
		return s.pick(s.is(OpEqual, take(out[0]), u), take(c))
	})
}

// prodRule is the cotangent of the factors u: c times all other factors of the
// place. Zeros are kept apart: the product is that of the others, and their sum,
// which is 0, stands for a lone zero so that second derivatives see it.
func prodRule(s Stream, x, u, c *Array, take func(a *Array) *Array, put func(op ScatterOp, a, v *Array) *Array) *Array {
	zero := s.is(OpEqual, u, 0)
	none := fit(IntScalar(0, dtype.Int32, s), SpecOf(x).Shape, s)
	zeros := take(put(ScatterSum, none, AsType(zero, dtype.Int32, s)))
	sum := take(put(ScatterSum, ZerosLike(x, s), s.pick(zero, u)))
	factor := Where(zero, FloatScalar(1, u.DType(), s), u, s)
	product := take(put(ScatterProd, s.mul(c, x), factor))
	if1 := s.is(OpEqual, zeros, 1)
	of0 := Where(if1, product, s.pick(s.is(OpEqual, zeros, 2), s.mul(product, s.sub(sum, u))), s)
	rest := s.div(product, factor)
	return Where(zero, of0, Where(if1, s.mul(rest, sum), s.pick(s.is(OpEqual, zeros, 0), rest), s), s)
}

// Vmap scatters along the mapped axis too, or leaves it in the window.
func (p Scatter) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	last := len(in) - 1
	n, idx, u := MappedSize(in, axes), in[1:last], in[last]
	k := idx[0].NDim() - mapped(axes[1])
	x := InFront(in[0], axes[0], n, s)
	if !anyMapped(axes[1:last]) {
		u = MoveAxis(InFront(u, axes[last], n, s), 0, k, s)
		q := Scatter{MakeInts(shifted(p.Axes)...), p.Op}
		return front(Apply1(q, s, append(append([]*Array{x}, idx...), u)...))
	}
	ids := mappedIndices(idx, axes[1:last], n, s)
	u = InFront(u, axes[last], n, s)
	u = ReshapeTo(u, slices.Insert(u.Shape(), 1+k, 1), s)
	q := Scatter{MakeInts(append([]int{0}, shifted(p.Axes)...)...), p.Op}
	return front(Apply1(q, s, append(append([]*Array{x}, ids...), u)...))
}

// VJP adds the cotangent where it was taken.
func (p GatherAxis) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{sumInto(ScatterAxis{p.Axis, ScatterSum}, in[0], cotan[0], in[1:], s), nil}
}

// Vmap works behind the mapped axis.
func (p GatherAxis) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(Apply1(GatherAxis{p.Axis + 1}, s, AllInFront(in, axes, s)...))
}

// VJP is as Scatter's.
func (p ScatterAxis) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := cotan[0]
	return grads(need, func(i int) *Array {
		switch {
		case i == 1:
			return nil
		case i == 2:
			return Apply1(GatherAxis{p.Axis}, s, c, in[1])
		case p.Op == ScatterSum:
			return c
		}
		return Apply1(p, s, c, in[1], ZerosLike(in[2], s))
	})
}

// Vmap works behind the mapped axis.
func (p ScatterAxis) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(Apply1(ScatterAxis{p.Axis + 1, p.Op}, s, AllInFront(in, axes, s)...))
}

// VJP cuts the cotangent in two.
func (p SliceUpdate) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return grads(need, func(i int) *Array {
		if i == 0 {
			return Apply1(p, s, cotan[0], ZerosLike(in[1], s))
		}
		return Apply1(p.part(), s, cotan[0])
	})
}

// Vmap updates behind the mapped axis.
func (p SliceUpdate) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	all := AllInFront(in, axes, s)
	return front(Apply1(SliceUpdate(p.part().behind(all[0].Dim(0))), s, all...))
}

// behind is the slice of an array with one more axis in front, of size n.
func (p Slice) behind(n int) Slice {
	lead := func(v int, rest Ints) Ints { return MakeInts(append([]int{v}, rest.List()...)...) }
	return Slice{lead(0, p.Start), lead(n, p.Stop), lead(1, p.Step)}
}
