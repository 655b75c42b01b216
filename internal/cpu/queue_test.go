package cpu

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

var device = tensor.Device{Kind: tensor.KindCPU}

// bad is a take whose id is out of range: a fault when it runs.
func bad(s tensor.Stream) *tensor.Array {
	return tensor.TakeRows(tensor.FromSlice([]float32{1, 2}), tensor.FromSlice([]int32{9}), s)
}

func plusOne(a *tensor.Array, s tensor.Stream) *tensor.Array {
	return tensor.BinaryOf(tensor.OpAdd, a, tensor.FloatScalar(1, dtype.Float32, s), s)
}

func TestFailedBatchPoisons(t *testing.T) {
	for _, s := range []tensor.Stream{none, tensor.NewStream(device)} {
		x := tensor.FromSlice([]float32{1})
		b := bad(s)
		after := plusOne(x, s)
		if err := tensor.AsyncEval(b); err != nil && !strings.Contains(err.Error(), "index 9") {
			t.Fatal(err)
		}
		_ = tensor.AsyncEval(after) // before anybody saw the failure
		for range 2 {
			err := tensor.Eval(b)
			var e *tensor.Error
			if !errors.As(err, &e) || e.Op != "take" || !strings.Contains(err.Error(), "index 9 is out of range") {
				t.Fatalf("%v: %v", s, err)
			}
		}
		if err := tensor.Eval(plusOne(b, s)); err == nil {
			t.Errorf("%v: a consumer of a failed value ran", s)
		}
		y := plusOne(x, s)
		if err := tensor.Eval(y); err != nil {
			t.Errorf("%v: work after the failure was seen: %v", s, err)
		} else if got := tensor.Item[float32](y); got != 2 {
			t.Errorf("%v: 1+1 = %v", s, got)
		}
	}
}

// Batches that are committed between a failure and its being seen fail with it.
func TestPoisonUntilSeen(t *testing.T) {
	q := newQueue(tensor.Stream{})
	in := []View{viewOf(t, tensor.FromSlice([]float32{1, 2})), viewOf(t, tensor.FromSlice([]int32{9}))}
	out := []View{viewOf(t, tensor.FromSlice([]float32{0}))}
	good := func() tensor.Event {
		if err := q.Encode(tensor.Unary{Op: tensor.OpNegative}, []View{viewOf(t, tensor.FromSlice([]float32{1}))}, out); err != nil {
			t.Fatal(err)
		}
		return q.Signal()
	}
	if !q.Signal().Done() {
		t.Error("the event of a new queue is not done")
	}
	before := good()
	if err := q.Encode(tensor.Take{}, in, out); err != nil {
		t.Fatal(err)
	}
	failed := q.Signal()
	if q.Signal() != failed {
		t.Error("Signal without work gave a new event")
	}
	pending := good()
	if err := await(failed); err == nil { // fails, unseen
		t.Fatal("no failure")
	}
	late := good()
	if !failed.Done() || late.Done() {
		t.Error("failed batch not done, or a later one done already")
	}
	if err := before.Wait(); err != nil {
		t.Errorf("batch before: %v", err)
	}
	first := failed.Wait()
	after := good()
	for name, e := range map[string]tensor.Event{"failed": failed, "pending": pending, "late": late} {
		if err := e.Wait(); err != first || err == nil {
			t.Errorf("%s batch: %v, want %v", name, err, first)
		}
	}
	if err := after.Wait(); err != nil {
		t.Errorf("batch after the failure was seen: %v", err)
	}
}

