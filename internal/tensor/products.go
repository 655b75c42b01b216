package tensor

import (
	"errors"
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// AddMMOf is beta*c + alpha*(a @ b), in their common dtype.
func AddMMOf(c, a, b *Array, alpha, beta float64, s Stream) *Array {
	d := promote(promote(a.DType(), b.DType()), c.DType())
	wide := d
	if d.Size() == 2 && (alpha != 1 || beta != 1) { // rounded once
		a, wide = AsType(a, dtype.Float32, s), dtype.Float32
	}
	y := AsType(MatMulOf(a, b, s), wide, s)
	c = AsType(c, wide, s)
	t := BroadcastShapes("addmm", SpecOf(c).Shape, SpecOf(y).Shape)
	if !slices.Equal(t, SpecOf(y).Shape) {
		Throw("addmm", []Spec{SpecOf(c), SpecOf(a), SpecOf(b)}, "c cannot be broadcast to %v", SpecOf(y).Shape)
	}
	if alpha != 1 {
		y = s.mul(y, alpha)
	}
	if beta != 1 {
		c = s.mul(c, beta)
	}
	return AsType(s.add(c, y), d, s)
}

// InnerOf is the product over the last axes of both; with a scalar, the product.
func InnerOf(a, b *Array, s Stream) *Array {
	if a.NDim() == 0 || b.NDim() == 0 {
		return s.mul(a, b)
	}
	if a.Dim(-1) != b.Dim(-1) {
		Throw("inner", []Spec{SpecOf(a), SpecOf(b)}, "last axes differ")
	}
	return TensorDotOf(a, b, []int{a.NDim() - 1}, []int{b.NDim() - 1}, s)
}

// OuterOf is each element of a times each of b.
func OuterOf(a, b *Array, s Stream) *Array {
	return s.mul(ReshapeTo(a, []int{a.Size(), 1}, s), ReshapeTo(b, []int{b.Size()}, s))
}

// conjugate of a complex array; others are their own.
func conjugate(a *Array, s Stream) *Array {
	if a.DType() != dtype.Complex64 {
		return a
	}
	re := AsType(a, dtype.Float32, s)
	im := AsType(s.mul(a, complex64(-1i)), dtype.Float32, s)
	return s.sub(re, s.mul(im, complex64(1i)))
}

// VecDotOf is the sum of conj(a)*b along an axis of both; the others broadcast.
func VecDotOf(a, b *Array, axis int, s Stream) *Array {
	if a.NDim() != b.NDim() {
		Throw("vecdot", []Spec{SpecOf(a), SpecOf(b)}, "numbers of axes differ")
	}
	i := NormAxis("vecdot", axis, SpecOf(a).Shape)
	if a.Dim(i) != b.Dim(i) {
		Throw("vecdot", []Spec{SpecOf(a), SpecOf(b)}, "axis %d differs", i)
	}
	return ReduceOf(OpSum, s.mul(conjugate(a, s), b), []int{i}, false, s)
}

// TensorDotOf sums products over axes i of a and j of b, in this order: the other
// axes of a, then those of b.
func TensorDotOf(a, b *Array, i, j []int, s Stream) *Array {
	if len(i) != len(j) {
		Throw("tensordot", []Spec{SpecOf(a), SpecOf(b)}, "%d axes of one, %d of the other", len(i), len(j))
	}
	x, y := SpecOf(a).Shape, SpecOf(b).Shape
	NormAxes("tensordot", slices.Concat([]int{}, i), x) // not nil: none is not all
	NormAxes("tensordot", slices.Concat([]int{}, j), y)
	ca, cb := make([]int, len(i)), make([]int, len(j))
	k := 1
	for n := range i {
		ca[n], cb[n] = NormAxis("tensordot", i[n], x), NormAxis("tensordot", j[n], y)
		if x[ca[n]] != y[cb[n]] {
			Throw("tensordot", []Spec{SpecOf(a), SpecOf(b)}, "axes %d and %d differ", i[n], j[n])
		}
		k *= x[ca[n]]
	}
	fa, fb := others(len(x), ca), others(len(y), cb)
	var t Shape
	m, n := 1, 1
	for _, f := range fa {
		t, m = append(t, x[f]), m*x[f]
	}
	for _, f := range fb {
		t, n = append(t, y[f]), n*y[f]
	}
	left := ReshapeTo(TransposeTo(a, append(slices.Clone(fa), ca...), s), []int{m, k}, s)
	right := ReshapeTo(TransposeTo(b, append(cb, fb...), s), []int{k, n}, s)
	return ReshapeTo(MatMulOf(left, right, s), t, s)
}

// others are the axes below n that are not in the list.
func others(n int, axes []int) (rest []int) {
	for i := range n {
		if !slices.Contains(axes, i) {
			rest = append(rest, i)
		}
	}
	return rest
}

// TensorDotN is TensorDotOf over the last n axes of a and the first n of b.
func TensorDotN(a, b *Array, n int, s Stream) *Array {
	if n < 0 || n > min(a.NDim(), b.NDim()) {
		Throw("tensordot", []Spec{SpecOf(a), SpecOf(b)}, "they do not both have %d axes", n)
	}
	i, j := make([]int, n), make([]int, n)
	for k := range n {
		i[k], j[k] = a.NDim()-n+k, k
	}
	return TensorDotOf(a, b, i, j, s)
}

// maskBlocks multiplies the last two axes of a by a mask with an element for each
// block; a bool mask picks. A nil mask is all ones.
func maskBlocks(a, mask *Array, block int, s Stream) *Array {
	if mask == nil {
		return a
	}
	r, c := a.Dim(-2), a.Dim(-1)
	rows, cols := (r+block-1)/block, (c+block-1)/block
	if mask.NDim() < 2 || mask.Dim(-2) != rows || mask.Dim(-1) != cols {
		Throw("block_masked_mm", []Spec{SpecOf(a), SpecOf(mask)}, "the mask needs last axes %v", Shape{rows, cols})
	}
	wide := RepeatOf(RepeatOf(mask, block, -2, s), block, -1, s)
	wide = SliceAxis(SliceAxis(wide, -2, 0, r, s), -1, 0, c, s)
	if mask.DType() == dtype.Bool {
		return s.pick(wide, a)
	}
	return s.mul(a, AsType(wide, a.DType(), s))
}

// BlockMaskedMM is (a with maskLHS) @ (b with maskRHS), with maskOut; blocks have
// 32 or 64 rows and columns.
func BlockMaskedMM(a, b *Array, block int, maskOut, maskLHS, maskRHS *Array, s Stream) *Array {
	if block != 32 && block != 64 {
		Throw("block_masked_mm", nil, "block size %d is not 32 or 64", block)
	}
	if a.NDim() < 2 || b.NDim() < 2 {
		Throw("block_masked_mm", []Spec{SpecOf(a), SpecOf(b)}, "needs matrices")
	}
	y := MatMulOf(maskBlocks(a, maskLHS, block, s), maskBlocks(b, maskRHS, block, s), s)
	return maskBlocks(y, maskOut, block, s)
}

// GatherMMOf is the products of matrices of a and b that are picked by indices into
// their flattened batch axes; nil indices pick all. The indices broadcast.
func GatherMMOf(a, b, lhs, rhs *Array, s Stream) *Array {
	if lhs == nil && rhs == nil {
		return MatMulOf(a, b, s)
	}
	if a.NDim() < 2 || b.NDim() < 2 {
		Throw("gather_mm", []Spec{SpecOf(a), SpecOf(b)}, "needs matrices")
	}
	la, lb := batchIndices(a, lhs, s), batchIndices(b, rhs, s)
	both := BroadcastAll("gather_mm", []*Array{la, lb}, s)
	take := func(x, at *Array) *Array {
		sh := SpecOf(x).Shape
		n := len(sh)
		return TakeRows(ReshapeTo(x, []int{sh[:n-2].Size(), sh[n-2], sh[n-1]}, s), at, s)
	}
	return MatMulOf(take(a, both[0]), take(b, both[1]), s)
}

// batchIndices are the indices, or those of all matrices.
func batchIndices(x, at *Array, s Stream) *Array {
	batch := SpecOf(x).Shape[:x.NDim()-2]
	if at == nil {
		n := batch.Size()
		return ReshapeTo(Apply1(Arange{Step: MakeF64(1), N: n, DType: dtype.Uint32}, s), batch, s)
	}
	if !at.DType().Is(dtype.Integer) {
		Throw("gather_mm", []Spec{SpecOf(at)}, "indices are not integers")
	}
	return at
}

// SegmentedMM is a product a [M, K] @ b [K, N] for each segment [start, end) of K:
// segments [..., 2] gives [..., M, N].
type SegmentedMM struct{}

// Name is the op's name.
func (SegmentedMM) Name() string { return "segmented_mm" }

// Infer checks the axes.
func (SegmentedMM) Infer(in []Spec) ([]Spec, error) {
	a, b, g := in[0], in[1], in[2]
	n := len(g.Shape)
	switch {
	case len(a.Shape) != 2 || len(b.Shape) != 2 || a.Shape[1] != b.Shape[0]:
		return nil, errors.New("needs matrices [M, K] and [K, N]")
	case a.DType != b.DType || !a.DType.Is(dtype.Inexact):
		return nil, errors.New("needs floating matrices of one dtype")
	case n == 0 || g.Shape[n-1] != 2 || !g.DType.Is(dtype.Integer):
		return nil, errors.New("needs integer segments [..., 2]")
	}
	return []Spec{{append(slices.Clone(g.Shape[:n-1]), a.Shape[0], b.Shape[1]), a.DType}}, nil
}

// Fallback masks K for each segment.
func (SegmentedMM) Fallback(s Stream, in []*Array) []*Array {
	a, b, g := in[0], in[1], AsType(in[2], dtype.Int64, s)
	k := Apply1(Arange{Step: MakeF64(1), N: a.Dim(1), DType: dtype.Int64}, s)
	n := g.NDim() - 1
	inside := BinaryOf(OpLogicalAnd, s.is(OpGreaterEqual, k, SliceAxis(g, n, 0, 1, s)),
		s.is(OpLess, k, SliceAxis(g, n, 1, 2, s)), s)
	return []*Array{MatMulOf(s.pick(ExpandDims(inside, []int{-2}, s), a), b, s)}
}

// Vmap maps the segments; mapped matrices go through masks.
func (p SegmentedMM) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	if axes[0] == Unmapped && axes[1] == Unmapped {
		return front(Apply1(p, s, in[0], in[1], MoveAxis(in[2], axes[2], 0, s)))
	}
	all := AllInFront(in, axes, s)
	n := all[0].Dim(0)
	out := make([]*Array, n)
	for i := range out {
		var part [3]*Array
		for j, x := range all {
			part[j] = ReshapeTo(SliceAxis(x, 0, i, i+1, s), SpecOf(x).Shape[1:], s)
		}
		out[i] = Apply1(p, s, part[:]...)
	}
	if n == 0 {
		spec, _ := p.Infer([]Spec{SpecOf(in[0]), SpecOf(in[1]), SpecOf(in[2])})
		return front(fit(FloatScalar(0, all[0].DType(), s), append(Shape{0}, spec[0].Shape...), s))
	}
	return front(StackOf(out, 0, s))
}

