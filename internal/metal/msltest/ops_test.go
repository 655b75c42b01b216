//go:build linux && metalemu && cgo

package msltest

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// Expressions of floats a, b, c and what they are.
func TestMath(t *testing.T) {
	type op struct {
		code string
		want func(a, b, c float64) float64
	}
	one := func(f func(float64) float64) func(a, b, c float64) float64 {
		return func(a, _, _ float64) float64 { return f(a) }
	}
	two := func(f func(a, b float64) float64) func(a, b, c float64) float64 {
		return func(a, b, _ float64) float64 { return f(a, b) }
	}
	truth := func(b bool) float64 {
		if b {
			return 1
		}
		return 0
	}
	clamp := func(x, lo, hi float64) float64 { return min(max(x, lo), hi) }
	ops := []op{
		{"exp(a)", one(math.Exp)}, {"exp2(a)", one(math.Exp2)}, {"exp10(a)", func(a, _, _ float64) float64 { return math.Pow(10, a) }},
		{"log(b)", two(func(_, b float64) float64 { return math.Log(b) })}, {"log2(b)", two(func(_, b float64) float64 { return math.Log2(b) })},
		{"log10(b)", two(func(_, b float64) float64 { return math.Log10(b) })}, {"sqrt(b)", two(func(_, b float64) float64 { return math.Sqrt(b) })},
		{"rsqrt(b)", two(func(_, b float64) float64 { return 1 / math.Sqrt(b) })}, {"sin(a)", one(math.Sin)}, {"cos(a)", one(math.Cos)},
		{"tan(a)", one(math.Tan)}, {"asin(a / 4)", one(func(a float64) float64 { return math.Asin(a / 4) })},
		{"acos(a / 4)", one(func(a float64) float64 { return math.Acos(a / 4) })}, {"atan(a)", one(math.Atan)},
		{"sinh(a)", one(math.Sinh)}, {"cosh(a)", one(math.Cosh)}, {"tanh(a)", one(math.Tanh)}, {"asinh(a)", one(math.Asinh)},
		{"acosh(b + 1)", two(func(_, b float64) float64 { return math.Acosh(b + 1) })}, {"atanh(a / 4)", one(func(a float64) float64 { return math.Atanh(a / 4) })},
		{"sinpi(a)", one(func(a float64) float64 { return math.Sin(math.Pi * a) })}, {"cospi(a)", one(func(a float64) float64 { return math.Cos(math.Pi * a) })},
		{"floor(a)", one(math.Floor)}, {"ceil(a)", one(math.Ceil)}, {"trunc(a)", one(math.Trunc)}, {"rint(a)", one(math.RoundToEven)}, {"round(a)", one(math.Round)},
		{"fract(a)", one(func(a float64) float64 { return a - math.Floor(a) })}, {"fabs(a)", one(math.Abs)}, {"abs(a)", one(math.Abs)},
		{"sign(a)", one(func(a float64) float64 { return truth(a > 0) - truth(a < 0) })}, {"saturate(a)", one(func(a float64) float64 { return clamp(a, 0, 1) })},
		{"atan2(a, b)", two(math.Atan2)}, {"pow(b, a)", two(func(a, b float64) float64 { return math.Pow(b, a) })}, {"powr(b, a)", two(func(a, b float64) float64 { return math.Pow(b, a) })},
		{"fmod(a, b)", two(math.Mod)}, {"fmin(a, b)", two(math.Min)}, {"fmax(a, b)", two(math.Max)}, {"min(a, b)", two(math.Min)}, {"max(a, b)", two(math.Max)},
		{"copysign(b, a)", two(func(a, b float64) float64 { return math.Copysign(b, a) })}, {"fdim(a, b)", two(math.Dim)}, {"divide(a, b)", two(func(a, b float64) float64 { return a / b })},
		{"step(c, a)", func(a, _, c float64) float64 { return truth(a >= c) }}, {"fma(a, b, c)", func(a, b, c float64) float64 { return a*b + c }},
		{"mix(a, b, c)", func(a, b, c float64) float64 { return a + (b-a)*c }}, {"clamp(a, -1.0, b)", func(a, b, _ float64) float64 { return clamp(a, -1, b) }},
		{"median3(a, b, c)", func(a, b, c float64) float64 { return max(min(a, b), min(max(a, b), c)) }},
		{"min3(a, b, c)", func(a, b, c float64) float64 { return min(a, b, c) }}, {"max3(a, b, c)", func(a, b, c float64) float64 { return max(a, b, c) }},
		{"smoothstep(0.0, 1.0, c)", func(_, _, c float64) float64 { x := clamp(c, 0, 1); return x * x * (3 - 2*x) }},
		{"ldexp(a, 3)", one(func(a float64) float64 { return math.Ldexp(a, 3) })}, {"precise::exp(a)", one(math.Exp)}, {"fast::exp(a)", one(math.Exp)},
		{"metal::precise::divide(a, b)", two(func(a, b float64) float64 { return a / b })}, {"select(a, b, c > 0)", func(a, b, c float64) float64 {
			if c > 0 {
				return b
			}
			return a
		}},
		{"isnan(a / 0.0 - a / 0.0) + 2 * isinf(a / 0.0) + 4 * isfinite(a) + 8 * signbit(a)", one(func(a float64) float64 { return 1 + 2 + 4 + 8*truth(a < 0) })},
		{"dot(float3(a, b, c), float3(1, 2, 3))", func(a, b, c float64) float64 { return a + 2*b + 3*c }},
		{"length(float2(a, b))", two(math.Hypot)}, {"cross(float3(a, b, c), float3(1, 2, 3)).y", func(a, b, c float64) float64 { return c*1 - a*3 }},
		{"exp(float4(a, b, c, 0)).x", one(math.Exp)}, {"max(float2(a), float2(b)).y", two(math.Max)},
		{"float(any(float2(a, b) > 0) ? all(float2(a, b) > 0) : 0)", two(func(a, b float64) float64 { return truth(a > 0 && b > 0) })},
		{"pow(a, 2)", one(func(a float64) float64 { return a * a })}, {"max(a, half(1.0h))", one(func(a float64) float64 { return max(a, 1) })},
	}
	var body strings.Builder
	for i, o := range ops {
		fmt.Fprintf(&body, "  out[%d * n + i] = static_cast<float>(%s);\n", i, o.code)
	}
	k := kernelOf(t, load(t, header+`
kernel void ops(const device float* x [[buffer(0)]], device float* out [[buffer(1)]], constant uint& n [[buffer(2)]], uint i [[thread_position_in_grid]]) {
  const float a = x[3 * i], b = x[3 * i + 1], c = x[3 * i + 2];
`+body.String()+"}\n"), "ops")
	const n = 50
	x := normal(source(5), 3*n)
	for i := range n {
		x[3*i] = max(-3.9, min(x[3*i], 3.9))
		x[3*i+1] = 0.1 + float32(math.Abs(float64(x[3*i+1])))
	}
	out := make([]float32, n*len(ops))
	run(t, k, line(n, 32, at(x), at(out), at([]uint32{n})))
	for o, op := range ops {
		for i := range n {
			a, b, c := float64(x[3*i]), float64(x[3*i+1]), float64(x[3*i+2])
			want, got := op.want(a, b, c), float64(out[o*n+i])
			if math.Abs(got-want) > 2e-6*max(1, math.Abs(want)) {
				t.Errorf("%s with %g, %g, %g is %g, not %g", op.code, a, b, c, got, want)
				break
			}
		}
	}
}

