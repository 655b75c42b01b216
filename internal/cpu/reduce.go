package cpu

import (
	"fmt"
	"math"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Reductions accumulate wide: sums and products of floats in float64 (blocks of
// 1024 in float32 first), of complex64 in complex128, of integers in the type of the result. Maxima and
// minima are NaN if any element is.

// A fold is a reduction from elements T over accumulators A to results R.
type fold[T, A, R any] struct {
	first A
	block func(acc A, x []T) A // folds a run of one result's elements
	row   func(acc []A, x []T) // folds an element of each of many results
	// rows folds k rows from element off of x on, ld elements apart, p being as long
	// as acc; nil if there is no such kernel.
	rows   func(acc []A, p []T, x *View, off, ld, k int)
	halves bool                 // rows takes halves, too
	store  func(y []R, acc []A) // nil, or done for many
	// direct gives results of at most foldRows rows at once; nil if there is no such
	// kernel. tmp is as long as y.
	direct func(y []R, tmp []T, x *View, off, ld, k int)
	merge  func(a, b A) A // joins two parts
	done   func(a A) R
}

// A reduction is where the elements of the results lie. If the innermost axis is
// reduced, results are taken one by one and their elements in blocks; else many
// results at a time, and their elements one by one.
type reduction struct {
	x, y   *View
	kept   walk // results, row-major; without the inner axis when wide
	red    walk // elements of a result
	n, k   int  // results, elements of each
	wide   bool
	inner  int // wide: size and stride of the innermost kept axis
	stride int
	tiles  int // wide: pieces of the inner axis
	splits int // parts of the elements, folded apart and then merged
	units  int
	half   bool
	few    bool // wide: few long rows of consecutive elements
	size   int
}

const (
	foldTile  = 4096 // results that a wide reduction folds together
	foldRows  = 16   // rows that a kernel folds together
	foldBlock = 1024 // elements that are gathered at a time
	splitMin  = 1 << 16
	mergeMax  = 1 << 16 // most parts that are merged, on one thread
)

func reduceTask(p tensor.Reduce, in, out []View) (task, error) {
	r := newReduction(p.Axes, &in[0], &out[0])
	switch p.Op {
	case tensor.OpAll, tensor.OpAny:
		all := p.Op == tensor.OpAll
		f := fold[uint8, uint8, uint8]{first: bit(all), block: blockAny, row: rowAny, merge: func(a, b uint8) uint8 { return a | b }, done: normal}
		if all {
			f.block, f.row, f.merge = blockAll, rowAll, func(a, b uint8) uint8 { return a & b }
		}
		return reduceWith(r, f), nil
	case tensor.OpSum, tensor.OpProd:
		return reduceSum(r, p.Op == tensor.OpProd)
	case tensor.OpMean:
		return reduceMean(r)
	case tensor.OpMax, tensor.OpMin:
		return reduceExtreme(r, p.Op == tensor.OpMin)
	}
	return task{}, tensor.ErrUnsupported
}

func reduceSum(r *reduction, prod bool) (task, error) {
	switch computeType(r.x.DType) {
	case dtype.Bool:
		return reduceWith(r, boolFold(sumFold[uint8, int32, int32](prod))), nil
	case dtype.Uint8:
		return reduceWith(r, sumFold[uint8, uint32, uint32](prod)), nil
	case dtype.Uint16:
		return reduceWith(r, sumFold[uint16, uint32, uint32](prod)), nil
	case dtype.Uint32:
		return reduceWith(r, sumFold[uint32, uint32, uint32](prod)), nil
	case dtype.Uint64:
		return reduceWith(r, sumFold[uint64, uint64, uint64](prod)), nil
	case dtype.Int8:
		return reduceWith(r, sumFold[int8, int32, int32](prod)), nil
	case dtype.Int16:
		return reduceWith(r, sumFold[int16, int32, int32](prod)), nil
	case dtype.Int32:
		return reduceWith(r, sumFold[int32, int32, int32](prod)), nil
	case dtype.Int64:
		return reduceWith(r, sumFold[int64, int64, int64](prod)), nil
	case dtype.Float32:
		return reduceWith(r, sumFold32(prod)), nil
	case dtype.Float64:
		return reduceWith(r, sumFold[float64, float64, float64](prod)), nil
	case dtype.Complex64:
		return reduceWith(r, complexFold(prod)), nil
	}
	return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, r.x.DType)
}

// reduceMean divides sums by the number of elements before they are rounded.
func reduceMean(r *reduction) (task, error) {
	n := float64(r.k)
	switch computeType(r.x.DType) {
	case dtype.Float32:
		f := sumFold32(false)
		f.done = func(a float64) float32 { return float32(a / n) }
		f.store = func(y []float32, acc []float64) {
			for i, a := range acc {
				y[i] = float32(a / n)
			}
		}
		f.direct = func(y, tmp []float32, x *View, off, ld, k int) { // float32 holds k: the same quotient
			sumRows32(y, nil, x, off, ld, k)
			for i := range tmp {
				tmp[i] = float32(k)
			}
			simd.K.Binary[simd.Div](y, y, tmp)
		}
		return reduceWith(r, f), nil
	case dtype.Float64:
		f := sumFold[float64, float64, float64](false)
		f.done, f.store = func(a float64) float64 { return a / n }, nil
		return reduceWith(r, f), nil
	case dtype.Complex64:
		f := complexFold(false)
		f.done = func(a complex128) complex64 { return complex64(complex(real(a)/n, imag(a)/n)) }
		return reduceWith(r, f), nil
	}
	return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, r.x.DType)
}

