//go:build linux && metalemu

package metal_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// on1 is a launch of one output over n threads in groups of at most 64.
func on1(n int, shape mlx.Shape, d mlx.DType, in ...*mlx.Array) fast.Launch {
	return fast.Launch{
		Inputs: in, OutputShapes: []mlx.Shape{shape}, OutputDTypes: []mlx.DType{d},
		Grid: [3]int{n, 1, 1}, ThreadGroup: [3]int{64, 1, 1},
	}
}

// floatsOf reads a as float64.
func floatsOf(a *mlx.Array) []float64 {
	return mlx.ToSlice[float64](mlx.AsType(a, mlx.Float64, mlx.CPU))
}

// wantNear compares with rel times the largest wanted.
func wantNear(t *testing.T, what string, got *mlx.Array, want []float64, rel float64) {
	t.Helper()
	have := floatsOf(got)
	if len(have) != len(want) {
		t.Fatalf("%s: %d values, want %d", what, len(have), len(want))
	}
	top := 0.0
	for _, w := range want {
		top = max(top, math.Abs(w))
	}
	for i, w := range want {
		if !(math.Abs(have[i]-w) <= rel*top) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, have[i], w)
		}
	}
}

// TestCustomExp is the example of MLX's documentation in each floating dtype, computed in
// float32 and in the dtype itself, whose exp is the prelude's for bfloat16.
func TestCustomExp(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "myexp", InputNames: []string{"inp"}, OutputNames: []string{"out"},
		Source: `
    uint elem = thread_position_in_grid.x;
    T tmp = static_cast<T>(inp[elem]);
    out[elem] = static_cast<U>(metal::exp(tmp));`,
	}
	x := make([]float32, 100)
	for i := range x {
		x[i] = float32(i-50) / 16
	}
	for d, rel := range map[mlx.DType]float64{mlx.Float32: 1e-6, mlx.Float16: 1e-3, mlx.BFloat16: 1e-2} {
		for _, in := range []mlx.DType{mlx.Float32, d} {
			a := mlx.FromSlice(x, 4, 25).AsType(d)
			l := on1(100, mlx.Shape{4, 25}, d, a)
			l.Template = []fast.TemplateArg{{Name: "T", Value: in}, {Name: "U", Value: d}}
			want := floatsOf(a)
			for i, v := range want {
				want[i] = math.Exp(v)
			}
			wantNear(t, fmt.Sprint(d, " in ", in), k.Call(l)[0], want, rel)
		}
	}
}

// TestCustomSmallInputs: scalars, constants and empty inputs, and the facts of inputs.
func TestCustomSmallInputs(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "facts", InputNames: []string{"one", "few", "none", "many"}, OutputNames: []string{"o"},
		Source: `
    o[0] = one;
    o[1] = few[0] + few[1];
    o[2] = none_shape[0] + 10 * none_shape[1];
    o[3] = many_shape[0] * 100 + many_shape[1] * 10 + many_shape[2];
    o[4] = many_strides[0] * 100 + many_strides[1] * 10 + many_strides[2];
    o[5] = many_ndim * 10 + none_ndim;
    o[6] = many[23];`,
	}
	many := mlx.Arange(float64(24)).AsType(mlx.Int16).Reshape(2, 3, 4)
	l := on1(1, mlx.Shape{7}, mlx.Int32, mlx.NewArray(7), mlx.NewArray([]bool{true, true}), mlx.Zeros(mlx.Shape{0, 2}), many)
	out := mlx.ToSlice[int32](k.Call(l)[0])
	if got, want := fmt.Sprint(out), "[7 2 20 234 1241 32 23]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

