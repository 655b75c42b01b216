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
	b := ramp(2, 3, 3)
	tol := Tol{Rel: 1e-5, Abs: 1e-5}
	eig := func(a *mlx.Array) []*mlx.Array { // the phase of a vector is a matter of choice
		w, v := linalg.Eig(a)
		return append(reAndIm(w), mlx.Square(mlx.Real(v)).Add(mlx.Square(mlx.Imag(v))))
	}
	want := func(a *mlx.Array) []*mlx.Array {
		w, v := eigenReference(a)
		return append(reAndIm(w), v)
	}
	return []Case{
		{Name: "eigvals", Inputs: made(a), Tol: tol, Empty: true, GradStep: 1e-3,
			Build: one2(func(a *mlx.Array) []*mlx.Array { return reAndIm(linalg.EigVals(a)) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				w, _ := eigenReference(in[0])
				return reAndIm(w)
			}},
		{Name: "eig", Inputs: made(a), Tol: tol, Empty: true, GradStep: 1e-3,
			Build: one2(eig), Want: func(in []*mlx.Array) []*mlx.Array { return want(in[0]) }},
		{Name: "eig of complex matrices", Inputs: made(a, b), Tol: tol, GradStep: 1e-3,
			Build: func(in []*mlx.Array) []*mlx.Array { return eig(withParts(in)) },
			Want:  func(in []*mlx.Array) []*mlx.Array { return want(withParts(in)) }},
	}
}

// adjoint is the conjugate transposed matrix.
func adjoint(a *mlx.Array) *mlx.Array { return mlx.Conjugate(a.SwapAxes(-1, -2)) }

// every2nd is of values that are there twice.
func every2nd(v []float64) *mlx.Array {
	var out []float32
	for i := 0; i < len(v); i += 2 {
		out = append(out, float32(v[i]))
	}
	return mlx.FromSlice(out)
}

// hermitianCases are eigh and svd of complex matrices, made of two real ones: the values, the
// product of the factors, and the part of it, or of 1, that belongs to the first value.
func hermitianCases() []Case {
	hermitian := func(in []*mlx.Array) *mlx.Array {
		z := withParts(in)
		return z.Add(adjoint(z))
	}
	cases := []Case{{Name: "eigh, Hermitian", Inputs: made(ramp(4, 4), ramp(4, 4).Mul(ramp(4, 4).Add(0.5))), Tol: F32, GradStep: 1e-3,
		Build: func(in []*mlx.Array) []*mlx.Array {
			w, v := linalg.Eigh(hermitian(in), true)
			back := v.Mul(w.ExpandDims(-2)).MatMul(adjoint(v))
			first := cut(v, 0, 1)
			out := append(reAndIm(back), reAndIm(first.MatMul(adjoint(first)))...)
			return append(out, w, linalg.EighVals(hermitian(in), false))
		},
		Want: func(in []*mlx.Array) []*mlx.Array {
			w, v := cmats(hermitian(in))[0].twice().eigh()
			re, im := firstColumns(v, v).once()
			out := append(reAndIm(hermitian(in)), matsOf(in[0], re), matsOf(in[0], im))
			return append(out, every2nd(w), every2nd(w))
		}}}
	for _, size := range [][2]int{{5, 3}, {3, 5}, {4, 4}} {
		k := min(size[0], size[1])
		x := ramp(size[0], size[1])
		cases = append(cases, Case{Name: fmt.Sprintf("svd of a complex %d by %d matrix", size[0], size[1]), Inputs: made(x, x.Add(1).Mul(x.Sub(0.5))), Tol: F32, GradStep: 1e-3,
			Build: func(in []*mlx.Array) []*mlx.Array {
				a := withParts(in)
				u, s, vh := linalg.SVD(a)
				u1, v1 := cut(u, 0, k), cut(adjoint(vh), 0, k)
				out := append(reAndIm(u1.Mul(s.ExpandDims(-2)).MatMul(adjoint(v1))), reAndIm(cut(u, 0, 1).MatMul(adjoint(cut(v1, 0, 1))))...)
				u2, v2 := cut(u, k, size[0]), cut(adjoint(vh), k, size[1])
				out = append(out, mlx.Real(u2.MatMul(adjoint(u2))), mlx.Real(v2.MatMul(adjoint(v2))))
				return append(out, s, linalg.SVDVals(a), linalg.Norm(a, linalg.OrdName("nuc")))
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				u, s, v := cmats(withParts(in))[0].twice().svd()
				re, im := firstColumns(u, v).once()
				out := append(reAndIm(withParts(in)), matsOf(in[0], re), matsOf(in[0], im))
				for i, x := range []mat{u, v} {
					re, _ := identity(2*size[i]).plus(-1, x.mul(x.t())).once()
					out = append(out, matsOf(in[0], re))
				}
				w := every2nd(s)
				return append(out, w, w, mlx.Sum(w))
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
	for i, m := range cmats(a) {
		roots := m.eigenvalues()
		v := newMat(3, 3)
		for j, near := range order[3*i : 3*i+3] {
			z := slices.MinFunc(roots, func(x, y complex128) int {
				return int(math.Copysign(1, cmplx.Abs(x-complex128(near))-cmplx.Abs(y-complex128(near))))
			})
			ws = append(ws, complex64(z))
			p, q := slices.Clone(m[0]), slices.Clone(m[1])
			p[0], q[1] = p[0]-z, q[1]-z // their product is at a right angle to both
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
