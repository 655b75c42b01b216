package metal

import (
	"math"
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// vjpSide is the queries and keys of a tile of kernels/attention_vjp.metal, and vjpThreads
// its threads.
const vjpSide, vjpThreads = 32, 128

// An attentionVJP is the derivative of attention: see kernels/attention_vjp.metal.
type attentionVJP struct {
	p                fast.AttentionVJP
	q, k, v, y, c    *View
	mask, sinks, pos *View // nil: none
	b, hq, hk, l     int
	keys, d, dv      int
	t                string // type of the elements
	chunks           int    // parts of 32 elements that d and dv have at most
	shared           []arg  // of all three kernels
}

// acceptsAttentionVJP: what is read by rows has rows without gaps.
func acceptsAttentionVJP(p fast.AttentionVJP, i int, v *View) bool {
	return i > 2 && i < p.NumIn()-2 || rowsPacked(v)
}

func newAttentionVJP(p fast.AttentionVJP, in []View) *attentionVJP {
	n := len(in)
	a := &attentionVJP{p: p, q: &in[0], k: &in[1], v: &in[2], y: &in[n-2], c: &in[n-1],
		b: in[0].Shape[0], hq: in[0].Shape[1], hk: in[1].Shape[1], l: in[0].Shape[2],
		keys: in[1].Shape[2], d: in[0].Shape[3], dv: in[2].Shape[3]}
	rest := in[3 : n-2]
	next := func(there bool) (v *View) {
		if there {
			v, rest = &rest[0], rest[1:]
		}
		return v
	}
	a.mask, a.sinks, a.pos = next(p.Of.Mask), next(p.Of.Sinks), next(p.Of.Pos)
	return a
}

// realKinds are the numbers of kernels/attention_vjp.metal for dtypes of masks and sinks.
var realKinds = map[dtype.DType]int{dtype.Float32: 1, dtype.Float16: 2, dtype.BFloat16: 3, dtype.Bool: 4}

// check says what there are no kernels for.
func (a *attentionVJP) check() error {
	a.t = productTypes[a.q.DType]
	d := a.q.DType
	switch {
	case !d.Is(dtype.Floating) || a.t == "" || a.k.DType != d || a.v.DType != d || a.y.DType != d || a.c.DType != d:
		return noKernel("queries of %v, keys of %v, values of %v, a cotangent of %v", d, a.k.DType, a.v.DType, a.c.DType)
	case a.p.Of.Ring || a.p.Of.Bits > 0:
		return noKernel("a ring of keys, or packed ones")
	case a.mask != nil && realKinds[a.mask.DType] == 0, a.sinks != nil && realKinds[a.sinks.DType] == 0:
		return noKernel("a mask or sinks of float64")
	case max(a.d, a.dv) > 256 || min(a.d, a.dv, a.l, a.keys, a.b) == 0:
		return noKernel("heads of %d and %d elements, %d queries, %d keys", a.d, a.dv, a.l, a.keys)
	case a.b*a.hq*a.l > math.MaxInt32/vjpThreads || a.b*a.hk*a.keys > math.MaxInt32/vjpThreads:
		return noKernel("%d queries and %d keys", a.l, a.keys)
	}
	for a.chunks = 2; a.chunks*vjpSide < max(a.d, a.dv); {
		a.chunks *= 2
	}
	return nil
}

// rules are the struct of the kernels.
func (a *attentionVJP) rules() arg {
	kind := func(v *View) int {
		if v == nil {
			return 0
		}
		return realKinds[v.DType]
	}
	bits32 := func(v tensor.F64) int { return int(int32(math.Float32bits(float32(v.Value())))) }
	p := &a.p.Of
	return ints(a.hq, a.hk, a.l, a.keys, a.d, a.dv, bit(p.Causal), p.Window, kind(a.mask), kind(a.sinks), bit(a.pos != nil),
		bit(a.p.MaskGrad), bits32(p.Scale), bits32(p.SoftCap))
}

// inputs are the arguments that all kernels begin with.
func (a *attentionVJP) inputs(e *encoder) (args []arg) {
	var st []int
	for _, v := range []*View{a.q, a.k, a.v, a.y, a.c} {
		args = append(args, e.in(v))
		st = append(st, v.Strides[:3]...)
	}
	var mask [4]int // over [B, Hq, L, C], 0 where it repeats
	if a.mask != nil {
		for i, d := range a.mask.Shape {
			if d != 1 {
				mask[4-len(a.mask.Shape)+i] = a.mask.Strides[i]
			}
		}
	}
	st = append(st, mask[:]...)
	for _, v := range []*View{a.mask, a.sinks, a.pos} {
		if v == nil {
			args = append(args, e.in(a.q)) // what is not there is not read
		} else {
			args = append(args, e.in(v))
		}
	}
	for _, v := range []*View{a.sinks, a.pos} {
		if v == nil {
			st = append(st, 0)
		} else {
			st = append(st, v.Strides[0])
		}
	}
	return append(args, a.rules(), longs(st...))
}

// dispatch runs a kernel with a threadgroup for each block of n rows of heads.
func (a *attentionVJP) dispatch(e *encoder, name string, types []string, n, heads int, more ...arg) error {
	k, err := e.kernel("attention_vjp", name, types)
	if err != nil {
		return err
	}
	grid := [3]int{(n + vjpSide - 1) / vjpSide * vjpThreads, heads, a.b}
	e.run(k, grid, [3]int{vjpThreads, 1, 1}, append(append([]arg(nil), a.shared...), more...)...)
	return nil
}

// attentionVJPOp computes the cotangents of q, k and v, then those of the mask and sinks.
func attentionVJPOp(e *encoder, p fast.AttentionVJP, in, out []View) error {
	a := newAttentionVJP(p, in)
	if err := a.check(); err != nil {
		return err
	}
	a.shared = a.inputs(e)
	rows := a.b * a.hq * a.l
	lse, delta := e.scratch(4*rows), e.scratch(4*rows)
	sink := lse // not written
	sink.mode = 0
	if a.sinks != nil {
		sink = e.scratch(4 * rows)
	}
	if err := a.dispatch(e, "attention_rows", []string{a.t}, a.l, a.hq, lse, delta, sink); err != nil {
		return err
	}
	types := []string{a.t, strconv.Itoa(a.chunks)}
	lse, delta = lse.reading(), delta.reading()
	if err := a.dispatch(e, "attention_keys", types, a.keys, a.hk, lse, delta, e.out(&out[1]), e.out(&out[2])); err != nil {
		return err
	}
	gmask, rest := delta, out[3:]
	if p.MaskGrad {
		gmask, rest = e.out(&rest[0]), rest[1:]
	}
	if err := a.dispatch(e, "attention_queries", types, a.l, a.hq, lse, delta, e.out(&out[0]), gmask); err != nil {
		return err
	}
	if a.sinks == nil {
		return nil
	}
	f := folding{op: "Sum", acc: "float", from: "float", to: elementTypes[rest[0].DType]}
	r := &reduction{n: a.hq, k: a.b * a.l, kept: newWalk([]int{a.hq}, []int{a.l}), red: newWalk([]int{a.b, a.l}, []int{a.hq * a.l, 1})}
	return f.run(e, r, sink.reading(), e.out(&rest[0]))
}
