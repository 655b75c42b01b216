package mlx_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
)

// A chain is a function of two arrays [3] that mixes ops at random.
func chain(r *rand.Rand, depth int) func(x, y *mlx.Array) *mlx.Array {
	type step func(x, y *mlx.Array) *mlx.Array
	m := mlx.FromSlice([]float64{0.3, -0.2, 0.5, 0.1, 0.4, -0.6, 0.7, 0.2, -0.1}, 3, 3)
	idx := mlx.NewArray([]int{2, 0, 2})
	pool := []step{
		func(x, y *mlx.Array) *mlx.Array { return mlx.Sin(x).Mul(y) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Tanh(x.Add(y.Mul(0.5))) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Exp(x.Mul(0.3)).Sub(y) },
		func(x, y *mlx.Array) *mlx.Array { return m.MatMul(x).Add(mlx.Sum(y).Mul(0.1)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Take(x, idx).Mul(y) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Softmax(x).Mul(y).Add(x) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Where(x.Gt(y), x.Mul(y), y.Mul(0.7)) },
		func(x, y *mlx.Array) *mlx.Array {
			p := mlx.Split(mlx.Concatenate(mlx.Arrays{x, y}), 3)
			return mlx.Concatenate(mlx.Arrays{p[1], mlx.Split(p[0], 2)[0]}).Mul(x)
		},
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.Checkpoint(func(a *mlx.Array) *mlx.Array { return mlx.Sin(a.Mul(y)).Add(a) })(x)
		},
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.Checkpoint(func(a, b *mlx.Array) *mlx.Array { return mlx.Sin(a.Mul(b)).Add(mlx.Exp(a.Mul(0.2))) })(x, y)
		},
		func(x, y *mlx.Array) *mlx.Array { // a gradient inside
			return mlx.Grad(func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sin(a).Mul(y).Mul(a)) })(x)
		},
		func(x, y *mlx.Array) *mlx.Array { // a map inside, over values that an outer one captures
			return mlx.VMap(func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Tanh(y.Mul(a))) })(x)
		},
		func(x, y *mlx.Array) *mlx.Array { // all pairs
			return mlx.Sum(mlx.VMap(mlx.VMap(func(a, b *mlx.Array) *mlx.Array { return mlx.Sin(a.Mul(b)).Add(x0(x)) }, mlx.InAxes{mlx.Unmapped, 0}), mlx.InAxes{0, mlx.Unmapped}, mlx.OutAxes{1})(x, y), mlx.Axis(0))
		},
		func(x, y *mlx.Array) *mlx.Array { // Jacobian times vector
			_, t := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Cos(in[0]).Mul(y)} }, mlx.Arrays{x}, mlx.Arrays{y})
			return t[0]
		},
		func(x, y *mlx.Array) *mlx.Array { return customMul(x, y) },
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.Compile(func(a, b *mlx.Array) *mlx.Array { return mlx.Tanh(a.Mul(b)).Add(a) })(x, y)
		},
		func(x, y *mlx.Array) *mlx.Array { return mlx.LogSumExp(mlx.Concatenate(mlx.Arrays{x, y})).Mul(x) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.CumSum(x).Mul(0.4).Sub(mlx.Square(y)) },
		func(x, y *mlx.Array) *mlx.Array { return x.Div(mlx.Square(y).Add(1)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Max(x).Mul(y).Add(x) },
	}
	pool = append(pool,
		func(x, y *mlx.Array) *mlx.Array { return x.At(idx).Add(y) },
		func(x, y *mlx.Array) *mlx.Array { return x.At(1).Set(mlx.Sum(y)) },
		func(x, y *mlx.Array) *mlx.Array {
			return x.At(mlx.NewArray([]int{0, 2})).Multiply(mlx.Split(y, []int{2})[0])
		},
		func(x, y *mlx.Array) *mlx.Array {
			return x.At(mlx.NewArray([]int{0, 1})).Maximum(mlx.Split(y, []int{2})[0])
		},
		func(x, y *mlx.Array) *mlx.Array { return mlx.Sort(x).Mul(y) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Roll(x, 1).Mul(mlx.Prod(y)).Add(mlx.CumProd(y)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Einsum("i,j->j", mlx.Arrays{x, y}).Add(mlx.Var(x)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.MatMul(mlx.Outer(x, y), mlx.Tanh(x)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.TakeAlongAxis(x, mlx.ArgSort(y), 0).Mul(y) },
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.PutAlongAxis(x, mlx.NewArray([]int{2}), mlx.Sum(y).Reshape(1), 0)
		},
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.Sum(mlx.Tile(x.Reshape(1, 3), []int{2, 1}).Mul(mlx.Repeat(y, 2).Reshape(2, 3)), mlx.Axis(0))
		},
		func(x, y *mlx.Array) *mlx.Array { return mlx.Split(mlx.Pad(x, 2), []int{1, 4})[1].Add(y) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.LogAddExp(x, y).Add(mlx.LogCumSumExp(x)) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Power(mlx.Square(x).Add(0.5), y) },
		func(x, y *mlx.Array) *mlx.Array { return mlx.Clip(x, -0.6, 0.7).Add(y) },
		func(x, y *mlx.Array) *mlx.Array {
			return mlx.StopGradient(mlx.ArgMax(x).Mul(0.25)).Mul(x).Add(mlx.Depends(y, x))
		},
		func(x, y *mlx.Array) *mlx.Array { return mlx.TopK(mlx.Concatenate(mlx.Arrays{x, y}), 3) },
		func(x, y *mlx.Array) *mlx.Array { // two results of one compiled function
			a, b := mlx.Compile(func(x, y *mlx.Array) (*mlx.Array, *mlx.Array) { return mlx.Sin(x).Add(y), mlx.Cos(x) })(x, y)
			return a.Mul(b)
		},
		func(x, y *mlx.Array) *mlx.Array { // a checkpoint of a gradient of a map
			return mlx.Checkpoint(mlx.VMap(mlx.Grad(func(a, b *mlx.Array) *mlx.Array { return mlx.Sin(a.Mul(b)).Mul(x0(y)) })))(x, y)
		},
	)
	var steps []step
	for range depth {
		steps = append(steps, pool[r.IntN(len(pool))])
	}
	return func(x, y *mlx.Array) *mlx.Array {
		for i, s := range steps {
			if i%2 == 0 {
				x = s(x, y)
			} else {
				y = s(y, x)
			}
		}
		return x.Add(y)
	}
}

