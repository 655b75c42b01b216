//go:build linux && metalemu

package metal_test

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// schemes are what the tests pack with: all of them with MLX_FULL.
func schemes() []mlx.Scheme {
	list := []mlx.Scheme{{Bits: 4, GroupSize: 64}, {Bits: 3, GroupSize: 32}, {Bits: 8, GroupSize: 128}, {Mode: "mxfp8"}, {Mode: "nvfp4"}}
	if os.Getenv("MLX_FULL") != "" {
		list = append(list, mlx.Scheme{Bits: 2, GroupSize: 128}, mlx.Scheme{Bits: 5, GroupSize: 64}, mlx.Scheme{Bits: 6, GroupSize: 32}, mlx.Scheme{Mode: "mxfp4"})
	}
	return list
}

// bytesOf is what an array holds, row-major.
func bytesOf(a *mlx.Array) []byte {
	return mlx.ToSlice[uint8](mlx.View(mlx.Contiguous(a, false, mlx.CPU), mlx.Uint8, mlx.CPU))
}

// dequantized is the matrix as the CPU unpacks it.
func dequantized(q mlx.Quantized) *mlx.Array { return mlx.Dequantize(q, mlx.Float32, mlx.CPU) }

func TestQuantizedMatMul(t *testing.T) {
	types := []mlx.DType{mlx.BFloat16, mlx.Float32, mlx.Float16}
	for i, s := range schemes() {
		d := types[i%3]
		const k = 1152 // more than a step of a simdgroup, and no multiple of it
		w := uniform(uint64(i), d, 37, k)
		q := mlx.Quantize(w, s, mlx.CPU)
		wT := mlx.SwapAxes(dequantized(q), 0, 1, mlx.CPU)
		for _, m := range []int{1, 5, 35} {
			t.Run(fmt.Sprint(s, d, m), func(t *testing.T) {
				x := uniform(99, d, m, k)
				checkSums(t, mlx.QuantizedMatMul(x, q, mlx.GPU), x, wT, 3e-6)
			})
		}
		q = mlx.Quantize(uniform(uint64(i), d, 77, 128), s, mlx.CPU)
		for _, m := range []int{1, 4, 35} {
			t.Run(fmt.Sprint(s, d, m, "not transposed"), func(t *testing.T) {
				x := uniform(99, d, m, 77)
				checkSums(t, mlx.QuantizedMatMul(x, q, mlx.TransposeRHS(false), mlx.GPU), x, dequantized(q), 3e-6)
			})
		}
	}
	wantKernels(t, "quant", "qmv_bfloat_bfloat_bfloat_4_0_1", "qmv_bfloat_bfloat_bfloat_4_0_4", "qmm_bfloat_bfloat_bfloat_float_4_0_true",
		"qmm_bfloat_bfloat_bfloat_float_4_0_false", "qvm_float_float_float_3_0", "qmv_bfloat_uchar_bfloat_8_2_1")
}

// Inputs of one type, scales of another; x with batch axes.
func TestQuantizedMatMulMixed(t *testing.T) {
	q := mlx.Quantize(uniform(1, mlx.BFloat16, 40, 256), mlx.Scheme{}, mlx.CPU)
	x := uniform(2, mlx.Float32, 2, 3, 256)
	y := mlx.QuantizedMatMul(x, q, mlx.GPU)
	if y.DType() != mlx.Float32 || fmt.Sprint(y.Shape()) != "(2, 3, 40)" {
		t.Fatal(y.DType(), y.Shape())
	}
	flat := mlx.Reshape(x, mlx.Shape{6, 256}, mlx.CPU)
	checkSums(t, mlx.Reshape(y, mlx.Shape{6, 40}, mlx.CPU), flat, mlx.SwapAxes(dequantized(q), 0, 1, mlx.CPU), 3e-6)
}

