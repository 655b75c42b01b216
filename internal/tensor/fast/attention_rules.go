package fast

import (
	"fmt"
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// AttentionVJP is the derivative of Attention on arrays that are not packed: inputs are
// its inputs, its result and the cotangent of that. Results are the cotangents of q, k
// and v, then with MaskGrad that of the mask, as if it had the shape [B, Hq, L, C] and
// the precision of scores, then that of the sinks. Probabilities are computed again, a
// block at a time.
type AttentionVJP struct {
	Of       Attention
	MaskGrad bool // the mask is floating
}

// Name is the op's name.
func (AttentionVJP) Name() string { return "scaled_dot_product_attention_vjp" }

// NumIn is how many inputs there are.
func (p AttentionVJP) NumIn() int {
	n := 5
	for _, more := range []bool{p.Of.Mask, p.Of.Sinks, p.Of.Pos} {
		if more {
			n++
		}
	}
	return n
}

// Infer gives the specs of what is differentiated.
func (p AttentionVJP) Infer(in []Spec) ([]Spec, error) {
	y, err := p.Of.Infer(in[:len(in)-2])
	if err != nil {
		return nil, err
	}
	if !slices.Equal(y[0].Shape, in[len(in)-1].Shape) {
		return nil, fmt.Errorf("cotangent %v does not fit the result %v", in[len(in)-1], y[0])
	}
	out := append([]Spec(nil), in[:3]...)
	if p.MaskGrad {
		q, k := in[0].Shape, in[1].Shape
		out = append(out, Spec{Shape: tensor.Shape{q[0], q[1], q[2], k[2]}, DType: angleType(y[0].DType)})
	}
	if p.Of.Sinks {
		at := 3
		if p.Of.Mask {
			at++
		}
		out = append(out, in[at])
	}
	return out, nil
}

// scores are what the formulas of attention share, as arrays [B, Hkv, G, L, ...] with G
// query heads for each key head.
type scores struct {
	q, k, v, c *Array
	p          *Array // probabilities
	tanh       *Array // of capped scores, else nil
	sink       *Array // the sinks' share [B, Hkv, G, L, 1], else nil
}

// Fallback is the formula: dv = p'c, ds = p*(cv' - sum(p*cv')), dq = ds k, dk = ds'q.
func (p AttentionVJP) Fallback(s Stream, in []*Array) []*Array {
	o := ops{s}
	x := p.Of.scores(o, in[:len(in)-2])
	sh := shapeOf(x.p)
	x.c = o.shaped(o.as(in[len(in)-1], x.p.DType()), append(slices.Clone(sh[:4]), in[2].Dim(3))...)
	dp := o.matmul(x.c, o.swap(x.v))
	sum := o.sum(o.mul(x.p, dp), true, -1)
	ds := o.mul(x.p, o.sub(dp, sum))
	full := ds
	if x.tanh != nil {
		ds = o.mul(ds, o.sub(1, o.do(tensor.OpSquare, x.tanh)))
	}
	scale := p.Of.Scale.Value()
	dq := o.mul(o.matmul(ds, x.k), scale)
	dk := o.mul(o.sum(o.matmul(o.swap(ds), x.q), false, 2), scale)
	dv := o.sum(o.matmul(o.swap(x.p), x.c), false, 2)
	out := []*Array{o.as(o.shaped(dq, shapeOf(in[0])...), in[0].DType()), o.as(dk, in[1].DType()), o.as(dv, in[2].DType())}
	if p.MaskGrad {
		out = append(out, o.shaped(full, sh[0], sh[1]*sh[2], sh[3], sh[4]))
	}
	if p.Of.Sinks {
		sinks := in[3]
		if p.Of.Mask {
			sinks = in[4]
		}
		d := o.do(tensor.OpNegative, o.sum(o.mul(x.sink, sum), false, 0, 3, 4))
		out = append(out, o.as(o.shaped(d, -1), sinks.DType()))
	}
	return out
}

// Fallback is the formula. The engines prefer the rules; tests compare with it.
func (p Attention) Fallback(s Stream, in []*Array) []*Array {
	o := ops{s}
	if p.Bits > 0 {
		k, v := unpack(p, s, in[1:4]), unpack(p, s, in[4:7])
		in = append([]*Array{in[0], k, v}, in[7:]...)
	}
	x := p.scores(o, in)
	sh := shapeOf(in[0])
	sh[3] = in[2].Dim(3)
	d := dtype.Promote(dtype.Promote(in[0].DType(), in[1].DType()), in[2].DType())
	return []*Array{o.as(o.shaped(o.matmul(x.p, x.v), sh...), d)}
}

// scores are those of inputs that are not packed.
func (p Attention) scores(o ops, in []*Array) (x scores) {
	q, k, v := in[0], in[1], in[2]
	d := dtype.Promote(dtype.Promote(q.DType(), k.DType()), v.DType())
	d = angleType(d)
	b, hq, l, hk, c := q.Dim(0), q.Dim(1), q.Dim(2), k.Dim(1), k.Dim(2)
	g := hq / hk
	x.q = o.shaped(o.as(q, d), b, hk, g, l, q.Dim(3))
	x.k = tensor.ExpandDims(o.as(k, d), []int{2}, o.s)
	x.v = tensor.ExpandDims(o.as(v, d), []int{2}, o.s)
	score := o.mul(o.matmul(x.q, o.swap(x.k)), p.Scale.Value())
	if soft := p.SoftCap.Value(); soft > 0 {
		x.tanh = o.do(tensor.OpTanh, o.div(score, soft))
		score = o.mul(x.tanh, soft)
	}
	rest := in[3:]
	var mask, sink *Array
	if p.Mask {
		mask, rest = headed(o, rest[0], hk, g), rest[1:]
	}
	if p.Sinks {
		sink, rest = o.shaped(o.as(rest[0], d), 1, hk, g, 1, 1), rest[1:]
	}
	see := p.sees(o, l, c, rest)
	if mask != nil {
		allowed := mask
		if mask.DType() != dtype.Bool {
			allowed = o.is(tensor.OpNotEqual, mask, math.Inf(-1))
			score = o.add(score, o.as(o.where(allowed, mask, 0), d))
		}
		if see != nil {
			allowed = o.is(tensor.OpLogicalAnd, see, allowed)
		}
		see = allowed
	}
	x.softmax(o, score, see, sink)
	return x
}

// softmax sets the probabilities; rows that see nothing get zeros. The largest score is
// a constant to derivatives: its own cancels.
func (x *scores) softmax(o ops, score, see, sink *Array) {
	top := tensor.StopGradientOf(score, o.s)
	if see != nil {
		top = o.where(see, top, math.Inf(-1))
	}
	if score.Dim(-1) > 0 {
		top = tensor.ReduceOf(tensor.OpMax, top, []int{-1}, true, o.s)
	} else {
		top = o.sum(top, true, -1)
	}
	if sink != nil {
		top = o.is(tensor.OpMaximum, top, tensor.StopGradientOf(sink, o.s))
	}
	top = o.where(o.is(tensor.OpNotEqual, top, math.Inf(-1)), top, 0)
	if see != nil {
		score = tensor.Where(see, score, top, o.s)
	}
	e := o.do(tensor.OpExp, o.sub(score, top))
	if see != nil {
		e = o.where(see, e, 0)
	}
	sum := o.sum(e, true, -1)
	if sink != nil {
		x.sink = o.do(tensor.OpExp, o.sub(sink, top))
		sum = o.add(sum, x.sink)
	}
	sum = o.where(o.is(tensor.OpNotEqual, sum, 0), sum, 1)
	x.p = o.div(e, sum)
	if sink != nil {
		x.sink = o.div(x.sink, sum)
	}
}

// headed is a mask that broadcasts to [B, Hq, L, C] as one that does to [B, Hkv, G, L, C].
func headed(o ops, m *Array, hk, g int) *Array {
	sh := shapeOf(m)
	for len(sh) < 4 {
		sh = slices.Insert(sh, 0, 1)
	}
	if sh[1] == 1 {
		hk, g = 1, 1
	}
	return o.shaped(m, sh[0], hk, g, sh[2], sh[3])
}

// sees is which keys the positions leave to each query, [L, C] or [B, 1, 1, L, C]; nil
// for all.
func (p Attention) sees(o ops, l, c int, pos []*Array) *Array {
	causal := p.Causal || p.Window > 0
	if !causal && len(pos) == 0 {
		return nil
	}
	count := func(n int) *Array {
		return tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0), Step: tensor.MakeF64(1), N: n, DType: dtype.Int32}, o.s)
	}
	row, col := o.shaped(count(l), l, 1), count(c)
	var see *Array
	and := func(m *Array) {
		if see != nil {
			m = o.is(tensor.OpLogicalAnd, see, m)
		}
		see = m
	}
	switch {
	case p.Ring: // column i holds the last key up to here that lies at i
		at := o.shaped(pos[0], -1, 1, 1, 1, 1)
		row = o.add(row, at)
		last := o.add(at, l-1)
		col = o.sub(last, tensor.BinaryAny(tensor.OpRemainder, o.sub(last, col), c, o.s))
		and(o.is(tensor.OpGreaterEqual, col, 0))
	case len(pos) > 0:
		at := o.shaped(pos[0], -1, 1, 1, 1, 1)
		row = o.add(row, at)
		and(o.is(tensor.OpLess, col, o.add(at, l)))
	default:
		row = o.add(row, c-l)
	}
	if causal {
		and(o.is(tensor.OpLessEqual, col, row))
	}
	if p.Window > 0 {
		and(o.is(tensor.OpGreater, col, o.sub(row, p.Window)))
	}
	return see
}