// Expressions that have a known value, of all kinds of types.
func TestValues(t *testing.T) {
	cases := []struct {
		code string
		want float64
	}{
		{"popcount(0xf0f0u)", 8}, {"popcount(static_cast<uchar>(255))", 8}, {"popcount(ulong(1) << 40 | 1)", 2}, {"popcount(short(-1))", 16},
		{"clz(1u)", 31}, {"clz(static_cast<ushort>(1))", 15}, {"clz(0u)", 32}, {"clz(static_cast<uchar>(0))", 8}, {"ctz(8u)", 3}, {"ctz(0)", 32}, {"clz(uint2(1, 2)).y", 30},
		{"reverse_bits(1u)", 1 << 31}, {"reverse_bits(static_cast<uchar>(1))", 128}, {"mulhi(0x80000000u, 6u)", 3}, {"mulhi(-2147483647 - 1, 6)", -3},
		{"rotate(0x80000001u, 4u)", 0x18}, {"rotate(static_cast<uchar>(0x81), static_cast<uchar>(1))", 3}, {"absdiff(-3, 4)", 7}, {"absdiff(3u, 4u)", 1},
		{"hadd(7u, 8u)", 7}, {"rhadd(7u, 8u)", 8}, {"addsat(static_cast<char>(100), static_cast<char>(100))", 127}, {"subsat(3u, 4u)", 0}, {"addsat(0xffffffffu, 1u)", 0xffffffff},
		{"extract_bits(0xabcdu, 4, 8)", 0xbc}, {"extract_bits(int(0x80), 4, 4)", -8}, {"insert_bits(0xffffu, 0u, 4, 8)", 0xf00f}, {"madhi(0x80000000u, 2u, 5u)", 6}, {"mul24(3u, 5u)", 15},
		{"abs(-5)", 5}, {"abs(static_cast<char>(-5))", 5}, {"max(3u, 4u)", 4}, {"min(int3(1, 5, 3), int3(2)).y", 2}, {"clamp(9, 1, 5)", 5}, {"abs(int2(-3, 4)).x", 3},
		{"as_type<uint>(1.0f)", 0x3f800000}, {"as_type<ushort>(1.0h)", 0x3c00}, {"as_type<float>(0x40000000)", 2}, {"as_type<half2>(0x3c004000u).y", 1}, {"as_type<uchar4>(0x01020304u).w", 1},
		{"as_type<ushort>(static_cast<bfloat>(1.0f))", 0x3f80}, {"static_cast<float>(static_cast<bfloat>(1.01f))", 1.0078125}, {"static_cast<float>(static_cast<bfloat>(3))", 3},
		{"float4(1, 2, 3, 4).wzyx.y", 3}, {"float4(float2(1, 2), 3, 4).z", 3}, {"float3(7).z", 7}, {"float4(half4(1.5h)).w", 1.5}, {"int2(float2(2.7, -2.7)).y", -2},
		{"((float4)int4(1, 2, 3, 4)).z", 3}, {"((half2)float2(0.5, 1.5))[1]", 1.5}, {"vec<float, 4>(1, 2, 3, 4).y", 2}, {"metal::vec<int, 2>(5).x", 5}, {"metal::float2(1, 9).y", 9},
		{"three(1, 2, 3).y", 2}, {"packed(4).x", 4}, {"bfloat4(1.0f, 2.0f, 3.0f, 4.0f).z", 3}, {"uchar4(1, 2, 3, 255).w", 255}, {"bool2(true, false)[1]", 0}, {"long2(1, 2).y", 2},
		{"bits()", 5}, {"declared()", 6}, {"sizeof(packed_float3)", 12}, {"sizeof(float3)", 16}, {"sizeof(half4)", 8}, {"sizeof(bool)", 1}, {"sizeof(long)", 8}, {"alignof(float4)", 16}, {"sizeof(bfloat)", 2},
		{"numeric_limits<int>::max()", math.MaxInt32}, {"numeric_limits<uchar>::max()", 255}, {"numeric_limits<char>::lowest()", -128}, {"numeric_limits<half>::max()", 65504}, {"numeric_limits<float>::lowest()", -math.MaxFloat32},
		{"metal::numeric_limits<bfloat>::epsilon()", 1.0 / 128}, {"-numeric_limits<float>::infinity()", math.Inf(-1)}, {"HALF_MAX", 65504}, {"INT_MAX", math.MaxInt32},
		{"1.5", 1.5}, {"1e3", 1000}, {".5", 0.5}, {"0x1p-2", 0.25}, {"0x1.8p1f", 3}, {"sizeof(1.0)", 4}, {"sizeof(1.0h)", 2}, {"sizeof(1e-3)", 4}, {"table[2]", 30}, {"is_same_v<float, half>", 0}, {"is_signed_v<bfloat>", 1},
		{"conditional_t<true, float, int>(1.5)", 1.5}, {"holder<3>::value", 3}, {"twice(float2(1, 2)).y", 4}, {"array_sum()", 6}, {"by_reference()", 12}, {"made<half>(static_cast<bfloat>(1.5f))", 1.5}, {"made<float2>(half2(1, 2)).y", 2}, {"made<bfloat>(1.5h)", 1.5}, {"made<int2>(float2(1.7, 2.7)).y", 2}, {"made<pair>(pair{1, 2}).b", 2}, {"float2x2(float2(1, 2), float2(3, 4))[1].x", 3}, {"(float2x2(2.0) * float2(3, 4)).y", 8},
		{"__METAL_VERSION__", 310}, {"parts()", 2.25}, {"static_cast<float>(bfloat(2.0f) * bfloat(3.0f))", 6}, {"1 > 0 ? 2 : 3", 2}, {"select(int2(1, 2), int2(3, 4), bool2(false, true)).y", 4},
	}
	var body strings.Builder
	for i, c := range cases {
		fmt.Fprintf(&body, "  out[%d] = static_cast<float>(%s);\n", i, c.code)
	}
	text := header + `
using three = vec<float, 3>;
typedef metal::int2 packed;
constant float table[] = {10, 20, 30};
template <int N> struct holder { static constant constexpr int value = N; };
template <typename T> T twice(T x) { return x + x; }
struct pair { float a; float b; };
template <typename T, typename U> T made(U x) { return T(x); }
inline float bits() { float2 v(2, 3); return v.x + v.y; }
inline float declared() { const vec<half, 2> v(2.0h, 4.0h); three w(0.0f); return static_cast<float>(v.x + v.y) + w.z; }
inline float array_sum() { pair p = {1, 2}; thread float q[3] = {p.a, p.b, 3}; float s = 0; for (int i = 0; i < 3; i++) s += q[i]; return s; }
inline void change(thread float& x, const thread float* y) { x = *y * 4; }
inline float by_reference() { float x = 0, y = 3; change(x, &y); return x; }
inline float parts() { float whole; float rest = modf(2.25, whole); int e; frexp(8.0, e); float c; sincos(0.0, c); return whole + rest + static_cast<float>(e - 4) + c - 1; }
kernel void values(device float* out [[buffer(0)]]) {
` + body.String() + "}\n"
	lib := load(t, text)
	out := make([]float32, len(cases))
	run(t, kernelOf(t, lib, "values"), line(1, 1, at(out)))
	for i, c := range cases {
		if got := out[i]; got != float32(c.want) {
			t.Errorf("%s is %v, not %v", c.code, got, float32(c.want))
		}
	}
	if err := parse(t, text).Check(Strict); err != nil {
		t.Errorf("strict: %v", err)
	}
}

