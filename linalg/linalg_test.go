package linalg_test

import (
	"errors"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
	"github.com/mlxgo/mlx/linalg"
)

// evaluated is the error of building or evaluating.
func evaluated(build func() *mlx.Array) error {
	var out *mlx.Array
	if err := mlx.Try(func() { out = build() }); err != nil {
		return err
	}
	return mlx.Eval(out)
}

func second(_, b *mlx.Array) *mlx.Array { return b }
func first(a, _ *mlx.Array) *mlx.Array  { return a }

// TestErrors: what is refused, when it is built or evaluated, names the op and the reason.
func TestErrors(t *testing.T) {
	square := mlx.Eye(2, 2, 0)
	batch := mlx.NewArray([][][]float64{{{1, 2}, {3, 4}}, {{1, 2}, {2, 4}}})
	nan := mlx.NewArray([][]float64{{1, math.NaN()}, {0, 1}})
	for _, c := range []struct {
		want  string
		build func() *mlx.Array
	}{
		{"qr[float32(2,)]: needs a matrix: 2 axes or more, not 1", func() *mlx.Array { return first(linalg.QR(mlx.Ones(mlx.Shape{2}))) }},
		{"qr[int32(2, 2)]: is defined for float32 and float64, not int32; convert with AsType", func() *mlx.Array { return first(linalg.QR(mlx.Ones(mlx.Shape{2, 2}, mlx.Int32))) }},
		{"svd[bfloat16(2, 2)]: is defined for float32, float64 and complex64, not bfloat16", func() *mlx.Array { return linalg.SVDVals(square.AsType(mlx.BFloat16)) }},
		{"eigh[float32(2, 3)]: is defined for square matrices, not 2 by 3", func() *mlx.Array { return second(linalg.Eigh(mlx.Ones(mlx.Shape{2, 3}), false)) }},
		{"eigvalsh[float32(2, 3)]", func() *mlx.Array { return linalg.EighVals(mlx.Ones(mlx.Shape{2, 3}), false) }},
		{"eigvals[float16(2, 2)]", func() *mlx.Array { return linalg.EigVals(square.AsType(mlx.Float16)) }},
		{"cholesky_inv[float32(3, 2)]: is defined for square", func() *mlx.Array { return linalg.CholeskyInv(mlx.Ones(mlx.Shape{3, 2}), true) }},
		{"inv: matrix 1 of the batch is singular: pivot 2 is 0", func() *mlx.Array { return linalg.Inv(batch) }},
		{"tri_inv: the matrix is singular: pivot 1 is 0", func() *mlx.Array { return linalg.TriInv(mlx.Zeros(mlx.Shape{2, 2}), true) }},
		{"solve: the matrix is singular", func() *mlx.Array { return linalg.Solve(batch.Index(1), mlx.Ones(mlx.Shape{2, 3})) }},
		{"solve[float32(2, 2) float32()]: the second input is a scalar", func() *mlx.Array { return linalg.Solve(square, mlx.NewArray(1.0)) }},
		{"solve[float32(2, 2) float32(3, 1)]: 2 equations, but 3 right-hand sides", func() *mlx.Array { return linalg.Solve(square, mlx.Ones(mlx.Shape{3, 1})) }},
		{"solve[int32(2, 2) float32(2,)]: the first input is defined for float32", func() *mlx.Array { return linalg.Solve(square.AsType(mlx.Int32), mlx.Ones(mlx.Shape{2})) }},
		{"solve[float32(2, 2) complex64(2,)]: the common dtype is complex64", func() *mlx.Array { return linalg.Solve(square, mlx.NewArray([]complex128{1, 1i})) }},
		{"solve: shapes (2,) and (3,) cannot be broadcast", func() *mlx.Array { return linalg.Solve(batch, mlx.Ones(mlx.Shape{3, 2, 2})) }},
		{"solve_triangular: the matrix is singular: pivot 2 is 0", func() *mlx.Array {
			return linalg.SolveTriangular(mlx.Tri(2, 2, -1).Add(mlx.NewArray([][]float64{{1, 0}, {0, 0}})), mlx.Ones(mlx.Shape{2}), false)
		}},
		{"svd: the matrix has NaN or Inf", func() *mlx.Array { return linalg.SVDVals(nan) }},
		{"pinv: the matrix has NaN or Inf", func() *mlx.Array { return linalg.PInv(nan) }},
		{"eigh: the matrix has NaN or Inf", func() *mlx.Array { return first(linalg.Eigh(nan, true)) }},
		{"eigvals: the matrix has NaN or Inf", func() *mlx.Array { return linalg.EigVals(nan) }},
		{"svd: the matrix has NaN or Inf", func() *mlx.Array { return linalg.SVDVals(nan.AsType(mlx.Complex64)) }},
		{"qr[complex64(2, 2)]: is defined for float32 and float64, not complex64", func() *mlx.Array { return second(linalg.QR(square.AsType(mlx.Complex64))) }},
		{"det[complex64(2, 2)]: is not defined for complex64", func() *mlx.Array { return linalg.Det(square.AsType(mlx.Complex64)) }},
		{"slogdet[float32(2, 3)]: needs square matrices", func() *mlx.Array { return first(linalg.SLogDet(mlx.Ones(mlx.Shape{2, 3}))) }},
		{"det[bfloat16(4, 4)]: of more than 3 rows is defined for float32", func() *mlx.Array { return linalg.Det(mlx.Eye(4, 4, 0, mlx.BFloat16)) }},
		{"norm[float32(2, 2)]: ord 3 is none of matrices", func() *mlx.Array { return linalg.Norm(square, linalg.Ord(3)) }},
		{`norm[float32(2, 2)]: ord "max" is none of matrices`, func() *mlx.Array { return linalg.Norm(square, linalg.OrdName("max")) }},
		{"norm[float32()]: a norm is of a vector or a matrix, not of 0 axes", func() *mlx.Array { return linalg.Norm(mlx.NewArray(1.0), linalg.Ord(1)) }},
		{"norm[float32(2, 2)]: ord is NaN", func() *mlx.Array { return linalg.Norm(square, linalg.Ord(math.NaN()), mlx.Axis(0)) }},
		{"norm: axis 1 is given twice", func() *mlx.Array { return linalg.Norm(square, linalg.Ord(1), mlx.Axes{1, -1}) }},
		{"norm: ord is given twice", func() *mlx.Array { return linalg.Norm(square, linalg.Ord(1), linalg.OrdName("fro")) }},
		{"cross: takes one axis, not 2", func() *mlx.Array { return linalg.Cross(square, square, mlx.Axes{0, 1}) }},
		{"cross: axis 2 is out of range", func() *mlx.Array { return linalg.Cross(square, square, mlx.Axis(2)) }},
	} {
		err := evaluated(c.build)
		var typed *mlx.Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("the error is %v, want %s", err, c.want)
		}
	}
}

