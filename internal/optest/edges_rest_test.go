package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/random"
)

// twoOf is a function of two arrays with one result.
type twoOf = func(a, b *mlx.Array) *mlx.Array

// oneOf is a function of one.
type oneOf = func(a *mlx.Array) *mlx.Array

func half1(d mlx.DType, n int) *mlx.Array { return mlx.Ones(mlx.Shape{n}, d) }

func squares(in mlx.Arrays) mlx.Arrays { return as(in[0].Mul(in[0])) }

// restEdges are recorded calls of several families.
var restEdges = map[string]func() []*mlx.Array{
	"create/diff":           func() []*mlx.Array { return as(mlx.Diff(arr([]int{1, 4, 9, 16}), 1)) },
	"create/diff_n2":        func() []*mlx.Array { return as(mlx.Diff(arr([]int{1, 4, 9, 16}), 2)) },
	"create/convolve_full":  func() []*mlx.Array { return as(mlx.Convolve(f(1, 2, 3), f(0, 1, 0.5), "full")) },
	"create/convolve_same":  func() []*mlx.Array { return as(mlx.Convolve(f(1, 2, 3), f(0, 1, 0.5), "same")) },
	"create/convolve_valid": func() []*mlx.Array { return as(mlx.Convolve(f(1, 2, 3, 4), f(1, 1), "valid")) },
	"create/result_type":    func() []*mlx.Array { return as(mlx.Zeros(nil, mlx.ResultType(arr(1), arr(1.0, mlx.Float16)))) },
	"create/finfo_max_bf16": func() []*mlx.Array {
		return as(arr(mlx.BFloat16.FInfo().Max, mlx.Float64))
	},
	"create/issubdtype_bf16_floating": func() []*mlx.Array { return as(arr(mlx.BFloat16.Is(mlx.Floating))) },
	"create/arange_f16":               func() []*mlx.Array { return as(mlx.Arange(0, 1, 0.1).AsType(mlx.Float16)) },

	"empty/random_uniform_empty": func() []*mlx.Array { return as(arr(random.Uniform(0, 1, mlx.Shape{0}).Shape())) },

	"unary/complex_max":     func() []*mlx.Array { return as(mlx.Max(arr([]complex128{1 + 2i, 1 + 3i, 9i}))) },
	"unary/complex_sort":    func() []*mlx.Array { return as(mlx.Sort(arr([]complex128{1 + 2i, 1 + 1i, 5i}))) },
	"unary/view_f32_as_i32": func() []*mlx.Array { return as(mlx.View(f(1, -2), mlx.Int32)) },
	"unary/view_i32_as_i8":  func() []*mlx.Array { return as(mlx.View(arr([]int{258, -1}), mlx.Int8)) },
	"unary/view_error":      func() []*mlx.Array { return as(mlx.View(arr([]int8{1, 2, 3}), mlx.Int32)) },
	"unary/view_0d":         func() []*mlx.Array { return as(mlx.View(arr(1.0), mlx.Int32)) },

	"index/concatenate_none_axis": func() []*mlx.Array {
		return as(mlx.Concatenate(as(arr([][]int{{1, 2}}).Flatten(), arr([][]int{{3, 4}}).Flatten())))
	},
	"index/list_of_mixed":        func() []*mlx.Array { return as(arr([]any{1, 2.5, true})) },
	"index/list_of_bool_int":     func() []*mlx.Array { return as(arr([]any{true, 2})) },
	"index/list_of_arrays":       func() []*mlx.Array { return as(arr(as(arr([]int{1, 2}), arr([]int{3, 4})))) },
	"index/list_of_arrays_mixed": func() []*mlx.Array { return as(arr([]any{arr(1), arr(2.5)})) },
	"index/list_of_complex":      func() []*mlx.Array { return as(arr([]any{1, 2i})) },

	"quantize/gather_qmm_small": func() []*mlx.Array {
		w := mlx.Remainder(grid(3, 2, 64), 13).AsType(mlx.Float32)
		return as(mlx.GatherQMM(ones(2, 1, 64), quantizedOf(w), nil, arr([]int{2, 0})))
	},

	"random/normal_array_loc": func() []*mlx.Array {
		return as(random.Normal(mlx.Shape{3}, random.LocOf(f(0, 10, 20)), random.ScaleOf(arr(0.5)), key(1)))
	},
	"random/categorical_shape_arg": func() []*mlx.Array {
		return as(random.Categorical(zeros(2, 4), random.SampleShape{3, 2}, key(1)))
	},
	"random/categorical_shape_and_num_samples_error": func() []*mlx.Array {
		return as(random.Categorical(zeros(2, 4), random.SampleShape{3, 2}, random.NumSamples(2)))
	},
	"random/categorical_row_shape_arg": func() []*mlx.Array {
		return as(random.Categorical(f(0, 1, 2, 3).Reshape(1, 4), random.SampleShape{3, 1}, key(1)))
	},
	"random/state_after_seed": func() []*mlx.Array {
		random.Seed(11)
		return as(random.State().A)
	},
	"random/state_after_seed_and_call": func() []*mlx.Array {
		random.Seed(11)
		random.Uniform(0, 1, mlx.Shape{2})
		return as(random.State().A)
	},

	"grad/bf16_dtype": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(x.Mul(x)) }))(arr([]float64{1, 2}, mlx.BFloat16)))
	},
	"grad/not_used": func() []*mlx.Array {
		g := func(k mlx.ArgNum) *mlx.Array {
			return mlx.Grad(twoOf(func(a, b *mlx.Array) *mlx.Array { return mlx.Sum(a) }), k)(f(1), f(2, 3))
		}
		return as(g(0), g(1))
	},
	"grad/not_scalar_error": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return x.Mul(2) }))(f(1, 2)))
	},
	"grad/int_input": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(x.Mul(2)) }))(arr([]int{1, 2})))
	},
	"grad/bad_argnum_error": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return mlx.Sum(x) }), mlx.ArgNum(1))(f(1)))
	},
	"grad/eval_inside_grad": func() []*mlx.Array {
		return as(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array {
			if err := mlx.Eval(x); err != nil {
				panic(err)
			}
			return mlx.Sum(x.Mul(x))
		}))(f(1, 2)))
	},
	"grad/eval_inside_compile_error": func() []*mlx.Array {
		return as(mlx.Compile(oneOf(func(x *mlx.Array) *mlx.Array {
			if err := mlx.Eval(x); err != nil {
				panic(err)
			}
			return x
		}))(f(1)))
	},
	"grad/second_order": func() []*mlx.Array {
		return as(mlx.Grad(mlx.Grad(oneOf(func(x *mlx.Array) *mlx.Array { return x.Pow(3) })))(arr(2.0)))
	},
	"grad/vmap_add": func() []*mlx.Array {
		return as(mlx.VMap(twoOf(func(a, b *mlx.Array) *mlx.Array { return a.Add(b) }), mlx.InAxes{0, mlx.Unmapped})(f(1, 2), f(10, 20)))
	},
	"grad/vmap_axis_error": func() []*mlx.Array {
		return as(mlx.VMap(oneOf(func(a *mlx.Array) *mlx.Array { return a }), mlx.InAxes{2})(f(1, 2)))
	},
	"grad/vmap_size_error": func() []*mlx.Array {
		return as(mlx.VMap(twoOf(func(a, b *mlx.Array) *mlx.Array { return a.Add(b) }))(f(1, 2), f(1, 2, 3)))
	},
	"grad/jvp": func() []*mlx.Array {
		_, tangents := mlx.JVP(squares, as(f(1, 2)), as(f(1, 3)))
		return tangents
	},
	"grad/vjp": func() []*mlx.Array {
		_, grads := mlx.VJP(squares, as(f(1, 2)), as(f(1, 3)))
		return grads
	},
}

