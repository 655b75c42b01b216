package mlx_test

import (
	"fmt"

	"github.com/mlxgo/mlx"
)

func ExampleGrad() {
	f := func(w, x *mlx.Array) *mlx.Array { return mlx.Sum(w.Mul(mlx.Square(x))) }
	w, x := mlx.NewArray([]float64{1, 2}), mlx.NewArray([]float64{3, 4})
	fmt.Println(mlx.Grad(f)(w, x))
	fmt.Println(mlx.Grad(f, mlx.ArgNum(1))(w, x))
	cube := func(x *mlx.Array) *mlx.Array { return x.Pow(3) }
	fmt.Println(mlx.Grad(mlx.Grad(mlx.Grad(cube)))(mlx.NewArray(5.0))) // a gradient is a function again
	// Output:
	// array([9, 16], dtype=float32)
	// array([6, 16], dtype=float32)
	// array(6, dtype=float32)
}

func ExampleValueAndGrad() {
	type Params struct{ W, B *mlx.Array }
	x, y := mlx.NewArray([]float64{1, 2, 3}), mlx.NewArray([]float64{2, 4, 7})
	loss := func(p Params) *mlx.Array { return mlx.Mean(mlx.Square(p.W.Mul(x).Add(p.B).Sub(y))) }
	value, grad := mlx.ValueAndGrad(loss)(Params{W: mlx.NewArray(2.0), B: mlx.NewArray(0.0)})
	fmt.Printf("%.4f\n%.4f\n%.4f\n", value, grad.W, grad.B)
	// Output:
	// 0.3333
	// -2.0000
	// -0.6667
}

func ExampleVJP() {
	f := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{in[0].Mul(in[1]), in[0].Add(in[1])} }
	a, b := mlx.NewArray([]float64{1, 2}), mlx.NewArray([]float64{3, 4})
	one := mlx.Ones(mlx.Shape{2})
	outs, grads := mlx.VJP(f, mlx.Arrays{a, b}, mlx.Arrays{one, one})
	fmt.Println(outs)
	fmt.Println(grads)
	// Output:
	// [array([3, 8], dtype=float32) array([4, 6], dtype=float32)]
	// [array([4, 5], dtype=float32) array([2, 3], dtype=float32)]
}

func ExampleJVP() {
	f := func(in mlx.Arrays) mlx.Arrays { return mlx.Arrays{mlx.Square(in[0])} }
	x, t := mlx.NewArray([]float64{1, 2, 3}), mlx.NewArray([]float64{1, 0, 10})
	_, moves := mlx.JVP(f, mlx.Arrays{x}, mlx.Arrays{t})
	fmt.Println(moves[0])
	// Output: array([2, 0, 60], dtype=float32)
}

func ExampleVMap() {
	dot := func(a, b *mlx.Array) *mlx.Array { return mlx.Sum(a.Mul(b)) }
	rows := mlx.NewArray([][]float64{{1, 2}, {3, 4}, {5, 6}})
	v := mlx.NewArray([]float64{10, 1})
	fmt.Println(mlx.VMap(dot, mlx.InAxes{0, mlx.Unmapped})(rows, v)) // each row with v
	fmt.Println(mlx.VMap(dot, mlx.InAxes{1, 1})(rows, rows))         // columns with columns
	// Output:
	// array([12, 34, 56], dtype=float32)
	// array([35, 56], dtype=float32)
}

func ExampleCompile() {
	traced := 0
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		traced++ // runs once for each shape and dtype
		return mlx.Sigmoid(x).Mul(x)
	})
	fmt.Printf("%.3f\n", f(mlx.NewArray([]float64{-1, 0, 1})))
	fmt.Printf("%.3f\n", f(mlx.NewArray([]float64{2, 3, 4})))
	fmt.Println(traced)
	// Output:
	// array([-0.269, 0.000, 0.731], dtype=float32)
	// array([1.762, 2.858, 3.928], dtype=float32)
	// 1
}

func ExampleCompile_state() {
	counter := &struct{ N *mlx.Array }{mlx.NewArray(0)}
	next := mlx.Compile(func(by *mlx.Array) *mlx.Array {
		counter.N = counter.N.Add(by)
		return counter.N
	}, mlx.State(counter))
	for range 3 {
		next(mlx.NewArray(2))
	}
	fmt.Println(counter.N)
	// Output: array(6, dtype=int32)
}

func ExampleCheckpoint() {
	block := mlx.Checkpoint(func(x *mlx.Array) *mlx.Array { return mlx.Tanh(mlx.Exp(x)) }) // keeps x only
	g := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(block(x)) })
	fmt.Printf("%.4f\n", g(mlx.NewArray([]float64{0, -1})))
	// Output: array([0.4200, 0.3223], dtype=float32)
}

func ExampleCustomFunction() {
	// Rounding, whose gradient is taken as that of the identity.
	round := mlx.CustomFunction(func(x *mlx.Array) *mlx.Array { return mlx.Round(x, 0) },
		mlx.Rules{VJP: func(_, cotangents, _ mlx.Arrays) mlx.Arrays { return cotangents }})
	g := mlx.Grad(func(x *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(round(x))) })
	fmt.Println(g(mlx.NewArray([]float64{1.25, 2.75})))
	// Output: array([2, 6], dtype=float32)
}

func ExampleStopGradient() {
	f := func(x *mlx.Array) *mlx.Array { return x.Mul(mlx.StopGradient(x)) }
	fmt.Println(mlx.Grad(f)(mlx.NewArray(3.0)))
	// Output: array(3, dtype=float32)
}
