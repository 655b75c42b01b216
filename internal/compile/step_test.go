package compile

import (
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

func f32(shape ...int) tensor.Spec {
	return tensor.Spec{Shape: shape, DType: tensor.DTypeOf[float32]()}
}

// A captured weight is a constant of the Plan: what takes it over must copy.
func TestDonatedWeight(t *testing.T) {
	w := vec(1, 2)
	f := New("times w", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{mul(in[0], w)}, nil })
	times := func(what string) {
		t.Helper()
		out, _ := run(t, f, []*Array{vec(10, 10)}, nil)
		want(t, what, out[0], 10, 20)
	}
	times("before")
	up := New("negate", func(_, s []*Array) ([]*Array, []*Array) { return nil, []*Array{neg(s[0])} })
	_, st := run(t, up, nil, []*Array{w})
	want(t, "updated", st[0], -1, -2)
	times("after a call took it")

	v := vec(3, 4)
	g := New("times v", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{mul(in[0], v)}, nil })
	run(t, g, []*Array{vec(1, 1)}, nil)
	want(t, "donated", neg(v.Donate()), -3, -4)
	out, _ := run(t, g, []*Array{vec(1, 1)}, nil)
	want(t, "after a donation", out[0], 3, 4)
}

// States keep their buffer when nobody else has it.
func TestStateKeepsItsBuffer(t *testing.T) {
	f := New("negate", func(_, s []*Array) ([]*Array, []*Array) { return nil, []*Array{neg(s[0])} })
	a := vec(1, 2)
	v, err := tensor.ValueOf(a)
	if err != nil {
		t.Fatal(err)
	}
	st := []*Array{a}
	for range 3 {
		_, st = run(t, f, nil, st)
	}
	want(t, "state", st[0], -1, -2)
	if got, _ := tensor.ValueOf(st[0]); got.Buf != v.Buf {
		t.Error("the state moved")
	}
	if _, _, err := f.Call(nil, []*Array{a}); err == nil {
		t.Error("a state that was taken can be used again")
	}
}

// Two writes into a cache happen in its memory.
func TestCacheWrittenTwice(t *testing.T) {
	f := New("twice", func(in, s []*Array) ([]*Array, []*Array) {
		n := fast.CacheWriteOf(s[0], in[0], in[1], none)
		return nil, []*Array{fast.CacheWriteOf(n, neg(in[0]), in[2], none)}
	})
	st := tensor.FromSlice([]float32{1, 1, 1, 1}, 1, 1, 4, 1)
	in := []*Array{tensor.FromSlice([]float32{5}, 1, 1, 1, 1), tensor.FromSlice([]int32{2}), tensor.FromSlice([]int32{0})}
	_, ns := run(t, f, in, []*Array{st})
	want(t, "cache", ns[0], -5, 1, 5, 1)
	e, err := f.For(specs(in), specs(ns))
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range e.Plan.Steps {
		if s.Prim == (fast.CacheWrite{}) && (s.In[0].Kind != tensor.SlotState || s.Out[0].Kind != tensor.SlotState) {
			t.Errorf("not in place:\n%v", e.Plan)
		}
	}
}

func mappedArray(n int) *Array {
	host := make([]byte, 4*n)
	return tensor.FromView(tensor.View{Spec: f32(n), Strides: []int{1}, Buf: tensor.Borrow(host, "file")})
}

// What mapped weights become is computed in the Plan, unless it is small.
func TestMappedWeights(t *testing.T) {
	for _, c := range []struct{ n, consts, steps int }{{64, 1, 1}, {32 << 10, 1, 2}} {
		w := mappedArray(c.n)
		f := New("mapped", func(in, _ []*Array) ([]*Array, []*Array) {
			return []*Array{mul(in[0], tensor.ScanOf(tensor.ScanSum, w, 0, false, false, none))}, nil
		})
		e, err := f.For([]tensor.Spec{f32(c.n)}, nil)
		if err != nil {
			t.Fatal(err)
		}
		if len(e.Plan.Const) != c.consts || len(e.Plan.Steps) != c.steps {
			t.Errorf("%d elements: plan\n%v", c.n, e.Plan)
		}
		if big := c.n > 64; big != e.Plan.Const[0].Buf.Borrowed() {
			t.Errorf("%d elements: constant is mapped: %t", c.n, !big)
		}
	}
}

// A lazy weight is evaluated once, not in each run.
func TestLazyWeight(t *testing.T) {
	w := un(tensor.OpExp, tensor.BroadcastTo(scalar(0), tensor.Shape{20 << 10}, none))
	f := New("lazy", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{mul(in[0], w)}, nil })
	e, err := f.For([]tensor.Spec{f32(20 << 10)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	v, err := tensor.ValueOf(w)
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Plan.Steps) != 1 || e.Plan.Const[0].Buf != v.Buf {
		t.Errorf("plan\n%v", e.Plan)
	}
}

