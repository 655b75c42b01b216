package msltest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

var rewrites = []struct{ source, want string }{
	{"float x() { return 1.5 + 2. + .5 + 1e3 + 0x10 + 0x1p-2 + 1.0f + 2h + 3; }", "float x() { return 1.5f + 2.f + .5f + 1e3f + 0x10 + 0x1p-2f + 1.0f + 2h + 3; }"},
	{"void f(device float* a, constant int& b, const thread T& c) {}", "void f(MSL_DEVICE float* a, MSL_CONSTANT int& b, const MSL_THREAD T& c) {}"},
	{"struct s { void f() const thread { } void g() threadgroup; };", "struct s { void f() const  { } void g() ; };"},
	{"auto v = float4(1, 2);", "auto v = metal::make_vec<float,4>(1, 2);"},
	{"auto v = metal::uchar2(1);", "auto v = metal::make_vec<uchar,2>(1);"},
	{"auto v = vec<T, 4>(1, f(2));", "auto v = make_vec<T, 4>(1, f(2));"},
	{"auto v = metal::vec<metal::half, 4>(x);", "auto v = metal::make_vec<metal::half, 4>(x);"},
	{"using A = vec<T, 4>; auto v = A(1, 2);", "using A = vec<T, 4>; auto v = metal::construct_<A>(1, 2);"},
	{"typedef float2 A; auto v = A(1, 2);", "typedef float2 A; auto v = metal::construct_<A>(1, 2);"},
	{"using A = float; auto v = A(1);", "using A = float; auto v = A(1);"},
	{"void f() { short2 a(x, y); const vec<T, 2> b(x); metal::int3 c(1); }", "void f() { short2 a = metal::make_vec<short,2>(x, y); const vec<T, 2> b = metal::make_vec<T, 2>(x); metal::int3 c = metal::make_vec<int,3>(1); }"},
	{"template <typename T, class U = T, int N> T f(U x) { T y(x); return T(y) + U(1, 2) + N(3); }", "template <typename T, class U = T, int N> T f(U x) { T y = metal::construct_<T>(x); return metal::construct_<T>(y) + metal::construct_<U>(1, 2) + N(3); }"},
	{"float4 f(float4 x);", "float4 f(float4 x);"},
	{"int a = s.float4(1) + p->half2(2);", "int a = s.float4(1) + p->half2(2);"},
	{"auto v = (half4)x; auto w = (metal::float2)(y); auto z = (float2x2)x; f(float4);", "auto v = metal::vcast<half,4>() ->* x; auto w = metal::vcast<float,2>() ->* (y); auto z = (float2x2)x; f(float4);"},
	{"auto v = static_cast<bfloat>(x); auto w = static_cast<device float*>(x); auto q = half(x) + half();", "auto v = metal::cast_<bfloat>(x); auto w = static_cast<MSL_DEVICE float*>(x); auto q = metal::cast_<half>(x) + half();"},
	{"[[maybe_unused]] int a [[nothing]] = b[c[0]];", " int a = b[c[0]];"},
	{"template struct s<int>;", "template struct s<int>;"},
	{"kernel void f(device float* a [[buffer(0)]], uint i [[thread_position_in_grid]]) { a[i] = 1.0; }",
		" static void f(MSL_DEVICE float* a , uint i ) { a[i] = 1.0f; }"},
	{"template <typename T, int N = 2>\n[[kernel, max_total_threads_per_threadgroup(64)]] void f(device T* a) {}", "\n template <typename T, int N = 2> static void f(MSL_DEVICE T* a) {}"},
	{"constant bool b [[function_constant(3)]];", " MSL_FUNCTION_CONSTANT(bool, b, 3);"},
	{"constant bool b = 1;", "MSL_CONSTANT bool b = 1;"},
	{"kernel void f() { threadgroup float a[4][N + 1], b; threadgroup vec<T, 2> c[1]; }", " static void f() {  MSL_VARIABLE(MSL_ONE(typedef float msl_t1[4][N + 1]), msl_t1, a); MSL_VARIABLE(MSL_ONE(typedef float msl_t2), msl_t2, b);  MSL_VARIABLE(MSL_ONE(typedef vec<T, 2> msl_t3[1]), msl_t3, c); }"},
	{"kernel void f() { threadgroup float* a = b; threadgroup T& c = *a; const threadgroup int* d; }", " static void f() { MSL_THREADGROUP float* a = b; MSL_THREADGROUP T& c = *a; const MSL_THREADGROUP int* d; }"},
}