// ringVJP is the VJP over keys in order, where a mask says what lies in the ring.
func (p Attention) ringVJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	arrays := 3
	if p.Bits > 0 {
		arrays = 7
	}
	pos := len(in) - 1
	b, l, c := in[0].Dim(0), in[0].Dim(2), in[1].Dim(2)
	mask := tensor.ReshapeTo(p.sees(ops{s}, l, c, in[pos:]), []int{b, 1, l, c}, s)
	plain := p
	plain.Ring, plain.Causal, plain.Pos, plain.Window, plain.Mask = false, false, false, 0, true
	masked := slices.Insert(slices.Clone(in[:pos]), arrays, mask)
	g := plain.VJP(s, masked, out, cotan, slices.Insert(slices.Clone(need[:pos]), arrays, false))
	return append(slices.Delete(g, arrays, arrays+1), nil)
}

// VJP computes the probabilities again. Packed keys and values are unpacked first.
func (p Attention) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	if p.Ring {
		return p.ringVJP(s, in, out, cotan, need)
	}
	o, grads := ops{s}, make([]*Array, len(in))
	x, rest, at := in[:3:3], in[3:], 3
	if p.Bits > 0 {
		k, v := unpack(p, s, in[1:4]), unpack(p, s, in[4:7])
		x, rest, at = []*Array{in[0], k, v}, in[7:], 7
	}
	d := AttentionVJP{Of: p}
	d.Of.Bits, d.Of.Group = 0, 0
	d.MaskGrad = p.Mask && need[at] && rest[0].DType() != dtype.Bool
	got := tensor.Apply(d, s, append(append(x, rest...), out[0], cotan[0])...)
	grads[0] = got[0]
	if p.Bits > 0 {
		copy(grads[1:4], packedGrads(p, s, in[1:4], got[1], need[1:4]))
		copy(grads[4:7], packedGrads(p, s, in[4:7], got[2], need[4:7]))
	} else {
		grads[1], grads[2] = got[1], got[2]
	}
	got = got[3:]
	if d.MaskGrad {
		grads[at], got = o.as(unbroadcast(o, got[0], shapeOf(in[at])), in[at].DType()), got[1:]
	}
	if p.Mask {
		at++
	}
	if p.Sinks {
		grads[at] = got[0]
	}
	return grads
}

