package autodiff_test

import (
	"math"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu"

	"github.com/mlxgo/mlx/internal/autodiff"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

type array = tensor.Array

func scalar(v float64) *array { return tensor.FloatScalar(v, dtype.Float32, tensor.Stream{}) }

func sine(x *array) *array { return tensor.UnaryOf(tensor.OpSin, x, tensor.Stream{}) }

func item(t *testing.T, a *array) float64 {
	t.Helper()
	return float64(tensor.ToSlice[float32](a)[0])
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.IsNaN(got) || math.Abs(got-want) > 1e-4*math.Max(1, math.Abs(want)) {
		t.Errorf("%s = %v, want %v", what, got, want)
	}
}

// grad is the gradient of a function of one scalar.
func grad(f func(*array) *array) func(*array) *array {
	return func(x *array) *array {
		_, g := autodiff.VJP(one(f), []*array{x}, []*array{scalar(1)})
		if g[0] == nil {
			return scalar(0)
		}
		return g[0]
	}
}

func one(f func(*array) *array) autodiff.Func {
	return func(in []*array) []*array { return []*array{f(in[0])} }
}

func vmap(f func(*array) *array) func(*array) *array {
	return func(x *array) *array {
		return autodiff.VMap(one(f), []*array{x}, []int{0}, autodiff.InFront)[0]
	}
}

func jvp(f func(*array) *array) func(*array) *array {
	return func(x *array) *array {
		_, g := autodiff.JVP(one(f), []*array{x}, []*array{tensor.OnesLike(x, tensor.Stream{})})
		return g[0]
	}
}

func TestNestedGradients(t *testing.T) {
	cube := func(x *array) *array { return x.Pow(3) }
	x := scalar(2)
	for i, want := range []float64{8, 12, 12, 6, 0} {
		near(t, "derivative of x^3 at 2", item(t, cube(x)), want)
		_ = i
		cube = grad(cube)
	}
	s := grad(sine)
	near(t, "sin'", item(t, s(scalar(0.3))), math.Cos(0.3))
	near(t, "sin''", item(t, grad(s)(scalar(0.3))), -math.Sin(0.3))
	near(t, "sin'''", item(t, grad(grad(s))(scalar(0.3))), -math.Cos(0.3))
	near(t, "forward over reverse", item(t, jvp(s)(scalar(0.3))), -math.Sin(0.3))
	near(t, "reverse over forward", item(t, grad(jvp(sine))(scalar(0.3))), -math.Sin(0.3))
	near(t, "forward over forward", item(t, jvp(jvp(sine))(scalar(0.3))), -math.Sin(0.3))
}

func TestVMapOfGrad(t *testing.T) {
	v := tensor.Apply1(tensor.Arange{Start: tensor.MakeF64(0), Step: tensor.MakeF64(0.5), N: 5, DType: dtype.Float32}, tensor.Stream{})
	f := func(x *array) *array { return sine(x).Mul(x) }
	got := tensor.ToSlice[float32](vmap(grad(f))(v))
	second := tensor.ToSlice[float32](vmap(grad(grad(f)))(v))
	for i := range got {
		x := 0.5 * float64(i)
		near(t, "vmap of grad", float64(got[i]), math.Cos(x)*x+math.Sin(x))
		near(t, "vmap of grad of grad", float64(second[i]), 2*math.Cos(x)-x*math.Sin(x))
	}
	sum := func(x *array) *array { return tensor.ReduceOf(tensor.OpSum, vmap(f)(x), nil, false, tensor.Stream{}) }
	_, g := autodiff.VJP(one(sum), []*array{v}, []*array{scalar(1)})
	for i, y := range tensor.ToSlice[float32](g[0]) {
		x := 0.5 * float64(i)
		near(t, "grad of vmap", float64(y), math.Cos(x)*x+math.Sin(x))
	}
}

// TestReadingInside: a value that is read inside a differentiated function keeps
// its path (known fault: the gradient became 0).
func TestReadingInside(t *testing.T) {
	f := func(x *array) *array {
		y := sine(x)
		if item(t, y) > 2 {
			return x
		}
		return y.Mul(y)
	}
	near(t, "gradient", item(t, grad(f)(scalar(0.4))), 2*math.Sin(0.4)*math.Cos(0.4))
}

func TestCustom(t *testing.T) {
	rule := autodiff.Rules{VJP: func(p, c, o []*array) []*array { return []*array{c[0].Mul(10), nil} }}
	f := autodiff.Custom(func(in []*array) []*array { return []*array{in[0].Mul(in[1])} }, rule)
	g := func(x *array) *array { return sine(f([]*array{x, x})[0]) }
	near(t, "value", item(t, g(scalar(0.5))), math.Sin(0.25))
	near(t, "custom vjp", item(t, grad(g)(scalar(0.5))), 10*math.Cos(0.25))
	v := tensor.BroadcastTo(scalar(0.5), tensor.Shape{3}, tensor.Stream{})
	for _, y := range tensor.ToSlice[float32](vmap(grad(g))(v)) {
		near(t, "vmap of custom vjp", float64(y), 10*math.Cos(0.25))
	}
	sum := func(x *array) *array { return tensor.ReduceOf(tensor.OpSum, vmap(g)(x), nil, false, tensor.Stream{}) }
	_, gs := autodiff.VJP(one(sum), []*array{v}, []*array{scalar(1)})
	for _, y := range tensor.ToSlice[float32](gs[0]) {
		near(t, "custom vjp of vmap", float64(y), 10*math.Cos(0.25))
	}
}

// TestCheckpoint: the same derivatives, also of captured arrays and twice.
func TestCheckpoint(t *testing.T) {
	w := func(x *array) func(*array) *array {
		f := autodiff.Custom(func(in []*array) []*array { return []*array{sine(in[0].Mul(x)).Mul(in[0])} }, autodiff.Rules{})
		return func(y *array) *array { return f([]*array{y})[0] }
	}
	plain := func(x *array) *array { return sine(x.Mul(x)).Mul(x) }
	kept := func(x *array) *array { return w(x)(x) }
	x := scalar(0.7)
	for i := range 3 {
		near(t, "checkpoint", item(t, kept(x)), item(t, plain(x)))
		near(t, "jvp of checkpoint", item(t, jvp(kept)(x)), item(t, jvp(plain)(x)))
		_ = i
		kept, plain = grad(kept), grad(plain)
	}
}
