package mlx_test

import (
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/optest"
)

// square is mean((tanh(x @ w) - t)^2), the function of the recorded transforms.
func square(w, x, t *mlx.Array) *mlx.Array {
	return mlx.Mean(mlx.Square(mlx.Tanh(x.MatMul(w)).Sub(t)))
}

// TestRecordedTransforms compares with what MLX gave.
func TestRecordedTransforms(t *testing.T) {
	g, err := optest.Load("layers")
	if err != nil {
		t.Fatal(err)
	}
	w, x, target := g["transform.w"], g["transform.x"], g["transform.t"]
	f := func(w *mlx.Array) *mlx.Array { return square(w, x, target) }
	grad := mlx.Grad(f)
	want := func(name string, got *mlx.Array) {
		t.Helper()
		if err := optest.Diff(got, g["transform."+name], optest.F32); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	want("grad", grad(w))
	want("grad", mlx.Grad(mlx.Compile(f))(w))
	rows := mlx.VMap(mlx.Grad(square), mlx.InAxes{mlx.Unmapped, 0, 0})
	want("vmap_grad", rows(w, x, target))
	want("vmap_grad", mlx.Compile(rows)(w, x, target))
	want("checkpoint", mlx.Grad(mlx.Checkpoint(f))(w))
	want("compiled", mlx.Compile(grad)(w))
	want("compiled", mlx.Compile(mlx.Grad(mlx.Checkpoint(f)))(w))
	along := func(w *mlx.Array) *mlx.Array { return mlx.Sum(grad(w).Mul(w)) }
	want("hvp", mlx.Grad(along)(w))
	want("hvp", mlx.Compile(mlx.Grad(along))(w))
	whole := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{f(in[0])} }
	_, jvp := mlx.JVP(whole, mlx.Arrays{w}, mlx.Arrays{mlx.OnesLike(w)})
	want("jvp", jvp[0])
	third := mlx.Grad(mlx.Grad(mlx.Grad(func(a *mlx.Array) *mlx.Array { return a.Pow(4).Mul(mlx.Sin(a)) })))
	want("third", third(mlx.NewArray(0.7)))
	want("third", mlx.Compile(third)(mlx.NewArray(0.7)))
}

// TestNested: transformations in each other, eager and compiled. h(x) = sum(sin(x)*x^2).
func TestNested(t *testing.T) {
	h := func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sin(x).Mul(mlx.Square(x))) }
	d1 := func(x float64) float64 { return math.Cos(x)*x*x + 2*x*math.Sin(x) }
	d2 := func(x float64) float64 { return -math.Sin(x)*x*x + 4*x*math.Cos(x) + 2*math.Sin(x) }
	d3 := func(x float64) float64 { return -math.Cos(x)*x*x - 6*x*math.Sin(x) + 6*math.Cos(x) }
	at := []float64{0.3, -1.2, 2, 0.7, 1.1, -0.4}
	values := func(f func(float64) float64) (out []float64) {
		for _, x := range at {
			out = append(out, f(x))
		}
		return out
	}
	xs := mlx.NewArray(at).AsType(mlx.Float32).Reshape(3, 2)
	total := func(f func(*mlx.Array) *mlx.Array) func(*mlx.Array) *mlx.Array {
		return func(x *mlx.Array) *mlx.Array { return mlx.Sum(f(x)) }
	}
	g1 := mlx.Grad(h)
	g2 := mlx.Grad(total(g1)) // h works element by element: the sum of its Hessian's rows is its diagonal
	g3 := mlx.Grad(total(g2))
	for _, c := range []struct {
		name string
		f    func(*mlx.Array) *mlx.Array
		want []float64
	}{
		{"gradient of vmap", mlx.Grad(total(mlx.VMap(h))), values(d1)},
		{"vmap of gradient", mlx.VMap(g1), values(d1)},
		{"gradient of vmap of gradient", mlx.Grad(total(mlx.VMap(g1))), values(d2)},
		{"vmap of gradient of vmap", mlx.VMap(mlx.Grad(total(mlx.VMap(h)))), values(d1)},
		{"triple", g3, values(d3)},
		{"vmap of triple", mlx.VMap(g3), values(d3)},
		{"triple of checkpoint", mlx.Grad(total(mlx.Grad(total(mlx.Grad(mlx.Checkpoint(h)))))), values(d3)},
		{"triple through compile", mlx.Grad(total(mlx.Grad(total(mlx.Grad(mlx.Compile(h)))))), values(d3)},
		{"checkpoint of gradient", mlx.Grad(total(mlx.Checkpoint(g1))), values(d2)},
	} {
		wantItems(t, c.name, c.f(xs), c.want...)
		wantItems(t, "compiled "+c.name, mlx.Compile(c.f)(xs), c.want...)
	}
}

