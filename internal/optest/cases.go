package optest

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/nn"
)

// Cases is the op table.
var Cases = slices.Concat(fusedCases(), unaryCases(), binaryCases(), reduceCases(), shapeCases(), matrixCases(), fastCases(), randomCases(), quantCases(), elementwiseCases(), indexCases(), statCases(), arrangeCases(), productCases(), fastGradCases(), transformCases(), gatherQuantCases(), convCases(), linalgCases(), fftCases())

// one is the Build of an op with one input and one result; two of one with two.
func one(f func(x *mlx.Array) *mlx.Array) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in[0])} }
}

func two(f func(a, b *mlx.Array) *mlx.Array) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array { return []*mlx.Array{f(in[0], in[1])} }
}

// none is the zero stream: where the input lives.
var none mlx.Stream

// elementwise is a Want by a formula in float64, rounded to the dtype of like.
func elementwise(f func(x ...float64) float64, like func(in []*mlx.Array) mlx.DType) func([]*mlx.Array) []*mlx.Array {
	return func(in []*mlx.Array) []*mlx.Array {
		cols := make([][]float64, len(in))
		for i, a := range in {
			cols[i] = floats(a)
		}
		out := make([]float64, in[0].Size())
		for k := range out {
			row := make([]float64, len(in))
			for i := range in {
				row[i] = cols[i][k]
			}
			out[k] = f(row...)
		}
		return []*mlx.Array{mlx.FromSlice(out, in[0].Shape()...).AsType(like(in))}
	}
}

func firstDType(in []*mlx.Array) mlx.DType { return in[0].DType() }

// ramp is a float32 array of fixed irregular numbers between -3 and 3.
func ramp(shape ...int) *mlx.Array {
	v := make([]float32, mlx.Shape(shape).Size())
	for i := range v {
		v[i] = 3 * float32(math.Sin(float64(i*i%97)+0.7*float64(i)))
	}
	return mlx.FromSlice(v, shape...)
}

func made(arrays ...*mlx.Array) func(Golden) []*mlx.Array {
	return func(Golden) []*mlx.Array { return slices.Clone(arrays) }
}

