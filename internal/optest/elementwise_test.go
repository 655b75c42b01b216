package optest

import (
	"math/cmplx"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestWeakNumbers: a Go literal neither widens an array of its kind nor is rounded to
// less than the array holds.
func TestWeakNumbers(t *testing.T) {
	for _, d := range []mlx.DType{mlx.Float16, mlx.BFloat16, mlx.Float32, mlx.Float64} {
		x := mlx.Ones(mlx.Shape{2}, d)
		for what, y := range map[string]*mlx.Array{
			"x * 2.0": x.Mul(2.0), "x + 1": x.Add(1), "1 - x": mlx.Subtract(1, x), "x // 2": x.FloorDiv(2), "x % 2.5": x.Mod(2.5),
			"where": mlx.Where(x.Gt(0), x, 0), "maximum": mlx.Maximum(x, 0), "clip": mlx.Clip(x, -0.5, 3), "logaddexp": mlx.LogAddExp(x, 0.5),
			"arctan2": mlx.ArcTan2(2.0, x), "nan_to_num": mlx.NaNToNum(x, 0, inf, -inf), "round": mlx.Round(x, 3), "degrees": mlx.Degrees(x),
			"power": x.Pow(0.5), "x / true": x.Div(true),
		} {
			if y.DType() != d {
				t.Errorf("%s of %v is %v", what, d, y.DType())
			}
		}
	}
	wide := mlx.FromSlice([]float64{1})
	for what, c := range map[string]struct{ got, want float64 }{
		"1 * 0.1":     {mlx.ToSlice[float64](wide.Mul(0.1))[0], 0.1},
		"1 + 1e-12":   {mlx.ToSlice[float64](wide.Add(1e-12))[0], 1 + 1e-12},
		"2^40 + 2^40": {float64(mlx.ToSlice[int64](mlx.FromSlice([]int64{1 << 40}).Add(1 << 40))[0]), 1 << 41},
	} {
		if c.got != c.want {
			t.Errorf("%s is %v", what, c.got)
		}
	}
	if d := mlx.FromSlice([]int32{1}).Add(0.5).DType(); d != mlx.Float32 {
		t.Errorf("int32 + 0.5 is %v", d)
	}
	if d := mlx.NewArray([]bool{true}).Add(1).DType(); d != mlx.Int32 {
		t.Errorf("bool + 1 is %v", d)
	}
	if err := mlx.Try(func() { mlx.FromSlice([]uint8{1}).Add(300) }); err == nil {
		t.Error("uint8 + 300 is no error")
	}
}

// TestPowerAtZero: the derivative of a power takes the limit where the base is 0, where
// MLX has NaN; forward, backward and in half precision.
func TestPowerAtZero(t *testing.T) {
	for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.Float64} {
		v := func(x ...float64) *mlx.Array { return f(x...).AsType(d) }
		check := func(what string, got *mlx.Array, want ...float64) {
			t.Helper()
			if err := Diff(got, v(want...), near(d)); err != nil {
				t.Errorf("%s in %v: %v", what, d, err)
			}
		}
		both := func(in []*mlx.Array) []*mlx.Array { return as(in[0].Sub(in[1]).Pow(in[1])) }
		_, g := autodiff.VJP(both, as(v(1, 1), v(1, 1)), as(v(123, 123)))
		check("d(a-b)^b/da", g[0], 123, 123)
		check("d(a-b)^b/db", g[1], -123, -123)
		for _, c := range []struct {
			n    float64
			want []float64
		}{{2, []float64{0, 2}}, {0, []float64{0, 0}}, {1, []float64{1, 1}}} {
			pow := func(in []*mlx.Array) []*mlx.Array { return as(in[0].Pow(c.n)) }
			_, g := autodiff.VJP(pow, as(v(0, 1)), as(v(1, 1)))
			check("power", g[0], c.want...)
			_, tangents := autodiff.JVP(pow, as(v(0, 1)), as(v(1, 1)))
			check("power forward", tangents[0], c.want...)
		}
		_, g = autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return as(mlx.Power(v(0), in[0])) }, as(v(2)), as(v(1)))
		check("d 0^y/dy", g[0], 0)
	}
}