// TestCompiledValueAndGrad compiles the loss and its gradient at once.
func TestCompiledValueAndGrad(t *testing.T) {
	x := mlx.NewArray([]float64{5, 7})
	vg := mlx.ValueAndGradAux(func(p params) (*mlx.Array, *mlx.Array) {
		y := p.W.Mul(x)
		return mlx.Sum(y).Add(p.B.Mul(p.B)), y
	})
	f := mlx.Compile(func(p params) (*mlx.Array, *mlx.Array, params) { return vg(p) })
	for range 2 {
		loss, y, g := f(params{W: mlx.NewArray([]float64{1, 2}), B: mlx.NewArray(3.0), Name: "p"})
		wantItems(t, "loss", loss, 28)
		wantItems(t, "aux", y, 5, 14)
		wantItems(t, "dW", g.W, 5, 7)
		wantItems(t, "dB", g.B, 6)
	}
}

// TestCheckpointSavesMemory: a deep function holds one value for each layer until its
// gradient is made; checkpoints hold none of those within, whether it is compiled or not.
func TestCheckpointSavesMemory(t *testing.T) {
	if raceEnabled {
		t.Skip("memory is not counted in race builds")
	}
	const blocks, layers, n = 4, 8, 1 << 18
	block := func(x *mlx.Array) *mlx.Array {
		for range layers {
			x = mlx.Sin(x).Mul(x)
		}
		return x
	}
	deep := func(block func(*mlx.Array) *mlx.Array) func(*mlx.Array) *mlx.Array {
		return mlx.Grad(func(x *mlx.Array) *mlx.Array {
			for range blocks {
				x = block(x)
			}
			return mlx.Sum(x)
		})
	}
	x := mlx.Ones(mlx.Shape{n}).Mul(0.9)
	if err := mlx.Eval(x); err != nil {
		t.Fatal(err)
	}
	var first []float32
	peak := func(f func(*mlx.Array) *mlx.Array) int64 {
		inUse()
		mlx.ResetPeakMemory()
		before := mlx.ActiveMemory()
		y := f(x)
		if err := mlx.Eval(y); err != nil {
			t.Fatal(err)
		}
		used := mlx.PeakMemory() - before
		got := mlx.ToSlice[float32](y)
		if first == nil {
			first = got
		}
		for i := range got {
			if math.Abs(float64(got[i]-first[i])) > 1e-5*math.Abs(float64(first[i])) {
				t.Fatalf("element %d is %v, want %v", i, got[i], first[i])
			}
		}
		return used
	}
	kept, again := deep(block), deep(mlx.Checkpoint(block))
	for _, c := range []struct {
		name string
		a, b int64
	}{
		{"eager", peak(kept), peak(again)},
		{"compiled", peak(mlx.Compile(kept)), peak(mlx.Compile(again))},
	} {
		t.Logf("%s: %d arrays, %d with checkpoints", c.name, c.a/(4*n), c.b/(4*n))
		if c.b > c.a*2/3 {
			t.Errorf("%s: the peak is %d bytes with checkpoints, %d without", c.name, c.b, c.a)
		}
	}
}

