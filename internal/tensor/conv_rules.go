package tensor

import "slices"

// groupAxis splits axis of a into groups and what a group has; the groups come to
// place to of the result.
func groupAxis(a *Array, axis, groups, to int, s Stream) *Array {
	sh := SpecOf(a).Shape
	wide := slices.Insert(slices.Clone(sh), axis, groups)
	wide[axis+1] = sh[axis] / groups
	return MoveAxis(ReshapeTo(a, wide, s), axis, to, s)
}

// joined makes axes axis and axis+1 one.
func joined(a *Array, axis int, s Stream) *Array {
	sh := SpecOf(a).Shape
	t := slices.Delete(slices.Clone(sh), axis, axis+1)
	t[axis] = sh[axis] * sh[axis+1]
	return ReshapeTo(a, t, s)
}

// VJP is two convolutions: of the cotangent with the kernels of each group
// transposed, and of x with the cotangent as the kernel, x's channels its batch.
func (p Conv) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	if SpecOf(in[0]).Shape.Size() == 0 || SpecOf(in[1]).Shape.Size() == 0 {
		return grads(need, func(i int) *Array { return ZerosLike(in[i], s) })
	}
	return grads(need, func(i int) *Array {
		if i == 0 {
			return p.inputVJP(s, in[0], in[1], cotan[0])
		}
		return p.weightVJP(s, in[0], in[1], cotan[0])
	})
}

func (p Conv) inputVJP(s Stream, x, w, c *Array) *Array {
	n := x.NDim() - 2
	low, high := make([]int, n), make([]int, n)
	for i := range n {
		k := dilated(w.Dim(i+1), p.Dilation.At(i))
		low[i] = k - 1 - p.Low.At(i)
		high[i] = (x.Dim(i+1)-1)*p.InputDilation.At(i) + k - dilated(c.Dim(i+1), p.Stride.At(i)) - low[i]
	}
	g := groupAxis(w, 0, p.Groups, 0, s)    // [G, O/G, K..., C/G]
	g = joined(SwapAxes(g, 1, -1, s), 0, s) // [C, K..., O/G]
	back := Conv{Stride: p.InputDilation, Low: MakeInts(low...), High: MakeInts(high...), Dilation: p.Dilation,
		InputDilation: p.Stride, Groups: p.Groups, Flip: !p.Flip}
	return Apply1(back, s, c, g)
}

func (p Conv) weightVJP(s Stream, x, w, c *Array) *Array {
	n := x.NDim() - 2
	high := make([]int, n)
	for i := range n {
		high[i] = (w.Dim(i+1)-1)*p.Dilation.At(i) + dilated(c.Dim(i+1), p.Stride.At(i)) -
			dilated(x.Dim(i+1), p.InputDilation.At(i)) - p.Low.At(i)
	}
	a := groupAxis(x, n+1, p.Groups, n+1, s) // [N, S..., G, C/G]
	a = SwapAxes(a, 0, -1, s)                // [C/G, S..., G, N]
	a = joined(a, n+1, s)
	back := Conv{Stride: p.Dilation, Low: p.Low, High: MakeInts(high...), Dilation: p.Stride,
		InputDilation: p.InputDilation, Groups: p.Groups}
	y := Apply1(back, s, a, SwapAxes(c, 0, -1, s)) // [C/G, K..., O]
	if p.Flip {
		for i := range n {
			y = flip(y, i+1, s)
		}
	}
	return SwapAxes(y, 0, -1, s)
}

// JVP is the sum over the inputs, in each of which the op is linear.
func (p Conv) JVP(s Stream, in, out, tangent []*Array) []*Array {
	var sum *Array
	for i, t := range tangent {
		if t == nil {
			continue
		}
		pair := []*Array{in[0], in[1]}
		pair[i] = t
		if y := Apply1(p, s, pair...); sum == nil {
			sum = y
		} else {
			sum = s.add(sum, y)
		}
	}
	return []*Array{sum}
}

// Vmap folds the mapped axis: into the batch if only x has it, into the outputs of
// each group if only w has it, else into the groups.
func (p Conv) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	b := MappedSize(in, axes)
	if b == 0 {
		return VmapLoop(p, s, in, axes)
	}
	x, w := in[0], in[1]
	if axes[1] == Unmapped {
		y := Apply1(p, s, joined(MoveAxis(x, axes[0], 0, s), 0, s), w)
		sh := SpecOf(y).Shape
		return front(ReshapeTo(y, append([]int{b, sh[0] / b}, sh[1:]...), s))
	}
	w = MoveAxis(w, axes[1], 0, s) // [B, O, K..., C/G]
	if axes[0] != Unmapped {
		n := x.NDim() - 1
		x = joined(MoveAxis(x, axes[0], n-1, s), n-1, s) // [N, S..., B*C]
		wide := p
		wide.Groups *= b
		y := Apply1(wide, s, x, joined(w, 0, s))
		y = groupAxis(y, n-1, b, 0, s)
		return front(y)
	}
	g := groupAxis(w, 1, p.Groups, 0, s) // [G, B, O/G, K..., C/G]
	y := Apply1(p, s, x, joined(joined(g, 0, s), 0, s))
	sh := SpecOf(y).Shape
	n := len(sh) - 1
	o := w.Dim(1) / p.Groups
	y = ReshapeTo(y, append(slices.Clone(sh[:n]), p.Groups, b, o), s)
	y = MoveAxis(y, n+1, 0, s) // [B, N, S'..., G, O/G]
	return front(joined(y, n+1, s))
}
