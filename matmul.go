package mlx

import (
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Matrix products take floating or complex arrays; integers beside them are
// converted, integers alone are an error.

// AddMM is mx.addmm: beta*c + alpha*(a @ b); c is broadcast to the product.
func AddMM(c, a, b *Array, opts ...AddMMOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForAddMM(&set)
	}
	alpha, beta := 1.0, 1.0
	if set.Alpha != nil {
		alpha = *set.Alpha
	}
	if set.Beta != nil {
		beta = *set.Beta
	}
	return tensor.AddMMOf(c, a, b, alpha, beta, streamOf("addmm", &set))
}

// Inner is mx.inner: the sum of products over the last axes.
func Inner(a, b *Array, opts ...StreamOrDevice) *Array {
	return tensor.InnerOf(a, b, on("inner", opts))
}

// Outer is mx.outer: [M, N] of the elements of a and b, of any dtype.
func Outer(a, b *Array, opts ...StreamOrDevice) *Array {
	return tensor.OuterOf(a, b, on("outer", opts))
}

// VecDot is mx.vecdot: the sum of conj(a)*b along an axis of both, the last unless
// given. They have equally many axes; the others broadcast.
func VecDot(a, b *Array, opts ...AxisOption) *Array {
	axis, s := lastAxisOf("vecdot", opts)
	return tensor.VecDotOf(a, b, axis, s)
}

// TensorDot is mx.tensordot: over the last n axes of a and the first n of b, or the
// given ones of each; MLX's default is 2.
func TensorDot[A int | [2][]int](a, b *Array, axes A, opts ...StreamOrDevice) *Array {
	s := on("tensordot", opts)
	if n, ok := any(axes).(int); ok {
		return tensor.TensorDotN(a, b, n, s)
	}
	both := any(axes).([2][]int)
	return tensor.TensorDotOf(a, b, both[0], both[1], s)
}

// Einsum is mx.einsum: "ij,jk->ik". Without an arrow the result has the labels that
// occur once, in alphabetical order. A label twice in a term takes the diagonal;
// "..." stands for axes that broadcast.
func Einsum(subscripts string, operands Arrays, opts ...StreamOrDevice) *Array {
	return tensor.EinsumOf(subscripts, operands, on("einsum", opts))
}

// EinsumPath is mx.einsum_path: the pairs that [Einsum] contracts in turn, by place
// in the list of what is left (a result goes to its end), found greedily; and a text
// about them.
func EinsumPath(subscripts string, operands Arrays) (path [][]int, report string) {
	return tensor.EinsumPathOf(subscripts, operands)
}

// BlockMaskedMM is mx.block_masked_mm: a @ b, where masks with an element for each
// block of blockSize (64 or 32) rows and columns multiply a, b and the result, or
// pick if they are bool. A mask may be nil.
func BlockMaskedMM(a, b *Array, blockSize int, maskOut, maskLHS, maskRHS *Array, opts ...StreamOrDevice) *Array {
	return tensor.BlockMaskedMM(a, b, blockSize, maskOut, maskLHS, maskRHS, on("block_masked_mm", opts))
}

// GatherMM is mx.gather_mm(a, b, lhs_indices, rhs_indices): products of the matrices
// that integer indices pick from the flattened batch axes; indices broadcast, nil
// picks all.
func GatherMM(a, b, lhs, rhs *Array, opts ...GatherMMOption) *Array {
	var set opt.Set
	for _, o := range opts {
		o.ForGatherMM(&set)
	}
	return tensor.GatherMMOf(a, b, lhs, rhs, streamOf("gather_mm", &set))
}

// SegmentedMM is mx.segmented_mm: for a [M, K], b [K, N] and segments [..., 2], one
// product over each [start, end) of K: [..., M, N]. A segment outside is an error of
// [Eval].
func SegmentedMM(a, b, segments *Array, opts ...StreamOrDevice) *Array {
	return tensor.SegmentedMMOf(a, b, segments, on("segmented_mm", opts))
}

// HadamardTransform is mx.hadamard_transform of the last axis, of size m*2^k with m
// 1, 12, 20 or 28; scale 0 stands for 1/sqrt(size). Integers give float32.
func HadamardTransform(x *Array, scale float64, opts ...StreamOrDevice) *Array {
	return tensor.HadamardOf(x, scale, on("hadamard_transform", opts))
}
