//go:build linux && metalemu

package metal_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/metal"
	"github.com/mlxgo/mlx/internal/tensor"
)

// uniform is an array of values in [-1, 1), made on the CPU.
func uniform(seed uint64, d mlx.DType, shape ...int) *mlx.Array {
	r := rand.New(rand.NewPCG(seed, 7))
	n := 1
	for _, s := range shape {
		n *= s
	}
	v := make([]float32, n)
	for i := range v {
		v[i] = 2*r.Float32() - 1
	}
	return mlx.AsType(mlx.Reshape(mlx.NewArray(v), shape, mlx.CPU), d, mlx.CPU)
}

// float64s are the elements in row-major order.
func float64s(a *mlx.Array) []float64 {
	v := mlx.ToSlice[float32](mlx.Contiguous(mlx.AsType(a, mlx.Float32, mlx.CPU), false, mlx.CPU))
	out := make([]float64, len(v))
	for i, x := range v {
		out[i] = float64(x)
	}
	return out
}

// unit is half a unit in the last place of d at 1.
func unit(d mlx.DType) float64 {
	switch d {
	case mlx.Float16:
		return 0x1p-11
	case mlx.BFloat16:
		return 0x1p-8
	}
	return 0x1p-24
}

// checkProduct compares y [.., M, N] with a [.., M, K] @ b [.., K, N] in float64. What may
// differ is the rounding of the result and of the sums.
func checkProduct(t *testing.T, y, a, b *mlx.Array) {
	t.Helper()
	checkSums(t, y, a, b, 4e-7)
}

// checkSums is checkProduct with an error of sums, relative to the sum of magnitudes.
func checkSums(t *testing.T, y, a, b *mlx.Array, rel float64) {
	t.Helper()
	m, k, n := a.Dim(-2), a.Dim(-1), b.Dim(-1)
	va, vb, vy := float64s(a), float64s(b), float64s(y)
	batch := len(vy) / max(m*n, 1)
	u := unit(y.DType())
	bad := 0
	for t0 := range batch {
		for i := range m {
			for j := range n {
				var sum, size float64
				for l := range k {
					p := va[(t0*m+i)*k+l] * vb[(t0*k+l)*n+j]
					sum += p
					size += math.Abs(p)
				}
				got := vy[(t0*m+i)*n+j]
				if d := math.Abs(got - sum); !(d <= 1.01*u*math.Abs(sum)+rel*size+1e-30) {
					if bad++; bad < 4 {
						t.Errorf("[%d %d %d] is %g, not %g", t0, i, j, got, sum)
					}
				}
			}
		}
	}
	if bad > 0 {
		t.Errorf("%d of %d wrong", bad, len(vy))
	}
}

// slice is a[start:stop:step], a view.
func slice(a *mlx.Array, start, stop, step []int) *mlx.Array {
	p := tensor.Slice{Start: tensor.MakeInts(start...), Stop: tensor.MakeInts(stop...), Step: tensor.MakeInts(step...)}
	return tensor.Apply1(p, tensor.DefaultStream(tensor.Device{Kind: tensor.KindCPU}), a)
}

// layouts of a matrix without changing its elements.
var matrixLayouts = map[string]func(a *mlx.Array) *mlx.Array{
	"rows": func(a *mlx.Array) *mlx.Array { return a },
	"columns": func(a *mlx.Array) *mlx.Array {
		return mlx.SwapAxes(mlx.Contiguous(mlx.SwapAxes(a, -1, -2, mlx.CPU), false, mlx.CPU), -1, -2, mlx.CPU)
	},
}

