package optest

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
)

// files are the golden files read so far: ours, then the whole ones of ../shared.
var files = map[string][]Golden{}

func goldens(t testing.TB, name string) []Golden {
	t.Helper()
	if g, ok := files[name]; ok {
		return g
	}
	ours, err := Load(name)
	if err != nil {
		t.Fatal(err)
	}
	all := []Golden{ours}
	if dir, ok := Shared(); ok {
		whole, err := Open(filepath.Join(dir, "goldens", name+".safetensors"))
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, whole)
	}
	files[name] = all
	return all
}

// material is the inputs of a case and, if recorded, its results. The test is
// skipped if they are in ../shared only, and that is not there.
func material(t testing.TB, c Case) (in, want []*mlx.Array) {
	t.Helper()
	if c.File == "" {
		in, err := c.Arrays(nil)
		if err != nil {
			t.Fatal(err)
		}
		return in, nil
	}
	keys := c.Keys
	if keys == nil {
		keys = []string{c.Name}
	}
	all := goldens(t, c.File)
	var missing string
	for _, g := range all {
		missing = ""
		for _, k := range append(append([]string{}, c.In...), keys...) {
			if g[k] == nil {
				missing = k
			}
		}
		if missing == "" {
			in, err := c.Arrays(g)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range keys {
				want = append(want, g[k])
			}
			return in, want
		}
	}
	if len(all) == 2 {
		t.Fatalf("%s.safetensors has no %q", c.File, missing)
	}
	t.Skipf("%q is not among the goldens of this repository", missing)
	return nil, nil
}

// run builds and evaluates.
func run(t testing.TB, c Case, in []*mlx.Array) (out []*mlx.Array) {
	t.Helper()
	if err := mlx.Try(func() { out = c.Build(in) }); err != nil {
		t.Fatal(err)
	}
	if err := mlx.Eval(out); err != nil {
		t.Fatal(err)
	}
	return out
}

func compare(t testing.TB, what string, got, want []*mlx.Array, tol Tol) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %d results, want %d", what, len(got), len(want))
	}
	for i := range want {
		if err := Diff(got[i], want[i], tol); err != nil {
			t.Errorf("%s: result %d %v", what, i, err)
		}
	}
}

func all(Case) bool { return true }

// each runs f for every case that suits.
func each(t *testing.T, suits func(c Case) bool, f func(t *testing.T, c Case)) {
	for _, c := range Cases {
		if !suits(c) {
			continue
		}
		t.Run(strings.TrimPrefix(c.File+"/"+c.Name, "/"), func(t *testing.T) { f(t, c) })
	}
}

func TestGolden(t *testing.T) {
	each(t, all, func(t *testing.T, c Case) {
		in, want := material(t, c)
		if c.Want != nil {
			want = c.Want(in)
		}
		if want == nil {
			t.Fatal("the case has neither a file nor a Want")
		}
		tol := c.Tol
		if c.Want != nil && tol == Exact && mlx.DefaultDevice() != mlx.CPU {
			tol = F32 // two ways of computing it have the same bits on the CPU alone
		}
		compare(t, "recorded", run(t, c, in), want, tol)
	})
}

// TestLayouts: strides, offsets and repeated elements of an input change nothing.
func TestLayouts(t *testing.T) {
	each(t, all, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		if err := mlx.Eval(in); err != nil {
			t.Fatal(err)
		}
		base := run(t, c, in)
		tol := c.Tol // another layout may take another kernel, never more than the tolerance apart
		for i, a := range in {
			if a.NDim() == 0 || a.Size() == 0 {
				continue
			}
			for _, l := range layouts {
				changed := append([]*mlx.Array{}, in...)
				changed[i] = l.f(a)
				if err := Diff(changed[i], a, Exact); err != nil {
					t.Fatalf("%s of input %d: %v", l.name, i, err)
				}
				compare(t, l.name, run(t, c, changed), base, tol)
			}
			if c.NoRepeat != "" {
				continue
			}
			repeated, plain := append([]*mlx.Array{}, in...), append([]*mlx.Array{}, in...)
			repeated[i] = repeatFirst(a)
			plain[i] = tensor.CopyOf(repeated[i], none)
			compare(t, "broadcast", run(t, c, repeated), run(t, c, plain), tol)
		}
	})
}

