package cpu

import (
	"cmp"
	"math"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
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
	keys := sortKeys[in[0].DType]
	narrow := in[0].DType.Size() <= 4
	return newTask(x.n, 200*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, k := x.buffer(s), piece[uint64](s, x.k)
		var pairs []keyed
		if !narrow {
			pairs = piece[keyed](s, x.k)
		}
		for i := lo; i < hi; i++ {
			keys(k, x.row(g, i))
			row := at[uint32](y, i*x.k, x.k)
			if narrow {
				sortNarrow(row, k)
			} else {
				sortWide(row, k, pairs)
			}
		}
	}), nil
}

type keyed struct {
	key uint64
	at  uint64
}

// sortNarrow sorts 32-bit keys with their index in the low half.
func sortNarrow(order []uint32, key []uint64) {
	for i := range key {
		key[i] = key[i]<<32 | uint64(i)
	}
	slices.Sort(key)
	for i, k := range key {
		order[i] = uint32(k)
	}
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
	switch b := math.Float32bits(v); {
	case v != v:
		return math.MaxUint32
	case v == 0:
		return 1 << 31
	case b>>31 != 0:
		return ^b
	default:
		return b | 1<<31
	}
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
