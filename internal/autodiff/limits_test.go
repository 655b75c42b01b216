package autodiff_test

import (
	"math"
	"runtime"
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// TestDeep: long graphs are transformed without recursion.
func TestDeep(t *testing.T) {
	const n = 20_000
	f := func(x *array) *array {
		y := x
		for range n {
			y = y.Mul(0.5).Add(x)
		}
		return y
	}
	near(t, "gradient", item(t, grad(f)(scalar(0.3))), 2)
	near(t, "tangent", item(t, jvp(f)(scalar(0.3))), 2)
	for _, y := range tensor.ToSlice[float32](vmap(f)(tensor.BroadcastTo(scalar(0.5), tensor.Shape{3}, tensor.Stream{}))) {
		near(t, "map", float64(y), 1)
	}
}

// TestPeak: a backward pass holds what the rules read and little more; with
// checkpoints, their inputs and one inside.
func TestPeak(t *testing.T) {
	const layers, size = 50, 1 << 16
	four := func(x *array) *array { return sine(sine(sine(sine(x)))) }
	arrays := func(layer func(*array) *array) int64 {
		x := tensor.Apply1(tensor.Arange{Step: tensor.MakeF64(1e-5), N: size, DType: dtype.Float32}, tensor.Stream{})
		item(t, x)
		tensor.ResetPeakMemory()
		before := tensor.PeakMemory()
		f := func(x *array) *array {
			for range layers {
				x = layer(x)
			}
			return tensor.ReduceOf(tensor.OpSum, x, nil, false, tensor.Stream{})
		}
		g := grad(f)(x)
		runtime.GC() // the handles of what was traced are gone
		item(t, g)
		return (tensor.PeakMemory() - before) / (size * 4)
	}
	if n := arrays(four); n > 6*layers {
		t.Errorf("%d arrays at the peak for %d values that the rules read", n, 4*layers)
	}
	c := autodiff.Custom(one(four), autodiff.Rules{})
	if n := arrays(func(x *array) *array { return c([]*array{x})[0] }); n > 2*layers {
		t.Errorf("%d arrays at the peak for %d checkpoints", n, layers)
	}
}

// TestPanicEndsTrace: a panic inside leaves no live trace.
func TestPanicEndsTrace(t *testing.T) {
	for name, transform := range map[string]func(func(*array) *array) func(*array) *array{"grad": grad, "jvp": jvp, "checkpoint": func(f func(*array) *array) func(*array) *array {
		c := autodiff.Custom(one(f), autodiff.Rules{})
		return func(x *array) *array { return c([]*array{x})[0] }
	}} {
		var inside *array
		err := tensor.Try(func() {
			transform(func(x *array) *array {
				inside = sine(x)
				tensor.Throw("mine", nil, "stop")
				return x
			})(scalar(1))
		})
		if err == nil || tensor.Traced(inside) {
			t.Errorf("%s: error %v; the trace lives on: %t", name, err, tensor.Traced(inside))
		}
	}
}

// TestWrongRules: each is an error that names the rule.
func TestWrongRules(t *testing.T) {
	row := tensor.BroadcastTo(scalar(0.5), tensor.Shape{7}, tensor.Stream{})
	in := tensor.BroadcastTo(scalar(0.5), tensor.Shape{3}, tensor.Stream{})
	mapped := func(out []*array, axes ...int) autodiff.Rules {
		return autodiff.Rules{VMap: func([]*array, []int) ([]*array, []int) { return out, axes }}
	}
	for text, r := range map[string]autodiff.Rules{
		"the VJP rule gave float32(7,) where":     {VJP: func(p, c, o []*array) []*array { return []*array{row} }},
		"the VJP rule gave 0 gradients":           {VJP: func(p, c, o []*array) []*array { return nil }},
		"the JVP rule gave float32(7,) where":     {JVP: func(p, c []*array) []*array { return []*array{row} }},
		"the JVP rule gave 0 tangents":            {JVP: func(p, c []*array) []*array { return nil }},
		"no axis 0 of size 3":                     mapped([]*array{row}, 0),
		"no axis 4 of size 3":                     mapped([]*array{in}, 4),
		"the VMap rule gave 0 results and 0 axes": mapped(nil),
		"the VMap rule gave 1 results and 0 axes": mapped([]*array{in}),
		"is nil": mapped([]*array{nil}, 0),
		"slices of float32(3,) where float32() is":     mapped([]*array{in}, tensor.Unmapped),
		"slices of bfloat16() where float32() is need": mapped([]*array{tensor.AsType(in, dtype.BFloat16, tensor.Stream{})}, 0),
	} {
		f := autodiff.Custom(one(sine), r)
		g := func(x *array) *array { return f([]*array{x})[0] }
		err := tensor.Try(func() {
			switch {
			case r.VMap != nil:
				vmap(g)(in)
			case r.JVP != nil:
				jvp(g)(scalar(1))
			default:
				grad(g)(scalar(1))
			}
		})
		if err == nil || !strings.Contains(err.Error(), text) {
			t.Errorf("error %v, want %q", err, text)
		}
	}
}

// opaque is an op that cannot be mapped.
type opaque struct{}

func (opaque) Name() string { return "opaque" }

func (opaque) Infer(in []tensor.Spec) ([]tensor.Spec, error) { return in[:1], nil }

// TestMappedByRule: what a function with a VMap rule does inside need not have one, nor
// where its argument does not vary though it comes from what is mapped.
func TestMappedByRule(t *testing.T) {
	in := tensor.BroadcastTo(scalar(0.5), tensor.Shape{3}, tensor.Stream{})
	inside := func(in []*array) []*array {
		tensor.Apply1(opaque{}, tensor.Stream{}, in[0])
		return []*array{tensor.Apply1(opaque{}, tensor.Stream{}, in[0]).Mul(1)}
	}
	f := autodiff.Custom(inside, autodiff.Rules{VMap: func(in []*array, axes []int) ([]*array, []int) {
		return []*array{in[0].Mul(4)}, axes
	}})
	for _, y := range tensor.ToSlice[float32](vmap(func(x *array) *array { return f([]*array{x})[0].Add(1) })(in)) {
		near(t, "mapped", float64(y), 3)
	}
	seven := autodiff.Custom(func(in []*array) []*array { return in }, autodiff.Rules{VMap: func([]*array, []int) ([]*array, []int) {
		return []*array{scalar(7)}, []int{tensor.Unmapped}
	}})
	again := autodiff.Custom(one(sine), autodiff.Rules{VMap: func([]*array, []int) ([]*array, []int) {
		t.Error("a rule is called for what does not vary")
		return nil, nil
	}})
	for _, y := range tensor.ToSlice[float32](vmap(func(x *array) *array { return again(seven([]*array{x}))[0] })(in)) {
		near(t, "unmapped", float64(y), math.Sin(7))
	}
}

// TestNilTangents: a JVP rule may leave out what does not vary, mapped too.
func TestNilTangents(t *testing.T) {
	f := autodiff.Custom(one(sine), autodiff.Rules{JVP: func(p, ts []*array) []*array { return []*array{nil} }})
	g := jvp(func(x *array) *array { return f([]*array{x})[0] })
	near(t, "tangent", item(t, g(scalar(1))), 0)
	for _, y := range tensor.ToSlice[float32](vmap(g)(tensor.BroadcastTo(scalar(0.5), tensor.Shape{3}, tensor.Stream{}))) {
		near(t, "mapped", float64(y), 0)
	}
}

// TestGoroutines: functions are differentiated at once by many.
func TestGoroutines(t *testing.T) {
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			x := scalar(0.1 * float64(i))
			f := func(x *array) *array { return sine(x).Mul(x) }
			for range 20 {
				v := 0.1 * float64(i)
				first, second := math.Cos(v)*v+math.Sin(v), 2*math.Cos(v)-v*math.Sin(v)
				near(t, "second derivative", item(t, grad(grad(f))(x)), second)
				near(t, "tangent of a gradient", item(t, jvp(grad(f))(x)), second)
				near(t, "map of a gradient", item(t, vmap(grad(f))(tensor.BroadcastTo(x, tensor.Shape{3}, tensor.Stream{}))), first)
			}
		}()
	}
	wg.Wait()
}
