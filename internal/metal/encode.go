package metal

import (
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Accepts says which layouts the kernels read in place; Metal wants elements aligned.
func (*backend) Accepts(p tensor.Primitive, i int, v View) bool {
	if v.Offset%v.DType.Size() != 0 {
		_, copies := p.(tensor.Contiguous)
		return copies
	}
	switch p.(type) {
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Packed:
		return true
	case tensor.MatMul: // matmul.go
		_, ok := matrixOf(&v)
		return ok
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
	}
	return tensor.ErrUnsupported
}
