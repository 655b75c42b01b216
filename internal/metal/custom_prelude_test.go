//go:build linux && metalemu

package metal_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

// variants are functions with a fast and a precise variant, of x in (0, 1) and y in (1, 3).
var variants = map[string]func(x, y float64) float64{
	"acos(x)":     func(x, y float64) float64 { return math.Acos(x) },
	"acosh(y)":    func(x, y float64) float64 { return math.Acosh(y) },
	"asin(x)":     func(x, y float64) float64 { return math.Asin(x) },
	"asinh(y)":    func(x, y float64) float64 { return math.Asinh(y) },
	"atan(y)":     func(x, y float64) float64 { return math.Atan(y) },
	"atanh(x)":    func(x, y float64) float64 { return math.Atanh(x) },
	"atan2(x, y)": func(x, y float64) float64 { return math.Atan2(x, y) },
	"cos(x)":      func(x, y float64) float64 { return math.Cos(x) },
	"cosh(y)":     func(x, y float64) float64 { return math.Cosh(y) },
	"exp(y)":      func(x, y float64) float64 { return math.Exp(y) },
	"exp2(y)":     func(x, y float64) float64 { return math.Exp2(y) },
	"exp10(x)":    func(x, y float64) float64 { return math.Pow(10, x) },
	"log(x)":      func(x, y float64) float64 { return math.Log(x) },
	"log2(x)":     func(x, y float64) float64 { return math.Log2(x) },
	"log10(x)":    func(x, y float64) float64 { return math.Log10(x) },
	"pow(y, x)":   func(x, y float64) float64 { return math.Pow(y, x) },
	"rsqrt(y)":    func(x, y float64) float64 { return 1 / math.Sqrt(y) },
	"sin(y)":      func(x, y float64) float64 { return math.Sin(y) },
	"sinh(y)":     func(x, y float64) float64 { return math.Sinh(y) },
	"sqrt(y)":     func(x, y float64) float64 { return math.Sqrt(y) },
	"tan(x)":      func(x, y float64) float64 { return math.Tan(x) },
	"tanh(x)":     func(x, y float64) float64 { return math.Tanh(x) },
}

// others are the rest; n is -y.
var others = map[string]func(x, y float64) float64{
	"abs(n)":           func(x, y float64) float64 { return y },
	"fabs(n)":          func(x, y float64) float64 { return y },
	"ceil(y)":          func(x, y float64) float64 { return math.Ceil(y) },
	"cospi(x)":         func(x, y float64) float64 { return math.Cos(math.Pi * x) },
	"divide(x, y)":     func(x, y float64) float64 { return x / y },
	"fdim(y, x)":       func(x, y float64) float64 { return y - x },
	"fdim(x, y)":       func(x, y float64) float64 { return 0 },
	"floor(n)":         func(x, y float64) float64 { return math.Floor(-y) },
	"fma(x, y, n)":     func(x, y float64) float64 { return x*y - y },
	"fmax(x, n)":       func(x, y float64) float64 { return x },
	"fmax3(n, x, y)":   func(x, y float64) float64 { return y },
	"fmedian3(y, n,x)": func(x, y float64) float64 { return x },
	"fmin(x, n)":       func(x, y float64) float64 { return -y },
	"fmin3(x, y, n)":   func(x, y float64) float64 { return -y },
	"fmod(y, x)":       func(x, y float64) float64 { return math.Mod(y, x) },
	"fract(y)":         func(x, y float64) float64 { return y - math.Floor(y) },
	"ldexp(x, 3)":      func(x, y float64) float64 { return 8 * x },
	"max(x, n)":        func(x, y float64) float64 { return x },
	"max3(x, y, n)":    func(x, y float64) float64 { return y },
	"median3(x, y, n)": func(x, y float64) float64 { return x },
	"min(x, n)":        func(x, y float64) float64 { return -y },
	"min3(x, y, n)":    func(x, y float64) float64 { return -y },
	"powr(y, x)":       func(x, y float64) float64 { return math.Pow(y, x) },
	"rint(y)":          func(x, y float64) float64 { return math.RoundToEven(y) },
	"round(n)":         func(x, y float64) float64 { return math.Round(-y) },
	"sinpi(x)":         func(x, y float64) float64 { return math.Sin(math.Pi * x) },
	"tanpi(x)":         func(x, y float64) float64 { return math.Tan(math.Pi * x) },
	"trunc(n)":         func(x, y float64) float64 { return math.Trunc(-y) },
	"frexp(y, e)":      func(x, y float64) float64 { f, _ := math.Frexp(y); return f },
}

