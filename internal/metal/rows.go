package metal

import (
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// rowsOf are the rows of a view: its last axis, a step apart, and where each begins.
type rowsOf struct {
	n, k  int // rows, elements of each
	step  int // from an element to the next
	outer walk
}

func newRows(v *View) rowsOf {
	last := len(v.Shape) - 1
	if last < 0 {
		return rowsOf{n: 1, k: 1, step: 1, outer: newWalk(nil, nil)}
	}
	return rowsOf{
		n: tensor.Shape(v.Shape[:last]).Size(), k: v.Shape[last], step: v.Strides[last],
		outer: newWalk(v.Shape[:last], v.Strides[:last]),
	}
}

// args are shape, strides and the number of axes, as strided_offset takes them.
func (w *walk) args() []arg {
	return []arg{ints(w.shape...), longs(w.stride...), i32(len(w.shape))}
}

// rowsPacked reports whether the elements of each row lie side by side.
func rowsPacked(v *View) bool {
	n := len(v.Shape)
	return n == 0 || v.Shape[n-1] <= 1 || v.Strides[n-1] == 1
}

// elementTypes are the names in Metal of what the kernels on rows compute with. There is
// no float64; complex64 is two floats; boolean is our own.
var elementTypes = [dtype.Count]string{
	dtype.Bool: "boolean", dtype.Uint8: "uchar", dtype.Uint16: "ushort", dtype.Uint32: "uint", dtype.Uint64: "ulong",
	dtype.Int8: "char", dtype.Int16: "short", dtype.Int32: "int", dtype.Int64: "long",
	dtype.Float16: "half", dtype.BFloat16: "bfloat", dtype.Float32: "float", dtype.Complex64: "float2",
}

// elements names the types of views; ok is false if one has none.
func elements(views ...View) (names []string, ok bool) {
	for i := range views {
		t := elementTypes[views[i].DType]
		if t == "" {
			return nil, false
		}
		names = append(names, t)
	}
	return names, true
}

// threadsFor is how many threads take a row of k elements, each so many at a time: full
// simdgroups, since their lanes are summed.
func threadsFor(k, each, most int) int {
	n := (k + each - 1) / each
	return max(simdWidth, min((n+simdWidth-1)/simdWidth*simdWidth, most/simdWidth*simdWidth))
}

// simdWidth is how many threads a simdgroup has on every Apple GPU.
const simdWidth = 32

// runGroups runs a kernel whose threadgroups of so many threads take n rows, one each.
func (e *encoder) runGroups(k gpu.Kernel, n, threads int, args ...arg) error {
	if n*threads > maxSize {
		return noKernel("%d rows of %d threads", n, threads)
	}
	e.run(k, [3]int{n * threads, 1, 1}, [3]int{threads, 1, 1}, args...)
	return nil
}

// softmax is Softmax, and LogSumExp by another kernel.
func softmax(e *encoder, kernel string, in, out []View) error {
	t, ok := elements(in[0], out[0])
	if !ok {
		return noKernel("%s of %v", kernel, in[0].DType)
	}
	x := newRows(&in[0])
	if x.k == 0 { // a sum of nothing
		return noKernel("%s of nothing", kernel)
	}
	k, err := e.kernel("rows", kernel, t[:1])
	if err != nil {
		return err
	}
	args := append([]arg{e.in(&in[0]), e.out(&out[0]), i32(x.k)}, x.outer.args()...)
	return e.runGroups(k, x.n, threadsFor(x.k, 4, k.MaxThreads()), args...)
}