// What a thread knows of itself, in a ragged grid of three dimensions.
func TestPositions(t *testing.T) {
	k := kernelOf(t, load(t, header+`
kernel void where(device uint* out [[buffer(0)]], uint3 at [[thread_position_in_grid]], uint3 in [[thread_position_in_threadgroup]],
                  ushort3 group [[threadgroup_position_in_grid]], uint3 threads [[threads_per_threadgroup]],
                  uint3 full [[dispatch_threads_per_threadgroup]], uint3 groups [[threadgroups_per_grid]], uint3 grid [[threads_per_grid]],
                  uint index [[thread_index_in_threadgroup]], ushort lane [[thread_index_in_simdgroup]], uint simd [[simdgroup_index_in_threadgroup]],
                  uint simds [[simdgroups_per_threadgroup]], uint width [[threads_per_simdgroup]], uint x [[thread_position_in_grid]],
                  uint quad [[quadgroup_index_in_threadgroup]], uint2 flat [[thread_position_in_grid]]) {
  device uint* o = out + ((at.z * grid.y + at.y) * grid.x + at.x) * 12;
  o[0] = in.x | in.y << 8 | in.z << 16;
  o[1] = group.x | group.y << 8 | group.z << 16;
  o[2] = threads.x | threads.y << 8 | threads.z << 16;
  o[3] = full.x | full.y << 8 | full.z << 16;
  o[4] = groups.x | groups.y << 8 | groups.z << 16;
  o[5] = index;
  o[6] = lane | simd << 8 | simds << 16;
  o[7] = width;
  o[8] = x;
  o[9] = quad;
  o[10] = flat.y;
  o[11] += 1;
}
`), "where")
	grid, group := [3]int{13, 5, 3}, [3]int{8, 4, 2}
	out := make([]uint32, grid[0]*grid[1]*grid[2]*12)
	run(t, k, Launch{Buffers: line(1, 1, at(out)).Buffers, Grid: grid, Group: group})
	pack := func(v [3]int) uint32 { return uint32(v[0] | v[1]<<8 | v[2]<<16) }
	for z := range grid[2] {
		for y := range grid[1] {
			for x := range grid[0] {
				at := [3]int{x, y, z}
				var in, pos, size, groups [3]int
				for d := range 3 {
					pos[d], in[d] = at[d]/group[d], at[d]%group[d]
					size[d] = min(group[d], grid[d]-pos[d]*group[d])
					groups[d] = (grid[d] + group[d] - 1) / group[d]
				}
				index := (in[2]*size[1]+in[1])*size[0] + in[0]
				simds := (size[0]*size[1]*size[2] + 31) / 32
				want := []uint32{pack(in), pack(pos), pack(size), pack(group), pack(groups), uint32(index),
					pack([3]int{index % 32, index / 32, simds}), 32, uint32(x), uint32(index / 4), uint32(y), 1}
				for i, w := range want {
					if got := out[((z*grid[1]+y)*grid[0]+x)*12+i]; got != w {
						t.Fatalf("thread %v: value %d is %#x, not %#x", at, i, got, w)
					}
				}
			}
		}
	}
}

