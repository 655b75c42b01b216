package cpu

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// copiedFirst is update after a copy of x to y, unless x's buffer is y's.
func copiedFirst(x, y *View, update task) task {
	t := copyTask(x, y)
	run := t.run
	t.run = func(s *scratch, c, nc int) {
		if x.Ptr() != y.Ptr() {
			run(s, c, nc)
		}
	}
	t.then = &update
	return t
}

// A combiner puts updates into the elements that they meet.
type combiner struct {
	f    loop // nil: the update replaces
	d    dtype.DType
	size int
}

func newCombiner(op tensor.ScatterOp, d dtype.DType) (combiner, error) {
	c := combiner{d: d, size: d.Size()}
	if op == tensor.ScatterSet {
		return c, nil
	}
	b := [...]tensor.BinaryOp{0, tensor.OpAdd, tensor.OpMultiply, tensor.OpMaximum, tensor.OpMinimum}[op]
	if c.f = binaryLoops[b][computeType(d)]; c.f == nil {
		return c, fmt.Errorf("%w for %v", tensor.ErrUnsupported, d)
	}
	return c, nil
}

// A combining is the memory that a combiner needs.
type combining struct {
	a, b   []uint64
	wa, wb []float32
}

func (c *combiner) memory(s *scratch) (m combining) {
	if c.f != nil {
		m.a, m.b = piece[uint64](s, indexBlock), piece[uint64](s, indexBlock)
		if isHalf(c.d) {
			m.wa, m.wb = piece[float32](s, indexBlock), piece[float32](s, indexBlock)
		}
	}
	return m
}

// run combines n elements at dst, sd apart, with those at src, ss apart.
func (c *combiner) run(m *combining, dst, src unsafe.Pointer, sd, ss, n int) {
	switch {
	case c.f == nil:
		moveBytes(dst, src, c.size, sd, ss, n)
		return
	case !isHalf(c.d) && (n == 1 || sd == 1 && ss == 1):
		c.f(dst, dst, src, nil, n)
		return
	}
	a, b := unsafe.Pointer(unsafe.SliceData(m.a)), unsafe.Pointer(unsafe.SliceData(m.b))
	for i := 0; i < n; i += indexBlock {
		k := min(n-i, indexBlock)
		y := unsafe.Add(dst, i*sd*c.size)
		moveBytes(a, y, c.size, 1, sd, k)
		moveBytes(b, unsafe.Add(src, i*ss*c.size), c.size, 1, ss, k)
		if isHalf(c.d) {
			x, u := widen(m.wa, a, c.d, k), widen(m.wb, b, c.d, k)
			c.f(unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(x)), unsafe.Pointer(unsafe.SliceData(u)), nil, k)
			narrow(a, x, c.d)
		} else {
			c.f(a, a, b, nil, k)
		}
		moveBytes(y, a, c.size, sd, 1, k)
	}
}

// walk combines elements [lo, hi) of a window: p.a lists the result, p.b the updates.
func (c *combiner) walk(m *combining, p *pairWalk, dst, src unsafe.Pointer, lo, hi int) {
	last := len(p.a.shape) - 1
	n0, sa, sb := p.a.shape[last], p.a.stride[last], p.b.stride[last]
	if last == 0 {
		c.run(m, unsafe.Add(dst, lo*sa*c.size), unsafe.Add(src, lo*sb*c.size), sa, sb, hi-lo)
		return
	}
	var ia, ib [maxRank]int
	oa, ob := p.a.seek(lo, &ia), p.b.seek(lo, &ib)
	for lo < hi {
		n := min(n0-ia[last], hi-lo)
		c.run(m, unsafe.Add(dst, oa*c.size), unsafe.Add(src, ob*c.size), sa, sb, n)
		if lo += n; lo < hi {
			oa, ob = p.a.advance(&ia, oa, n), p.b.advance(&ib, ob, n)
		}
	}
}

// moveBytes copies n elements of size bytes between strided places.
func moveBytes(dst, src unsafe.Pointer, size, sd, ss, n int) {
	switch size {
	case 1:
		move[uint8](dst, src, sd, ss, n)
	case 2:
		move[uint16](dst, src, sd, ss, n)
	case 4:
		move[uint32](dst, src, sd, ss, n)
	default:
		move[uint64](dst, src, sd, ss, n)
	}
}

