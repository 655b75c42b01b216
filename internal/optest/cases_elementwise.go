package optest

import (
	"math"
	"math/cmplx"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// elementwiseCases are the elementwise ops that models do without.
func elementwiseCases() []Case {
	cases := append(moreUnaryCases(), moreBinaryCases()...)
	return append(append(cases, complexCases()...), composedCases()...)
}

func moreUnaryCases() (cases []Case) {
	for _, c := range []struct {
		name  string
		f     func(*mlx.Array, ...mlx.StreamOrDevice) *mlx.Array
		input string // x, p (positive), t (tanh of x) or 1 (1 + p)
	}{
		{"ceil", mlx.Ceil, "x"}, {"round", func(x *mlx.Array, _ ...mlx.StreamOrDevice) *mlx.Array { return mlx.Round(x, 0) }, "x"},
		{"reciprocal", mlx.Reciprocal, "p"}, {"expm1", mlx.Expm1, "x"}, {"log2", mlx.Log2, "p"}, {"log10", mlx.Log10, "p"},
		{"tan", mlx.Tan, "x"}, {"arcsin", mlx.ArcSin, "t"}, {"arccos", mlx.ArcCos, "t"}, {"arctan", mlx.ArcTan, "x"},
		{"sinh", mlx.Sinh, "x"}, {"cosh", mlx.Cosh, "x"}, {"arcsinh", mlx.ArcSinh, "x"}, {"arccosh", mlx.ArcCosh, "1"},
		{"arctanh", mlx.ArcTanh, "t"},
	} {
		cases = append(cases, Case{Name: "u." + c.name, File: "ops", Tol: F32, Halves: true, Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return c.f(x) }),
			Inputs: func(g Golden) []*mlx.Array {
				switch c.input {
				case "p":
					return list(g["p"])
				case "t":
					return list(mlx.Tanh(g["x"]))
				case "1":
					return list(mlx.Add(1, g["p"]))
				}
				return list(g["x"])
			}})
	}
	odd := mlx.FromSlice([]float32{0, float32(math.Copysign(0, -1)), 1, -2, float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 3e38}, 2, 4)
	test := func(name string, f func(*mlx.Array, ...mlx.StreamOrDevice) *mlx.Array, want func(x float64) bool) {
		cases = append(cases, Case{Name: name, Inputs: made(odd), Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return f(x) }),
			Want: elementwise(func(x ...float64) float64 { return number(want(x[0])) }, isBool)})
	}
	test("isinf", mlx.IsInf, func(x float64) bool { return math.IsInf(x, 0) })
	test("isposinf", mlx.IsPosInf, func(x float64) bool { return math.IsInf(x, 1) })
	test("isneginf", mlx.IsNegInf, func(x float64) bool { return math.IsInf(x, -1) })
	test("isfinite", mlx.IsFinite, func(x float64) bool { return !math.IsInf(x, 0) && !math.IsNaN(x) })
	bytes := make([]uint8, 256)
	for i := range bytes {
		bytes[i] = uint8(i)
	}
	return append(cases,
		Case{Name: "trunc", Inputs: made(ramp(3, 5)), Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Trunc(x) }),
			Want: elementwise(func(x ...float64) float64 { return math.Trunc(x[0]) }, firstDType)},
		Case{Name: "bitwise_invert", Inputs: made(mlx.FromSlice([]int16{0, 1, -1, 300, math.MinInt16, 7}, 2, 3)), Empty: true,
			Build: one((*mlx.Array).Not), Want: elementwise(func(x ...float64) float64 { return -1 - x[0] }, firstDType)},
		Case{Name: "to_fp8 of from_fp8", Inputs: made(mlx.FromSlice(bytes, 16, 16)), Empty: true, // 127 is 480, above the largest code
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.ToFP8(mlx.FromFP8(x)) }),
			Want: elementwise(func(x ...float64) float64 {
				if math.Mod(x[0], 128) == 127 {
					return x[0] - 1
				}
				return x[0]
			}, firstDType)},
	)
}