// SegmentedMMOf promotes a and b.
func SegmentedMMOf(a, b, segments *Array, s Stream) *Array {
	d := promote(a.DType(), b.DType())
	return Apply1(SegmentedMM{}, s, AsType(a, d, s), AsType(b, d, s), segments)
}

// ---- the Hadamard transform ----

// HadamardOf multiplies the last axis, of size m*2^k with m 1, 12, 20 or 28, by the
// Hadamard matrix and a scale; scale 0 stands for 1/sqrt of the size.
func HadamardOf(a *Array, scale float64, s Stream) *Array {
	if a.NDim() == 0 {
		Throw("hadamard_transform", []Spec{SpecOf(a)}, "a scalar has no axis")
	}
	n, m := a.Dim(-1), 1
	k := n
	for _, f := range []int{12, 20, 28} {
		if n > 0 && n%f == 0 && (n/f)&(n/f-1) == 0 {
			m, k = f, n/f
		}
	}
	if n == 0 || k&(k-1) != 0 {
		Throw("hadamard_transform", []Spec{SpecOf(a)}, "size %d is not m*2^k with m 1, 12, 20 or 28", n)
	}
	if scale == 0 {
		scale = 1 / math.Sqrt(float64(n))
	}
	d := dtype.AtLeastFloat(a.DType())
	x := AsType(a, d, s)
	if d.Size() == 2 {
		x = AsType(x, dtype.Float32, s)
	}
	var factors []int // n as a product of sizes of matrices
	if m > 1 {
		factors = append(factors, m)
	}
	for ; k > 64; k /= 64 {
		factors = append(factors, 64)
	}
	factors = append(factors, k)
	x = ReshapeTo(x, []int{a.Size() / n, n}, s)
	for i, f := range factors { // each works on its own axis
		after := 1
		for _, g := range factors[i+1:] {
			after *= g
		}
		h := hadamardMatrix(f, x.DType(), s)
		if after == 1 {
			x = MatMulOf(ReshapeTo(x, []int{-1, f}, s), SwapAxes(h, 0, 1, s), s)
		} else {
			x = MatMulOf(h, ReshapeTo(x, []int{-1, f, after}, s), s)
		}
	}
	return AsType(s.mul(ReshapeTo(x, SpecOf(a).Shape, s), scale), d, s)
}
