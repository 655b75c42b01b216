package optest

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/linalg"
	"github.com/mlxgo/mlx/random"
)

// symmetric is the mean of a and its transpose: decompositions of one triangle have the
// symmetric gradient.
func symmetric(a *mlx.Array) *mlx.Array { return a.Add(a.SwapAxes(-1, -2)).Mul(0.5) }

// spread is a square array with the diagonal raised by 5, so that it is regular.
func spread(shape ...int) *mlx.Array {
	n := shape[len(shape)-1]
	return ramp(shape...).Add(mlx.Eye(n, n, 0).Mul(5))
}

// part is index i of the first axis.
func part(a *mlx.Array, i int) *mlx.Array { return mlx.Take(a, mlx.NewArray(i), mlx.Axis(0)) }

// cut is columns lo to hi.
func cut(a *mlx.Array, lo, hi int) *mlx.Array {
	i := make([]int, hi-lo)
	for k := range i {
		i[k] = lo + k
	}
	return mlx.Take(a, mlx.NewArray(i), mlx.Axis(-1))
}

// signs are those of the first row, as a row.
func signs(a *mlx.Array) *mlx.Array {
	return mlx.Sign(mlx.Take(a, mlx.NewArray([]int{0}), mlx.Axis(-2)))
}

const needsRegular = "a matrix of equal rows is singular"

// linalgCases are mx.linalg.
func linalgCases() []Case {
	all := goldenLinalg()
	all = append(all, inverseCases()...)
	all = append(all, factorCases()...)
	all = append(all, spectralCases()...)
	all = append(all, eigenCases()...)
	all = append(all, hermitianCases()...)
	return append(all, normCases()...)
}

func goldenLinalg() []Case {
	x0 := func(in []*mlx.Array) *mlx.Array { return part(in[0], 0) }
	golden := func(name string, keys []string, f func(in []*mlx.Array) *mlx.Array) Case {
		return Case{Name: name, File: "ops", In: keys, Tol: F32,
			Build: func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in)} }}
	}
	inv := golden("inv", []string{"sp"}, func(in []*mlx.Array) *mlx.Array { return linalg.Inv(in[0]) })
	solve := golden("solve", []string{"sp", "y"}, func(in []*mlx.Array) *mlx.Array { return linalg.Solve(in[0], part(in[1], 0)) })
	inv.NoRepeat, solve.NoRepeat = needsRegular, needsRegular
	return []Case{inv, solve,
		golden("cholesky", []string{"sp"}, func(in []*mlx.Array) *mlx.Array { return linalg.Cholesky(symmetric(in[0]), false) }),
		golden("eigvalsh", []string{"sp"}, func(in []*mlx.Array) *mlx.Array { return linalg.EighVals(symmetric(in[0]), false) }),
		golden("pinv", []string{"x"}, func(in []*mlx.Array) *mlx.Array { return linalg.PInv(x0(in)) }),
		golden("svd.s", []string{"x"}, func(in []*mlx.Array) *mlx.Array { return linalg.SVDVals(x0(in)) }),
		golden("norm", []string{"x"}, func(in []*mlx.Array) *mlx.Array { return linalg.Norm(x0(in)) }),
		golden("cross", []string{"x", "y"}, func(in []*mlx.Array) *mlx.Array {
			first := func(a *mlx.Array) *mlx.Array {
				return mlx.Take(cut(part(a, 0), 0, 3), mlx.NewArray([]int{0, 1, 2}), mlx.Axis(0))
			}
			return linalg.Cross(first(in[0]), first(in[1]))
		}),
	}
}

