package mlx_test

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"testing"

	"github.com/mlxgo/mlx"
)

// TestCompileConcurrent: one compiled function is called from many goroutines, with
// several shapes.
func TestCompileConcurrent(t *testing.T) {
	f := mlx.Compile(func(x *mlx.Array, k int) *mlx.Array { return mlx.Sum(mlx.Square(x)).Add(k) })
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			for i := range 30 {
				n := 1 + (g+i)%5
				if got := mlx.Item[float32](f(mlx.Full(mlx.Shape{n}, 2.0), g%3)); got != float32(4*n+g%3) {
					t.Errorf("%d elements, constant %d: %v", n, g%3, got)
				}
			}
		})
	}
	wg.Wait()
	count := &params{W: mlx.NewArray(0.0)}
	up := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		count.W = count.W.Add(x)
		return count.W
	}, mlx.State(count))
	for range 8 {
		wg.Go(func() {
			for range 25 {
				mlx.Eval(up(mlx.NewArray(1.0)))
			}
		})
	}
	wg.Wait()
	wantItems(t, "no update of a state is lost", count.W, 200)
}

// TestCompileNested: a compiled function inside another is part of it.
func TestCompileNested(t *testing.T) {
	inner := mlx.Compile(func(x *mlx.Array) *mlx.Array { return mlx.Exp(x).Mul(2) })
	w := mlx.NewArray([]float64{1, 2})
	outer := mlx.Compile(func(x *mlx.Array) *mlx.Array { return inner(x).Add(inner(w)) })
	for range 2 {
		wantItems(t, "nested", outer(mlx.NewArray([]float64{0, 1})), 2+2*math.E, 2*math.E+2*math.Exp(2))
	}
	// a captured value of a live transformation is no constant
	g := mlx.Grad(func(x *mlx.Array) *mlx.Array {
		return mlx.Sum(mlx.Compile(func(y *mlx.Array) *mlx.Array { return y.Mul(x).Mul(x) })(mlx.NewArray([]float64{3, 4})))
	})
	wantItems(t, "captured tracer", g(mlx.NewArray([]float64{1, 2})), 6, 16)
	v := mlx.VMap(func(x *mlx.Array) *mlx.Array {
		return mlx.Compile(func() *mlx.Array { return mlx.Sum(x) })()
	})
	wantItems(t, "captured mapped value", v(mlx.NewArray([][]float64{{1, 2}, {3, 4}})), 3, 7)
	wantItems(t, "grad of vmap of compiled", mlx.Grad(func(x *mlx.Array) *mlx.Array {
		return mlx.Sum(mlx.VMap(inner)(x))
	})(mlx.NewArray([]float64{0, 1})), 2, 2*math.E)
}

// TestCompileKeepsEight: the last eight signatures stay compiled.
func TestCompileKeepsEight(t *testing.T) {
	traces := 0
	f := mlx.Compile(func(x *mlx.Array, k int) *mlx.Array { traces++; return x.Add(k) })
	x := mlx.NewArray(1.0)
	for k := range 9 {
		wantItems(t, "first", f(x, k), float64(1+k))
	}
	for k := 8; k > 0; k-- {
		f(x, k)
	}
	if traces != 9 {
		t.Errorf("traced %d times, want 9", traces)
	}
	f(x, 0)
	if traces != 10 {
		t.Errorf("the oldest was kept: %d traces", traces)
	}
}

// TestCompileTrees: nil arrays, pointers that are shared, empty results.
func TestCompileTrees(t *testing.T) {
	traces := 0
	f := mlx.Compile(func(x, bias *mlx.Array) *mlx.Array {
		traces++
		if bias == nil {
			return x.Mul(2)
		}
		return x.Add(bias)
	})
	x := mlx.NewArray([]float64{1, 2})
	for range 2 {
		wantItems(t, "without", f(x, nil), 2, 4)
		wantItems(t, "with", f(x, x), 2, 4)
	}
	if traces != 2 {
		t.Errorf("traced %d times, want 2", traces)
	}
	type pair struct{ A, B *params }
	g := mlx.Compile(func(p pair) *mlx.Array { traces++; return p.A.W.Sub(p.B.W.Mul(2)) })
	p, q := &params{W: mlx.NewArray(5.0)}, &params{W: mlx.NewArray(1.0)}
	traces = 0
	for range 2 {
		wantItems(t, "two", g(pair{p, q}), 3)
		wantItems(t, "shared", g(pair{p, p}), -5)
	}
	if traces != 2 {
		t.Errorf("traced %d times, want 2: pointers that are shared are another structure", traces)
	}
	h := mlx.Compile(func(x *mlx.Array) (*mlx.Array, *mlx.Array, []*mlx.Array) { return x, nil, []*mlx.Array{x.Add(1), nil} })
	for range 2 {
		a, b, c := h(x)
		if a != x || b != nil || len(c) != 2 || c[1] != nil {
			t.Errorf("results %v %v %v", a, b, c)
		}
		wantItems(t, "list", c[0], 2, 3)
	}
}

// TestCompileStateChanges: trees that lose or gain arrays between calls.
func TestCompileStateChanges(t *testing.T) {
	st := map[string]*mlx.Array{"a": mlx.NewArray(1.0)}
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		s := x
		for _, k := range []string{"a", "b"} {
			if v := st[k]; v != nil {
				st[k] = v.Add(x)
				s = s.Add(st[k])
			}
		}
		return s
	}, mlx.State(st))
	one := mlx.NewArray(1.0)
	wantItems(t, "a", f(one), 3)
	st["b"] = mlx.NewArray(10.0)
	wantItems(t, "a and b", f(one), 1+3+11)
	delete(st, "a")
	wantItems(t, "b", f(one), 1+12)
	st["a"] = mlx.NewArray([]float64{0, 1})
	wantItems(t, "another shape", f(one), 15, 16)
	wantItems(t, "state", st["b"], 13)
}

