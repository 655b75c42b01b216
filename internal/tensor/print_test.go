package tensor_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func TestFormat(t *testing.T) {
	nan, inf := float32(math.NaN()), float32(math.Inf(1))
	f := tensor.FromSlice([]float32{1, -0.5, 123.456})
	i := tensor.FromSlice([]int32{5, -7, 255})
	u := tensor.FromSlice([]uint64{math.MaxUint64})
	c := tensor.FromSlice([]complex64{1 + 2i, complex(-1, -0.25), complex(0, nan)})
	b := tensor.FromSlice([]bool{true, false})
	m := tensor.FromSlice([]float64{1, 2, 3, 1. / 3}, 2, 2)
	for _, c := range []struct {
		format string
		a      *tensor.Array
		want   string
	}{
		{"%v", i, "array([5, -7, 255], dtype=int32)"},
		{"%s", f, "array([1, -0.5, 123.456], dtype=float32)"},
		{"%+v", i, "array([5, -7, 255], dtype=int32)"},
		{"%#v", i, "array([5, -7, 255], dtype=int32)"},
		{"%q", b, `"array([True, False], dtype=bool)"`},
		{"[%34v]", b, "[  array([True, False], dtype=bool)]"},
		{"[%-34s]", b, "[array([True, False], dtype=bool)  ]"},
		{"%.5v", i, "array"},
		{"%.3f", f, "array([1.000, -0.500, 123.456], dtype=float32)"},
		{"%8.2f", f, "array([    1.00,    -0.50,   123.46], dtype=float32)"},
		{"%-6.1f", f, "array([1.0   , -0.5  , 123.5 ], dtype=float32)"},
		{"%+.1f", f, "array([+1.0, -0.5, +123.5], dtype=float32)"},
		{"%e", f, "array([1.000000e+00, -5.000000e-01, 1.234560e+02], dtype=float32)"},
		{"%g", f, "array([1, -0.5, 123.456], dtype=float32)"},
		{"%g", tensor.AsType(tensor.FromSlice([]float32{0.1}), dtype.BFloat16, none), "array([0.100097656], dtype=bfloat16)"},
		{"%g", tensor.AsType(tensor.FromSlice([]float32{0.1}), dtype.Float16, none), "array([0.099975586], dtype=float16)"},
		{"%g", m, "array([[1, 2],\n       [3, 0.3333333333333333]], dtype=float64)"},
		{"%.2f", m, "array([[1.00, 2.00],\n       [3.00, 0.33]], dtype=float64)"},
		{"%.1f", tensor.FromSlice([]float32{nan, inf, -inf}), "array([nan, inf, -inf], dtype=float32)"},
		{"%5.1f", tensor.FromSlice([]float64{math.NaN(), math.Inf(-1), 2}), "array([  nan,  -inf,   2.0], dtype=float64)"},
		{"%-5g", tensor.FromSlice([]float32{inf}), "array([inf  ], dtype=float32)"},
		{"%.1f", c, "array([1.0+2.0j, -1.0-0.2j, 0.0+nanj], dtype=complex64)"},
		{"%+.1f", c, "array([+1.0+2.0j, -1.0-0.2j, +0.0+nanj], dtype=complex64)"},
		{"%6.1f", c, "array([   1.0  +2.0j,   -1.0  -0.2j,    0.0  +nanj], dtype=complex64)"},
		{"%+.1f", tensor.FromSlice([]float32{nan, inf, -inf}), "array([+nan, +inf, -inf], dtype=float32)"},
		{"%d", i, "array([5, -7, 255], dtype=int32)"},
		{"%4d", i, "array([   5,   -7,  255], dtype=int32)"},
		{"%#x", i, "array([0x5, -0x7, 0xff], dtype=int32)"},
		{"%d", u, "array([18446744073709551615], dtype=uint64)"},
		{"%t", b, "array([true, false], dtype=bool)"},
		{"%.2f", vec(0.125).Reshape(), "0.12"},
		{"%v", vec(0.125).Reshape(), "array(0.125, dtype=float32)"},
		{"%z", i, "%!z(*tensor.Array=array([5, -7, 255], dtype=int32))"},
		{"%d", f, "%!d(*tensor.Array=array([1, -0.5, 123.456], dtype=float32))"},
		{"%.3f", i, "%!f(*tensor.Array=array([5, -7, 255], dtype=int32))"},
		{"%f", b, "%!f(*tensor.Array=array([True, False], dtype=bool))"},
		{"%T", b, "*tensor.Array"},
	} {
		if got := fmt.Sprintf(c.format, c.a); got != c.want {
			t.Errorf("%s prints %q, want %q", c.format, got, c.want)
		}
	}
}