func inverseCases() []Case {
	inverse := matrixWise(func(a mat) []mat { return []mat{a.inverse()} })
	triangle := func(a *mlx.Array, upper bool) *mlx.Array {
		if upper {
			return mlx.Triu(a, 0)
		}
		return mlx.Tril(a, 0)
	}
	cases := []Case{
		{Name: "inv of a batch", Inputs: made(spread(2, 1, 4, 4)), Tol: F32, NoRepeat: needsRegular, Want: inverse, Empty: true,
			Build: one(func(a *mlx.Array) *mlx.Array { return linalg.Inv(a) })},
		{Name: "solve for a vector", Inputs: made(spread(3, 4, 4), ramp(4)), Tol: F32, NoRepeat: needsRegular,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return linalg.Solve(a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{inverse(in[:1])[0].AsType(mlx.Float64).MatMul(in[1].AsType(mlx.Float64)).AsType(in[0].DType())}
			}},
		{Name: "solve with batches", Inputs: made(spread(3, 1, 4, 4), ramp(2, 4, 5)), Tol: F32, NoRepeat: needsRegular,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return linalg.Solve(a, b) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{inverse(in[:1])[0].AsType(mlx.Float64).MatMul(in[1].AsType(mlx.Float64)).AsType(in[0].DType())}
			}},
	}
	for _, upper := range []bool{false, true} {
		name := map[bool]string{false: " lower", true: " upper"}[upper]
		cases = append(cases,
			Case{Name: "tri_inv" + name, Inputs: made(spread(2, 4, 4)), Tol: F32, NoRepeat: needsRegular, Empty: true,
				Build: one(func(a *mlx.Array) *mlx.Array { return linalg.TriInv(a, upper) }),
				Want:  func(in []*mlx.Array) []*mlx.Array { return inverse([]*mlx.Array{triangle(in[0], upper)}) }},
			Case{Name: "cholesky_inv" + name, Inputs: made(spread(2, 4, 4)), Tol: F32, NoRepeat: needsRegular, Empty: true,
				Build: one(func(a *mlx.Array) *mlx.Array { return linalg.CholeskyInv(a, upper) }),
				Want: func(in []*mlx.Array) []*mlx.Array {
					l := triangle(in[0], upper).AsType(mlx.Float64)
					if upper {
						l = l.SwapAxes(-1, -2)
					}
					return []*mlx.Array{inverse([]*mlx.Array{l.MatMul(l.SwapAxes(-1, -2))})[0].AsType(in[0].DType())}
				}},
			Case{Name: "solve_triangular" + name, Inputs: made(spread(2, 4, 4), ramp(4, 3)), Tol: F32, NoRepeat: needsRegular,
				Build: two(func(a, b *mlx.Array) *mlx.Array { return linalg.SolveTriangular(a, b, upper) }),
				Want: func(in []*mlx.Array) []*mlx.Array {
					y := inverse([]*mlx.Array{triangle(in[0], upper).AsType(mlx.Float64)})[0]
					return []*mlx.Array{y.MatMul(in[1].AsType(mlx.Float64)).AsType(in[0].DType())}
				}},
		)
	}
	return append(cases, pinvCases()...)
}

func pinvCases() (cases []Case) {
	// Of full rank: (a^T a)^-1 a^T, or a^T (a a^T)^-1.
	full := func(a mat) mat {
		if len(a) >= len(a[0]) {
			return a.t().mul(a).inverse().mul(a.t())
		}
		return a.t().mul(a.mul(a.t()).inverse())
	}
	for _, c := range shapesOfMatrices {
		cases = append(cases, Case{Name: "pinv of a " + c.name + " matrix", Inputs: made(ramp(c.size...)), Tol: F32, Empty: true,
			Build: one(func(a *mlx.Array) *mlx.Array { return linalg.PInv(a) }),
			Want:  matrixWise(func(a mat) []mat { return []mat{full(a)} })})
	}
	// Of rank 2 whatever the factors are: the inverse of b @ c is c+ @ b+.
	return append(cases, Case{Name: "pinv of low rank", Inputs: made(ramp(4, 2), ramp(2, 3).Add(1)), Tol: F32,
		Build: two(func(b, c *mlx.Array) *mlx.Array { return linalg.PInv(b.MatMul(c)) }),
		Want: func(in []*mlx.Array) []*mlx.Array {
			b, c := mats(in[0])[0], mats(in[1])[0]
			return []*mlx.Array{matsOf(in[0], full(c).mul(full(b)))}
		}})
}

// shapesOfMatrices are tall, wide and square.
var shapesOfMatrices = []struct {
	name string
	size []int
}{{"tall", []int{2, 5, 3}}, {"wide", []int{2, 3, 5}}, {"square", []int{2, 4, 4}}}