func TestMatMul(t *testing.T) {
	types := []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16}
	shapes := [][3]int{{1, 1, 1}, {2, 3, 2}, {31, 33, 31}, {33, 17, 65}, {1, 1000, 33}, {1, 33, 1000}, {33, 1000, 1}, {1000, 31, 1}, {5, 1100, 7}, {64, 16, 32}}
	for i, d := range types {
		for _, la := range []string{"rows", "columns"} {
			for _, lb := range []string{"rows", "columns"} {
				for s, shape := range shapes {
					if d != mlx.Float32 && s%2 == 0 && s != 2 && s != 8 {
						continue
					}
					t.Run(fmt.Sprint(d, la, lb, shape), func(t *testing.T) {
						a := matrixLayouts[la](uniform(uint64(i+1), d, shape[0], shape[1]))
						b := matrixLayouts[lb](uniform(uint64(i+9), d, shape[1], shape[2]))
						checkProduct(t, mlx.MatMul(a, b, mlx.GPU), a, b)
					})
				}
			}
		}
	}
	wantKernels(t, "matmul", "gemm_float_float_float_32_32", "gemm_bfloat_bfloat_bfloat_32_32", "gemm_half_half_float_32_32",
		"gemm_parts_float", "gemv_float_float_float", "gemv_half_half_half", "gemv_columns_bfloat_bfloat_bfloat")
}

// wantKernels asserts that these instances have run, and not the CPU instead.
func wantKernels(t *testing.T, file string, names ...string) {
	t.Helper()
	have := metal.Compiled(file)
	for _, n := range names {
		if !slices.Contains(have, n) {
			slices.Sort(have)
			t.Errorf("%s of %s has not run; those that have are %s", n, file, strings.Join(have, " "))
		}
	}
}

// Large tiles, with ragged edges.
func TestMatMulLargeTiles(t *testing.T) {
	a, b := uniform(1, mlx.Float32, 750, 37), uniform(2, mlx.Float32, 37, 715)
	for _, la := range []string{"rows", "columns"} {
		for _, lb := range []string{"rows", "columns"} {
			x, w := matrixLayouts[la](a), matrixLayouts[lb](b)
			checkProduct(t, mlx.MatMul(x, w, mlx.GPU), x, w)
		}
	}
	wantKernels(t, "matmul", "gemm_float_float_float_64_64")
}

// Batch axes of any strides; matrices that are parts of wider ones, in both directions.
func TestMatMulBatches(t *testing.T) {
	f := mlx.Float32
	wide := uniform(3, f, 3, 2, 20, 40)
	part := slice(wide, []int{2, 0, 15, 1}, []int{-1, 2, -1, 34}, []int{-1, 1, -1, 1}) // rows backwards
	turned := mlx.Transpose(uniform(4, f, 33, 2, 3, 7), mlx.Axes{2, 1, 0, 3}, mlx.CPU) // batch inside
	same := mlx.BroadcastTo(uniform(5, f, 33, 9), mlx.Shape{3, 2, 33, 9}, mlx.CPU)
	every := mlx.BroadcastTo(uniform(6, f, 2, 33, 1), mlx.Shape{3, 2, 33, 1}, mlx.CPU)
	for name, b := range map[string]*mlx.Array{"turned": turned, "broadcast": same, "vectors": every} {
		t.Run(name, func(t *testing.T) { checkProduct(t, mlx.MatMul(part, b, mlx.GPU), part, b) })
	}
	t.Run("strided vectors", func(t *testing.T) {
		x := slice(uniform(9, f, 33, 5), []int{32, 2}, []int{-1, 3}, []int{-1, 1}) // [33, 1], upwards
		w := uniform(7, f, 9, 33)
		checkProduct(t, mlx.MatMul(w, x, mlx.GPU), w, x)
		w = matrixLayouts["columns"](w)
		checkProduct(t, mlx.MatMul(w, x, mlx.GPU), w, x)
	})
	row := mlx.BroadcastTo(uniform(8, f, 1, 1, 1, 33), mlx.Shape{3, 2, 1, 33}, mlx.CPU)
	t.Run("rows", func(t *testing.T) { checkProduct(t, mlx.MatMul(row, turned, mlx.GPU), row, turned) })
}