func move[T any](dst, src unsafe.Pointer, sd, ss, n int) {
	if sd == 1 && ss == 1 {
		copy(unsafe.Slice((*T)(dst), n), unsafe.Slice((*T)(src), n))
		return
	}
	size := int(unsafe.Sizeof(*new(T)))
	for i := range n {
		*(*T)(unsafe.Add(dst, i*sd*size)) = *(*T)(unsafe.Add(src, i*ss*size))
	}
}

// A scatter is Scatter's second phase. A window has its indexed axes, whose
// elements move with the indices, and free ones: result and update agree there on
// the index, so that parts of the free axes never meet.
type scatter struct {
	at      spots
	comb    combiner
	y, u    *View
	n, w    int      // positions, and elements of the free axes
	updates walk     // of positions
	fixed   pairWalk // the indexed axes of a window
	nFixed  int
	free    pairWalk
	single  pointLoop // for windows of one element; nil if there is none
}

const (
	freeBlock = 64 // the least part of the free axes
	// Windows with from fewest to most free elements are cut by where they go, and
	// each chunk reads all indices. Narrower ones cost no more than that themselves.
	fewest, most = 8, 128
)

func scatterTask(p tensor.Scatter, in, out []View) (task, error) {
	last := len(in) - 1
	x, y, u := &in[0], &out[0], &in[last]
	k := len(in[1].Shape)
	sizes := u.Shape[k:]
	comb, err := newCombiner(p.Op, y.DType)
	if err != nil {
		return task{}, err
	}
	t := &scatter{at: newSpots(in[1:last], p.Axes, y, sizes), comb: comb, y: y, u: u,
		n: u.Shape[:k].Size(), updates: newWalk(u.Shape[:k], u.Strides[:k])}
	indexed := p.Axes.List()
	var shape, st, su [2][]int // of free and indexed axes
	for i, d := range sizes {
		q := 0
		if slices.Contains(indexed, i) {
			q = 1
		}
		shape[q], st[q], su[q] = append(shape[q], d), append(st[q], y.Strides[i]), append(su[q], u.Strides[k+i])
	}
	t.free, t.fixed = newPairWalk(shape[0], st[0], su[0]), newPairWalk(shape[1], st[1], su[1])
	t.w, t.nFixed = tensor.Shape(shape[0]).Size(), tensor.Shape(shape[1]).Size()
	if t.w == 1 && t.nFixed == 1 && len(t.updates.shape) == 1 {
		t.single = pointLoopOf(p.Op, y.DType)
	}
	cost := t.n * t.nFixed * (t.w*(comb.size/2+1) + 12)
	if first := indexed[0]; t.w >= fewest && t.w < most && sizes[first] == 1 && t.n >= 1<<12 {
		rows := y.Shape[first]
		return copiedFirst(x, y, newTask(min(rows, 4), cost, func(s *scratch, c, nc int) {
			lo, hi := span(rows, c, nc)
			t.run(s, 0, t.w, lo*y.Strides[first], hi*y.Strides[first])
		})), nil
	}
	blocks := (t.w + freeBlock - 1) / freeBlock
	return copiedFirst(x, y, newTask(blocks, cost, func(s *scratch, c, nc int) {
		lo, hi := span(blocks, c, nc)
		t.run(s, lo*freeBlock, min(hi*freeBlock, t.w), 0, -1)
	})), nil
}

