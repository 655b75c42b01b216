package metal

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Metal wants elements where their size divides the address. Memory of the device's own is
// at large round addresses; a tensor in a mapped file may be anywhere.

// address is where v begins, modulo 8.
func address(v *View) int {
	at := v.Offset
	if b := v.Buf; b != nil && b.Borrowed() {
		if host := b.Host(); len(host) > 0 {
			at += int(uintptr(unsafe.Pointer(unsafe.SliceData(host))) % 8)
		}
	}
	return at % 8
}

// aligned reports whether kernels can read v's elements as what they are.
func aligned(v *View) bool { return address(v)%v.DType.Size() == 0 }

// settled is v, or a copy made by the host of a constant that is not aligned: mapped files
// do not change.
func settled(v View) (View, error) {
	if v.Buf == nil || !v.Buf.Borrowed() || aligned(&v) {
		return v, nil
	}
	b, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, len(v.Buf.Host()))
	if err != nil {
		return v, err
	}
	first := v.Offset % v.DType.Size()
	copy(b.Host(), v.Buf.Host()[first:])
	v.Buf, v.Offset = b, v.Offset-first
	return v, nil
}

// bindable is v, or an aligned copy of it that the queue makes first.
func (q *queue) bindable(v View) (View, error) {
	if aligned(&v) || v.Shape.Size() == 0 {
		return v, nil
	}
	b, err := tensor.NewScratch(q.stream.Device, v.Spec.Bytes())
	if err != nil {
		return v, err
	}
	y := tensor.RowMajorView(v.Spec, b)
	q.open()
	return y, q.enc.add(tensor.Contiguous{}, []View{v}, []View{y})
}