// extremeRows folds rows of float32 four at a time; those of halves it does not know.
func extremeRows(op simd.BinaryOp) func(acc, _ []float32, x *View, off, ld, k int) {
	four := simd.K.MaxRows
	if op == simd.Minimum {
		four = simd.K.MinRows
	}
	return func(acc, _ []float32, x *View, off, ld, k int) {
		if k == 0 {
			return
		}
		n := len(acc)
		rows := at[float32](x, off, (k-1)*ld+n)
		for ; k >= 4; k -= 4 {
			four(acc, rows, ld)
			if k > 4 {
				rows = rows[4*ld:]
			}
		}
		for i := range k {
			simd.K.Binary[op](acc, acc, rows[i*ld:i*ld+n])
		}
	}
}

// extremeDirect starts from the first row.
func extremeDirect(op simd.BinaryOp) func(y, _ []float32, x *View, off, ld, k int) {
	rows := extremeRows(op)
	return func(y, _ []float32, x *View, off, ld, k int) {
		copy(y, at[float32](x, off, len(y)))
		rows(y, nil, x, off+ld, ld, k-1)
	}
}

var onesRow = slices.Repeat([]float32{1}, foldRows)

// sumRows32 is a product with ones.
func sumRows32(y, _ []float32, x *View, off, ld, k int) {
	n := len(y)
	simd.K.GemmNN(y, n, onesRow[:k], k, 1, rawAt(x, off, (k-1)*ld+n), ld, n, k)
}

// sumFold32 sums blocks in float32 and those in float64.
func sumFold32(prod bool) fold[float32, float64, float32] {
	f := sumFold[float32, float64, float32](prod)
	if !prod {
		f.block = func(acc float64, x []float32) float64 { return acc + float64(simd.K.Sum(x)) }
		f.halves = true
		f.rows = func(acc []float64, p []float32, x *View, off, ld, k int) {
			sumRows32(p, nil, x, off, ld, k)
			sumRow(acc, p)
		}
		f.direct = sumRows32
	}
	return f
}

func complexFold(prod bool) fold[complex64, complex128, complex64] {
	f := fold[complex64, complex128, complex64]{block: sumComplex, row: addComplex,
		merge: func(a, b complex128) complex128 { return a + b }, done: func(a complex128) complex64 { return complex64(a) }}
	if prod {
		f.first, f.block, f.row, f.merge = 1, prodComplex, mulComplex, func(a, b complex128) complex128 { return a * b }
	}
	return f
}

func reduceExtreme(r *reduction, min bool) (task, error) {
	switch d := computeType(r.x.DType); d {
	case dtype.Bool, dtype.Uint8:
		return reduceWith(r, extremeFold[uint8](0, math.MaxUint8, min)), nil
	case dtype.Uint16:
		return reduceWith(r, extremeFold[uint16](0, math.MaxUint16, min)), nil
	case dtype.Uint32:
		return reduceWith(r, extremeFold[uint32](0, math.MaxUint32, min)), nil
	case dtype.Uint64:
		return reduceWith(r, extremeFold[uint64](0, math.MaxUint64, min)), nil
	case dtype.Int8:
		return reduceWith(r, extremeFold[int8](math.MinInt8, math.MaxInt8, min)), nil
	case dtype.Int16:
		return reduceWith(r, extremeFold[int16](math.MinInt16, math.MaxInt16, min)), nil
	case dtype.Int32:
		return reduceWith(r, extremeFold[int32](math.MinInt32, math.MaxInt32, min)), nil
	case dtype.Int64:
		return reduceWith(r, extremeFold[int64](math.MinInt64, math.MaxInt64, min)), nil
	case dtype.Float32:
		inf := float32(math.Inf(1))
		f := extremeFold(-inf, inf, min)
		if min {
			f.block = func(acc float32, x []float32) float32 { return f.merge(acc, simd.K.Min(x)) }
			f.row = func(acc, x []float32) { simd.K.Binary[simd.Minimum](acc, acc, x) }
			f.rows, f.direct = extremeRows(simd.Minimum), extremeDirect(simd.Minimum)
		} else {
			f.block = func(acc float32, x []float32) float32 { return f.merge(acc, simd.K.Max(x)) }
			f.row = func(acc, x []float32) { simd.K.Binary[simd.Maximum](acc, acc, x) }
			f.rows, f.direct = extremeRows(simd.Maximum), extremeDirect(simd.Maximum)
		}
		return reduceWith(r, f), nil
	case dtype.Float64:
		return reduceWith(r, extremeFold(math.Inf(-1), math.Inf(1), min)), nil
	case dtype.Complex64:
		inf := float32(math.Inf(1))
		f := fold[complex64, complex64, complex64]{first: complex(-inf, -inf), block: maxBlockComplex, row: maxRowComplex, merge: maxComplex, done: identityOf[complex64]}
		if min {
			f.first, f.block, f.row, f.merge = complex(inf, inf), minBlockComplex, minRowComplex, minComplex
		}
		return reduceWith(r, f), nil
	default:
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, d)
	}
}

