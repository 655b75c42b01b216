package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// indexBlock is how many indices are converted at a time.
const indexBlock = 256

// An indexOf reads an integer array as places of an axis of n elements.
type indexOf struct {
	operand
	conv loop
	wide bool // uint64: values above the range of int64 are not negative
	n    int  // size of the axis
	last int  // greatest place
}

func newIndexOf(v *View, n, window int) indexOf {
	return indexOf{operandOf(v), castLoops[v.DType][dtype.Int64], v.DType == dtype.Uint64, n, n - window}
}

// read gives indices [lo, lo+len(dst)) as places from 0 to last; raw has as many
// elements.
func (x *indexOf) read(dst []int64, raw []uint64, lo int) {
	x.conv(unsafe.Pointer(unsafe.SliceData(dst)), x.block(raw, lo, len(dst)), nil, nil, len(dst))
	for i, r := range dst {
		if r < 0 && !x.wide {
			r += int64(x.n)
			dst[i] = r
		}
		if r < 0 || r > int64(x.last) {
			x.fail(lo + i)
		}
	}
}

// fail reports index i as it was given.
func (x *indexOf) fail(i int) {
	var raw [1]uint64
	var v [1]int64
	x.conv(unsafe.Pointer(&v), x.block(raw[:], i, 1), nil, nil, 1)
	if x.wide && v[0] < 0 {
		failf("index %d is out of range for an axis of size %d", uint64(v[0]), x.n)
	}
	if w := x.n - x.last; w != 1 {
		failf("a window of %d elements from index %d leaves an axis of size %d", w, v[0], x.n)
	}
	failf("index %d is out of range for an axis of size %d", v[0], x.n)
}

// A spots turns index arrays of one shape into element offsets.
type spots struct {
	idx    []indexOf
	stride []int
}

// newSpots is for windows of these sizes in v.
func newSpots(idx []View, axes tensor.Ints, v *View, sizes []int) spots {
	var p spots
	for i := range idx {
		a := axes.At(i)
		p.idx = append(p.idx, newIndexOf(&idx[i], v.Shape[a], sizes[a]))
		p.stride = append(p.stride, v.Strides[a])
	}
	return p
}

// A placer is the memory that offsets needs.
type placer struct {
	raw     []uint64
	id, off []int64
}

func newPlacer(s *scratch) placer {
	return placer{piece[uint64](s, indexBlock), piece[int64](s, indexBlock), piece[int64](s, indexBlock)}
}

// offsets are where the windows of positions [lo, lo+m) begin; m <= indexBlock. With
// an end that is not negative, it is skipped where the first array's offset is not
// from first to end.
func (p *spots) offsets(b *placer, lo, m, first, end int) []int64 {
	off := b.off[:m]
	for k := range p.idx {
		id := b.id[:m]
		p.idx[k].read(id, b.raw, lo)
		st := int64(p.stride[k])
		if k > 0 {
			for i, r := range id {
				off[i] += r * st
			}
			continue
		}
		for i, r := range id {
			o := r * st
			if end >= 0 && (o < int64(first) || o >= int64(end)) {
				o = skipped
			}
			off[i] = o
		}
	}
	return off
}

// gatherTask copies the windows; the results are cut anywhere.
func gatherTask(p tensor.Gather, in, out []View) task {
	x, y := &in[0], &out[0]
	sizes := p.Sizes.List()
	at := newSpots(in[1:], p.Axes, x, sizes)
	n, w, size := in[1].Shape.Size(), tensor.Shape(sizes).Size(), y.DType.Size()
	window := newPairWalk(sizes, y.Strides[len(y.Shape)-len(sizes):], x.Strides)
	packed := w == 1 || len(window.a.shape) == 1 && window.b.stride[0] == 1
	return newTask((n*w+blockLen-1)/blockLen, n*w*size/2+12*n*len(at.idx), func(s *scratch, c, nc int) {
		lo, hi := spanBlocks(n*w, c, nc)
		b := newPlacer(s)
		for lo < hi {
			first := lo / w
			m := min(indexBlock, (hi-1)/w-first+1)
			off := at.offsets(&b, first, m, 0, -1)
			if w == 1 {
				gatherPoints(unsafe.Add(y.Ptr(), lo*size), x.Ptr(), off, size)
				lo += m
				continue
			}
			for i, o := range off {
				base := (first + i) * w
				from, to := lo-base, min(hi-base, w)
				dst, src := unsafe.Add(y.Ptr(), base*size), unsafe.Add(x.Ptr(), int(o)*size)
				if packed {
					copy(unsafe.Slice((*byte)(unsafe.Add(dst, from*size)), (to-from)*size), unsafe.Slice((*byte)(unsafe.Add(src, from*size)), (to-from)*size))
				} else {
					copyBytes(&window, dst, src, size, from, to)
				}
				lo = base + to
			}
		}
	})
}

// gatherPoints copies single elements of size bytes.
func gatherPoints(dst, src unsafe.Pointer, off []int64, size int) {
	switch size {
	case 1:
		pointsAt[uint8](dst, src, off)
	case 2:
		pointsAt[uint16](dst, src, off)
	case 4:
		pointsAt[uint32](dst, src, off)
	default:
		pointsAt[uint64](dst, src, off)
	}
}

func pointsAt[T any](dst, src unsafe.Pointer, off []int64) {
	y := unsafe.Slice((*T)(dst), len(off))
	size := int(unsafe.Sizeof(*new(T)))
	for i, o := range off {
		y[i] = *(*T)(unsafe.Add(src, int(o)*size))
	}
}

// gatherAxisTask picks element by element.
func gatherAxisTask(p tensor.GatherAxis, in, out []View) task {
	x, y := &in[0], &out[0]
	a := p.Axis
	outer, inner := newWalk(x.Shape[:a], x.Strides[:a]), newWalk(x.Shape[a+1:], x.Strides[a+1:])
	idx := newIndexOf(&in[1], x.Shape[a], 1)
	n, m, b, st, size := y.Shape.Size(), y.Shape[a], y.Shape[a+1:].Size(), x.Strides[a], y.DType.Size()
	return newTask((n+blockLen-1)/blockLen, 8*n, func(s *scratch, c, nc int) {
		lo, hi := spanBlocks(n, c, nc)
		buf := newPlacer(s)
		for ; lo < hi; lo += indexBlock {
			k := min(indexBlock, hi-lo)
			id := buf.id[:k]
			idx.read(id, buf.raw, lo)
			row, col := lo/b, lo%b // of indices flattened to [outer*m, b]
			base := outer.offset(row / m)
			for i, r := range id {
				id[i] = int64(base + int(r)*st + inner.offset(col))
				if col++; col == b {
					col = 0
					if row++; row%m == 0 && i+1 < k {
						base = outer.offset(row / m)
					}
				}
			}
			gatherPoints(unsafe.Add(y.Ptr(), lo*size), x.Ptr(), id, size)
		}
	})
}
