package metal

import (
	"math"
	"sort"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A reduction is where results and their elements lie. Which kernel folds them follows
// from the strides: see kernels/reduce.metal.
type reduction struct {
	x         View // with positive strides along the reduced axes
	kept, red walk
	n, k      int // results, elements of each
}

func newReduction(axes tensor.AxisSet, x *View) *reduction {
	r := &reduction{x: *x}
	r.x.Strides = append([]int(nil), x.Strides...)
	var ks, kst []int
	var red []axis
	r.n, r.k = 1, 1
	for i, d := range x.Shape {
		st := x.Strides[i]
		if !axes.Has(i) {
			ks, kst, r.n = append(ks, d), append(kst, st), r.n*d
			continue
		}
		r.k *= d
		if st < 0 && d > 0 { // from the other end: the order does not matter
			r.x.Offset += (d - 1) * st * x.DType.Size()
			st = -st
			r.x.Strides[i] = st
		}
		red = append(red, axis{d, st})
	}
	sort.SliceStable(red, func(a, b int) bool { return red[a].stride > red[b].stride })
	var rs, rst []int
	for _, a := range red {
		rs, rst = append(rs, a.size), append(rst, a.stride)
	}
	r.kept, r.red = newWalk(ks, kst), newWalk(rs, rst)
	return r
}

type axis struct{ size, stride int }

// reduce folds along axes.
func reduce(e *encoder, p tensor.Reduce, in, out []View) error {
	acc := foldTypes[p.Op][in[0].DType]
	if acc == "" {
		return noKernel("%s of %v", p.Name(), in[0].DType)
	}
	r := newReduction(p.Axes, &in[0])
	f := folding{op: foldNames[p.Op], acc: acc, from: elementTypes[in[0].DType], to: elementTypes[out[0].DType]}
	dst := e.out(&out[0])
	if r.k == 0 { // there may be no memory
		return f.run(e, r, dst, dst)
	}
	return f.run(e, r, e.in(&r.x), dst)
}

// A folding is an operation on accumulators acc of elements of type from, with results
// of type to.
type folding struct{ op, acc, from, to string }

func (f folding) kernel(e *encoder, shape string) (gpu.Kernel, error) {
	return e.kernel("reduce", "reduce_"+shape, []string{f.op + "<" + f.acc + ">", f.from, f.to})
}

// foldNames are the operations of kernels/fold.h.
var foldNames = [tensor.NumReduce]string{
	tensor.OpSum: "Sum", tensor.OpMean: "Mean", tensor.OpProd: "Prod", tensor.OpMax: "Max", tensor.OpMin: "Min", tensor.OpAll: "All", tensor.OpAny: "Any",
}

// foldTypes are what the operations compute in. Sums of integers wrap: they are unsigned.
var foldTypes = func() (t [tensor.NumReduce][dtype.Count]string) {
	for d := range dtype.DType(dtype.Count) {
		var sum, order string
		switch {
		case elementTypes[d] == "":
			continue
		case d == dtype.Complex64:
			sum, order = "float2", "float2"
		case d.Is(dtype.Floating):
			sum, order = "float", "float"
		case d.Size() == 8:
			sum, order = "ulong", elementTypes[d]
		case d.Is(dtype.SignedInteger):
			sum, order = "uint", "int"
		default:
			sum, order = "uint", "uint"
		}
		t[tensor.OpSum][d], t[tensor.OpProd][d], t[tensor.OpMax][d], t[tensor.OpMin][d] = sum, sum, order, order
		if d.Is(dtype.Inexact) {
			t[tensor.OpMean][d] = sum
		}
	}
	t[tensor.OpAll][dtype.Bool], t[tensor.OpAny][dtype.Bool] = "uint", "uint"
	return t
}()

// Shapes of reductions.
const (
	threadMost = 8       // elements that a thread folds alone
	threadCols = 1 << 14 // results side by side that have a thread each
	simdMost   = 1024    // elements that a simdgroup folds alone
	splitRow   = 8192    // elements of a part
	splitCol   = 256     // the same, of a column
	longCol    = 1 << 14 // the most: threads add one by one
	fewGroups  = 256     // threadgroups that keep a GPU busy
)

// run picks the kernel. out is row-major.
func (f folding) run(e *encoder, r *reduction, src, out arg) error {
	if r.n == 0 {
		return nil
	}
	last := len(r.kept.shape) - 1
	inner := r.kept.shape[last]
	side := r.kept.stride[last] == 1 && inner > 1
	switch {
	case r.k <= threadMost || side && r.n >= threadCols && r.k <= splitCol:
		k, err := f.kernel(e, "thread")
		if err != nil {
			return err
		}
		grid, group := linear(r.n)
		e.run(k, grid, group, f.args(r, src, out, 1, r.kept)...)
		return nil
	case side && inner >= 8:
		return f.columns(e, r, src, out, inner)
	case r.k <= simdMost:
		return f.simds(e, r.n, f.args(r, src, out, 1, r.kept))
	}
	splits := max(1, min(r.k/splitRow, fewGroups/r.n))
	return f.split(e, r, splits, out, func(f folding, out arg) error {
		k, err := f.kernel(e, "row")
		if err != nil {
			return err
		}
		return e.runGroups(k, r.n*splits, threadsFor(r.k/splits, 16, k.MaxThreads()), f.args(r, src, out, splits, r.kept)...)
	})
}

// columns folds results that lie side by side.
func (f folding) columns(e *encoder, r *reduction, src, out arg, inner int) error {
	outer := r.kept
	outer.shape, outer.stride = outer.shape[:len(outer.shape)-1], outer.stride[:len(outer.stride)-1]
	if len(outer.shape) == 0 {
		outer = newWalk(nil, nil)
	}
	groups := (inner + simdWidth - 1) / simdWidth * (r.n / inner)
	splits := max(1, min(r.k/splitCol, fewGroups/groups), r.k/longCol)
	return f.split(e, r, splits, out, func(f folding, out arg) error {
		k, err := f.kernel(e, "col")
		if err != nil {
			return err
		}
		tall := max(1, min(16, r.k/splits/2, k.MaxThreads()/simdWidth))
		args := f.args(r, src, out, splits, outer)
		grid := [3]int{roundUp(inner, simdWidth), splits * tall, r.n / inner}
		e.run(k, grid, [3]int{simdWidth, tall, 1}, args...)
		return nil
	})
}

// split runs first with parts of the elements, and folds what it leaves.
func (f folding) split(e *encoder, r *reduction, splits int, out arg, first func(f folding, out arg) error) error {
	if splits == 1 {
		return first(f, out)
	}
	part, join := f, f
	if part.to, join.from = f.acc, f.acc; f.op == "Mean" {
		part.op = "Sum"
	}
	size := 4
	if f.acc == "ulong" || f.acc == "long" || f.acc == "float2" {
		size = 8
	}
	parts := e.scratch(r.n * splits * size)
	if err := first(part, parts); err != nil {
		return err
	}
	rest := &reduction{n: r.n, k: splits, kept: newWalk([]int{r.n}, []int{splits}), red: newWalk([]int{splits}, []int{1})}
	args := join.args(rest, parts.reading(), out, 1, rest.kept)
	args[2] = params(rest, 1, rest.kept, r.k)
	return join.simds(e, r.n, args)
}

// simds gives each of n results a simdgroup.
func (f folding) simds(e *encoder, n int, args []arg) error {
	k, err := f.kernel(e, "simd")
	if err != nil {
		return err
	}
	together := min(8, n, k.MaxThreads()/simdWidth)
	return e.runGroups(k, (n+together-1)/together, together*simdWidth, args...)
}

func (f folding) args(r *reduction, src, out arg, splits int, kept walk) []arg {
	return []arg{src, out, params(r, splits, kept, r.k), ints(kept.shape...), longs(kept.stride...), ints(r.red.shape...), longs(r.red.stride...)}
}

// params is the struct of kernels/reduce.metal; count is what a mean divides by.
func params(r *reduction, splits int, kept walk, count int) arg {
	return ints(r.n, r.k, len(kept.shape), len(r.red.shape), splits, r.kept.shape[len(r.kept.shape)-1], int(int32(math.Float32bits(float32(count)))))
}

func roundUp(n, to int) int { return (n + to - 1) / to * to }

// sumColumns adds the rows of float32 [rows, K] in scratch memory into out [K].
func sumColumns(e *encoder, rows arg, n int, out *View) error {
	k := out.Shape.Size()
	r := &reduction{n: k, k: n, kept: newWalk([]int{k}, []int{1}), red: newWalk([]int{n}, []int{k})}
	f := folding{op: "Sum", acc: "float", from: "float", to: elementTypes[out.DType]}
	return f.run(e, r, rows.reading(), e.out(out))
}

// argReduce finds the first extreme of each row; strides may be any.
func argReduce(e *encoder, p tensor.ArgReduce, in, out []View) error {
	t, ok := elements(in[0])
	if !ok {
		return noKernel("%s of %v", p.Name(), in[0].DType)
	}
	k, err := e.kernel("argreduce", "arg_reduce", t)
	if err != nil {
		return err
	}
	x := newRows(&in[0])
	args := append([]arg{e.in(&in[0]), e.out(&out[0]), i32(x.k), i64(x.step), flag(p.Min)}, x.outer.args()...)
	return e.runGroups(k, x.n, threadsFor(x.k, 4, k.MaxThreads()), args...)
}