func TestCapturedTracer(t *testing.T) {
	tr := &tensor.Trace{}
	defer tr.End()
	x := tr.Tracers([]*Array{vec(3, 3)})[0]
	f := New("closes over x", func(in, _ []*Array) ([]*Array, []*Array) {
		return []*Array{mul(in[0], un(tensor.OpSquare, x))}, nil
	})
	if _, _, err := f.Call([]*Array{vec(5, 5)}, nil); !errors.Is(err, ErrCaptured) {
		t.Errorf("captured: %v", err)
	}
	g := New("is given x", func(in, _ []*Array) ([]*Array, []*Array) { return in, nil })
	if _, _, err := g.Call([]*Array{x}, nil); !errors.Is(err, ErrCaptured) {
		t.Errorf("given: %v", err)
	}
	if _, _, err := g.Call(nil, []*Array{x}); !errors.Is(err, ErrCaptured) {
		t.Errorf("given as state: %v", err)
	}
	inner := New("returns it", func(_, _ []*Array) ([]*Array, []*Array) { return []*Array{x}, nil })
	if _, _, err := inner.Call(nil, nil); !errors.Is(err, ErrCaptured) {
		t.Errorf("returned: %v", err)
	}
}

// A transformation that ran and ended inside leaves nothing but Copy nodes.
func TestTransformationInside(t *testing.T) {
	f := New("inside", func(in, _ []*Array) ([]*Array, []*Array) {
		tr := &tensor.Trace{}
		defer tr.End()
		return []*Array{un(tensor.OpSquare, tr.Tracers(in)[0])}, nil
	})
	out, _ := run(t, f, []*Array{vec(2, 3)}, nil)
	want(t, "square", out[0], 4, 9)
}

func TestErrors(t *testing.T) {
	var escaped *Array
	keep := New("keep", func(in, _ []*Array) ([]*Array, []*Array) { escaped = in[0]; return in, nil })
	run(t, keep, []*Array{vec(1, 2)}, nil)
	if err := tensor.Eval(escaped); err == nil {
		t.Error("a placeholder that escaped was evaluated")
	}
	donated := vec(1, 2)
	donated.Donate()
	for _, c := range []struct {
		name, want string
		misuse     bool // the cause is a *tensor.Error
		f          Traced
	}{
		{"shapes", "specs differ", true, func(in, s []*Array) ([]*Array, []*Array) {
			return []*Array{tensor.Apply1(tensor.Binary{Op: tensor.OpAdd}, none, in[0], scalar(1))}, s
		}},
		{"reads", "no data", true, func(in, s []*Array) ([]*Array, []*Array) {
			return []*Array{scalar(float64(tensor.ToSlice[float32](in[0])[0]))}, s
		}},
		{"another device", "runs on one device", false, func(in, s []*Array) ([]*Array, []*Array) {
			gpu := tensor.DefaultStream(tensor.Device{Kind: tensor.KindGPU})
			return []*Array{tensor.UnaryOf(tensor.OpAbs, in[0], gpu)}, s
		}},
		{"donated capture", "donated", true, func(in, s []*Array) ([]*Array, []*Array) {
			return []*Array{mul(in[0], donated)}, s
		}},
		{"escaped placeholder", "captured array", true, func(in, s []*Array) ([]*Array, []*Array) {
			return []*Array{mul(in[0], escaped)}, s
		}},
		{"escaped placeholder as state", "captured array", true, func(in, s []*Array) ([]*Array, []*Array) {
			return nil, []*Array{escaped}
		}},
		{"too few states", "0 new states for 1 states", false, func(in, s []*Array) ([]*Array, []*Array) {
			return in, nil
		}},
		{"nil result", "result 1 is nil", false, func(in, s []*Array) ([]*Array, []*Array) {
			return []*Array{in[0], nil}, s
		}},
		{"nil state", "new state 0 is nil", false, func(in, s []*Array) ([]*Array, []*Array) {
			return in, []*Array{nil}
		}},
		{"state grows", "state 0 is float32(2,) and its new value float32(4,)", false, func(in, s []*Array) ([]*Array, []*Array) {
			return in, []*Array{tensor.ConcatenateOf([]*Array{s[0], s[0]}, 0, none)}
		}},
	} {
		st := New(c.name, c.f)
		_, _, err := st.Call([]*Array{vec(1, 2)}, []*Array{vec(3, 4)})
		if err == nil || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), c.name) {
			t.Errorf("%s: error %v does not say %q", c.name, err, c.want)
		}
		var e *tensor.Error
		if errors.As(err, &e) != c.misuse {
			t.Errorf("%s: misuse is %t", c.name, !c.misuse)
		}
	}
	if _, _, err := keep.Call([]*Array{donated}, nil); err == nil {
		t.Error("a donated input was taken")
	}
}

