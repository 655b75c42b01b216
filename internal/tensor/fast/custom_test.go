package fast

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// launchOf is a launch with outputs of the given dtypes, each (2, 3).
func launchOf(out ...tensor.DType) Launch {
	l := Launch{Grid: [3]int{6, 1, 1}, ThreadGroup: [3]int{6, 1, 1}, DTypes: out}
	for range out {
		l.Shapes = append(l.Shapes, tensor.Shape{2, 3})
	}
	return l
}

// TestFunction compares generated sources.
func TestFunction(t *testing.T) {
	of := func(d tensor.DType, shape ...int) Spec { return Spec{Shape: shape, DType: d} }
	for _, c := range []struct {
		name     string
		def      Definition
		template []TemplateArg
		in       []Spec
		out      []tensor.DType
		want     string
	}{
		{"the example of MLX's documentation",
			Definition{
				Name: "myexp", InputNames: []string{"inp"}, OutputNames: []string{"out"},
				Source: "uint elem = thread_position_in_grid.x;\nT tmp = inp[elem];\nout[elem] = metal::exp(tmp);",
			},
			[]TemplateArg{{"T", dtype.Float32}}, []Spec{of(dtype.Float16, 4, 16)}, []tensor.DType{dtype.Float16}, `
#line 1 "myexp.signature"
template <typename T>
[[kernel]] void custom_kernel_myexp_float_half_half(
    const device half* inp [[buffer(0)]],
    device half* out [[buffer(1)]],
    uint3 thread_position_in_grid [[thread_position_in_grid]]) {
#line 1 "myexp"
uint elem = thread_position_in_grid.x;
T tmp = inp[elem];
out[elem] = metal::exp(tmp);
#line 1 "myexp.end"
}
template [[host_name("custom_kernel_myexp_float_half_half")]] [[kernel]] decltype(custom_kernel_myexp_float_half_half<float>) custom_kernel_myexp_float_half_half<float>;
`},
		{"every kind of input, facts of inputs, attributes, header, atomic outputs",
			Definition{
				Name: "mix", InputNames: []string{"a", "b", "c", "d"}, OutputNames: []string{"x", "y"}, Atomic: true,
				Header: "inline int twice(int i) { return 2 * i; }",
				Source: "// a_shape[0], d_strides, d_ndim, not xb_shape, c_ndim\nint i = simd_sum(thread_index_in_simdgroup);\nif (threads_per_threadgroup.x < dispatch_threads_per_threadgroup.x) return;",
			}, nil,
			[]Spec{of(dtype.BFloat16, 4, 16), of(dtype.Bool, 7), of(dtype.Int64), of(dtype.Uint8, 2, 4)}, []tensor.DType{dtype.Float32, dtype.Int32}, `
#line 1 "mix.header"
inline int twice(int i) { return 2 * i; }
#line 1 "mix.signature"
[[kernel]] void custom_kernel_mix_bfloat_boolc_int64_ts_uint8_t_float_int32_t(
    const device bfloat* a [[buffer(0)]],
    const constant int* a_shape [[buffer(1)]],
    const constant bool* b [[buffer(2)]],
    const constant int64_t& c [[buffer(3)]],
    const device uint8_t* d [[buffer(4)]],
    const constant int64_t* d_strides [[buffer(5)]],
    const constant int& d_ndim [[buffer(6)]],
    device atomic<float>* x [[buffer(7)]],
    device atomic<int32_t>* y [[buffer(8)]],
    uint3 dispatch_threads_per_threadgroup [[dispatch_threads_per_threadgroup]],
    uint thread_index_in_simdgroup [[thread_index_in_simdgroup]],
    uint3 threads_per_threadgroup [[threads_per_threadgroup]]) {
#line 1 "mix"
// a_shape[0], d_strides, d_ndim, not xb_shape, c_ndim
int i = simd_sum(thread_index_in_simdgroup);
if (threads_per_threadgroup.x < dispatch_threads_per_threadgroup.x) return;
#line 1 "mix.end"
}
`},
		{"no inputs, template values",
			Definition{Name: "k", OutputNames: []string{"o"}, Source: "o[0] = B ? N : T(M);"},
			[]TemplateArg{{"N", -3}, {"B", true}, {"T", dtype.Bool}, {"M", 40}}, nil, []tensor.DType{dtype.Uint16}, `
#line 1 "k.signature"
template <int N, bool B, typename T, int M>
[[kernel]] void custom_kernel_k_m3_true_bool_40_uint16_t(
    device uint16_t* o [[buffer(0)]]) {
#line 1 "k"
o[0] = B ? N : T(M);
#line 1 "k.end"
}
template [[host_name("custom_kernel_k_m3_true_bool_40_uint16_t")]] [[kernel]] decltype(custom_kernel_k_m3_true_bool_40_uint16_t<-3, true, bool, 40>) custom_kernel_k_m3_true_bool_40_uint16_t<-3, true, bool, 40>;
`},
	} {
		l := launchOf(c.out...)
		l.Template = c.template
		p, err := customFor(c.def, l)
		if err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if _, err := p.Infer(c.in); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		if got := p.Signature(c.in).Function().Text; got != strings.TrimPrefix(c.want, "\n") {
			t.Errorf("%s:\n%s\nwant\n%s", c.name, got, c.want)
		}
	}
}

