package linalg

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// LUOf is rows, l and u: row i of a is row rows[i] of l @ u.
func LUOf(a *Array, s Stream) (rows, l, u *Array) {
	c := calc{s}
	out := tensor.Apply(LU{}, s, a)
	f, m, n := out[0], a.Dim(-2), a.Dim(-1)
	k := min(m, n)
	l = c.part(c.tril(f, -1), -1, 0, k)
	u = c.part(c.triu(f, 0), -2, 0, k)
	return out[2], c.add(l, tensor.EyeOf(m, k, 0, f.DType(), s)), u
}

// CholeskyInvOf is the inverse of the matrix whose factor is l.
func CholeskyInvOf(l *Array, upper bool, s Stream) *Array {
	c := calc{s}
	if _, _, err := square(tensor.SpecOf(l)); err != nil {
		tensor.Throw("cholesky_inv", []Spec{tensor.SpecOf(l)}, "%v", err)
	}
	y := tensor.Apply1(TriangularInverse{upper}, s, l)
	if upper {
		return c.mul(y, c.t(y))
	}
	return c.mul(c.t(y), y)
}

// SolveOf is x with a @ x = b for a vector or for matrices; batches broadcast.
func SolveOf(a, b *Array, s Stream) *Array { return solve(Solve{}, a, b, s) }

// SolveTriangularOf is the same where one triangle of a counts.
func SolveTriangularOf(a, b *Array, upper bool, s Stream) *Array {
	return solve(SolveTriangular{upper}, a, b, s)
}

func solve(p tensor.Primitive, a, b *Array, s Stream) *Array {
	in := []Spec{tensor.SpecOf(a), tensor.SpecOf(b)}
	batch, n, err := square(in[0])
	if err != nil {
		tensor.Throw(p.Name(), in, "the first input %v", err)
	}
	if b.NDim() == 0 {
		tensor.Throw(p.Name(), in, "the second input is a scalar, not a vector or matrix")
	}
	vector := b.NDim() == 1
	if vector {
		b = tensor.ExpandDims(b, []int{-1}, s)
	}
	sh := tensor.SpecOf(b).Shape
	k := len(sh) - 2
	if sh[k] != n {
		tensor.Throw(p.Name(), in, "%d equations, but %d right-hand sides", n, sh[k])
	}
	d := dtype.Promote(a.DType(), b.DType())
	if d != dtype.Float32 && d != dtype.Float64 {
		tensor.Throw(p.Name(), in, "the common dtype is %v, not float32 or float64", d)
	}
	batch = tensor.BroadcastShapes(p.Name(), batch, sh[:k])
	a = tensor.BroadcastTo(tensor.AsType(a, d, s), slices.Concat(batch, Shape{n, n}), s)
	b = tensor.BroadcastTo(tensor.AsType(b, d, s), slices.Concat(batch, sh[k:]), s)
	x := tensor.Apply1(p, s, a, b)
	if vector {
		return tensor.Squeeze(x, []int{-1}, s)
	}
	return x
}

// determined checks and widens the input of det and slogdet.
func determined(op string, a *Array, s Stream) *Array {
	in := []Spec{tensor.SpecOf(a)}
	if a.DType() == dtype.Complex64 {
		tensor.Throw(op, in, "is not defined for complex64")
	}
	if n := a.NDim(); n < 2 || a.Dim(-1) != a.Dim(-2) {
		tensor.Throw(op, in, "needs square matrices")
	}
	a = tensor.AsType(a, dtype.AtLeastFloat(a.DType()), s)
	if a.Dim(-1) > 3 {
		if _, _, err := square(tensor.SpecOf(a)); err != nil {
			tensor.Throw(op, in, "of more than 3 rows %v", err)
		}
	}
	return a
}

// DetOf is the determinant, a polynomial of matrices of up to 3 rows.
func DetOf(a *Array, s Stream) *Array {
	if a = determined("det", a, s); a.Dim(-1) <= 3 {
		return calc{s}.smallDet(a)
	}
	return tensor.Apply1(Determinant{}, s, a)
}

// SLogDetOf is its sign and the logarithm of its size.
func SLogDetOf(a *Array, s Stream) (sign, logAbs *Array) {
	if a = determined("slogdet", a, s); a.Dim(-1) <= 3 {
		c := calc{s}
		det := c.smallDet(a)
		return c.do(tensor.OpSign, det), c.do(tensor.OpLog, c.do(tensor.OpAbs, det))
	}
	out := tensor.Apply(Determinant{Log: true}, s, a)
	return out[0], out[1]
}

// smallDet is the polynomial.
func (c calc) smallDet(a *Array) *Array {
	n := a.Dim(-1)
	at := func(i, j int) *Array {
		return tensor.Squeeze(c.part(c.part(a, -2, i, i+1), -1, j, j+1), []int{-1, -2}, c.s)
	}
	minor := func(i, j, k, l int) *Array { // rows i and j, columns k and l
		return c.sub(c.times(at(i, k), at(j, l)), c.times(at(i, l), at(j, k)))
	}
	switch n {
	case 0:
		sh := tensor.SpecOf(a).Shape
		return tensor.BroadcastTo(tensor.FloatScalar(1, a.DType(), c.s), sh[:len(sh)-2], c.s)
	case 1:
		return at(0, 0)
	case 2:
		return minor(0, 1, 0, 1)
	}
	y := c.sub(c.times(at(0, 0), minor(1, 2, 1, 2)), c.times(at(0, 1), minor(1, 2, 0, 2)))
	return c.add(y, c.times(at(0, 2), minor(1, 2, 0, 1)))
}

// CrossOf is the product of vectors of 3 elements along an axis; of 2 elements, the third is 0.
func CrossOf(a, b *Array, axis int, s Stream) *Array {
	c := calc{s}
	in := []Spec{tensor.SpecOf(a), tensor.SpecOf(b)}
	at := make([]int, 2)
	for i, x := range in {
		at[i] = tensor.NormAxis("cross", axis, x.Shape)
		if n := x.Shape[at[i]]; n != 2 && n != 3 {
			tensor.Throw("cross", in, "axis %d has size %d, not 2 or 3", axis, n)
		}
	}
	planes := in[0].Shape[at[0]] == 2 && in[1].Shape[at[1]] == 2
	third := func(x *Array, axis int) *Array {
		if x.Dim(axis) == 3 {
			return x
		}
		low, high := make([]int, x.NDim()), make([]int, x.NDim())
		high[axis] = 1
		return tensor.PadWith(x, low, high, 0, s)
	}
	d := dtype.Promote(a.DType(), b.DType())
	a, b = third(tensor.AsType(a, d, s), at[0]), third(tensor.AsType(b, d, s), at[1])
	t := tensor.BroadcastShapes("cross", tensor.SpecOf(a).Shape, tensor.SpecOf(b).Shape)
	if axis < 0 {
		axis += len(t)
	}
	a, b = tensor.BroadcastTo(a, t, s), tensor.BroadcastTo(b, t, s)
	x := func(v *Array, i int) *Array { return c.part(v, axis, i%3, i%3+1) }
	parts := make([]*Array, 3)
	for i := range parts {
		if planes && i < 2 {
			parts[i] = tensor.ZerosLike(x(a, i), s)
			continue
		}
		parts[i] = c.sub(c.times(x(a, i+1), x(b, i+2)), c.times(x(a, i+2), x(b, i+1)))
	}
	return c.join(axis, parts...)
}
