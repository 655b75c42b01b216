package compile

import (
	"slices"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

type Array = tensor.Array

var none tensor.Stream

// reference is a second device, beside the CPU backend.
var reference = &interp{}

func init() {
	verifyPasses = true
	tensor.Register(reference)
}

// onReference makes it the default for the rest of a test.
func onReference(t *testing.T) {
	old := tensor.DefaultDevice()
	tensor.SetDefaultDevice(tensor.Device{Kind: reference.Kind()})
	t.Cleanup(func() { tensor.SetDefaultDevice(old) })
}

// onBoth runs a test on the CPU and on the reference.
func onBoth(t *testing.T, test func(t *testing.T)) {
	t.Run("cpu", test)
	t.Run("reference", func(t *testing.T) {
		onReference(t)
		test(t)
	})
}

func vec(v ...float32) *Array { return tensor.FromSlice(v) }
func mul(a, b *Array) *Array  { return tensor.BinaryOf(tensor.OpMultiply, a, b, none) }
func plus(a, b *Array) *Array { return tensor.BinaryOf(tensor.OpAdd, a, b, none) }
func minus(a, b *Array) *Array {
	return tensor.BinaryOf(tensor.OpSubtract, a, b, none)
}
func un(op tensor.UnaryOp, a *Array) *Array { return tensor.UnaryOf(op, a, none) }
func neg(a *Array) *Array                   { return un(tensor.OpNegative, a) }
func scalar(v float64) *Array               { return tensor.FloatScalar(v, tensor.DTypeOf[float32](), none) }

func want(t *testing.T, what string, a *Array, v ...float32) {
	t.Helper()
	if got := tensor.ToSlice[float32](a); !slices.Equal(got, v) {
		t.Errorf("%s: %v, want %v", what, got, v)
	}
}

func run(t *testing.T, s *Step, in, st []*Array) (out, ns []*Array) {
	t.Helper()
	out, ns, err := s.Call(in, st)
	if err != nil {
		t.Fatal(err)
	}
	return out, ns
}

func TestSwappedStates(t *testing.T) { onBoth(t, testSwappedStates) }

func testSwappedStates(t *testing.T) {
	swap := New("swap", func(in, s []*Array) ([]*Array, []*Array) {
		return []*Array{s[0], s[0], in[0], plus(s[0], s[1])}, []*Array{s[1], s[0]}
	})
	out, st := run(t, swap, []*Array{vec(9, 9)}, []*Array{vec(1, 2), vec(3, 4)})
	want(t, "old", out[0], 1, 2)
	want(t, "old again", out[1], 1, 2)
	want(t, "input", out[2], 9, 9)
	want(t, "sum", out[3], 4, 6)
	want(t, "swapped", st[0], 3, 4)
	want(t, "swapped", st[1], 1, 2)
}

// One state becomes the old value of another that is itself computed.
func TestStateTakesOldOfAnother(t *testing.T) { onBoth(t, testStateTakesOldOfAnother) }

func testStateTakesOldOfAnother(t *testing.T) {
	f := New("shift", func(in, s []*Array) ([]*Array, []*Array) {
		return nil, []*Array{plus(s[0], in[0]), s[0], s[1]}
	})
	_, st := run(t, f, []*Array{vec(10, 10)}, []*Array{vec(1, 2), vec(3, 4), vec(5, 6)})
	want(t, "new", st[0], 11, 12)
	want(t, "was first", st[1], 1, 2)
	want(t, "was second", st[2], 3, 4)
}

func TestSameNewValueForTwoStatesAndAResult(t *testing.T) {
	onBoth(t, testSameNewValueForTwoStatesAndAResult)
}

func testSameNewValueForTwoStatesAndAResult(t *testing.T) {
	f := New("same", func(in, s []*Array) ([]*Array, []*Array) {
		n := plus(s[0], s[1])
		return []*Array{n, s[1]}, []*Array{n, n}
	})
	out, st := run(t, f, nil, []*Array{vec(1, 2), vec(3, 4)})
	want(t, "result", out[0], 4, 6)
	want(t, "old", out[1], 3, 4)
	want(t, "state 0", st[0], 4, 6)
	want(t, "state 1", st[1], 4, 6)
}

// The new value is computed, then the old one is read again by a permuted view.
func TestLateRead(t *testing.T) { onBoth(t, testLateRead) }

func testLateRead(t *testing.T) {
	f := New("late", func(in, s []*Array) ([]*Array, []*Array) {
		n := plus(s[0], scalar(1))
		rev := tensor.ReshapeTo(tensor.TransposeTo(tensor.ReshapeTo(s[0], []int{2, 2}, none), []int{1, 0}, none), []int{4}, none)
		return []*Array{mul(un(tensor.OpSquare, n), rev)}, []*Array{n}
	})
	out, st := run(t, f, nil, []*Array{vec(1, 2, 3, 4)})
	want(t, "late read", out[0], 4, 27, 32, 100)
	want(t, "late state", st[0], 2, 3, 4, 5)
}

func TestSameArrayAsInputAndState(t *testing.T) { onBoth(t, testSameArrayAsInputAndState) }

func testSameArrayAsInputAndState(t *testing.T) {
	f := New("both", func(in, s []*Array) ([]*Array, []*Array) {
		n := neg(s[0])
		return []*Array{plus(in[0], n)}, []*Array{n, plus(n, s[1])}
	})
	x := vec(1, 2)
	out, st := run(t, f, []*Array{x}, []*Array{x, x})
	want(t, "result", out[0], 0, 0)
	want(t, "state", st[0], -1, -2)
	want(t, "same array twice", st[1], 0, 0)
	y := vec(1, 2)
	view := tensor.ReshapeTo(y, []int{1, 2}, none)
	g := New("view", func(in, s []*Array) ([]*Array, []*Array) { return []*Array{in[0]}, []*Array{neg(s[0])} })
	out, st = run(t, g, []*Array{view}, []*Array{y})
	want(t, "view of the state", out[0], 1, 2)
	want(t, "state", st[0], -1, -2)
}

func TestCacheWrite(t *testing.T) { onBoth(t, testCacheWrite) }

func testCacheWrite(t *testing.T) {
	f := New("cache", func(in, s []*Array) ([]*Array, []*Array) {
		n := fast.CacheWriteOf(s[0], in[0], in[1], none)
		sum := func(a *Array) *Array { return tensor.ReduceOf(tensor.OpSum, a, nil, false, none) }
		return []*Array{minus(sum(n), sum(s[0]))}, []*Array{n}
	})
	st := tensor.FromSlice([]float32{1, 1, 1, 1}, 1, 1, 4, 1)
	in := []*Array{tensor.FromSlice([]float32{5}, 1, 1, 1, 1), tensor.FromSlice([]int32{2}, 1)}
	out, ns := run(t, f, in, []*Array{st})
	want(t, "new - old", out[0], 4)
	want(t, "cache", ns[0], 1, 1, 5, 1)
	e, err := f.For(specs(in), specs(ns))
	if err != nil {
		t.Fatal(err)
	}
	// The read of the old value is moved before the write, which is in place.
	if len(e.Plan.Steps) != 4 || e.Plan.Steps[0].Prim.Name() != "sum" || e.Plan.Steps[1].Out[0].Kind != tensor.SlotState {
		t.Errorf("plan:\n%v", e.Plan)
	}
}

// Steps that rewrite the same memory again, and who forbids it.
func TestChains(t *testing.T) { onBoth(t, testChains) }

func testChains(t *testing.T) {
	square := func() *Array { return tensor.FromSlice([]float32{1, 2, 3, 4}, 2, 2) }
	for _, c := range []struct {
		name string
		f    func(s []*Array) (out, news []*Array)
		want []float32 // results and new states
	}{
		{"the link is read later", func(s []*Array) ([]*Array, []*Array) {
			c := plus(s[0], scalar(1))
			n := neg(c)
			return []*Array{mul(n, c)}, []*Array{n, s[1]}
		}, []float32{-4, -9, -16, -25, -2, -3, -4, -5, 1, 2, 3, 4}},
		{"the link is another state", func(s []*Array) ([]*Array, []*Array) {
			c := plus(s[0], scalar(1))
			return nil, []*Array{neg(c), c}
		}, []float32{-2, -3, -4, -5, 2, 3, 4, 5}},
		{"the link is read transposed", func(s []*Array) ([]*Array, []*Array) {
			c := plus(s[0], scalar(1))
			return nil, []*Array{minus(c, tensor.SwapAxes(c, 0, 1, none)), s[1]}
		}, []float32{0, -1, 1, 0, 1, 2, 3, 4}},
		{"the state is read transposed", func(s []*Array) ([]*Array, []*Array) {
			return nil, []*Array{minus(s[0], tensor.SwapAxes(s[0], 0, 1, none)), s[1]}
		}, []float32{0, -1, 1, 0, 1, 2, 3, 4}},
		{"the old value is a result", func(s []*Array) ([]*Array, []*Array) {
			return []*Array{s[0]}, []*Array{neg(s[0]), plus(s[1], s[0])}
		}, []float32{1, 2, 3, 4, -1, -2, -3, -4, 2, 4, 6, 8}},
	} {
		f := New(c.name, func(_, s []*Array) ([]*Array, []*Array) { return c.f(s) })
		out, st := run(t, f, nil, []*Array{square(), square()})
		var got []float32
		for _, a := range append(out, st...) {
			got = append(got, tensor.ToSlice[float32](a)...)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// A result that is an old state is copied first, so that the new one can be
// written over it.
func TestOldStateAsResult(t *testing.T) {
	f := New("old", func(_, s []*Array) ([]*Array, []*Array) { return []*Array{s[0]}, []*Array{neg(s[0])} })
	e, err := f.For(nil, []tensor.Spec{f32(4)})
	if err != nil {
		t.Fatal(err)
	}
	if len(e.Plan.Steps) != 2 || e.Plan.Steps[1].Out[0].Kind != tensor.SlotState {
		t.Errorf("plan:\n%v", e.Plan)
	}
}