// TestCustomStrides: inputs are row-major, or as they are with StridedInputs.
func TestCustomStrides(t *testing.T) {
	rows := &fast.MetalKernel{
		Name: "rows", InputNames: []string{"a"}, OutputNames: []string{"o"},
		Source: "o[thread_position_in_grid.x] = a[thread_position_in_grid.x];",
	}
	strided := &fast.MetalKernel{
		Name: "strided", InputNames: []string{"a"}, OutputNames: []string{"o"}, StridedInputs: true,
		Source: "uint i = thread_position_in_grid.x;\no[i] = a[elem_to_loc(i, a_shape, a_strides, a_ndim)];",
	}
	raw := &fast.MetalKernel{
		Name: "raw", InputNames: []string{"a"}, OutputNames: []string{"o"}, StridedInputs: true,
		Source: "o[thread_position_in_grid.x] = a[thread_position_in_grid.x];",
	}
	x := mlx.Arange(float64(24)).Reshape(4, 6)
	for name, v := range map[string]*mlx.Array{
		"transposed": x.T(),
		"sliced":     x.Index(mlx.From(1), mlx.Step(-1)),
		"broadcast":  mlx.BroadcastTo(x.Index(2), mlx.Shape{3, 6}),
		"whole":      x,
		"few halves": x.AsType(mlx.Float16).Flatten().Index(mlx.Range(1, 4)),
		"odd halves": x.AsType(mlx.Float16).Flatten().Index(mlx.Range(1, 20)),
	} {
		want := floatsOf(mlx.Contiguous(v, false, mlx.CPU))
		wantNear(t, name+", in rows", rows.Call(on1(v.Size(), v.Shape(), v.DType(), v))[0], want, 0)
		copied := mlx.Compile(func(v *mlx.Array) *mlx.Array { return rows.Call(on1(v.Size(), v.Shape(), v.DType(), v))[0] })
		wantNear(t, name+", compiled", copied(v), want, 0)
		wantNear(t, name+", strided", strided.Call(on1(v.Size(), v.Shape(), v.DType(), v))[0], want, 0)
	}
	// What lies in memory shows that nothing was copied.
	wantNear(t, "raw", raw.Call(on1(24, mlx.Shape{24}, mlx.Float32, x.T()))[0], floatsOf(x), 0)
}

// TestCustomTemplate: integers, booleans and dtypes.
func TestCustomTemplate(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "choose", OutputNames: []string{"o"},
		Header: "template <typename T>\ninline T twice(T x) { return x + x; }",
		Source: "T v = twice(static_cast<T>(N));\nif (B) {\n  v = v + 1;\n}\no[thread_position_in_grid.x] = v;",
	}
	for _, c := range []struct {
		n    int
		b    bool
		t    mlx.DType
		want float64
	}{{-3, true, mlx.Int32, -5}, {130, false, mlx.Uint8, 4}, {2, true, mlx.Float32, 5}} {
		l := on1(1, mlx.Shape{1}, mlx.Float32)
		l.Template = []fast.TemplateArg{{Name: "N", Value: c.n}, {Name: "B", Value: c.b}, {Name: "T", Value: c.t}}
		wantNear(t, fmt.Sprint(c), k.Call(l)[0], []float64{c.want}, 0)
	}
}

// TestCustomGrid: positions in a ragged grid of three axes.
func TestCustomGrid(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "where", OutputNames: []string{"at", "group"},
		Source: `
    uint3 p = thread_position_in_grid;
    uint i = (p.z * threads_per_grid.y + p.y) * threads_per_grid.x + p.x;
    at[i] = p.x + 10 * p.y + 100 * p.z;
    uint3 g = threadgroup_position_in_grid;
    uint3 n = dispatch_threads_per_threadgroup;
    group[i] = (g.x * n.x + thread_position_in_threadgroup.x) + 10 * (g.y * n.y + thread_position_in_threadgroup.y) +
        100 * (g.z * n.z + thread_position_in_threadgroup.z);`,
	}
	sh := mlx.Shape{3, 4, 7}
	out := k.Call(fast.Launch{
		OutputShapes: []mlx.Shape{sh, sh}, OutputDTypes: []mlx.DType{mlx.Uint32, mlx.Int64},
		Grid: [3]int{7, 4, 3}, ThreadGroup: [3]int{4, 2, 8}, // more along z than there are
	})
	var want []float64
	for z := range 3 {
		for y := range 4 {
			for x := range 7 {
				want = append(want, float64(x+10*y+100*z))
			}
		}
	}
	wantNear(t, "positions", out[0], want, 0)
	wantNear(t, "positions by groups", out[1], want, 0)
}

