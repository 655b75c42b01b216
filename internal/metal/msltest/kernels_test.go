//go:build linux && metalemu && cgo

package msltest

import (
	"math"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

var withWeight = gpu.Const{Index: 20, Value: true}

func TestExp(t *testing.T) {
	k := kernelOf(t, load(t, readKernels(t, "basic.metal")), "myexp_float")
	x := normal(source(1), 1000)
	y := make([]float32, len(x))
	run(t, k, line(len(x), 256, at(x), at(y)))
	for i := range x {
		if want := math.Exp(float64(x[i])); math.Abs(float64(y[i])-want) > 2e-7*want {
			t.Fatalf("exp(%g) is %g, not %g", x[i], y[i], want)
		}
	}
}

// rmsNorm is the reference, in float64.
func rmsNorm(x, w func(i int) float64, n int) []float64 {
	sum := 0.0
	for j := range n {
		sum += x(j) * x(j)
	}
	scale := 1 / math.Sqrt(sum/float64(n)+1e-5)
	y := make([]float64, n)
	for j := range y {
		y[j] = x(j) * scale * w(j)
	}
	return y
}

func TestRMSNorm(t *testing.T) {
	k := kernelOf(t, load(t, readKernels(t, "basic.metal")), "rms_norm_bfloat", withWeight)
	const rows, n = 7, 1531
	r := source(2)
	x, w := make([]uint16, rows*n), make([]uint16, n)
	for i := range x {
		x[i] = toBfloat(float32(r.NormFloat64()))
	}
	for i := range w {
		w[i] = toBfloat(float32(r.NormFloat64()))
	}
	eps, size := []float32{1e-5}, []uint32{n}
	for _, order := range []Order{Ascending, Descending, Shuffled} {
		y := make([]uint16, rows*n)
		l := line(rows*384, 384, at(x), at(w), at(y), at(eps), at(size))
		l.Order, l.Seed = order, 3
		run(t, k, l)
		for i := range rows {
			want := rmsNorm(func(j int) float64 { return float64(fromBfloat(x[i*n+j])) }, func(j int) float64 { return float64(fromBfloat(w[j])) }, n)
			for j := range n {
				if got := float64(fromBfloat(y[i*n+j])); math.Abs(got-want[j]) > 0.012*math.Abs(want[j])+1e-6 {
					t.Fatalf("%v: row %d, column %d is %g, not %g", order, i, j, got, want[j])
				}
			}
		}
	}
}

func TestQuantizedMatrixVector(t *testing.T) {
	k := kernelOf(t, load(t, readKernels(t, "qmv.metal")), "qmv4_float_64")
	const rows, columns, group = 256, 2048, 64
	r := source(3)
	w := make([]uint32, rows*columns/8)
	for i := range w {
		w[i] = r.Uint32()
	}
	scales, biases := normal(r, rows*columns/group), normal(r, rows*columns/group)
	x, y := normal(r, columns), make([]float32, rows)
	run(t, k, Launch{
		Buffers: []unsafe.Pointer{at(w), at(scales), at(biases), at(x), at(y), at([]uint32{columns}), at([]uint32{rows})},
		Grid:    [3]int{32, rows / 8 * 2, 1}, Group: [3]int{32, 2, 1},
	})
	for i := range rows {
		sum, size := 0.0, 0.0
		for c := range columns {
			q := float64(w[i*columns/8+c/8] >> (4 * (c % 8)) & 15)
			g := i*columns/group + c/group
			v := (q*float64(scales[g]) + float64(biases[g])) * float64(x[c])
			sum += v
			size += math.Abs(v)
		}
		if math.Abs(sum-float64(y[i])) > 1e-6*size {
			t.Fatalf("row %d is %g, not %g", i, y[i], sum)
		}
	}
}

func TestMatrixMultiply(t *testing.T) {
	k := kernelOf(t, load(t, readKernels(t, "gemm.metal")), "gemm_float")
	r := source(4)
	for n, c := range []struct{ m, n, k int }{{128, 64, 64}, {70, 45, 33}, {33, 66, 19}} {
		a, b, d := normal(r, c.m*c.k), normal(r, c.k*c.n), make([]float32, c.m*c.n)
		run(t, k, Launch{
			Buffers: []unsafe.Pointer{at(a), at(b), at(d), at([]uint32{uint32(c.m)}), at([]uint32{uint32(c.n)}), at([]uint32{uint32(c.k)})},
			Grid:    [3]int{(c.n + 63) / 64 * 32, (c.m + 63) / 64 * 2, 2}, Group: [3]int{32, 2, 2},
			Order: Order(n % 3), Seed: 5,
		})
		for i := range c.m {
			for j := range c.n {
				sum := 0.0
				for k := range c.k {
					sum += float64(a[i*c.k+k]) * float64(b[k*c.n+j])
				}
				if math.Abs(sum-float64(d[i*c.n+j])) > 1e-4 {
					t.Fatalf("%v: [%d, %d] is %g, not %g", c, i, j, d[i*c.n+j], sum)
				}
			}
		}
	}
}
