//go:build amd64 && !purego && !race

package simd

import (
	"math"
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The avx2 tier: Haswell and Zen or later. Entries without a kernel are the pure
// ones. x/sys/cpu reports AVX2 only where XCR0 says that the system saves its
// registers.

func init() {
	last := len(tiers) - 1 // pure
	tiers = append(tiers[:last:last], tier{"avx2", hasAVX2, avx2Table}, tiers[last])
}

func hasAVX2() bool { return cpu.X86.HasAVX2 && cpu.X86.HasFMA && cpu.X86.HasF16C }

func avx2Table() Table {
	t := pureTable()
	t.Name = "avx2"
	t.F16ToF32, t.F32ToF16 = f16ToF32AVX2, f32ToF16AVX2
	t.BF16ToF32, t.F32ToBF16 = bf16ToF32AVX2, f32ToBF16AVX2
	t.Load, t.Store, t.Round = loadAVX2, storeAVX2, roundAVX2
	t.Dot, t.Sum, t.Axpy = dotAVX2, sumAVX2, axpyAVX2
	t.GemmNT, t.GemmNN = gemmNTAVX2, gemmNNAVX2
	t.QPlan, t.QPrep, t.QGemmNT = qPlanAVX2, qPrepAVX2, qGemmNTAVX2
	t.QScratchLen, t.QGemmNN = qScratchLenAVX2, qGemmNNAVX2
	t.DequantRow = dequantRowAVX2
	t.RMSNorm, t.LayerNorm = rmsNormAVX2, layerNormAVX2
	t.Softmax, t.LogSumExp = softmaxAVX2, logSumExpAVX2
	t.Rope = ropeAVX2
	t.AttendPartScratchLen, t.AttendPart = attendPartScratchLenAVX2, attendPartAVX2
	for op, f := range map[UnaryOp]func(y, x *float32, n int){
		Neg: a2Neg, Abs: a2Abs, Sign: a2Sign, Square: a2Square, Sqrt: a2Sqrt, Rsqrt: a2Rsqrt, Reciprocal: a2Reciprocal,
		Floor: a2Floor, Ceil: a2Ceil, Trunc: a2Trunc, Rint: a2Rint,
		Exp: a2Exp, Expm1: a2Expm1, Sigmoid: a2Sigmoid, SiLU: a2SiLU, Tanh: a2Tanh, Erf: a2Erf,
	} {
		t.Unary[op] = func(y, x []float32) { f(ptr(y), ptr(x[:len(y)]), len(y)) }
	}
	for op, f := range map[BinaryOp]func(y, a, b *float32, n int){
		Add: a2Add, Sub: a2Sub, Mul: a2Mul, Div: a2Div, Maximum: a2Maximum, Minimum: a2Minimum,
	} {
		t.Binary[op] = func(y, a, b []float32) { f(ptr(y), ptr(a[:len(y)]), ptr(b[:len(y)]), len(y)) }
	}
	t.MaxRows, t.MinRows = rowByRow(t.Binary[Maximum]), rowByRow(t.Binary[Minimum])
	t.SwiGLU = func(y, a, b []float32) { a2SwiGLU(ptr(y), ptr(a[:len(y)]), ptr(b[:len(y)]), len(y)) }
	t.ArgMax, t.ArgMin = argMaxAVX2, argMinAVX2
	t.Max, t.Min, t.FirstNaN = maxAVX2, minAVX2, firstNaNAVX2
	return t
}

// Conversions: kernels take multiples of eight, and the rest has the same bits in
// plain Go.

func f16ToF32AVX2(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := len(src) &^ 7
	a2FromF16(ptr(dst), ptr(src), n)
	for i := n; i < len(src); i++ {
		dst[i] = FromF16(src[i])
	}
}

func bf16ToF32AVX2(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	n := len(src) &^ 7
	a2FromBF16(ptr(dst), ptr(src), n)
	for i := n; i < len(src); i++ {
		dst[i] = FromBF16(src[i])
	}
}

func f32ToF16AVX2(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	n := len(src) &^ 7
	a2ToF16(ptr(dst), ptr(src), n)
	for i := n; i < len(src); i++ {
		dst[i] = ToF16(src[i])
	}
}

func f32ToBF16AVX2(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	n := len(src) &^ 7
	a2ToBF16(ptr(dst), ptr(src), n)
	for i := n; i < len(src); i++ {
		dst[i] = ToBF16(src[i])
	}
}

func loadAVX2(dst []float32, src Raw) {
	switch src.Elem {
	case F16:
		f16ToF32AVX2(dst, Uint16s(src.Data)[:len(dst)])
	case BF16:
		bf16ToF32AVX2(dst, Uint16s(src.Data)[:len(dst)])
	default:
		load(dst, src)
	}
}

func storeAVX2(dst Raw, src []float32) {
	switch dst.Elem {
	case F16:
		f32ToF16AVX2(Uint16s(dst.Data), src)
	case BF16:
		f32ToBF16AVX2(Uint16s(dst.Data), src)
	default:
		store(dst, src)
	}
}

func roundAVX2(x []float32, t Elem) {
	n := len(x) &^ 7
	switch t {
	case F16:
		a2RoundF16(ptr(x), ptr(x), n)
	case BF16:
		a2RoundBF16(ptr(x), ptr(x), n)
	}
	round(x[n:], t)
}

func sumAVX2(x []float32) float32 { return a2Sum(ptr(x), len(x)) }

func axpyAVX2(y []float32, a float32, x []float32) {
	a2Axpy(ptr(y), ptr(x[:len(y)]), len(y), a)
}

func dotAVX2(x, y []float32) float32 {
	y = y[:len(x)]
	var r float32
	a2DotF32x1x1(&r, 0, 0, 0, ptr(x), 0, (*byte)(unsafe.Pointer(ptr(y))), 0, 0, len(x), 1)
	return r
}

// mulRawAVX2 multiplies y by w and addRawAVX2 adds it, unless w is empty.
func mulRawAVX2(y []float32, w Raw) {
	if len(w.Data) == 0 {
		return
	}
	w = w.Slice(0, len(y))
	n := len(y) &^ 7
	switch w.Elem {
	case F32:
		a2Mul(ptr(y), ptr(y), ptr(Float32s(w.Data)), len(y))
	case F16:
		h := Uint16s(w.Data)
		a2MulF16(ptr(y), ptr(h), n)
		for i := n; i < len(y); i++ {
			y[i] *= FromF16(h[i])
		}
	case BF16:
		h := Uint16s(w.Data)
		a2MulBF16(ptr(y), ptr(h), n)
		for i := n; i < len(y); i++ {
			y[i] *= FromBF16(h[i])
		}
	}
}

func addRawAVX2(y []float32, w Raw) {
	if len(w.Data) == 0 {
		return
	}
	w = w.Slice(0, len(y))
	n := len(y) &^ 7
	switch w.Elem {
	case F32:
		a2Add(ptr(y), ptr(y), ptr(Float32s(w.Data)), len(y))
	case F16:
		h := Uint16s(w.Data)
		a2AddF16(ptr(y), ptr(h), n)
		for i := n; i < len(y); i++ {
			y[i] += FromF16(h[i])
		}
	case BF16:
		h := Uint16s(w.Data)
		a2AddBF16(ptr(y), ptr(h), n)
		for i := n; i < len(y); i++ {
			y[i] += FromBF16(h[i])
		}
	}
}

func rmsNormAVX2(y, x []float32, w Raw, eps float32, t Elem) {
	y = y[:len(x)]
	n := rsqrt(dotAVX2(x, x)/float32(len(x)) + eps)
	a2Scale(ptr(y), ptr(x), len(x), n)
	roundAVX2(y, t)
	mulRawAVX2(y, w)
}

func layerNormAVX2(y, x []float32, w, b Raw, eps float32, t Elem) {
	y = y[:len(x)]
	a2Shift(ptr(y), ptr(x), len(x), sumAVX2(x)/float32(len(x)))
	n := rsqrt(dotAVX2(y, y)/float32(len(x)) + eps)
	a2Scale(ptr(y), ptr(y), len(y), n)
	roundAVX2(y, t)
	if len(w.Data) > 0 {
		mulRawAVX2(y, w)
		roundAVX2(y, t)
	}
	addRawAVX2(y, b)
}

func softmaxAVX2(y, x []float32) {
	if len(x) == 0 {
		return
	}
	y = y[:len(x)]
	a2ExpShift(ptr(y), ptr(x), len(x), maxAVX2(x))
	a2Scale(ptr(y), ptr(y), len(y), 1/a2Sum(ptr(y), len(y)))
}

func logSumExpAVX2(x []float32) float32 {
	m := maxAVX2(x)
	if m-m != 0 { // ±Inf or NaN
		return m
	}
	var buf [512]float32
	var s float64
	for len(x) > 0 {
		n := min(len(buf), len(x))
		a2ExpShift(ptr(buf[:]), ptr(x), n, m)
		s += float64(a2Sum(ptr(buf[:]), n))
		x = x[n:]
	}
	return float32(float64(m) + math.Log(s))
}

// ropeAVX2 rotates multiples of eight pairs, then the rest in plain Go.
func ropeAVX2(y, x, cos, sin []float32, traditional, inverse bool) {
	h := len(cos)
	y, sin = y[:len(x)], sin[:h]
	n := h &^ 7
	_ = x[:2*h]
	var sign uint32
	if inverse {
		sign = 1 << 31
	}
	if traditional {
		a2RopePairs(ptr(y), ptr(x), ptr(cos), ptr(sin), n, h, sign)
		rope(y[2*n:], x[2*n:], cos[n:], sin[n:], true, inverse)
		return
	}
	a2RopeHalves(ptr(y), ptr(x), ptr(cos), ptr(sin), n, h, sign)
	for i := n; i < h; i++ {
		a, b, c, s := x[i], x[h+i], cos[i], sin[i]
		if inverse {
			s = -s
		}
		y[i] = float32(a*c) - float32(b*s)
		y[h+i] = float32(a*s) + float32(b*c)
	}
	copy(y[2*h:], x[2*h:])
}

func firstNaNAVX2(x []float32) int {
	n := len(x) &^ 7
	if i := a2IndexNaN(ptr(x), n); i < n {
		return i
	}
	if i := firstNaN(x[n:]); i >= 0 {
		return n + i
	}
	return -1
}

// indexAVX2 is the first index of v, which is in x.
func indexAVX2(x []float32, v float32) int {
	n := len(x) &^ 7
	i := a2Index(ptr(x), n, v)
	for x[i] != v {
		i++
	}
	return i
}

func argMaxAVX2(x []float32) int {
	n := len(x) &^ 7
	m, nan := a2Max(ptr(x), n)
	if nan == 0 && len(x) > n {
		v := maxRow(x[n:])
		if m = max(m, v); v != v {
			nan = 1
		}
	}
	switch {
	case len(x) == 0:
		return -1
	case nan != 0:
		return firstNaNAVX2(x)
	}
	return indexAVX2(x, m)
}

func argMinAVX2(x []float32) int {
	n := len(x) &^ 7
	m, nan := a2Min(ptr(x), n)
	if nan == 0 && len(x) > n {
		v := minRow(x[n:])
		if m = min(m, v); v != v {
			nan = 1
		}
	}
	switch {
	case len(x) == 0:
		return -1
	case nan != 0:
		return firstNaNAVX2(x)
	}
	return indexAVX2(x, m)
}

func maxAVX2(x []float32) float32 {
	if i := argMaxAVX2(x); i >= 0 {
		return x[i]
	}
	return -inf32
}

func minAVX2(x []float32) float32 {
	if i := argMinAVX2(x); i >= 0 {
		return x[i]
	}
	return inf32
}
