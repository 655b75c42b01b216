//go:build linux && metalemu

package optest

import (
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/tensor"
)

// The other tests of this package run on the emulated GPU when MLX_DEVICE=metal-emu; these
// say how what runs there differs from the CPU, and what does not run there.

var updateCoverage = flag.Bool("update-coverage", false, "write docs/metal-coverage.md")

func onGPU(t *testing.T) {
	t.Helper()
	if mlx.DefaultDevice() != mlx.GPU {
		t.Skip("the GPU is not the default device: run with MLX_DEVICE=metal-emu")
	}
}

// full: MLX_FULL asks for what does not fit into .ci/run.
func full() bool { return os.Getenv("MLX_FULL") != "" }

// someDTypes are the types that each case is tried with.
func someDTypes() []mlx.DType {
	if !full() {
		return []mlx.DType{mlx.Float32, mlx.BFloat16}
	}
	return []mlx.DType{mlx.Float32, mlx.BFloat16, mlx.Float16, mlx.Bool, mlx.Uint8, mlx.Uint16, mlx.Uint32, mlx.Uint64,
		mlx.Int8, mlx.Int16, mlx.Int32, mlx.Int64, mlx.Complex64, mlx.Float64}
}

// tolerances of the same op on two devices: rounding differs, and so do orders of sums.
func deviceTol(c Case, d mlx.DType) Tol {
	switch d {
	case mlx.Float32, mlx.Complex64:
		return Tol{Rel: max(2e-5, c.Tol.Rel), Each: max(1e-5, c.Tol.Each), Abs: max(1e-6, c.Tol.Abs)}
	case mlx.Float16, mlx.BFloat16:
		return Tol{Rel: 4e-3, Ulps: 2, Abs: 1e-6}
	case mlx.Float64: // it runs on the CPU
		return Tol{Rel: 1e-12}
	}
	return Exact
}

// TestMetalDTypes: each case gives on the GPU what the CPU gives.
func TestMetalDTypes(t *testing.T) {
	onGPU(t)
	each(t, all, func(t *testing.T, c Case) {
		in, _ := material(t, c)
		for _, d := range someDTypes() {
			cast := castFloats(in, d)
			if cast == nil {
				continue
			}
			want, err := tryOn(mlx.CPU, c, cast)
			if err != nil {
				continue // no such op for the dtype
			}
			got, err := tryOn(mlx.GPU, c, cast)
			if err != nil {
				t.Errorf("%v: %v", d, err)
				continue
			}
			for i := range want {
				tol := deviceTol(c, want[i].DType())
				if want[i].DType() != d && d.Is(mlx.Inexact) && want[i].DType().Is(mlx.Inexact) {
					tol.Rel = max(tol.Rel, deviceTol(c, d).Rel)
				}
				if err := Diff(got[i], want[i], tol); err != nil {
					t.Errorf("%v: result %d %v", d, i, err)
				}
			}
		}
	})
}

// castFloats gives in with its floats as d, or nil if that changes nothing but for
// float32, which is what they are.
func castFloats(in []*mlx.Array, d mlx.DType) []*mlx.Array {
	mlx.SetDefaultDevice(mlx.CPU)
	defer mlx.SetDefaultDevice(mlx.GPU)
	out, some := slices.Clone(in), false
	for i, a := range in {
		if a.DType().Is(mlx.Floating) {
			out[i], some = a.AsType(d), true
		}
	}
	if !some && d != mlx.Float32 || mlx.Eval(out) != nil {
		return nil
	}
	return out
}

func tryOn(dev mlx.Device, c Case, in []*mlx.Array) (out []*mlx.Array, err error) {
	mlx.SetDefaultDevice(dev)
	defer mlx.SetDefaultDevice(mlx.GPU)
	defer func() { // a case may not bear inputs of other dtypes than its own
		if p := recover(); p != nil {
			err = fmt.Errorf("%v", p)
		}
	}()
	if err := mlx.Try(func() { out = c.Build(in) }); err != nil {
		return nil, err
	}
	return out, mlx.Eval(out)
}

