package optest

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
)

// gradsOf are the gradients of the sum of f with respect to each input; zeros where
// no derivative reaches.
func gradsOf(f func(in ...*mlx.Array) *mlx.Array, in ...*mlx.Array) []*mlx.Array {
	_, grads := autodiff.VJPWith(func(in []*mlx.Array) []*mlx.Array { return as(mlx.Sum(f(in...))) }, in,
		func(outs []*mlx.Array) []*mlx.Array { return as(tensor.OnesLike(outs[0], none)) })
	for i, g := range grads {
		if g == nil {
			grads[i] = tensor.ZerosLike(in[i], none)
		}
	}
	return grads
}

// grad1 and grad2 are rows of gradients of ops of one array or two.
func grad1(f func(x *mlx.Array) *mlx.Array, x *mlx.Array) func() []*mlx.Array {
	return func() []*mlx.Array { return gradsOf(func(in ...*mlx.Array) *mlx.Array { return f(in[0]) }, x) }
}

func grad2(f func(a, b *mlx.Array) *mlx.Array, a, b *mlx.Array) func() []*mlx.Array {
	return func() []*mlx.Array {
		return gradsOf(func(in ...*mlx.Array) *mlx.Array { return f(in[0], in[1]) }, a, b)
	}
}

// row is a row of one result.
func row(f func() *mlx.Array) func() []*mlx.Array {
	return func() []*mlx.Array { return as(f()) }
}

// unaryRow applies a function without keywords.
func unaryRow(f func(*mlx.Array, ...mlx.StreamOrDevice) *mlx.Array, x *mlx.Array) func() []*mlx.Array {
	return func() []*mlx.Array { return as(f(x)) }
}

func plain(f func(*mlx.Array, ...mlx.StreamOrDevice) *mlx.Array) func(*mlx.Array) *mlx.Array {
	return func(x *mlx.Array) *mlx.Array { return f(x) }
}

func i32(v ...int32) *mlx.Array { return mlx.FromSlice(v) }
func i8(v ...int8) *mlx.Array   { return mlx.FromSlice(v) }
func u8(v ...uint8) *mlx.Array  { return mlx.FromSlice(v) }
func c64(v ...complex64) *mlx.Array {
	return mlx.FromSlice(v)
}

