package linalg

import "github.com/mlxgo/mlx/internal/tensor"

// A rule writes g for the cotangent of a result; its formulas are those of Giles, "Collected
// matrix derivative results", and of Walter and Lehmann for factors of matrices that are not
// square. Those of symmetric matrices are symmetric.

// Vmap makes the mapped axis one of the batch, and so below.
func (p QR) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Inverse) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p TriangularInverse) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p PseudoInverse) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Cholesky) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p LU) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Solve) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p SolveTriangular) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap makes the mapped axis one of the batch.
func (p Determinant) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// VJP is -y^T g y^T.
func (Inverse) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{calc{s}.inverse(out[0], cotan[0])}
}

func (c calc) inverse(y, g *Array) *Array { return c.neg(c.mul(c.t(y), g, c.t(y))) }

// VJP is that of the inverse, in the triangle.
func (p TriangularInverse) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	return []*Array{c.triangle(c.inverse(out[0], cotan[0]), p.Upper)}
}

// VJP is by Golub and Pereyra, for matrices around which the rank does not change:
// -y^T g y^T + (1 - a y) g^T y y^T + y^T y g^T (1 - y a).
func (PseudoInverse) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	a, y, g := in[0], out[0], cotan[0]
	gt, yt := c.t(g), c.t(y)
	left := c.mul(gt, y, yt)
	right := c.mul(yt, y, gt)
	left = c.sub(left, c.mul(a, y, left))
	right = c.sub(right, c.mul(right, y, a))
	return []*Array{c.add(c.inverse(y, g), c.add(left, right))}
}

// VJP is l^-T (p + p^T)/2 l^-1, where p is l^T g below the diagonal and half of it there.
func (p Cholesky) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	l, g := out[0], cotan[0]
	if p.Upper {
		l, g = c.t(l), c.t(g)
	}
	m := c.mul(c.t(l), c.tril(g, 0))
	m = c.tril(m, 0)
	m = c.add(m, c.t(c.tril(m, -1))) // p + p^T
	lt := c.t(l)
	m = c.upper(lt, m)
	return []*Array{c.times(c.t(c.upper(lt, c.t(m))), 0.5)}
}

// VJP solves with the transposed matrix.
func (Solve) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	b := tensor.Apply1(Solve{}, s, c.t(in[0]), cotan[0])
	return []*Array{c.neg(c.mul(b, c.t(out[0]))), b}
}

// VJP solves with the transposed triangle.
func (p SolveTriangular) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	b := tensor.Apply1(SolveTriangular{!p.Upper}, s, c.t(in[0]), cotan[0])
	return []*Array{c.triangle(c.neg(c.mul(b, c.t(out[0]))), p.Upper), b}
}

// VJP is the transposed inverse times what the logarithm gets, or the determinant times
// what it gets itself. A singular matrix has no inverse.
func (p Determinant) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	g := cotan[len(cotan)-1]
	if !p.Log {
		g = c.times(g, out[0])
	}
	y := c.t(tensor.Apply1(Inverse{}, s, in[0]))
	return []*Array{c.times(c.column(c.column(g)), y)}
}

// VJP: with m = r g_r^T - g_q^T q it is (g_q + q (m below the diagonal and there, mirrored))
// r^-T. Of a wide matrix the further columns of r are q^T a.
func (QR) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	q, r, gq, gr := out[0], out[1], cotan[0], c.triu(cotan[1], 0)
	m, n := in[0].Dim(-2), in[0].Dim(-1)
	if n <= m {
		return []*Array{c.qr(q, r, gq, gr)}
	}
	rest, g := c.part(in[0], -1, m, n), c.part(gr, -1, m, n)
	gq = c.add(gq, c.mul(rest, c.t(g)))
	first := c.qr(q, c.part(r, -1, 0, m), gq, c.part(gr, -1, 0, m))
	return []*Array{c.join(-1, first, c.mul(q, g))}
}

func (c calc) qr(q, r, gq, gr *Array) *Array {
	m := c.sub(c.mul(r, c.t(gr)), c.mul(c.t(gq), q))
	m = c.add(c.tril(m, 0), c.t(c.tril(m, -1)))
	return c.t(c.upper(r, c.t(c.add(gq, c.mul(q, m)))))
}

// VJP: with the square parts l and u of the factors and m = (l^T g_l below the diagonal) +
// (g_u u^T above it and there) it is l^-T m u^-T, its rows in the order of the input. What is
// beyond the square is l^-1 a or a u^-1.
func (LU) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	c := calc{s}
	m, n := in[0].Dim(-2), in[0].Dim(-1)
	k := min(m, n)
	block := func(a *Array, rows, columns bool) *Array { // beyond the square, or in it
		cut := func(a *Array, axis, size int, beyond bool) *Array {
			if beyond {
				return c.part(a, axis, k, size)
			}
			return c.part(a, axis, 0, k)
		}
		return cut(cut(a, -2, m, rows), -1, n, columns)
	}
	f, g := block(out[0], false, false), block(cotan[0], false, false)
	one := tensor.EyeOf(k, k, 0, f.DType(), s)
	l, u := c.add(c.tril(f, -1), one), c.triu(f, 0)
	gl, gu := c.tril(g, -1), c.triu(g, 0)
	var beyond *Array
	switch {
	case n > m:
		beyond = c.upper(c.t(l), block(cotan[0], false, true))
		gl = c.sub(gl, c.mul(beyond, c.t(block(out[0], false, true))))
	case m > n:
		beyond = c.t(c.upper(u, c.t(block(cotan[0], true, false))))
		gu = c.sub(gu, c.mul(c.t(block(out[0], true, false)), beyond))
	}
	x := c.add(c.tril(c.mul(c.t(l), gl), -1), c.triu(c.mul(gu, c.t(u)), 0))
	x = c.upper(c.t(l), x)
	x = c.t(c.upper(u, c.t(x)))
	switch {
	case n > m:
		x = c.join(-1, x, beyond)
	case m > n:
		x = c.join(-2, x, beyond)
	}
	return []*Array{tensor.TakeAlongAxis(x, c.column(out[2]), -2, s)}
}
