package linalg

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Vectors of equal values are any basis of their space: what depends on the choice has no
// derivative, and what does not needs no part of it, so the rules have 0 there. Near values make large
// derivatives.

// Vmap makes the mapped axis one of the batch, and so below.
func (p SVD) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) { return vmap(p, s, in, axes) }

// Vmap makes the mapped axis one of the batch.
func (p Eigh) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) { return vmap(p, s, in, axes) }

// Vmap makes the mapped axis one of the batch.
func (p Eig) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) { return vmap(p, s, in, axes) }

// realOnly refuses the derivative of a complex matrix.
func realOnly(p tensor.Primitive, a *Array) {
	if a.DType() == dtype.Complex64 {
		tensor.Throw(p.Name(), []Spec{tensor.SpecOf(a)}, "has no derivative for complex64; use stop_gradient on what it reads")
	}
}

// gaps is 1 / (v[j] - v[i]) at i, j, and 0 where the values are equal.
func (c calc) gaps(v *Array) *Array {
	d := c.sub(c.row(v), c.column(v))
	same := tensor.BinaryAny(tensor.OpEqual, d, 0, c.s)
	one := tensor.OnesLike(d, c.s)
	y := c.div(1, tensor.Where(same, one, d, c.s))
	return tensor.Where(same, tensor.ZerosLike(d, c.s), y, c.s)
}

// VJP of values alone is u g vt. Of vectors, with f = gaps(s^2), it is
// u ((f o (u^T g_u - g_u^T u)) s + s (f o (v^T g_v - g_v^T v)) + g) vt, where the columns of u
// and v beyond K turn with the others only.
func (p SVD) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	realOnly(p, in[0])
	c := calc{s}
	m, n := in[0].Dim(-2), in[0].Dim(-1)
	k := min(m, n)
	if !p.Vectors {
		all := tensor.Apply(SVD{Vectors: true}, s, in[0])
		u, vt := c.part(all[0], -1, 0, k), c.part(all[2], -2, 0, k)
		return []*Array{c.mul(c.columns(u, cotan[0]), vt)}
	}
	sv := out[1]
	u, v := c.part(out[0], -1, 0, k), c.part(c.t(out[2]), -1, 0, k)
	gu, gv := c.part(cotan[0], -1, 0, k), c.part(c.t(cotan[2]), -1, 0, k)
	turn := func(x, g *Array) *Array {
		y := c.mul(c.t(x), g)
		return c.times(c.gaps(c.do(tensor.OpSquare, sv)), c.sub(y, c.t(y)))
	}
	core := c.add(c.columns(turn(u, gu), sv), c.rows(sv, turn(v, gv)))
	y := c.mul(u, c.diagonal(core, cotan[1]), c.t(v))
	switch {
	case m > k:
		y = c.add(y, c.mul(c.columns(c.beyond(out[0], cotan[0], k, m), c.inverseOr0(sv)), c.t(v)))
	case n > k:
		b := c.columns(c.beyond(c.t(out[2]), c.t(cotan[2]), k, n), c.inverseOr0(sv))
		y = c.add(y, c.mul(u, c.t(b)))
	}
	return []*Array{y}
}

// beyond is the part of the cotangent g of x [n,n] that moves its first k columns out of their
// space: with x2 the others, x2 (x2^T g1 - g2^T x1).
func (c calc) beyond(x, g *Array, k, n int) *Array {
	x1, x2 := c.part(x, -1, 0, k), c.part(x, -1, k, n)
	g1, g2 := c.part(g, -1, 0, k), c.part(g, -1, k, n)
	return c.mul(x2, c.sub(c.mul(c.t(x2), g1), c.mul(c.t(g2), x1)))
}

// inverseOr0 is 1/v, 0 where v is 0.
func (c calc) inverseOr0(v *Array) *Array {
	zero := tensor.BinaryAny(tensor.OpEqual, v, 0, c.s)
	y := c.div(1, tensor.Where(zero, tensor.OnesLike(v, c.s), v, c.s))
	return tensor.Where(zero, tensor.ZerosLike(v, c.s), y, c.s)
}

// VJP is v (f o (v^T g_v) + g_w) v^T made symmetric, with f = gaps(w).
func (p Eigh) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	realOnly(p, in[0])
	c := calc{s}
	if !p.Vectors {
		v := tensor.Apply(Eigh{Upper: p.Upper, Vectors: true}, s, in[0])[1]
		return []*Array{c.mul(c.columns(v, cotan[0]), c.t(v))}
	}
	v := out[1]
	core := c.diagonal(c.times(c.gaps(out[0]), c.mul(c.t(v), cotan[1])), cotan[0])
	return []*Array{c.symmetric(c.mul(v, core, c.t(v)))}
}

// VJP is the real part of v^-H (conj(f) o (v^H g_v - v^H v diag(r)) + g_w) v^H, where f is
// gaps(w) and r the real diagonal of v^H g_v: vectors keep their length, and what depends
// on their phase has no derivative. A cotangent is the conjugate of this formula's g.
func (p Eig) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	if !p.Vectors {
		out = tensor.Apply(Eig{Vectors: true}, s, in[0])
	}
	v, vh := out[1], c.h(out[1])
	core := tensor.ZerosLike(v, s)
	if p.Vectors {
		g := c.mul(vh, c.do(tensor.OpConjugate, cotan[1]))
		r := tensor.AsType(c.do(tensor.OpReal, c.diag(g)), dtype.Complex64, s)
		g = c.sub(g, c.columns(c.mul(vh, v), r))
		core = c.times(c.do(tensor.OpConjugate, c.gaps(out[0])), g)
	}
	core = c.diagonal(core, c.do(tensor.OpConjugate, cotan[0]))
	y := c.mul(c.complexInverse(vh), core, vh)
	return []*Array{tensor.AsType(c.do(tensor.OpReal, y), in[0].DType(), s)}
}

// complexInverse is by the real matrix [[x, -y], [y, x]] for x + iy.
func (c calc) complexInverse(a *Array) *Array {
	n := a.Dim(-1)
	x, y := c.do(tensor.OpReal, a), c.do(tensor.OpImag, a)
	all := c.join(-2, c.join(-1, x, c.neg(y)), c.join(-1, y, x))
	left := c.part(tensor.Apply1(Inverse{}, c.s, all), -1, 0, n)
	re, im := c.part(left, -2, 0, n), c.part(left, -2, n, 2*n)
	return c.add(re, c.times(im, 1i))
}
