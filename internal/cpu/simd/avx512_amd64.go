//go:build amd64 && !purego && !race

package simd

import (
	"unsafe"

	"golang.org/x/sys/cpu"
)

// The avx512 tier: Ice Lake and Zen 4 or later. Its products are dots of float32
// weights by fused multiply-add, see gen/main.go; entries without a kernel are
// the pure ones. x/sys/cpu reports AVX-512 only where XCR0 says that the system
// saves its registers.

func init() {
	amx := tier{"amx", func() bool { return hasAMX() }, amxTable}
	tiers = append([]tier{amx, {"avx512", hasAVX512, avx512Table}}, tiers...)
}

func hasAVX512() bool {
	x := &cpu.X86
	return x.HasAVX512F && x.HasAVX512BW && x.HasAVX512DQ && x.HasAVX512VL && x.HasAVX512VBMI && x.HasAVX512VNNI && x.HasFMA && x.HasAVX2
}

// fastBF16 says whether bfloat16 dot products pay. Intel's run at half the rate
// of float32 FMA, AMD's at twice; a list by vendor, since a measurement at start
// would let noise choose the bits of a result.
var fastBF16 = cpu.X86.HasAVX512BF16 && vendor() == "AuthenticAMD"

// amxTable is the avx512 tier with products of 16 rows and more on tiles, where
// activations may be rounded or are bfloat16.
func amxTable() Table {
	t := avx512Table()
	t.Name = "amx"
	t.QPlan, t.PlansDense, t.QPlanAcross = qPlanAMX, plansDenseAMX, qPlanAcrossAMX
	return t
}

func avx512Table() Table {
	t := pureTable()
	t.Name = "avx512"
	t.F16ToF32, t.F32ToF16 = f16ToF32AVX512, f32ToF16AVX512
	t.BF16ToF32, t.F32ToBF16 = bf16ToF32AVX512, f32ToBF16AVX512
	t.Load, t.Store, t.Round = loadAVX512, storeAVX512, roundAVX512
	t.Dot, t.Sum = dotAVX512, sumAVX512
	t.GemmNT, t.GemmNN = gemmNTAVX512, gemmNNAVX512
	t.PlansDense, t.QPlanAcross = plansDense, qPlanAcrossAVX512
	t.QPlan, t.QPrep, t.QGemmNT = qPlanAVX512, qPrepAVX512, qGemmNTAVX512
	t.QScratchLen = qScratchLenAVX512
	t.RMSNorm, t.Softmax = rmsNormAVX512, softmaxAVX512
	t.LayerNorm, t.LogSumExp = layerNormAVX512, logSumExpAVX512
	t.ArgMax, t.ArgMin, t.Max, t.Min, t.FirstNaN = argMaxAVX512, argMinAVX512, maxAVX512, minAVX512, firstNaNAVX512
	t.Rope, t.RopeTable, t.RopePeriods = ropeAVX512, ropeTableAVX512, ropePeriodsAVX512
	t.DequantRow, t.QuantizeRow, t.QGemmNN = dequantRowAVX512, quantizeRowAVX512, qGemmNNAVX512
	t.AttendPartScratchLen, t.AttendPart = attendPartScratchLenAVX512, attendPartAVX512
	for op, f := range unaryKernels {
		t.Unary[op] = func(y, x []float32) { unaryAVX512(f, y, x) }
	}
	t.Unary[Sin] = func(y, x []float32) { angles(y, x, sinF32, pureUnary[Sin]) }
	t.Unary[Cos] = func(y, x []float32) { angles(y, x, cosF32, pureUnary[Cos]) }
	for op, f := range binaryKernels {
		t.Binary[op] = func(y, a, b []float32) { binaryAVX512(f, y, a, b) }
	}
	t.MaxRows = func(y, x []float32, ld int) { rowsAVX512(rowsMaxF32, y, x, ld) }
	t.MinRows = func(y, x []float32, ld int) { rowsAVX512(rowsMinF32, y, x, ld) }
	t.SwiGLU = func(y, a, b []float32) { binaryAVX512(swigluF32, y, a, b) }
	t.Axpy = axpyAVX512
	return t
}

