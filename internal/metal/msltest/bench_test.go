//go:build linux && metalemu && cgo

package msltest

import (
	"testing"
	"unsafe"
)

const costs = header + `
kernel void none(device float* o [[buffer(0)]], constant int& n [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  o[i] = n;
}
kernel void sums(device float* o [[buffer(0)]], constant int& n [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  float a = 1;
  for (int k = 0; k < n; k++) a = simd_sum(a) / 32;
  o[i] = a;
}
kernel void barriers(device float* o [[buffer(0)]], constant int& n [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  for (int k = 0; k < n; k++) threadgroup_barrier(mem_flags::mem_threadgroup);
  o[i] = n;
}
kernel void matrices(device float* o [[buffer(0)]], constant int& n [[buffer(1)]], uint i [[thread_position_in_grid]]) {
  simdgroup_matrix<float, 8, 8> a(1.0f), b(1.0f), c(0.0f);
  for (int k = 0; k < n; k++) simdgroup_multiply_accumulate(c, a, b, c);
  o[i] = c.thread_elements()[0];
}
`

// What a thread costs, and one operation of it where it waits for others.
func BenchmarkCosts(b *testing.B) {
	lib := load(b, costs)
	for _, c := range []struct {
		name          string
		steps         int32
		threads, size int
	}{{"none", 1, 1 << 18, 256}, {"sums", 100, 4096, 256}, {"barriers", 100, 4096, 256}, {"matrices", 100, 4096, 128}} {
		b.Run(c.name, func(b *testing.B) {
			k := kernelOf(b, lib, c.name)
			o := make([]float32, c.threads)
			l := line(c.threads, c.size, at(o), at([]int32{c.steps}))
			l.Workers = 1
			for b.Loop() {
				run(b, k, l)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(c.threads)/float64(c.steps), "ns/thread-op")
		})
	}
}

func BenchmarkQuantizedMatrixVector(b *testing.B) {
	k := kernelOf(b, load(b, readKernels(b, "qmv.metal")), "qmv4_float_64")
	const rows, columns, group = 4096, 4096, 64
	r := source(3)
	w := make([]uint32, rows*columns/8)
	scales, biases := normal(r, rows*columns/group), normal(r, rows*columns/group)
	x, y := normal(r, columns), make([]float32, rows)
	l := Launch{
		Buffers: []unsafe.Pointer{at(w), at(scales), at(biases), at(x), at(y), at([]uint32{columns}), at([]uint32{rows})},
		Grid:    [3]int{32, rows / 8 * 2, 1}, Group: [3]int{32, 2, 1},
	}
	for b.Loop() {
		run(b, k, l)
	}
}

func BenchmarkMatrixMultiply(b *testing.B) {
	k := kernelOf(b, load(b, readKernels(b, "gemm.metal")), "gemm_float")
	const n = 256
	r := source(4)
	x, y, z := normal(r, n*n), normal(r, n*n), make([]float32, n*n)
	size := at([]uint32{n})
	l := Launch{Buffers: []unsafe.Pointer{at(x), at(y), at(z), size, size, size}, Grid: [3]int{n / 64 * 32, n / 64 * 2, 2}, Group: [3]int{32, 2, 2}}
	for b.Loop() {
		run(b, k, l)
	}
	b.ReportMetric(2*n*n*n*float64(b.N)/b.Elapsed().Seconds()/1e9, "GFLOP/s")
}