// With RoundWeights, weights are rounded to bfloat16, and nothing else.
func TestQuantizedMatMulRounded(t *testing.T) {
	q := mlx.Quantize(uniform(1, mlx.BFloat16, 40, 256), mlx.Scheme{}, mlx.CPU)
	x := uniform(2, mlx.BFloat16, 33, 256)
	w := mlx.AsType(mlx.SwapAxes(dequantized(q), 0, 1, mlx.CPU), mlx.BFloat16, mlx.CPU)
	checkSums(t, mlx.QuantizedMatMul(x, q, mlx.RoundWeights(true), mlx.GPU), x, w, 3e-6)
	wantKernels(t, "quant", "qmm_bfloat_bfloat_bfloat_bfloat_4_0_true")
}

// Rows that are alone have the bits of a product of one row.
func TestQuantizedMatMulAlone(t *testing.T) {
	for _, s := range []mlx.Scheme{{Bits: 4, GroupSize: 64}, {Mode: "nvfp4"}} {
		q := mlx.Quantize(uniform(1, mlx.Float32, 21, 640), s, mlx.CPU)
		x := uniform(2, mlx.Float32, 45, 640)
		product := func(x *mlx.Array, alone bool) []byte {
			p := quant.MatMul{Scheme: q.Scheme, Transpose: true, Alone: alone}
			return bytesOf(quant.MatMulOf(x, q.Weight, q.Scales, q.Biases, p, tensor.DefaultStream(tensor.Device{Kind: tensor.KindGPU})))
		}
		all := product(x, true)
		for i := range 45 {
			row := slice(x, []int{i, 0}, []int{i + 1, 640}, []int{1, 1})
			if !bytes.Equal(product(row, false), all[i*21*4:(i+1)*21*4]) {
				t.Errorf("%v: row %d differs from the same row alone", s, i)
			}
		}
	}
}

// Products of picked matrices, on both devices: few and many rows, negative indices,
// broadcast ones, several blocks of columns.
func TestGatherQMM(t *testing.T) {
	for i, s := range []mlx.Scheme{{Bits: 4, GroupSize: 32}, {Bits: 8, GroupSize: 64}, {Mode: "nvfp4"}} {
		d := []mlx.DType{mlx.BFloat16, mlx.Float32, mlx.Float16}[i]
		const n, k = 270, 64
		w := mlx.Quantize(uniform(1, d, 3, n, k), s, mlx.CPU)
		wide := mlx.Quantize(uniform(2, d, 3, k, 320), s, mlx.CPU)
		lhs := mlx.NewArray([]int32{3, 0, -1})
		rhs := mlx.NewArray([][]int32{{2, 0, 1}, {-1, 1, 1}})
		for _, m := range []int{1, 3, 35} {
			x := uniform(3, d, 4, m, k)
			for _, on := range []mlx.Device{mlx.CPU, mlx.GPU} {
				t.Run(fmt.Sprint(s, m, on), func(t *testing.T) {
					xs := mlx.Take(x, mlx.NewArray([][]int32{{3, 0, 3}, {3, 0, 3}}), mlx.Axis(0), mlx.CPU)
					ids := mlx.NewArray([][]int32{{2, 0, 1}, {2, 1, 1}})
					ws := mlx.SwapAxes(mlx.Take(dequantized(w), ids, mlx.Axis(0), mlx.CPU), -1, -2, mlx.CPU)
					checkSums(t, mlx.GatherQMM(x, w, lhs, rhs, on), xs, ws, 3e-6)
					ws = mlx.Take(dequantized(wide), ids, mlx.Axis(0), mlx.CPU)
					checkSums(t, mlx.GatherQMM(x, wide, lhs, rhs, mlx.TransposeRHS(false), on), xs, ws, 3e-6)
				})
			}
		}
	}
	wantKernels(t, "quant", "qmv_bfloat_bfloat_bfloat_4_0_1", "qmm_float_float_float_float_8_0_false")
}