func list(a ...*mlx.Array) []*mlx.Array { return a }

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func isBool([]*mlx.Array) mlx.DType { return mlx.Bool }

func moreBinaryCases() (cases []Case) {
	for _, c := range []struct {
		name string
		f    func(a, b *mlx.Array) *mlx.Array
	}{
		{"floor_divide", operator((*mlx.Array).FloorDiv)}, {"remainder", operator((*mlx.Array).Mod)},
		{"arctan2", func(a, b *mlx.Array) *mlx.Array { return mlx.ArcTan2(a, b) }},
		{"logaddexp", func(a, b *mlx.Array) *mlx.Array { return mlx.LogAddExp(a, b) }},
	} {
		cases = append(cases, Case{Name: "b." + c.name, File: "ops", In: []string{"x", "y"}, Build: two(c.f), Tol: F32, Halves: true, Empty: true})
	}
	ints := made(mlx.FromSlice([]int32{5, -7, 0, 12, 1 << 30, -1, 3, 9}, 2, 4), mlx.FromSlice([]int32{3, 2, 5, 0, 1, 31, 40, -1}, 2, 4))
	bits := func(name string, f func(a, b *mlx.Array) *mlx.Array, want func(a, b int32) int32) {
		cases = append(cases, Case{Name: name, Inputs: ints, Build: two(f), Empty: true,
			Want: elementwise(func(x ...float64) float64 { return float64(want(int32(x[0]), int32(x[1]))) }, firstDType)})
	}
	bits("bitwise_and", operator((*mlx.Array).And), func(a, b int32) int32 { return a & b })
	bits("bitwise_or", operator((*mlx.Array).Or), func(a, b int32) int32 { return a | b })
	bits("bitwise_xor", operator((*mlx.Array).Xor), func(a, b int32) int32 { return a ^ b })
	bits("left_shift", operator((*mlx.Array).Shl), func(a, b int32) int32 { return a << uint32(b) })
	bits("right_shift", operator((*mlx.Array).Shr), func(a, b int32) int32 { return a >> uint32(b) })
	bits("integer floor_divide", operator((*mlx.Array).FloorDiv), func(a, b int32) int32 {
		if b == 0 {
			return 0
		}
		return int32(math.Floor(float64(a) / float64(b)))
	})
	return append(cases, Case{Name: "logical_xor", Empty: true,
		Inputs: made(mlx.FromSlice([]float32{0, 1, 2, 0, float32(math.NaN()), 0}, 2, 3), mlx.FromSlice([]float32{0, 2, 0, -1, 0, float32(math.NaN())}, 2, 3)),
		Build:  two(func(a, b *mlx.Array) *mlx.Array { return mlx.LogicalXor(a, b) }),
		Want:   elementwise(func(x ...float64) float64 { return number((x[0] != 0) != (x[1] != 0)) }, isBool)})
}

// operator is a method of two arrays as a function.
func operator(f func(a *mlx.Array, b any) *mlx.Array) func(a, b *mlx.Array) *mlx.Array {
	return func(a, b *mlx.Array) *mlx.Array { return f(a, b) }
}

// complexRamp has every quadrant.
func complexRamp(shape ...int) *mlx.Array {
	z := make([]complex64, mlx.Shape(shape).Size())
	for i := range z {
		z[i] = complex64(cmplx.Rect(0.5+float64(i%5)/2, 0.7+1.1*float64(i)))
	}
	return mlx.FromSlice(z, shape...)
}

func complexCases() []Case {
	parts := func(f func(z complex64) float32) func([]*mlx.Array) []*mlx.Array {
		return func(in []*mlx.Array) []*mlx.Array {
			var out []float32
			for _, z := range mlx.ToSlice[complex64](in[0]) {
				out = append(out, f(z))
			}
			return list(mlx.FromSlice(out, in[0].Shape()...))
		}
	}
	z := made(complexRamp(3, 5))
	return []Case{
		{Name: "real", Inputs: z, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Real(x) }),
			Want: parts(func(z complex64) float32 { return real(z) })},
		{Name: "imag", Inputs: z, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Imag(x) }),
			Want: parts(func(z complex64) float32 { return imag(z) })},
		{Name: "conjugate", Inputs: z, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Conjugate(x) }),
			Want: func(in []*mlx.Array) []*mlx.Array {
				return list(mlx.Real(in[0]).Sub(mlx.Imag(in[0]).Mul(1i)))
			}},
	}
}