// TestComplexDerivatives: the cotangent of an analytic function is multiplied by its
// derivative; parts, conjugates and absolute values pair with it without conjugation, so that
// derivatives by real numbers through complex ones are right.
func TestComplexDerivatives(t *testing.T) {
	z := complexRamp(7)
	c := complexRamp(7).Mul(1i).Add(0.25)
	pull := func(f func(*mlx.Array) *mlx.Array, c *mlx.Array) *mlx.Array {
		_, g := autodiff.VJP(func(in []*mlx.Array) []*mlx.Array { return as(f(in[0])) }, as(z), as(c))
		return g[0]
	}
	const h = 1e-2
	for o := tensor.OpNegative; o < tensor.NumUnary; o++ {
		if _, err := (tensor.Unary{Op: o}).Infer([]tensor.Spec{{DType: mlx.Complex64}}); err != nil {
			continue
		}
		switch o {
		case tensor.OpAbs, tensor.OpSign, tensor.OpRound, tensor.OpConjugate, tensor.OpReal, tensor.OpImag:
			continue // not analytic
		}
		f := func(x *mlx.Array) *mlx.Array { return tensor.UnaryOf(o, x, none) }
		if f(z).DType() != mlx.Complex64 {
			continue
		}
		slope := f(z.Add(h)).Sub(f(z.Sub(h))).Div(2 * h)
		if err := Diff(pull(f, c), slope.Mul(c), Tol{Each: 2e-3, Rel: 2e-3}); err != nil {
			t.Errorf("%v: %v", o, err)
		}
	}
	r := f(1, -2, 3, 0.5, 1, 1, 2)
	for what, p := range map[string][2]*mlx.Array{
		"real":      {pull(plain(mlx.Real), r), r.AsType(mlx.Complex64)},
		"imag":      {pull(plain(mlx.Imag), r), r.Mul(-1i)},
		"conjugate": {pull(plain(mlx.Conjugate), c), mlx.Conjugate(c)},
		"abs":       {pull(plain(mlx.Abs), r), mlx.Conjugate(mlx.Sign(z)).Mul(r)},
		"abs of 0":  {pull(func(x *mlx.Array) *mlx.Array { return mlx.Abs(x.Mul(0)) }, r), mlx.ZerosLike(z)},
		"logaddexp": {pull(func(x *mlx.Array) *mlx.Array { return mlx.LogAddExp(x, 0.5i) }, c),
			c.Mul(mlx.Exp(z)).Div(mlx.Exp(z).Add(cmplx.Exp(0.5i)))},
	} {
		if err := Diff(p[0], p[1], Tol{Each: 1e-5, Abs: 1e-5}); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestExactRounding: round of integers to tens is exact at the ends of their range.
func TestExactRounding(t *testing.T) {
	for what, c := range map[string]struct{ got, want *mlx.Array }{
		"uint8":   {mlx.Round(u8(0, 5, 15, 25, 14, 250, 249), -1), u8(0, 0, 20, 20, 10, 250, 250)},
		"int8":    {mlx.Round(i8(-128, -50, 50, 51, 127, -51), -2), i8(-100, 0, 0, 100, 100, -100)},
		"int32":   {mlx.Round(i32(2147483640, -2147483645, 16777217), -1), i32(2147483640, -2147483640, 16777220)},
		"int64":   {mlx.Round(mlx.FromSlice([]int64{1<<53 + 1}), -1), mlx.FromSlice([]int64{9007199254740990})},
		"too far": {mlx.Round(u8(255), -3), u8(0)},
		"bool":    {mlx.Round(arr([]bool{true}), -1), arr([]bool{false})},
		"places":  {mlx.Round(i32(16777217), 3), i32(16777217)},
		"uint64":  {mlx.Round(mlx.FromSlice([]uint64{14e18, 4e18}), -19), mlx.FromSlice([]uint64{1e19, 0})},
	} {
		if err := Diff(c.got, c.want, Exact); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// TestCloseOfIntegers: integers are subtracted exactly, where unsigned ones of MLX wrap.
func TestCloseOfIntegers(t *testing.T) {
	for what, c := range map[string]struct {
		close *mlx.Array
		want  bool
	}{
		"uint8 1 and 2 within 1":           {mlx.AllClose(u8(1), u8(2), mlx.ATol(1)), true},
		"uint8 0 and 255":                  {mlx.AllClose(u8(0), u8(255), mlx.ATol(1)), false},
		"int8 -128 and 127 within 255":     {mlx.AllClose(i8(-128), i8(127), mlx.ATol(255)), true},
		"int8 -128 and 127 within 1":       {mlx.AllClose(i8(-128), i8(127), mlx.ATol(1)), false},
		"bool":                             {mlx.AllClose(arr([]bool{true}), arr([]bool{false})), false},
		"uint64":                           {mlx.AllClose(mlx.FromSlice([]uint64{1 << 63}), mlx.FromSlice([]uint64{1<<63 + 1})), true},
		"complex64":                        {mlx.AllClose(c64(1+1i), c64(1+1.000001i)), true},
		"bfloat16 1 and 1.0078":            {mlx.AllClose(f(1).AsType(mlx.BFloat16), f(1.0078125).AsType(mlx.BFloat16)), false},
		"float64 1 and 1+1e-12 within 0":   {mlx.AllClose(mlx.FromSlice([]float64{1}), mlx.FromSlice([]float64{1 + 1e-12}), mlx.RTol(0), mlx.ATol(0)), false},
		"a number and an array":            {mlx.AllClose(1, f(1, 1)), true},
		"arrays of equal NaN, not allowed": {mlx.AllClose(f(nan), f(nan)), false},
	} {
		if got := mlx.Item[bool](c.close); got != c.want {
			t.Errorf("%s: %v", what, got)
		}
	}
	if err := mlx.Try(func() { mlx.ArrayEqual(f(1), f(1), mlx.RTol(1)) }); err == nil {
		t.Error("array_equal takes a tolerance")
	}
}
