package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/tensor"
)

// bindIndex is bind for what indexes.
func bindIndex(p tensor.Primitive, in, out []View) (task, error) {
	switch p := p.(type) {
	case tensor.Take:
		return takeTask(in, out), nil
	// gather.go, scatter.go
	case tensor.Gather:
		return gatherTask(p, in, out), nil
	case tensor.GatherAxis:
		return gatherAxisTask(p, in, out), nil
	case tensor.Scatter:
		return scatterTask(p, in, out)
	case tensor.ScatterAxis:
		return scatterAxisTask(p, in, out)
	case tensor.SliceUpdate:
		return sliceUpdateTask(p, in, out)
	}
	return task{}, tensor.ErrUnsupported
}

// takeTask copies rows of the table; an id outside is a fault.
func takeTask(in, out []View) task {
	table, y := &in[0], &out[0]
	size := y.DType.Size()
	stride, width := table.Strides[0], tensor.Shape(table.Shape[1:]).Size()
	inner := width * size
	ids := newIndexOf(&in[1], table.Shape[0], 1)
	n := in[1].Shape.Size()
	return newTask(n, n*(inner/2+10), func(s *scratch, c, nc int) {
		lo, hi := span(n, c, nc)
		b := newPlacer(s)
		for ; lo < hi; lo += indexBlock {
			id := b.id[:min(indexBlock, hi-lo)]
			ids.read(id, b.raw, lo)
			if width == 1 {
				for i := range id {
					id[i] *= int64(stride)
				}
				gatherPoints(unsafe.Add(y.Ptr(), lo*size), table.Ptr(), id, size)
				continue
			}
			for i, r := range id {
				src := unsafe.Add(table.Ptr(), int(r)*stride*size)
				dst := unsafe.Add(y.Ptr(), (lo+i)*inner)
				copy(unsafe.Slice((*byte)(dst), inner), unsafe.Slice((*byte)(src), inner))
			}
		}
	})
}