// composedCases are functions made of other ops.
func composedCases() []Case {
	x := ramp(3, 5)
	odd := mlx.FromSlice([]float32{float32(math.NaN()), float32(math.Inf(1)), float32(math.Inf(-1)), 1, -2, 0}, 2, 3)
	scaled := func(v float64) func(x ...float64) float64 { return func(x ...float64) float64 { return x[0] * v } }
	return []Case{
		{Name: "clip", File: "ops", In: []string{"x"}, Halves: true, Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Clip(x, -0.5, 0.5) })},
		{Name: "promote.bf16f16", File: "ops", Build: func([]*mlx.Array) []*mlx.Array {
			return list(mlx.Ones(mlx.Shape{1}, mlx.BFloat16).Add(mlx.Ones(mlx.Shape{1}, mlx.Float16)))
		}},
		{Name: "promote.i32f16", File: "ops", Build: func([]*mlx.Array) []*mlx.Array {
			return list(mlx.Ones(mlx.Shape{1}, mlx.Int32).Add(mlx.Ones(mlx.Shape{1}, mlx.Float16)))
		}},
		{Name: "promote.i8u8", File: "ops", Build: func([]*mlx.Array) []*mlx.Array {
			return list(mlx.Ones(mlx.Shape{1}, mlx.Int8).Add(mlx.Ones(mlx.Shape{1}, mlx.Uint8)))
		}},
		{Name: "promote.bool_sum", File: "ops", Build: func([]*mlx.Array) []*mlx.Array {
			return list(mlx.Sum(mlx.NewArray([]bool{true, true, false})))
		}},
		{Name: "degrees", Inputs: made(x), Tol: F32, Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Degrees(x) }),
			Want: elementwise(scaled(180/math.Pi), firstDType)},
		{Name: "radians", Inputs: made(x), Tol: F32, Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Radians(x) }),
			Want: elementwise(scaled(math.Pi/180), firstDType)},
		{Name: "round to 1 decimal", Inputs: made(x), Tol: F32, Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Round(x, 1) }),
			Want: elementwise(func(x ...float64) float64 { return math.RoundToEven(x[0]*10) / 10 }, firstDType)},
		{Name: "nan_to_num", Inputs: made(odd), Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.NaNToNum(x, 7, 8, -9) }),
			Want: elementwise(func(x ...float64) float64 {
				switch {
				case math.IsNaN(x[0]):
					return 7
				case math.IsInf(x[0], 1):
					return 8
				case math.IsInf(x[0], -1):
					return -9
				}
				return x[0]
			}, firstDType), NoGrad: "the inputs are NaN and infinite"},
		{Name: "isclose", Inputs: made(x, x.Mul(mlx.NewArray([]float64{1, 1 + 1e-6, 1 - 1e-4, 2, 1}))), Empty: true,
			Build: two(func(a, b *mlx.Array) *mlx.Array { return mlx.IsClose(a, b) }),
			Want: elementwise(func(x ...float64) float64 {
				return number(math.Abs(x[0]-x[1]) <= 1e-8+1e-5*math.Abs(x[1]))
			}, isBool)},
		{Name: "stop_gradient", Inputs: made(x), Halves: true, Empty: true, Build: one(func(x *mlx.Array) *mlx.Array { return mlx.StopGradient(x) }),
			Want: func(in []*mlx.Array) []*mlx.Array { return in }, NoGrad: "that is its meaning"},
		{Name: "depends", Inputs: made(x, ramp(2, 4)), Build: func(in []*mlx.Array) []*mlx.Array {
			return list(mlx.Depends(in[0], in[1], tensor.UnaryOf(tensor.OpExp, in[1], none)))
		}, Want: func(in []*mlx.Array) []*mlx.Array { return in[:1] }},
	}
}