// TestCompileErrorRestores: captured trees are as before when the function fails.
func TestCompileErrorRestores(t *testing.T) {
	p := &params{W: mlx.NewArray([]float64{1, 2}), B: mlx.NewArray(3.0)}
	w, b := p.W, p.B
	fail := true
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		p.W = p.W.Add(x)
		p.B = nil
		if fail {
			return mlx.MatMul(p.W, mlx.Zeros(mlx.Shape{3, 3}))
		}
		p.B = x
		return p.W
	}, mlx.State(p))
	x := mlx.NewArray(1.0)
	err := mlx.Try(func() { f(x) })
	var e *mlx.Error
	if !errors.As(err, &e) || p.W != w || p.B != b {
		t.Fatalf("error %v, trees restored: %t", err, p.W == w && p.B == b)
	}
	fail = false
	wantItems(t, "afterwards", f(x), 2, 3)
	wantItems(t, "state", p.B, 1)
}

// TestCompileDisabled: a function that is compiled already runs uncompiled.
func TestCompileDisabled(t *testing.T) {
	calls := 0
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array { calls++; return x.Add(1) })
	x := mlx.NewArray(1.0)
	f(x)
	f(x)
	mlx.DisableCompile()
	f(x)
	wantItems(t, "disabled", f(x), 2)
	mlx.EnableCompile()
	f(x)
	if calls != 3 {
		t.Errorf("the function ran %d times, want 3", calls)
	}
}

// TestCompileStreams: another default stream is another program.
func TestCompileStreams(t *testing.T) {
	traces := 0
	f := mlx.Compile(func(x *mlx.Array) (*mlx.Array, *mlx.Array) { traces++; return x.Add(1), x })
	x := mlx.NewArray([]float64{1, 2})
	old := mlx.DefaultStream(mlx.DefaultDevice())
	defer mlx.SetDefaultStream(old)
	for _, s := range []mlx.Stream{old, mlx.NewStream(mlx.DefaultDevice()), old} {
		mlx.SetDefaultStream(s)
		y, same := f(x)
		wantItems(t, "sum", y, 2, 3)
		if same != x {
			t.Error("what passes through was copied")
		}
	}
	if traces != 2 {
		t.Errorf("traced %d times, want 2", traces)
	}
}

// TestCompileDonated: a donated input is refused, and lazily read inputs may be
// donated after the call.
func TestCompileDonated(t *testing.T) {
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array { return x.Mul(3) })
	x := mlx.NewArray([]float64{1, 2})
	y := f(x)
	z := x.Donate().Add(1)
	wantItems(t, "before the donation", y, 3, 6)
	wantItems(t, "donated", z, 2, 3)
	wantError(t, "donated", func() { f(x) })
}

// TestCompileShapeless: one trace for all sizes; states and gradients too.
func TestCompileShapeless(t *testing.T) {
	traces := 0
	st := &params{W: mlx.NewArray(0.0)}
	loss := func(x, w *mlx.Array) *mlx.Array {
		return mlx.Mean(mlx.Square(mlx.Softmax(mlx.MatMul(x, w), mlx.Axis(-1)).Sub(mlx.Mean(x, mlx.Axis(-1), mlx.KeepDims(true)))))
	}
	f := mlx.Compile(func(x, w *mlx.Array) (*mlx.Array, *mlx.Array) {
		traces++
		st.W = st.W.Add(1)
		return mlx.ValueAndGrad(func(w *mlx.Array) *mlx.Array { return loss(x, w) })(w)
	}, mlx.State(st), mlx.Shapeless(true))
	for i, n := range []int{2, 5, 3, 9} {
		x, w := mlx.Sin(mlx.Arange(n*4)).Reshape(n, 4), mlx.Cos(mlx.Arange(4*(n+1))).Reshape(4, n+1)
		l, g := f(x, w)
		wl, wg := mlx.ValueAndGrad(func(w *mlx.Array) *mlx.Array { return loss(x, w) })(w)
		wantSame(t, fmt.Sprint("loss of ", n), l, wl)
		wantSame(t, fmt.Sprint("gradient of ", n), g, wg)
		wantItems(t, "state", st.W, float64(i+1))
	}
	if traces != 1 {
		t.Errorf("traced %d times, want 1", traces)
	}
	f(mlx.Ones(mlx.Shape{2, 3, 4}), mlx.Ones(mlx.Shape{4, 5}))
	if traces != 2 {
		t.Errorf("traced %d times for another rank, want 2", traces)
	}
	g := mlx.Compile(func(x *mlx.Array) *mlx.Array { return mlx.Split(x, []int{2})[0] }, mlx.Shapeless(true))
	g(mlx.Ones(mlx.Shape{4}))
	wantError(t, "keeps a size", func() { g(mlx.Ones(mlx.Shape{5})) })
}

func wantSame(t *testing.T, what string, got, want *mlx.Array) {
	t.Helper()
	if fmt.Sprint(got.Shape()) != fmt.Sprint(want.Shape()) || !mlx.Item[bool](mlx.ArrayEqual(got, want)) {
		t.Errorf("%s: %v, want %v", what, got, want)
	}
}