func viewOf(t testing.TB, a *tensor.Array) View {
	t.Helper()
	v, err := tensor.ValueOf(a)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestStreamsAcross(t *testing.T) {
	var streams []tensor.Stream
	for range 4 {
		streams = append(streams, tensor.NewStream(device))
	}
	streams = append(streams, tensor.DefaultStream(device))
	var wg sync.WaitGroup
	for g := range 8 {
		wg.Go(func() {
			rng := newRand(uint64(g))
			x := tensor.FromSlice(make([]float32, 20_000))
			for i := range 60 {
				x = plusOne(x, streams[rng.IntN(len(streams))])
				switch rng.IntN(4) {
				case 0:
					if err := tensor.AsyncEval(x); err != nil {
						t.Error(err)
					}
				case 1:
					if got := tensor.ToSlice[float32](x)[7]; got != float32(i+1) {
						t.Errorf("goroutine %d: %v after %d steps", g, got, i+1)
					}
				}
			}
			if err := tensor.Synchronize(streams...); err != nil {
				t.Error(err)
			}
			if got := tensor.ToSlice[float32](x)[19_999]; got != 60 {
				t.Errorf("goroutine %d: %v, want 60", g, got)
			}
		})
	}
	wg.Wait()
}

// A stream that waits for a failed one fails with its error.
func TestPoisonCrossesStreams(t *testing.T) {
	a, b := tensor.NewStream(device), tensor.NewStream(device)
	big := tensor.FromSlice(make([]float32, 1<<20))
	slow := tensor.ReduceOf(tensor.OpSum, tensor.UnaryOf(tensor.OpSin, big, a), nil, true, a)
	idx := tensor.AsType(plusOne(tensor.ReshapeTo(slow, []int{1}, a), a), dtype.Int32, a)
	x := tensor.TakeRows(tensor.FromSlice([]float32{5}), idx, a)
	err := tensor.Eval(plusOne(x, b))
	if err == nil || !strings.Contains(err.Error(), "take: index 1 is out of range") {
		t.Errorf("error %v", err)
	}
	if err := tensor.Eval(plusOne(tensor.FromSlice([]float32{1}), b)); err != nil {
		t.Errorf("later work: %v", err)
	}
}

// A foreign event is one of another backend.
type foreign struct{ err error }

func (foreign) Done() bool    { return false }
func (f foreign) Wait() error { return f.err }

func TestForeignEvents(t *testing.T) {
	q := newQueue(tensor.Stream{ID: 1})
	v := []View{viewOf(t, tensor.FromSlice([]float32{1}))}
	out := []View{viewOf(t, tensor.FromSlice([]float32{0}))}
	lost := errors.New("device lost")
	for _, want := range []error{nil, lost, nil} {
		q.Wait(foreign{want})
		if err := q.Encode(tensor.Unary{Op: tensor.OpNegative}, v, out); err != nil {
			t.Fatal(err)
		}
		e := q.Signal()
		for range 2 {
			if err := e.Wait(); !errors.Is(err, want) {
				t.Errorf("error %v, want %v", err, want)
			}
		}
		q.Wait(e) // its own event: nothing to wait for
		if q.Signal() != e {
			t.Error("waiting for its own event made a batch")
		}
	}
	if all[float32](&out[0])[0] != -1 {
		t.Error("the work after the wait did not run")
	}
}

type panics struct{ what any }

func (panics) Name() string                                  { return "panics" }
func (panics) Infer(in []tensor.Spec) ([]tensor.Spec, error) { return in, nil }

func faulty(v any, chunks int) task {
	return task{prim: panics{v}, chunks: chunks, cost: parallelCost, run: func(_ *scratch, c, _ int) {
		if c == chunks/2 {
			panic(v)
		}
	}}
}

func TestPanicsBecomeErrors(t *testing.T) {
	withWorkers(t, func(n int) {
		for range 20 {
			var count [64]int
			ts := []task{
				{prim: panics{}, chunks: 64, cost: parallelCost, run: func(_ *scratch, c, _ int) { count[c]++ }},
				faulty("deliberate", 9),
				{prim: panics{}, chunks: 8, cost: parallelCost, sync: true, run: func(*scratch, int, int) { t.Error("a task ran after the fault") }},
			}
			ts[1].sync = true
			r := newRun(ts)
			for range 3 { // a run can be used again after a fault
				var s scratch
				err := runTasks(ts, r, &s)
				if err == nil || err.Error() != "panics: kernel fault: deliberate" {
					t.Fatalf("%d workers: %v", n, err)
				}
			}
			for c, k := range count {
				if k != 3 {
					t.Fatalf("%d workers: chunk %d ran %d times, want 3", n, c, k)
				}
			}
		}
	})
}

func TestKernelIndexPanic(t *testing.T) {
	var s scratch
	err := runTasks([]task{{prim: panics{}, chunks: 1, run: func(*scratch, int, int) { _ = make([]int, 3)[len(os.Args)+5] }}}, nil, &s)
	var re runtime.Error
	if !errors.As(err, &re) || !strings.HasPrefix(err.Error(), "panics: kernel fault: runtime error: index out of range") {
		t.Errorf("error %v", err)
	}
}

// A weight file that is truncated under its mapping is an error that names it.
func TestTruncatedMapping(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("faults of mappings are tested on Linux")
	}
	withWorkers(t, func(n int) {
		const rows, k = 1024, 512
		path := filepath.Join(t.TempDir(), "weights.bin")
		if err := os.WriteFile(path, make([]byte, 4*rows*k), 0o600); err != nil {
			t.Fatal(err)
		}
		f, err := fmap.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		w := tensor.FromView(View{Spec: tensor.Spec{Shape: tensor.Shape{rows, k}, DType: dtype.Float32}, Strides: []int{k, 1}, Buf: tensor.Borrow(f.Bytes(), f)})
		x := tensor.FromSlice(make([]float32, 8*k), 8, k)
		y := func() *tensor.Array { return tensor.MatMulOf(x, tensor.SwapAxes(w, 0, 1, none), none) }
		if err := tensor.Eval(y()); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, 4096); err != nil {
			t.Fatal(err)
		}
		err = tensor.Eval(y())
		var fe *fmap.FaultError
		if !errors.As(err, &fe) || fe.Path != path || !strings.HasPrefix(err.Error(), "matmul: "+path) {
			t.Errorf("%d workers: error %v", n, err)
		}
		if err := tensor.Eval(plusOne(x, none)); err != nil {
			t.Errorf("%d workers: later work: %v", n, err)
		}
	})
}

