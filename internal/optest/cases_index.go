package optest

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// counter steps through the places of a shape in row-major order.
func counter(shape []int, f func(at []int)) {
	at := make([]int, len(shape))
	for range mlx.Shape(shape).Size() {
		f(at)
		for a := len(at) - 1; a >= 0; a-- {
			if at[a]++; at[a] < shape[a] {
				break
			}
			at[a] = 0
		}
	}
}

func flatAt(at, shape []int) (k int) {
	for i, n := range shape {
		k = k*n + at[i]
	}
	return k
}

// window calls f with the place in x of each element of each window, in the order of
// the elements of [indices..., window...].
func window(x *mlx.Array, idx []*mlx.Array, axes, sizes []int, f func(place int)) {
	ids := make([][]int64, len(idx))
	for i, a := range idx {
		ids[i] = mlx.ToSlice[int64](a.AsType(mlx.Int64))
	}
	for k := range ids[0] {
		counter(sizes, func(w []int) {
			at := append([]int{}, w...)
			for i, a := range axes {
				r := int(ids[i][k])
				if r < 0 {
					r += x.Dim(a)
				}
				at[a] += r
			}
			f(flatAt(at, x.Shape()))
		})
	}
}

func combine(op tensor.ScatterOp, a, b float64) float64 {
	switch op {
	case tensor.ScatterSum:
		return a + b
	case tensor.ScatterProd:
		return a * b
	case tensor.ScatterMax:
		return math.Max(a, b)
	case tensor.ScatterMin:
		return math.Min(a, b)
	}
	return b
}

// gathered is Gather by definition, scattered Scatter.
func gathered(x *mlx.Array, idx []*mlx.Array, axes, sizes []int) *mlx.Array {
	from, out := floats(x), []float64{}
	window(x, idx, axes, sizes, func(k int) { out = append(out, from[k]) })
	return mlx.FromSlice(out, append(idx[0].Shape(), sizes...)...).AsType(x.DType())
}

func scattered(op tensor.ScatterOp, x *mlx.Array, idx []*mlx.Array, u *mlx.Array, axes []int) *mlx.Array {
	out, from, i := floats(x), floats(u), 0
	window(x, idx, axes, u.Shape()[idx[0].NDim():], func(k int) {
		out[k] = combine(op, out[k], from[i])
		i++
	})
	return mlx.FromSlice(out, x.Shape()...).AsType(x.DType())
}

func indices(v any) *mlx.Array { return mlx.NewArray(v) }

func gatherCase(name string, axes, sizes []int, in ...*mlx.Array) Case {
	return Case{Name: name, Inputs: made(in...), Halves: true,
		Build: func(in []*mlx.Array) []*mlx.Array {
			return tensor.Apply(tensor.Gather{Axes: tensor.MakeInts(axes...), Sizes: tensor.MakeInts(sizes...)}, none, in...)
		},
		Want: func(in []*mlx.Array) []*mlx.Array {
			return []*mlx.Array{gathered(in[0], in[1:], axes, sizes)}
		}}
}

func scatterCase(name string, op tensor.ScatterOp, axes []int, in ...*mlx.Array) Case {
	last := len(in) - 1
	return Case{Name: name, Inputs: made(in...), Tol: F32, Halves: op != tensor.ScatterProd,
		Build: func(in []*mlx.Array) []*mlx.Array {
			return tensor.Apply(tensor.Scatter{Axes: tensor.MakeInts(axes...), Op: op}, none, in...)
		},
		Want: func(in []*mlx.Array) []*mlx.Array {
			return []*mlx.Array{scattered(op, in[0], in[1:last], in[last], axes)}
		}}
}

