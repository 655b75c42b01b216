package simd

import "testing"

func benchGemm(b *testing.B, e Elem, m int) {
	const n, k = 2048, 2048
	r := newRand(1)
	x, w, y := normals(r, m*k), rawOf(e, normals(r, n*k)), make([]float32, m*n)
	b.SetBytes(int64(n * k * e.Size()))
	for b.Loop() {
		K.GemmNT(y, n, x, k, m, w, k, n, k)
	}
	b.ReportMetric(float64(b.N)*2*float64(m)*n*k/1e9/b.Elapsed().Seconds(), "GFLOP/s")
}

func BenchmarkGemmNTF32M1(b *testing.B)   { benchGemm(b, F32, 1) }
func BenchmarkGemmNTBF16M1(b *testing.B)  { benchGemm(b, BF16, 1) }
func BenchmarkGemmNTF16M1(b *testing.B)   { benchGemm(b, F16, 1) }
func BenchmarkGemmNTF32M64(b *testing.B)  { benchGemm(b, F32, 64) }
func BenchmarkGemmNTBF16M64(b *testing.B) { benchGemm(b, BF16, 64) }

func BenchmarkGemmNNF32M64(b *testing.B) {
	const m, n, k = 64, 2048, 2048
	r := newRand(1)
	x, w, y := normals(r, m*k), rawOf(F32, normals(r, n*k)), make([]float32, m*n)
	for b.Loop() {
		K.GemmNN(y, n, x, k, m, w, n, n, k)
	}
	b.ReportMetric(float64(b.N)*2*m*n*k/1e9/b.Elapsed().Seconds(), "GFLOP/s")
}

func benchQGemm(b *testing.B, p QParams, m int) {
	const n, k = 2048, 2048
	r := newRand(1)
	p.Elem = BF16
	q := quantized(normals(r, n*k), n, k, p)
	x, y := normals(r, m*k), make([]float32, m*n)
	pl := K.QPlan(q, m, Exact)
	prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
	b.SetBytes(int64(4*len(q.Words) + len(q.Scales) + len(q.Biases)))
	for b.Loop() {
		K.QPrep(&pl, 0, prep, RawF32(x), q, 0, m, scratch)
		K.QGemmNT(&pl, RawF32(y), n, prep, q, 0, m, 0, n, scratch)
	}
	b.ReportMetric(float64(b.N)*2*float64(m)*n*k/1e9/b.Elapsed().Seconds(), "GFLOP/s")
}

var q4 = QParams{Mode: Affine, Bits: 4, Group: 64}

func BenchmarkQGemmNT4M1(b *testing.B)  { benchQGemm(b, q4, 1) }
func BenchmarkQGemmNT4M2(b *testing.B)  { benchQGemm(b, q4, 2) }
func BenchmarkQGemmNT4M64(b *testing.B) { benchQGemm(b, q4, 64) }
func BenchmarkQGemmNT8M1(b *testing.B)  { benchQGemm(b, QParams{Mode: Affine, Bits: 8, Group: 64}, 1) }
func BenchmarkQGemmNT3M1(b *testing.B)  { benchQGemm(b, QParams{Mode: Affine, Bits: 3, Group: 64}, 1) }
func BenchmarkQGemmNTMXFP4M1(b *testing.B) {
	benchQGemm(b, QParams{Mode: MXFP4, Bits: 4, Group: 32}, 1)
}
func BenchmarkQGemmNTNVFP4M1(b *testing.B) {
	benchQGemm(b, QParams{Mode: NVFP4, Bits: 4, Group: 16}, 1)
}

// BenchmarkQuantize counts the bytes of bfloat16 weights.
func BenchmarkQuantize(b *testing.B) {
	w := normals(newRand(1), 256*2048)
	for _, p := range modes {
		if p.Mode == Affine && p.Group != 64 {
			continue
		}
		for _, r := range []Rounding{RoundMetal, RoundCPU} {
			p.Elem, p.Rounding = BF16, r
			b.Run(p.name()+[]string{".cpu", ".metal"}[r], func(b *testing.B) {
				b.SetBytes(256 * 2048 * 2)
				for b.Loop() {
					quantized(w, 256, 2048, p)
				}
			})
		}
	}
}

func benchUnary(b *testing.B, op UnaryOp) {
	x := normals(newRand(1), 4096)
	y := make([]float32, 4096)
	b.SetBytes(4096 * 4)
	for b.Loop() {
		K.Unary[op](y, x)
	}
}

func BenchmarkExp(b *testing.B)     { benchUnary(b, Exp) }
func BenchmarkSigmoid(b *testing.B) { benchUnary(b, Sigmoid) }
func BenchmarkTanh(b *testing.B)    { benchUnary(b, Tanh) }
func BenchmarkErf(b *testing.B)     { benchUnary(b, Erf) }

func BenchmarkSoftmax4096(b *testing.B) {
	x := normals(newRand(1), 4096)
	y := make([]float32, 4096)
	b.SetBytes(4096 * 4)
	for b.Loop() {
		K.Softmax(y, x)
	}
}

func BenchmarkRMSNorm2048(b *testing.B) {
	x := normals(newRand(1), 2048)
	w := rawOf(BF16, x)
	y := make([]float32, 2048)
	b.SetBytes(2048 * 4)
	for b.Loop() {
		K.RMSNorm(y, x, w, 1e-5, BF16)
	}
}

func benchAttend(b *testing.B, e Elem, rows, keys int) {
	const d = 64
	r := newRand(1)
	q, kv, out := normals(r, rows*d), rawOf(e, normals(r, keys*d)), make([]float32, rows*d)
	a := &Attention{Scale: 1, Q: q, QStride: d, Rows: rows, D: d, K: kv, V: kv, KStride: d, VStride: d, Keys: keys, DV: d}
	s := make([]float32, AttendScratchLen(a))
	b.SetBytes(int64(2 * keys * d * e.Size()))
	for b.Loop() {
		Attend(out, d, a, s)
	}
	b.ReportMetric(float64(b.N)*4*float64(rows)*float64(keys)*d/1e9/b.Elapsed().Seconds(), "GFLOP/s")
}

func BenchmarkAttendF32Decode(b *testing.B)   { benchAttend(b, F32, 4, 2048) }
func BenchmarkAttendBF16Decode(b *testing.B)  { benchAttend(b, BF16, 4, 2048) }
func BenchmarkAttendBF16Prefill(b *testing.B) { benchAttend(b, BF16, 64, 512) }

func benchLoad(b *testing.B, e Elem) {
	src, dst := rawOf(e, normals(newRand(1), 512)), make([]float32, 512)
	b.SetBytes(int64(len(src.Data)))
	for b.Loop() {
		K.Load(dst, src)
	}
}

func BenchmarkLoadBF16(b *testing.B) { benchLoad(b, BF16) }
func BenchmarkLoadF16(b *testing.B)  { benchLoad(b, F16) }
