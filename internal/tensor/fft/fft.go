// Package fft declares mx.fft's primitives and functions: discrete Fourier transforms of
// complex64, and of float32 with half a spectrum. A primitive transforms the last axis; several
// axes are one primitive after the other. The public package mlx/fft adds keywords.
package fft

import (
	"errors"
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

type (
	// Array, Spec, Shape and Stream are the graph's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Shape  = tensor.Shape
	Stream = tensor.Stream
)

// Norm is the factor of a transform's results, by its length n.
type Norm uint8

// The factors 1, 1/sqrt(n) and 1/n.
const (
	Plain Norm = iota
	ByRoot
	ByLength
)

// Factor is the number for length n.
func (k Norm) Factor(n int) float64 {
	switch k {
	case ByRoot:
		return 1 / math.Sqrt(float64(n))
	case ByLength:
		return 1 / float64(n)
	}
	return 1
}

type (
	// Complex is y[k] = sum of x[j] exp(-2 pi i j k / n) over the last axis of complex64;
	// the sign of the exponent is + if Inverse.
	Complex struct {
		Inverse bool
		Norm    Norm
	}
	// Real is Complex of float32: the first n/2+1 of the n results, of which the others are
	// the conjugates. Transposed is the transpose of Half: these results conjugated, and
	// doubled where Half counts a number twice.
	Real struct {
		Norm       Norm
		Transposed bool
	}
	// Half is the inverse of complex64 [..., n/2+1], half of a spectrum: float32 [..., n].
	// Every number but that of frequency 0, and of n/2 if n is even, counts a second time,
	// conjugated; of these two the imaginary part is ignored. Transposed is the transpose of
	// Real: the real part of a Complex of n/2+1 numbers and zeros. N has one element, n.
	Half struct {
		N          tensor.Ints
		Norm       Norm
		Transposed bool
	}
)

// Name is the op's name.
func (p Complex) Name() string {
	if p.Inverse {
		return "ifft"
	}
	return "fft"
}

// Name is the op's name.
func (Real) Name() string { return "rfft" }

// Name is the op's name.
func (Half) Name() string { return "irfft" }

var errEmpty = errors.New("the axis is empty")

// length is the size of the last axis of s, which has dtype d.
func length(s Spec, d tensor.DType) (int, error) {
	last := len(s.Shape) - 1
	switch {
	case s.DType != d:
		return 0, fmt.Errorf("takes %v", d)
	case last < 0:
		return 0, errors.New("a scalar has no axis")
	case s.Shape[last] < 1:
		return 0, errEmpty
	}
	return s.Shape[last], nil
}

// withLast is s with another last axis and dtype.
func withLast(s Spec, n int, d tensor.DType) []Spec {
	last := len(s.Shape) - 1
	return []Spec{{Shape: append(append(Shape{}, s.Shape[:last]...), n), DType: d}}
}

// Infer keeps the spec.
func (Complex) Infer(in []Spec) ([]Spec, error) {
	n, err := length(in[0], dtype.Complex64)
	if err != nil {
		return nil, err
	}
	return withLast(in[0], n, dtype.Complex64), nil
}

// Infer halves the last axis.
func (Real) Infer(in []Spec) ([]Spec, error) {
	n, err := length(in[0], dtype.Float32)
	if err != nil {
		return nil, err
	}
	return withLast(in[0], n/2+1, dtype.Complex64), nil
}

// Infer checks that the last axis is half of N.
func (p Half) Infer(in []Spec) ([]Spec, error) {
	m, err := length(in[0], dtype.Complex64)
	if err != nil {
		return nil, err
	}
	n := p.N.At(0)
	if n < 1 || n/2+1 != m {
		return nil, fmt.Errorf("%d numbers are not half of a spectrum of %d", m, n)
	}
	return withLast(in[0], n, dtype.Float32), nil
}

// ---- rules ----

// VJP is the transform itself, which is symmetric.
func (p Complex) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{tensor.Apply1(p, s, cotan[0])}
}

// VJP is the transpose.
func (p Real) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	n := tensor.MakeInts(in[0].Dim(-1))
	return []*Array{tensor.Apply1(Half{N: n, Norm: p.Norm, Transposed: !p.Transposed}, s, cotan[0])}
}

// VJP is the transpose.
func (p Half) VJP(s Stream, in, out, cotan []*Array, need []bool) []*Array {
	return []*Array{tensor.Apply1(Real{Norm: p.Norm, Transposed: !p.Transposed}, s, cotan[0])}
}

// JVP is the transform, which is linear.
func (p Complex) JVP(s Stream, in, out, tangent []*Array) []*Array {
	return []*Array{tensor.Apply1(p, s, tangent[0])}
}

// JVP is the transform, which is linear.
func (p Real) JVP(s Stream, in, out, tangent []*Array) []*Array {
	return []*Array{tensor.Apply1(p, s, tangent[0])}
}

// JVP is the transform, which is linear.
func (p Half) JVP(s Stream, in, out, tangent []*Array) []*Array {
	return []*Array{tensor.Apply1(p, s, tangent[0])}
}

// Vmap keeps to the last axis.
func (p Complex) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap keeps to the last axis.
func (p Real) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}

// Vmap keeps to the last axis.
func (p Half) Vmap(s Stream, in []*Array, axes []int) ([]*Array, []int) {
	return tensor.VmapInFront(p, s, in, axes)
}
