package cpu

import (
	"cmp"
	"math"
	"math/bits"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// argSortTask sorts rows by keys: unsigned numbers in the order of the values,
// with NaN last. Equal keys keep their order, since the index decides.
func argSortTask(in, out []View) (task, error) {
	y := &out[0]
	if len(y.Shape) == 0 {
		return newTask(1, 1, func(*scratch, int, int) { at[uint32](y, 0, 1)[0] = 0 }), nil
	}
	x := rowsOfView(&in[0])
	if x.k > 1<<32 {
		return task{}, errLongRow
	}
	sorter := newRowSorter(in[0].DType, x.k)
	return newTask(x.n, 200*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, m := x.buffer(s), sorter.memory(s)
		for i := lo; i < hi; i++ {
			sorter.order(at[uint32](y, i*x.k, x.k), x.row(g, i), m)
		}
	}), nil
}

// A rowSorter finds the order of rows of k elements.
type rowSorter struct {
	keys   func(key []uint64, x unsafe.Pointer)
	narrow bool // keys have 32 bits at most
	k      int
}

type sortMemory struct {
	keys  []uint64
	other []uint64 // of narrow keys
	pairs []keyed
	count *[radixPasses][radixSize]uint32
}

func newRowSorter(d dtype.DType, k int) *rowSorter {
	return &rowSorter{sortKeys[d], d.Size() <= 4, k}
}

func (r *rowSorter) memory(s *scratch) (m sortMemory) {
	m.keys = piece[uint64](s, r.k)
	switch {
	case !r.narrow:
		m.pairs = piece[keyed](s, r.k)
	case r.k >= radixMin:
		m.other = piece[uint64](s, r.k)
		m.count = &piece[[radixPasses][radixSize]uint32](s, 1)[0]
	}
	return m
}

func (r *rowSorter) order(order []uint32, x unsafe.Pointer, m sortMemory) {
	r.keys(m.keys, x)
	if r.narrow {
		for i, k := range sortNarrow(m) {
			order[i] = uint32(k)
		}
	} else {
		sortWide(order, m.keys, m.pairs)
	}
}

type keyed struct {
	key uint64
	at  uint64
}

// Rows of radixMin narrow keys and more are sorted digit by digit, the lowest first.
const (
	radixMin    = 256
	radixBits   = 8
	radixSize   = 1 << radixBits
	radixPasses = 4
)

// sortNarrow sorts 32-bit keys, with their index in the low half.
func sortNarrow(m sortMemory) []uint64 {
	key := m.keys
	for i := range key {
		key[i] = key[i]<<32 | uint64(i)
	}
	if len(key) < radixMin {
		slices.Sort(key)
		return key
	}
	return radixSort(key, m.other, m.count)
}

// sortFloats writes a row of floats sorted: keys are as good as values, but for NaN and
// zeros, which have several.
func (r *rowSorter) sortFloats(y, x []float32, m sortMemory) {
	r.keys(m.keys, unsafe.Pointer(unsafe.SliceData(x)))
	for i, k := range sortNarrow(m) {
		b := uint32(k >> 32)
		if b == math.MaxUint32 || b == 1<<31 {
			y[i] = x[uint32(k)]
			continue
		}
		y[i] = math.Float32frombits(b ^ (^uint32(int32(b)>>31) | 1<<31))
	}
}

// radixSort sorts by the upper 32 bits and keeps the order of equal ones. The result
// is in key or in other, of the same length.
func radixSort(key, other []uint64, count *[radixPasses][radixSize]uint32) []uint64 {
	clear(count[:])
	for _, k := range key {
		count[0][uint8(k>>32)]++
		count[1][uint8(k>>40)]++
		count[2][uint8(k>>48)]++
		count[3][uint8(k>>56)]++
	}
	for p := range radixPasses {
		shift, c := (32+p*radixBits)&63, &count[p]
		if c[uint8(key[0]>>shift)] == uint32(len(key)) { // one digit for all
			continue
		}
		var sum uint32
		for d, n := range c {
			c[d], sum = sum, sum+n
		}
		for _, k := range key {
			d := uint8(k >> shift)
			other[c[d]] = k
			c[d]++
		}
		key, other = other, key
	}
	return key
}