// TestAttributes: each attribute of Metal that a body names is a parameter of the same name.
func TestAttributes(t *testing.T) {
	for _, a := range attributes {
		p, err := customFor(Definition{Name: "k", OutputNames: []string{"o"}, Source: "o[0] = " + a.name + ";"}, launchOf(dtype.Uint32))
		if err != nil {
			t.Fatal(err)
		}
		text := p.Signature(nil).Function().Text
		if want := a.typ + " " + a.name + " [[" + a.name + "]]) {\n"; !strings.Contains(text, want) {
			t.Errorf("%s is not in\n%s", want, text)
		}
		if n := strings.Count(text, "[["); n != 3 { // kernel, buffer, the attribute
			t.Errorf("%d attributes in\n%s", n, text)
		}
	}
}

// TestCustomsCompare: equal calls are equal values, so that one of them runs.
func TestCustomsCompare(t *testing.T) {
	make := func(change func(*Definition, *Launch)) tensor.Primitive {
		d := Definition{Name: "k", InputNames: []string{"a"}, OutputNames: []string{"o"}, Source: "o[0] = N;"}
		l := launchOf(dtype.Float32)
		l.Template = []TemplateArg{{"N", 1}}
		change(&d, &l)
		p, err := customFor(d, l)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	zero := 0.0
	if make(func(*Definition, *Launch) {}) != make(func(*Definition, *Launch) {}) {
		t.Error("equal calls differ")
	}
	for what, change := range map[string]func(*Definition, *Launch){
		"source":   func(d *Definition, _ *Launch) { d.Source += " " },
		"names":    func(d *Definition, _ *Launch) { d.InputNames[0] = "b" },
		"header":   func(d *Definition, _ *Launch) { d.Header = "// h" },
		"math":     func(d *Definition, _ *Launch) { d.MathMode = "fast" },
		"strided":  func(d *Definition, _ *Launch) { d.Strided = true },
		"atomic":   func(d *Definition, _ *Launch) { d.Atomic = true },
		"template": func(_ *Definition, l *Launch) { l.Template[0].Value = 2 },
		"kind":     func(_ *Definition, l *Launch) { l.Template[0].Value = true },
		"shape":    func(_ *Definition, l *Launch) { l.Shapes[0] = tensor.Shape{3, 2} },
		"dtype":    func(_ *Definition, l *Launch) { l.DTypes[0] = dtype.Int32 },
		"grid":     func(_ *Definition, l *Launch) { l.Grid[1] = 2 },
		"group":    func(_ *Definition, l *Launch) { l.ThreadGroup[0] = 2 },
		"init":     func(_ *Definition, l *Launch) { l.Init = &zero },
	} {
		if make(change) == make(func(*Definition, *Launch) {}) {
			t.Errorf("another %s makes no other value", what)
		}
	}
}

// FuzzCustom: whatever a kernel is called and made of, it is refused or its source holds
// what was given, once.
func FuzzCustom(f *testing.F) {
	f.Add("k", "a", "o", "T", "o[0] = a[0];", "// h", 2)
	f.Add("", "a\nb", "a", "int", "a_shape", "", -1)
	f.Add("k", "a_shape", "o", "o", "\x00\"\\", "#", 1<<40)
	f.Fuzz(func(t *testing.T, name, in, out, arg, source, header string, n int) {
		d := Definition{Name: name, InputNames: []string{in}, OutputNames: []string{out}, Source: source, Header: header}
		l := launchOf(dtype.Float32)
		l.Template = []TemplateArg{{arg, n}}
		p, err := customFor(d, l)
		if err != nil {
			return
		}
		specs := []Spec{{Shape: tensor.Shape{n & 15}, DType: dtype.Int8}}
		if _, err := p.Infer(specs); err != nil {
			t.Fatalf("%+v: %v", d, err)
		}
		f := p.Signature(specs).Function()
		if !strings.Contains(f.Text, "\n"+source+"\n") || !strings.Contains(f.Text, header) || len(f.Facts) != 1 {
			t.Errorf("%+v:\n%s", d, f.Text)
		}
		if !isIdentifier(f.Name) || strings.Count(f.Text, "[[buffer(") < 2 {
			t.Errorf("%+v:\n%s", d, f.Text)
		}
	})
}
