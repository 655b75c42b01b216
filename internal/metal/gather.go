package metal

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Indices out of range are no faults here, since kernels have no way to tell: a gather
// reads the nearest place, a scatter leaves the update out. On the CPU they are.

// maxIndexArrays is how many index arrays the kernels take.
const maxIndexArrays = 4

// integerKinds are the numbers of kernels/places.h for dtypes of indices.
var integerKinds = map[dtype.DType]int{
	dtype.Int8: 0, dtype.Int16: 1, dtype.Int32: 2, dtype.Int64: 3,
	dtype.Uint8: 4, dtype.Uint16: 5, dtype.Uint32: 6, dtype.Uint64: 7,
}

// pointers are index arrays of one shape, each for an axis of v in which windows of some
// sizes lie.
type pointers struct {
	arrays []View
	walk   walks
	rules  []int // kind, size and last place for each
	steps  []int // strides of v
}

func newPointers(idx []View, axes tensor.Ints, v *View, sizes []int) (*pointers, error) {
	if len(idx) > maxIndexArrays {
		return nil, noKernel("%d index arrays", len(idx))
	}
	p := &pointers{arrays: idx}
	var strides [][]int
	for i := range idx {
		a := axes.At(i)
		p.rules = append(p.rules, integerKinds[idx[i].DType], v.Shape[a], v.Shape[a]-sizes[a])
		p.steps = append(p.steps, v.Strides[a])
		strides = append(strides, idx[i].Strides)
	}
	p.walk = newWalks(idx[0].Shape, strides...)
	return p, nil
}

// buffers are the index arrays; the first one stands for those that are not there.
func (p *pointers) buffers(e *encoder) (l []arg) {
	for i := range maxIndexArrays {
		if i >= len(p.arrays) {
			i = 0
		}
		l = append(l, e.in(&p.arrays[i]))
	}
	return l
}

// args are what describes the arrays.
func (p *pointers) args() []arg {
	return []arg{ints(p.rules...), longs(p.steps...), ints(p.walk.shape...), longs(p.walk.flat()...)}
}

// windowGrid is a grid of so many threads for each of n windows.
func windowGrid(parts, n int) (grid, group [3]int) {
	x := min(parts, 256)
	return [3]int{parts, n, 1}, [3]int{x, min(n, 256/x), 1}
}

// gather copies windows.
func gather(e *encoder, p tensor.Gather, in, out []View) error {
	x, y := &in[0], &out[0]
	if y.Shape.Size() == 0 {
		return nil
	}
	sizes := p.Sizes.List()
	at, err := newPointers(in[1:], p.Axes, x, sizes)
	if err != nil {
		return err
	}
	k, err := e.kernel("gather", "gather", []string{bitsType(x.DType.Size())})
	if err != nil {
		return err
	}
	w, size := newWalk(sizes, x.Strides), tensor.Shape(sizes).Size()
	args := append([]arg{e.in(x)}, at.buffers(e)...)
	args = append(args, e.out(y), ints(len(at.arrays), len(at.walk.shape), size, len(w.shape)))
	args = append(append(args, at.args()...), ints(w.shape...), longs(w.stride...))
	grid, group := windowGrid((size+moved-1)/moved, in[1].Shape.Size())
	e.run(k, grid, group, args...)
	return nil
}

// gatherAxis picks element by element.
func gatherAxis(e *encoder, p tensor.GatherAxis, in, out []View) error {
	x, idx, y, a := &in[0], &in[1], &out[0], p.Axis
	if y.Shape.Size() == 0 {
		return nil
	}
	k, err := e.kernel("gather", "gather_axis", []string{bitsType(x.DType.Size())})
	if err != nil {
		return err
	}
	outer := newWalks(x.Shape[:a], x.Strides[:a], idx.Strides[:a])
	inner := newWalks(x.Shape[a+1:], x.Strides[a+1:], idx.Strides[a+1:])
	width := x.Shape[a+1:].Size()
	grid, group := windowGrid(y.Shape[a]*width, y.Shape[:a].Size())
	n := x.Shape[a]
	e.run(k, grid, group, e.in(x), e.in(idx), e.out(y), ints(width, len(outer.shape), len(inner.shape)),
		ints(integerKinds[idx.DType], n, n-1), longs(x.Strides[a], idx.Strides[a]),
		ints(outer.shape...), longs(outer.flat()...), ints(inner.shape...), longs(inner.flat()...))
	return nil
}

// copiedFirst copies x to y, unless y has x's memory.
func copiedFirst(e *encoder, x, y *View) error {
	if x.Buf == y.Buf && x.Offset == y.Offset && x.Contiguous() {
		return nil
	}
	return copyView(e, x, y)
}

// sliceUpdate copies, then writes the part.
func sliceUpdate(e *encoder, p tensor.SliceUpdate, in, out []View) error {
	u, y := &in[1], &out[0]
	part, ok := tensor.Slice(p).View(*y)
	if !ok {
		return noKernel("the part that is updated is no view")
	}
	if err := copiedFirst(e, &in[0], y); err != nil || u.Shape.Size() == 0 {
		return err
	}
	return copyStrided(e, u, &part)
}
