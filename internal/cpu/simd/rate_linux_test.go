package simd

import (
	"fmt"
	"runtime"
	"slices"
	"syscall"
	"testing"
	"unsafe"
)

// threadNS is the CPU time of this thread: a rate by it holds on a busy machine.
func threadNS() int64 {
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 3, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// benchRate reports work per nanosecond of CPU time: GB/s or GFLOP/s.
func benchRate(b *testing.B, work float64, unit string, f func()) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	f()
	t := threadNS()
	for b.Loop() {
		f()
	}
	b.ReportMetric(work*float64(b.N)/float64(threadNS()-t), unit)
}

// BenchmarkRates runs products as the backend cuts them, 64 rows of w a call:
// one row of x over weights in L2 and in memory as bytes of weights, more rows
// as operations. K is 2048. These are the numbers of docs/cpu-kernels.md.
func BenchmarkRates(b *testing.B) {
	const k, tile = 2048, 64
	r := newRand(1)
	run := func(name string, m, n, bytes int, f func(y []float32, j int)) {
		work, unit := 2*float64(m)*float64(n)*k, "GFLOP/s-cpu"
		if m == 1 {
			work, unit = float64(bytes), "GB/s-cpu"
		}
		y := make([]float32, m*n)
		b.Run(fmt.Sprintf("%s/m%d/n%d", name, m, n), func(b *testing.B) {
			benchRate(b, work, unit, func() {
				for j := 0; j < n; j += tile {
					f(y[j:], j)
				}
			})
		})
	}
	sizes := [][2]int{{1, 128}, {1, 16384}, {2, 512}, {4, 512}, {8, 512}, {64, 512}}
	for _, e := range elems {
		for _, s := range sizes {
			m, n := s[0], s[1]
			x, w := normals(r, m*k), rawOf(e, slices.Repeat(normals(r, tile*k), n/tile))
			run(e.String(), m, n, len(w.Data), func(y []float32, j int) {
				K.GemmNT(y, n, x, k, m, w.Slice(j*k, w.Len()), k, tile, k)
			})
		}
	}
	for _, p := range modes {
		if p.Group == 32 && p.Mode == Affine || p.Group == 128 {
			continue
		}
		p.Elem = BF16
		for _, s := range sizes {
			m, n := s[0], s[1]
			q := *quantized(normals(r, tile*k), tile, k, p)
			q.Rows = n
			q.Words, q.Scales, q.Biases = slices.Repeat(q.Words, n/tile), slices.Repeat(q.Scales, n/tile), slices.Repeat(q.Biases, n/tile)
			x := normals(r, m*k)
			for _, prec := range []Precision{Exact, Rounded} {
				pl := K.QPlan(&q, m, prec)
				prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
				run(fmt.Sprintf("%s/%v", p.name(), prec), m, n, 4*len(q.Words)+len(q.Scales)+len(q.Biases), func(y []float32, j int) {
					for pass := range pl.Passes {
						if j == 0 {
							K.QPrep(&pl, pass, prep, RawF32(x), &q, 0, m, scratch)
						}
					}
					K.QGemmNT(&pl, RawF32(y), n, prep, &q, 0, m, j, j+tile, scratch)
				})
			}
		}
	}
}