// Panics that are not *tensor.Error pass, and leave the Step usable.
func TestPanicPasses(t *testing.T) {
	fail := true
	var seen *Array
	f := New("panics", func(in, _ []*Array) ([]*Array, []*Array) {
		if seen = in[0]; fail {
			panic("bug")
		}
		return in, nil
	})
	func() {
		defer func() {
			if r := recover(); r != "bug" {
				t.Errorf("recovered %v", r)
			}
		}()
		f.Call([]*Array{vec(1)}, nil)
	}()
	if tensor.Traced(seen) {
		t.Error("the trace did not end")
	}
	fail = false
	out, _ := run(t, f, []*Array{vec(1)}, nil)
	want(t, "after", out[0], 1)
	if n := f.Traces(); n != 2 {
		t.Errorf("%d traces", n)
	}
}

func TestRunChecksWhatIsBound(t *testing.T) {
	f := New("negate", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{neg(in[0])}, nil })
	e, err := f.For([]tensor.Spec{f32(2, 2)}, nil)
	if err != nil {
		t.Fatal(err)
	}
	view := func(strides ...int) tensor.View {
		return tensor.View{Spec: f32(2, 2), Strides: strides, Buf: tensor.Borrow(make([]byte, 16), nil)}
	}
	if _, err := e.Run([]tensor.View{view(2, 1)}); err == nil {
		t.Error("an output is missing")
	}
	if _, err := e.Run([]tensor.View{view(1, 2), view(2, 1)}); err == nil {
		t.Error("an input is strided")
	}
	v := view(2, 1)
	v.Spec = f32(4, 1)
	if _, err := e.Run([]tensor.View{view(2, 1), v}); err == nil {
		t.Error("an output has another shape")
	}
	if ev, err := e.Run([]tensor.View{view(2, 1), view(2, 1)}); err != nil || ev.Wait() != nil {
		t.Error(err)
	}
}

func TestLRU(t *testing.T) {
	f := New("negate", func(in, _ []*Array) ([]*Array, []*Array) { return []*Array{neg(in[0])}, nil })
	f.Limit = 2
	for i, c := range []struct{ n, traces int }{{1, 1}, {2, 2}, {1, 2}, {3, 3}, {1, 3}, {2, 4}, {3, 5}, {2, 5}} {
		run(t, f, []*Array{tensor.FromSlice(make([]float32, c.n))}, nil)
		if f.Traces() != c.traces {
			t.Errorf("call %d: %d traces, want %d", i, f.Traces(), c.traces)
		}
	}
}

func TestConcurrent(t *testing.T) {
	w := vec(2)
	f := New("sum", func(in, s []*Array) ([]*Array, []*Array) {
		n := plus(s[0], in[0])
		return []*Array{mul(n, w)}, []*Array{n}
	})
	var wg sync.WaitGroup
	for g := range 9 {
		wg.Go(func() {
			n := 1 + g%3
			st := []*Array{tensor.FromSlice(make([]float32, n))}
			for i := range 50 {
				x := make([]float32, n)
				x[n-1] = float32(g + 1)
				out, ns, err := f.Call([]*Array{tensor.FromSlice(x)}, st)
				if err != nil {
					t.Error(err)
					return
				}
				st = ns
				if got := tensor.ToSlice[float32](out[0])[n-1]; got != float32(2*(i+1)*(g+1)) {
					t.Errorf("goroutine %d, call %d: %v", g, i, got)
					return
				}
			}
		})
	}
	wg.Wait()
	if f.Traces() != 3 {
		t.Errorf("%d traces of 3 shapes", f.Traces())
	}
}