func factorCases() (cases []Case) {
	for _, c := range shapesOfMatrices {
		name, shape := c.name, c.size
		cases = append(cases,
			Case{Name: "qr of a " + name + " matrix", Inputs: made(ramp(shape...)), Tol: F32, Empty: true,
				Build: one2(func(a *mlx.Array) []*mlx.Array { // r with a positive diagonal
					q, r := linalg.QR(a)
					d := mlx.Sign(mlx.Diagonal(r, 0, -2, -1))
					return []*mlx.Array{q.Mul(d.ExpandDims(-2)), r.Mul(d.ExpandDims(-1))}
				}),
				Want: matrixWise(func(a mat) []mat {
					q, r := a.qr()
					return []mat{q, r}
				})})
	}
	for _, upper := range []bool{false, true} {
		cases = append(cases, Case{Name: map[bool]string{false: "cholesky lower", true: "cholesky upper"}[upper], Inputs: made(ramp(2, 4, 4)), Tol: F32, Empty: true,
			Build: one(func(a *mlx.Array) *mlx.Array { return linalg.Cholesky(positive(a), upper) }),
			Want: matrixWise(func(a mat) []mat {
				l := a.mul(a.t()).plus(1, identity(len(a))).cholesky()
				if upper {
					l = l.t()
				}
				return []mat{l}
			})})
	}
	return append(append(cases, luCases()...), determinantCases()...)
}

func luCases() (cases []Case) {
	for _, c := range shapesOfMatrices {
		name, shape := c.name, c.size
		k := min(shape[1], shape[2])
		cases = append(cases,
			Case{Name: "lu of a " + name + " matrix", Inputs: made(ramp(shape...)), Tol: F32, Empty: true,
				Build: one2(func(a *mlx.Array) []*mlx.Array {
					p, l, u := linalg.LU(a)
					return []*mlx.Array{p, l, u}
				}),
				Want: func(in []*mlx.Array) []*mlx.Array {
					var rows []uint32
					out := matrixWise(func(a mat) []mat {
						p, l, u, _ := a.lu()
						for _, r := range p {
							rows = append(rows, uint32(r))
						}
						return []mat{l, u}
					})(in)
					return append([]*mlx.Array{mlx.FromSlice(rows).Reshape(shape[:2]...)}, out...)
				}},
			Case{Name: "lu_factor of a " + name + " matrix", Inputs: made(ramp(shape...)), Tol: F32, Empty: true,
				Build: one2(func(a *mlx.Array) []*mlx.Array {
					lu, pivots := linalg.LUFactor(a)
					return []*mlx.Array{lu, pivots}
				}),
				Want: func(in []*mlx.Array) []*mlx.Array {
					var pivots []uint32
					out := matrixWise(func(a mat) []mat {
						_, l, u, p := a.lu()
						for _, r := range p {
							pivots = append(pivots, uint32(r))
						}
						both := newMat(len(a), len(a[0]))
						for i := range both {
							copy(both[i], l[i][:min(i, k)])
							if i < k {
								copy(both[i][i:], u[i][i:])
							}
						}
						return []mat{both}
					})(in)
					return append(out, mlx.FromSlice(pivots).Reshape(shape[0], k))
				}},
		)
	}
	return cases
}

// positive is a @ a^T + 1, positive definite.
func positive(a *mlx.Array) *mlx.Array {
	n := a.Dim(-1)
	return a.MatMul(a.SwapAxes(-1, -2)).Add(mlx.Eye(n, n, 0).AsType(a.DType()))
}

// one2 is the Build of an op with one input and several results.
func one2(f func(a *mlx.Array) []*mlx.Array) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array { return f(in[0]) }
}

func determinantCases() (cases []Case) {
	for n, name := range []string{1: "1", 2: "2", 3: "3", 4: "4", 5: "5"} {
		if n == 0 {
			continue
		}
		a := ramp(2, n, n).Add(mlx.Eye(n, n, 0).Mul(-2.5))
		cases = append(cases, Case{Name: "det of " + name, Inputs: made(a), Tol: F32, NoRepeat: needsRegular, Empty: true,
			Build: one2(func(a *mlx.Array) []*mlx.Array {
				sign, size := linalg.SLogDet(a)
				return []*mlx.Array{linalg.Det(a), sign, size}
			}),
			Want: func(in []*mlx.Array) []*mlx.Array {
				out := matrixWise(func(a mat) []mat {
					d := a.det()
					return []mat{{{d}}, {{math.Copysign(1, d)}}, {{math.Log(math.Abs(d))}}}
				})(in)
				for i, a := range out {
					out[i] = a.Squeeze(-1, -2)
				}
				return out
			}})
	}
	return cases
}