// TestAfterFailure: what was computed for a decomposition that fails can be used after it.
func TestAfterFailure(t *testing.T) {
	inv := func(a *mlx.Array) *mlx.Array { return linalg.Inv(a) }
	for name, inv := range map[string]func(a *mlx.Array) *mlx.Array{"eager": inv, "compiled": mlx.Compile(inv)} {
		a := mlx.Ones(mlx.Shape{4, 4}).Mul(2)
		if err := mlx.Eval(inv(a)); err == nil {
			t.Errorf("%s: no error", name)
		}
		var got *mlx.Array
		if err := mlx.Try(func() { got = linalg.PInv(a); got.Bytes() }); err != nil {
			t.Errorf("%s: after it: %v", name, err)
		} else if err := optest.Diff(got, mlx.Full(mlx.Shape{4, 4}, 1./32), optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestDTypes: float64 keeps its precision, integers and halves where MLX takes them.
func TestDTypes(t *testing.T) {
	hilbert := make([]float64, 36) // its inverse needs 8 digits more than it has
	for i := range hilbert {
		hilbert[i] = 1 / float64(i/6+i%6+1)
	}
	h := mlx.FromSlice(hilbert, 6, 6)
	one := h.MatMul(linalg.Inv(h))
	if err := optest.Diff(one, mlx.Eye(6, 6, 0, mlx.Float64), optest.Tol{Abs: 1e-8}); err != nil {
		t.Errorf("inverse in float64: %v", err)
	}
	for name, c := range map[string]struct {
		got  *mlx.Array
		want *mlx.Array
	}{
		"det of integers":     {linalg.Det(mlx.NewArray([][]int{{2, 1}, {1, 3}})), mlx.NewArray(5.0)},
		"det of halves":       {linalg.Det(mlx.NewArray([][]int{{2, 1}, {1, 3}}, mlx.Float16)), mlx.NewArray(5.0, mlx.Float16)},
		"det of nothing":      {linalg.Det(mlx.Zeros(mlx.Shape{2, 0, 0})), mlx.Ones(mlx.Shape{2})},
		"det, singular":       {linalg.Det(mlx.Ones(mlx.Shape{4, 4})), mlx.NewArray(0.0)},
		"slogdet, singular":   {second(linalg.SLogDet(mlx.Ones(mlx.Shape{4, 4}))), mlx.NewArray(math.Inf(-1))},
		"sign, singular":      {first(linalg.SLogDet(mlx.Ones(mlx.Shape{2, 2}))), mlx.NewArray(0.0)},
		"norm of halves":      {linalg.Norm(mlx.NewArray([]float64{300, 400}, mlx.Float16)), mlx.NewArray(500.0, mlx.Float16)},
		"norm of integers":    {linalg.Norm(mlx.NewArray([]int{60000, 80000})), mlx.NewArray(100000.0)},
		"nuclear of integers": {linalg.Norm(mlx.NewArray([][]int{{3, 0}, {0, -4}}), linalg.OrdName("nuc")), mlx.NewArray(7.0)},
		"norm 2 of halves":    {linalg.Norm(mlx.NewArray([][]float64{{3, 0}, {0, -4}}, mlx.Float16), linalg.Ord(2)), mlx.NewArray(4.0, mlx.Float16)},
		"norm 2 of complex":   {linalg.Norm(mlx.NewArray([][]complex128{{3i, 0}, {0, 4}}), linalg.Ord(2)), mlx.NewArray(4.0)},
		"norm 1 of complex":   {linalg.Norm(mlx.NewArray([]complex128{3 + 4i, -1}), linalg.Ord(1)), mlx.NewArray(6.0)},
		"cross of integers":   {linalg.Cross(mlx.NewArray([]int{1, 2, 3}), mlx.NewArray([]int{4, 5, 6})), mlx.NewArray([]int{-3, 6, -3})},
		"cross, mixed":        {linalg.Cross(mlx.NewArray([]int{1, 2}), mlx.NewArray([]float64{4, 5, 6})), mlx.NewArray([]float64{12, -6, -3})},
		"solve, mixed":        {linalg.Solve(mlx.Eye(2, 2, 0), mlx.NewArray([]int{1, 2})), mlx.NewArray([]float64{1, 2})},
		"svd of nothing":      {first(first3(linalg.SVD(mlx.Zeros(mlx.Shape{2, 0})))), mlx.Eye(2, 2, 0)},
		"inv on a CPU named":  {linalg.Inv(mlx.Eye(2, 2, 0), mlx.CPU), mlx.Eye(2, 2, 0)},
		"norm on a CPU":       {linalg.Norm(mlx.NewArray([]float64{3, 4}), mlx.CPU), mlx.NewArray(5.0)},
	} {
		if err := optest.Diff(c.got, c.want, optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func first3(a, b, _ *mlx.Array) (*mlx.Array, *mlx.Array) { return a, b }

// TestNaN: what does not iterate lets NaN through.
func TestNaN(t *testing.T) {
	a := mlx.Eye(4, 4, 0).Mul(math.NaN())
	for name, x := range map[string]*mlx.Array{"inv": linalg.Inv(a), "det": linalg.Det(a), "cholesky": linalg.Cholesky(a, false), "qr": first(linalg.QR(a))} {
		if v := mlx.ToSlice[float32](x); !math.IsNaN(float64(v[0])) {
			t.Errorf("%s of NaN is %v", name, v)
		}
	}
}

// TestOtherTriangle: what is not read may be anything.
func TestOtherTriangle(t *testing.T) {
	nan := math.NaN()
	for _, d := range []mlx.DType{mlx.Float32, mlx.Float64, mlx.Complex64} {
		lower := mlx.NewArray([][]float64{{2, nan, nan}, {1, 3, nan}, {0, 1, 2}}).AsType(d)
		want := mlx.NewArray([]float64{1, 2, 4})
		for upper, a := range map[bool]*mlx.Array{false: lower, true: lower.T()} {
			for name, w := range map[string]*mlx.Array{"eigh": first(linalg.Eigh(a, upper)), "eigvalsh": linalg.EighVals(a, upper)} {
				if err := mlx.Try(func() { w = w.AsType(mlx.Float32); w.Bytes() }); err != nil {
					t.Errorf("%s of %v, upper %v: %v", name, d, upper, err)
				} else if err := optest.Diff(w, want, optest.F32); err != nil {
					t.Errorf("%s of %v, upper %v: %v", name, d, upper, err)
				}
			}
		}
	}
}

// TestEqualValues: gradients of what does not depend on the choice of vectors.
func TestEqualValues(t *testing.T) {
	type f = func(a *mlx.Array) *mlx.Array
	eye := mlx.Eye(3, 3, 0).Mul(2)
	for name, fn := range map[string]f{
		"nuclear norm": func(a *mlx.Array) *mlx.Array { return linalg.Norm(a, linalg.OrdName("nuc")) },
		"trace by eigenvalues": func(a *mlx.Array) *mlx.Array {
			w, _ := linalg.Eigh(a, false)
			return mlx.Sum(w)
		},
		"trace by svd": func(a *mlx.Array) *mlx.Array {
			u, s, vt := linalg.SVD(a)
			return mlx.Sum(mlx.Diagonal(u.Mul(s).MatMul(vt), 0, 0, 1))
		},
	} {
		if err := optest.Diff(mlx.Grad(fn)(eye), mlx.Eye(3, 3, 0), optest.F32); err != nil {
			t.Errorf("gradient of %s: %v", name, err)
		}
	}
}

// TestGradientOfDet: of up to 3 rows it is there for a singular matrix too; of more, Eval says
// that it is not.
func TestGradientOfDet(t *testing.T) {
	grad := mlx.Grad(func(a *mlx.Array) *mlx.Array { return linalg.Det(a) })
	if err := optest.Diff(grad(mlx.Ones(mlx.Shape{2, 2})), mlx.NewArray([][]float64{{1, -1}, {-1, 1}}), optest.F32); err != nil {
		t.Error(err)
	}
	err := mlx.Eval(grad(mlx.Ones(mlx.Shape{4, 4})))
	if err == nil || !strings.Contains(err.Error(), "inv: the matrix is singular") {
		t.Errorf("the error is %v", err)
	}
}

// TestGradientOfHugeDet: the logarithm has a gradient where the determinant is not a number.
func TestGradientOfHugeDet(t *testing.T) {
	a := mlx.Eye(30, 30, 0).Mul(100)
	grad := mlx.Grad(func(a *mlx.Array) *mlx.Array { return second(linalg.SLogDet(a)) })
	if err := optest.Diff(grad(a), mlx.Eye(30, 30, 0).Mul(0.01), optest.F32); err != nil {
		t.Error(err)
	}
}

// TestTransformsNest: a compiled map of gradients through a decomposition, with donated
// inputs, is the loop.
func TestTransformsNest(t *testing.T) {
	type f = func(a, b *mlx.Array) *mlx.Array
	loss := func(a, b *mlx.Array) *mlx.Array {
		n := a.Dim(-1)
		spd := a.MatMul(a.T()).Add(mlx.Eye(n, n, 0))
		_, size := linalg.SLogDet(spd)
		l := linalg.Cholesky(spd, false)
		return mlx.Sum(mlx.Square(linalg.SolveTriangular(l, b, false))).Add(size)
	}
	v := make([]float32, 3*16)
	for i := range v {
		v[i] = float32(math.Sin(float64(i * i)))
	}
	as, b := mlx.FromSlice(v, 3, 4, 4), mlx.FromSlice(v[:4], 4)
	all := mlx.Compile(mlx.VMap(mlx.Grad(f(loss)), mlx.InAxes{0, mlx.Unmapped}))(as, b)
	var rows mlx.Arrays
	for _, a := range as.All() {
		rows = append(rows, mlx.Grad(f(loss))(a, b))
	}
	if err := optest.Diff(all, mlx.Stack(rows), optest.F32); err != nil {
		t.Error(err)
	}
	// d/da of log det(a a^T + 1) is 2 (a a^T + 1)^-1 a.
	a := as.Index(0)
	grad := mlx.Grad(func(a *mlx.Array) *mlx.Array {
		_, size := linalg.SLogDet(a.MatMul(a.T()).Add(mlx.Eye(4, 4, 0)))
		return size
	})(a)
	want := linalg.Inv(a.MatMul(a.T()).Add(mlx.Eye(4, 4, 0))).MatMul(a).Mul(2)
	if err := optest.Diff(grad, want, optest.F32); err != nil {
		t.Error(err)
	}
}

// TestGradientOfManyRows: that of a pseudo-inverse of many rows, or columns, makes no square of
// their number.
func TestGradientOfManyRows(t *testing.T) {
	const n = 1500
	v := make([]float32, 2*n)
	for i := range v {
		v[i] = float32(math.Sin(float64(i * i)))
	}
	for _, shape := range []mlx.Shape{{n, 2}, {2, n}} {
		a := mlx.FromSlice(v, shape...)
		mlx.ResetPeakMemory()
		before := mlx.ActiveMemory()
		g := mlx.Grad(func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(linalg.PInv(a))) })(a)
		if err := mlx.Eval(g); err != nil {
			t.Fatal(err)
		}
		if took := mlx.PeakMemory() - before; took > 4*n*n/2 {
			t.Errorf("%v takes %d bytes", shape, took)
		}
	}
}