// TestCustomFunctionInside: the rule of a custom function stays inside of other
// transformations.
func TestCustomFunctionInside(t *testing.T) {
	f := mlx.CustomFunction(func(x *mlx.Array) *mlx.Array { return mlx.Sin(x) }, mlx.Rules{
		VJP: func(p, c, o mlx.Arrays) mlx.Arrays { return mlx.Arrays{c[0].Mul(mlx.Square(p[0])).Mul(10)} },
		JVP: func(p, d mlx.Arrays) mlx.Arrays { return mlx.Arrays{d[0].Mul(7)} },
	})
	total := func(x *mlx.Array) *mlx.Array { return mlx.Sum(f(x)) }
	xs := mlx.NewArray([][]float64{{1, 2}, {3, -1}})
	want := []float64{10, 40, 90, 10}
	for _, c := range []struct {
		name string
		f    func(*mlx.Array) *mlx.Array
	}{
		{"gradient", mlx.Grad(total)},
		{"vmap of gradient", mlx.VMap(mlx.Grad(total))},
		{"gradient of vmap", mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.VMap(f)(x)) })},
		{"gradient of compiled", mlx.Grad(mlx.Compile(total))},
		{"gradient of checkpoint", mlx.Grad(mlx.Checkpoint(total))},
	} {
		wantItems(t, c.name, c.f(xs), want...)
		wantItems(t, "compiled "+c.name, mlx.Compile(c.f)(xs), want...)
	}
	second := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Grad(total)(x)) })
	wantItems(t, "gradient of the rule", second(xs), 20, 40, 60, -20)
	wantItems(t, "compiled gradient of the rule", mlx.Compile(second)(xs), 20, 40, 60, -20)
	_, d := mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.VMap(f)(in[0])} }, mlx.Arrays{xs}, mlx.Arrays{mlx.OnesLike(xs)})
	wantItems(t, "tangent through vmap", d[0], 7, 7, 7, 7)
	own := mlx.CustomFunction(func(x *mlx.Array) *mlx.Array { return mlx.Sum(x) }, mlx.Rules{
		VMap: func(in mlx.Arrays, axes []int) (mlx.Arrays, []int) {
			return mlx.Arrays{mlx.Sum(in[0], mlx.Axis(1)).Mul(2)}, []int{0}
		}})
	wantItems(t, "own vmap", mlx.VMap(own)(xs), 6, 4)
	wantItems(t, "own vmap, compiled", mlx.Compile(mlx.VMap(own))(xs), 6, 4)
}

// TestEvalInside: evaluating or reading a value inside a gradient keeps its derivative;
// where values have no data, it is an error.
func TestEvalInside(t *testing.T) {
	f := func(x *mlx.Array) *mlx.Array {
		y := mlx.Sin(x)
		if err := mlx.Eval(y); err != nil {
			panic(err)
		}
		z := mlx.Sum(y.Mul(y))
		if mlx.Item[float32](z) > 100 {
			return z.Mul(0)
		}
		return z
	}
	x := mlx.NewArray([]float64{0.4, 1.1})
	wantItems(t, "gradient", mlx.Grad(f)(x), math.Sin(0.8), math.Sin(2.2))
	second := mlx.Grad(func(x *mlx.Array) *mlx.Array {
		g := mlx.Grad(f)(x)
		if err := mlx.Eval(g); err != nil {
			panic(err)
		}
		return mlx.Sum(g)
	})
	wantItems(t, "second", second(x), 2*math.Cos(0.8), 2*math.Cos(2.2))
	abstract := "has no data"
	for name, g := range map[string]func(*mlx.Array) *mlx.Array{
		"compile": mlx.Compile(f), "vmap": mlx.VMap(f),
		"compiled gradient": mlx.Compile(mlx.Grad(f)), "vmap of gradient": mlx.VMap(mlx.Grad(f)),
	} {
		err := mlx.Try(func() { g(x) })
		if err == nil || !strings.Contains(err.Error(), abstract) {
			t.Errorf("%s: error %v, want %q", name, err, abstract)
		}
	}
}
