package linalg

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Vectors of equal values are any basis of their space: what depends on the choice has no
// derivative, and what does not needs no part of it, so the rules have 0 there. Near values make
// large derivatives. A cotangent, and what a rule gives, is the conjugate of the formulas' g.

// Vmap makes the mapped axis one of the batch, and so below.
func (p SVD) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Eigh) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Eig) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
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
// u ((f o (u^H g_u - g_u^H u)) s + s (f o (v^H g_v - g_v^H v)) + g) vt, where the columns of u
// and v beyond K turn with the others only. Of complex vectors, of which u and v may turn
// together, g has the imaginary diagonal of u^H g_u / s, too.
func (p SVD) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	m, n := in[0].Dim(-2), in[0].Dim(-1)
	k := min(m, n)
	if !p.Vectors {
		all := tensor.Apply(SVD{Vectors: true}, s, in[0])
		u, vt := c.part(all[0], -1, 0, k), c.part(all[2], -2, 0, k)
		return []*Array{c.conj(c.mul(c.columns(u, cotan[0]), vt))}
	}
	sv, v, gv := out[1], c.h(out[2]), c.t(cotan[2])
	u, gu := out[0], c.conj(cotan[0])
	u1, v1, gu1, gv1 := c.part(u, -1, 0, k), c.part(v, -1, 0, k), c.part(gu, -1, 0, k), c.part(gv, -1, 0, k)
	inverse, f := c.inverseOr0(sv), c.gaps(c.do(tensor.OpSquare, sv))
	turn := func(x, g *Array) *Array {
		y := c.mul(c.h(x), g)
		return c.times(f, c.sub(y, c.h(y)))
	}
	core := c.add(c.columns(turn(u1, gu1), sv), c.rows(sv, turn(v1, gv1)))
	middle := cotan[1]
	if in[0].DType() == dtype.Complex64 {
		phase := c.times(c.do(tensor.OpImag, c.diag(c.mul(c.h(u1), gu1))), inverse)
		middle = c.add(middle, c.times(phase, 1i))
	}
	y := c.mul(u1, c.diagonal(core, middle), c.h(v1))
	switch {
	case m > k:
		y = c.add(y, c.mul(c.columns(c.beyond(u, gu, k, m), inverse), c.h(v1)))
	case n > k:
		y = c.add(y, c.mul(u1, c.h(c.columns(c.beyond(v, gv, k, n), inverse))))
	}
	return []*Array{c.conj(y)}
}

// beyond is the part of the cotangent g of x [n,n] that moves its first k columns out of their
// space: with x2 the others, x2 (x2^H g1 - g2^H x1).
func (c calc) beyond(x, g *Array, k, n int) *Array {
	x1, x2 := c.part(x, -1, 0, k), c.part(x, -1, k, n)
	g1, g2 := c.part(g, -1, 0, k), c.part(g, -1, k, n)
	return c.mul(x2, c.sub(c.mul(c.h(x2), g1), c.mul(c.h(g2), x1)))
}

// inverseOr0 is 1/v, 0 where v is 0.
func (c calc) inverseOr0(v *Array) *Array {
	zero := tensor.BinaryAny(tensor.OpEqual, v, 0, c.s)
	y := c.div(1, tensor.Where(zero, tensor.OnesLike(v, c.s), v, c.s))
	return tensor.Where(zero, tensor.ZerosLike(v, c.s), y, c.s)
}

// VJP is v (f o (v^H g_v) + g_w) v^H made Hermitian, with f = gaps(w).
func (p Eigh) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	if !p.Vectors {
		v := tensor.Apply(Eigh{Upper: p.Upper, Vectors: true}, s, in[0])[1]
		return []*Array{c.conj(c.mul(c.columns(v, cotan[0]), c.h(v)))}
	}
	v := out[1]
	core := c.diagonal(c.times(c.gaps(out[0]), c.mul(c.h(v), c.conj(cotan[1]))), cotan[0])
	y := c.mul(v, core, c.h(v))
	return []*Array{c.conj(c.times(c.add(y, c.h(y)), 0.5))}
}

// VJP is v^-H (conj(f) o (v^H g_v - v^H v diag(r)) + g_w) v^H, of which a real matrix gets the
// real part; f is gaps(w) and r the real diagonal of v^H g_v: vectors keep their length, and what
// depends on their phase has no derivative.
func (p Eig) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	if !p.Vectors {
		out = tensor.Apply(Eig{Vectors: true}, s, in[0])
	}
	v, vh := out[1], c.h(out[1])
	core := tensor.ZerosLike(v, s)
	if p.Vectors {
		g := c.mul(vh, c.conj(cotan[1]))
		r := tensor.AsType(c.do(tensor.OpReal, c.diag(g)), dtype.Complex64, s)
		g = c.sub(g, c.columns(c.mul(vh, v), r))
		core = c.times(c.conj(c.gaps(out[0])), g)
	}
	core = c.diagonal(core, c.conj(cotan[0]))
	y := c.mul(c.complexInverse(vh), core, vh)
	if in[0].DType() == dtype.Complex64 {
		return []*Array{c.conj(y)}
	}
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
