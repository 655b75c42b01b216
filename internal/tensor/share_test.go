package tensor_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

var device = tensor.Device{Kind: tensor.KindCPU}

// TestDonateReadElsewhere: another stream has still to read the donated buffer.
func TestDonateReadElsewhere(t *testing.T) {
	s0, s1 := tensor.DefaultStream(device), tensor.NewStream(device)
	for _, n := range []int{8, 1 << 16} { // on and off the Go heap
		for _, computed := range []bool{false, true} {
			x := ramp(n)
			if computed {
				x = tensor.BinaryAny(tensor.OpAdd, x, 0, s1)
				if err := tensor.Eval(x); err != nil {
					t.Fatal(err)
				}
			}
			y := tensor.BinaryAny(tensor.OpMultiply, x, 2, s0)
			if err := tensor.Schedule(y); err != nil { // stream 0 runs when it is waited for
				t.Fatal(err)
			}
			z := tensor.BinaryAny(tensor.OpAdd, x.Donate(), 1000, s1)
			if err := tensor.Eval(z); err != nil {
				t.Fatal(err)
			}
			for i, v := range tensor.ToSlice[float32](y) {
				if v != float32(i%97)*2 {
					t.Fatalf("%d elements, computed %v: the donated value was overwritten before it was read: %g at %d", n, computed, v, i)
				}
			}
		}
	}
}

// TestOwnReadElsewhere: the same for memory that Own would hand out.
func TestOwnReadElsewhere(t *testing.T) {
	s0 := tensor.DefaultStream(device)
	for _, n := range []int{8, 1 << 16} {
		x := ramp(n)
		y := tensor.BinaryAny(tensor.OpMultiply, x, 2, s0)
		if err := tensor.Schedule(y); err != nil {
			t.Fatal(err)
		}
		v, err := tensor.Own(x, tensor.Cache)
		if err != nil {
			t.Fatal(err)
		}
		clear(v.HostBytes())
		for i, v := range tensor.ToSlice[float32](y) {
			if v != float32(i%97)*2 {
				t.Fatalf("%d elements: an owned value was overwritten before it was read: %g at %d", n, v, i)
			}
		}
	}
}

// TestDonatedHandleIsAlive: the handle that Donate returns is alive until an op
// has it, whatever else drops the value meanwhile.
func TestDonatedHandleIsAlive(t *testing.T) {
	for _, n := range []int{8, 1 << 16} {
		x := ramp(n)
		y := sum(x)
		d := x.Donate()
		if err := tensor.Eval(y); err != nil {
			t.Fatal(err)
		}
		collect()
		z := d.Add(1)
		if err := tensor.Eval(z); err != nil {
			t.Fatalf("%d elements: %v", n, err)
		}
		if v := tensor.ToSlice[float32](z)[5]; v != 6 {
			t.Errorf("%d elements: %g, not 6", n, v)
		}
	}
}

// TestCacheLimitOfPendingWork: memory that was freed while work was pending counts
// too.
func TestCacheLimitOfPendingWork(t *testing.T) {
	if tensor.RaceEnabled {
		t.Skip("no off-heap memory in race builds")
	}
	tensor.ClearCache()
	const limit = 2 << 20
	defer tensor.SetCacheLimit(tensor.SetCacheLimit(limit))
	parts := make([]*tensor.Array, 32)
	for i := range parts {
		parts[i] = tensor.FullOf(tensor.FloatScalar(float64(i), dtype.Float32, none), tensor.Shape{1 << 18}, none).Add(1)
	}
	all := sum(tensor.ConcatenateOf(parts, 0, none))
	clear(parts)
	collect()
	if err := tensor.Eval(all); err != nil {
		t.Fatal(err)
	}
	collect()
	if n := tensor.CacheMemory(); n > limit {
		t.Errorf("%d bytes are kept, the limit is %d", n, limit)
	}
}