func TestAtomics(t *testing.T) {
	k := kernelOf(t, load(t, header+`
kernel void count(device atomic_int* i [[buffer(0)]], device atomic<uint>* u [[buffer(1)]], device atomic_float* f [[buffer(2)]],
                  device atomic_ulong* l [[buffer(3)]], device atomic_bool* b [[buffer(4)]], uint n [[thread_position_in_grid]]) {
  threadgroup atomic_uint shared[1];
  if (n % 64 == 0) atomic_store_explicit(shared, 0u, memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  atomic_fetch_add_explicit(&shared[0], 1, memory_order_relaxed);
  threadgroup_barrier(mem_flags::mem_threadgroup);
  if (n % 64 == 0) atomic_fetch_add_explicit(u, atomic_load_explicit(shared, memory_order_relaxed), memory_order_relaxed);
  atomic_fetch_sub_explicit(i, 1, memory_order_relaxed);
  atomic_fetch_max_explicit(i + 1, static_cast<int>(n), memory_order_relaxed);
  atomic_fetch_min_explicit(i + 2, -static_cast<int>(n), memory_order_relaxed);
  atomic_fetch_or_explicit(u + 1, 1u << n % 32, memory_order_relaxed);
  atomic_fetch_and_explicit(u + 2, ~(1u << n % 16), memory_order_relaxed);
  atomic_fetch_xor_explicit(u + 3, 1u, memory_order_relaxed);
  atomic_fetch_add_explicit(f, 0.5f, memory_order_relaxed);
  atomic_max_explicit(l, static_cast<ulong>(n) << 33, memory_order_relaxed);
  atomic_store_explicit(b, true, memory_order_relaxed);
  uint old = atomic_load_explicit(u + 4, memory_order_relaxed);
  while (!atomic_compare_exchange_weak_explicit(u + 4, &old, old + 2, memory_order_relaxed, memory_order_relaxed)) {}
}
`), "count")
	const n = 1024
	i, u, f, l, b := make([]int32, 3), []uint32{0, 0, math.MaxUint32, 0, 0}, make([]float32, 1), make([]uint64, 1), make([]bool, 1)
	run(t, k, line(n, 64, at(i), at(u), at(f), at(l), at(b)))
	got := fmt.Sprint(i, u, f, l, b)
	want := fmt.Sprint([]int{-n, n - 1, -n + 1}, []uint32{n, math.MaxUint32, 0xffff0000, 0, 2 * n}, []int{n / 2}, []uint64{(n - 1) << 33}, []bool{true})
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// Function constants: two specializations of one compilation, derived constants,
// parameters that are there or not, and what is refused.
func TestFunctionConstants(t *testing.T) {
	lib := load(t, header+`
constant bool has_bias [[function_constant(0)]];
constant int count [[function_constant(1)]];
constant float scale [[function_constant(2)]];
constant uint unused [[function_constant(3)]];
constant bool many = count > 3;
constant float factor = is_function_constant_defined(scale) ? scale : 1.0f;
inline float helper() { return many ? 1000.0f : 0.0f; }
kernel void f(device float* out [[buffer(0)]], const device float* bias [[buffer(1), function_constant(has_bias)]],
              const device float* more [[buffer(2)]] [[function_constant(many)]], uint i [[thread_position_in_grid]]) {
  float x = static_cast<float>(count) * factor + helper();
  if (has_bias) x += bias[i];
  if (many) x += more[i];
  out[i] = x;
}
kernel void g(device float* out [[buffer(0)]]) { out[0] = 1; }
`)
	c := func(index int, value any) gpu.Const { return gpu.Const{Index: index, Value: value} }
	bias, more := []float32{1, 2}, []float32{100, 200}
	for _, test := range []struct {
		consts   []gpu.Const
		want     float32
		bindings int
	}{
		{[]gpu.Const{c(0, true), c(1, int32(3)), c(2, float32(0.5))}, 2.5, 2},
		{[]gpu.Const{c(0, false), c(1, int32(3))}, 3, 1},
		{[]gpu.Const{c(1, int32(4)), c(0, true)}, 1105, 3},
		{[]gpu.Const{c(0, true), c(1, int32(3)), c(2, float32(0.5)), c(77, uint32(1))}, 2.5, 2},
		{[]gpu.Const{c(0, false), c(1, int32(-3))}, -3, 1},
	} {
		k := kernelOf(t, lib, "f", test.consts...)
		out := make([]float32, 2)
		run(t, k, line(2, 2, at(out), at(bias), at(more)))
		if out[0] != test.want || len(k.Bindings) != test.bindings {
			t.Errorf("%v: %g with %d arguments, not %g with %d", test.consts, out[0], len(k.Bindings), test.want, test.bindings)
		}
	}
	kernelOf(t, lib, "g")
	for _, test := range []struct {
		consts []gpu.Const
		want   string
	}{
		{[]gpu.Const{c(1, int32(3))}, "kernel f needs a value of function constant 0 (has_bias)"},
		{[]gpu.Const{c(0, true)}, "kernel f needs a value of function constant 1 (count)"},
		{[]gpu.Const{c(0, true), c(1, uint32(3))}, "kernel f: function constant 1 (count) is int, and the value given is uint"},
		{[]gpu.Const{c(0, true), c(0, true), c(1, int32(3))}, "kernel f: function constant 0 is given twice"},
		{[]gpu.Const{c(0, 1)}, "kernel f: function constant 0 is a int, not bool, int32, uint32 or float32"},
	} {
		if _, err := lib.Kernel("f", test.consts...); err == nil || err.Error() != test.want {
			t.Errorf("%v: %v, want %s", test.consts, err, test.want)
		}
	}
	if _, err := lib.Kernel("h"); err == nil || err.Error() != "test.metal has no kernel h" {
		t.Error(err)
	}
}

// Bindings say what arguments must be.
func TestBindings(t *testing.T) {
	k := kernelOf(t, load(t, header+`
struct Params { float4 a; int b; };
kernel void f(device half* x [[buffer(0)]], constant Params& p [[buffer(3)]], device uint4* y, threadgroup float* s [[threadgroup(1)]],
              uint i [[thread_position_in_grid]]) {
  x[i] = static_cast<half>(p.b + y[i].x + s[0]);
}
`), "f")
	want := []Binding{{false, 0, 0, 2}, {false, 3, 32, 16}, {false, 4, 0, 16}, {true, 1, 0, 4}}
	if got := fmt.Sprint(k.Bindings); got != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}