// What is no C++, and what it becomes. One line stays one line.
func TestRewrite(t *testing.T) {
	for _, c := range rewrites {
		got := rewrite(c.source).code
		squeeze := func(s string) string { return strings.Join(strings.Fields(s), " ") }
		if squeeze(got) != squeeze(c.want) || strings.Count(got, "\n") != strings.Count(c.source, "\n") {
			t.Errorf("%s:\n got %q\nwant %q", c.source, got, c.want)
		}
	}
}

// The kernels of a source as the host sees them.
func TestEntries(t *testing.T) {
	u := rewrite(`
template <typename T, int N>
[[kernel]] [[max_total_threads_per_threadgroup(128)]] void f(const device T* a [[buffer(2)]], device T* b, constant int& n [[buffer(7), function_constant(c)]],
    threadgroup T* s [[threadgroup(0)]], uint2 i [[thread_position_in_grid]]) {}
template [[host_name("f_" "half")]] [[kernel]] decltype(f<half, 2>) f<half, 2>;
template [[host_name("f_int")]] kernel void f<metal::vec<int, 2>, (3 > 2)>(const device int* a);
[[host_name("other")]] [[kernel]] void g() {}
kernel void h();
template void plain<int>(int);
`)
	var got []string
	for _, e := range u.entries {
		args, bindings := e.arguments()
		got = append(got, fmt.Sprintf("%s = %s, %d threads, (%s)", e.Name, e.expr, e.MaxThreads, strings.Join(args, ", ")))
		for _, b := range bindings {
			got = append(got, strings.TrimSpace(b))
		}
	}
	want := []string{
		"f_half = f<half, 2>, 128 threads, (msl_pointer{MSL_BUFFER(2)}, msl_pointer{MSL_BUFFER(3)}, msl_reference{MSL_BUFFER(7)}, msl_pointer{MSL_THREADGROUP_BUFFER(0)}, MSL_OF_THREAD(in_grid))",
		"msl_bind<0>(::f<half, 2>, 0, 2, true),", "msl_bind<1>(::f<half, 2>, 0, 3, true),", "msl_bind<2>(::f<half, 2>, 0, 7, c),", "msl_bind<3>(::f<half, 2>, 1, 0, true),",
		"f_int = f<metal::vec<int, 2>, (3 > 2)>, 128 threads, (msl_pointer{MSL_BUFFER(2)}, msl_pointer{MSL_BUFFER(3)}, msl_reference{MSL_BUFFER(7)}, msl_pointer{MSL_THREADGROUP_BUFFER(0)}, MSL_OF_THREAD(in_grid))",
		"msl_bind<0>(::f<metal::vec<int, 2>, (3 > 2)>, 0, 2, true),", "msl_bind<1>(::f<metal::vec<int, 2>, (3 > 2)>, 0, 3, true),", "msl_bind<2>(::f<metal::vec<int, 2>, (3 > 2)>, 0, 7, c),", "msl_bind<3>(::f<metal::vec<int, 2>, (3 > 2)>, 1, 0, true),",
		"other = g, 1024 threads, ()",
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// A kernel needs the function constants that it can reach, but not those that the source
// asks about.
func TestNeededConstants(t *testing.T) {
	u := rewrite(`
constant bool a [[function_constant(0)]];
constant int b [[function_constant(1)]];
constant float c [[function_constant(2)]];
constant bool d [[function_constant(3)]];
constant bool e [[function_constant(4)]];
constant bool derived = a && !false;
constant float asked = is_function_constant_defined(c) ? c : 1.0f;
namespace n { template <typename T> T helper(T x) { return derived ? x : T(0); } }
struct functor { template <typename T> T operator()(T x) { return b + n::helper(x); } };
template <typename T, typename F> [[kernel]] void with(device T* x [[buffer(0)]]) { x[0] = F()(x[0]); }
template [[host_name("functor")]] [[kernel]] decltype(with<float, functor>) with<float, functor>;
template [[host_name("nothing")]] [[kernel]] decltype(with<float, none>) with<float, none>;
kernel void helper_only(device float* x [[buffer(0)]]) { x[0] = n::helper(asked); }
kernel void parameter(device float* x [[buffer(0), function_constant(d)]]) { }
`)
	got := map[string]string{}
	for _, e := range u.entries {
		slices.Sort(e.constants)
		got[e.Name] = fmt.Sprint(e.constants)
	}
	want := map[string]string{"functor": "[0 1]", "nothing": "[]", "helper_only": "[0]", "parameter": "[3]"}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestConstantList(t *testing.T) {
	u := &unit{constants: []Constant{{"bool", "a", 1}, {"float", "b", 10}}}
	list, err := u.constantList(Entry{Name: "k"}, []gpu.Const{{Index: 10, Value: float32(1)}, {Index: 1, Value: true}, {Index: 2, Value: int32(-1)}})
	if err != nil || list != "10=1065353216,1=1,2=4294967295" {
		t.Error(list, err)
	}
}

// Whatever the bytes, the rewriter ends, and lines stay lines where brackets are closed.
func FuzzRewrite(f *testing.F) {
	for _, c := range rewrites { // short ones: the fuzzer minimizes what it finds
		f.Add(c.source)
	}
	for _, s := range []string{"", "[[", "[[kernel", "template", "template <", "template [[host_name(\"", "kernel void f(", "kernel void f(a [[buffer(", "constant int a [[function_constant(",
		"kernel void f() { threadgroup", "kernel void f() { threadgroup float a[", "((((", "))))", "vec<vec<vec<", "(half4)", "float4(", "using", "using a =", "typedef", "# 1 \"", "#line x", "/*", "\"\\", "'", "a<b>c", "{ : }",
		"template <a> kernel void f<", "void f(a * ) {", "[](){}", "struct {", "\xff\x00", "static_cast<", "operator(", "kernel void f(a,b,,) {}", "template [[kernel]] decltype( f<", "namespace", "enum{};="} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u := rewrite(s)
		u.entryCode(nil)
		broken := slices.ContainsFunc(lex(s), func(t token) bool { return strings.Contains(t.text, "\n") })
		if got, want := strings.Count(u.code, "\n"), strings.Count(s, "\n"); got != want && !u.open && !broken {
			t.Errorf("%d lines became %d:\n%s\n---\n%s", want, got, s, u.code)
		}
	})
}

// The tokens of any bytes are those bytes.
func FuzzLex(f *testing.F) {
	f.Add("# 3 \"a\"\nint a = 1.5e-3f; // b\n/* c */ \"d\\\"\" 'e' x->y ::z <<= 0x1p-3")
	f.Fuzz(func(t *testing.T, s string) {
		var all strings.Builder
		for _, tok := range lex(s) {
			all.WriteString(tok.space + tok.text)
		}
		if all.String() != s {
			t.Errorf("%q became %q", s, all.String())
		}
	})
}

func TestLines(t *testing.T) {
	for _, c := range []struct{ source, want string }{
		{"a\n b", "a:1 b:2"},
		{"# 10 \"x y\" 1\na\nb\n#line 3\nc", "a:x y10 b:x y11 c:x y3"},
		{"/* \n */ a \"\\\n\" b", "a:2 \"\\\n\":2 b:3"},
		{"# pragma x\na", "a:2"},
	} {
		var got []string
		for _, tok := range lex(c.source) {
			if tok.text != "" {
				got = append(got, fmt.Sprintf("%s:%s%d", tok.text, tok.file, tok.line))
			}
		}
		if strings.Join(got, " ") != c.want {
			t.Errorf("%q: %q, want %q", c.source, got, c.want)
		}
	}
}
