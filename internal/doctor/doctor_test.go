package doctor

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// A result that is not what was recorded is found, with its place.
func TestWrongResultIsFound(t *testing.T) {
	checks, err := ready()
	if err != nil {
		t.Fatal(err)
	}
	r, err := readRecords()
	if err != nil {
		t.Fatal(err)
	}
	var c check
	for i := range checks {
		if checks[i].name == "roots and powers" {
			c = checks[i]
		}
	}
	right := c.build
	for name, f := range map[string]struct {
		build func(in arrays) arrays
		want  string
	}{
		"a wrong element": {func(in arrays) arrays {
			out := right(in)
			out[1] = out[1].At(1, 2, 3).Add(0.01)
			return out
		}, "sqrt: element [1 2 3] is "},
		"NaN": {func(in arrays) arrays {
			out := right(in)
			out[4] = out[4].At(0, 0, 0).Set(math.NaN())
			return out
		}, "power: element [0 0 0] is NaN, expected "},
		"another shape": {func(in arrays) arrays {
			out := right(in)
			out[0] = out[0].Reshape(3, 35)
			return out
		}, "square: the shape is (3, 35), expected (3, 7, 5)"},
		"another dtype": {func(in arrays) arrays {
			out := right(in)
			out[2] = out[2].AsType(mlx.Int32)
			return out
		}, "rsqrt: the dtype is int32, expected float32"},
		"an error": {func(in arrays) arrays { return arrays{mlx.Reshape(in[0], mlx.Shape{2})} }, "reshape"},
		"too few":  {func(in arrays) arrays { return right(in)[:2] }, "2 results, want 5"},
	} {
		c.build = f.build
		var got []Result
		runChecks([]check{c}, r, mlx.CPU, func(res Result) { got = append(got, res) })
		if len(got) != len(halves) {
			t.Fatalf("%s: %d results", name, len(got))
		}
		if got[0].Status != Failed || !strings.Contains(got[0].Detail, f.want) {
			t.Errorf("%s: %s %q, want %q", name, got[0].Status, got[0].Detail, f.want)
		}
	}
}

// A kernel that does not compile is named with what the compiler says, and the others are
// compiled.
func TestCompileFaultIsFound(t *testing.T) {
	compiled := 0
	good := func() error { compiled++; return nil }
	long := fmt.Errorf("%w\nqmv.metal:3:7: error: no type named 'bfloat'%s", gpu.ErrCompile, strings.Repeat("\nnote: more", 20))
	var got []Compiled
	compileAll([]variant{{"quant", "a", good}, {"quant", "b", func() error { return long }}, {"rope", "c", good}}, func(c Compiled) { got = append(got, c) })
	if len(got) != 2 || compiled != 2 || got[0].File != "quant" || got[0].Variants != 2 || len(got[1].Faults) != 0 {
		t.Fatalf("%+v, %d compiled", got, compiled)
	}
	if f := got[0].Faults; len(f) != 1 || f[0].Kernel != "b" || !strings.Contains(f[0].Message, "no type named 'bfloat'") || !strings.HasSuffix(f[0].Message, "\n(16 more lines)") {
		t.Errorf("%+v", f)
	}
}

// Checks for the GPU are left out on the CPU, with a reason.
func TestLeftOut(t *testing.T) {
	n := 0
	err := Checks(mlx.CPU, func(r Result) {
		if r.Status == LeftOut {
			n++
			if r.Detail != "it is for the GPU" {
				t.Errorf("%+v", r)
			}
		}
	})
	if err != nil || n == 0 {
		t.Errorf("%d were left out: %v", n, err)
	}
}

// What fails is named.
func TestVerdict(t *testing.T) {
	r := Report{Checks: []Result{{Device: "CPU", Name: "sort", Status: OK}}}
	if err := r.Err(); err != nil {
		t.Error(err)
	}
	r.Checks = append(r.Checks, Result{Device: "GPU", Name: "rope", Status: Failed})
	r.Compiled = []Compiled{{File: "quant", Faults: []Fault{{Kernel: "qmv"}}}}
	r.Measures = []Measure{{Device: "GPU", Name: "copying", Fault: "no memory"}}
	want := "3 checks fail: the kernel qmv of quant does not compile; rope on the GPU; copying on the GPU cannot be measured"
	if err := r.Err(); err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
	if errors.Is(r.Err(), gpu.ErrCompile) {
		t.Error("it wraps an error")
	}
}

// Rates are numbers of the right size.
func TestMeasures(t *testing.T) {
	s := sizesFor(mlx.CPU, false)
	s.copied, s.rows, s.cols, s.product, s.window = 1<<20, 64, 256, 64, 1
	n := 0
	s.measure(mlx.CPU, func(m Measure) {
		n++
		if m.Fault != "" || !(m.Rate > 1e6) || m.Device != "CPU" {
			t.Errorf("%+v", m)
		}
	})
	if n != 3 {
		t.Errorf("%d measures", n)
	}
}