// TestPrintInside: fmt finds the method inside lists, maps and structs.
func TestPrintInside(t *testing.T) {
	a := tensor.FromSlice([]int8{1})
	type pair struct{ W, B *tensor.Array }
	for want, v := range map[string]any{
		"[array([1], dtype=int8) <nil>]":                              []*tensor.Array{a, nil},
		"{W:array([1], dtype=int8) B:array([[-1]], dtype=int8)}":      pair{a, a.Neg().Reshape(1, 1)},
		"map[x:array([1], dtype=int8) y:array([0.5], dtype=float32)]": map[string]*tensor.Array{"x": a, "y": vec(0.5)},
	} {
		if got := fmt.Sprintf("%+v", v); got != want {
			t.Errorf("prints %s, want %s", got, want)
		}
	}
}

func slice(a *tensor.Array, start, stop, step []int) *tensor.Array {
	return tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(start...), Stop: tensor.MakeInts(stop...), Step: tensor.MakeInts(step...)}, none, a)
}

// TestPrintViews: a view prints as its row-major copy, whatever its strides.
func TestPrintViews(t *testing.T) {
	for d := range tensor.DType(dtype.Count) {
		x := tensor.AsType(ramp(9*8*10), d, none).Reshape(9, 8, 10)
		for name, v := range map[string]*tensor.Array{
			"whole":     x,
			"transpose": x.T(),
			"permuted":  x.Transpose(1, 2, 0),
			"steps":     slice(x, []int{1, 0, 2}, []int{9, 8, 9}, []int{3, 2, 1}),
			"backwards": slice(x, []int{8, 7, 9}, []int{-1, 1, -1}, []int{-1, -1, -3}),
			"broadcast": slice(x, []int{0, 3, 0}, []int{9, 4, 10}, []int{1, 1, 1}).BroadcastTo(7, 9, 8, 10),
			"empty":     slice(x, []int{0, 3, 0}, []int{9, 3, 10}, []int{1, 1, 1}),
		} {
			c := tensor.CopyOf(v, none)
			if got, want := v.String(), c.String(); got != want {
				t.Errorf("%v %s: prints\n%s\nwant\n%s", d, name, got, want)
			}
		}
	}
}

// TestPrintIsCheap: a summary reads what it shows, not the array.
func TestPrintIsCheap(t *testing.T) {
	start := time.Now()
	row := tensor.FromSlice([]int16{1, 2, 3, 4, 5, 6, 7, 8}).BroadcastTo(1<<28, 8)
	text := row.String()
	if d := time.Since(start); d > time.Second { // milliseconds, unless the machine is busy
		t.Errorf("2^31 elements take %v", d)
	}
	line := "[1, 2, 3, ..., 6, 7, 8]"
	next := ",\n       "
	want := "array([" + strings.Repeat(line+next, 3) + "..." + strings.Repeat(next+line, 3) + "], dtype=int16)"
	if text != want {
		t.Errorf("prints %s, want %s", text, want)
	}
	none := tensor.FromSlice([]float32{}).BroadcastTo(1<<40, 0)
	if text, want := none.String(), "array([[],\n       [],\n       [],\n       ...,\n       [],\n       [],\n       []], dtype=float32)"; text != want {
		t.Errorf("prints %s, want %s", text, want)
	}
}

