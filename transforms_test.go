package mlx_test

import (
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
)

func wantItems(t *testing.T, what string, a *mlx.Array, want ...float64) {
	t.Helper()
	got := mlx.ToSlice[float32](a)
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range want {
		if d := math.Abs(float64(got[i]) - want[i]); !(d <= 1e-5*math.Max(1, math.Abs(want[i]))) {
			t.Errorf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func wantError(t *testing.T, text string, f func()) {
	t.Helper()
	if err := mlx.Try(f); err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("error %v, want %q", err, text)
	}
}

func TestGrad(t *testing.T) {
	x := mlx.NewArray(0.5)
	d := mlx.Grad(mlx.Sin)
	wantItems(t, "sin'", d(x), math.Cos(0.5))
	wantItems(t, "sin''", mlx.Grad(d)(x), -math.Sin(0.5))
	wantItems(t, "sin'''", mlx.Grad(mlx.Grad(d))(x), -math.Cos(0.5))
	f := func(w, x *mlx.Array) *mlx.Array { return mlx.Sum(w.Mul(x)) }
	w, v := mlx.NewArray([]float64{1, 2}), mlx.NewArray([]float64{3, 4})
	wantItems(t, "argument 1", mlx.Grad(f, mlx.ArgNum(1))(w, v), 1, 2)
	wantItems(t, "argument -2", mlx.Grad(f, mlx.ArgNum(-2))(w, v), 3, 4)
	wantItems(t, "not used", mlx.Grad(func(a, b *mlx.Array) *mlx.Array { return mlx.Sum(a) }, mlx.ArgNum(1))(w, v), 0, 0)
	wantError(t, "must give a scalar", func() { mlx.Grad(func(x *mlx.Array) *mlx.Array { return x.Mul(2) })(w) })
	wantError(t, "argument", func() { mlx.Grad(f, mlx.ArgNum(2)) })
}

type params struct {
	W, B *mlx.Array
	Name string
}

func TestValueAndGrad(t *testing.T) {
	p := &params{mlx.NewArray([]float64{1, 2}), mlx.NewArray(3.0), "p"}
	x := mlx.NewArray([]float64{5, 7})
	loss, n, g := mlx.ValueAndGradAux(func(p *params) (*mlx.Array, int) {
		return mlx.Sum(p.W.Mul(x)).Add(p.B.Mul(p.B)), 7
	})(p)
	wantItems(t, "loss", loss, 28)
	wantItems(t, "dW", g.W, 5, 7)
	wantItems(t, "dB", g.B, 6)
	if n != 7 || g.Name != "p" || g == p {
		t.Errorf("aux %d, gradient %+v", n, g)
	}
	_, gs := mlx.ValueAndGrad(func(ws [2]*mlx.Array) *mlx.Array { return mlx.Sum(ws[0].Mul(ws[1])) })([2]*mlx.Array{x, x})
	wantItems(t, "first", gs[0], 5, 7)
	wantItems(t, "second", gs[1], 5, 7)
}

func TestVMap(t *testing.T) {
	dot := func(a, b *mlx.Array) *mlx.Array { return mlx.Sum(a.Mul(b)) }
	xs := mlx.NewArray([][]float64{{1, 2}, {3, 4}, {5, 6}})
	w := mlx.NewArray([]float64{10, 1})
	wantItems(t, "rows with w", mlx.VMap(dot, mlx.InAxes{0, mlx.Unmapped})(xs, w), 12, 34, 56)
	wantItems(t, "columns", mlx.VMap(dot, mlx.InAxes{1, 1})(xs, xs), 35, 56)
	rows := mlx.VMap(dot, mlx.InAxes{mlx.Unmapped, 0})
	wantItems(t, "all pairs", mlx.VMap(rows, mlx.InAxes{0, mlx.Unmapped})(xs, xs), 5, 11, 17, 11, 25, 39, 17, 39, 61)
	square := func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(x)) }
	wantItems(t, "a gradient each", mlx.VMap(mlx.Grad(square))(xs), 2, 4, 6, 8, 10, 12)
	two := mlx.VMap(func(p params) (a, b *mlx.Array) { return p.W.Add(p.B), p.B }, mlx.OutAxes{1, 0})
	a, b := two(params{W: xs, B: mlx.NewArray([]float64{1, 2, 3})})
	if a.Shape().String() != "(2, 3)" || b.Shape().String() != "(3,)" {
		t.Errorf("shapes %v %v", a.Shape(), b.Shape())
	}
	wantItems(t, "out axis 1", a, 2, 5, 8, 3, 6, 9)
	wantItems(t, "last axes", mlx.VMap(dot, mlx.InAxes{-1, 1})(xs, xs), 35, 56)
	last := mlx.VMap(func(x *mlx.Array) *mlx.Array { return x.Mul(2) }, mlx.OutAxes{-1})(xs)
	wantItems(t, "last out axis", last, 2, 6, 10, 4, 8, 12)
	wantError(t, "sizes 3 and 2", func() { mlx.VMap(dot)(xs, w) })
	wantError(t, "axis 2", func() { mlx.VMap(dot, mlx.InAxes{2, 0})(xs, w) })
	wantError(t, "cannot be read", func() {
		mlx.VMap(func(x *mlx.Array) *mlx.Array { return x.Mul(mlx.Item[float32](x)) })(w)
	})
	wantError(t, "3 in axes for 2 arguments", func() { mlx.VMap(dot, mlx.InAxes{0, 0, 0}) })
}

func TestVJPAndJVP(t *testing.T) {
	f := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{in[0].Mul(in[0])} }
	x, c := mlx.NewArray([]float64{1, 2}), mlx.NewArray([]float64{1, 3})
	_, g := mlx.VJP(f, mlx.Arrays{x}, mlx.Arrays{c})
	wantItems(t, "vjp", g[0], 2, 12)
	_, g = mlx.JVP(f, mlx.Arrays{x}, mlx.Arrays{c})
	wantItems(t, "jvp", g[0], 2, 12)
	wantError(t, "shape (), of the results (2,)", func() { mlx.VJP(f, mlx.Arrays{x}, mlx.Arrays{mlx.NewArray(1.0)}) })
}

func TestCustomFunction(t *testing.T) {
	f := mlx.CustomFunction(func(a, b *mlx.Array) *mlx.Array { return a.Mul(b) }, mlx.Rules{
		VJP: func(p, c, o mlx.Arrays) mlx.Arrays { return mlx.Arrays{c[0].Mul(100), nil} }})
	g := func(a, b *mlx.Array) *mlx.Array { return mlx.Sum(f(a, b)) }
	x := mlx.NewArray([]float64{1, 2})
	wantItems(t, "own gradient", mlx.Grad(g)(x, x), 100, 100)
	wantItems(t, "none", mlx.Grad(g, mlx.ArgNum(1))(x, x), 0, 0)
	kept := mlx.Checkpoint(func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Sin(a).Mul(a)) })
	wantItems(t, "checkpoint", mlx.Grad(kept)(x), math.Cos(1)+math.Sin(1), math.Cos(2)*2+math.Sin(2))
	wantItems(t, "depends", mlx.Depends(x, x.Mul(2)), 1, 2)
}
