package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// takeTask copies rows of the table; an id outside is a fault.
func takeTask(in, out []View) (task, error) {
	table, y := &in[0], &out[0]
	rows, stride := table.Shape[0], table.Strides[0]
	inner := tensor.Shape(table.Shape[1:]).Size() * y.DType.Size()
	ids := operandOf(&in[1])
	n := in[1].Shape.Size()
	conv := castLoops[in[1].DType][dtype.Int64]
	wide := in[1].DType == dtype.Uint64
	return newTask(n, n*(inner/2+10), func(s *scratch, c, nc int) {
		lo, hi := span(n, c, nc)
		const k = 256
		raw, id := piece[uint64](s, k), piece[int64](s, k)
		for ; lo < hi; lo += k {
			m := min(k, hi-lo)
			conv(unsafe.Pointer(&id[0]), ids.block(raw, lo, m), nil, nil, m)
			for i, r := range id[:m] {
				if r < 0 && !wide {
					r += int64(rows)
				}
				if r < 0 || r >= int64(rows) {
					failf("index %d is out of range for an axis of size %d", id[i], rows)
				}
				src := unsafe.Add(table.Ptr(), int(r)*stride*table.DType.Size())
				dst := unsafe.Add(y.Ptr(), (lo+i)*inner)
				copy(unsafe.Slice((*byte)(dst), inner), unsafe.Slice((*byte)(src), inner))
			}
		}
	}), nil
}
