package mlx_test

import (
	"math"
	"testing"

	"github.com/mlxgo/mlx"
)

// TestGradientEdges: results that are inputs, constants or captured, inputs of every
// kind, and values that nested functions share.
func TestGradientEdges(t *testing.T) {
	x, v := mlx.NewArray(2.0), mlx.NewArray([]float64{1, 2, 3})
	wantItems(t, "identity", mlx.Grad(func(x *mlx.Array) *mlx.Array { return x })(x), 1)
	wantItems(t, "constant", mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.NewArray(1.0) })(x), 0)
	wantItems(t, "a condition", mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Where(x, mlx.Max(v), 0) })(mlx.NewArray(true)).AsType(mlx.Float32), 0)

	same := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{in[0], in[1], in[0]} }
	_, g := mlx.VJP(same, mlx.Arrays{x, x}, mlx.Arrays{x, x, x})
	wantItems(t, "an array that is given twice", g[0], 4)
	wantItems(t, "its second place", g[1], 2)
	_, g = mlx.JVP(same, mlx.Arrays{x, x}, mlx.Arrays{x, mlx.NewArray(7.0)})
	wantItems(t, "tangent of a result that is an input", g[1], 7)
	wantItems(t, "and twice", g[2], 2)
	_, g = mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{v, in[0]} }, mlx.Arrays{x}, mlx.Arrays{x})
	wantItems(t, "tangent of a captured result", g[0], 0, 0, 0)

	half := x.AsType(mlx.BFloat16)
	_, g = mlx.VJP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Sin(in[0])} }, mlx.Arrays{half}, mlx.Arrays{x})
	if g[0].DType() != mlx.BFloat16 {
		t.Errorf("the gradient of a bfloat16 array is %v", g[0].DType())
	}
	_, g = mlx.JVP(func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Sin(in[0])} }, mlx.Arrays{half}, mlx.Arrays{x})
	if g[0].DType() != mlx.BFloat16 {
		t.Errorf("the tangent of a bfloat16 array is %v", g[0].DType())
	}
	mixed := mlx.Grad(func(a *mlx.Array) *mlx.Array { return mlx.Sum(a.Mul(v)) })(mlx.Ones(mlx.Shape{3}, mlx.Float16))
	wantItems(t, "float16 in a float32 function", mixed.AsType(mlx.Float32), 1, 2, 3)
	if mixed.DType() != mlx.Float16 {
		t.Errorf("its dtype is %v", mixed.DType())
	}

	none := mlx.Zeros(mlx.Shape{0, 3})
	soft := func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Softmax(mlx.Sin(a)).MatMul(v)) }
	for _, e := range []*mlx.Array{mlx.Grad(soft)(none), mlx.VMap(mlx.Grad(soft))(none)} {
		if e.Shape().String() != "(0, 3)" {
			t.Errorf("a gradient of nothing has shape %v", e.Shape())
		}
	}

	// the transposed Jacobian of real(exp(a*c)) by a is real(c*exp(a*c))
	c := mlx.FromSlice([]complex64{0.5 + 2i})
	re := mlx.Grad(func(a *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Real(mlx.Exp(a.Mul(c)))) })(v)
	want := func(a float64) float64 {
		return math.Exp(0.5*a) * (0.5*math.Cos(2*a) - 2*math.Sin(2*a))
	}
	wantItems(t, "through complex values", re, want(1), want(2), want(3))

	confusing := mlx.Grad(func(x *mlx.Array) *mlx.Array {
		return x.Mul(mlx.Grad(func(y *mlx.Array) *mlx.Array { return x.Add(y) })(x))
	})
	wantItems(t, "d/dx x*(d/dy (x+y))", confusing(x), 1)
	stopped := func(a *mlx.Array) *mlx.Array { return mlx.StopGradient(a).Mul(a).Mul(a) }
	wantItems(t, "second derivative beside stop_gradient", mlx.Grad(mlx.Grad(stopped))(x), 4)
	wantItems(t, "through indices", mlx.Grad(func(a *mlx.Array) *mlx.Array {
		return mlx.Sum(mlx.Take(a, mlx.ArgMax(a)).Mul(mlx.ArgSort(a)))
	})(v), 0, 0, 3)

	a, b := mlx.VMap(func(a *mlx.Array) (*mlx.Array, *mlx.Array) { return a.Mul(2), v }, mlx.OutAxes{0, mlx.Unmapped})(v)
	wantItems(t, "mapped", a, 2, 4, 6)
	wantItems(t, "a captured result, not mapped", b, 1, 2, 3)

	gives := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{nil} }
	wantError(t, "nil", func() { mlx.VJP(gives, mlx.Arrays{x}, mlx.Arrays{x}) })
	wantError(t, "nil", func() { mlx.JVP(gives, mlx.Arrays{x}, mlx.Arrays{x}) })
	wantError(t, "gave nil", func() { mlx.Grad(func(x *mlx.Array) *mlx.Array { return nil })(x) })
}
