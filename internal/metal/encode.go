package metal

import (
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
	"github.com/mlxgo/mlx/internal/tensor/fft"
	"github.com/mlxgo/mlx/internal/tensor/linalg"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

// maxSize is how many elements an array may have here: indices are 32-bit numbers.
const maxSize = 1<<31 - 1

// Accepts says which layouts the kernels read in place; Metal wants elements aligned.
func (*backend) Accepts(p tensor.Primitive, i int, v View) bool {
	if v.Shape.Size() > maxSize {
		return true // it goes to the CPU, which may read it in place
	}
	if !aligned(&v) {
		_, copies := p.(tensor.Contiguous)
		return copies
	}
	switch p := p.(type) {
	// copy.go
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Packed, tensor.Broadcast, tensor.Transpose, tensor.Slice,
		tensor.Pad, tensor.Concatenate:
		return true
	// elementwise.go
	case tensor.Fused, tensor.Unary, tensor.Binary, tensor.Select, tensor.Cast, tensor.SwiGLU, tensor.GELU, tensor.GateVJP:
		return true
	// random.go
	case random.InverseCDF:
		return i == 0 || v.Contiguous()
	// reduce.go, rows.go, norm.go, rope.go
	case tensor.Reduce, tensor.ArgReduce:
		return true
	case tensor.Softmax, tensor.LogSumExp:
		return rowsPacked(&v)
	case fast.RMSNorm, fast.LayerNorm:
		return i == 0 && rowsPacked(&v) || v.Contiguous()
	case fast.NormVJP:
		return !(p.Weight && i == 1) && rowsPacked(&v) || v.Contiguous()
	case fast.RoPE:
		return i == 0 || v.Contiguous()
	// scan.go, sort.go
	case tensor.Scan, tensor.Sort, tensor.ArgSort:
		return true
	// fft.go
	case fft.Complex, fft.Real, fft.Half:
		return true
	case tensor.Permute:
		return i == 0 || v.Contiguous()
	// matmul.go
	case tensor.MatMul:
		_, ok := matrixOf(&v)
		return ok
	// take.go, cache.go, attention.go
	case tensor.Take:
		return i == 0 && v.RowsContiguous() || v.Contiguous()
	case fast.CacheWrite:
		return i == 1 && rowsPacked(&v) || v.Contiguous()
	case fast.Attention:
		return acceptsAttention(p, i, &v)
	// gather.go, scatter.go
	case tensor.Gather, tensor.Scatter, tensor.GatherAxis, tensor.ScatterAxis, tensor.SliceUpdate:
		return true
	// attention_vjp.go
	case fast.AttentionVJP:
		return acceptsAttentionVJP(p, i, &v)
	// custom.go
	case fast.Custom:
		return acceptsCustom(p, &v)
	}
	return v.Contiguous()
}

// encode picks the kernels: the table of contents of this package. Results are
// row-major.
func encode(e *encoder, p tensor.Primitive, in, out []View) error {
	switch p := p.(type) {
	// copy.go
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Packed:
		return copyView(e, &in[0], &out[0])
	case tensor.Bitcast:
		return copyRows(e, &in[0], &out[0])
	case tensor.Broadcast, tensor.Transpose, tensor.Slice, tensor.AsStrided:
		return viewOp(e, p.(tensor.Viewer), in, out)
	case tensor.Pad:
		return padOp(e, p, in, out)
	case tensor.Concatenate:
		return concatenateOp(e, p, in, out)
	case tensor.Const:
		return constOp(e, p, out)
	case tensor.Arange:
		return arangeOp(e, p, out)

	// elementwise.go
	case tensor.Fused, tensor.Unary, tensor.Binary, tensor.Select, tensor.Cast, tensor.SwiGLU, tensor.GELU, tensor.GateVJP:
		return mapOp(e, p, in, out)

	// random.go
	case random.Bits:
		return bitsOp(e, p, in, out)
	case random.InverseCDF:
		return inverseCDF(e, in, out)

	// matmul.go
	case tensor.MatMul:
		return matmul(e, in, out)

	// quant.go
	case quant.MatMul:
		return quantMatMul(e, p, in, out)
	case quant.GatherMatMul:
		return gatherQuantMatMul(e, p, in, out)
	case quant.Quantize:
		return quantize(e, p, in, out)
	case quant.Dequantize:
		return dequantize(e, p, in, out)
	case fast.Unpack:
		affine := quant.Scheme{Mode: quant.Affine, Bits: p.Bits, GroupSize: p.Group}
		return dequantize(e, quant.Dequantize{Scheme: affine, To: out[0].DType}, in, out)

	// take.go, cache.go, attention.go
	case tensor.Take:
		return takeOp(e, in, out)
	case fast.CacheWrite:
		return cacheWrite(e, p, in, out)
	case fast.CacheRead:
		return cacheRead(e, p, in, out)
	case fast.RingMask:
		return ringMask(e, p, in, out)
	case fast.Attention:
		return attend(e, p, in, out)

	// gather.go, scatter.go
	case tensor.Gather:
		return gather(e, p, in, out)
	case tensor.GatherAxis:
		return gatherAxis(e, p, in, out)
	case tensor.Scatter:
		return scatter(e, p, in, out)
	case tensor.ScatterAxis:
		return scatterAxis(e, p, in, out)
	case tensor.SliceUpdate:
		return sliceUpdate(e, p, in, out)

	// attention_vjp.go
	case fast.AttentionVJP:
		return attentionVJPOp(e, p, in, out)

	// conv.go, segments.go
	case tensor.Conv:
		return conv(e, p, in, out)
	case tensor.SegmentedMM:
		return segmentedMM(e, in, out)

	// fft.go
	case fft.Complex, fft.Real, fft.Half:
		return transformRows(e, p, in, out)

	// custom.go
	case fast.Custom:
		return customKernel(e, p, in, out)
	}
	return encodeRows(e, p, in, out)
}

// encodeRows is encode for what works along axes.
func encodeRows(e *encoder, p tensor.Primitive, in, out []View) error {
	switch p := p.(type) {
	// reduce.go, rows.go, norm.go, rope.go
	case tensor.Reduce:
		return reduce(e, p, in, out)
	case tensor.ArgReduce:
		return argReduce(e, p, in, out)
	case tensor.Softmax:
		return softmax(e, "softmax", in, out)
	case tensor.LogSumExp:
		return softmax(e, "logsumexp", in, out)
	case fast.RMSNorm:
		return rmsNorm(e, p, in, out)
	case fast.LayerNorm:
		return layerNorm(e, p, in, out)
	case fast.NormVJP:
		return normVJP(e, p, in, out)
	case fast.RoPE:
		return rope(e, p, in, out)

	// scan.go, sort.go
	case tensor.Scan:
		return scan(e, p, in, out)
	case tensor.LinearScan:
		return linearScan(e, p, in, out)
	case tensor.Sort:
		return sortRows(e, in, out, sortedValues)
	case tensor.ArgSort:
		return argSort(e, in, out)
	case tensor.Permute:
		return permuteRows(e, &in[0], e.in(&in[1]), &out[0])
	case tensor.SearchSorted:
		return searchSorted(e, p, in, out)
	}
	return encodeNone(p)
}

// encodeNone is the reason for what has no kernels.
func encodeNone(p tensor.Primitive) error {
	switch p.(type) {
	case linalg.QR, linalg.SVD, linalg.Inverse, linalg.TriangularInverse, linalg.PseudoInverse, linalg.Cholesky,
		linalg.Eig, linalg.Eigh, linalg.LU, linalg.Solve, linalg.SolveTriangular, linalg.Determinant:
		return noKernel("decompositions: steps that wait for each other are the CPU's, in MLX too")
	}
	return noKernel("%s", p.Name())
}
