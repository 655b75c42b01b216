package optim_test

import (
	"fmt"
	"reflect"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tree"
)

// TestHalves: parameters, gradients and states of bfloat16 stay so, whatever the
// schedule; a step moves a parameter by about what float32 does.
func TestHalves(t *testing.T) {
	wide, narrow := optimizers(), optimizers()
	for name, o := range narrow {
		w := &weights{mlx.NewArray([][]float64{{1, -2, 0.5}, {0.25, 3, -1}})}
		h := &weights{w.W.AsType(mlx.BFloat16)}
		grad := func(m *weights) *weights { return &weights{m.W.Mul(0.5).Add(m.W.Mul(m.W).Mul(0.25))} }
		for range 3 {
			wide[name].Update(w, grad(w))
			o.Update(h, grad(h))
		}
		for path, a := range tree.Leaves(o.State) {
			if a.DType() != mlx.BFloat16 {
				t.Errorf("%s: state %s is %v", name, path, a.DType())
			}
		}
		if h.W.DType() != mlx.BFloat16 {
			t.Errorf("%s: the parameter is %v", name, h.W.DType())
		}
		a, b := mlx.ToSlice[float32](w.W), mlx.ToSlice[float32](h.W.AsType(mlx.Float32))
		for i := range a {
			if d := a[i] - b[i]; d > 0.05 || d < -0.05 {
				t.Errorf("%s: %v, in float32 %v", name, b, a)
				break
			}
		}
	}
}

// TestResume: an optimizer that was saved and loaded goes on with the same bits.
func TestResume(t *testing.T) {
	grad := func(m *weights) *weights { return &weights{mlx.Sin(m.W)} }
	start := func() *weights { return &weights{mlx.NewArray([][]float64{{1, -2, 0.5}, {0.25, 3, -1}})} }
	for name, o := range optimizers() {
		m := start()
		for range 3 {
			o.Update(m, grad(m))
		}
		saved := map[string]*mlx.Array{}
		for path, a := range tree.Leaves(o) {
			saved[path] = mlx.FromSlice(mlx.ToSlice[float32](a.AsType(mlx.Float32)), a.Shape()...).AsType(a.DType())
		}
		back, n := optimizers()[name], &weights{m.W.Mul(1)}
		back.Init(n)
		for _, p := range tree.Places(back, false) {
			a := saved[p.Path]
			if a == nil {
				t.Fatalf("%s: nothing saved for %s", name, p.Path)
			}
			p.Set(reflect.ValueOf(a))
			delete(saved, p.Path)
		}
		if len(saved) != 0 {
			t.Errorf("%s: not restored: %v", name, saved)
		}
		for range 2 {
			o.Update(m, grad(m))
			back.Update(n, grad(n))
		}
		if a, b := fmt.Sprint(mlx.ToSlice[float32](m.W)), fmt.Sprint(mlx.ToSlice[float32](n.W)); a != b {
			t.Errorf("%s: %s after a resume, %s without", name, b, a)
		}
	}
}