// A script is a random program on float32 vectors of one size: the same seed gives
// the same values on any streams, with any evaluations between.
func script(seed uint64, shared []*tensor.Array, streams []tensor.Stream, disturb bool) ([]float32, error) {
	r, noise := rand.New(rand.NewPCG(seed, 1)), rand.New(rand.NewPCG(seed, 2))
	on := func() tensor.Stream { return streams[noise.IntN(len(streams))] }
	vals := slices.Clone(shared)
	own := len(vals) // values from here on are this script's
	at := func() *tensor.Array { return vals[r.IntN(len(vals))] }
	for range 40 {
		x, y := at(), at()
		var z *tensor.Array
		switch r.IntN(6) {
		case 0:
			z = tensor.BinaryOf(tensor.OpAdd, x, y, on())
		case 1:
			z = tensor.BinaryOf(tensor.OpMaximum, x, y, on())
		case 2:
			z = tensor.UnaryOf(tensor.OpSin, x, on())
		case 3: // a view, then a kernel on it
			n := x.Size()
			z = tensor.ReshapeTo(tensor.SwapAxes(tensor.ReshapeTo(x, []int{n / 4, 4}, none), 0, 1, none), []int{n}, on())
		case 4:
			z = tensor.BinaryOf(tensor.OpSubtract, tensor.ScanOf(tensor.ScanSum, tensor.UnaryOf(tensor.OpSign, x, on()), 0, true, false, on()), y, on())
		default: // the last use of a value
			i := r.IntN(len(vals))
			if i < own {
				i = len(vals) - 1
			}
			if i < own {
				continue
			}
			z = tensor.BinaryAny(tensor.OpMultiply, vals[i].Donate(), 0.5, on())
			vals[i] = z
			continue
		}
		vals = append(vals, z)
		if !disturb {
			continue
		}
		switch noise.IntN(8) {
		case 0:
			if err := tensor.Eval(vals[noise.IntN(len(vals))]); err != nil {
				return nil, err
			}
		case 1:
			if err := tensor.AsyncEval(vals[noise.IntN(len(vals))], z); err != nil {
				return nil, err
			}
		case 2:
			tensor.ToSlice[float32](vals[noise.IntN(len(vals))])
		case 3:
			if noise.IntN(6) == 0 {
				runtime.GC()
			}
		case 4:
			if i := noise.IntN(len(vals)); i >= own {
				v, err := tensor.Own(vals[i], tensor.Other)
				if err != nil {
					return nil, err
				}
				was := slices.Clone(v.HostBytes())
				clear(v.HostBytes()) // it is ours
				copy(v.HostBytes(), was)
				vals[i] = tensor.FromView(v)
			}
		case 5:
			if err := tensor.Synchronize(); err != nil {
				return nil, err
			}
		}
	}
	out := vals[own:]
	all := tensor.ConcatenateOf(out, 0, on())
	return tensor.ToSlice[float32](all), nil
}

// TestSharedGraphs runs random programs that share lazy values on 16 goroutines,
// two streams and the default one, and compares bit by bit with one goroutine on
// one stream.
func TestSharedGraphs(t *testing.T) {
	streams := []tensor.Stream{none, tensor.NewStream(device), tensor.NewStream(device)}
	roots := func(n int) []*tensor.Array { // not evaluated
		x := ramp(n).Mul(0.01)
		return []*tensor.Array{x.Sub(0.3), tensor.UnaryOf(tensor.OpSin, x, none), x.Mul(x).Add(1)}
	}
	rounds, repeats := 6, 3
	if testing.Short() {
		rounds, repeats = 2, 1
	}
	collect()
	active := tensor.ActiveMemory()
	for round := range rounds {
		n := []int{64, 17_000}[round%2]
		want := make([][]float32, 16)
		plain := roots(n)
		for g := range want {
			w, err := script(uint64(100*round+g), plain, []tensor.Stream{none}, false)
			if err != nil {
				t.Fatal(err)
			}
			want[g] = w
		}
		shared := roots(n)
		errs := make([]error, len(want))
		var wg sync.WaitGroup
		for g := range want {
			wg.Go(func() {
				errs[g] = func() error {
					for range repeats {
						got, err := script(uint64(100*round+g), shared, streams, true)
						if err != nil {
							return err
						}
						if !slices.Equal(got, want[g]) {
							return fmt.Errorf("round %d, goroutine %d: the results differ", round, g)
						}
					}
					return nil
				}()
			})
		}
		wg.Wait()
		for _, err := range errs {
			if err != nil {
				t.Error(err)
			}
		}
	}
	if err := tensor.Synchronize(); err != nil {
		t.Error(err)
	}
	for range 20 { // cleanups run in a goroutine of their own
		if collect(); tensor.ActiveMemory() <= active {
			break
		}
	}
	if now := tensor.ActiveMemory(); now != active {
		t.Errorf("%d bytes are in use at the end, %d at the start", now, active)
	}
}

// TestStreamLiteral: a Stream that is written as a literal is that stream, not "none".
func TestStreamLiteral(t *testing.T) {
	s := tensor.NewStream(device)
	x := vec(1, 2).On(tensor.Stream{Device: device, ID: s.ID})
	if got := x.Stream(); got != s {
		t.Errorf("on %v, not %v", got, s)
	}
	err := tensor.Try(func() { vec(1).On(tensor.Stream{Device: device, ID: 1 << 20}) })
	if err == nil {
		t.Error("a stream that does not exist was taken")
	}
	want(t, x.Add(1), 2, 3)
	if err := tensor.Synchronize(tensor.Stream{}, tensor.Stream{Device: device, ID: s.ID}); err != nil {
		t.Error(err)
	}
}

// TestExpandHolds: who walks a graph does not lose what an Eval elsewhere would
// free meanwhile.
func TestExpandHolds(t *testing.T) {
	b := ramp(1 << 16).Mul(2)
	top := tensor.ReduceOf(tensor.OpSum, b, nil, true, none)
	b = nil
	collect() // the handle of b is dead
	_, in, _, hold, ok := tensor.NodeOf(top).Expand()
	if !ok || len(in) != 1 {
		t.Fatal("no op")
	}
	if err := tensor.Eval(top); err != nil {
		t.Fatal(err)
	}
	if v := tensor.ToSlice[float32](in[0].Array())[5]; v != 10 {
		t.Errorf("%g, not 10", v)
	}
	runtime.KeepAlive(hold)
	runtime.KeepAlive(b)
}

// TestSignalBesideAllocation is for the race detector.
func TestSignalBesideAllocation(t *testing.T) {
	for range 100 {
		tensor.SignalBesideAllocation()
	}
}
