package linalg

import "github.com/mlxgo/mlx/internal/tensor"

// A calc writes formulas of matrices on a stream.
type calc struct{ s Stream }

func (c calc) add(a, b any) *Array { return tensor.BinaryAny(tensor.OpAdd, a, b, c.s) }
func (c calc) sub(a, b any) *Array { return tensor.BinaryAny(tensor.OpSubtract, a, b, c.s) }

// times is the product of elements, mul that of matrices.
func (c calc) times(a, b any) *Array { return tensor.BinaryAny(tensor.OpMultiply, a, b, c.s) }

func (c calc) div(a, b any) *Array { return tensor.BinaryAny(tensor.OpDivide, a, b, c.s) }

// Of three matrices, the two are multiplied first that cost less.
func (c calc) mul(as ...*Array) *Array {
	if len(as) == 3 {
		m, k, l, n := as[0].Dim(-2), as[1].Dim(-2), as[1].Dim(-1), as[2].Dim(-1)
		if k*n*(l+m) < m*l*(k+n) {
			return c.mul(as[0], c.mul(as[1:]...))
		}
	}
	y := as[0]
	for _, a := range as[1:] {
		y = tensor.MatMulOf(y, a, c.s)
	}
	return y
}

func (c calc) do(op tensor.UnaryOp, a *Array) *Array { return tensor.UnaryOf(op, a, c.s) }
func (c calc) neg(a *Array) *Array                   { return c.do(tensor.OpNegative, a) }

// t is the transposed matrix, h also conjugate.
func (c calc) t(a *Array) *Array    { return tensor.SwapAxes(a, -1, -2, c.s) }
func (c calc) h(a *Array) *Array    { return c.conj(c.t(a)) }
func (c calc) conj(a *Array) *Array { return c.do(tensor.OpConjugate, a) }

func (c calc) tril(a *Array, k int) *Array { return tensor.TrilOf("tril", a, k, false, c.s) }
func (c calc) triu(a *Array, k int) *Array { return tensor.TrilOf("triu", a, k, true, c.s) }

// triangle is the lower or upper one.
func (c calc) triangle(a *Array, upper bool) *Array {
	return tensor.TrilOf("tril", a, 0, upper, c.s)
}

// diag is the diagonal, as a vector.
func (c calc) diag(a *Array) *Array { return tensor.DiagonalOf(a, 0, -2, -1, c.s) }

// columns multiplies column j by v[j]; rows multiplies row i by v[i].
func (c calc) columns(a, v *Array) *Array { return c.times(a, c.row(v)) }
func (c calc) rows(v, a *Array) *Array    { return c.times(c.column(v), a) }

// row is vectors as matrices of one row, column as those of one column.
func (c calc) row(v *Array) *Array    { return tensor.ExpandDims(v, []int{-2}, c.s) }
func (c calc) column(v *Array) *Array { return tensor.ExpandDims(v, []int{-1}, c.s) }

// diagonal is a with v on its diagonal.
func (c calc) diagonal(a, v *Array) *Array {
	k := v.Dim(-1)
	one := tensor.EyeOf(k, k, 0, tensor.SpecOf(a).DType, c.s)
	return c.add(c.times(a, c.sub(1, one)), c.times(one, c.row(v)))
}

// part is columns, or rows, lo to hi.
func (c calc) part(a *Array, axis, lo, hi int) *Array { return tensor.SliceAxis(a, axis, lo, hi, c.s) }

func (c calc) join(axis int, as ...*Array) *Array { return tensor.ConcatenateOf(as, axis, c.s) }

// upper solves u @ x = b for upper triangular u of the same batch.
func (c calc) upper(u, b *Array) *Array {
	return tensor.Apply1(SolveTriangular{Upper: true}, c.s, u, b)
}