// TestCustomAtomics: counts from an initial value, in threadgroups that share outputs.
func TestCustomAtomics(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "count", InputNames: []string{"a"}, OutputNames: []string{"n", "sum"}, AtomicOutputs: true,
		Source: `
    int v = a[thread_position_in_grid.x];
    atomic_fetch_add_explicit(&n[v], 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&sum[v], float(v), memory_order_relaxed);`,
	}
	v := make([]int32, 1000)
	for i := range v {
		v[i] = int32(i % 7)
	}
	start := 5.0
	out := k.Call(fast.Launch{
		Inputs: mlx.Arrays{mlx.FromSlice(v)}, OutputShapes: []mlx.Shape{{7}, {7}}, OutputDTypes: []mlx.DType{mlx.Int32, mlx.Float32},
		Grid: [3]int{1000, 1, 1}, ThreadGroup: [3]int{128, 1, 1}, InitValue: &start,
	})
	want := []float64{143, 143, 143, 143, 143, 143, 142}
	sums := make([]float64, 7)
	for i := range want {
		sums[i] = 5 + float64(i)*want[i]
		want[i] += 5
	}
	wantNear(t, "counts", out[0], want, 0)
	wantNear(t, "sums", out[1], sums, 1e-6)
}

// TestCustomInit: initial values of every size and kind, where no thread writes.
func TestCustomInit(t *testing.T) {
	k := &fast.MetalKernel{Name: "one", OutputNames: []string{"o"}, Source: "o[1] = static_cast<T>(0);"}
	for _, d := range []mlx.DType{mlx.Bool, mlx.Int64, mlx.Float16, mlx.BFloat16, mlx.Float32} {
		l := on1(1, mlx.Shape{3}, d)
		l.Template = []fast.TemplateArg{{Name: "T", Value: d}}
		v := 3.0
		if d == mlx.Bool {
			v = 1
		}
		l.InitValue = &v
		wantNear(t, d.String(), k.Call(l)[0], []float64{v, 0, v}, 0)
	}
}

// TestCustomEmpty: outputs without elements beside others.
func TestCustomEmpty(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "some", InputNames: []string{"a"}, OutputNames: []string{"none", "two"},
		Source: "if (a_shape[0] > 0) {\n  none[0] = a[0];\n}\ntwo[thread_position_in_grid.x] += 1;",
	}
	five := 5.0
	out := k.Call(fast.Launch{
		Inputs: mlx.Arrays{mlx.Zeros(mlx.Shape{0})}, OutputShapes: []mlx.Shape{{0, 3}, {2}}, OutputDTypes: []mlx.DType{mlx.Float32, mlx.Int32},
		Grid: [3]int{2, 1, 1}, ThreadGroup: [3]int{2, 1, 1}, InitValue: &five,
	})
	wantNear(t, "none", out[0], nil, 0)
	wantNear(t, "two", out[1], []float64{6, 6}, 0)
}

// rowSum adds up rows, one threadgroup each, over simdgroups and then threadgroup memory.
var rowSum = &fast.MetalKernel{
	Name: "row_sum", InputNames: []string{"a"}, OutputNames: []string{"o"},
	Source: `
    threadgroup float part[32];
    uint row = threadgroup_position_in_grid.y;
    uint n = a_shape[1];
    float sum = 0;
    for (uint i = thread_position_in_threadgroup.x; i < n; i += threads_per_threadgroup.x) {
      sum += a[row * n + i];
    }
    sum = simd_sum(sum);
    if (thread_index_in_simdgroup == 0) {
      part[simdgroup_index_in_threadgroup] = sum;
    }
    threadgroup_barrier(mem_flags::mem_threadgroup);
    if (simdgroup_index_in_threadgroup == 0) {
      sum = thread_index_in_simdgroup < simdgroups_per_threadgroup ? part[thread_index_in_simdgroup] : 0;
      sum = simd_sum(sum);
      if (thread_index_in_simdgroup == 0) {
        o[row] = sum;
      }
    }`,
}

func rowSums(x *mlx.Array) *mlx.Array {
	l := on1(128, mlx.Shape{x.Dim(0)}, mlx.Float32, x)
	l.Grid[1], l.ThreadGroup[0] = x.Dim(0), 128
	return rowSum.Call(l)[0]
}

func TestCustomReduction(t *testing.T) {
	v := make([]float32, 5*1000)
	want := make([]float64, 5)
	for i := range v {
		v[i] = float32(math.Sin(float64(i)))
		want[i/1000] += float64(v[i])
	}
	for _, d := range []mlx.DType{mlx.Float32, mlx.BFloat16} {
		wantNear(t, d.String(), rowSums(mlx.FromSlice(v, 5, 1000).AsType(d)), want, map[mlx.DType]float64{mlx.Float32: 1e-4, mlx.BFloat16: 0.2}[d])
	}
}

