package tensor

// VJP spreads the cotangent over what was combined. Equal extremes share it.
func (p Reduce) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	x, c := in[0], cotan[0]
	switch p.Op {
	case OpSum:
		return []*Array{fit(c, SpecOf(x).Shape, s)}
	case OpMean:
		n := Count{Axes: p.Axes, DType: c.DType()}.of(x, s)
		return []*Array{fit(BinaryOf(OpDivide, c, n, s), SpecOf(x).Shape, s)}
	case OpProd: // the product of the others, right with zeros
		flat := reducedLast(x, p.Axes, s)
		before, after := Apply1(Scan{ScanProd, false, true}, s, flat), Apply1(Scan{ScanProd, true, true}, s, flat)
		others := unreduced(s.mul(before, after), p.Axes, SpecOf(x).Shape, s)
		return []*Array{s.mul(others, c)}
	case OpMax, OpMin:
		at := s.is(OpEqual, x, out[0])
		one := s.pick(at, OnesLike(x, s))
		share := s.div(c, AsType(Apply1(Reduce{OpSum, p.Axes}, s, one), c.DType(), s))
		return []*Array{s.mul(one, share)}
	}
	return []*Array{nil}
}

// Vmap reduces the same axes behind the mapped one.
func (p Reduce) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(Apply1(Reduce{p.Op, p.Axes << 1}, s, MoveAxis(in[0], axes[0], 0, s)))
}

// VmapInFront maps an op that works along the last axes: the mapped one comes in front.
func VmapInFront(p Primitive, s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return front(Apply(p, s, AllInFront(in, axes, s)...)...)
}

// Vmap keeps to the last axis.
func (p ArgReduce) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// VJP: an index does not vary.
func (ArgReduce) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array { return []*Array{nil} }

// VJP is y * (c - sum(y * c)).
func (p Softmax) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	y, c := out[0], cotan[0]
	yc := s.mul(y, c)
	return []*Array{s.sub(yc, s.mul(y, sumLast(yc, s)))}
}

// sumLast is the sum along the last axis, kept.
func sumLast(a *Array, s Stream) *Array {
	return Apply1(Reduce{OpSum, MakeAxes(a.NDim() - 1)}, s, a)
}

// Vmap keeps to the last axis.
func (p Softmax) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}

// VJP is c * softmax(x).
func (p LogSumExp) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{s.mul(cotan[0], Apply1(Softmax{}, s, in[0]))}
}

// Vmap keeps to the last axis.
func (p LogSumExp) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return VmapInFront(p, s, in, axes)
}