// elementwiseEdges are the recorded calls of elementwise ops.
var elementwiseEdges = map[string]func() []*mlx.Array{
	// Integer quotients that MLX truncates have no row: see TestFloorDivision.
	"int_div/remainder_i32":   row(func() *mlx.Array { return i32(7, -7, 7, -7, 0).Mod(i32(2, 2, -2, -2, 3)) }),
	"int_div/remainder_i32_3": row(func() *mlx.Array { return mlx.Remainder(i32(5, -5, 5, -5, 6), i32(3, 3, -3, -3, 3)) }),
	"int_div/floor_divide_u32": row(func() *mlx.Array {
		return mlx.FromSlice([]uint32{7, 4294967295}).FloorDiv(mlx.FromSlice([]uint32{2, 10}))
	}),
	"int_div/remainder_u8":          row(func() *mlx.Array { return u8(7, 255).Mod(u8(4, 10)) }),
	"int_div/floor_divide_f32":      row(func() *mlx.Array { return f(7, -7, 7, -7, 0.5).FloorDiv(f(2, 2, -2, -2, 0.2)) }),
	"int_div/remainder_f32":         row(func() *mlx.Array { return f(7, -7, 7, -7, 5.5, -0.5).Mod(f(2, 2, -2, -2, 2, 2)) }),
	"int_div/remainder_f32_zero":    row(func() *mlx.Array { return f(1, -1, 0, inf, 3).Mod(f(0, 0, 0, 2, inf)) }),
	"int_div/floor_divide_f32_zero": row(func() *mlx.Array { return f(1, -1, 0).FloorDiv(f(0, 0, 0)) }),
	"int_div/remainder_f16": row(func() *mlx.Array {
		return f(7, -7, 5.5).AsType(mlx.Float16).Mod(f(2, 2, -2).AsType(mlx.Float16))
	}),
	"int_div/remainder_f32_negzero": row(func() *mlx.Array { return f(-4, 4, negZero).Mod(f(2, -2, 2)) }),
	"int_div/divmod_i32": func() []*mlx.Array {
		q, r := mlx.DivMod(i32(7, -7, 7), i32(2, 2, -2))
		return as(q, r)
	},
	"int_div/divmod_f32": func() []*mlx.Array {
		q, r := mlx.DivMod(f(7, -7, 5.5), f(2, 2, -2))
		return as(q, r)
	},
	"int_div/left_shift":                  row(func() *mlx.Array { return i32(1, -1, 3).Shl(i32(3, 1, 30)) }),
	"int_div/right_shift":                 row(func() *mlx.Array { return i32(-8, 8, -1).Shr(i32(1, 2, 5)) }),
	"int_div/bitwise_invert_bool":         row(func() *mlx.Array { return arr([]bool{true, false}).Not() }),
	"int_div/bitwise_invert_u8":           row(func() *mlx.Array { return u8(0, 5).Not() }),
	"int_div/bitwise_and_float_error":     row(func() *mlx.Array { return f(1).And(f(2)) }),
	"int_div/astype_float_to_u8_in_range": row(func() *mlx.Array { return f(1.9, 255).AsType(mlx.Uint8) }),

	"nan/maximum_zero_signs": row(func() *mlx.Array { return mlx.Maximum(f(0, negZero), f(negZero, 0)) }),
	"nan/clip":               row(func() *mlx.Array { return mlx.Clip(f(nan, -5, 5, 0.5), -1, 1) }),
	"nan/clip_nan_bound":     row(func() *mlx.Array { return mlx.Clip(f(0, 1), nan, 1.0) }),
	"nan/clip_min_only":      row(func() *mlx.Array { return mlx.Maximum(i32(1, -5), 0) }),
	"nan/clip_none":          row(func() *mlx.Array { return mlx.Clip(i32(1, -5), (*mlx.Array)(nil), (*mlx.Array)(nil)) }),
	"nan/clip_crossed":       row(func() *mlx.Array { return mlx.Clip(f(0, 5, 10), 6.0, 2.0) }),
	"nan/clip_int_with_float": row(func() *mlx.Array {
		return mlx.Clip(i32(1, 5, 9), 1.5, 6.5)
	}),
	"nan/equal_nan":          row(func() *mlx.Array { return mlx.ArrayEqual(f(nan, 1), f(nan, 1), mlx.EqualNaN(true)) }),
	"nan/not_equal_nan":      row(func() *mlx.Array { return mlx.ArrayEqual(f(nan), f(nan)) }),
	"nan/array_equal_shapes": row(func() *mlx.Array { return mlx.ArrayEqual(zeros(2), zeros(1, 2)) }),
	"nan/array_equal_dtypes": row(func() *mlx.Array { return mlx.ArrayEqual(i32(1, 2), f(1, 2)) }),
	"empty/array_equal_empty": row(func() *mlx.Array {
		return mlx.ArrayEqual(zeros(0), zeros(0))
	}),
	"nan/isclose": row(func() *mlx.Array {
		return mlx.IsClose(f(nan, inf, inf, -inf, 1, 1, 1e10), f(nan, inf, -inf, -inf, 1+1e-6, 1.0001, inf))
	}),
	"nan/isclose_equal_nan": row(func() *mlx.Array { return mlx.IsClose(f(nan, nan), f(nan, 1), mlx.EqualNaN(true)) }),
	"nan/isclose_asymmetric": row(func() *mlx.Array {
		return mlx.IsClose(f(100, 99), f(99, 100), mlx.RTol(0.01005), mlx.ATol(0))
	}),
	"nan/allclose_inf":     row(func() *mlx.Array { return mlx.AllClose(f(inf, 1), f(inf, 1)) }),
	"nan/nan_to_num":       row(func() *mlx.Array { return mlx.NaNToNum(f(nan, inf, -inf, 1), 0, inf, -inf) }),
	"nan/nan_to_num_bf16":  row(func() *mlx.Array { return mlx.NaNToNum(f(nan, inf, -inf).AsType(mlx.BFloat16), 0, inf, -inf) }),
	"nan/nan_to_num_given": row(func() *mlx.Array { return mlx.NaNToNum(f(nan, inf, -inf), 1, 2, 3) }),
	"nan/isposinf":         unaryRow(mlx.IsPosInf, f(inf, -inf, nan)),
	"nan/logaddexp": row(func() *mlx.Array {
		return mlx.LogAddExp(f(-inf, inf, nan, 0, -inf), f(-inf, inf, 1, -inf, inf))
	}),

	"unary/round_half":                  row(func() *mlx.Array { return mlx.Round(f(0.5, 1.5, 2.5, -0.5, -1.5, -2.5, 0.4999999, 3.5), 0) }),
	"unary/round_bf16":                  row(func() *mlx.Array { return mlx.Round(f(0.5, 1.5, 2.5).AsType(mlx.BFloat16), 0) }),
	"unary/round_decimals":              row(func() *mlx.Array { return mlx.Round(f(1.125, 1.135, -1.125, 12.35), 2) }),
	"unary/round_decimals_negative":     row(func() *mlx.Array { return mlx.Round(f(15, 25, 149), -1) }),
	"unary/round_int":                   row(func() *mlx.Array { return mlx.Round(i32(1, 2), 0) }),
	"unary/round_int_decimals_negative": row(func() *mlx.Array { return mlx.Round(i32(15, 25, 149), -1) }),
	"unary/round_complex":               row(func() *mlx.Array { return mlx.Round(c64(1.5+2.5i), 0) }),
	"unary/log2_int":                    unaryRow(mlx.Log2, i32(1, 2, 8)),
	"unary/reciprocal":                  unaryRow(mlx.Reciprocal, f(0, negZero, inf, 4)),
	"unary/reciprocal_int":              unaryRow(mlx.Reciprocal, i32(2, 4)),
	"unary/arcsin_domain":               unaryRow(mlx.ArcSin, f(2, 1, -1)),
	"unary/arccosh_domain":              unaryRow(mlx.ArcCosh, f(0.5, 1)),
	"unary/arctanh_edges":               unaryRow(mlx.ArcTanh, f(1, -1, 2)),
	"unary/abs_complex":                 unaryRow(mlx.Abs, c64(3+4i, complex(float32(inf), float32(nan)))),
	"unary/arctan2_quadrants":           row(func() *mlx.Array { return mlx.ArcTan2(f(0, 0, negZero, 1, -1), f(1, -1, -1, 0, 0)) }),
	"unary/ceil_f":                      unaryRow(mlx.Ceil, f(-0.5, 0.5, 2)),
	"unary/trunc_f":                     unaryRow(mlx.Trunc, f(-1.5, 1.5, -0.5)),
	"unary/degrees":                     unaryRow(mlx.Degrees, f(math.Pi)),
	"unary/conj_real":                   unaryRow(mlx.Conjugate, f(1)),
	"unary/real_of_real":                unaryRow(mlx.Real, f(1.5)),
	"unary/imag_of_real":                unaryRow(mlx.Imag, f(1.5)),
	"unary/complex_compare_less":        row(func() *mlx.Array { return c64(1+2i, 1+1i).Lt(c64(1+3i, 5i)) }),
	"unary/complex_sqrt":                unaryRow(mlx.Sqrt, c64(-1, 3+4i)),
	"unary/complex_exp":                 unaryRow(mlx.Exp, c64(complex(0, math.Pi))),
	"unary/complex_log":                 unaryRow(mlx.Log, c64(-1)),
	"unary/complex_floor_divide":        row(func() *mlx.Array { return c64(1 + 2i).FloorDiv(c64(1 + 1i)) }),
	"unary/complex_remainder":           row(func() *mlx.Array { return c64(5 + 2i).Mod(c64(2 + 1i)) }),
	"unary/to_fp8":                      unaryRow(mlx.ToFP8, f(0, 1, -1, 448, 1000, 0.001, 0.0019, nan, inf)),
	"unary/from_fp8":                    row(func() *mlx.Array { return mlx.FromFP8(u8(0, 1, 8, 56, 126, 127, 128, 255)) }),

	"grad/abs_at_0":            grad1((*mlx.Array).Abs, f(-1, 0, 2)),
	"grad/sqrt_at_0":           grad1(plain(mlx.Sqrt), f(0, 4)),
	"grad/square":              grad1(plain(mlx.Square), f(0, 3)),
	"grad/maximum_tie":         grad2(func(a, b *mlx.Array) *mlx.Array { return mlx.Maximum(a, b) }, f(1, 2, 3), f(2, 2, 2)),
	"grad/minimum_tie":         grad2(func(a, b *mlx.Array) *mlx.Array { return mlx.Minimum(a, b) }, f(1, 2, 3), f(2, 2, 2)),
	"grad/clip_edges":          grad1(func(x *mlx.Array) *mlx.Array { return mlx.Clip(x, 0, 1) }, f(-1, 0, 0.5, 1, 2)),
	"grad/relu_at_0":           grad1(func(x *mlx.Array) *mlx.Array { return mlx.Maximum(x, 0) }, f(-1, 0, 2)),
	"grad/power_base_0":        grad1(func(x *mlx.Array) *mlx.Array { return x.Pow(2) }, f(0, -1.5)),
	"grad/power_negative_base": grad2(func(a, b *mlx.Array) *mlx.Array { return a.Pow(b) }, f(-2), f(3)),
	"grad/where_nan_branch":    grad1(func(x *mlx.Array) *mlx.Array { return mlx.Where(x.Gt(0), mlx.Sqrt(x), 0) }, f(-1, 4)),
	"grad/log_at_0":            grad1(plain(mlx.Log), f(0, 2)),
	"grad/floor":               grad1(plain(mlx.Floor), f(1.5, 2)),
	"grad/round":               grad1(func(x *mlx.Array) *mlx.Array { return mlx.Round(x, 0) }, f(1.5, 2)),
	"grad/sign":                grad1(plain(mlx.Sign), f(1.5, 0)),
	"grad/remainder":           grad2(operator((*mlx.Array).Mod), f(5.5, -5.5), f(2, 2)),
	"grad/floor_divide":        grad2(operator((*mlx.Array).FloorDiv), f(5.5), f(2)),
	"grad/arctan2_origin":      grad2(func(a, b *mlx.Array) *mlx.Array { return mlx.ArcTan2(a, b) }, f(0, 1), f(0, 1)),
	"grad/reciprocal_0":        grad1(plain(mlx.Reciprocal), f(0, 2)),
	"grad/through_astype":      grad1(func(x *mlx.Array) *mlx.Array { return x.AsType(mlx.BFloat16) }, f(1, 2)),
	"grad/stop_gradient":       grad1(func(x *mlx.Array) *mlx.Array { return mlx.StopGradient(x).Mul(x) }, f(1, 2)),
}

