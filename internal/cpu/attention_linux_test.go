package cpu

import (
	"fmt"
	"runtime"
	"syscall"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// threadNS is the CPU time of this thread: a rate by it holds on a busy machine.
func threadNS() int64 {
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 3, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// rowMajor is a view of small positive values; the bytes of a float16 as well.
func rowMajor(d dtype.DType, s ...int) View {
	v := View{Spec: tensor.Spec{Shape: s, DType: d}, Strides: make([]int, len(s))}
	n := 1
	for i := len(s) - 1; i >= 0; i-- {
		v.Strides[i] = n
		n *= s[i]
	}
	b := make([]byte, n*d.Size())
	for i := range b {
		b[i] = byte(i*7+i>>8) & 0x3f
	}
	v.Buf = tensor.Borrow(b, nil)
	return v
}

// BenchmarkAttention runs one thread over so many layers, each with keys and values
// of its own: decode reads them from memory. l queries stand behind pos positions.
// These are the numbers of docs/cpu-kernels.md.
func BenchmarkAttention(b *testing.B) {
	for _, c := range []struct {
		hq, hk, l, c, pos, d, layers int
		t                            dtype.DType
	}{
		{32, 8, 1, 2048, 2047, 64, 16, dtype.BFloat16},
		{16, 8, 1, 2048, 2047, 64, 16, dtype.Float16},
		{32, 8, 1, 2048, 2047, 64, 8, dtype.Float32},
		{8, 8, 1, 2048, 2047, 64, 16, dtype.BFloat16},
		{64, 8, 1, 2048, 2047, 64, 16, dtype.BFloat16},
		{16, 8, 1, 2048, 2047, 128, 8, dtype.BFloat16},
		{32, 8, 512, 512, 0, 64, 1, dtype.BFloat16},
		{32, 8, 512, 2048, 1536, 64, 1, dtype.BFloat16},
		{32, 8, 512, 512, 0, 64, 1, dtype.Float32},
		{16, 8, 512, 512, 0, 128, 1, dtype.BFloat16},
		{16, 16, 512, 512, 0, 64, 1, dtype.BFloat16},
	} {
		b.Run(fmt.Sprintf("%d-%d/l%d/pos%d/d%d/%v", c.hq, c.hk, c.l, c.pos, c.d, c.t), func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			p := fast.Attention{Scale: tensor.MakeF64(.125), Causal: true, Pos: true}
			var ts []task
			for range c.layers {
				pos := rowMajor(dtype.Int32, 1)
				at[int32](&pos, 0, 1)[0] = int32(c.pos)
				in := []View{rowMajor(c.t, 1, c.hq, c.l, c.d), rowMajor(c.t, 1, c.hk, c.c, c.d), rowMajor(c.t, 1, c.hk, c.c, c.d), pos}
				out := []View{rowMajor(c.t, 1, c.hq, c.l, c.d)}
				t, err := attentionTask(p, in, out)
				if err != nil {
					b.Fatal(err)
				}
				ts = flatten(ts, t, true)
			}
			var s scratch
			run := func() {
				if err := serial(ts, &s); err != nil {
					b.Fatal(err)
				}
			}
			run()
			run()
			t := threadNS()
			for b.Loop() {
				run()
			}
			ns := float64(threadNS()-t) / float64(b.N) / float64(c.layers)
			seen := float64(c.pos) + float64(c.l+1)/2
			b.ReportMetric(4*float64(c.hq*c.l*c.d)*seen/ns, "GFLOP/s-cpu")
			if c.l == 1 {
				b.ReportMetric(2*float64(c.hk*c.d*c.t.Size())*seen/ns, "GB/s-cpu")
			}
		})
	}
}