// layouts give an array other strides.
var layouts = []struct {
	name string
	f    func(*mlx.Array) *mlx.Array
}{
	{"transposed", func(a *mlx.Array) *mlx.Array { return tensor.CopyOf(a.T(), none).T() }},
	{"a part", func(a *mlx.Array) *mlx.Array {
		low, high := make([]int, a.NDim()), make([]int, a.NDim())
		for i := range low {
			low[i], high[i] = 1, 2
		}
		wide := tensor.PadWith(a, low, high, 1, none)
		for i := range low {
			wide = tensor.SliceAxis(wide, i, 1, 1+a.Dim(i), none)
		}
		return wide
	}},
	{"every second", func(a *mlx.Array) *mlx.Array {
		n := a.NDim()
		twice := mlx.Concatenate(mlx.Arrays{a.ExpandDims(n), a.ExpandDims(n)}, mlx.Axis(n)).Reshape(append(a.Shape()[:n-1], 2*a.Dim(n-1))...)
		return sliceLast(twice, 0, 2*a.Dim(n-1), 2)
	}},
	{"backwards", func(a *mlx.Array) *mlx.Array {
		n := a.Dim(-1)
		return sliceLast(tensor.CopyOf(sliceLast(a, n-1, -1, -1), none), n-1, -1, -1)
	}},
}

// sliceLast slices the last axis.
func sliceLast(a *mlx.Array, start, stop, step int) *mlx.Array {
	n := a.NDim()
	lo, hi, by := make([]int, n), a.Shape(), make([]int, n)
	for i := range by {
		by[i] = 1
	}
	lo[n-1], hi[n-1], by[n-1] = start, stop, step
	return tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(lo...), Stop: tensor.MakeInts(hi...), Step: tensor.MakeInts(by...)}, none, a)
}

// repeatFirst has the first slice of each axis but the last everywhere, by strides
// of 0; a vector repeats its first element.
func repeatFirst(a *mlx.Array) *mlx.Array {
	x := a
	if a.NDim() == 0 {
		return a
	}
	for i := range max(1, a.NDim()-1) {
		x = tensor.SliceAxis(x, i, 0, 1, none)
	}
	return x.BroadcastTo(a.Shape()...)
}

// TestHalves: in float16 and bfloat16 an op gives the float32 result of the
// rounded inputs, to within its rounding.
func TestHalves(t *testing.T) {
	each(t, func(c Case) bool { return c.Halves }, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		for _, d := range []mlx.DType{mlx.Float16, mlx.BFloat16} {
			half, wide := make([]*mlx.Array, len(in)), make([]*mlx.Array, len(in))
			for i, a := range in {
				half[i], wide[i] = a, a
				if a.DType() == mlx.Float32 {
					half[i] = a.AsType(d)
					wide[i] = half[i].AsType(mlx.Float32)
				}
			}
			got, want := run(t, c, half), run(t, c, wide)
			for i := range want {
				if want[i].DType() == mlx.Float32 {
					if got[i].DType() != d {
						t.Errorf("%v in, %v out", d, got[i].DType())
					}
					want[i] = want[i].AsType(d)
				}
			}
			compare(t, d.String(), got, want, Tol{Ulps: 2, Rel: 1e-5, Abs: 1e-6})
		}
	})
}

// TestEmpty: a first axis of size 0 gives a result of the right shape.
func TestEmpty(t *testing.T) {
	each(t, func(c Case) bool { return c.Empty }, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		base := run(t, c, in)
		for i, a := range in {
			in[i] = tensor.SliceAxis(a, 0, 0, 0, none)
		}
		for i, out := range run(t, c, in) {
			if out.DType() != base[i].DType() || out.NDim() != base[i].NDim() {
				t.Errorf("is %v%v, with elements %v%v", out.DType(), out.Shape(), base[i].DType(), base[i].Shape())
			}
			out.Bytes()
		}
	})
}

// primitives walks the graph that a case builds.
func primitives(out []*mlx.Array, see func(tensor.Primitive)) {
	nodes(out, func(_ tensor.Node, op tensor.Op) { see(op.Prim()) })
}

// nodes walks the computed nodes of a graph.
func nodes(out []*mlx.Array, see func(tensor.Node, tensor.Op)) {
	seen := map[tensor.Node]bool{}
	var walk func(n tensor.Node)
	walk = func(n tensor.Node) {
		op, ok := n.Op()
		if seen[n] || !ok {
			return
		}
		seen[n] = true
		see(n, op)
		for _, in := range op.In() {
			walk(in)
		}
	}
	for _, a := range out {
		walk(tensor.NodeOf(a))
	}
}

// noDerivative are the primitives with floating results that depend on floating inputs
// and have no derivative to test, and why.
var noDerivative = map[string]string{
	"quant.Quantize":      "it rounds",
	"tensor.StopGradient": "that is its meaning",
}

// varying reports which nodes depend on a floating input of a case.
func varying(in []*mlx.Array) func(n tensor.Node) bool {
	known := map[tensor.Node]bool{}
	for _, a := range in {
		if a.DType().Is(mlx.Inexact) && a.Size() > 0 {
			known[tensor.NodeOf(a)] = true
		}
	}
	var walk func(n tensor.Node) bool
	walk = func(n tensor.Node) bool {
		if v, ok := known[n]; ok {
			return v
		}
		op, ok := n.Op()
		known[n] = ok && slices.ContainsFunc(op.In(), walk)
		return known[n]
	}
	return walk
}

