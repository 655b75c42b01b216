package msltest

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// kernelWith is a kernel with a body of one or more lines, which begins on line 7.
func kernelWith(body string) string {
	return `#include <metal_stdlib>
using namespace metal;
struct pair { float a; float b; };
void set(device float* p) { p[0] = 1; }
kernel void f(device float* a [[buffer(0)]], device bfloat* b [[buffer(1)]], constant float4& c [[buffer(2)]], device half* h [[buffer(3)]], uint i [[thread_position_in_grid]]) {
  threadgroup float s[32];
` + body + "\n}\n"
}

// What Metal refuses is found by the check that is meant to, with the line and in words of
// Metal; what it takes is not.
func TestCheck(t *testing.T) {
	for _, c := range []struct{ body, by, message string }{
		{"s[i] = 0; a[i] = s[i] + c.x; set(a + 3);", "", ""},
		{"b[i] = static_cast<bfloat>(a[i]); a[i] += b[i]; h[i] = static_cast<half>(b[i]);", "", ""},
		{"device float* q = a + 2; q[i] = q[i + 1]; thread float z[2] = {1, 2}; thread float* p = z; p[0] = z[1];", "", ""},
		{"const device pair* ps = reinterpret_cast<const device pair*>(a); pair p = ps[i]; a[i] = p.a;", "", ""},
		{"if constexpr (sizeof(float) == 4) a[i] = 1.0;", "", ""},

		{"b[i] = a[i];", "strict", "test.metal:7: error: assigning to 'bfloat' from incompatible type 'float'"},
		{"b[i] = exp(b[i]);", "strict", "test.metal:7: error: no matching function for call to 'exp'"},
		{"b[i] = simd_sum(b[i]);", "strict", "no matching function for call to 'simd_sum'"},
		{"a[i] = simd_sum((ulong)i);", "strict", "no matching function for call to 'simd_sum'"},
		{"a[i] = simd_shuffle(true, 1);", "strict", "no matching function for call to 'simd_shuffle'"},
		{"a[i] = max(b[i], b[i]);", "strict", "no matching function for call to 'max'"},
		{"a[i] = erf(a[i]);", "strict", "use of undeclared identifier 'erf'"},
		{"a[i] = log1p(a[i]);", "strict", "use of undeclared identifier 'log1p'"},
		{"\n\nc.x = 1;", "strict", "test.metal:9: error: cannot assign to"},
		{"float4 v = float4(1, 2);", "strict", "test.metal:7: error: the parts do not fill the vector"},
		{"int n = 3; float v[n]; a[i] = v[0];", "strict", "variable length array"},
		{"float x; a[i] = x;", "strict", "variable 'x' is uninitialized when used here"},
		{"device atomic<half>* n = reinterpret_cast<device atomic<half>*>(h); atomic_store_explicit(n, 1.0h, memory_order_relaxed);", "strict", "Metal has atomics of int, uint, bool, float and ulong"},
		{"simdgroup_matrix<half, 8, 8> m; simdgroup_load(m, a, 8);", "strict", "simdgroup_load: the pointer's type is not the matrix's"},
		{"simdgroup_matrix<float, 16, 8> m;", "strict", "Metal has matrices of 8 x 8 only"},
		{"atomic_thread_fence(mem_flags::mem_device);", "strict", "use of undeclared identifier 'atomic_thread_fence'"},

		{"set(s);", "spaces", "test.metal:7: error: no matching function for call to 'set'"},
		{"device float* q = s; q[0] = 1;", "spaces", "test.metal:7: error: cannot initialize a variable of type 'device float *' with"},
		{"threadgroup float* q = a; q[0] = 1;", "spaces", "cannot initialize a variable of type 'threadgroup float *' with"},
		{"float* q = a; q[0] = 1;", "spaces", "cannot initialize a variable of type 'float *' with"},

		{"double d = 1.0; a[i] = d;", "lint", "test.metal:7: Metal has no double"},
		{"a[i] = std::exp(a[i]);", "lint", "test.metal:7: Metal has no std::exp"},
		{"auto f = [](float x) { return x; }; a[i] = f(1);", "lint", "test.metal:7: Metal has no lambdas"},
		{"threadgroup float z = 1; a[i] = z;", "lint", "test.metal:7: threadgroup memory cannot be initialized: z"},
	} {
		source := kernelWith(c.body)
		p := parse(t, source)
		found := map[string]string{"lint": strings.Join(p.Lint(), "\n")}
		for _, mode := range []Mode{Strict, Spaces} {
			if err := p.Check(mode); err != nil {
				found[mode.String()] = err.Error()
				if !errors.Is(err, gpu.ErrCompile) {
					t.Errorf("%s: %v does not wrap ErrCompile", c.body, err)
				}
			}
		}
		for _, by := range []string{"lint", "strict", "spaces"} {
			switch {
			case by == "spaces" && c.by == "strict": // that finds it too
			case by == c.by && !strings.Contains(found[by], c.message):
				t.Errorf("%s: %s says %q, want %q", c.body, by, found[by], c.message)
			case by != c.by && found[by] != "" && c.by != "lint":
				t.Errorf("%s: %s says %q", c.body, by, found[by])
			}
		}
		if strings.Contains(found["strict"]+found["spaces"], "MSL_") || strings.Contains(found["spaces"], "address_space") {
			t.Errorf("%s: not in words of Metal: %v", c.body, found)
		}
	}
}