func sortWide(order []uint32, key []uint64, pairs []keyed) {
	for i, k := range key {
		pairs[i] = keyed{k, uint64(i)}
	}
	slices.SortFunc(pairs, func(a, b keyed) int {
		if c := cmp.Compare(a.key, b.key); c != 0 {
			return c
		}
		return cmp.Compare(a.at, b.at)
	})
	for i, p := range pairs {
		order[i] = uint32(p.at)
	}
}

// sortKeys turn a row into keys.
var sortKeys = [dtype.Count]func(key []uint64, x unsafe.Pointer){
	dtype.Bool: keysOf[uint8], dtype.Uint8: keysOf[uint8], dtype.Uint16: keysOf[uint16], dtype.Uint32: keysOf[uint32],
	dtype.Uint64: keysOf[uint64],
	dtype.Int8:   keysOf[int8], dtype.Int16: keysOf[int16], dtype.Int32: keysOf[int32], dtype.Int64: keysOf64,
	dtype.Float16:  keysOfHalf(0x7c00),
	dtype.BFloat16: keysOfHalf(0x7f80),
	dtype.Float32: func(key []uint64, x unsafe.Pointer) {
		for i, v := range unsafe.Slice((*float32)(x), len(key)) {
			key[i] = uint64(key32(v))
		}
	},
	dtype.Float64: func(key []uint64, x unsafe.Pointer) {
		for i, v := range unsafe.Slice((*float64)(x), len(key)) {
			key[i] = key64(v)
		}
	},
	dtype.Complex64: func(key []uint64, x unsafe.Pointer) {
		for i, v := range unsafe.Slice((*complex64)(x), len(key)) {
			key[i] = uint64(key32(real(v)))<<32 | uint64(key32(imag(v)))
			if nanComplex(v) {
				key[i] = math.MaxUint64
			}
		}
	},
}

// keysOf shifts integers of at most 32 bits, and any unsigned ones.
func keysOf[T integer](key []uint64, x unsafe.Pointer) {
	var low T
	if low--; low < 0 { // signed
		low = T(1) << (8*unsafe.Sizeof(low) - 1)
	} else {
		low = 0
	}
	for i, v := range unsafe.Slice((*T)(x), len(key)) {
		key[i] = uint64(int64(v) - int64(low))
	}
}

func keysOf64(key []uint64, x unsafe.Pointer) {
	for i, v := range unsafe.Slice((*int64)(x), len(key)) {
		key[i] = uint64(v) ^ 1<<63
	}
}

// key32 orders floats: -0 and 0 are equal, NaN is last.
func key32(v float32) uint32 {
	b := math.Float32bits(v)
	switch { // both are rare; signs are not, so they take no branch
	case v != v:
		return math.MaxUint32
	case v == 0:
		return 1 << 31
	}
	return b ^ (uint32(int32(b)>>31) | 1<<31)
}

func key64(v float64) uint64 {
	switch b := math.Float64bits(v); {
	case v != v:
		return math.MaxUint64
	case v == 0:
		return 1 << 63
	case b>>63 != 0:
		return ^b
	default:
		return b | 1<<63
	}
}

// keysOfHalf orders 16-bit floats whose infinity is inf.
func keysOfHalf(inf uint16) func(key []uint64, x unsafe.Pointer) {
	return func(key []uint64, x unsafe.Pointer) {
		for i, b := range unsafe.Slice((*uint16)(x), len(key)) {
			switch m := b & 0x7fff; {
			case m > inf:
				b = math.MaxUint16
			case m == 0:
				b = 1 << 15
			case b>>15 != 0:
				b = ^b
			default:
				b |= 1 << 15
			}
			key[i] = uint64(b)
		}
	}
}

