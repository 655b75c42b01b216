package linalg

import (
	"math"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A Norm says which one: by default the Euclidean or Frobenius norm.
type Norm struct {
	Ord  any   // float64, of a vector or a matrix; or of a matrix "fro", "f" or "nuc"
	Axes []int // one, or the two of a matrix; nil stands for all
	Keep bool
}

// Of is the norm of a. That of integers is float32, and so is that of complex numbers. Halves
// are summed in float32.
func (p Norm) Of(a *Array, s Stream) *Array {
	k := norm{calc: calc{s}, Norm: p, a: a}
	d := dtype.AtLeastFloat(a.DType())
	x := tensor.AsType(a, d, s)
	if d == dtype.Complex64 {
		x, d = k.do(tensor.OpAbs, x), dtype.Float32
	}
	if d.Size() == 2 {
		x = tensor.AsType(x, dtype.Float32, s)
	}
	return tensor.AsType(k.of(x), d, s)
}

// norm is one call.
type norm struct {
	calc
	Norm
	a *Array // as it was given
}

func (k norm) fail(format string, args ...any) {
	tensor.Throw("norm", []Spec{tensor.SpecOf(k.a)}, format, args...)
}

// of is the norm of the real floating x, which has the sizes of a's elements.
func (k norm) of(x *Array) *Array {
	axes := k.Axes
	if axes == nil && k.Ord == nil {
		return k.euclid(tensor.ReshapeTo(x, []int{x.Size()}, k.s), []int{0})
	}
	if axes == nil {
		axes = make([]int, x.NDim())
		for i := range axes {
			axes[i] = i
		}
	}
	if len(axes) > 2 || len(axes) == 0 && k.Ord != nil {
		k.fail("a norm is of a vector or a matrix, not of %d axes; give Axis or Axes", len(axes))
	}
	switch ord := k.Ord.(type) {
	case string:
		if len(axes) != 2 {
			k.fail("norm %q is of matrices, not of %d axis", ord, len(axes))
		}
		return k.named(x, ord, axes)
	case float64:
		if len(axes) == 1 {
			return k.vector(x, ord, axes)
		}
		return k.matrix(x, ord, axes)
	}
	return k.euclid(x, axes)
}

func (k norm) reduce(op tensor.ReduceOp, x *Array, axes []int) *Array {
	return tensor.ReduceOf(op, x, axes, k.Keep, k.s)
}

// euclid is the root of the sum of squares.
func (k norm) euclid(x *Array, axes []int) *Array {
	return k.do(tensor.OpSqrt, k.reduce(tensor.OpSum, k.do(tensor.OpSquare, x), axes))
}

func (k norm) vector(x *Array, ord float64, axes []int) *Array {
	size := k.do(tensor.OpAbs, x)
	switch {
	case ord == 0:
		nonzero := tensor.BinaryAny(tensor.OpNotEqual, x, 0, k.s)
		return k.reduce(tensor.OpSum, tensor.AsType(nonzero, x.DType(), k.s), axes)
	case ord == 1:
		return k.reduce(tensor.OpSum, size, axes)
	case ord == 2:
		return k.euclid(x, axes)
	case math.IsInf(ord, 1):
		return k.reduce(tensor.OpMax, size, axes)
	case math.IsInf(ord, -1):
		return k.reduce(tensor.OpMin, size, axes)
	case ord != ord:
		k.fail("ord is NaN")
	}
	sum := k.reduce(tensor.OpSum, tensor.BinaryAny(tensor.OpPower, size, ord, k.s), axes)
	return tensor.BinaryAny(tensor.OpPower, sum, 1/ord, k.s)
}

// matrix: 1 is the largest sum of a column, infinity of a row, 2 the largest singular value;
// negative ones are the smallest.
func (k norm) matrix(x *Array, ord float64, axes []int) *Array {
	op := tensor.OpMax
	if ord < 0 {
		op = tensor.OpMin
	}
	first := 0
	switch {
	case ord == 2, ord == -2:
		return k.spectral(x, op, axes)
	case math.IsInf(ord, 0):
		first = 1
	case ord != 1 && ord != -1:
		k.fail("ord %v is none of matrices: 1, -1, 2, -2, Inf or -Inf", ord)
	}
	sh := tensor.SpecOf(x).Shape
	tensor.NormAxes("norm", axes, sh) // refuses an axis twice
	sums := tensor.ReduceOf(tensor.OpSum, k.do(tensor.OpAbs, x), axes[first:first+1], true, k.s)
	y := tensor.ReduceOf(op, sums, axes[1-first:2-first], true, k.s)
	if k.Keep {
		return y
	}
	return tensor.Squeeze(y, axes, k.s)
}

func (k norm) named(x *Array, ord string, axes []int) *Array {
	switch ord {
	case "fro", "f":
		return k.euclid(x, axes)
	case "nuc":
		return k.spectral(x, tensor.OpSum, axes)
	}
	k.fail("ord %q is none of matrices: fro or nuc", ord)
	return nil
}

// spectral combines the singular values, of complex numbers those of a itself.
func (k norm) spectral(x *Array, op tensor.ReduceOp, axes []int) *Array {
	if k.a.DType() == dtype.Complex64 {
		x = k.a
	}
	sh := tensor.SpecOf(x).Shape
	set := tensor.NormAxes("norm", axes, sh)
	var perm, last []int
	kept := slices.Clone(sh)
	for i := range sh {
		if set.Has(i) {
			last, kept[i] = append(last, i), 1
		} else {
			perm = append(perm, i)
		}
	}
	m := tensor.TransposeTo(x, append(perm, last...), k.s)
	y := tensor.ReduceOf(op, tensor.Apply1(SVD{}, k.s, m), []int{-1}, false, k.s)
	if k.Keep {
		return tensor.ReshapeTo(y, kept, k.s)
	}
	return y
}