func spectralCases() (cases []Case) {
	for _, c := range shapesOfMatrices {
		name, shape := c.name, c.size
		m, n := shape[1], shape[2]
		k := min(m, n)
		cases = append(cases,
			Case{Name: "svd of a " + name + " matrix", Inputs: made(ramp(shape...)), Tol: F32, Empty: true,
				Build: one2(func(a *mlx.Array) []*mlx.Array { // u starts positive; of what is beyond, the space
					u, s, vt := linalg.SVD(a)
					v := vt.SwapAxes(-1, -2)
					d := signs(cut(u, 0, k))
					u2, v2 := cut(u, k, m), cut(v, k, n)
					return []*mlx.Array{cut(u, 0, k).Mul(d), s.ExpandDims(-2), cut(v, 0, k).Mul(d),
						u2.MatMul(u2.SwapAxes(-1, -2)), v2.MatMul(v2.SwapAxes(-1, -2))}
				}),
				Want: matrixWise(func(a mat) []mat {
					u, s, v := a.svd()
					return []mat{u, {s}, v, identity(m).plus(-1, u.mul(u.t())), identity(n).plus(-1, v.mul(v.t()))}
				})},
			Case{Name: "singular values of a " + name + " matrix", Inputs: made(ramp(shape...)), Tol: F32, Empty: true,
				Build: one(func(a *mlx.Array) *mlx.Array { return linalg.SVDVals(a) }),
				Want: func(in []*mlx.Array) []*mlx.Array {
					return []*mlx.Array{vectorsOf(matrixWise(func(a mat) []mat {
						_, s, _ := a.svd()
						return []mat{{s}}
					})(in)[0])}
				}})
	}
	return append(cases, symmetricCases()...)
}

func symmetricCases() (cases []Case) {
	for _, upper := range []bool{false, true} {
		name := map[bool]string{false: " lower", true: " upper"}[upper]
		sym := func(a mat) mat { return a.plus(-0.5, a.plus(-1, a.t())) }
		cases = append(cases,
			Case{Name: "eigh" + name, Inputs: made(ramp(2, 4, 4)), Tol: F32, Empty: true,
				Build: one2(func(a *mlx.Array) []*mlx.Array {
					w, v := linalg.Eigh(symmetric(a), upper)
					return []*mlx.Array{w.ExpandDims(-2), v.Mul(signs(v))}
				}),
				Want: matrixWise(func(a mat) []mat {
					w, v := sym(a).eigh()
					return []mat{{w}, v}
				})},
			Case{Name: "eigvalsh" + name, Inputs: made(ramp(2, 4, 4)), Tol: F32, Empty: true,
				Build: one(func(a *mlx.Array) *mlx.Array { return linalg.EighVals(symmetric(a), upper).ExpandDims(-2) }),
				Want: matrixWise(func(a mat) []mat {
					w, _ := sym(a).eigh()
					return []mat{{w}}
				})})
	}
	mean, cov := ramp(2, 1, 3), ramp(3, 3)
	k := random.NewKey(3)
	return append(cases, Case{Name: "multivariate_normal", Inputs: made(mean, cov), Tol: Tol{Rel: 1e-5, Abs: 1e-5}, GradStep: 1e-3,
		Build: two(func(mean, cov *mlx.Array) *mlx.Array {
			mean = mean.AsType(mlx.Float32) // as the draws are
			return random.MultivariateNormal(mean, positive(cov), mlx.Shape{2, 4}, k)
		}),
		Want: func(in []*mlx.Array) []*mlx.Array { // the symmetric root
			a := mats(in[1])[0]
			w, v := a.mul(a.t()).plus(1, identity(3)).eigh()
			d := identity(3)
			for i := range d {
				d[i][i] = math.Sqrt(w[i])
			}
			root := matsOf(in[1], v.mul(d).mul(v.t()))
			return []*mlx.Array{random.Normal(mlx.Shape{2, 4, 3}, k).MatMul(root).Add(in[0])}
		}})
}