func typeName(p tensor.Primitive) string {
	typ := reflect.TypeOf(p)
	return strings.TrimPrefix(typ.PkgPath(), "github.com/mlxgo/mlx/internal/") + "." + typ.Name()
}

// TestEveryPrimitiveIsTransformed: each primitive that has a floating result of floating
// inputs is in a case that is differentiated and in one that is mapped.
func TestEveryPrimitiveIsTransformed(t *testing.T) {
	floats, graded, mapped := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, c := range Cases {
		in, _ := caseInputs(t, c)
		if in == nil && c.Inputs == nil && len(c.In) > 0 {
			continue
		}
		if err := mlx.Eval(in); err != nil {
			t.Fatal(err)
		}
		varies := varying(in)
		out := c.Build(in)
		smooth := c.NoGrad == "" && slices.ContainsFunc(out, func(a *mlx.Array) bool { return a.DType().Is(mlx.Floating) && varies(tensor.NodeOf(a)) })
		nodes(out, func(n tensor.Node, op tensor.Op) {
			name := typeName(op.Prim())
			mapped[name] = mapped[name] || c.NoVMap == "" && slices.ContainsFunc(in, func(a *mlx.Array) bool { return a != nil })
			if n.Spec().DType.Is(mlx.Inexact) && varies(n) {
				floats[name] = true
				graded[name] = graded[name] || smooth
			}
		})
	}
	for name := range floats {
		if why := noDerivative[name]; graded[name] == (why != "") {
			t.Errorf("%s: a case differentiates it %v; why not: %q", name, graded[name], why)
		}
	}
	for name, ok := range mapped {
		if !ok {
			t.Errorf("no case maps %s", name)
		}
	}
}

// TestEveryPrimitiveHasACase finds the primitives by their Infer methods.
func TestEveryPrimitiveHasACase(t *testing.T) {
	tested := map[string]bool{}
	ops := map[string]bool{}
	for _, c := range Cases {
		in, _ := caseInputs(t, c)
		if in == nil && c.Inputs == nil && len(c.In) > 0 {
			continue
		}
		primitives(c.Build(in), func(p tensor.Primitive) {
			typ := reflect.TypeOf(p)
			tested[strings.TrimPrefix(typ.PkgPath(), "github.com/mlxgo/mlx/internal/")+"."+typ.Name()] = true
			ops[p.Name()] = true
			if !typ.Comparable() || p != p { //nolint:staticcheck // NaN parameters would not be equal
				t.Errorf("%v is not comparable", typ)
			}
		})
	}
	found := 0
	for _, dir := range []string{"tensor", "tensor/fast", "tensor/fft", "tensor/linalg", "tensor/random", "quant"} {
		for _, name := range inferring(t, dir) {
			found++
			if full := dir + "." + name; full == "tensor.Count" || full == "tensor.TokenOf" {
				continue // nothing runs them: compiling replaces the one, and the other is empty
			}
			if full := dir + "." + name; full == "tensor/fast.Custom" {
				continue // runs on Metal alone; tested in mlx/fast
			}
			if !tested[dir+"."+name] {
				t.Errorf("no case builds %s.%s", dir, name)
			}
		}
	}
	if found < 25 {
		t.Errorf("found %d primitives only", found)
	}
	for o := range tensor.UnaryOp(tensor.NumUnary) {
		if !ops[o.String()] {
			t.Errorf("no case builds %v", o)
		}
	}
	for o := range tensor.BinaryOp(tensor.NumBinary) {
		if !ops[o.String()] {
			t.Errorf("no case builds %v", o)
		}
	}
	for o := range tensor.ReduceOp(tensor.NumReduce) {
		if !ops[o.String()] {
			t.Errorf("no case builds %v", o)
		}
	}
}

// caseInputs is material without skipping; nil if the inputs are not here.
func caseInputs(t *testing.T, c Case) ([]*mlx.Array, error) {
	if c.File == "" {
		return c.Arrays(nil)
	}
	for _, g := range goldens(t, c.File) {
		if in, err := c.Arrays(g); err == nil {
			return in, nil
		}
	}
	return nil, nil
}

// inferring lists the types of a package that have a method Infer.
func inferring(t *testing.T, dir string) (names []string) {
	t.Helper()
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	paths, err := filepath.Glob(filepath.Join(root, "internal", dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if strings.HasSuffix(path, "_test.go") {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Name.Name == "Infer" && fn.Recv != nil {
				if id, ok := fn.Recv.List[0].Type.(*ast.Ident); ok {
					names = append(names, id.Name)
				}
			}
		}
	}
	return names
}

func BenchmarkCases(b *testing.B) {
	for _, c := range Cases {
		if strings.HasPrefix(c.File, "quantize") && !strings.HasPrefix(c.Name, "float32") {
			continue
		}
		b.Run(strings.TrimPrefix(c.File+"/"+c.Name, "/"), func(b *testing.B) {
			in, _ := material(b, c)
			for b.Loop() {
				run(b, c, in)
			}
		})
	}
}
