package quant

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// GatherMatMul is x [..., M, K] times packed matrices [..., N, K], or [..., K, N] without
// Transpose, for each pair of integer indices into their flattened batch axes: [indices...,
// M, N]. Negative indices count from the end. Inputs are x, weight, scales, biases if
// affine, the indices for x and those for the matrices, of one shape.
type GatherMatMul struct {
	Scheme
	Transpose bool
	Sorted    bool // a promise that the indices of matrices are sorted: kernels take those of one at once
}

// Name is the op's name.
func (GatherMatMul) Name() string { return "gather_qmm" }

// Infer checks the matrices and the indices.
func (p GatherMatMul) Infer(in []Spec) ([]Spec, error) {
	if len(in) < 5 {
		return nil, errors.New("needs x, a packed weight and two arrays of indices")
	}
	n := len(in)
	x, lhs, rhs := in[0], in[n-2], in[n-1]
	w, err := p.check(in[1 : n-2])
	if err != nil {
		return nil, err
	}
	if len(x.Shape) < 2 || !x.DType.Is(dtype.Floating) || x.DType == dtype.Float64 {
		return nil, errors.New("x must be floating, of 32 bits at most, and [..., M, K]; insert axes or convert it")
	}
	if !lhs.DType.Is(dtype.Integer) || !rhs.DType.Is(dtype.Integer) || !slices.Equal(lhs.Shape, rhs.Shape) {
		return nil, fmt.Errorf("indices %v and %v are not integers of one shape", lhs, rhs)
	}
	k, cols := w[len(w)-1], w[len(w)-2]
	if !p.Transpose {
		k, cols = cols, k
	}
	m := len(x.Shape)
	if x.Shape[m-1] != k {
		return nil, fmt.Errorf("inner dimensions differ (%d, %d)", x.Shape[m-1], k)
	}
	if lhs.Shape.Size() > 0 && (x.Shape[:m-2].Size() == 0 || w[:len(w)-2].Size() == 0) {
		return nil, errors.New("there are indices and no matrices")
	}
	d := x.DType
	if p.Mode == Affine {
		d = dtype.Promote(d, in[2].DType)
	}
	return []Spec{{Shape: append(slices.Clone(lhs.Shape), x.Shape[m-2], cols), DType: d}}, nil
}

// Fallback unpacks the matrices that may be picked, to float32.
func (p GatherMatMul) Fallback(on Stream, in []*Array) []*Array {
	n := len(in)
	x, parts, lhs, rhs := in[0], slices.Clone(in[1:n-2]), in[n-2], in[n-1]
	d := x.DType()
	if p.Mode == Affine {
		d = dtype.Promote(d, parts[1].DType())
	}
	if rhs.Size() < batch(parts[0]) { // fewer are picked than there are
		for i, a := range parts {
			sh := a.Shape()
			k := len(sh)
			parts[i] = tensor.TakeRows(tensor.ReshapeTo(a, []int{batch(a), sh[k-2], sh[k-1]}, on), rhs, on)
		}
		rhs = counting(rhs.Shape(), on)
	}
	w := tensor.Apply1(Dequantize{p.Scheme, dtype.Float32}, on, parts...)
	if p.Transpose {
		w = tensor.SwapAxes(w, w.NDim()-1, w.NDim()-2, on)
	}
	return []*Array{tensor.AsType(tensor.GatherMMOf(tensor.AsType(x, dtype.Float32, on), w, lhs, rhs, on), d, on)}
}

// GatherOf is GatherMatMul; nil indices pick all matrices in order, and the indices
// broadcast.
func GatherOf(x, weight, scales, biases, lhs, rhs *Array, p GatherMatMul, on Stream) *Array {
	const op = "gather_qmm"
	p.Scheme = must(op, p.Scheme)
	p.Rounding = 0
	parts := packed(weight, scales, biases)
	specs := make([]Spec, len(parts))
	for i, a := range parts {
		specs[i] = tensor.SpecOf(a)
	}
	if _, err := p.check(specs); err != nil {
		panic(&tensor.Error{Op: op, In: specs, Err: err})
	}
	if x.NDim() < 2 || !x.DType().Is(dtype.Floating) || x.DType() == dtype.Float64 {
		tensor.Throw(op, []Spec{tensor.SpecOf(x)}, "x must be floating, of 32 bits at most, and [..., M, K]; insert axes or convert it")
	}
	if lhs == nil && rhs == nil { // the batch axes broadcast
		lhs = counting(x.Shape()[:x.NDim()-2], on)
		rhs = counting(weight.Shape()[:weight.NDim()-2], on)
	}
	both := tensor.BroadcastAll(op, []*Array{indices(op, lhs, x, on), indices(op, rhs, weight, on)}, on)
	in := append(append([]*Array{x}, parts...), both...)
	return tensor.Apply1(p, on, in...)
}

// indices are at as int64, or those of all matrices of a.
func indices(op string, at, a *Array, on Stream) *Array {
	if at == nil {
		at = counting(a.Shape()[:a.NDim()-2], on)
	}
	if !at.DType().Is(dtype.Integer) {
		tensor.Throw(op, []Spec{tensor.SpecOf(at)}, "indices are not integers")
	}
	if at.DType() == dtype.Uint64 { // int64 does not hold them all
		return at
	}
	return tensor.AsType(at, dtype.Int64, on)
}

// counting is 0, 1, 2 … in that shape.
func counting(shape []int, on Stream) *Array {
	n := tensor.Shape(shape).Size()
	return tensor.ReshapeTo(tensor.Apply1(tensor.Arange{Step: tensor.MakeF64(1), N: n, DType: dtype.Int64}, on), shape, on)
}

// batch is how many matrices an array holds.
func batch(a *Array) int {
	sh := tensor.Shape(a.Shape())
	return sh[:len(sh)-2].Size()
}

// RoundedOf is x as quantizing rounds it, in x's dtype; its gradient is that of x.
func RoundedOf(op string, x *Array, s Scheme, on Stream) *Array {
	s = must(op, s)
	if s.Mode != NVFP4 && s.Mode != MXFP8 {
		tensor.Throw(op, nil, "mode %s; only nvfp4 and mxfp8 quantize both sides", s.Mode)
	}
	if x.NDim() == 0 || !x.DType().Is(dtype.Floating) || x.DType() == dtype.Float64 {
		tensor.Throw(op, []Spec{tensor.SpecOf(x)}, "x must be floating, of 32 bits at most, with an axis")
	}
	rows := x
	if x.NDim() == 1 {
		rows = tensor.ExpandDims(x, []int{0}, on)
	}
	q := QuantizeOf(tensor.StopGradientOf(rows, on), s, on)
	y := tensor.ReshapeTo(DequantizeOf(q[0], q[1], nil, s, x.DType(), on), x.Shape(), on)
	// x + (y - x) would round once more: the difference is taken as zero.
	zero := tensor.BinaryOf(tensor.OpSubtract, x, tensor.StopGradientOf(x, on), on)
	return tensor.BinaryOf(tensor.OpAdd, y, zero, on)
}
