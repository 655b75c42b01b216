package cpu

import (
	"fmt"
	"runtime"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// BenchmarkReduce reduces 64 MiB of float32 on one thread, in turn with reading as
// many bytes: "of-read" is the median of the rates' quotients by CPU time. These
// are the numbers of docs/cpu-kernels.md.
func BenchmarkReduce(b *testing.B) {
	other := rowMajor(dtype.Uint8, 64<<20)
	for _, op := range []tensor.ReduceOp{tensor.OpSum, tensor.OpMean, tensor.OpMax} {
		for _, shape := range [][]int{{4096, 4096}, {16, 1 << 20}, {1 << 17, 128}} {
			for _, c := range []struct {
				name string
				axes tensor.AxisSet
			}{{"all", 3}, {"last", 2}, {"first", 1}} {
				b.Run(fmt.Sprintf("%v/%v/%s", op, tensor.Shape(shape), c.name), func(b *testing.B) {
					p := tensor.Reduce{Op: op, Axes: c.axes}
					in := []View{rowMajor(dtype.Float32, shape...)}
					spec, _ := p.Infer([]tensor.Spec{in[0].Spec})
					out := []View{rowMajor(dtype.Float32, spec[0].Shape...)}
					t, err := reduceTask(p, in, out)
					if err != nil {
						b.Fatal(err)
					}
					ts := flatten(nil, t, true)
					benchOfRead(b, other.HostBytes(), func(s *scratch) error { return serial(ts, s) })
				})
			}
		}
	}
}

// benchOfRead alternates f with reading the bytes.
func benchOfRead(b *testing.B, bytes []byte, f func(s *scratch) error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var s scratch
	var ratios, rates []float64
	for b.Loop() {
		t0 := threadNS()
		simd.ReadAll(bytes)
		t1 := threadNS()
		if err := f(&s); err != nil {
			b.Fatal(err)
		}
		t2 := threadNS()
		ratios = append(ratios, float64(t1-t0)/float64(t2-t1))
		rates = append(rates, float64(len(bytes))/float64(t2-t1))
	}
	slices.Sort(ratios)
	slices.Sort(rates)
	b.ReportMetric(ratios[len(ratios)/2], "of-read")
	b.ReportMetric(rates[len(rates)/2], "GB/s-cpu")
}
