package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A pairWalk lists two views of one shape together, with axes merged where both
// allow it.
type pairWalk struct{ a, b walk }

func newPairWalk(shape, sa, sb []int) pairWalk {
	var p pairWalk
	for i, d := range shape {
		if d == 1 {
			continue
		}
		if k := len(p.a.shape) - 1; k >= 0 && p.a.stride[k] == sa[i]*d && p.b.stride[k] == sb[i]*d {
			p.a.shape[k] *= d
			p.a.stride[k], p.b.stride[k] = sa[i], sb[i]
			continue
		}
		p.a.shape, p.a.stride, p.b.stride = append(p.a.shape, d), append(p.a.stride, sa[i]), append(p.b.stride, sb[i])
	}
	if len(p.a.shape) == 0 {
		p.a = walk{[]int{1}, []int{0}}
		p.b.stride = []int{0}
	}
	p.b.shape = p.a.shape
	return p
}

// copyRange copies elements [lo, hi) from view b to view a.
func copyRange[T any](p *pairWalk, dst, src unsafe.Pointer, lo, hi int) {
	var ia, ib [maxRank]int
	oa, ob := p.a.seek(lo, &ia), p.b.seek(lo, &ib)
	last := len(p.a.shape) - 1
	n0, sa, sb := p.a.shape[last], p.a.stride[last], p.b.stride[last]
	size := int(unsafe.Sizeof(*new(T)))
	for lo < hi {
		m := min(n0-ia[last], hi-lo)
		d, s := unsafe.Add(dst, oa*size), unsafe.Add(src, ob*size)
		if sa == 1 && sb == 1 {
			copy(unsafe.Slice((*T)(d), m), unsafe.Slice((*T)(s), m))
		} else {
			for i := range m {
				*(*T)(unsafe.Add(d, i*sa*size)) = *(*T)(unsafe.Add(s, i*sb*size))
			}
		}
		if lo += m; lo < hi {
			oa, ob = p.a.advance(&ia, oa, m), p.b.advance(&ib, ob, m)
		}
	}
}

func copyBytes(p *pairWalk, dst, src unsafe.Pointer, size, lo, hi int) {
	switch size {
	case 1:
		copyRange[uint8](p, dst, src, lo, hi)
	case 2:
		copyRange[uint16](p, dst, src, lo, hi)
	case 4:
		copyRange[uint32](p, dst, src, lo, hi)
	default:
		copyRange[uint64](p, dst, src, lo, hi)
	}
}

// copyTask copies the row-major elements of x to y, whose shape may differ.
func copyTask(x, y *View) task {
	n, size := y.Shape.Size(), y.DType.Size()
	o := operandOf(x)
	return newTask((n+blockLen-1)/blockLen, n*size/2, func(_ *scratch, c, nc int) {
		lo, hi := spanBlocks(n, c, nc)
		if lo >= hi {
			return
		}
		dst := unsafe.Add(y.Ptr(), lo*size)
		if o.flat {
			src := o.block(nil, lo, hi-lo)
			copy(unsafe.Slice((*byte)(dst), (hi-lo)*size), unsafe.Slice((*byte)(src), (hi-lo)*size))
			return
		}
		gatherBytes(&o.w, dst, x.Ptr(), size, lo, hi-lo)
	})
}

// viewTask copies what a Viewer would show.
func viewTask(p tensor.Viewer, in, out []View) (task, error) {
	v, ok := p.View(in[0])
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	return copyTask(&v, &out[0]), nil
}

// bitcastTask copies bytes: x is row-major.
func bitcastTask(in, out []View) task {
	x, y := in[0], out[0]
	n := y.Shape.Size() * y.DType.Size()
	for _, v := range []*View{&x, &y} {
		v.Spec, v.Strides = tensor.Spec{Shape: tensor.Shape{n}, DType: dtype.Uint8}, []int{1}
	}
	return copyTask(&x, &y)
}

// copyInto copies x to a part of y with x's shape at element offset off.
func copyInto(x, y *View, off int) task {
	n, size := x.Shape.Size(), x.DType.Size()
	p := newPairWalk(x.Shape, y.Strides, x.Strides)
	return newTask((n+blockLen-1)/blockLen, n*size/2, func(_ *scratch, c, nc int) {
		if lo, hi := spanBlocks(n, c, nc); lo < hi {
			copyBytes(&p, unsafe.Add(y.Ptr(), off*size), x.Ptr(), size, lo, hi)
		}
	})
}

// padTask fills with the value, then copies the inner part.
func padTask(p tensor.Pad, in, out []View) task {
	y := &out[0]
	n, size := y.Shape.Size(), y.DType.Size()
	off := 0
	for i, s := range y.Strides {
		off += p.Low.At(i) * s
	}
	value := walk{[]int{n}, []int{0}}
	t := newTask((n+blockLen-1)/blockLen, n*size/2, func(_ *scratch, c, nc int) {
		if lo, hi := spanBlocks(n, c, nc); lo < hi {
			gatherBytes(&value, unsafe.Add(y.Ptr(), lo*size), in[1].Ptr(), size, lo, hi-lo)
		}
	})
	if in[0].Shape.Size() > 0 {
		then := copyInto(&in[0], y, off)
		t.then = &then
	}
	return t
}

// concatenateTask copies the inputs one by one: the parts do not overlap.
func concatenateTask(p tensor.Concatenate, in, out []View) task {
	y := &out[0]
	parts := make([]task, 0, len(in))
	off, cost := 0, 0
	for i := range in {
		if in[i].Shape.Size() > 0 {
			parts = append(parts, copyInto(&in[i], y, off))
		}
		cost += in[i].Shape.Size() * y.DType.Size() / 2
		off += in[i].Shape[p.Axis] * y.Strides[p.Axis]
	}
	return newTask(maxChunks, cost, func(s *scratch, c, nc int) {
		for i := range parts {
			parts[i].run(s, c, nc)
		}
	})
}

func constTask(p tensor.Const, out []View) task {
	return newTask(1, 1, func(_ *scratch, _, _ int) { putBits(&out[0], p.Bits) })
}

// putBits stores a scalar.
func putBits(y *View, bits uint64) {
	switch y.DType.Size() {
	case 1:
		at[uint8](y, 0, 1)[0] = uint8(bits)
	case 2:
		at[uint16](y, 0, 1)[0] = uint16(bits)
	case 4:
		at[uint32](y, 0, 1)[0] = uint32(bits)
	default:
		at[uint64](y, 0, 1)[0] = bits
	}
}

// arangeTask computes in float64 and casts; integers stay exact below 2^53.
func arangeTask(p tensor.Arange, out []View) task {
	y := &out[0]
	size := y.DType.Size()
	conv, half := castLoop(dtype.Float64, y.DType)
	start, step := p.Start.Value(), p.Step.Value()
	return newTask((p.N+blockLen-1)/blockLen, 4*p.N, func(s *scratch, c, nc int) {
		lo, hi := spanBlocks(p.N, c, nc)
		x, f := piece[float64](s, blockLen), piece[float32](s, blockLen)
		for ; lo < hi; lo += blockLen {
			m := min(blockLen, hi-lo)
			for i := range m {
				x[i] = start + float64(float64(lo+i)*step)
			}
			dst := unsafe.Add(y.Ptr(), lo*size)
			if half {
				conv(unsafe.Pointer(&f[0]), unsafe.Pointer(&x[0]), nil, nil, m)
				narrow(dst, f[:m], y.DType)
			} else {
				conv(dst, unsafe.Pointer(&x[0]), nil, nil, m)
			}
		}
	})
}
