package mlx_test

import (
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"unsafe"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fast"
	"github.com/mlxgo/mlx/internal/cpu"
	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/nn"
	"github.com/mlxgo/mlx/random"
)

// processNS is the CPU time of this process, all threads and the collector's too.
func processNS() int64 {
	var ts syscall.Timespec
	_, _, _ = syscall.RawSyscall(syscall.SYS_CLOCK_GETTIME, 2, uintptr(unsafe.Pointer(&ts)), 0)
	return ts.Nano()
}

// A peerRow is a case that MLX 0.32.2 (stock x86-64 build, CPU back end) was measured
// with: mlx is its processor time in milliseconds, bytes is what must move at least.
type peerRow struct {
	name  string
	mlx   float64
	bytes int
	f     func() *mlx.Array
}

func peerRows() (rows []peerRow) {
	add := func(name string, ms float64, bytes int, f func() *mlx.Array) {
		rows = append(rows, peerRow{name, ms, bytes, f})
	}
	normal := func(d mlx.DType, shape ...int) *mlx.Array { return random.Normal(shape, d) }
	const f32, bf16, f16 = mlx.Float32, mlx.BFloat16, mlx.Float16
	const k, n = 2048, 8192
	for _, c := range []struct {
		bits int
		ms   map[mlx.DType]float64
	}{
		{4, map[mlx.DType]float64{f32: 11.2, bf16: 90.4, f16: 459}},
		{8, map[mlx.DType]float64{f32: 13.4, bf16: 88, f16: 422}},
	} {
		for _, d := range []mlx.DType{f32, bf16, f16} {
			q := mlx.Quantize(normal(d, n, k), mlx.Scheme{GroupSize: 64, Bits: c.bits})
			x := normal(d, 1, k)
			add(sprint("qmm", c.bits, "bit 1", d), c.ms[d], q.Weight.NBytes(), func() *mlx.Array { return mlx.QuantizedMatMul(x, q) })
			if c.bits == 4 && d != f16 {
				wide := normal(d, 512, k)
				add(sprint("qmm 4bit 512", d), map[mlx.DType]float64{f32: 5700, bf16: 46900}[d], 0, func() *mlx.Array { return mlx.QuantizedMatMul(wide, q) })
			}
			if c.bits == 4 && d == f32 {
				w := normal(d, n, k)
				add("quantize 4bit", 59, w.NBytes(), func() *mlx.Array { return mlx.Quantize(w, mlx.Scheme{GroupSize: 64, Bits: 4}).Weight })
				add("dequantize 4bit", 122, 2*w.NBytes(), func() *mlx.Array { return mlx.Dequantize(q) })
			}
		}
	}
	for _, c := range []struct {
		d                                        mlx.DType
		matmul, matvec, softmax, rms, layer, sum float64
	}{
		{f32, 13.4, 10.2, 505, 158, 268, 33}, {bf16, 313, 11.1, 536, 307, 450, 123}, {f16, 402, 25.8, 0, 0, 0, 0},
	} {
		a, b := normal(c.d, 1024, 1024), normal(c.d, 1024, 1024)
		add(sprint("matmul 1024^3", c.d), c.matmul, 0, func() *mlx.Array { return a.MatMul(b) })
		x, w := normal(c.d, 1, k), normal(c.d, n, k)
		add(sprint("matvec", c.d), c.matvec, w.NBytes(), func() *mlx.Array { return x.MatMul(w.T()) })
		if c.softmax == 0 {
			continue
		}
		m, v := normal(c.d, 8192, 4096), normal(c.d, 4096)
		size := m.NBytes()
		add(sprint("softmax", c.d), c.softmax, 2*size, func() *mlx.Array { return mlx.Softmax(m) })
		add(sprint("rms_norm", c.d), c.rms, 2*size, func() *mlx.Array { return fast.RMSNorm(m, v, 1e-5) })
		add(sprint("layer_norm", c.d), c.layer, 2*size, func() *mlx.Array { return fast.LayerNorm(m, v, v, 1e-5) })
		add(sprint("row sum", c.d), c.sum, size, func() *mlx.Array { return mlx.Sum(m, mlx.Axis(-1)) })
	}
	peerElementwise(add, normal)
	peerAttention(add, normal)
	s := normal(f32, 1024, 4096)
	add("sort 1024x4096", 221, 0, func() *mlx.Array { return mlx.Sort(s) })
	add("cumsum 1024x4096", 3.4, 2*s.NBytes(), func() *mlx.Array { return mlx.CumSum(s, mlx.Axis(-1)) })
	add("random normal 16Mi", 449, 64<<20, func() *mlx.Array { return random.Normal(mlx.Shape{16 << 20}) })
	add("1000 scalar adds", 2.2, 0, func() *mlx.Array {
		y := mlx.NewArray(0.0)
		for range 1000 {
			y = y.Add(1)
		}
		return y
	})
	return rows
}