// unbroadcast sums a over what was repeated to make it of an array of shape to.
func unbroadcast(o ops, a *Array, to tensor.Shape) *Array {
	from := shapeOf(a)
	var axes []int
	for i, n := range from {
		if j := i - (len(from) - len(to)); j < 0 || to[j] == 1 && n != 1 {
			axes = append(axes, i)
		}
	}
	if len(axes) > 0 {
		a = o.sum(a, true, axes...)
	}
	return o.shaped(a, to...)
}

// Vmap makes batch rows of the mapped axis; mapped sinks are taken one after the other.
func (p Attention) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	arrays := 3
	if p.Bits > 0 {
		arrays = 7
	}
	return p.vmap(p, s, in, axes, arrays, false)
}

// Vmap makes batch rows of the mapped axis. Those of sinks would be summed: they are
// taken one after the other.
func (p AttentionVJP) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return p.Of.vmap(p, s, in, axes, 3, true)
}

// vmap folds the mapped axis into the batch of the first arrays, the mask and the
// position, and for a derivative of the two last inputs.
func (p Attention) vmap(prim tensor.Primitive, s Stream, in []*Array, axes []int, arrays int, vjp bool) ([]*Array, []int) {
	at := arrays
	if p.Mask {
		at++
	}
	o, n := ops{s}, tensor.MappedSize(in, axes)
	if n == 0 || p.Sinks && (vjp || axes[at] != tensor.Unmapped) {
		return tensor.VmapLoop(prim, s, in, axes)
	}
	batch := in[0].Dim(0)
	if axes[0] == 0 {
		batch = in[0].Dim(1)
	}
	folded := make([]*Array, len(in))
	for i, a := range in {
		switch {
		case i == arrays && p.Mask:
			folded[i] = foldMask(o, a, axes[i], n, batch)
		case i == at && p.Sinks:
			folded[i] = a
		default:
			folded[i] = foldBatch(o, a, axes[i], n)
		}
	}
	out := tensor.Apply(prim, s, folded...)
	for i, y := range out {
		sh := shapeOf(y)
		out[i] = o.shaped(y, append([]int{n, sh[0] / n}, sh[1:]...)...)
	}
	return front(out...)
}

// foldBatch makes one axis of the mapped one and the first.
func foldBatch(o ops, a *Array, axis, n int) *Array {
	a = tensor.InFront(a, axis, n, o.s)
	sh := shapeOf(a)
	return o.shaped(a, append([]int{n * sh[1]}, sh[2:]...)...)
}

// foldMask is foldBatch for a mask that broadcasts to batch rows.
func foldMask(o ops, m *Array, axis, n, batch int) *Array {
	if axis == tensor.Unmapped {
		if m.NDim() < 4 || m.Dim(0) == 1 {
			return m
		}
		return foldBatch(o, m, axis, n)
	}
	m = tensor.MoveAxis(m, axis, 0, o.s)
	sh := shapeOf(m)
	for len(sh) < 5 {
		sh = slices.Insert(sh, 1, 1)
	}
	m = o.shaped(m, sh...)
	sh[1] = batch
	return o.shaped(tensor.BroadcastTo(m, sh, o.s), append([]int{n * batch}, sh[2:]...)...)
}
