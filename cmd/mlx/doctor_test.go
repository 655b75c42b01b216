package main

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mlxgo/mlx/internal/doctor"
)

// doctored checks what mlx doctor --json printed: doctored DEVICE...
func doctored(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: doctored DEVICE...")
	}
	var r doctorReport
	d := json.NewDecoder(strings.NewReader(ts.ReadFile("stdout")))
	d.DisallowUnknownFields()
	ts.Check(d.Decode(&r))
	if d.More() {
		ts.Fatalf("more than one object")
	}
	if r.Build.Go == "" || r.Machine.Cores < 1 || r.Machine.System == "" || r.Machine.SIMD == "" || r.Machine.GPU == nil && r.Machine.Missing == "" {
		ts.Fatalf("machine %+v of %+v", r.Machine, r.Build)
	}
	for _, dev := range args {
		n := 0
		for _, c := range r.Checks {
			if c.Device == dev && c.Status == doctor.OK {
				n++
			}
		}
		if n < 80 {
			ts.Fatalf("%d checks of the %s are ok", n, dev)
		}
	}
	if r.Err() != nil || len(r.Measures) > 0 {
		ts.Fatalf("%v, measures %v", r.Err(), r.Measures)
	}
}

// What the printer writes of kernels and checks that fail.
func TestDoctorShowsFaults(t *testing.T) {
	var b strings.Builder
	p := &doctorPrinter{out: &b}
	p.compiled(doctor.Compiled{File: "rope", Variants: 3, Seconds: 1.26})
	p.compiled(doctor.Compiled{File: "quant", Variants: 3, Faults: []doctor.Fault{{Kernel: "qmv_4", Message: "error: no bfloat\n\tx = y;"}}})
	p.check(doctor.Result{Name: "sort", DType: "float32", Status: doctor.OK})
	p.check(doctor.Result{Name: "sort", DType: "float16", Status: doctor.Failed, Detail: "element [1] is 2, expected 3", Kernels: []string{"sort_block", "sort_merge"}})
	p.check(doctor.Result{Name: "conv", DType: "float32", Status: doctor.OK, OnCPU: []string{"conv"}})
	p.check(doctor.Result{Name: "conv", DType: "float16", Status: doctor.OK, OnCPU: []string{"conv"}})
	p.check(doctor.Result{Name: "streams", Status: doctor.LeftOut, Detail: "it is for the GPU"})
	p.endChecks()
	p.measure(doctor.Measure{Device: "GPU", Name: "copying", Rate: 1.5e11, Unit: "B"})
	p.measure(doctor.Measure{Device: "GPU", Name: "matmul", Fault: "no memory"})
	want := `ok           rope: 3 compile in 1.3 s
FAIL         quant: 1 of 3 do not compile
             qmv_4: error: no bfloat
                 x = y;
ok           sort, float32
FAIL         sort, float16: element [1] is 2, expected 3
             kernels: sort_block, sort_merge
ok           conv, float32 float16 (on the CPU: conv)
left out     streams: it is for the GPU
             3 are ok, 1 fail, 1 are left out
             GPU: copying: 150 GB/s
FAIL         GPU: matmul: no memory
`
	if b.String() != want {
		t.Errorf("%s\nwant\n%s", b.String(), want)
	}
	if p.err != nil {
		t.Error(p.err)
	}
	p.out = failingWriter{}
	p.title("more")
	if !errors.Is(p.err, errFull) {
		t.Errorf("%v", p.err)
	}
}

var errFull = errors.New("the disk is full")

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, errFull }