// newReduction lays out the kept and the reduced axes.
func newReduction(axes tensor.AxisSet, x, y *View) *reduction {
	r := &reduction{x: x, y: y, size: x.DType.Size(), half: isHalf(x.DType), splits: 1}
	var ks, kst, rs, rst []int
	innerKept := false
	for i, d := range x.Shape {
		if axes.Has(i) {
			rs, rst = append(rs, d), append(rst, x.Strides[i])
		} else {
			ks, kst = append(ks, d), append(kst, x.Strides[i])
		}
		if d > 1 {
			innerKept = !axes.Has(i)
		}
	}
	r.n, r.k = tensor.Shape(ks).Size(), tensor.Shape(rs).Size()
	r.red = newWalk(rs, rst)
	r.kept = newWalk(ks, kst)
	r.units = r.n
	if r.wide = innerKept && r.k > 1; r.wide {
		last := len(r.kept.shape) - 1
		r.inner, r.stride = r.kept.shape[last], r.kept.stride[last]
		r.kept.shape, r.kept.stride = r.kept.shape[:last], r.kept.stride[:last]
		if last == 0 {
			r.kept = newWalk(nil, nil)
		}
		r.tiles = (r.inner + foldTile - 1) / foldTile
		r.units = r.n / max(r.inner, 1) * r.tiles
	}
	r.few = r.wide && !r.half && r.stride == 1 && r.inner >= foldTile/4 && r.k <= foldRows && len(r.red.shape) == 1 && r.red.stride[0] > 0
	if r.units < 16 && !r.few {
		r.splits = max(1, min(maxChunks, r.k*r.n/splitMin, r.k, mergeMax/max(r.n, 1)))
	}
	return r
}

// reduceWith makes the task. With splits, parts wait in memory of the task until
// all are there, and a second phase merges them in order.
func reduceWith[T, A, R any](r *reduction, f fold[T, A, R]) task {
	cost := 2 * r.n * max(r.k, 1)
	if !r.wide && r.k > 0 {
		cost = r.n * (r.k + 20)
	}
	var parts []A
	if r.splits > 1 {
		parts = make([]A, r.splits*r.n)
	}
	work := func(s *scratch, c, nc int) {
		lo, hi := span(r.units*r.splits, c, nc)
		m := newFoldMemory[T, A](s, r)
		for i := lo; i < hi; i++ {
			if r.few && f.direct != nil {
				foldDirect(r, &f, &m, i)
				continue
			}
			u, split := i/r.splits, i%r.splits
			from, to := span(r.k, split, r.splits)
			at, acc := foldUnit(r, &f, &m, u, from, to)
			if parts != nil {
				copy(parts[split*r.n+at:], acc)
				continue
			}
			finish(r, &f, at, acc)
		}
	}
	t := newTask(r.units*r.splits, cost, work)
	if parts != nil {
		then := newTask(1, 1, func(*scratch, int, int) {
			for split := 1; split < r.splits; split++ {
				for i, v := range parts[split*r.n : (split+1)*r.n] {
					parts[i] = f.merge(parts[i], v)
				}
			}
			finish(r, &f, 0, parts[:r.n])
		})
		t.then = &then
	}
	return t
}

// foldDirect writes the results of unit u without accumulators.
func foldDirect[T, A, R any](r *reduction, f *fold[T, A, R], m *foldMemory[T, A], u int) {
	o, j := u/r.tiles, u%r.tiles*foldTile
	n := min(foldTile, r.inner-j)
	y := at[R](r.y, o*r.inner+j, n)
	f.direct(y, m.part[:n], r.x, r.kept.offset(o)+j, r.red.stride[0], r.k)
}