// A thousand calls leave neither objects nor memory behind.
func TestNoLeak(t *testing.T) {
	const n = 20 << 10 // off the Go heap
	w := tensor.CopyOf(tensor.BroadcastTo(scalar(1), tensor.Shape{n}, none), none)
	f := New("leak", func(in, s []*Array) ([]*Array, []*Array) {
		m := plus(s[0], mul(in[0], w))
		return []*Array{tensor.SliceAxis(un(tensor.OpAbs, m), 0, 0, n-1, none)}, []*Array{m, s[0]}
	})
	st := []*Array{vec(make([]float32, n)...), vec(make([]float32, n)...)}
	x := vec(make([]float32, n)...)
	// use calls, then counts what is left once it is no more than so much. Cleanups
	// of buffers run beside us, some collections after their values died.
	use := func(calls, tries int, objects uint64, active int64) (uint64, int64) {
		for range calls {
			_, st = run(t, f, []*Array{x}, st)
		}
		var m runtime.MemStats
		for range tries {
			runtime.GC()
			tensor.ClearCache()
			runtime.ReadMemStats(&m)
			if m.HeapObjects <= objects && tensor.ActiveMemory() <= active {
				break
			}
			time.Sleep(time.Millisecond)
		}
		return m.HeapObjects, tensor.ActiveMemory()
	}
	calls := 1000
	if raceDetector {
		calls = 100
	}
	o0, a0 := use(20, 20, 0, 0)
	o1, a1 := use(calls, 500, o0+100, a0)
	if o1 > o0+100 || a1 > a0 {
		t.Errorf("objects %d to %d, memory %d to %d", o0, o1, a0, a1)
	}
	t.Logf("objects %d to %d, memory %d to %d", o0, o1, a0, a1)
	runtime.KeepAlive(f)
	runtime.KeepAlive(st)
}

func TestOrderIsChecked(t *testing.T) {
	swapped := append([]pass(nil), passes...)
	swapped[1], swapped[4] = swapped[4], swapped[1]
	if err := checkOrder(swapped); err == nil || !strings.Contains(err.Error(), "must not be evaluated") {
		t.Errorf("error %v", err)
	}
	if err := checkOrder(passes[1:]); err == nil {
		t.Error("a missing pass was not noticed")
	}
	if err := checkOrder(append(passes[:len(passes):len(passes)], passes[0])); err == nil {
		t.Error("a pass listed twice was not noticed")
	}
}

func TestVerify(t *testing.T) {
	good := func() *Graph {
		g, err := trace(func(in, s []*Array) ([]*Array, []*Array) {
			n := plus(in[0], s[0])
			return []*Array{neg(n)}, []*Array{n}
		}, []tensor.Spec{f32(2)}, []tensor.Spec{f32(2)}, tensor.DefaultDevice())
		if err != nil {
			t.Fatal(err)
		}
		return g
	}
	if err := good().verify(); err != nil {
		t.Error(err)
	}
	for _, c := range []struct {
		want  string
		spoil func(g *Graph)
	}{
		{"before it is defined", func(g *Graph) { g.Nodes[0], g.Nodes[1] = g.Nodes[1], g.Nodes[0] }},
		{"defined twice", func(g *Graph) { g.Nodes[1].Out = g.Nodes[0].Out }},
		{"defined twice", func(g *Graph) { g.State[0] = g.In[0] }},
		{"result %3 is not defined", func(g *Graph) { g.Nodes = g.Nodes[:1] }},
		{"specs differ", func(g *Graph) { g.Values[g.In[0]].Spec = f32(3) }},
		{"not float32(2,)", func(g *Graph) { g.Values[g.Out[0]].Spec = f32(3) }},
		{"1 results", func(g *Graph) { g.Nodes[0].Prim = twoResults{} }},
		{"state 0 becomes", func(g *Graph) { g.StateOut[0] = g.value(f32(3)); g.Values[g.StateOut[0]].Const = vec(1, 2, 3) }},
		{"constant", func(g *Graph) { g.Values[g.value(f32(3))].Const = vec(1, 2) }},
	} {
		g := good()
		c.spoil(g)
		if err := g.verify(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("error %v does not say %q", err, c.want)
		}
	}
}

type twoResults struct{}

func (twoResults) Name() string { return "two" }
func (twoResults) Infer(in []tensor.Spec) ([]tensor.Spec, error) {
	return []tensor.Spec{in[0], in[0]}, nil
}

// A lean function makes what is as large as a captured array in each call; small constants
// are computed once all the same.
func TestLean(t *testing.T) {
	for _, n := range []int{foldLimit / 4, foldLimit/4 + 1} {
		w := tensor.FromSlice(make([]float32, n))
		for lean, steps := range map[bool]int{false: 1, true: 1} {
			if lean && 4*n > foldLimit {
				steps = 2
			}
			f := New("lean", func(in, _ []*Array) ([]*Array, []*Array) {
				return []*Array{tensor.Apply1(tensor.MatMul{}, none, in[0], tensor.ReshapeTo(neg(w), tensor.Shape{n, 1}, none))}, nil
			})
			f.Lean = lean
			e, err := f.For([]tensor.Spec{f32(1, n)}, nil)
			if err != nil {
				t.Fatal(err)
			}
			if got := len(e.Plan.Steps); got != steps {
				t.Errorf("%d elements, lean %v: %d steps, want %d:\n%v", n, lean, got, steps, e.Plan)
			}
		}
	}
}
