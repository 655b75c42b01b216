package tensor

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
)

// MatMul is [..., M, K] @ [..., K, N] over equal batch axes. The dtypes may
// differ: kernels read each input in its own and compute in float32, so that
// half weights never need a wide copy.
type MatMul struct{}

// Take gathers rows: table [V, ...] and integer ids give [ids..., ...]. Negative
// ids count from the end.
type Take struct{}

// Name is the op's name.
func (MatMul) Name() string { return "matmul" }
func (Take) Name() string   { return "take" }

// Infer checks the axes.
func (MatMul) Infer(in []Spec) ([]Spec, error) {
	a, b := in[0].Shape, in[1].Shape
	n := len(a)
	if n < 2 || len(b) != n {
		return nil, errors.New("needs inputs of equal rank, at least 2")
	}
	if a[n-1] != b[n-2] {
		return nil, fmt.Errorf("inner dimensions differ (%d, %d)", a[n-1], b[n-2])
	}
	if !slices.Equal(a[:n-2], b[:n-2]) {
		return nil, errors.New("batch axes differ")
	}
	if !in[0].DType.Is(dtype.Inexact) || !in[1].DType.Is(dtype.Inexact) {
		return nil, errors.New("needs floating inputs; convert integers with AsType")
	}
	s := slices.Clone(a)
	s[n-1] = b[n-1]
	return []Spec{{s, promote(in[0].DType, in[1].DType)}}, nil
}

// Infer joins the shapes.
func (Take) Infer(in []Spec) ([]Spec, error) {
	if len(in[0].Shape) == 0 {
		return nil, errors.New("a scalar has nothing to take")
	}
	if !in[1].DType.Is(dtype.Integer) {
		return nil, fmt.Errorf("indices are integers, not %v", in[1].DType)
	}
	if in[0].Shape[0] == 0 && in[1].Shape.Size() > 0 {
		return nil, errors.New("cannot take from an empty axis")
	}
	return []Spec{{append(slices.Clone(in[1].Shape), in[0].Shape[1:]...), in[0].DType}}, nil
}

// MatMulOf is the matrix product as numpy's: vectors are rows or columns, batch
// axes broadcast, and a matrix on the right folds the batch of the left.
func MatMulOf(a, b *Array, s Stream) *Array {
	if a.NDim() == 0 || b.NDim() == 0 {
		Throw("matmul", []Spec{SpecOf(a), SpecOf(b)}, "a scalar has no axes")
	}
	if d := promote(a.DType(), b.DType()); d.Is(dtype.Inexact) { // integers take the common type; halves stay
		a, b = inexact(a, d, s), inexact(b, d, s)
	}
	row, col := a.NDim() == 1, b.NDim() == 1
	if row {
		a = ExpandDims(a, []int{0}, s)
	}
	if col {
		b = ExpandDims(b, []int{1}, s)
	}
	out := matmulBatch(a, b, s)
	switch {
	case row && col:
		return ReshapeTo(out, nil, s)
	case row:
		return Squeeze(out, []int{-2}, s)
	case col:
		return Squeeze(out, []int{-1}, s)
	}
	return out
}

func inexact(a *Array, d DType, s Stream) *Array {
	if a.DType().Is(dtype.Inexact) {
		return a
	}
	return AsType(a, d, s)
}

func matmulBatch(a, b *Array, s Stream) *Array {
	x, y := SpecOf(a).Shape, SpecOf(b).Shape
	n, m := len(x), len(y)
	if m == 2 && n > 2 {
		if x[n-1] != y[0] {
			Throw("matmul", []Spec{SpecOf(a), SpecOf(b)}, "inner dimensions differ (%d, %d)", x[n-1], y[0])
		}
		out := Apply1(MatMul{}, s, ReshapeTo(a, []int{x[:n-1].Size(), x[n-1]}, s), b)
		return ReshapeTo(out, append(slices.Clone(x[:n-1]), y[1]), s)
	}
	if !canBroadcast(x[:n-2], y[:m-2]) {
		Throw("matmul", []Spec{SpecOf(a), SpecOf(b)}, "batch axes %v and %v cannot be broadcast", x[:n-2], y[:m-2])
	}
	batch := BroadcastShapes("matmul", x[:n-2], y[:m-2])
	a = fit(a, append(slices.Clone(batch), x[n-2:]...), s)
	b = fit(b, append(slices.Clone(batch), y[m-2:]...), s)
	return Apply1(MatMul{}, s, a, b)
}
