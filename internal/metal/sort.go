package metal

import (
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// What sort_block leaves, as in kernels/sort.metal.
const (
	sortedRuns = iota
	sortedIDs
	sortedValues
)

const (
	sortEach    = 8   // elements of a thread
	sortThreads = 256 // most threads of a block
)

// sortRows sorts; the result is the order or the elements, as leaves says. Strides may be
// any.
func sortRows(e *encoder, in, out []View, leaves int) error {
	t, ok := elements(in[0], out[0])
	if !ok {
		return noKernel("an order of %v", in[0].DType)
	}
	x := newRows(&in[0])
	threads := threadsFor(x.k, sortEach, sortThreads)
	if x.k > threads*sortEach {
		return sortLong(e, in, out, leaves)
	}
	k, err := e.kernel("sort", "sort_block", []string{t[0], t[1], strconv.Itoa(leaves)})
	if err != nil {
		return err
	}
	if k.MaxThreads() < threads {
		return noKernel("threadgroups of %d threads", threads)
	}
	args := append([]arg{e.in(&in[0]), e.out(&out[0]), e.out(&out[0]), i32(x.k), i64(x.step)}, x.outer.args()...)
	e.runWith(k, [3]int{threads, x.n, 1}, [3]int{threads, 1, 1}, sortMemory(threads, keySize(in[0].DType)), args...)
	return nil
}

// sortMemory is the threadgroup memory of a block: keys and indices.
func sortMemory(threads, key int) []int {
	return []int{threads * sortEach * key, threads * sortEach * 4}
}

// keySize is the bytes of a key.
func keySize(d dtype.DType) int {
	if d.Size() == 8 {
		return 8
	}
	return 4
}

// A sortRun is keys and indices of rows in scratch memory.
type sortRun struct{ keys, ids arg }

// sortLong sorts blocks and merges them, from one scratch memory into another. The last
// indices are the result, or tell where its elements come from.
func sortLong(e *encoder, in, out []View, leaves int) error {
	const block = sortThreads * sortEach
	x := newRows(&in[0])
	size := keySize(in[0].DType)
	key := map[int]string{4: "uint", 8: "ulong"}[size]
	first, err := e.kernel("sort", "sort_block", []string{elementTypes[in[0].DType], "uint", strconv.Itoa(sortedRuns)})
	if err != nil {
		return err
	}
	merge, err := e.kernel("sort", "sort_merge", []string{key})
	if err != nil {
		return err
	}
	if min(first.MaxThreads(), merge.MaxThreads()) < sortThreads {
		return noKernel("threadgroups of %d threads", sortThreads)
	}
	var runs [2]sortRun
	for i := range runs {
		runs[i] = sortRun{e.scratch(x.n * x.k * size), e.scratch(x.n * x.k * 4)}
	}
	grid := [3]int{roundUp(x.k, block) / sortEach, x.n, 1}
	group := [3]int{sortThreads, 1, 1}
	memory := sortMemory(sortThreads, size)
	args := append([]arg{e.in(&in[0]), runs[0].ids, runs[0].keys, i32(x.k), i64(x.step)}, x.outer.args()...)
	e.runWith(first, grid, group, memory, args...)
	for width := block; width < x.k; width *= 2 {
		from, to := runs[0], runs[1]
		if leaves == sortedIDs && 2*width >= x.k {
			to.ids = e.out(&out[0])
		}
		e.runWith(merge, grid, group, memory, from.keys.reading(), from.ids.reading(), to.keys, to.ids, i32(x.k), i32(width))
		runs[0], runs[1] = to, from
	}
	if leaves == sortedIDs {
		return nil
	}
	return permuteRows(e, &in[0], runs[0].ids.reading(), &out[0])
}

// argSort is the order of rows; that of a scalar is 0, as of a row of one.
func argSort(e *encoder, in, out []View) error { return sortRows(e, in, out, sortedIDs) }

// permuteRows takes elements of x, whose strides may be any, in a row-major order.
func permuteRows(e *encoder, x *View, order arg, out *View) error {
	k, err := e.kernel("sort", "permute_row", []string{bitsType(x.DType.Size())})
	if err != nil {
		return err
	}
	r := newRows(x)
	args := append([]arg{e.in(x), order, e.out(out), i32(r.k), i64(r.step)}, r.outer.args()...)
	e.run(k, [3]int{r.k, r.n, 1}, [3]int{256, 1, 1}, args...)
	return nil
}

// searchSorted bisects row-major rows.
func searchSorted(e *encoder, p tensor.SearchSorted, in, out []View) error {
	t, ok := elements(in[0], in[1])
	if !ok {
		return noKernel("a search in %v", in[0].DType)
	}
	if in[0].Shape.Size() == 0 { // there may be no memory
		return noKernel("a search in nothing")
	}
	k, err := e.kernel("sort", "search_sorted", t[:1])
	if err != nil {
		return err
	}
	x, v := newRows(&in[0]), newRows(&in[1])
	e.run(k, [3]int{v.k, v.n, 1}, [3]int{256, 1, 1}, e.in(&in[0]), e.in(&in[1]), e.out(&out[0]), i32(x.k), i32(v.k), flag(p.Right))
	return nil
}