// TestCustomPrelude: the math of bfloat, which gives bfloat, against float64.
func TestCustomPrelude(t *testing.T) {
	exprs, funcs := []string{"log1p(x)"}, []func(x, y float64) float64{func(x, y float64) float64 { return math.Log1p(x) }}
	for _, space := range []string{"metal::", "metal::fast::", "metal::precise::"} {
		for e, f := range variants {
			exprs, funcs = append(exprs, space+e), append(funcs, f)
		}
	}
	for e, f := range others {
		exprs, funcs = append(exprs, "metal::"+e), append(funcs, f)
	}
	const n = 32
	var body strings.Builder
	body.WriteString("uint i = thread_position_in_grid.x;\nint e = 0;\nbfloat x = a[i];\nbfloat y = b[i];\nbfloat n = -y;\n")
	for k, e := range exprs {
		fmt.Fprintf(&body, "{\n  bfloat r = %s;\n  o[%d + i] = r;\n}\n", e, k*n)
	}
	x, y := make([]float32, n), make([]float32, n)
	for i := range x {
		x[i], y[i] = 0.02+float32(i)*0.03, 1.05+float32(i)*0.06
	}
	a, b := mlx.FromSlice(x).AsType(mlx.BFloat16), mlx.FromSlice(y).AsType(mlx.BFloat16)
	k := &fast.MetalKernel{Name: "math", InputNames: []string{"a", "b"}, OutputNames: []string{"o"}, Source: body.String()}
	out := floatsOf(k.Call(on1(n, mlx.Shape{len(exprs), n}, mlx.BFloat16, a, b))[0])
	xs, ys := floatsOf(a), floatsOf(b)
	for k, f := range funcs {
		for i := range xs {
			got, want := out[k*n+i], f(xs[i], ys[i])
			if !(math.Abs(got-want) <= 0x1p-8*math.Abs(want)+1e-6) {
				t.Errorf("%s is %v for x = %v, y = %v, want %v", exprs[k], got, xs[i], ys[i], want)
				break
			}
		}
	}
}