// Faults outside of a kernel's body.
func TestLint(t *testing.T) {
	for _, c := range []struct{ source, message string }{
		{"void g(float* p) { p[0] = 1; }", "1: a pointer or reference needs an address space: float* p"},
		{"template <typename T>\nstruct s { T v; void set(const T& x, int n = 2 * 3) { v = x; } };", "2: a pointer or reference needs an address space: const T& x"},
		{"kernel void f(float* p [[buffer(0)]]) {}", "1: a pointer or reference needs an address space: float* p"},
		{"void g() { threadgroup float s[4]; }", "1: a variable of threadgroup memory outside of a kernel: threadgroup float s[4]"},
		{"\nfloat x = 1;", "2: a variable of the program must be constant: x"},
		{"constexpr int n = 4;", "1: a variable of the program must be constant: n"},
		{"static float table[3] = {1, 2, 3};", "1: a variable of the program must be constant: table"},
		{"kernel void f(device float* p [[buffer(0)]], uint i) {}", "kernel f: the parameter has no attribute: uint i"},
		{"kernel void f(texture2d<float> p [[texture(0)]]) {}", "kernel f: [[texture]] is not known: texture2d<float> p"},
		{"kernel void f() {}\nkernel void f() {}", "2: there are two kernels f"},
		{"template [[host_name(\"f\")]] [[kernel]] decltype(g<int>) g<int>;", "1: g is no template of kernels"},
		{"struct s { virtual void f(); };", "1: Metal has no virtual functions"},
		{"constant int a [[function_constant(N)]];", "1: the index of function constant a is no number: N"},
	} {
		u := rewrite("# 1 \"t.metal\"\n" + c.source)
		if got := strings.ReplaceAll(strings.Join(u.lint, "\n"), "t.metal:", ""); got != c.message {
			t.Errorf("%s:\n got %q\nwant %q", c.source, got, c.message)
		}
	}
	for _, source := range []string{
		"constant float x = 1; constexpr constant int n = 4; static constant float t[] = {1, 2 * 3}; constant float y = f(a * b);",
		"template <typename T> struct s { T a; static constant constexpr int n = 1; s(T x) : a(x * 2) {} T operator()(T x) const { return x; } };",
		"enum class e { a, b = 2 }; union u { float f; int i; }; typedef struct { int x; } q; using z = float; namespace n { inline float f(thread float& x) { return x * x; } }",
		"template <typename T, typename U = enable_if_t<(sizeof(T) > 2)>> inline T g(const device T* p, constant U& u, T x = T(2) * 3) { return *p & x; }",
		"METAL_FUNC float f(float x) { float y[2] = {x, x}; return y[0] * y[1]; } static_assert(sizeof(int) * 2 == 8, \"x\");",
		"inline float4 operator+(float4 a, float b) { return a + float4(b); } struct d { d() = default; d(const thread d& o) = delete; };",
		"template <int N> METAL_FUNC vec<float, N> get(thread const vec<float, N>& a) { return a; } float h(float a) { return a ? 1 : 2; }",
		"struct s { int a[4]; float b : 3; device float* p; }; inline void f(threadgroup float (&x)[4], int y) {}",
	} {
		if u := rewrite(source); len(u.lint) > 0 {
			t.Errorf("%s: %q", source, u.lint)
		}
	}
}

