package cpu

import (
	"runtime"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// BenchmarkElementwise computes 64 MiB of float32 on one thread, in turn with the
// machine's limit for the same traffic: a copy of as many bytes as are written, and
// reading what is read beyond it. "of-limit" is the median of the quotients by CPU
// time. These are the numbers of docs/benchmarks.md.
func BenchmarkElementwise(b *testing.B) {
	const n = 16 << 20
	view := func(d dtype.DType) View {
		v := rowMajor(d, n)
		for i := range v.HostBytes() { // no page is the one of zeros
			v.HostBytes()[i] = byte(i>>4) & 0x3f
		}
		return v
	}
	x, z, y := view(dtype.Float32), view(dtype.Float32), view(dtype.Float32)
	half := view(dtype.BFloat16)
	unary := func(op tensor.UnaryOp) func() (task, error) {
		return func() (task, error) { return unaryTask(tensor.Unary{Op: op}, []View{x}, []View{y}) }
	}
	binary := func(op tensor.BinaryOp) func() (task, error) {
		return func() (task, error) { return binaryTask(tensor.Binary{Op: op}, []View{x, z}, []View{y}) }
	}
	for _, c := range []struct {
		name        string
		task        func() (task, error)
		read, write int
	}{
		{"copy", func() (task, error) { return copyTask(&x, &y), nil }, 4 * n, 4 * n},
		{"negative", unary(tensor.OpNegative), 4 * n, 4 * n},
		{"square", unary(tensor.OpSquare), 4 * n, 4 * n},
		{"sqrt", unary(tensor.OpSqrt), 4 * n, 4 * n},
		{"exp", unary(tensor.OpExp), 4 * n, 4 * n},
		{"add", binary(tensor.OpAdd), 8 * n, 4 * n},
		{"multiply", binary(tensor.OpMultiply), 8 * n, 4 * n},
		{"divide", binary(tensor.OpDivide), 8 * n, 4 * n},
		{"maximum", binary(tensor.OpMaximum), 8 * n, 4 * n},
		{"from bfloat16", func() (task, error) { return castTask([]View{half}, []View{y}) }, 2 * n, 4 * n},
	} {
		b.Run(c.name, func(b *testing.B) {
			t, err := c.task()
			if err != nil {
				b.Fatal(err)
			}
			ts := flatten(nil, t, true)
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			var s scratch
			var ratios, rates []float64
			from, to := x.HostBytes()[:min(c.read, c.write)], y.HostBytes()
			for b.Loop() {
				t0 := threadNS()
				copy(to, from)
				if more := c.read - c.write; more > 0 {
					simd.ReadAll(z.HostBytes()[:more])
				} else if more < 0 { // written without being read
					copy(to[len(from):], z.HostBytes()[:-more])
				}
				t1 := threadNS()
				if err := serial(ts, &s); err != nil {
					b.Fatal(err)
				}
				t2 := threadNS()
				ratios = append(ratios, float64(t1-t0)/float64(t2-t1))
				rates = append(rates, float64(c.read+c.write)/float64(t2-t1))
			}
			slices.Sort(ratios)
			slices.Sort(rates)
			b.ReportMetric(ratios[len(ratios)/2], "of-limit")
			b.ReportMetric(rates[len(rates)/2], "GB/s-cpu")
		})
	}
}