// ran is what was seen of a primitive and a dtype.
type ran struct {
	gpu, cpu bool
	reason   string // why the CPU
}

// seen is what a run met, by the primitive's name.
type seen struct {
	where   map[string]map[mlx.DType]ran
	kernels map[string]map[string]bool // without template arguments
}

// coverage gathers what runs where while f runs.
func coverage(f func()) seen {
	var mu sync.Mutex
	all := seen{map[string]map[mlx.DType]ran{}, map[string]map[string]bool{}}
	metal.ObserveKernels(func(p tensor.Primitive, kernels []string) {
		mu.Lock()
		defer mu.Unlock()
		m := all.kernels[p.Name()]
		if m == nil {
			m = map[string]bool{}
			all.kernels[p.Name()] = m
		}
		for _, k := range kernels {
			m[k] = true
		}
	})
	defer metal.ObserveKernels(nil)
	metal.Observe(func(p tensor.Primitive, in, out []tensor.View, err error) {
		mu.Lock()
		defer mu.Unlock()
		d := out[0].DType
		if len(in) > 0 {
			d = in[0].DType
		}
		m := all.where[p.Name()]
		if m == nil {
			m = map[mlx.DType]ran{}
			all.where[p.Name()] = m
		}
		r := m[d]
		r.gpu = r.gpu || err == nil
		if errors.Is(err, tensor.ErrUnsupported) {
			r.cpu = true
			if r.reason == "" {
				r.reason = metal.Reason(err)
			}
		}
		m[d] = r
	})
	defer metal.Observe(nil)
	f()
	return all
}

// TestMetalCoverage: docs/metal-coverage.md is what the op table meets.
func TestMetalCoverage(t *testing.T) {
	onGPU(t)
	if !full() && !*updateCoverage {
		t.Skip("MLX_FULL=1 tries all dtypes")
	}
	dtypes := append(someDTypes(), mlx.Float16)
	if !full() {
		t.Fatal("-update-coverage needs MLX_FULL=1")
	}
	met := coverage(func() {
		for _, c := range Cases {
			t.Run(c.Name, func(t *testing.T) {
				in, _ := material(t, c)
				for _, d := range dtypes {
					if cast := castFloats(in, d); cast != nil {
						tryOn(mlx.GPU, c, cast)
					}
				}
			})
		}
	})
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := kernelFunctions(filepath.Join(root, "internal", "metal", "kernels"))
	if err != nil {
		t.Fatal(err)
	}
	text := met.table(files) + met.reasons()
	path := filepath.Join(root, "docs", "metal-coverage.md")
	if *updateCoverage {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	have, err := os.ReadFile(path)
	if err != nil || string(have) != text {
		t.Errorf("docs/metal-coverage.md is not what the op table meets: write it with MLX_FULL=1 -update-coverage (%v)", err)
	}
}

const coverageHead = `# What runs on the GPU

Written by ` + "`make metal-coverage`" + ` from the op table: the primitives that it meets, by the dtype of their first
input (of their result, if they have none).

- **gpu**: a kernel of Metal; those of a file of internal/metal/kernels are named, others are generated. A cell that
  says gpu beside no kernel is of nothing to do.
- cpu: no kernel; the CPU computes it, in the same memory. The second table says why.
- *both*: it depends on the shapes or parameters
- an empty cell: the op table has no such call

float64 does not exist in Metal: all of it is the CPU's. Arrays of more than 2^31-1 elements are, too.

`

var coverageColumns = []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16, mlx.Bool, mlx.Uint8, mlx.Uint16, mlx.Uint32, mlx.Uint64,
	mlx.Int8, mlx.Int16, mlx.Int32, mlx.Int64, mlx.Complex64}