// sortTask sorts rows. Integers are sorted as they are; of others the order is
// found first, so that zeros of both signs and NaNs keep theirs.
func sortTask(in, out []View) (task, error) {
	x, y := rowsOfView(&in[0]), &out[0]
	if f := sortInts[y.DType]; f != nil {
		size := y.DType.Size()
		return newTask(x.n, 100*x.n*x.k, func(s *scratch, c, nc int) {
			lo, hi := span(x.n, c, nc)
			g := x.buffer(s)
			for i := lo; i < hi; i++ {
				f(unsafe.Add(y.Ptr(), i*x.k*size), x.row(g, i), x.k)
			}
		}), nil
	}
	if x.k > 1<<32 {
		return task{}, errLongRow
	}
	sorter := newRowSorter(y.DType, x.k)
	return newTask(x.n, 200*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, order := x.buffer(s), piece[uint32](s, x.k)
		m := sorter.memory(s)
		for i := lo; i < hi; i++ {
			row := x.row(g, i)
			if y.DType == dtype.Float32 {
				sorter.sortFloats(at[float32](y, i*x.k, x.k), unsafe.Slice((*float32)(row), x.k), m)
				continue
			}
			sorter.order(order, row, m)
			permuteRow(unsafe.Add(y.Ptr(), i*x.k*x.size), row, order, x.size)
		}
	}), nil
}

// sortInts sort k elements of x into y.
var sortInts = [dtype.Count]func(y, x unsafe.Pointer, k int){
	dtype.Bool: sortBools, dtype.Uint8: sortInt[uint8], dtype.Uint16: sortInt[uint16], dtype.Uint32: sortInt[uint32],
	dtype.Uint64: sortInt[uint64], dtype.Int8: sortInt[int8], dtype.Int16: sortInt[int16], dtype.Int32: sortInt[int32],
	dtype.Int64: sortInt[int64],
}

func sortInt[T integer](yp, xp unsafe.Pointer, k int) {
	y := unsafe.Slice((*T)(yp), k)
	copy(y, unsafe.Slice((*T)(xp), k))
	slices.Sort(y)
}

func sortBools(yp, xp unsafe.Pointer, k int) {
	y := unsafe.Slice((*uint8)(yp), k)
	toBool(y, unsafe.Slice((*uint8)(xp), k))
	slices.Sort(y)
}

// permuteRow is y[i] = x[order[i]] of elements of size bytes.
func permuteRow(y, x unsafe.Pointer, order []uint32, size int) {
	switch size {
	case 1:
		pick[uint8](y, x, order)
	case 2:
		pick[uint16](y, x, order)
	case 4:
		pick[uint32](y, x, order)
	default:
		pick[uint64](y, x, order)
	}
}

func pick[T any](yp, xp unsafe.Pointer, order []uint32) {
	y, x := unsafe.Slice((*T)(yp), len(order)), unsafe.Slice((*T)(xp), len(order))
	for i, k := range order {
		y[i] = x[k]
	}
}

func permuteTask(in, out []View) task {
	x, o, y := rowsOfView(&in[0]), rowsOfView(&in[1]), &out[0]
	return newTask(x.n, 4*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		gx, gather := x.buffer(s), o.buffer(s)
		for i := lo; i < hi; i++ {
			order := unsafe.Slice((*uint32)(o.row(gather, i)), o.k)
			permuteRow(unsafe.Add(y.Ptr(), i*x.k*x.size), x.row(gx, i), order, x.size)
		}
	})
}

// searchSortedTask counts by bisection, on keys.
func searchSortedTask(p tensor.SearchSorted, in, out []View) task {
	x, v, y := rowsOfView(&in[0]), rowsOfView(&in[1]), &out[0]
	keys := sortKeys[x.v.DType]
	steps := bits.Len(uint(x.k)) + 1
	return newTask(v.n, v.n*(x.k+v.k*10*steps), func(s *scratch, c, nc int) {
		lo, hi := span(v.n, c, nc)
		gx, gv := x.buffer(s), v.buffer(s)
		kx, kv := piece[uint64](s, x.k), piece[uint64](s, v.k)
		for i := lo; i < hi; i++ {
			keys(kx, x.row(gx, i))
			keys(kv, v.row(gv, i))
			at := at[uint32](y, i*v.k, v.k)
			for j, key := range kv {
				from, to := 0, x.k
				for from < to {
					if m := (from + to) / 2; kx[m] < key || p.Right && kx[m] == key {
						from = m + 1
					} else {
						to = m
					}
				}
				at[j] = uint32(from)
			}
		}
	})
}