// A decision is a recorded call that this library answers otherwise, and the answer.
type decision struct {
	why  string
	got  func() *mlx.Array
	want *mlx.Array
}

const (
	floors = "quotients of integers are rounded down, so that q*b + r is a"
	nanIs1 = "the first NaN wins, as in max"
	wideAc = "sums of half types accumulate in float32 and are rounded once"
	noKeys = "a row that may see no key is 0 on every path"
	crash  = "MLX dies; NumPy gives this"
)

// decided are the differences, one by one.
var decided = map[string]decision{
	"int_div/floor_divide_i32": {floors, func() *mlx.Array { return arr([]int{7, -7, 7, -7, 0}).FloorDiv(arr([]int{2, 2, -2, -2, 3})) },
		arr([]int{3, -4, -4, 3, 0})},
	"int_div/floor_divide_i8": {floors, func() *mlx.Array { return arr([]int8{-128, 127, -1}).FloorDiv(arr([]int8{3, -3, 2})) },
		arr([]int8{-43, -43, -1})},
	"int_div/floor_divide_i64": {floors, func() *mlx.Array { return arr([]int64{-7, 7}).FloorDiv(arr([]int64{2, -2})) },
		arr([]int64{-4, -4})},
	"nan/argmax":          {nanIs1, func() *mlx.Array { return mlx.ArgMax(f(1, nan, 3)) }, arr(uint32(1))},
	"nan/argmin":          {nanIs1, func() *mlx.Array { return mlx.ArgMin(f(1, nan, -3)) }, arr(uint32(1))},
	"nan/argmax_last_nan": {nanIs1, func() *mlx.Array { return mlx.ArgMax(f(3, 1, nan)) }, arr(uint32(2))},
	"nan/argmax_axis0": {nanIs1, func() *mlx.Array {
		return mlx.ArgMax(arr([][]float64{{1, nan}, {nan, 2}, {3, 3}}), mlx.Axis(0))
	}, arr([]uint32{1, 0})},
	"unary/f16_sum_of_2049_ones":  {wideAc, func() *mlx.Array { return mlx.Sum(half1(mlx.Float16, 2500)) }, arr(2500.0, mlx.Float16)},
	"unary/bf16_sum_of_300_ones":  {wideAc, func() *mlx.Array { return mlx.Sum(half1(mlx.BFloat16, 300)) }, arr(300.0, mlx.BFloat16)},
	"unary/bf16_mean_of_300_ones": {wideAc, func() *mlx.Array { return mlx.Mean(half1(mlx.BFloat16, 300)) }, arr(1.0, mlx.BFloat16)},
	"unary/f16_cumsum":            {wideAc, func() *mlx.Array { return mlx.CumSum(half1(mlx.Float16, 2500)).Index(-1) }, arr(2500.0, mlx.Float16)},
	"unary/bf16_cumsum":           {wideAc, func() *mlx.Array { return mlx.CumSum(half1(mlx.BFloat16, 300)).Index(-1) }, arr(300.0, mlx.BFloat16)},
	"fast/sdpa_all_masked_bool_row": {noKeys, func() *mlx.Array {
		return attend(ones(1, 1, 2, 2), ones(1, 1, 2, 2), f(1, 2, 3, 4).Reshape(1, 1, 2, 2), fast.Mask(arr([][]bool{{false, false}, {true, false}})))[0]
	}, f(0, 0, 1, 2).Reshape(1, 1, 2, 2)},
	"fast/sdpa_all_masked_inf_row": {noKeys, func() *mlx.Array {
		return attend(ones(1, 1, 2, 2), ones(1, 1, 2, 2), f(1, 2, 3, 4).Reshape(1, 1, 2, 2), fast.Mask(arr([][]float64{{-inf, -inf}, {0, -inf}})))[0]
	}, f(0, 0, 1, 2).Reshape(1, 1, 2, 2)},
	"fast/sdpa_causal_short_keys": {noKeys, func() *mlx.Array {
		return attend(ones(1, 1, 3, 2), ones(1, 1, 2, 2), f(1, 2, 3, 4).Reshape(1, 1, 2, 2), fast.Causal)[0]
	}, f(0, 0, 1, 2, 2, 3).Reshape(1, 1, 3, 2)},
	"fast/sdpa_mask_dtype_error": {"a wider additive mask is taken; scores are float32", func() *mlx.Array {
		q := mlx.Ones(mlx.Shape{1, 2, 3, 4}, mlx.Float16)
		return attend(q, q, q, fast.Mask(ones(3, 3)))[0]
	}, mlx.Ones(mlx.Shape{1, 2, 3, 4}, mlx.Float16)},
	"grad/power_both_base_0": {"the derivative of a power at base 0 is its limit, never NaN", func() *mlx.Array {
		g := func(k mlx.ArgNum) *mlx.Array {
			return mlx.Grad(twoOf(func(x, y *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Power(x, y)) }), k)(f(0, 2, 0), f(2, 3, 0))
		}
		return mlx.Concatenate(as(g(0), g(1)))
	}, f(0, 12, 0, 0, 5.545177459716797, 0)},
	"index/getitem_bool_mask_error": {"a mask picks elements, as in NumPy", func() *mlx.Array {
		return grid(3).Index(arr([]bool{true, false, true}))
	}, arr([]int{0, 2})},
	"create/full_dtype": {"dtype= decides, in MLX only where the value is an array", func() *mlx.Array { return mlx.Full(mlx.Shape{2}, 3.7, mlx.Int32) }, arr([]int{3, 3})},
	"create/arange_float_args_int_dtype": {"Arange has no dtype=; the step is not cut to 0", func() *mlx.Array { return mlx.Arange(0.0, 3, 0.5).AsType(mlx.Int32) },
		arr([]int{0, 0, 1, 1, 2, 2})},
	"create/arange_bool_dtype": {"Arange has no dtype=", func() *mlx.Array { return mlx.Arange(2).AsType(mlx.Bool) }, arr([]bool{false, true})},
	"empty/argmax_axis1_of_0x3": {"there is nothing to choose; NumPy gives this", func() *mlx.Array { return mlx.ArgMax(zeros(0, 3), mlx.Axis(1)) },
		mlx.Zeros(mlx.Shape{0}, mlx.Uint32)},
	"empty/sort":    {crash, func() *mlx.Array { return mlx.Sort(zeros(0)) }, zeros(0)},
	"empty/argsort": {crash, func() *mlx.Array { return mlx.ArgSort(zeros(0)) }, mlx.Zeros(mlx.Shape{0}, mlx.Uint32)},
	"empty/cumsum":  {crash, func() *mlx.Array { return mlx.CumSum(zeros(0)) }, zeros(0)},
}
