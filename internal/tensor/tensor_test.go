package tensor_test

import (
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var none tensor.Stream

func vec(v ...float32) *tensor.Array { return tensor.FromSlice(v) }

func ramp(n int) *tensor.Array {
	v := make([]float32, n)
	for i := range v {
		v[i] = float32(i % 97)
	}
	return tensor.FromSlice(v)
}

func want(t *testing.T, a *tensor.Array, v ...float32) {
	t.Helper()
	if got := tensor.ToSlice[float32](a); fmt.Sprint(got) != fmt.Sprint(v) {
		t.Errorf("got %v, want %v", got, v)
	}
}

func sum(a *tensor.Array) *tensor.Array { return tensor.ReduceOf(tensor.OpSum, a, nil, false, none) }

// collect runs the collector and what it finds.
func collect() {
	for range 3 {
		runtime.GC()
	}
}

// settle collects until cleanups, which run beside the collector, have freed all that
// they will.
func settle() {
	for same, last := 0, int64(-1); same < 5; {
		collect()
		now := tensor.ActiveMemory()
		if same++; now != last {
			same, last = 0, now
		}
	}
}

func heapObjects() int64 {
	settle()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapObjects)
}

// TestUses is the counter-example of the freeing rule: the handle of h is dead, but
// a consumer that is not yet evaluated holds it.
func TestUses(t *testing.T) {
	const n = 1 << 16 // large: the value has a weak handle
	x := ramp(n)
	h := x.Mul(2)
	y := sum(h)
	z := h.Add(1)
	h = nil
	collect()
	if err := tensor.Eval(y); err != nil {
		t.Fatal(err)
	}
	collect()
	for i, v := range tensor.ToSlice[float32](z) {
		if v != float32(i%97)*2+1 {
			t.Fatalf("element %d is %v", i, v)
		}
	}
	runtime.KeepAlive(h)
}

// TestTrainingLoopIsFlat runs 10,000 eager steps of a small regression by hand-made
// gradients: heap objects, weak handles (large values have them) and active bytes
// stay.
func TestTrainingLoopIsFlat(t *testing.T) {
	steps := 10_000
	if testing.Short() {
		steps = 2_000
	}
	const rows, cols = 256, 128 // x is 128 KiB: off heap
	x := ramp(rows*cols).Reshape(rows, cols).Div(97)
	target := tensor.MatMulOf(x, ramp(cols).Div(97).Reshape(cols, 1), none)
	w := tensor.FromSlice(make([]float32, cols), cols, 1)
	velocity := tensor.FromSlice(make([]float32, cols), cols, 1)
	var early, lateObjects, earlyBytes, lateBytes int64
	first, last := float32(0), float32(0)
	for i := range steps {
		r := tensor.MatMulOf(x, w, none).Sub(target)
		wide := r.BroadcastTo(rows, cols).Mul(x) // a large intermediate
		grad := tensor.ReduceOf(tensor.OpSum, wide, []int{0}, false, none).Reshape(cols, 1).Div(rows)
		velocity = velocity.Donate().Mul(0.9).Add(grad)
		w = w.Donate().Sub(velocity.Mul(0.002))
		loss := tensor.Mean(r.Mul(r), nil, false, none)
		if err := tensor.Eval(w, velocity, loss); err != nil {
			t.Fatal(err)
		}
		last = tensor.Item[float32](loss)
		switch i {
		case 0:
			first = last
		case steps / 10:
			early, earlyBytes = heapObjects(), tensor.ActiveMemory()
		case steps - 1:
			lateObjects, lateBytes = heapObjects(), tensor.ActiveMemory()
		}
	}
	if !(last < first/100) {
		t.Errorf("loss %g after %g", last, first)
	}
	if lateObjects-early > 200 || lateBytes > earlyBytes {
		t.Errorf("%d heap objects and %d active bytes more at the end", lateObjects-early, lateBytes-earlyBytes)
	}
}

// TestGarbageIsBounded makes 2,000 arrays of 4 MiB and keeps none.
func TestGarbageIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("touches gigabytes")
	}
	tensor.ResetPeakMemory()
	x := ramp(1 << 20)
	for range 2000 {
		if err := tensor.Eval(x.Add(1)); err != nil {
			t.Fatal(err)
		}
	}
	if p := tensor.PeakMemory(); p > 1<<30 {
		t.Errorf("peak %d bytes", p)
	}
}