func TestPrintEvaluates(t *testing.T) {
	a := vec(1, 2).Add(1).Mul(vec(10, 100))
	if got, want := a.String(), "array([20, 300], dtype=float32)"; got != want {
		t.Errorf("prints %s, want %s", got, want)
	}
}

// TestPrintFaults: what cannot be read prints as a sentence.
func TestPrintFaults(t *testing.T) {
	trace := &tensor.Trace{Abstract: true}
	defer trace.End()
	abstract := trace.Placeholder(tensor.Spec{Shape: tensor.Shape{2, 3}, DType: dtype.Float32})
	donated := vec(1, 2)
	donated.Donate()
	const noData = "that cannot be read: an abstract value has no data: inside compile or vmap it cannot be read, and outside it has escaped"
	for _, c := range []struct {
		name string
		a    *tensor.Array
		want string
	}{
		{"traced", abstract, "array of float32(2, 3) " + noData},
		{"of traced", abstract.T().Eq(1), "array of bool(3, 2) " + noData},
		{"donated", donated, "array of float32(2,) that cannot be read: the array was donated: its handle is dead"},
		{"nil", nil, "<nil>"},
		{"zero", new(tensor.Array), "array without a value"},
	} {
		if got := c.a.String(); got != c.want {
			t.Errorf("%s: prints %s, want %s", c.name, got, c.want)
		}
		if got := fmt.Sprint(c.a); got != c.want {
			t.Errorf("%s: Sprint gives %s, want %s", c.name, got, c.want)
		}
		got := fmt.Sprintf("%.2f|%d", c.a, c.a)
		if !strings.Contains(got, c.want) || strings.Contains(got, "PANIC") {
			t.Errorf("%s: with verbs prints %s", c.name, got)
		}
	}
}

// TestPrintTracedValue: a value under a trace with data (grad) can be printed, and
// stays on the tape.
func TestPrintTracedValue(t *testing.T) {
	trace := &tensor.Trace{}
	defer trace.End()
	y := trace.Tracers([]*tensor.Array{vec(3)})[0].Mul(2)
	if got, want := y.String(), "array([6], dtype=float32)"; got != want {
		t.Errorf("prints %s, want %s", got, want)
	}
	if op, ok := tensor.NodeOf(y).Op(); !ok || len(op.In()) != 2 {
		t.Error("printing took the value off the tape")
	}
}

// strange is an op that no backend has a kernel for.
type strange struct{}

func (strange) Name() string                                  { return "strange" }
func (strange) Infer(in []tensor.Spec) ([]tensor.Spec, error) { return in, nil }

// TestPrintBackendFault: a fault of the evaluation is printed, too.
func TestPrintBackendFault(t *testing.T) {
	a := tensor.Apply1(strange{}, none, vec(1, 2))
	err := tensor.Eval(a)
	if !errors.Is(err, tensor.ErrUnsupported) {
		t.Fatalf("evaluating gives %v", err)
	}
	if got, want := a.String(), "array of float32(2,) that cannot be read: "+err.Error(); got != want {
		t.Errorf("prints %s, want %s", got, want)
	}
}

func TestSetPrintOptions(t *testing.T) {
	old := tensor.SetPrintOptions(tensor.PrintOptions{Precision: 2})
	defer tensor.SetPrintOptions(old)
	if old.Precision != -1 {
		t.Errorf("the default precision is %d, want -1", old.Precision)
	}
	if got, want := vec(1./3, 2e7).String(), "array([0.33, 20000000.00], dtype=float32)"; got != want {
		t.Errorf("prints %s, want %s", got, want)
	}
	for _, p := range []int{-2, 1001} {
		err := tensor.Try(func() { tensor.SetPrintOptions(tensor.PrintOptions{Precision: p}) })
		var e *tensor.Error
		if !errors.As(err, &e) {
			t.Errorf("precision %d: error %v", p, err)
		}
	}
	if now := tensor.SetPrintOptions(tensor.PrintOptions{Precision: -1}); now.Precision != 2 {
		t.Errorf("a refused precision changed the options to %v", now)
	}
}
