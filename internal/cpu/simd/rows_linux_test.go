package simd

import (
	"fmt"
	"testing"
)

// BenchmarkRowRates runs operations on rows in cache by thread CPU time, in all
// tiers: values a nanosecond, or operations for x·W. See docs/cpu-kernels.md.
func BenchmarkRowRates(b *testing.B) {
	old := Active()
	defer func() { _ = Select(old) }()
	r := newRand(1)
	const n = 4096
	x, z, y := normals(r, n), normals(r, n), make([]float32, n)
	half := n / 2
	w := rawOf(BF16, z)
	for _, tier := range Available() {
		if err := Select(tier); err != nil {
			b.Fatal(err)
		}
		run := func(name string, work float64, unit string, f func()) {
			b.Run(name+"/"+tier, func(b *testing.B) { benchRate(b, work, unit, f) })
		}
		row := func(name string, f func()) { run(name, n, "values/ns-cpu", f) }
		for _, op := range []struct {
			name string
			op   UnaryOp
		}{{"abs", Abs}, {"floor", Floor}, {"rsqrt", Rsqrt}, {"exp", Exp}, {"expm1", Expm1}, {"log", Log}, {"log1p", Log1p}, {"tanh", Tanh}, {"erf", Erf}, {"erfinv", ErfInv}, {"sin", Sin}, {"cos", Cos}} {
			row(op.name, func() { K.Unary[op.op](y, x) })
		}
		row("maximum", func() { K.Binary[Maximum](y, x, z) })
		row("argmax", func() { K.ArgMax(x) })
		row("max", func() { K.Max(x) })
		row("logsumexp", func() { K.LogSumExp(x) })
		row("layernorm", func() { K.LayerNorm(y, x, w, w, 1e-5, BF16) })
		row("rope", func() { K.Rope(y, x, z[:half], z[half:], false, false) })
		row("rope-traditional", func() { K.Rope(y, x, z[:half], z[half:], true, false) })
		row("rope-table", func() { K.RopeTable(y[:half], y[half:], 100, x[:half]) })
		for _, p := range modes {
			if p.Group == 64 || p.Mode != Affine {
				p.Elem = BF16
				q := quantized(x, 1, n, p)
				row("dequantize-"+p.name(), func() { K.DequantRow(y, q, 0, BF16) })
			}
		}
		const k = 2048
		for _, m := range []int{1, 2, 4, 8, 64} {
			v, out := normals(r, m*k), make([]float32, m*256) // columns as the backend cuts them
			for _, e := range elems {
				w := rawOf(e, normals(r, k*k))
				run(fmt.Sprintf("NN-%v-m%d", e, m), 2*float64(m)*k*k, "GFLOP/s-cpu", func() {
					for j := 0; j < k; j += 256 {
						K.GemmNN(out, 256, v, k, m, w.Slice(j, w.Len()), k, 256, k)
					}
				})
			}
			p := QParams{Mode: Affine, Bits: 4, Group: 64, Elem: BF16}
			q := quantized(normals(r, k*k), k, k, p)
			s := make([]float32, K.QScratchLen(q, m))
			run(fmt.Sprintf("NN-b4.g64-m%d", m), 2*float64(m)*k*k, "GFLOP/s-cpu", func() {
				for j := 0; j < k; j += 256 {
					K.QGemmNN(out, 256, v, k, m, q, j, j+256, s)
				}
			})
		}
	}
}