func TestDonate(t *testing.T) {
	x := vec(1, 2, 3).Add(0)
	keep := x.Mul(10)
	y := x.Donate().Add(1)
	want(t, y, 2, 3, 4)
	want(t, keep, 10, 20, 30)
	err := tensor.Try(func() { x.Add(1) })
	if err == nil || !strings.Contains(err.Error(), "donated") {
		t.Errorf("use after donation: %v", err)
	}
	if err := tensor.Try(func() { x.Donate() }); err == nil {
		t.Error("donated twice")
	}

	// The buffer is taken when nobody else wants it.
	big := ramp(1 << 18).Add(0)
	if err := tensor.Eval(big); err != nil {
		t.Fatal(err)
	}
	collect()
	tensor.ResetPeakMemory()
	before := tensor.PeakMemory()
	big = big.Donate().Add(1)
	if err := tensor.Eval(big); err != nil {
		t.Fatal(err)
	}
	if p := tensor.PeakMemory(); p > before {
		t.Errorf("donation copied: peak grew by %d", p-before)
	}
}

// TestTraces: a value that is read under a live trace keeps its tape; an ended trace
// keeps nothing; an abstract value cannot be read.
func TestTraces(t *testing.T) {
	trace := &tensor.Trace{}
	in := trace.Tracers([]*tensor.Array{vec(1, 2)})
	y := in[0].Mul(3)
	want(t, y, 3, 6)
	if _, ok := tensor.NodeOf(y).Op(); !ok {
		t.Error("reading cut the tape")
	}
	trace.End()
	if _, ok := tensor.NodeOf(y).Op(); ok {
		t.Error("an ended trace keeps its tape")
	}
	if tensor.Traced(y) {
		t.Error("an ended trace is live")
	}

	abstract := &tensor.Trace{Abstract: true}
	defer abstract.End()
	p := abstract.Placeholder(tensor.Spec{Shape: tensor.Shape{2}, DType: dtype.Float32})
	var e *tensor.Error
	if err := tensor.Eval(p.Add(1)); !errors.As(err, &e) {
		t.Errorf("evaluating an abstract value: %v", err)
	}
	if err := tensor.Try(func() { tensor.ToSlice[float32](p) }); err == nil {
		t.Error("an abstract value was read")
	}
}

// TestDeepGraph evaluates a chain of 200,000 ops.
func TestDeepGraph(t *testing.T) {
	x := vec(0)
	for range 200_000 {
		x = x.Add(1)
	}
	want(t, x, 200_000)
}

// TestStreams: values cross streams, in both directions and many times; a fault
// reaches only what depends on it.
func TestStreams(t *testing.T) {
	s := tensor.NewStream(tensor.Device{})
	x := ramp(1 << 15)
	total := float32(0)
	for _, v := range tensor.ToSlice[float32](x) {
		total += v
	}
	a := x
	for range 50 {
		a = tensor.BinaryAny(tensor.OpAdd, a, 1, s)
		a = tensor.BinaryAny(tensor.OpSubtract, a, 1, none)
	}
	if got := tensor.Item[float32](sum(a)); got != total {
		t.Errorf("sum %v, want %v", got, total)
	}
	y := x.On(s).Add(2).Mul(3)
	if y.Stream() != s {
		t.Errorf("home %v, not %v", y.Stream(), s)
	}
	if err := tensor.AsyncEval(y); err != nil {
		t.Fatal(err)
	}
	if err := tensor.Synchronize(s); err != nil {
		t.Fatal(err)
	}
	if got := tensor.ToSlice[float32](y)[5]; got != 21 {
		t.Errorf("y[5] is %v", got)
	}
}

// TestConcurrentEval: many goroutines build on shared lazy parents (B018).
func TestConcurrentEval(t *testing.T) {
	rounds := 50
	if testing.Short() {
		rounds = 10
	}
	for range rounds {
		parents := []*tensor.Array{ramp(1 << 15).Mul(2), vec(1, 2, 3).Add(1), ramp(100).Sub(1)}
		var wg sync.WaitGroup
		for g := range 16 {
			wg.Go(func() {
				for i := range 5 {
					p := parents[(g+i)%3]
					y := sum(p.Add(float64(g)))
					want := sum(p).Add(float64(g * p.Size()))
					if a, b := tensor.Item[float32](y), tensor.Item[float32](want); a != b {
						t.Errorf("goroutine %d: %v, not %v", g, a, b)
					}
				}
			})
		}
		wg.Wait()
	}
}