// A recorder takes what a test is told.
type recorder struct{ said strings.Builder }

func (r *recorder) Helper()                      {}
func (r *recorder) Errorf(f string, args ...any) { fmt.Fprintf(&r.said, f+"\n", args...) }
func (r *recorder) Fatalf(f string, args ...any) { r.Errorf(f, args...) }

func TestCheckOfTests(t *testing.T) {
	needClang(t)
	for _, c := range []struct{ source, said string }{
		{kernelWith("a[i] = 1;"), ""},
		{"#include <metal_stdlib>\n", "x.metal has no kernels\n"},
		{kernelWith("b[i] = a[i];"), "strict: the kernel does not compile\nx.metal:7: error: assigning to 'bfloat' from incompatible type 'float'\n"},
	} {
		var r recorder
		Check(&r, "x.metal", c.source)
		if r.said.String() != c.said {
			t.Errorf("said %q, want %q", r.said.String(), c.said)
		}
	}
	for _, name := range []string{"basic.metal", "gemm.metal", "qmv.metal"} {
		Check(t, name, readKernels(t, name))
	}
}

// Lines of macros, of files that #line names, and of the preprocessor's own faults.
func TestMessages(t *testing.T) {
	needClang(t)
	header := "#include <metal_stdlib>\n"
	for _, c := range []struct{ source, want string }{
		{"#include <metal_stdlib>\n#define K(n) \\\n  kernel void n(device float* a) { \\\n    a[0] = nothing; }\nK(f)\n", "test.metal:5: error: use of undeclared identifier 'nothing'"},
		{header + "#line 1 \"user\"\nkernel void f(device float* a) {\n  a[0] = metal::sqrt(1.0) +\n   none;\n}\n", "user:3: error: use of undeclared identifier 'none'"},
		{"#include <nothing.h>\n", "test.metal:1: error: 'nothing.h' file not found"},
		{header + "/* \n\n */ kernel void f(device float* a) { // x\n  threadgroup float\n    s[3],\n    t;\n  a[0] = u; }\n", "test.metal:8: error: use of undeclared identifier 'u'"},
		{header + "template <typename T>\n[[kernel]] void f(device T* a) {\n  a[0] = T(1).x;\n}\ntemplate [[host_name(\"f\")]]\n[[kernel]] decltype(f<float>) f<float>;\nkernel void g(device int* a) { a[0] = g_; }\n", "test.metal:8: error: use of undeclared identifier 'g_'"},
		{header + "kernel void f(device float* a [[buffer(0)]],\n  int i [[thread_position_in_grid]]) { a[i] = 1; }\n", "test.metal:2: error: the type of such a parameter is uint, ushort or a vector of them"},
		{header + "using namespace metal;\nkernel void f(device float4* a [[buffer(0)]]) {\n a[0] = float4(half3(1), 2, 3);\n}\n", "test.metal:4: error: the parts do not fill the vector"},
		{header + "kernel void f(device float4* a [[buffer(0)]]) { a[0] = 1 }\n", "test.metal:2: error: expected ';' after expression"},
		{header + "kernel void f(device float4* a [[buffer(0)]]) {\n", "test.metal:2: note: to match this '{'"},
	} {
		p, err := Parse("test.metal", c.source)
		if err == nil {
			err = p.Check(Strict)
		}
		if !errors.Is(err, gpu.ErrCompile) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s\n got %v\nwant %s", c.source, err, c.want)
		}
	}
}
