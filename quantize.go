package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/quant"
)

// Scheme is how a matrix is quantized. Zero fields stand for MLX's defaults: mode
// affine, group size 64 and 4 bits (mxfp4: 32, 4; mxfp8: 32, 8; nvfp4: 16, 4). As
// an argument it is group_size=, bits= and mode= at once.
type Scheme = quant.Scheme

// Quantized is a quantized matrix: MLX's (w, scales, biases) with how to read
// them, so that the three and their scheme cannot be mixed up. Build it with
// [Quantize] or as a literal from loaded arrays.
type Quantized struct {
	Weight *Array // packed, uint32
	Scales *Array
	Biases *Array // affine only
	Scheme Scheme `mlx:"-"`
}

func scheme(op string, opts []opt.Quant) (s Scheme, d DType, hasDType bool, st Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForQuant(&set)
	}
	s = Scheme{GroupSize: set.GroupSize, Bits: set.Bits, Mode: Mode(set.Mode), Rounding: Rounding(set.Rounding)}
	return s, DType(set.DType), set.HasDType, streamOf(op, &set)
}

// Quantize is mx.quantize(w, group_size, bits, mode): w has at least two axes, is
// floating, and its last axis is divisible by the group size. A [Rounding] chooses
// between MLX's two quantizers.
func Quantize(w *Array, opts ...QuantOption) Quantized {
	s, _, _, st := scheme("quantize", opts)
	out := quant.QuantizeOf(w, s, st)
	s, _ = s.Resolve()
	q := Quantized{Weight: out[0], Scales: out[1], Scheme: s}
	if len(out) == 3 {
		q.Biases = out[2]
	}
	return q
}

// Dequantize is mx.dequantize: an approximation of what was quantized. The dtype
// is that of the scales, bfloat16 for modes with 8-bit scales, or the [DType] that
// is given.
func Dequantize(q Quantized, opts ...QuantOption) *Array {
	_, d, has, st := scheme("dequantize", opts)
	if !has {
		d = BFloat16
		if q.Biases != nil {
			d = q.Scales.DType()
		}
	}
	return quant.DequantizeOf(q.Weight, q.Scales, q.Biases, q.Scheme, d, st)
}

// QuantizedMatMul is mx.quantized_matmul: x @ w.T, or x @ w with
// [TransposeRHS](false), on the packed words.
func QuantizedMatMul(x *Array, q Quantized, opts ...GatherOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForGather(&set)
	}
	p := quant.MatMul{Scheme: q.Scheme, Transpose: !set.NoTranspose, Round: set.Round, Halve: set.RoundWeights}
	return quant.MatMulOf(x, q.Weight, q.Scales, q.Biases, p, streamOf("quantized_matmul", &set))
}

// GatherQMM is mx.gather_qmm(x, w, ..., lhs_indices, rhs_indices): x [..., M, K] times the
// packed matrices [..., N, K] of q, one product for each pair of integer indices into their
// flattened batch axes. Indices broadcast; nil picks all. The result is [indices..., M, N];
// with [TransposeRHS](false) the matrices are [..., K, N].
func GatherQMM(x *Array, q Quantized, lhs, rhs *Array, opts ...GatherOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForGather(&set)
	}
	return quant.GatherOf(x, q.Weight, q.Scales, q.Biases, lhs, rhs, gathering(q.Scheme, &set), streamOf("gather_qmm", &set))
}

func gathering(s Scheme, set *opt.Set) quant.GatherMatMul {
	return quant.GatherMatMul{Scheme: s, Transpose: !set.NoTranspose, Sorted: set.SortedIndices}
}

// QQMM is mx.qqmm: x @ w.T where x [..., K] is quantized as w [N, K] is, mode "nvfp4" or
// "mxfp8". The product is accumulated in float32 and has x's dtype. The gradient of x is
// that of the product without the rounding.
func QQMM(x *Array, q Quantized, opts ...StreamOrDevice) *Array {
	s := on("qqmm", opts)
	return quant.MatMulOf(quant.RoundedOf("qqmm", x, q.Scheme, s), q.Weight, q.Scales, q.Biases, quant.MatMul{Scheme: q.Scheme, Transpose: true}, s)
}

// GatherQQMM is mx.gather_qqmm: [GatherQMM] with x quantized as in [QQMM].
func GatherQQMM(x *Array, q Quantized, lhs, rhs *Array, opts ...GatherOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForGather(&set)
	}
	s := streamOf("gather_qqmm", &set)
	x = quant.RoundedOf("gather_qqmm", x, q.Scheme, s)
	return quant.GatherOf(x, q.Weight, q.Scales, q.Biases, lhs, rhs, gathering(q.Scheme, &set), s)
}