// TestCustomPreludeSimd: simdgroup functions of bfloat, and shuffles of 64 bits and of bool.
func TestCustomPreludeSimd(t *testing.T) {
	exprs := []string{
		"simd_sum(v)", "simd_max(v)", "simd_min(v)", "simd_product(w)", "simd_prefix_inclusive_sum(v)", "simd_prefix_exclusive_sum(v)",
		"simd_prefix_inclusive_product(w)", "simd_prefix_exclusive_product(w)", "simd_broadcast(v, ushort(3))", "simd_shuffle(v, ushort(31 - i))",
		"simd_shuffle_down(v, ushort(2))", "simd_shuffle_up(v, ushort(2))", "simd_shuffle_xor(v, ushort(1))",
		"simd_shuffle_rotate_down(v, ushort(1))", "simd_shuffle_rotate_up(v, ushort(1))",
		"simd_shuffle_and_fill_down(v, f, ushort(4))", "simd_shuffle_and_fill_up(v, f, ushort(4))",
		"simd_shuffle_and_fill_down(v, f, ushort(2), ushort(8))", "simd_shuffle_and_fill_up(v, f, ushort(2), ushort(8))",
	}
	var body strings.Builder
	body.WriteString("uint i = thread_position_in_grid.x;\nbfloat v = a[i];\nbfloat w = v > bfloat(16) ? bfloat(2) : bfloat(1);\nbfloat f = bfloat(-1) - v;\n")
	for k, e := range exprs {
		fmt.Fprintf(&body, "{\n  bfloat r = %s;\n  o[%d + i] = r;\n}\n", e, k*32)
	}
	body.WriteString(`
    int64_t big = int64_t(i) - (int64_t(1) << 40);
    uint64_t wide = uint64_t(i) << 40;
    p[i] = simd_shuffle_xor(big, ushort(1));
    p[32 + i] = simd_shuffle_xor(wide, ushort(2)) >> 40;
    p[64 + i] = simd_shuffle_xor(bool(i & 1), ushort(1));
`)
	v := make([]float32, 32)
	for i := range v {
		v[i] = float32(i)
	}
	k := &fast.MetalKernel{Name: "simd", InputNames: []string{"a"}, OutputNames: []string{"o", "p"}, Source: body.String()}
	l := on1(32, mlx.Shape{len(exprs), 32}, mlx.BFloat16, mlx.FromSlice(v).AsType(mlx.BFloat16))
	l.OutputShapes, l.OutputDTypes = append(l.OutputShapes, mlx.Shape{3, 32}), append(l.OutputDTypes, mlx.Int64)
	out := k.Call(l)
	got, wide := floatsOf(out[0]), mlx.ToSlice[int64](out[1])
	half := func(x int) float64 { // of products: 2 for lanes above 16
		return math.Exp2(float64(max(0, x-16)))
	}
	near := func(want float64) float64 {
		return float64(mlx.Item[float32](mlx.NewArray(want).AsType(mlx.BFloat16).AsType(mlx.Float32)))
	}
	for i := range 32 {
		fill := func(from int, in bool, filled int) float64 {
			if in {
				return float64(from)
			}
			return float64(-1 - filled)
		}
		want := []float64{
			near(496), 31, 0, near(half(31)), near(float64(i * (i + 1) / 2)), near(float64(i * (i - 1) / 2)), half(i), half(i - 1),
			3, float64(31 - i), float64(i + 2), float64(i - 2), float64(i ^ 1), float64((i + 1) % 32), float64((i + 31) % 32),
			fill(i+4, i+4 < 32, i+4-32), fill(i-4, i >= 4, i-4+32),
			fill(i+2, i%8 < 6, i/8*8+i%8+2-8), fill(i-2, i%8 >= 2, i/8*8+i%8-2+8),
		}
		for k, w := range want {
			if strings.HasPrefix(exprs[k], "simd_shuffle_down") && i+2 > 31 || strings.HasPrefix(exprs[k], "simd_shuffle_up") && i < 2 {
				continue // undefined in Metal
			}
			if got[k*32+i] != w {
				t.Errorf("%s is %v in lane %d, want %v", exprs[k], got[k*32+i], i, w)
			}
		}
		if a, b, c := int64(i^1)-1<<40, int64(i^2), int64(i&1^1); wide[i] != a || wide[32+i] != b || wide[64+i] != c {
			t.Errorf("64 bits in lane %d: %d %d %d, want %d %d %d", i, wide[i], wide[32+i], wide[64+i], a, b, c)
		}
	}
}

// TestCustomPreludeUtilities: limits, neighbours, quotients, places of elements.
func TestCustomPreludeUtilities(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "utilities", InputNames: []string{"a"}, OutputNames: []string{"o"}, StridedInputs: true,
		Source: `
    o[0] = Limits<float>::max;
    o[1] = Limits<bfloat16_t>::min;
    o[2] = Limits<float16_t>::finite_max;
    o[3] = Limits<int8_t>::min;
    o[4] = Limits<bool>::max;
    o[5] = ceildiv(10, 4);
    o[6] = nextafter(bfloat(1), bfloat(2));
    o[7] = nextafter(bfloat(1), bfloat(0));
    o[8] = nextafter(bfloat(-1), bfloat(0));
    o[9] = nextafter(bfloat(0), bfloat(-1)) < bfloat(0);
    o[10] = elem_to_loc(7u, a_shape, a_strides, a_ndim);
    o[11] = elem_to_loc(uint3(1, 1, 1), a_shape, a_strides, a_ndim);
    o[12] = elem_to_loc_3(uint3(1, 1, 1), a_strides) + elem_to_loc_2(uint2(1, 2), a_strides) + elem_to_loc_1(2, a_strides[0]);
    o[13] = log1p(-1.0f);
    o[14] = log1p(1e-10f);
    o[15] = log1p(INFINITY);`,
	}
	inf := math.Inf(1)
	a := mlx.Transpose(mlx.Zeros(mlx.Shape{4, 3, 2})) // (2, 3, 4), strides 1, 2, 6
	got := floatsOf(k.Call(on1(1, mlx.Shape{16}, mlx.Float32, a))[0])
	want := []float64{inf, -inf, 65504, -128, 1, 3, 1 + 0x1p-7, 1 - 0x1p-8, -1 + 0x1p-8, 1, 3*6 + 2, 9, 9 + 4 + 2, -inf, float64(float32(1e-10)), inf}
	for i, w := range want {
		if got[i] != w {
			t.Errorf("o[%d] is %v, want %v", i, got[i], w)
		}
	}
}
