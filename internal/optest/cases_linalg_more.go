package optest

import (
	"fmt"
	"math"
	"math/cmplx"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
)

// eigenCases are of matrices that are not symmetric, with real values and conjugate pairs.
func eigenCases() []Case {
	a := mlx.NewArray([][][]float64{{{1, 2, 0.5}, {-3, 1.5, 1}, {0.25, 1, -2}}, {{4, 1, 0}, {0.5, 2, 1}, {1, -0.5, -1}}})
	parts := func(z *mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Real(z), mlx.Imag(z)} }
	return []Case{
		{Name: "eigvals", Inputs: made(a), Tol: Tol{Rel: 1e-5, Abs: 1e-5}, Empty: true, GradStep: 1e-3,
			Build: one2(func(a *mlx.Array) []*mlx.Array { return parts(linalg.EigVals(a)) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				w, _ := eigenReference(in[0])
				return parts(w)
			}},
		{Name: "eig", Inputs: made(a), Tol: Tol{Rel: 1e-5, Abs: 1e-5}, Empty: true, GradStep: 1e-3,
			Build: one2(func(a *mlx.Array) []*mlx.Array { // the phase is a matter of choice
				w, v := linalg.Eig(a)
				return append(parts(w), mlx.Square(mlx.Real(v)).Add(mlx.Square(mlx.Imag(v))))
			}),
			Want: func(in []*mlx.Array) []*mlx.Array {
				w, v := eigenReference(in[0])
				return append(parts(w), v)
			}},
	}
}

// hermitianCases are of complex matrices: values against those of the real matrix of twice the
// size, which has each twice, and the product of the factors.
func hermitianCases() []Case {
	at := func(z complex64) (x, y float64) { return float64(real(z)), float64(imag(z)) }
	twice := func(a *mlx.Array) mat {
		m, n := a.Dim(0), a.Dim(1)
		y := newMat(2*m, 2*n)
		for i, z := range mlx.ToSlice[complex64](a) {
			re, im := at(z)
			r, c := i/n, i%n
			y[r][c], y[r][n+c], y[m+r][c], y[m+r][n+c] = re, -im, im, re
		}
		return y
	}
	every2nd := func(v []float64) *mlx.Array {
		var out []float32
		for i := 0; i < len(v); i += 2 {
			out = append(out, float32(v[i]))
		}
		return mlx.FromSlice(out)
	}
	parts := func(z *mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.Real(z), mlx.Imag(z)} }
	hermitian := func(a *mlx.Array) *mlx.Array { return a.Add(mlx.Conjugate(a.SwapAxes(-1, -2))) }
	z := func(m, n int) *mlx.Array { return ramp(m, n).Add(ramp(m, n).Add(1).Mul(ramp(m, n).Sub(0.5)).Mul(1i)) }
	cases := []Case{{Name: "eigh, Hermitian", Inputs: made(z(4, 4)), Tol: F32,
		Build: one2(func(a *mlx.Array) []*mlx.Array {
			h := hermitian(a)
			w, v := linalg.Eigh(h, true)
			back := v.Mul(w.ExpandDims(-2)).MatMul(mlx.Conjugate(v.SwapAxes(-1, -2)))
			return append(parts(back), w, linalg.EighVals(h, false))
		}),
		Want: func(in []*mlx.Array) []*mlx.Array {
			w, _ := twice(hermitian(in[0])).eigh()
			return append(parts(hermitian(in[0])), every2nd(w), every2nd(w))
		}}}
	for _, size := range [][2]int{{5, 3}, {3, 5}, {4, 4}} {
		k := min(size[0], size[1])
		cases = append(cases, Case{Name: fmt.Sprintf("svd of a complex %d by %d matrix", size[0], size[1]), Inputs: made(z(size[0], size[1])), Tol: F32,
			Build: one2(func(a *mlx.Array) []*mlx.Array {
				u, s, vh := linalg.SVD(a)
				back := cut(u, 0, k).Mul(s.ExpandDims(-2)).MatMul(cut(vh.SwapAxes(-1, -2), 0, k).SwapAxes(-1, -2))
				return append(parts(back), s, linalg.SVDVals(a), linalg.Norm(a, linalg.OrdName("nuc")))
			}),
			Want: func(in []*mlx.Array) []*mlx.Array {
				_, s, _ := twice(in[0]).svd()
				v := every2nd(s)
				return append(parts(in[0]), v, v, mlx.Sum(v))
			}})
	}
	return cases
}

