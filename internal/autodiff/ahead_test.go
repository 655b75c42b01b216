package autodiff_test

import (
	"runtime"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestAhead: the derivatives of the function, of any order and mode, by its arguments
// and by what it captures.
func TestAhead(t *testing.T) {
	plain := func(x *array) *array { return sine(x.Mul(x)).Mul(x) }
	ahead := func(x *array) *array {
		y := x.Mul(2) // an argument that is itself computed
		f := autodiff.Ahead(func(in []*array) []*array { return []*array{sine(in[0].Mul(in[1]).Mul(0.5)).Mul(in[1])} })
		return f([]*array{y, x})[0]
	}
	captures := func(x *array) *array {
		f := autodiff.Ahead(func(in []*array) []*array { return []*array{sine(in[0].Mul(x)).Mul(in[0])} })
		return f([]*array{x})[0]
	}
	first := ahead
	inside := func(x *array) *array {
		f := autodiff.Custom(func(in []*array) []*array { return []*array{first(in[0])} }, autodiff.Rules{})
		return f([]*array{x})[0]
	}
	x := scalar(0.7)
	v := tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0.1), Step: tensor.MakeF64(0.3), N: 4, DType: dtype.Float32}, tensor.Stream{})
	for i := range 3 {
		want := tensor.ToSlice[float32](vmap(plain)(v))
		for what, f := range map[string]func(*array) *array{"ahead": ahead, "what captures": captures, "in a checkpoint": inside} {
			near(t, what, item(t, f(x)), item(t, plain(x)))
			near(t, "jvp of "+what, item(t, jvp(f)(x)), item(t, jvp(plain)(x)))
			near(t, "scaled "+what, item(t, grad(func(x *array) *array { return sine(f(x)) })(x)), item(t, grad(func(x *array) *array { return sine(plain(x)) })(x)))
			for j, y := range tensor.ToSlice[float32](vmap(f)(v)) {
				near(t, "vmap of "+what, float64(y), float64(want[j]))
			}
		}
		_ = i
		ahead, captures, inside, plain = grad(ahead), grad(captures), grad(inside), grad(plain)
	}
	defer func() {
		if err, _ := recover().(error); err == nil || !strings.Contains(err.Error(), "one scalar is needed") {
			t.Errorf("two results: %v", err)
		}
	}()
	grad(func(x *array) *array {
		return autodiff.Ahead(func(in []*array) []*array { return []*array{in[0], in[0]} })([]*array{x})[0]
	})(x)
}

// TestAheadOnce: the function runs once for its value and gradient, of pieces one after
// another, and the value alone makes no gradient.
func TestAheadOnce(t *testing.T) {
	const pieces, size = 20, 1 << 16
	runs := 0
	f := autodiff.Ahead(func(in []*array) []*array {
		runs++
		wide := tensor.BroadcastTo(in[0], tensor.Shape{size}, tensor.Stream{})
		return []*array{tensor.ReduceOf(tensor.OpSum, sine(sine(sine(wide))), nil, false, tensor.Stream{})}
	})
	total := func(x *array) *array {
		sum := f([]*array{x})[0]
		for range pieces - 1 {
			sum = sum.Add(f([]*array{x})[0])
		}
		return sum
	}
	x := scalar(0.4)
	one := func(x *array) *array { return sine(sine(sine(x))).Mul(pieces * size) }
	want, slope := item(t, one(x)), item(t, grad(one)(x))
	for what, f := range map[string]func() *array{"value": func() *array { return total(x) }, "gradient": func() *array { return grad(total)(x) }} {
		runs = 0
		tensor.ResetPeakMemory()
		before := tensor.PeakMemory()
		g := f()
		runtime.GC()
		got := item(t, g)
		if n := (tensor.PeakMemory() - before) / (size * 4); n > 8 {
			t.Errorf("%s: %d arrays at the peak", what, n)
		}
		near(t, what, got, map[string]float64{"value": want, "gradient": slope}[what])
		if runs != pieces {
			t.Errorf("%s: %d runs of %d pieces", what, runs, pieces)
		}
	}
}