func indexCases() []Case {
	x := ramp(4, 3, 5)
	rows, cols := indices([][]int{{1, -1, 0}, {3, 2, -4}}), indices([][]int{{4, 0, -5}, {2, -1, 1}})
	once := indices([]int{2, -4})
	twice, pairs := indices([]int{2, 0, -2}), indices([]int{1, 3, 1})
	sum, prod, set := tensor.ScatterSum, tensor.ScatterProd, tensor.ScatterSet
	cases := []Case{
		{Name: "take_along", File: "ops", In: []string{"x"}, Build: one(func(x *mlx.Array) *mlx.Array {
			return mlx.TakeAlongAxis(x, mlx.ArgSort(x, mlx.Axis(1)), 1)
		}), Halves: true, Empty: true},
		{Name: "put_along", File: "ops", In: []string{"x"}, Build: one(func(x *mlx.Array) *mlx.Array {
			return mlx.PutAlongAxis(x, mlx.ArgSort(x, mlx.Axis(1)).Index(mlx.Colon, mlx.To(2)), 0, 1)
		}), Halves: true, Empty: true},
		{Name: "scatter_add", File: "ops", In: []string{"x"}, Tol: F32, Build: one(func(x *mlx.Array) *mlx.Array {
			return x.At(indices([]int{0, 0, 2})).Add(1)
		})},
		gatherCase("gather one axis", []int{1}, []int{4, 1, 5}, x, indices([]int{2, 0, -3, 2})),
		gatherCase("gather two axes", []int{0, 2}, []int{1, 3, 1}, x, rows, cols),
		gatherCase("gather windows", []int{0, 2}, []int{2, 2, 3}, x, indices([]int{2, 0, -4}), indices([]int{0, 2, -3})),
		gatherCase("gather points", []int{2, 0, 1}, []int{1, 1, 1}, x, cols, rows, rows.AsType(mlx.Uint8).Mul(0).Add(2)),
		gatherCase("gather 0-d", []int{1}, []int{2, 2, 5}, x, indices(1)),
		scatterCase("scatter", set, []int{0}, x, once, ramp(2, 1, 3, 5).Sub(0.3)),
		scatterCase("scatter part", set, []int{0}, x, once, ramp(2, 1, 2, 4).Sub(0.3)),
		scatterCase("scatter windows", set, []int{0, 2}, x, once, indices([]int{0, 3}), ramp(2, 2, 3, 2).Sub(0.3)),
		scatterCase("scatter_add", sum, []int{1}, x, twice, ramp(3, 4, 1, 5)),
		scatterCase("scatter_add two axes", sum, []int{0, 1}, x, twice, indices([]int{1, 2, 1}), ramp(3, 1, 1, 5)),
		scatterCase("scatter_add windows", sum, []int{0, 2}, x, twice, pairs, ramp(3, 2, 3, 2)),
		scatterCase("scatter_add points", sum, []int{2, 0, 1}, x, pairs, twice, indices([]int{0, 2, 0}), ramp(3, 1, 1, 1)),
		scatterCase("scatter_prod", prod, []int{1}, x, twice, ramp(3, 4, 1, 5)),
		scatterCase("scatter_prod two axes", prod, []int{0, 1}, ramp(3, 4), indices([]int{2, 0, 2}), indices([]int{1, 3, 1}), ramp(3, 1, 1)),
		scatterCase("scatter_max", tensor.ScatterMax, []int{1}, x, twice, ramp(3, 4, 1, 5).Add(0.35)),
		scatterCase("scatter_min", tensor.ScatterMin, []int{1}, x, twice, ramp(3, 4, 1, 5).Add(0.35)),
	}
	return append(append(cases, alongCases(x)...), indexingCases(x)...)
}

// alongCases are of ops along an axis, and of slices.
func alongCases(x *mlx.Array) []Case {
	ids := indices([][]int{{1, -1, 0}, {0, 2, -3}}).ExpandDims(0).BroadcastTo(4, 2, 3)
	in := []*mlx.Array{ramp(4, 5, 3), ids, ramp(4, 2, 3).Sub(0.3)}
	every := func(i *mlx.Array) []*mlx.Array {
		a, b := make([]int32, 24), make([]int32, 24)
		for k := range a {
			a[k], b[k] = int32(k/6), int32(k%3)
		}
		return []*mlx.Array{mlx.FromSlice(a, 4, 2, 3), i, mlx.FromSlice(b, 4, 2, 3)}
	}
	put := func(op tensor.ScatterOp) Case {
		return Case{Name: "along " + op.String(), Inputs: made(in...), Halves: true, Tol: F32,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{tensor.PutAlongAxis(op, in[0], in[1], in[2], 1, none)}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{scattered(op, in[0], every(in[1]), in[2].Reshape(4, 2, 3, 1, 1, 1), []int{0, 1, 2})}
			}}
	}
	first := func(f func(at []int, v float64, u []float64) float64) func([]*mlx.Array) []*mlx.Array {
		return func(in []*mlx.Array) []*mlx.Array {
			out, u, k := floats(in[0]), floats(in[1]), 0
			counter(in[0].Shape(), func(at []int) { out[k] = f(at, out[k], u); k++ })
			return []*mlx.Array{mlx.FromSlice(out, in[0].Shape()...).AsType(in[0].DType())}
		}
	}
	start := indices([]int{1, -2})
	return []Case{
		{Name: "along", Inputs: made(in[:2]...), Halves: true,
			Build: two(func(a, i *mlx.Array) *mlx.Array { return mlx.TakeAlongAxis(a, i, 1) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{gathered(in[0], every(in[1]), []int{0, 1, 2}, []int{1, 1, 1}).Reshape(4, 2, 3)}
			}},
		{Name: "along the last", Inputs: made(ramp(2, 4), indices([][]int{{3, -4, 1}, {1, 1, 2}})), Halves: true,
			Build: two(func(a, i *mlx.Array) *mlx.Array { return mlx.TakeAlongAxis(a, i, -1) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				rows := indices([][]int{{0, 0, 0}, {1, 1, 1}})
				return []*mlx.Array{gathered(in[0], []*mlx.Array{rows, in[1]}, []int{0, 1}, []int{1, 1}).Reshape(2, 3)}
			}},
		put(tensor.ScatterSet), put(tensor.ScatterSum),
		{Name: "slice_update static", Inputs: made(x, ramp(2, 3, 2).Sub(0.3)), Halves: true,
			Build: two(func(a, u *mlx.Array) *mlx.Array {
				return a.At(mlx.Step(2), mlx.Step(-1), mlx.Range(3, -5).By(-2)).Set(u)
			}),
			Want: first(func(at []int, v float64, u []float64) float64 {
				if at[0]%2 == 0 && (at[2] == 1 || at[2] == 3) {
					return u[6*(at[0]/2)+2*(2-at[1])+(3-at[2])/2]
				}
				return v
			})},
		{Name: "slice dynamic", Inputs: made(x, start), Halves: true,
			Build: two(func(a, s *mlx.Array) *mlx.Array { return mlx.Slice(a, s, []int{0, -1}, mlx.Shape{2, 3, 2}) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{gathered(in[0], parts(in[1]), []int{0, 2}, []int{2, 3, 2})}
			}},
		{Name: "slice_update dynamic", Inputs: made(x, ramp(2, 3, 2).Sub(0.3), start), Halves: true,
			Build: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{mlx.SliceUpdate(in[0], in[1], in[2], []int{0, 2})}
			},
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{scattered(tensor.ScatterSet, in[0], parts(in[2]), in[1], []int{0, 2})}
			}},
	}
}