// eigenReference is the values, in the order in which EigVals has them, and the squared
// sizes of the elements of the unit vectors, of matrices of 3 rows.
func eigenReference(a *mlx.Array) (values, sizes *mlx.Array) {
	order := mlx.ToSlice[complex64](linalg.EigVals(a))
	var ws []complex64
	var vs []float64
	for i, m := range mats(a) {
		roots := m.eigenvalues()
		var w []complex128
		for _, near := range order[3*i : 3*i+3] {
			best := slices.MinFunc(roots, func(x, y complex128) int {
				return int(math.Copysign(1, cmplx.Abs(x-complex128(near))-cmplx.Abs(y-complex128(near))))
			})
			w = append(w, best)
			ws = append(ws, complex64(best))
		}
		v := newMat(3, 3)
		for j, z := range w {
			row := func(i int) (r [3]complex128) {
				for k := range r {
					r[k] = complex(m[i][k], 0)
				}
				r[i] -= z
				return r
			}
			p, q := row(0), row(1) // their product is at a right angle to both
			x := [3]complex128{p[1]*q[2] - p[2]*q[1], p[2]*q[0] - p[0]*q[2], p[0]*q[1] - p[1]*q[0]}
			sum := 0.0
			for i := range x {
				v[i][j] = real(x[i] * cmplx.Conj(x[i]))
				sum += v[i][j]
			}
			for i := range x {
				v[i][j] /= sum
			}
		}
		for _, r := range v {
			vs = append(vs, r...)
		}
	}
	sh := a.Shape()
	return mlx.FromSlice(ws).Reshape(sh[:len(sh)-1]...), mlx.FromSlice(vs).AsType(mlx.Float32).Reshape(sh...)
}