func unaryCases() (cases []Case) {
	for _, c := range []struct {
		name  string
		f     func(*mlx.Array, ...mlx.StreamOrDevice) *mlx.Array
		input string // x, p (positive) or t (tanh of x)
	}{
		{"abs", mlx.Abs, "x"}, {"negative", mlx.Negative, "x"}, {"sign", mlx.Sign, "x"}, {"square", mlx.Square, "x"},
		{"floor", mlx.Floor, "x"}, {"sqrt", mlx.Sqrt, "p"}, {"rsqrt", mlx.Rsqrt, "p"}, {"exp", mlx.Exp, "x"},
		{"log", mlx.Log, "p"}, {"log1p", mlx.Log1p, "p"}, {"sin", mlx.Sin, "x"}, {"cos", mlx.Cos, "x"},
		{"tanh", mlx.Tanh, "x"}, {"sigmoid", mlx.Sigmoid, "x"}, {"erf", mlx.Erf, "x"}, {"erfinv", mlx.ErfInv, "t"},
	} {
		k := Case{Name: "u." + c.name, File: "ops", In: []string{c.input}, Tol: F32, Halves: true, Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return c.f(x) })}
		if c.input == "t" {
			k.In, k.Inputs = nil, func(g Golden) []*mlx.Array { return []*mlx.Array{mlx.Tanh(g["x"])} }
		}
		cases = append(cases, k)
	}
	boolean := func(f func(float64) bool) func([]*mlx.Array) []*mlx.Array {
		return elementwise(func(x ...float64) float64 {
			if f(x[0]) {
				return 1
			}
			return 0
		}, func([]*mlx.Array) mlx.DType { return mlx.Bool })
	}
	odd := mlx.FromSlice([]float32{0, float32(math.Copysign(0, -1)), 1, -2, float32(math.NaN()), float32(math.Inf(1))}, 2, 3)
	return append(cases,
		Case{Name: "act.silu", File: "nn", In: []string{"x"}, Build: one(nn.SiLU), Tol: F32, Halves: true, Empty: true},
		Case{Name: "act.gelu", File: "nn", In: []string{"x"}, Build: one(nn.GELU), Tol: F32, Halves: true, Empty: true},
		Case{Name: "act.gelu_approx", File: "nn", In: []string{"x"}, Build: one(nn.GELUApprox), Tol: F32, Halves: true, Empty: true},
		Case{Name: "act.relu", File: "nn", In: []string{"x"}, Build: one(nn.ReLU), Halves: true, Empty: true},
		Case{Name: "act.relu2", File: "nn", In: []string{"x"}, Build: one(nn.ReLU2), Tol: F32, Halves: true, Empty: true},
		Case{Name: "act.softplus", File: "nn", In: []string{"x"}, Build: one(nn.Softplus), Tol: F32, Halves: true, Empty: true},
		Case{Name: "isnan", Inputs: made(odd), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.IsNaN(x) }),
			Want: boolean(math.IsNaN), Empty: true},
		Case{Name: "logical_not", Inputs: made(odd), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.LogicalNot(x) }),
			Want: boolean(func(x float64) bool { return x == 0 }), Empty: true},
		Case{Name: "astype", Inputs: made(ramp(4, 5)), Build: one(func(x *mlx.Array) *mlx.Array { return x.AsType(mlx.Int16) }),
			Want: elementwise(func(x ...float64) float64 { return math.Trunc(x[0]) }, func([]*mlx.Array) mlx.DType { return mlx.Int16 }), Empty: true},
		Case{Name: "astype complex64", Inputs: made(ramp(4, 5)), Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Real(x.AsType(mlx.Complex64)) }),
			Want:  func(in []*mlx.Array) []*mlx.Array { return in }},
		Case{Name: "geglu", Inputs: made(ramp(3, 7), ramp(3, 7).Add(0.5)), Tol: F32, Halves: true, Empty: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return nn.GeGLU(a, b, true) }),
			Want: elementwise(func(x ...float64) float64 {
				return x[0] / 2 * (1 + math.Tanh(math.Sqrt(2/math.Pi)*(x[0]+0.044715*x[0]*x[0]*x[0]))) * x[1]
			}, firstDType)},
		Case{Name: "geglu exact", Inputs: made(ramp(3, 7), ramp(3, 7).Add(0.5)), Tol: F32, Halves: true, Empty: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return nn.GeGLU(a, b, false) }),
			Want: elementwise(func(x ...float64) float64 {
				return x[0] / 2 * (1 + math.Erf(x[0]/math.Sqrt2)) * x[1]
			}, firstDType)},
		Case{Name: "swiglu", Inputs: made(ramp(3, 7), ramp(3, 7).Add(0.5)), Tol: F32, Halves: true, Empty: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return tensor.SwiGLUOf(a, b, none) }),
			Want:  elementwise(func(x ...float64) float64 { return x[0] / (1 + math.Exp(-x[0])) * x[1] }, firstDType)},
	)
}

func binaryCases() (cases []Case) {
	add := func(name string, tol Tol, f func(a, b *mlx.Array) *mlx.Array) *Case {
		cases = append(cases, Case{Name: "b." + name, File: "ops", In: []string{"x", "y"}, Build: two(f), Tol: tol, Halves: true, Empty: true})
		return &cases[len(cases)-1]
	}
	add("add", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Add(a, b) })
	add("subtract", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Subtract(a, b) })
	add("multiply", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Multiply(a, b) })
	add("divide", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Divide(a, b) })
	add("maximum", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Maximum(a, b) })
	add("minimum", Exact, func(a, b *mlx.Array) *mlx.Array { return mlx.Minimum(a, b) })
	add("power", F32, func(a, b *mlx.Array) *mlx.Array { return mlx.Power(a, b) }).In = []string{"p", "y"}
	add("equal", Exact, func(a, b *mlx.Array) *mlx.Array { return a.Eq(b) })
	add("less", Exact, func(a, b *mlx.Array) *mlx.Array { return a.Lt(b) })
	add("greater_equal", Exact, func(a, b *mlx.Array) *mlx.Array { return a.Ge(b) })

	// Not recorded.
	a := mlx.FromSlice([]float32{0, 1, 2, 3, -1, float32(math.NaN()), 5, 0}, 2, 4)
	b := mlx.FromSlice([]float32{0, 2, 1, 3, 0, 1, float32(math.NaN()), -4}, 2, 4)
	for _, c := range []struct {
		op tensor.BinaryOp
		f  func(x, y float64) bool
	}{
		{tensor.OpNotEqual, func(x, y float64) bool { return x != y }},
		{tensor.OpLessEqual, func(x, y float64) bool { return x <= y }},
		{tensor.OpGreater, func(x, y float64) bool { return x > y }},
		{tensor.OpLogicalAnd, func(x, y float64) bool { return x != 0 && y != 0 }},
		{tensor.OpLogicalOr, func(x, y float64) bool { return x != 0 || y != 0 }},
	} {
		cases = append(cases, Case{Name: c.op.String(), Inputs: made(a, b), Empty: true,
			Build: two(func(x, y *mlx.Array) *mlx.Array { return tensor.BinaryOf(c.op, x, y, none) }),
			Want: elementwise(func(x ...float64) float64 {
				if c.f(x[0], x[1]) {
					return 1
				}
				return 0
			}, func([]*mlx.Array) mlx.DType { return mlx.Bool })})
	}
	return append(cases, Case{Name: "where", File: "ops", In: []string{"x", "y"}, Halves: true, Empty: true,
		Build: two(func(x, y *mlx.Array) *mlx.Array { return mlx.Where(x.Gt(0), x, y) })})
}