func peerElementwise(add func(string, float64, int, func() *mlx.Array), normal func(mlx.DType, ...int) *mlx.Array) {
	x, y := normal(mlx.Float32, 16<<20), normal(mlx.Float32, 16<<20)
	h := x.AsType(mlx.BFloat16)
	add("add 16Mi", 33, 3*x.NBytes(), func() *mlx.Array { return x.Add(y) })
	add("exp 16Mi", 207, 2*x.NBytes(), func() *mlx.Array { return mlx.Exp(x) })
	tanh := func(x *mlx.Array) *mlx.Array {
		inner := x.Add(x.Mul(x).Mul(x).Mul(0.044715)).Mul(math.Sqrt(2 / math.Pi))
		return x.Mul(mlx.Add(1, mlx.Tanh(inner))).Mul(0.5)
	}
	for _, c := range []struct {
		name              string
		x                 *mlx.Array
		f                 func(*mlx.Array) *mlx.Array
		plain, compiledMS float64
	}{
		{"gelu float32", x, gelu, 492, 464}, {"gelu tanh float32", x, tanh, 383, 352},
		{"gelu bfloat16", h, gelu, 482, 421}, {"gelu tanh bfloat16", h, tanh, 467, 592},
	} {
		compiled := mlx.Compile(c.f)
		add(c.name, c.plain, 2*c.x.NBytes(), func() *mlx.Array { return c.f(c.x) })
		add(c.name+" compiled", c.compiledMS, 2*c.x.NBytes(), func() *mlx.Array { return compiled(c.x) })
	}
	add("nn.GELU float32", 492, 2*x.NBytes(), func() *mlx.Array { return nn.GELU(x) })
}

func peerAttention(add func(string, float64, int, func() *mlx.Array), normal func(mlx.DType, ...int) *mlx.Array) {
	for _, c := range []struct {
		d                          mlx.DType
		full, causal, decode, rope float64
	}{{mlx.Float32, 147, 155, 2.9, 2.5}, {mlx.BFloat16, 517, 524, 7.2, 2.5}} {
		q, k, v := normal(c.d, 1, 32, 512, 64), normal(c.d, 1, 32, 512, 64), normal(c.d, 1, 32, 512, 64)
		add(sprint("sdpa 512", c.d), c.full, 0, func() *mlx.Array { return fast.ScaledDotProductAttention(q, k, v, 0.125) })
		add(sprint("sdpa 512 causal", c.d), c.causal, 0, func() *mlx.Array { return fast.ScaledDotProductAttention(q, k, v, 0.125, fast.Causal) })
		one, ks, vs := normal(c.d, 1, 32, 1, 64), normal(c.d, 1, 8, 2048, 64), normal(c.d, 1, 8, 2048, 64)
		add(sprint("sdpa decode", c.d), c.decode, 2*ks.NBytes(), func() *mlx.Array { return fast.ScaledDotProductAttention(one, ks, vs, 0.125) })
		add(sprint("rope", c.d), c.rope, 2*q.NBytes(), func() *mlx.Array { return fast.RoPE{Dims: 64, Base: 10000, Scale: 1}.Apply(q, 0) })
	}
}

func sprint(parts ...any) string { return strings.TrimSuffix(fmt.Sprintln(parts...), "\n") }

func median(x []float64) float64 {
	slices.Sort(x)
	return x[len(x)/2]
}

// BenchmarkPeer runs the rows against what MLX took: of-mlx is the median of our
// processor time by MLX's, at most 0.25 is the promise; of-limit is the time in which
// this thread reads as many bytes, by ours: from 0.8 on it is enough too.
func BenchmarkPeer(b *testing.B) {
	defer cpu.SetWorkers(cpu.Workers())
	cpu.SetWorkers(1) // a worker that waits would count
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	bytes := make([]byte, 128<<20)
	for i := range bytes {
		bytes[i] = byte(i)
	}
	for _, r := range peerRows() {
		b.Run(r.name, func(b *testing.B) {
			run := func() {
				if err := mlx.Eval(r.f()); err != nil {
					b.Fatal(err)
				}
			}
			for range 3 {
				run()
			}
			var took, read []float64
			for b.Loop() {
				t := processNS()
				run()
				took = append(took, float64(processNS()-t)/1e6)
				t = processNS()
				simd.ReadAll(bytes)
				read = append(read, float64(processNS()-t)/1e6)
			}
			ms, limit := median(took), median(read)/float64(len(bytes))*float64(r.bytes)
			b.ReportMetric(ms, "cpu-ms")
			b.ReportMetric(ms/r.mlx, "of-mlx")
			if r.bytes > 0 {
				b.ReportMetric(limit/ms, "of-limit")
			}
			runtime.GC()
		})
	}
}