// run scatters elements [lo, hi) of the free axes, to the rows of the first indexed
// axis whose offset is from first to end (to all if end is negative).
func (t *scatter) run(s *scratch, lo, hi, first, end int) {
	if lo >= hi || t.nFixed == 0 {
		return
	}
	b, mem := newPlacer(s), t.comb.memory(s)
	size := t.comb.size
	for i := 0; i < t.n; i += indexBlock {
		off := t.at.offsets(&b, i, min(indexBlock, t.n-i), first, end)
		if st := t.updates.stride[0]; t.single != nil {
			t.single(t.y.Ptr(), unsafe.Add(t.u.Ptr(), i*st*size), off, st)
			continue
		}
		for j, o := range off {
			if o < 0 {
				continue
			}
			dst, src := unsafe.Add(t.y.Ptr(), int(o)*size), unsafe.Add(t.u.Ptr(), t.updates.offset(i+j)*size)
			if t.nFixed == 1 {
				t.comb.walk(&mem, &t.free, dst, src, lo, hi)
				continue
			}
			for k := range t.nFixed {
				t.comb.walk(&mem, &t.free, unsafe.Add(dst, t.fixed.a.offset(k)*size), unsafe.Add(src, t.fixed.b.offset(k)*size), lo, hi)
			}
		}
	}
}

// scatterAxisTask cuts by the other axes: elements that may meet stay together.
func scatterAxisTask(p tensor.ScatterAxis, in, out []View) (task, error) {
	x, y, u := &in[0], &out[0], &in[2]
	comb, err := newCombiner(p.Op, y.DType)
	if err != nil {
		return task{}, err
	}
	a := p.Axis
	n, m, inner := y.Shape[a], u.Shape[a], y.Shape[a+1:].Size()
	idx, updates := newIndexOf(&in[1], n, 1), operandOf(u)
	width := min(inner, indexBlock) // columns that are done together
	parts := 0
	if inner > 0 {
		parts = (inner + width - 1) / width
	}
	units := y.Shape[:a].Size() * parts
	t := &axisScatter{comb, pointLoopOf(p.Op, y.DType), idx, updates, y, n, m, inner}
	return copiedFirst(x, y, newTask(units, 10*u.Shape.Size(), func(s *scratch, c, nc int) {
		lo, hi := span(units, c, nc)
		b, mem, vals := newPlacer(s), comb.memory(s), piece[uint64](s, indexBlock)
		for ; lo < hi; lo++ {
			o, col := lo/parts, lo%parts*width
			if inner == 1 { // the axis is one run
				t.run(&b, &mem, vals, o, 0, 0, m, 1)
				continue
			}
			for j := range m {
				t.run(&b, &mem, vals, o, j, col, min(width, inner-col), 0)
			}
		}
	})), nil
}

type axisScatter struct {
	comb        combiner
	single      pointLoop
	idx         indexOf
	updates     operand
	y           *View
	n, m, inner int
}

// run puts k updates from [o, j, col] on, which lie along the axis (along is 1) or
// across it.
func (t *axisScatter) run(b *placer, mem *combining, vals []uint64, o, j, col, k, along int) {
	from := (o*t.m+j)*t.inner + col
	base := o*t.n*t.inner + col
	size := t.comb.size
	for i := 0; i < k; i += indexBlock {
		c := min(indexBlock, k-i)
		id := b.id[:c]
		t.idx.read(id, b.raw, from+i)
		src := t.updates.block(vals, from+i, c)
		for e, r := range id {
			at := base + int(r)*t.inner
			if along == 0 {
				at += i + e
			}
			if id[e] = int64(at); t.single == nil {
				t.comb.run(mem, unsafe.Add(t.y.Ptr(), at*size), unsafe.Add(src, e*size), 1, 1, 1)
			}
		}
		if t.single != nil {
			t.single(t.y.Ptr(), src, id, 1)
		}
	}
}

// sliceUpdateTask copies, then writes the part.
func sliceUpdateTask(p tensor.SliceUpdate, in, out []View) (task, error) {
	x, u, y := &in[0], &in[1], &out[0]
	part, ok := tensor.Slice(p).View(*y)
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	off := (part.Offset - y.Offset) / y.DType.Size()
	n, size := u.Shape.Size(), y.DType.Size()
	w := newPairWalk(u.Shape, part.Strides, u.Strides)
	return copiedFirst(x, y, newTask((n+blockLen-1)/blockLen, n*size/2, func(_ *scratch, c, nc int) {
		if lo, hi := spanBlocks(n, c, nc); lo < hi {
			copyBytes(&w, unsafe.Add(y.Ptr(), off*size), u.Ptr(), size, lo, hi)
		}
	})), nil
}