func TestMemoryLimit(t *testing.T) {
	if tensor.RaceEnabled {
		t.Skip("race builds allocate on Go's heap")
	}
	x := ramp(1 << 16)
	if err := tensor.Eval(tensor.CopyOf(x.BroadcastTo(64, 1<<16), none)); err != nil { // leaves kept memory of the size
		t.Fatal(err)
	}
	settle() // what is dead now must not make room later
	old := tensor.SetMemoryLimit(tensor.ActiveMemory() + 1<<20)
	defer tensor.SetMemoryLimit(old)
	err := tensor.Eval(tensor.CopyOf(x.BroadcastTo(64, 1<<16), none))
	if !errors.Is(err, tensor.ErrMemory) {
		t.Errorf("an allocation beyond the limit: %v", err)
	}
	if err := tensor.Eval(x.Add(1)); err != nil {
		t.Errorf("a small one after it: %v", err)
	}
}

func TestErrors(t *testing.T) {
	for name, f := range map[string]func(){
		"matmul[float32(1, 2) float32(3, 4)]: inner dimensions differ (2, 3)": func() {
			tensor.MatMulOf(vec(1, 2).Reshape(1, 2), ramp(12).Reshape(3, 4), none)
		},
		"add: shapes (2,) and (3,) cannot be broadcast":     func() { vec(1, 2).Add(vec(1, 2, 3)) },
		"cannot reshape an array of size 2 into shape (3,)": func() { vec(1, 2).Reshape(3) },
		"axis 2 is out of range for shape (2,)":             func() { vec(1, 2).Dim(2) },
		"string is neither an array nor a number":           func() { vec(1).Add("1") },
		"does not hold every":                               func() { tensor.ToSlice[int32](vec(1)) },
		"300 would overflow uint8":                          func() { tensor.FromSlice([]uint8{1}).Add(300) },
		"has 2 elements, not one":                           func() { tensor.Item[float32](vec(1, 2)) },
		"3 values do not fill shape (2,)":                   func() { tensor.FromSlice([]float32{1, 2, 3}, 2) },
		"shape (1073741824, 1073741824) is too large":       func() { vec(1).BroadcastTo(1<<30, 1<<30) },
		"negative of bool; use logical_not":                 func() { tensor.FromSlice([]bool{true}).Neg() },
	} {
		if err := tensor.Try(f); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, want %q in it", err, name)
		}
	}
}

// TestWeakScalars: numbers bend to the array's dtype if their kind fits (B005).
func TestWeakScalars(t *testing.T) {
	half := tensor.AsType(vec(1, 2), dtype.BFloat16, none)
	for _, y := range []*tensor.Array{half.Mul(2), half.Add(1), half.Div(3.0), half.Pow(2)} {
		if y.DType() != dtype.BFloat16 {
			t.Errorf("bfloat16 became %v", y.DType())
		}
	}
	i := tensor.FromSlice([]int32{1})
	if i.Mul(2).DType() != dtype.Int32 || i.Mul(0.5).DType() != dtype.Float32 {
		t.Error("int32 with numbers")
	}
	d := tensor.FromSlice([]float64{1})
	if got := tensor.Item[float64](d.Mul(0.1)); got != 0.1 {
		t.Errorf("float64 times 0.1 is %v", got)
	}
	if got := tensor.Item[float64](d.Add(1e-12)); got != 1.000000000001 {
		t.Errorf("float64 plus 1e-12 is %v", got)
	}
	l := tensor.FromSlice([]int64{1 << 50})
	if got := tensor.Item[int64](l.Add(int64(1) << 40)); got != 1<<50+1<<40 {
		t.Errorf("int64 sum is %v", got)
	}
	if b := tensor.FromSlice([]bool{true}).Add(1); b.DType() != dtype.Int32 {
		t.Errorf("bool + 1 is %v", b.DType())
	}
}
