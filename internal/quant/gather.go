package quant

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// GatherOf is x [..., M, K] times packed matrices [..., N, K] ([..., K, N] if not
// transpose) for each pair of indices into their flattened batch axes. Only the matrices
// that may be picked are unpacked, to float32.
func GatherOf(x, weight, scales, biases, lhs, rhs *Array, s Scheme, transpose bool, on Stream) *Array {
	const op = "gather_qmm"
	s = must(op, s)
	s.Rounding = 0
	parts := packed(weight, scales, biases)
	specs := make([]Spec, len(parts))
	for i, p := range parts {
		specs[i] = tensor.SpecOf(p)
	}
	if _, err := s.check(specs); err != nil {
		panic(&tensor.Error{Op: op, In: specs, Err: err})
	}
	if x.NDim() < 2 || !x.DType().Is(dtype.Floating) || x.DType() == dtype.Float64 {
		tensor.Throw(op, []Spec{tensor.SpecOf(x)}, "x must be floating, of 32 bits at most, and [..., M, K]; insert axes or convert it")
	}
	d := x.DType()
	if s.Mode == Affine {
		d = dtype.Promote(d, scales.DType())
	}
	if rhs != nil && rhs.DType().Is(dtype.Integer) && rhs.Size() < batch(weight) {
		for i, p := range parts { // fewer are picked than there are
			sh := p.Shape()
			n := len(sh)
			parts[i] = tensor.TakeRows(tensor.ReshapeTo(p, []int{batch(p), sh[n-2], sh[n-1]}, on), rhs, on)
		}
		rhs = tensor.ReshapeTo(tensor.Apply1(tensor.Arange{Step: tensor.MakeF64(1), N: rhs.Size(), DType: dtype.Uint32}, on), rhs.Shape(), on)
	}
	w := tensor.Apply1(Dequantize{s, dtype.Float32}, on, parts...)
	if transpose {
		w = tensor.SwapAxes(w, w.NDim()-1, w.NDim()-2, on)
	}
	return tensor.AsType(tensor.GatherMMOf(tensor.AsType(x, dtype.Float32, on), w, lhs, rhs, on), d, on)
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
