package metal

import (
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

const (
	// fewWindows is how many windows threads go through one by one.
	fewWindows = 32
	// fewAlong is the same along an axis, and manyColumns from how many threads on there
	// may be any number.
	fewAlong, manyColumns = 64, 1 << 14
)

// scatterKernel is function fn of kernels/scatter.metal for an op on elements of d.
func scatterKernel(e *encoder, fn string, op tensor.ScatterOp, d tensor.DType) (gpu.Kernel, error) {
	if op == tensor.ScatterSet { // of bits, whatever they mean
		t := bitsType(d.Size())
		return e.kernel("scatter", fn, []string{"Last<" + t + ">", t})
	}
	r := [...]tensor.ReduceOp{0, tensor.OpSum, tensor.OpProd, tensor.OpMax, tensor.OpMin}[op]
	acc := foldTypes[r][d]
	if acc == "" {
		return nil, noKernel("updates of %v", d)
	}
	return e.kernel("scatter", fn, []string{foldNames[r] + "<" + acc + ">", elementTypes[d]})
}

// scratchView is a row-major array in scratch memory.
func (e *encoder) scratchView(d tensor.DType, shape ...int) (View, error) {
	s := tensor.Spec{Shape: shape, DType: d}
	b, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, s.Bytes())
	if err != nil {
		return View{}, err
	}
	e.keep = append(e.keep, b)
	return tensor.RowMajorView(s, b), nil
}

// A scattering is Scatter's windows: positions, and elements of a window in axes that no
// index points to (free) and in others (fixed).
type scattering struct {
	op          tensor.ScatterOp
	u, y        *View
	places      View // of uint32, an offset in y for each position
	n           int
	positions   walk // of u
	free, fixed walks
	nf, nx      int // elements
}

func newScattering(p tensor.Scatter, u, y *View, k int) *scattering {
	s := &scattering{op: p.Op, u: u, y: y, n: u.Shape[:k].Size(), positions: newWalk(u.Shape[:k], u.Strides[:k])}
	indexed := p.Axes.List()
	var shape, sy, su [2][]int
	for i, d := range u.Shape[k:] {
		q := 0
		if s.n > 1 && slices.Contains(indexed, i) { // a lone window does not meet others
			q = 1
		}
		shape[q], sy[q], su[q] = append(shape[q], d), append(sy[q], y.Strides[i]), append(su[q], u.Strides[k+i])
	}
	s.free, s.fixed = newWalks(shape[0], sy[0], su[0]), newWalks(shape[1], sy[1], su[1])
	s.nf, s.nx = tensor.Shape(shape[0]).Size(), tensor.Shape(shape[1]).Size()
	return s
}

// scatter writes windows.
func scatter(e *encoder, p tensor.Scatter, in, out []View) error {
	last := len(in) - 1
	u, y, k := &in[last], &out[0], len(in[1].Shape)
	at, err := newPointers(in[1:last], p.Axes, y, u.Shape[k:])
	if err != nil {
		return err
	}
	if err := copiedFirst(e, &in[0], y); err != nil || u.Shape.Size() == 0 {
		return err
	}
	s := newScattering(p, u, y, k)
	if s.places, err = e.scratchView(dtype.Uint32, s.n); err != nil {
		return err
	}
	find, err := e.kernel("scatter", "scatter_places", nil)
	if err != nil {
		return err
	}
	args := append(at.buffers(e), e.out(&s.places), ints(len(at.arrays), len(at.walk.shape)))
	grid, group := linear(s.n)
	e.run(find, grid, group, append(args, at.args()...)...)
	if s.n > fewWindows && s.nx == 1 {
		return s.runs(e)
	}
	return s.columns(e)
}

// columns gives an element of the free axes a thread.
func (s *scattering) columns(e *encoder) error {
	k, err := scatterKernel(e, "scatter_columns", s.op, s.y.DType)
	if err != nil {
		return err
	}
	grid, group := linear(s.nf)
	e.run(k, grid, group, e.in(&s.places), e.in(s.u), e.inout(s.y),
		ints(s.n, s.nx, len(s.positions.shape), len(s.free.shape), len(s.fixed.shape)),
		ints(s.positions.shape...), longs(s.positions.stride...), ints(s.free.shape...), longs(s.free.flat()...),
		ints(s.fixed.shape...), longs(s.fixed.flat()...))
	return nil
}

// runs sorts the windows by place: equal ones keep their order.
func (s *scattering) runs(e *encoder) error {
	k, err := scatterKernel(e, "scatter_runs", s.op, s.y.DType)
	if err != nil {
		return err
	}
	order, err := e.scratchView(dtype.Uint32, s.n)
	if err != nil {
		return err
	}
	if err := sortRows(e, []View{s.places}, []View{order}, sortedIDs); err != nil {
		return err
	}
	grid, group := windowGrid(s.nf, s.n)
	e.run(k, grid, group, e.in(&s.places), e.in(&order), e.in(s.u), e.inout(s.y),
		ints(s.n, s.nx, len(s.positions.shape), len(s.free.shape)),
		ints(s.positions.shape...), longs(s.positions.stride...), ints(s.free.shape...), longs(s.free.flat()...))
	return nil
}

// scatterAxis writes element by element.
func scatterAxis(e *encoder, p tensor.ScatterAxis, in, out []View) error {
	idx, u, y, a := &in[1], &in[2], &out[0], p.Axis
	if err := copiedFirst(e, &in[0], y); err != nil || u.Shape.Size() == 0 {
		return err
	}
	n, m, inner, outer := y.Shape[a], u.Shape[a], y.Shape[a+1:].Size(), y.Shape[:a].Size()
	s := &scattering{op: p.Op, u: u, y: y, n: outer * m * inner, positions: newWalk(u.Shape, u.Strides), nf: 1, nx: 1}
	var err error
	if s.places, err = e.scratchView(dtype.Uint32, s.n); err != nil {
		return err
	}
	find, err := e.kernel("scatter", "axis_places", nil)
	if err != nil {
		return err
	}
	w := newWalk(idx.Shape, idx.Strides)
	grid, group := windowGrid(m*inner, outer)
	e.run(find, grid, group, e.in(idx), e.out(&s.places), ints(inner, len(w.shape)), ints(integerKinds[idx.DType], n, n-1),
		ints(w.shape...), longs(w.stride...))
	if m > fewAlong && outer*inner < manyColumns {
		s.free = newWalks(nil, nil, nil)
		return s.runs(e)
	}
	k, err := scatterKernel(e, "scatter_axis", p.Op, y.DType)
	if err != nil {
		return err
	}
	grid, group = windowGrid(inner, outer)
	e.run(k, grid, group, e.in(&s.places), e.in(u), e.inout(y), ints(m, len(s.positions.shape)), i64(u.Strides[a]),
		ints(s.positions.shape...), longs(s.positions.stride...))
	return nil
}
