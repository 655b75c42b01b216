package metal

import (
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// maxSize is how many elements an array may have here: indices are 32-bit numbers.
const maxSize = 1<<31 - 1

// Accepts says which layouts the kernels read in place; Metal wants elements aligned.
func (*backend) Accepts(p tensor.Primitive, i int, v View) bool {
	if v.Shape.Size() > maxSize {
		return true // it goes to the CPU, which may read it in place
	}
	if v.Offset%v.DType.Size() != 0 {
		_, copies := p.(tensor.Contiguous)
		return copies
	}
	switch p := p.(type) {
	case tensor.Copy, tensor.Contiguous, tensor.Reshape, tensor.Packed:
		return true
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

	// custom.go
	case fast.Custom:
		return customKernel(e, p, in, out)
	}
	return tensor.ErrUnsupported
}
