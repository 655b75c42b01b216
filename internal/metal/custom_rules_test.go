//go:build linux && metalemu

package metal_test

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
)

// lerp reads x [N] between its elements, at positions p [M] in [0, N-1).
var lerp = &fast.MetalKernel{
	Name: "lerp", InputNames: []string{"x", "p"}, OutputNames: []string{"y"},
	Source: `
    uint i = thread_position_in_grid.x;
    int at = int(p[i]);
    float w = p[i] - at;
    y[i] = x[at] * (1 - w) + x[at + 1] * w;`,
}

// lerpGrad adds up what positions give back to x; each position has one thread.
var lerpGrad = &fast.MetalKernel{
	Name: "lerp_grad", InputNames: []string{"x", "p", "c"}, OutputNames: []string{"dx", "dp"}, AtomicOutputs: true,
	Source: `
    uint i = thread_position_in_grid.x;
    int at = int(p[i]);
    float w = p[i] - at;
    atomic_fetch_add_explicit(&dx[at], c[i] * (1 - w), memory_order_relaxed);
    atomic_fetch_add_explicit(&dx[at + 1], c[i] * w, memory_order_relaxed);
    atomic_store_explicit(&dp[i], c[i] * (x[at + 1] - x[at]), memory_order_relaxed);`,
}

func callLerp(x, p *mlx.Array) *mlx.Array {
	return lerp.Call(on1(p.Size(), p.Shape(), mlx.Float32, x, p))[0]
}

// TestCustomGradient: a kernel with a derivative that is a kernel, against the same of ops.
func TestCustomGradient(t *testing.T) {
	kernel := mlx.CustomFunction(callLerp, mlx.Rules{
		VJP: func(primals, cotangents, _ mlx.Arrays) mlx.Arrays {
			x, p := primals[0], primals[1]
			zero := 0.0
			return lerpGrad.Call(fast.Launch{
				Inputs: mlx.Arrays{x, p, cotangents[0]}, OutputShapes: []mlx.Shape{x.Shape(), p.Shape()},
				OutputDTypes: []mlx.DType{mlx.Float32, mlx.Float32},
				Grid:         [3]int{p.Size(), 1, 1}, ThreadGroup: [3]int{32, 1, 1}, InitValue: &zero,
			})
		},
	})
	ops := func(x, p *mlx.Array) *mlx.Array {
		at := mlx.StopGradient(mlx.Floor(p)).AsType(mlx.Int32)
		w := p.Sub(mlx.StopGradient(mlx.Floor(p)))
		return mlx.Take(x, at).Mul(mlx.Subtract(1, w)).Add(mlx.Take(x, at.Add(1)).Mul(w))
	}
	loss := func(f func(x, p *mlx.Array) *mlx.Array) func(x, p *mlx.Array) *mlx.Array {
		return func(x, p *mlx.Array) *mlx.Array { return mlx.Sum(mlx.Square(f(x, p)).Mul(p)) }
	}
	x, p := make([]float32, 10), make([]float32, 40)
	for i := range x {
		x[i] = float32(math.Sin(float64(i)))
	}
	for i := range p {
		p[i] = float32(math.Mod(float64(i)*1.618, 8.9))
	}
	a, b := mlx.FromSlice(x), mlx.FromSlice(p)
	wantNear(t, "value", kernel(a, b), floatsOf(ops(a, b)), 1e-5)
	for arg, name := range []string{"x", "p"} {
		got := mlx.Grad(loss(kernel), mlx.ArgNum(arg))(a, b)
		wantNear(t, "gradient of "+name, got, floatsOf(mlx.Grad(loss(ops), mlx.ArgNum(arg))(a, b)), 1e-5)
	}
}

// TestCustomVMap: a rule says how a kernel is mapped.
func TestCustomVMap(t *testing.T) {
	square := &fast.MetalKernel{
		Name: "square", InputNames: []string{"a"}, OutputNames: []string{"o"},
		Source: "uint i = thread_position_in_grid.x;\no[i] = a[i] * a[i];",
	}
	call := func(a *mlx.Array) *mlx.Array { return square.Call(on1(a.Size(), a.Shape(), a.DType(), a))[0] }
	f := mlx.CustomFunction(call, mlx.Rules{
		VMap: func(in mlx.Arrays, axes []int) (mlx.Arrays, []int) { return mlx.Arrays{call(in[0])}, axes },
	})
	x := mlx.Arange(12.0).Reshape(3, 4)
	want := make([]float64, 12)
	for i := range want {
		want[i] = float64(i * i)
	}
	wantNear(t, "mapped", mlx.VMap(f)(x), want, 0)
}

// TestCustomOnTheCPU: a stream of the CPU refuses.
func TestCustomOnTheCPU(t *testing.T) {
	err := mlx.Eval(rowSum.Call(on1(32, mlx.Shape{1}, mlx.Float32, mlx.Ones(mlx.Shape{1, 32})), mlx.CPU)[0])
	if err == nil || !strings.Contains(err.Error(), "kernels of one's own need a Metal GPU") {
		t.Error(err)
	}
	wantNear(t, "on the GPU", rowSums(mlx.Ones(mlx.Shape{1, 32})), []float64{32}, 0)
}

// TestCustomKeepsDTypes: every dtype that Metal has goes in and comes out.
func TestCustomKeepsDTypes(t *testing.T) {
	k := &fast.MetalKernel{
		Name: "through", InputNames: []string{"b", "u8", "u16", "u32", "u64", "i8", "i16", "i32", "i64", "f16", "bf16", "f32"},
		OutputNames: []string{"o0", "o1", "o2", "o3", "o4", "o5", "o6", "o7", "o8", "o9", "o10", "o11"},
		Source: `
    uint i = thread_position_in_grid.x;
    o0[i] = b[i]; o1[i] = u8[i]; o2[i] = u16[i]; o3[i] = u32[i]; o4[i] = u64[i]; o5[i] = i8[i];
    o6[i] = i16[i]; o7[i] = i32[i]; o8[i] = i64[i]; o9[i] = f16[i]; o10[i] = bf16[i]; o11[i] = f32[i];`,
	}
	x := mlx.Arange(-6.0, 6.0)
	l := fast.Launch{Grid: [3]int{12, 1, 1}, ThreadGroup: [3]int{12, 1, 1}}
	for _, d := range []mlx.DType{
		mlx.Bool, mlx.Uint8, mlx.Uint16, mlx.Uint32, mlx.Uint64, mlx.Int8, mlx.Int16, mlx.Int32, mlx.Int64,
		mlx.Float16, mlx.BFloat16, mlx.Float32,
	} {
		v := mlx.Abs(x)
		if d.Is(mlx.SignedInteger) || d.Is(mlx.Floating) {
			v = x
		}
		l.Inputs, l.OutputDTypes = append(l.Inputs, v.AsType(d)), append(l.OutputDTypes, d)
		l.OutputShapes = append(l.OutputShapes, x.Shape())
	}
	for i, o := range k.Call(l) {
		wantNear(t, fmt.Sprint(o.DType()), o, floatsOf(l.Inputs[i]), 0)
	}
}