// The same bits for any number of workers.
func TestSameBitsForAnyWorkers(t *testing.T) {
	rng := newRand(20)
	x, _ := normalArray(rng, dtype.Float32, 200, 300)
	h, _ := normalArray(rng, dtype.BFloat16, 1000, 600)
	w, _ := normalArray(rng, dtype.Float16, 500, 300)
	long, _ := normalArray(rng, dtype.Float32, 3, 400_000)
	ops := map[string]func() *tensor.Array{
		"matmul": func() *tensor.Array { return tensor.MatMulOf(x, tensor.SwapAxes(w, 0, 1, none), none) },
		"nn":     func() *tensor.Array { return tensor.MatMulOf(tensor.SwapAxes(x, 0, 1, none), x, none) },
		"sum":    func() *tensor.Array { return tensor.ReduceOf(tensor.OpSum, long, nil, false, none) },
		"rows":   func() *tensor.Array { return tensor.ReduceOf(tensor.OpSum, long, []int{1}, false, none) },
		"columns": func() *tensor.Array {
			return tensor.ReduceOf(tensor.OpSum, tensor.SwapAxes(long, 0, 1, none), []int{0}, false, none)
		},
		"cols":    func() *tensor.Array { return tensor.ReduceOf(tensor.OpSum, h, []int{0}, false, none) },
		"softmax": func() *tensor.Array { return tensor.SoftmaxOf(h, 0, none) },
		"exp":     func() *tensor.Array { return tensor.UnaryOf(tensor.OpExp, tensor.SwapAxes(h, 0, 1, none), none) },
		"argsort": func() *tensor.Array { return tensor.ArgSortOf(h, 1, none) },
	}
	scheme := quant.Scheme{GroupSize: 64, Bits: 4, Mode: quant.Affine}
	big, _ := normalArray(rng, dtype.Float32, 700, 512)
	packed := quant.QuantizeOf(big, scheme, none)
	xq, _ := normalArray(rng, dtype.BFloat16, 70, 512)
	q, _ := normalArray(rng, dtype.Float32, 1, 8, 100, 64)
	k, _ := normalArray(rng, dtype.BFloat16, 1, 2, 200, 64)
	ops["quantized"] = func() *tensor.Array {
		return quant.MatMulOf(xq, packed[0], packed[1], packed[2], quant.MatMul{Scheme: scheme, Transpose: true, Round: true}, none)
	}
	ops["quantized_nn"] = func() *tensor.Array {
		return quant.MatMulOf(tensor.SliceAxis(tensor.SwapAxes(big, 0, 1, none), 0, 0, 90, none), packed[0], packed[1], packed[2], quant.MatMul{Scheme: scheme}, none)
	}
	ops["attention"] = func() *tensor.Array {
		return fast.AttentionOf(fast.Attention{Scale: tensor.MakeF64(.125), Causal: true}, q, k, k, nil, nil, nil, none)
	}
	ctx, _ := normalArray(rng, dtype.BFloat16, 1, 2, 3000, 64)
	ops["segments"] = func() *tensor.Array {
		one := tensor.SliceAxis(q, 2, 7, 8, none)
		return fast.AttentionOf(fast.Attention{Scale: tensor.MakeF64(.125), Causal: true}, one, ctx, ctx, nil, nil, nil, none)
	}
	want := map[string]string{}
	withWorkers(t, func(n int) {
		for name, f := range ops {
			got := string(f().Bytes())
			if n == 1 {
				want[name] = got
			} else if got != want[name] {
				t.Errorf("%s: bits with %d workers differ from those with one", name, n)
			}
		}
	})
}