// normCases are all orders, against their definitions.
func normCases() (cases []Case) {
	add := func(name string, x *mlx.Array, opts []linalg.Option, want func(v [][]float64) float64, group func(a *mlx.Array) *mlx.Array, shape ...int) {
		cases = append(cases, Case{Name: "norm " + name, Inputs: made(x), Tol: F32,
			Build: one(func(a *mlx.Array) *mlx.Array { return linalg.Norm(a, opts...) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				var out []float64
				for _, m := range mats(group(in[0])) {
					out = append(out, want(m))
				}
				return []*mlx.Array{mlx.FromSlice(out).AsType(mlx.Float32).Reshape(shape...)}
			}})
	}
	x := ramp(2, 3, 4).Add(0.25) // no element is 0
	alongOne := func(a *mlx.Array) *mlx.Array { return a.SwapAxes(1, 2).Reshape(8, 1, 3) }
	for _, ord := range []float64{0, 1, 2, 3, -1, 0.5, math.Inf(1), math.Inf(-1)} {
		name := fmt.Sprint(ord)
		vector := func(v [][]float64) float64 { return vectorNorm(v[0], ord) }
		add("of vectors of order "+name, x, []linalg.Option{linalg.Ord(ord), mlx.Axis(1)}, vector, alongOne, 2, 4)
		add("of vectors kept of order "+name, x, []linalg.Option{linalg.Ord(ord), mlx.Axis(-2), mlx.KeepDims(true)}, vector, alongOne, 2, 1, 4)
	}
	outer := func(a *mlx.Array) *mlx.Array { return a.Transpose(1, 0, 2) } // rows by axis 0, columns by axis 2
	for _, ord := range []float64{1, -1, 2, -2, math.Inf(1), math.Inf(-1)} {
		name := fmt.Sprint(ord)
		matrix := func(v [][]float64) float64 { return matrixNorm(v, ord) }
		add("of matrices of order "+name, x, []linalg.Option{linalg.Ord(ord), mlx.Axes{0, 2}}, matrix, outer, 3)
		add("of turned matrices of order "+name, x, []linalg.Option{linalg.Ord(ord), mlx.Axes{2, 0}, mlx.KeepDims(true)}, matrix,
			func(a *mlx.Array) *mlx.Array { return a.Transpose(1, 2, 0) }, 1, 3, 1)
	}
	frobenius := func(v [][]float64) float64 { return vectorNorm(slices.Concat(v...), 2) }
	nuclear := func(v [][]float64) (sum float64) {
		_, s, _ := mat(v).svd()
		for _, v := range s {
			sum += v
		}
		return sum
	}
	add("fro", x, []linalg.Option{linalg.OrdName("fro"), mlx.Axes{0, -1}}, frobenius, outer, 3)
	add("f", x, []linalg.Option{linalg.OrdName("f"), mlx.Axes{0, -1}, mlx.KeepDims(true)}, frobenius, outer, 1, 3, 1)
	add("nuc", x, []linalg.Option{linalg.OrdName("nuc"), mlx.Axes{-1, 0}}, nuclear, outer, 3)
	flat := func(a *mlx.Array) *mlx.Array { return a.Reshape(1, 24) }
	add("of all", x, nil, frobenius, flat)
	add("of all kept", x, []linalg.Option{mlx.KeepDims(true)}, frobenius, flat, 1)
	add("of two axes", x, []linalg.Option{mlx.Axes{0, 2}}, frobenius, outer, 3)
	add("of no axes", x, []linalg.Option{mlx.Axes{}}, frobenius, func(a *mlx.Array) *mlx.Array { return a.Reshape(24, 1, 1) }, 2, 3, 4)
	return append(cases, crossCases()...)
}

func vectorNorm(v []float64, ord float64) (sum float64) {
	switch {
	case math.IsInf(ord, 0):
		size := func(a, b float64) int { return int(math.Copysign(1, math.Abs(a)-math.Abs(b))) }
		if ord > 0 {
			return math.Abs(slices.MaxFunc(v, size))
		}
		return math.Abs(slices.MinFunc(v, size))
	case ord == 0:
		for _, x := range v {
			sum += number(x != 0)
		}
		return sum
	}
	for _, x := range v {
		sum += math.Pow(math.Abs(x), ord)
	}
	return math.Pow(sum, 1/ord)
}

func matrixNorm(a [][]float64, ord float64) float64 {
	var all []float64
	switch m := mat(a); math.Abs(ord) {
	case 1:
		for _, column := range m.t() {
			all = append(all, vectorNorm(column, 1))
		}
	case 2:
		_, all, _ = m.svd()
	default:
		for _, row := range m {
			all = append(all, vectorNorm(row, 1))
		}
	}
	if ord > 0 {
		return slices.Max(all)
	}
	return slices.Min(all)
}

func crossCases() (cases []Case) {
	for _, n := range [][2]int{{3, 3}, {2, 3}, {3, 2}, {2, 2}} {
		cases = append(cases, Case{Name: fmt.Sprintf("cross of %d and %d", n[0], n[1]), Inputs: made(ramp(n[0], 2, 1), ramp(n[1], 1, 4).Add(0.5)), Tol: F32,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return linalg.Cross(a, b, mlx.Axis(0)) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				at := func(a *mlx.Array, i int) *mlx.Array {
					if i %= 3; i < a.Dim(0) {
						return part(a, i).AsType(mlx.Float64)
					}
					return mlx.NewArray(0.0, mlx.Float64)
				}
				var rows mlx.Arrays
				for i := range 3 {
					v := at(in[0], i+1).Mul(at(in[1], i+2)).Sub(at(in[0], i+2).Mul(at(in[1], i+1)))
					rows = append(rows, v.BroadcastTo(2, 4))
				}
				return []*mlx.Array{mlx.Stack(rows).AsType(in[0].DType())}
			}})
	}
	return cases
}
