package metal

import "strconv"

// metalTypes are the names of dtypes in Metal; elements are moved as integers of their
// size.
func bitsType(size int) string {
	return map[int]string{1: "uchar", 2: "ushort", 4: "uint", 8: "ulong"}[size]
}

// copyView writes the elements of in, in row-major order, into out.
func copyView(e *encoder, in, out *View) error {
	t := bitsType(out.DType.Size())
	n := out.Shape.Size()
	grid, group := linear(n)
	if in.Contiguous() {
		k, err := e.kernel("copy", "copy_rows", []string{t})
		if err != nil {
			return err
		}
		e.run(k, grid, group, e.in(in), e.out(out))
		return nil
	}
	w := newWalk(in.Shape, in.Strides)
	k, err := e.kernel("copy", "copy_strided", []string{t, strconv.Itoa(min(len(w.shape), 4))})
	if err != nil {
		return err
	}
	e.run(k, grid, group, e.in(in), e.out(out), ints(w.shape...), longs(w.stride...), i32(len(w.shape)))
	return nil
}