func TestDevices(t *testing.T) {
	info := (&backend{}).Devices()[0]
	if info.Architecture == "" || runtime.GOOS == "linux" && info.MemorySize < 1<<20 {
		t.Errorf("device %+v", info)
	}
	m, err := (&backend{}).Alloc(device, 1<<20)
	if err != nil || m.Size() < 1<<20 || len(m.Host()) != m.Size() {
		t.Fatalf("Alloc: %v", err)
	}
	m.Host()[1<<20-1] = 1
	m.Release()
	if _, err := bind(panics{}, nil, nil); !errors.Is(err, tensor.ErrUnsupported) {
		t.Errorf("an unknown primitive: %v", err)
	}
}

func BenchmarkTinyOp(b *testing.B) {
	x := tensor.FromSlice([]float32{1})
	for _, each := range []int{1, 100} {
		b.Run(fmt.Sprintf("%d per Eval", each), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; i < b.N; i += each {
				y := x
				for range each {
					y = tensor.Apply1(tensor.Binary{Op: tensor.OpAdd}, none, y, x)
				}
				if err := tensor.Eval(y); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkEncodeAndRun(b *testing.B) {
	q := newQueue(tensor.Stream{})
	v := []View{viewOf(b, tensor.FromSlice([]float32{1}))}
	in, out := []View{v[0], v[0]}, []View{viewOf(b, tensor.FromSlice([]float32{1}))}
	b.ReportAllocs()
	for b.Loop() {
		if err := q.Encode(tensor.Binary{Op: tensor.OpAdd}, in, out); err != nil {
			b.Fatal(err)
		}
		if err := q.Signal().Wait(); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBarrier is the cost of one empty task with a barrier, on spinning
// workers.
func BenchmarkBarrier(b *testing.B) {
	p := newPool(Workers(), patience)
	defer p.close()
	ts := make([]task, 100)
	for i := range ts {
		ts[i] = task{prim: panics{}, chunks: 8, sync: true, run: func(*scratch, int, int) {}}
	}
	r := newRun(ts)
	var s scratch
	for i := 0; i < b.N; i += len(ts) {
		if err := p.do(r, &s); err != nil {
			b.Fatal(err)
		}
	}
}
