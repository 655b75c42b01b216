package tensor_test

import (
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestLimits: shapes and parameters at the edge of int give an *Error that names
// the op, or the right result.
func TestLimits(t *testing.T) {
	x := vec(1, 2, 3)
	deep := x
	for deep.NDim() < 32 {
		deep = deep.ExpandDims(0)
	}
	want(t, sum(deep), 6)
	slice := func(lo, hi, step int) *tensor.Array {
		return tensor.Apply1(tensor.Slice{Start: tensor.MakeInts(lo), Stop: tensor.MakeInts(hi), Step: tensor.MakeInts(step)}, none, x)
	}
	want(t, slice(0, 3, math.MaxInt), 1)
	want(t, slice(2, -1, math.MinInt), 3)
	want(t, slice(2, -1, -1), 3, 2, 1)
	want(t, slice(2, -1, -2), 3, 1)
	want(t, slice(0, 3, 2), 1, 3)
	want(t, slice(1, 3, 2), 2)
	want(t, slice(3, 3, 1))
	many := make([]int, 40)
	for i := range many {
		many[i] = 1
	}
	for op, f := range map[string]func(){
		"expand_dims":  func() { deep.ExpandDims(0) },
		"reshape":      func() { tensor.ReshapeTo(vec(1), many, none) },
		"broadcast_to": func() { tensor.BroadcastTo(vec(1), many, none) },
		"transpose":    func() { tensor.TransposeTo(x, make([]int, 40), none) },
		"pad":          func() { tensor.PadWith(x, []int{math.MaxInt}, []int{math.MaxInt}, 0, none) },
		"slice":        func() { slice(0, math.MaxInt, 1) },
		"array":        func() { tensor.FromBytes(nil, tensor.Shape{1 << 62, 1 << 62, 0}, dtype.Uint8) },
	} {
		err := tensor.Try(f)
		var e *tensor.Error
		if !errors.As(err, &e) || !strings.HasPrefix(err.Error(), op) {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestNil: nil and zero arrays are misuse, not a crash.
func TestNil(t *testing.T) {
	var none *tensor.Array
	for name, f := range map[string]func(){
		"operand": func() { vec(1).MatMul(none) },
		"input":   func() { tensor.Apply1(tensor.Copy{}, tensor.Stream{}, none) },
		"shape":   func() { none.Shape() },
		"zero":    func() { new(tensor.Array).Add(1) },
		"donate":  func() { none.Donate() },
		"read":    func() { tensor.ToSlice[float32](none) },
	} {
		if err := tensor.Try(f); err == nil || !strings.Contains(err.Error(), "nil") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := tensor.Eval(vec(1), none, new(tensor.Array)); err == nil || !strings.Contains(err.Error(), "nil") {
		t.Errorf("eval: %v", err)
	}
}

// TestMemoryLimitDuringEval: an Eval that runs out of memory leaves the graph as it
// was: it can be tried again, and nothing stays in use.
func TestMemoryLimitDuringEval(t *testing.T) {
	if tensor.RaceEnabled {
		t.Skip("no limit in race builds")
	}
	const n = 1 << 18
	settle := func() int64 {
		last := int64(-1)
		for range 200 {
			collect()
			time.Sleep(time.Millisecond)
			now := tensor.ActiveMemory()
			if now == last {
				break
			}
			last = now
		}
		return last
	}
	before := settle()
	func() {
		x := ramp(n)
		parts := make([]*tensor.Array, 8)
		for i := range parts {
			parts[i] = x.Add(i)
		}
		y := tensor.ReduceOf(tensor.OpSum, tensor.ConcatenateOf(parts, 0, none), nil, false, none)
		old := tensor.SetMemoryLimit(tensor.ActiveMemory() + 6*4*n)
		err := tensor.Eval(y)
		tensor.SetMemoryLimit(old)
		if !errors.Is(err, tensor.ErrMemory) {
			t.Fatalf("no memory: %v", err)
		}
		var want float64
		for i := range n {
			want += 8 * float64(i%97)
		}
		want += 28 * n
		if got := tensor.Item[float32](y); got != float32(want) {
			t.Errorf("tried again: %g, not %g", got, want)
		}
	}()
	if now := settle(); now != before {
		t.Errorf("%d bytes are in use, %d before", now, before)
	}
}