var unaryKernels = map[UnaryOp]func(y, x *float32, n int){
	Neg: negF32, Abs: absF32, Sign: signF32, Square: squareF32, Sqrt: sqrtF32, Rsqrt: rsqrtF32, Reciprocal: reciprocalF32,
	Floor: floorF32, Ceil: ceilF32, Trunc: truncF32, Rint: rintF32,
	Exp: expF32, Expm1: expm1F32, Log: logF32, Log1p: log1pF32, Log2: log2F32, Log10: log10F32,
	Tanh: tanhF32, Sigmoid: sigmoidF32, SiLU: siluF32, Erf: erfF32, ErfInv: erfinvF32,
}

var binaryKernels = map[BinaryOp]func(y, a, b *float32, n int){
	Add: vecAddF32, Sub: vecSubF32, Mul: vecMulF32, Div: vecDivF32, Maximum: vecMaxF32, Minimum: vecMinF32,
}

// ptr is the address of the first element, for kernels that know the length.
func ptr[T any](x []T) *T { return unsafe.SliceData(x) }

func unaryAVX512(f func(y, x *float32, n int), y, x []float32) {
	f(ptr(y), ptr(x[:len(y)]), len(y))
}

func binaryAVX512(f func(y, a, b *float32, n int), y, a, b []float32) {
	f(ptr(y), ptr(a[:len(y)]), ptr(b[:len(y)]), len(y))
}

func rowsAVX512(f func(y, x *float32, ld, n int), y, x []float32, ld int) {
	f(ptr(y), ptr(x[:3*ld+len(y)]), 4*ld, len(y))
}

func f16ToF32AVX512(dst []float32, src []uint16)  { cvtF16(ptr(dst[:len(src)]), ptr(src), len(src)) }
func bf16ToF32AVX512(dst []float32, src []uint16) { cvtBF16(ptr(dst[:len(src)]), ptr(src), len(src)) }
func f32ToF16AVX512(dst []uint16, src []float32)  { toF16(ptr(dst[:len(src)]), ptr(src), len(src)) }
func f32ToBF16AVX512(dst []uint16, src []float32) { toBF16(ptr(dst[:len(src)]), ptr(src), len(src)) }

func loadAVX512(dst []float32, src Raw) {
	switch src.Elem {
	case F16:
		f16ToF32AVX512(dst, Uint16s(src.Data)[:len(dst)])
	case BF16:
		bf16ToF32AVX512(dst, Uint16s(src.Data)[:len(dst)])
	default:
		load(dst, src)
	}
}

func storeAVX512(dst Raw, src []float32) {
	switch dst.Elem {
	case F16:
		f32ToF16AVX512(Uint16s(dst.Data), src)
	case BF16:
		f32ToBF16AVX512(Uint16s(dst.Data), src)
	default:
		store(dst, src)
	}
}

func roundAVX512(x []float32, t Elem) {
	switch t {
	case F16:
		roundF16(ptr(x), ptr(x), len(x))
	case BF16:
		roundBF16(ptr(x), ptr(x), len(x))
	}
}

func sumAVX512(x []float32) float32 { return sumF32(ptr(x), len(x)) }

func axpyAVX512(y []float32, a float32, x []float32) {
	axpyF32(ptr(y), ptr(x[:len(y)]), len(y), a)
}

func dotAVX512(x, y []float32) float32 {
	y = y[:len(x)]
	var r float32
	dotF32x1x1(&r, 0, 0, ptr(x), 0, (*byte)(unsafe.Pointer(ptr(y))), 0, len(x))
	return r
}

func rmsNormAVX512(y, x []float32, w Raw, eps float32, t Elem) {
	y = y[:len(x)]
	n := rsqrt(dotAVX512(x, x)/float32(len(x)) + eps)
	scaleF32(ptr(y), ptr(x), len(x), n)
	roundAVX512(y, t)
	if len(w.Data) == 0 {
		return
	}
	mulRawAVX512(y, w)
}

// softmaxAVX512: a NaN that MAX loses is met again by exp, and the sum is NaN.
func softmaxAVX512(y, x []float32) {
	if len(x) == 0 {
		return
	}
	y = y[:len(x)]
	expSubF32(ptr(y), ptr(x), len(x), maxF32(ptr(x), len(x)))
	scaleF32(ptr(y), ptr(y), len(y), 1/sumF32(ptr(y), len(y)))
}
