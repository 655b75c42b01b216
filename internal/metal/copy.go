package metal

import (
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// bitsType is the Metal type that elements of a size are moved as.
func bitsType(size int) string { return integerType(size, false) }

// moved is how many elements a thread of kernels/copy.metal moves.
const moved = 4

// copyView writes the elements of in, in row-major order, into out, whose shape may
// differ.
func copyView(e *encoder, in, out *View) error {
	if !aligned(in) {
		x, y := bytesOf(*in), bytesOf(*out)
		in, out = &x, &y
	}
	if in.Contiguous() {
		return copyRows(e, in, out)
	}
	to := *out
	to.Shape, to.Strides = in.Shape, tensor.ContiguousStrides(in.Shape)
	return copyStrided(e, in, &to)
}

// bytesOf is v as bytes, for elements that are not aligned.
func bytesOf(v View) View {
	n := v.DType.Size()
	v.Shape = append(append(tensor.Shape(nil), v.Shape...), n)
	strides := make([]int, 0, len(v.Shape))
	for _, s := range v.Strides {
		strides = append(strides, n*s)
	}
	v.Strides, v.DType = append(strides, 1), dtype.Uint8
	return v
}

// copyRows moves row-major bytes, as elements that are as large as both ends allow.
func copyRows(e *encoder, in, out *View) error {
	n := out.Spec.Bytes()
	size := 8
	if e.cells != nil { // what is bound later is aligned to its dtype
		size = min(in.DType.Size(), out.DType.Size())
	}
	for (n|address(in)|address(out))%size != 0 {
		size /= 2
	}
	n /= size
	if n > math.MaxUint32 {
		return noKernel("a copy of %d elements", n)
	}
	k, err := e.kernel("copy", "copy_rows", []string{bitsType(size)})
	if err != nil {
		return err
	}
	grid, group := linear((n + moved - 1) / moved)
	e.run(k, grid, group, e.in(in), e.out(out), i64(n))
	return nil
}

// copyStrided moves between views of one shape.
func copyStrided(e *encoder, in, out *View) error {
	w := newWalks(in.Shape, in.Strides, out.Strides)
	grid, group := w.grid(moved)
	for _, g := range append(grid[:], w.shape...) {
		if g > math.MaxInt32 {
			return noKernel("an axis of %d", g)
		}
	}
	k, err := e.kernel("copy", "copy_strided", []string{bitsType(in.DType.Size())})
	if err != nil {
		return err
	}
	e.run(k, grid, group, e.in(in), e.out(out), ints(w.shape...), longs(w.flat()...), i32(len(w.shape)))
	return nil
}

// viewOp copies what a Viewer would show.
func viewOp(e *encoder, p tensor.Viewer, in, out []View) error {
	v, ok := p.View(in[0])
	if !ok {
		return noKernel("a view of these strides")
	}
	return copyView(e, &v, &out[0])
}

// partOf is the elements of v at off, with another shape and v's strides.
func partOf(v View, shape tensor.Shape, off int) View {
	v.Shape = shape
	v.Offset += off * v.DType.Size()
	return v
}

// padOp fills with the value, then copies the inner part.
func padOp(e *encoder, p tensor.Pad, in, out []View) error {
	y := &out[0]
	if err := fill(e, &in[1], y); err != nil {
		return err
	}
	if in[0].Shape.Size() == 0 {
		return nil
	}
	off := 0
	for i, s := range y.Strides {
		off += p.Low.At(i) * s
	}
	part := partOf(*y, in[0].Shape, off)
	return copyStrided(e, &in[0], &part)
}

// fill repeats a scalar.
func fill(e *encoder, value, out *View) error {
	n := out.Shape.Size()
	if n > math.MaxUint32 {
		return noKernel("%d elements to fill", n)
	}
	k, err := e.kernel("copy", "fill", []string{bitsType(out.DType.Size())})
	if err != nil {
		return err
	}
	grid, group := linear((n + moved - 1) / moved)
	e.run(k, grid, group, e.in(value), e.out(out), i64(n))
	return nil
}

// concatenateOp copies the inputs one by one: the parts do not overlap.
func concatenateOp(e *encoder, p tensor.Concatenate, in, out []View) error {
	y := &out[0]
	off := 0
	for i := range in {
		part := partOf(*y, in[i].Shape, off)
		off += in[i].Shape[p.Axis] * y.Strides[p.Axis]
		if in[i].Shape.Size() == 0 {
			continue
		}
		if err := copyStrided(e, &in[i], &part); err != nil {
			return err
		}
	}
	return nil
}

func constOp(e *encoder, p tensor.Const, out []View) error {
	k, err := e.kernel("copy", "store", []string{bitsType(out[0].DType.Size())})
	if err != nil {
		return err
	}
	e.run(k, [3]int{1, 1, 1}, [3]int{1, 1, 1}, e.out(&out[0]), i64(int(p.Bits)))
	return nil
}

// arangeOp is in double precision, as the CPU's.
func arangeOp(e *encoder, p tensor.Arange, out []View) error {
	start, step := p.Start.Value(), p.Step.Value()
	kind := map[class]string{floats: "0", signedInts: "1", unsignedInts: "1", bools: "2", complexes: "3"}[classOf(p.DType)]
	if kind == "" || p.N > math.MaxInt32 || math.IsInf(start, 0) || math.IsInf(step, 0) || start != start || step != step {
		return noKernel("%d numbers of %v from %v by %v", p.N, p.DType, start, step)
	}
	k, err := e.kernel("arange", "arange", []string{storageType(p.DType), kind})
	if err != nil {
		return err
	}
	grid, group := linear(p.N)
	e.run(k, grid, group, e.out(&out[0]), i64(int(p.Start)), i64(int(p.Step)))
	return nil
}
