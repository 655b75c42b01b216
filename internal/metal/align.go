package metal

import (
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Metal wants elements where their size divides the address. Memory of the device's own is
// at large round addresses; a tensor in a mapped file may be anywhere.

// address is where v begins, modulo 8.
func address(v *View) int {
	at := v.Offset
	if b := v.Buf; b != nil && b.Mapped() {
		at += int(uintptr(unsafe.Pointer(unsafe.SliceData(b.Host()))) % 8)
	}
	return at % 8
}

// aligned reports whether kernels can read v's elements as what they are.
func aligned(v *View) bool { return address(v)%v.DType.Size() == 0 }

// settled is v, or a copy made by the host of a constant that the device cannot read where
// it lies, or whose elements are not aligned there: constants do not change.
func settled(v View) (View, error) {
	if v.Buf == nil || reachable(v.Buf) && aligned(&v) {
		return v, nil
	}
	host := v.Buf.Host()
	b, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, len(host))
	if err != nil {
		return v, err
	}
	first := v.Offset % v.DType.Size()
	copy(b.Host(), host[first:])
	v.Buf, v.Offset = b, v.Offset-first
	return v, nil
}

// ours is v, or a copy of it where the device cannot reach it, which the host makes when
// what was encoded before is done.
func (q *queue) ours(v View) (View, error) {
	if v.Buf == nil || reachable(v.Buf) {
		return v, nil
	}
	host := v.Buf.Host()
	b, err := tensor.NewScratch(q.stream.Device, len(host))
	if err != nil {
		return v, err
	}
	q.flushEncoder()
	q.open()
	q.onHost(func() error { copy(b.Host(), host); return nil }, q.batch)
	q.enc.keep = append(q.enc.keep, b)
	v.Buf = b
	return v, nil
}

// allOurs is in, or a list with ours of each.
func (q *queue) allOurs(in []View) ([]View, error) {
	if !slices.ContainsFunc(in, func(v View) bool { return v.Buf != nil && !reachable(v.Buf) }) {
		return in, nil
	}
	out := make([]View, len(in))
	var err error
	for i, v := range in {
		if out[i], err = q.ours(v); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// bindable is v, or a copy of it that the queue makes first where the device cannot read v
// as it lies.
func (q *queue) bindable(v View) (View, error) {
	v, err := q.ours(v)
	if err != nil || aligned(&v) || v.Shape.Size() == 0 {
		return v, err
	}
	b, err := tensor.NewScratch(q.stream.Device, v.Spec.Bytes())
	if err != nil {
		return v, err
	}
	y := tensor.RowMajorView(v.Spec, b)
	q.open()
	return y, q.enc.add(tensor.Contiguous{}, []View{v}, []View{y})
}
