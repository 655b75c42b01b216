package metal

import (
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/random"
)

// Accepts says which layouts the kernels read in place; Metal wants elements aligned.
func (*backend) Accepts(p tensor.Primitive, i int, v View) bool {
	if v.Offset%v.DType.Size() != 0 {
		_, copies := p.(tensor.Contiguous)
		return copies
	}
	switch p.(type) {
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
	}
	return tensor.ErrUnsupported
}