// table has a line for each primitive.
func (s seen) table(files map[string]string) string {
	var b strings.Builder
	b.WriteString(coverageHead)
	b.WriteString("| primitive | kernels |")
	for _, d := range coverageColumns {
		fmt.Fprintf(&b, " %v |", d)
	}
	b.WriteString("\n|" + strings.Repeat(" --- |", len(coverageColumns)+2) + "\n")
	for _, name := range slices.Sorted(maps.Keys(s.where)) {
		fmt.Fprintf(&b, "| %s | %s |", name, kernelsOf(s.kernels[name], files))
		for _, d := range coverageColumns {
			cell := ""
			switch r := s.where[name][d]; {
			case r.gpu && r.cpu:
				cell = " *both*"
			case r.gpu:
				cell = " **gpu**"
			case r.cpu:
				cell = " cpu"
			}
			b.WriteString(cell + " |")
		}
		b.WriteString("\n")
	}
	return b.String()
}

// kernelsOf lists functions as FILE: FUNCTION, FUNCTION; names have template arguments.
func kernelsOf(names map[string]bool, files map[string]string) string {
	found := map[string][]string{}
	for name := range names {
		function, file := "", "generated"
		for fn, f := range files {
			if (name == fn || strings.HasPrefix(name, fn+"_")) && len(fn) > len(function) {
				function, file = fn, f
			}
		}
		if l := found[file]; !slices.Contains(l, function) {
			found[file] = append(l, function)
		}
	}
	var parts []string
	for _, file := range slices.Sorted(maps.Keys(found)) {
		if file == "generated" {
			parts = append(parts, file)
			continue
		}
		slices.Sort(found[file])
		parts = append(parts, file+": "+strings.Join(found[file], ", "))
	}
	return strings.Join(parts, "; ")
}

// kernelFunctions are the files' names by the functions of kernels in them.
func kernelFunctions(dir string) (map[string]string, error) {
	functions := map[string]string{}
	paths, err := filepath.Glob(filepath.Join(dir, "*.metal"))
	if err != nil {
		return nil, err
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, m := range kernelFunction.FindAllSubmatch(text, -1) {
			functions[string(m[1])] = strings.TrimSuffix(filepath.Base(path), ".metal")
		}
	}
	return functions, nil
}

var kernelFunction = regexp.MustCompile(`\[\[kernel[^\]]*\]\]\s+void\s+(\w+)\(`)

// TestMetalKernelFunctions: the table knows each function of a kernel.
func TestMetalKernelFunctions(t *testing.T) {
	root, err := Root()
	if err != nil {
		t.Fatal(err)
	}
	files, err := kernelFunctions(filepath.Join(root, "internal", "metal", "kernels"))
	if err != nil {
		t.Fatal(err)
	}
	for function, file := range map[string]string{"copy_rows": "copy", "fft": "fft", "gemm": "matmul", "qmm": "quant", "attend_tiles": "attention"} {
		if files[function] != file {
			t.Errorf("the file of %s is %q, not %q", function, files[function], file)
		}
	}
}

// reasons says of what ran on the CPU why.
func (s seen) reasons() string {
	var b strings.Builder
	b.WriteString("\n## Why some run on the CPU\n\n| primitive | dtypes | there is no kernel for |\n| --- | --- | --- |\n")
	for _, name := range slices.Sorted(maps.Keys(s.where)) {
		var reasons []string
		dtypes := map[string][]string{}
		for _, d := range coverageColumns {
			r := s.where[name][d].reason
			if r == "" {
				continue
			}
			if dtypes[r] == nil {
				reasons = append(reasons, r)
			}
			dtypes[r] = append(dtypes[r], d.String())
		}
		for _, r := range reasons {
			fmt.Fprintf(&b, "| %s | %s | %s |\n", name, strings.Join(dtypes[r], ", "), r)
		}
	}
	return b.String()
}