// Inputs of two types are read in their own.
func TestMatMulMixed(t *testing.T) {
	for _, n := range []int{1, 40} {
		a, b := uniform(1, mlx.BFloat16, 33, 70), uniform(2, mlx.Float32, 70, n)
		y := mlx.MatMul(a, b, mlx.GPU)
		if y.DType() != mlx.Float32 {
			t.Fatal(y.DType())
		}
		checkProduct(t, y, a, b)
	}
	wantKernels(t, "matmul", "gemm_bfloat_float_float_32_32", "gemv_bfloat_float_float")
}

func TestMatMulEmpty(t *testing.T) {
	y := mlx.MatMul(uniform(1, mlx.Float16, 3, 0), uniform(2, mlx.Float16, 0, 5), mlx.GPU)
	for i, v := range float64s(y) {
		if v != 0 {
			t.Errorf("element %d of a product over nothing is %g", i, v)
		}
	}
	if y := mlx.MatMul(uniform(1, mlx.Float32, 0, 3), uniform(2, mlx.Float32, 3, 5), mlx.GPU); y.Size() != 0 {
		t.Error(y.Shape())
	}
	wantKernels(t, "matmul", "product_zero_half")
}

func TestMatMulComplex(t *testing.T) {
	parts := func(seed uint64, shape ...int) (re, im, both *mlx.Array) {
		re, im = uniform(seed, mlx.Float32, shape...), uniform(seed+1, mlx.Float32, shape...)
		i := mlx.NewArray([]complex64{1i})
		return re, im, mlx.Add(re, mlx.Multiply(im, i, mlx.CPU), mlx.CPU)
	}
	ar, ai, a := parts(1, 2, 17, 33)
	br, bi, b := parts(5, 2, 33, 19)
	y := mlx.MatMul(a, b, mlx.GPU)
	mm := func(a, b *mlx.Array) *mlx.Array { return mlx.MatMul(a, b, mlx.CPU) }
	re := float64s(mlx.Subtract(mm(ar, br), mm(ai, bi), mlx.CPU))
	im := float64s(mlx.Add(mm(ar, bi), mm(ai, br), mlx.CPU))
	for i, v := range mlx.ToSlice[complex64](y) {
		if math.Abs(float64(real(v))-re[i]) > 1e-5 || math.Abs(float64(imag(v))-im[i]) > 1e-5 {
			t.Fatalf("element %d is %v, not (%g+%gi)", i, v, re[i], im[i])
		}
	}
	checkReal := mlx.MatMul(ar, b, mlx.GPU)
	wantRe, wantIm := float64s(mm(ar, br)), float64s(mm(ar, bi))
	for i, v := range mlx.ToSlice[complex64](checkReal) {
		if math.Abs(float64(real(v))-wantRe[i]) > 1e-5 || math.Abs(float64(imag(v))-wantIm[i]) > 1e-5 {
			t.Fatalf("real times complex: element %d is %v", i, v)
		}
	}
	wantKernels(t, "matmul", "gemm_complex_float2_float2", "gemm_complex_float_float2")
}

// A compiled function with a product in parts, whose memory is its own, run again and again.
func TestMatMulCompiled(t *testing.T) {
	w := uniform(1, mlx.Float32, 1100, 7)
	f := mlx.Compile(func(in []*mlx.Array) []*mlx.Array {
		return []*mlx.Array{mlx.MatMul(mlx.MatMul(in[0], w, mlx.GPU), in[1], mlx.GPU)}
	})
	back := uniform(2, mlx.Float32, 7, 5)
	for seed := range uint64(4) {
		x := uniform(10+seed, mlx.Float32, 3, 1100)
		y := f([]*mlx.Array{x, back})[0]
		checkSums(t, y, mlx.MatMul(x, w, mlx.CPU), back, 3e-6)
	}
	wantKernels(t, "matmul", "gemm_parts_float")
}