// Many rows with sorted indices of matrices: runs within tiles and over their borders. Those
// that are not sorted, against the promise, are right, too.
func TestGatherQMMSorted(t *testing.T) {
	const n, k, rows = 40, 96, 75
	for i, s := range []mlx.Scheme{{Bits: 4, GroupSize: 32}, {Mode: "mxfp8"}} {
		d := []mlx.DType{mlx.BFloat16, mlx.Float32}[i]
		w := mlx.Quantize(uniform(1, d, 5, n, k), s, mlx.CPU)
		x := uniform(3, d, rows/2, 1, k)
		lhs, rhs, mixed := make([]int32, rows), make([]int32, rows), make([]int32, rows)
		for p := range lhs {
			lhs[p], rhs[p], mixed[p] = int32(p*7%(rows/2)), []int32{0, 0, 1, 3, 3, 3, 4, -1}[p*8/rows], int32(p*p%5)
		}
		for _, ids := range [][]int32{rhs, mixed} {
			r := mlx.NewArray(ids)
			y := mlx.GatherQMM(x, w, mlx.NewArray(lhs), r, mlx.SortedIndices(true), mlx.GPU)
			xs := mlx.Take(x, mlx.NewArray(lhs), mlx.Axis(0), mlx.CPU)
			ws := mlx.SwapAxes(mlx.Take(dequantized(w), r, mlx.Axis(0), mlx.CPU), -1, -2, mlx.CPU)
			checkSums(t, y, xs, ws, 3e-6)
		}
	}
	wantKernels(t, "quant", "qmm_runs_bfloat_bfloat_bfloat_float_4_0")
}

// edges are groups that quantizers treat each in a way of its own.
func edges(d mlx.DType) *mlx.Array {
	const k = 256
	v := make([]float32, 12*k)
	for i := range v {
		x := float32(i%k) / 7
		v[i] = []float32{0, 1.5, -2.5, x, -x, float32(i % 16), float32(i%31) - 15.5, 1e-9 * x, 1e3 * x,
			float32(math.Exp2(float64(i%40 - 20))), float32(i%3-1) * math.SqrtPi, float32(i%2) * 8.484375}[i/k]
	}
	return mlx.AsType(mlx.Reshape(mlx.NewArray(v), mlx.Shape{12, k}, mlx.CPU), d, mlx.CPU)
}

// The GPU packs to the bytes of the CPU's two roundings, and unpacks to the same numbers.
func TestQuantize(t *testing.T) {
	all := []mlx.Scheme{{Bits: 2}, {Bits: 3, GroupSize: 32}, {Bits: 4}, {Bits: 5, GroupSize: 128}, {Bits: 6}, {Bits: 8, GroupSize: 32},
		{Mode: "mxfp4"}, {Mode: "mxfp8"}, {Mode: "nvfp4"}}
	for i, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
		for j, s := range all {
			if i != j%3 && s.Mode == "" && os.Getenv("MLX_FULL") == "" {
				continue
			}
			for _, s.Rounding = range []mlx.Rounding{mlx.RoundMetal, mlx.RoundCPU} {
				t.Run(fmt.Sprint(d, s, s.Rounding), func(t *testing.T) {
					for _, w := range []*mlx.Array{uniform(uint64(j), d, 3, 5, 128), edges(d)} {
						got, want := mlx.Quantize(w, s, mlx.GPU), mlx.Quantize(w, s, mlx.CPU)
						same(t, "words", got.Weight, want.Weight)
						same(t, "scales", got.Scales, want.Scales)
						if want.Biases != nil {
							same(t, "biases", got.Biases, want.Biases)
						}
						if i != j%3 && os.Getenv("MLX_FULL") == "" {
							continue
						}
						same(t, "values", mlx.Dequantize(got, d, mlx.GPU), mlx.Dequantize(want, d, mlx.CPU))
					}
				})
			}
		}
	}
	wantKernels(t, "quantize", "quantize_affine_float", "quantize_affine_half", "quantize_fp_bfloat_3", "quantize_fp_float_1")
	wantKernels(t, "quant", "dequantize_float_float_2_0", "dequantize_uchar_half_8_2")
}

// same compares bytes.
func same(t *testing.T, what string, got, want *mlx.Array) {
	t.Helper()
	g, w := bytesOf(got), bytesOf(want)
	bad := 0
	for i := range w {
		if g[i] != w[i] {
			if bad++; bad < 4 {
				t.Errorf("%s: byte %d of %d is %#x, not %#x", what, i, len(w), g[i], w[i])
			}
		}
	}
	if bad > 0 {
		t.Errorf("%s: %d bytes differ", what, bad)
	}
}