// parts are the elements of a vector of integers as scalars.
func parts(a *mlx.Array) (out []*mlx.Array) {
	for _, v := range mlx.ToSlice[int64](a.AsType(mlx.Int64)) {
		out = append(out, mlx.NewArray(v))
	}
	return out
}

// indexingCases are of Index and At; TestIndexing has many more shapes.
func indexingCases(x *mlx.Array) []Case {
	mask := mlx.NewArray([]bool{true, false, true, true})
	dup := indices([]int{2, 0, 2})
	u := ramp(3, 3, 5).Sub(0.3)
	at := func(name string, op tensor.ScatterOp, f func(r mlx.Ref, u *mlx.Array) *mlx.Array, change func(u *mlx.Array) *mlx.Array) Case {
		return Case{Name: "at " + name, Inputs: made(x, u), Tol: F32,
			Build: two(func(a, u *mlx.Array) *mlx.Array { return f(a.At(dup), u) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return []*mlx.Array{scattered(op, in[0], []*mlx.Array{dup}, change(in[1]).Reshape(3, 1, 3, 5), []int{0})}
			}}
	}
	same := func(u *mlx.Array) *mlx.Array { return u }
	masked := func(v float64) func([]*mlx.Array) []*mlx.Array {
		return func(in []*mlx.Array) []*mlx.Array {
			out, u := floats(in[0]), floats(in[1])
			for k := range out {
				if k/15 != 1 {
					out[k] = v*out[k] + u[k%5]
				}
			}
			return []*mlx.Array{mlx.FromSlice(out, 4, 3, 5).AsType(in[0].DType())}
		}
	}
	return []Case{
		at("add", tensor.ScatterSum, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Add(u) }, same),
		at("subtract", tensor.ScatterSum, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Subtract(u) },
			func(u *mlx.Array) *mlx.Array { return u.Neg() }),
		at("multiply", tensor.ScatterProd, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Multiply(u) }, same),
		at("divide", tensor.ScatterProd, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Divide(u.Add(5)) },
			func(u *mlx.Array) *mlx.Array { return mlx.Divide(1, u.Add(5)) }),
		at("maximum", tensor.ScatterMax, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Maximum(u) }, same),
		at("minimum", tensor.ScatterMin, func(r mlx.Ref, u *mlx.Array) *mlx.Array { return r.Minimum(u) }, same),
		{Name: "index mixed", Inputs: made(x, dup), Halves: true,
			Build: two(func(a, i *mlx.Array) *mlx.Array { return a.Index(mlx.Step(-1), i, mlx.NewAxis, mlx.From(1).By(2)) }),
			Want: gather(0, mlx.Shape{4, 3, 1, 2}, func(i []int) int {
				return 15*(3-i[0]) + 5*[]int{2, 0, 2}[i[1]] + 1 + 2*i[3]
			})},
		{Name: "index mask", Inputs: made(x), Halves: true,
			Build: one(func(a *mlx.Array) *mlx.Array { return a.Index(mask) }),
			Want:  gather(0, mlx.Shape{3, 3, 5}, func(i []int) int { return 15*[]int{0, 2, 3}[i[0]] + 5*i[1] + i[2] })},
		{Name: "at mask set", Inputs: made(x, ramp(5)), Tol: F32, Build: two(func(a, u *mlx.Array) *mlx.Array { return a.At(mask).Set(u) }), Want: masked(0)},
		{Name: "at mask add", Inputs: made(x, ramp(5)), Tol: F32, Build: two(func(a, u *mlx.Array) *mlx.Array { return a.At(mask).Add(u) }), Want: masked(1)},
	}
}