// TestCustomFaults: what the compiler says is told at evaluation with the user's lines.
func TestCustomFaults(t *testing.T) {
	for _, c := range []struct {
		k    fast.MetalKernel
		want []string
	}{
		{fast.MetalKernel{Source: "\nuint i = thread_position_in_grid.x;\n  o[i] = metal::exq(a[i]);\n"}, []string{
			"metal_kernel[float32(3,)]: bad: the kernel does not compile\nSource, line 3: no member named 'exq' in namespace 'metal'",
			"\n\to[i] = metal::exq(a[i]);",
		}},
		{fast.MetalKernel{Source: "o[0] = f(a[0]);", Header: "\n// one\ninline float f(float x) { return y; }"}, []string{
			"\nHeader, line 3: use of undeclared identifier 'y'\n\tinline float f(float x) { return y; }",
		}},
		{fast.MetalKernel{Source: "threadgroup float x[4];\nconst device float* p = a;\nfloat q = p;\no[0] = b;"}, []string{
			"\nSource, line 3: cannot initialize a variable of type 'float'", "\n\tfloat q = p;",
			"\nSource, line 4: use of undeclared identifier 'b'",
		}},
		{fast.MetalKernel{Source: "\ndouble x = a[0];\no[0] = x;"}, []string{"\nSource, line 2: Metal has no double\n\tdouble x = a[0];"}},
		{fast.MetalKernel{Source: "if (true) {\no[0] = a[0];"}, []string{"bad: the kernel does not compile\nthe end"}},
		{fast.MetalKernel{Source: "T x = a[0];\no[0] = x;"}, []string{"\nSource, line 1: unknown type name 'T'"}},
	} {
		k := c.k
		k.Name, k.InputNames, k.OutputNames = "bad", []string{"a"}, []string{"o"}
		for range 2 { // the second time from the cache
			err := mlx.Eval(k.Call(on1(3, mlx.Shape{3}, mlx.Float32, mlx.NewArray([]float64{1, 2, 3}))))
			var typed *mlx.Error
			if !errors.As(err, &typed) || !errors.Is(err, gpu.ErrCompile) {
				t.Fatalf("%q: %v", k.Source, err)
			}
			for _, w := range c.want {
				if !strings.Contains(err.Error(), w) {
					t.Errorf("%q: %v\nlacks %q", k.Source, err, w)
				}
			}
			for _, w := range []string{"<stdin>", "clang", "prelude"} {
				if strings.Contains(err.Error(), w) {
					t.Errorf("%q: %v\ntells of %q", k.Source, err, w)
				}
			}
		}
	}
}

// TestCustomInGraphs: a kernel among other ops, compiled, and from many goroutines.
func TestCustomInGraphs(t *testing.T) {
	x := mlx.Arange(float64(12)).Reshape(3, 4)
	f := func(x *mlx.Array) *mlx.Array {
		y := x.Mul(2).T() // a strided input
		return rowSums(y).Add(rowSums(y))
	}
	want := []float64{48, 60, 72, 84}
	wantNear(t, "graph", f(x), want, 0)
	g := mlx.Compile(f)
	for range 2 {
		wantNear(t, "compiled", g(x), want, 0)
	}
	wantNear(t, "compiled, other numbers", g(x.Mul(2)), []float64{96, 120, 144, 168}, 0)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if got := floatsOf(f(x)); fmt.Sprint(got) != fmt.Sprint(want) {
				t.Errorf("in a goroutine: %v", got)
			}
		})
	}
	wg.Wait()
}

// TestCustomMath: every mode compiles; safe keeps what IEEE says of infinity.
func TestCustomMath(t *testing.T) {
	for _, mode := range []string{"", "safe", "relaxed", "fast"} {
		k := fast.MetalKernel{Name: "e", InputNames: []string{"a"}, OutputNames: []string{"o"}, Source: "o[0] = metal::exp(a);", MathMode: mode}
		l := on1(1, mlx.Shape{}, mlx.Float32, mlx.NewArray(math.Inf(-1)))
		wantNear(t, mode, k.Call(l)[0], []float64{0}, 0)
	}
}