// finish stores results from the at-th on.
func finish[T, A, R any](r *reduction, f *fold[T, A, R], at int, acc []A) {
	if r.half {
		for i, a := range acc {
			v := f.done(a)
			putFloat(r.y, at+i, *(*float32)(unsafe.Pointer(&v)))
		}
		return
	}
	y := unsafe.Slice((*R)(r.y.Ptr()), r.n)
	if f.store != nil {
		f.store(y[at:at+len(acc)], acc)
		return
	}
	for i, a := range acc {
		y[at+i] = f.done(a)
	}
}

// foldMemory is the scratch of a chunk.
type foldMemory[T, A any] struct {
	raw  []uint64
	wide []float32
	acc  []A
	part []T
}

func newFoldMemory[T, A any](s *scratch, r *reduction) (m foldMemory[T, A]) {
	n := foldBlock
	if r.wide {
		n = foldTile
	}
	m.raw = piece[uint64](s, n)
	if r.half {
		m.wide = piece[float32](s, n)
	}
	m.acc = piece[A](s, foldTile)
	if r.wide {
		m.part = piece[T](s, foldTile)
	}
	return m
}

// foldUnit folds elements [from, to) of the results of unit u, which start at at.
func foldUnit[T, A, R any](r *reduction, f *fold[T, A, R], m *foldMemory[T, A], u, from, to int) (at int, acc []A) {
	if r.wide {
		return foldWide(r, f, m, u, from, to)
	}
	if from == to { // there may be no memory at all
		m.acc[0] = f.first
		return u, m.acc[:1]
	}
	base := unsafe.Add(r.x.Ptr(), r.kept.offset(u)*r.size)
	a := f.first
	if len(r.red.shape) == 1 && r.red.stride[0] == 1 && !r.half {
		x := unsafe.Slice((*T)(unsafe.Add(base, from*r.size)), to-from)
		for len(x) > 0 { // blocks, so that a gathered row has the same bits
			k := min(foldBlock, len(x))
			a = f.block(a, x[:k])
			x = x[k:]
		}
	} else {
		for from < to {
			k := min(foldBlock, to-from)
			p := unsafe.Pointer(unsafe.SliceData(m.raw))
			gatherBytes(&r.red, p, base, r.size, from, k)
			a = f.block(a, foldInput[T](r, m.wide, p, k))
			from += k
		}
	}
	m.acc[0] = a
	return u, m.acc[:1]
}

// foldInput is n elements at p as T: halves become float32.
func foldInput[T any](r *reduction, wideBuf []float32, p unsafe.Pointer, n int) []T {
	if r.half {
		p = unsafe.Pointer(unsafe.SliceData(widen(wideBuf, p, r.x.DType, n)))
	}
	return unsafe.Slice((*T)(p), n)
}

// foldWide folds a tile of the inner axis, one reduced index after the other, or as
// many at a time as lie next to each other and fit a tile.
func foldWide[T, A, R any](r *reduction, f *fold[T, A, R], m *foldMemory[T, A], u, from, to int) (int, []A) {
	o, j := u/r.tiles, u%r.tiles*foldTile
	n, q := min(foldTile, r.inner-j), 1
	if r.stride == 1 && r.tiles == 1 && len(r.red.shape) == 1 && r.red.stride[0] == n {
		q = max(1, min(foldTile/4/n, to-from))
	}
	acc := m.acc[:n*q]
	for i := range acc {
		acc[i] = f.first
	}
	off := r.kept.offset(o) + j*r.stride
	if f.rows != nil && (!r.half || f.halves) && r.stride == 1 && len(r.red.shape) == 1 && r.red.stride[0] > 0 {
		st := r.red.stride[0]
		for to-from >= q {
			k := min(foldRows, (to-from)/q)
			f.rows(acc, m.part[:n*q], r.x, off+from*st, q*st, k)
			from += k * q
		}
	}
	foldEach(r, f, m, acc, off, from, to, n)
	for i := n; i < len(acc); i++ {
		acc[i%n] = f.merge(acc[i%n], acc[i])
	}
	return o*r.inner + j, acc[:n]
}

// foldEach folds rows of n elements one by one, or several that lie next to each
// other if acc is longer.
func foldEach[T, A, R any](r *reduction, f *fold[T, A, R], m *foldMemory[T, A], acc []A, start, from, to, n int) {
	if from == to {
		return
	}
	var idx [maxRank]int
	off := start + r.red.seek(from, &idx)
	row := walk{[]int{n}, []int{r.stride}}
	for from < to {
		k := min(len(acc)/n, to-from)
		p := unsafe.Add(r.x.Ptr(), off*r.size)
		if r.stride != 1 {
			g := unsafe.Pointer(unsafe.SliceData(m.raw))
			gatherBytes(&row, g, p, r.size, 0, n)
			p = g
		}
		f.row(acc[:n*k], foldInput[T](r, m.wide, p, n*k))
		if from += k; from < to {
			off += r.red.advance(&idx, 0, k)
		}
	}
}