var seeds = 20

func x0(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(x)).Mul(0.1) }

// customMul has rules that are the truth.
func customMul(x, y *mlx.Array) *mlx.Array {
	return mlx.CustomFunction(func(a, b *mlx.Array) *mlx.Array { return mlx.Sin(a).Mul(b) }, mlx.Rules{
		VJP: func(p, c, o mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{c[0].Mul(p[1]).Mul(mlx.Cos(p[0])), c[0].Mul(mlx.Sin(p[0]))}
		},
		JVP: func(p, t mlx.Arrays) mlx.Arrays {
			return mlx.Arrays{t[0].Mul(p[1]).Mul(mlx.Cos(p[0])).Add(t[1].Mul(mlx.Sin(p[0])))}
		},
	})(x, y)
}

func f64(r *rand.Rand, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = r.Float64()*1.6 - 0.8
	}
	return v
}

func nearAll(t *testing.T, what string, got, want []float64, tol float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %v, want %v", what, got, want)
		return
	}
	for i := range got {
		if !(math.Abs(got[i]-want[i]) <= tol*math.Max(1, math.Abs(want[i]))) {
			t.Errorf("%s: %v, want %v", what, got, want)
			return
		}
	}
}

// TestRandomTransforms nests transformations of random functions, and compares them
// with central differences and loops.
func TestRandomTransforms(t *testing.T) {
	for seed := range seeds {
		r := rand.New(rand.NewPCG(uint64(seed), 1))
		f := chain(r, 2+r.IntN(4))
		xs, ys, vs := f64(r, 3), f64(r, 3), f64(r, 3)
		y, v := mlx.FromSlice(ys), mlx.FromSlice(vs)
		get := func(a *mlx.Array) []float64 { return mlx.ToSlice[float64](a) }
		grad := mlx.Grad(func(x, y *mlx.Array) *mlx.Array { return mlx.Sum(f(x, y)) })
		differ := func(g func([]float64) []float64, at []float64) (out [][]float64) {
			const h = 1e-6
			for i := range at {
				p, q := append([]float64(nil), at...), append([]float64(nil), at...)
				p[i] += h
				q[i] -= h
				a, b := g(p), g(q)
				row := make([]float64, len(a))
				for j := range a {
					row[j] = (a[j] - b[j]) / (2 * h)
				}
				out = append(out, row)
			}
			return out
		}
		what := func(s string) string { return fmt.Sprintf("seed %d: %s", seed, s) }
		x := mlx.FromSlice(xs)
		jac := differ(func(x []float64) []float64 { return get(f(mlx.FromSlice(x), y)) }, xs)
		hess := differ(func(x []float64) []float64 { return get(grad(mlx.FromSlice(x), y)) }, xs)
		var wg, wj, wh []float64
		for j := range 3 {
			var g, tj, th float64
			for i := range 3 {
				g += jac[j][i]
				tj += jac[i][j] * vs[i]
				th += hess[i][j] * vs[i]
			}
			wg, wj, wh = append(wg, g), append(wj, tj), append(wh, th)
		}
		nearAll(t, what("grad"), get(grad(x, y)), wg, 1e-5)
		fx := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{f(in[0], y)} }
		gx := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{grad(in[0], y)} }
		_, tj := mlx.JVP(fx, mlx.Arrays{x}, mlx.Arrays{v})
		nearAll(t, what("jvp"), get(tj[0]), wj, 1e-5)
		_, th := mlx.JVP(gx, mlx.Arrays{x}, mlx.Arrays{v})
		nearAll(t, what("forward over reverse"), get(th[0]), wh, 1e-5)
		hv := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(grad(x, y).Mul(v)) })
		nearAll(t, what("reverse over reverse"), get(hv(x)), wh, 1e-5)
		hf := mlx.Grad(func(x *mlx.Array) *mlx.Array {
			_, p := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Sum(f(in[0], y))} }, mlx.Arrays{x}, mlx.Arrays{v})
			return p[0]
		})
		nearAll(t, what("reverse over forward"), get(hf(x)), wh, 1e-5)
		third := func(x *mlx.Array) *mlx.Array {
			return mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(hv(x).Mul(v)) })(x)
		}
		w3 := make([]float64, 3)
		for i, row := range differ(func(x []float64) []float64 { return get(hv(mlx.FromSlice(x))) }, xs) {
			for j := range row {
				w3[i] += row[j] * vs[j]
			}
		}
		nearAll(t, what("third"), get(third(x)), w3, 1e-4)
		_, t3 := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{hf(in[0])} }, mlx.Arrays{x}, mlx.Arrays{v})
		w3t := get(third(x))
		nearAll(t, what("forward over reverse over forward"), get(t3[0]), w3t, 1e-8)

		// maps, along every axis, of all of them
		var rows mlx.Arrays
		for range 4 {
			rows = append(rows, mlx.FromSlice(f64(r, 3)))
		}
		X := mlx.Stack(rows)
		for name, fn := range map[string]func(x *mlx.Array) *mlx.Array{
			"f":     func(x *mlx.Array) *mlx.Array { return f(x, y) },
			"grad":  func(x *mlx.Array) *mlx.Array { return grad(x, y) },
			"hv":    hv,
			"hf":    hf,
			"third": third,
			"jvp": func(x *mlx.Array) *mlx.Array {
				_, p := mlx.JVP(fx, mlx.Arrays{x}, mlx.Arrays{v})
				return p[0]
			},
			"compile grad": mlx.Compile(func(x *mlx.Array) *mlx.Array { return grad(x, y) }),
		} {
			var want []float64
			for _, row := range rows {
				want = append(want, get(fn(row))...)
			}
			nearAll(t, what("map of "+name), get(mlx.VMap(fn)(X)), want, 1e-8)
			nearAll(t, what("map by columns of "+name), get(mlx.VMap(fn, mlx.InAxes{1}, mlx.OutAxes{1})(X.T()).T()), want, 1e-8)
			nearAll(t, what("compiled map of "+name), get(mlx.Compile(mlx.VMap(fn))(X)), want, 1e-8)
			total := func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sin(mlx.VMap(fn)(x))) }
			loop := func(X *mlx.Array) *mlx.Array {
				s := mlx.NewArray(0.0).AsType(mlx.Float64)
				for _, row := range X.All() {
					s = s.Add(mlx.Sum(mlx.Sin(fn(row))))
				}
				return s
			}
			nearAll(t, what("gradient of map of "+name), get(mlx.Grad(total)(X)), get(mlx.Grad(loop)(X)), 1e-8)
		}
	}
}