// TestFloorDivision: integer quotients round down, where MLX truncates, and so fit the
// remainder; by 0 both are 0. Floats at infinity are as in NumPy.
func TestFloorDivision(t *testing.T) {
	var a, b []int8
	for x := -128; x < 128; x++ {
		for y := -128; y < 128; y++ {
			a, b = append(a, int8(x)), append(b, int8(y))
		}
	}
	quo, rem := mlx.DivMod(mlx.FromSlice(a), mlx.FromSlice(b))
	q, r := mlx.ToSlice[int8](quo), mlx.ToSlice[int8](rem)
	for i, x := range a {
		y := b[i]
		switch {
		case y == 0:
			if q[i] != 0 || r[i] != 0 {
				t.Fatalf("%d by 0 gives %d, %d", x, q[i], r[i])
			}
		case q[i]*y+r[i] != x || r[i] != 0 && (r[i] < 0) != (y < 0) || math.Abs(float64(r[i])) >= math.Abs(float64(y)):
			t.Fatalf("%d by %d gives %d, %d", x, y, q[i], r[i])
		}
	}
	quo, rem = mlx.DivMod(f(-7, 7, 1, -1, 3, 1, 1e30, -1e-30), f(2, -2, -inf, inf, inf, 0.1, 3, 1e10))
	for i, want := range []float64{-4, -4, -1, -1, 0, 9, 3.3333333e29, -1} {
		if got := mlx.ToSlice[float64](quo.AsType(mlx.Float64))[i]; math.Abs(got-want) > 1e-6*math.Abs(want) {
			t.Errorf("quotient %d is %v, want %v", i, got, want)
		}
	}
	for i, want := range []float64{1, -1, -inf, inf, 3, 0.099999986589, 1, 1e10} {
		if i == 6 {
			continue // some number below 3
		}
		if got := mlx.ToSlice[float64](rem.AsType(mlx.Float64))[i]; got != want && math.Abs(got-want) > 1e-6 {
			t.Errorf("remainder %d is %v, want %v", i, got, want)
		}
	}
}