func reduceCases() (cases []Case) {
	for _, c := range []struct {
		name string
		f    func(*mlx.Array, ...mlx.ReduceOption) *mlx.Array
		tol  Tol
	}{
		{"sum", mlx.Sum, F32}, {"prod", mlx.Prod, F32}, {"mean", mlx.Mean, F32}, {"max", mlx.Max, Exact}, {"min", mlx.Min, Exact},
	} {
		cases = append(cases,
			Case{Name: "r." + c.name + ".1", File: "ops", In: []string{"x"}, Tol: c.tol, Halves: true, Empty: true,
				Build: one(func(x *mlx.Array) *mlx.Array { return c.f(x, mlx.Axis(1)) })},
			Case{Name: "r." + c.name + ".02k", File: "ops", In: []string{"x"}, Tol: c.tol, Halves: true,
				Build: one(func(x *mlx.Array) *mlx.Array { return c.f(x, mlx.Axes{0, 2}, mlx.KeepDims(true)) })})
	}
	x := func(name string, tol Tol, f func(x *mlx.Array) *mlx.Array) {
		cases = append(cases, Case{Name: name, File: "ops", In: []string{"x"}, Tol: tol, Build: one(f), Empty: true})
	}
	x("r.argmax.1", Exact, func(x *mlx.Array) *mlx.Array { return mlx.ArgMax(x, mlx.Axis(1)) })
	x("r.argmin.1", Exact, func(x *mlx.Array) *mlx.Array { return mlx.ArgMin(x, mlx.Axis(1)) })
	x("r.logsumexp.1", F32, func(x *mlx.Array) *mlx.Array { return mlx.LogSumExp(x, mlx.Axis(1)) })
	x("softmax", F32, func(x *mlx.Array) *mlx.Array { return mlx.Softmax(x, mlx.Axis(-1)) })
	x("argsort", Exact, func(x *mlx.Array) *mlx.Array { return mlx.ArgSort(x) })
	x("cumsum", F32, func(x *mlx.Array) *mlx.Array { return tensor.ScanOf(tensor.ScanSum, x, 1, false, false, none) })
	x("cumsum.rev_ex", F32, func(x *mlx.Array) *mlx.Array { return tensor.ScanOf(tensor.ScanSum, x, 2, true, true, none) })
	x("softmax.precise", Tol{Ulps: 1}, func(x *mlx.Array) *mlx.Array { return mlx.Softmax(x.AsType(mlx.BFloat16), mlx.Axis(-1)) })
	cases[len(cases)-1].NoGrad = "rounds to bfloat16"

	flags := mlx.FromSlice([]bool{true, true, false, true, true, true}, 2, 3)
	return append(cases,
		Case{Name: "all", Inputs: made(flags), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.All(x, mlx.Axis(1)) }),
			Want: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.FromSlice([]bool{false, true})} }},
		Case{Name: "any", Inputs: made(flags), Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Any(x.Eq(false), mlx.Axis(1)) }),
			Want: func([]*mlx.Array) []*mlx.Array { return []*mlx.Array{mlx.FromSlice([]bool{true, false})} }},
	)
}
