package foreign

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// ints is a matrix [rows, cols] of integers with a scale and a zero for each group of
// columns of a row: w = (code - zero) * scale.
type ints struct {
	path             string
	rows, cols, bits int
	// groups are along a row, each of group columns but the last, which may be shorter.
	group, groups int
	// groupOf is the group of each column; nil: column / group.
	groupOf []int32
	from    weights.Tensor // the codes' tensor
	scales  weights.Tensor
	// scaleAt is the index in scales for a row's group.
	scaleAt func(row, group int) int
	// zeroAt gives the zeros, with hasZeros; nil: all are 2^(bits-1).
	zeroAt func() (func(row, group int) int, error)
	// zerosRound tells of headers alone that all zeros are powers of two.
	zerosRound bool
	zerosData  bool // the zeros can be read
	// codes reads the rows [begin, end) out of the bytes of from, one code a byte.
	codes func(dst, data []byte, begin, end int)
	// words makes MLX's packed matrix of them, where there is a shorter way.
	words func(data []byte) ([]byte, error)
	// asIs: they are MLX's packed matrix.
	asIs bool
}

// add puts the matrix in place: packed where MLX's layout holds it, else dequantized.
func (t *translation) add(x *ints) error {
	if why := x.loose(); why != "" {
		return t.widen(x.path, why, x.widened(t.wide))
	}
	group := x.mlxGroup()
	d, err := x.scaleType()
	if err != nil {
		return err
	}
	shape := []int{x.rows, x.cols / group}
	w := tensorOf(x.path+".weight", dtype.Uint32, []int{x.rows, x.cols * x.bits / 32}, x.from, x.packedWords)
	if x.asIs {
		w = viewOf(w.Name, dtype.Uint32, w.Shape, x.from)
	}
	return t.pack(x.path, scheme{group, x.bits, "affine"}, w,
		tensorOf(x.path+".scales", d, shape, x.scales, func() ([]byte, error) { return x.steps(d, group, false) }),
		tensorOf(x.path+".biases", d, slices.Clone(shape), x.scales, func() ([]byte, error) { return x.steps(d, group, true) }))
}

// loose is why MLX's layout does not hold the matrix, "" if it does.
func (x *ints) loose() string {
	switch {
	case x.groupOf != nil:
		return "its columns are in groups in another order (act-order)"
	case !slices.Contains([]int{2, 3, 4, 5, 6, 8}, x.bits):
		return fmt.Sprintf("MLX has no %d bits", x.bits)
	case x.mlxGroup() == 0:
		return fmt.Sprintf("MLX's groups are of 32, 64 or 128 columns, which do not fit groups of %d and %d columns", x.group, x.cols)
	}
	return ""
}

// mlxGroup is the largest group size of MLX that divides the groups, 0 for none: one of
// theirs becomes several with the same scale.
func (x *ints) mlxGroup() int {
	for _, size := range []int{128, 64, 32} {
		if x.group%size == 0 && x.cols%size == 0 && x.cols > 0 {
			return size
		}
	}
	return 0
}

// scaleType is the dtype of scales and biases. MLX has w = q*scale + bias, so the bias is
// -zero*scale: a product that the scales' own dtype holds where the zero is a power of
// two; else it needs float32, which holds it for scales of 11 bits and zeros of 8.
func (x *ints) scaleType() (dtype.DType, error) {
	d := x.scales.DType
	switch x.scales.RawDType {
	case "F16", "BF16":
	default:
		return dtype.Float32, nil
	}
	if x.zeroAt == nil || !x.zerosData {
		if x.zeroAt == nil || x.zerosRound {
			return d, nil
		}
		return dtype.Float32, nil
	}
	zero, err := x.zeroAt()
	if err != nil {
		return d, err
	}
	for row := range x.rows {
		for g := range x.groups {
			if z := zero(row, g); z&(z-1) != 0 || z < 0 {
				return dtype.Float32, nil
			}
		}
	}
	return d, nil
}

// zeros are x.zeroAt, or the middle.
func (x *ints) zeros() (func(row, group int) int, error) {
	if x.zeroAt == nil {
		return func(int, int) int { return 1 << (x.bits - 1) }, nil
	}
	return x.zeroAt()
}

// steps are the scales [rows, cols/group] in dtype d, or the biases.
func (x *ints) steps(d dtype.DType, group int, biases bool) ([]byte, error) {
	scales, err := floatsOf(x.scales)
	if err != nil {
		return nil, err
	}
	zero, err := x.zeros()
	if err != nil {
		return nil, err
	}
	n := x.cols / group
	out := make([]byte, x.rows*n*d.Size())
	for row := range x.rows {
		for i := range n {
			g := i * group / x.group
			v := scales[x.scaleAt(row, g)]
			if z := zero(row, g); biases && z == 0 {
				v = 0
			} else if biases {
				v *= -float32(z)
				if v == v && !holds(d, v) { // beyond the range of float16
					return nil, fmt.Errorf("row %d: scale %v times zero %d is no %v", row, scales[x.scaleAt(row, g)], z, d)
				}
			}
			putFloat(out, d, row*n+i, v)
		}
	}
	return out, nil
}

// tile is how many rows are unpacked at once.
const tile = 32

// packedWords is MLX's weight: the codes of a row as a little-endian stream of bits.
func (x *ints) packedWords() ([]byte, error) {
	if x.words != nil {
		data, err := x.from.Bytes()
		if err != nil {
			return nil, err
		}
		return x.words(data)
	}
	stride := x.cols * x.bits / 8
	out := make([]byte, x.rows*stride)
	return out, x.tiles(func(row int, codes []byte) { packStream(out[row*stride:][:stride], codes, x.bits) })
}

// tiles gives each row's codes to do, in any order.
func (x *ints) tiles(do func(row int, codes []byte)) error {
	data, err := x.from.Bytes()
	if err != nil {
		return err
	}
	return inParallel(x.rows, tile, func(from, to int) error {
		codes := make([]byte, tile*x.cols)
		for at := from; at < to; at += tile {
			end := min(at+tile, to)
			x.codes(codes, data, at, end)
			for row := at; row < end; row++ {
				do(row, codes[(row-at)*x.cols:][:x.cols])
			}
		}
		return nil
	})
}

// widened is the dequantized matrix in dtype d: float32 products, rounded once.
func (x *ints) widened(d dtype.DType) weights.Tensor {
	return tensorOf(x.path+".weight", d, []int{x.rows, x.cols}, x.from, func() ([]byte, error) {
		scales, err := floatsOf(x.scales)
		if err != nil {
			return nil, err
		}
		zero, err := x.zeros()
		if err != nil {
			return nil, err
		}
		groupOf := x.groupOf
		if groupOf == nil {
			groupOf = make([]int32, x.cols)
			for i := range groupOf {
				groupOf[i] = int32(i / x.group)
			}
		}
		out := make([]byte, x.rows*x.cols*d.Size())
		return out, x.tiles(func(row int, codes []byte) {
			to := out[row*x.cols*d.Size():]
			steps, zeros := make([]float32, x.groups), make([]int, x.groups)
			for g := range steps {
				steps[g], zeros[g] = scales[x.scaleAt(row, g)], zero(row, g)
			}
			values := make([]float32, x.cols)
			for i, code := range codes {
				g := groupOf[i]
				values[i] = float32(int(code)-zeros[g]) * steps[g]
			}
			putFloats(to, d, values)
		})
	})
}

// packStream packs codes of so many bits into a little-endian stream.
func packStream(dst, codes []byte, bits int) {
	var have uint
	var word uint64
	at := 0
	for _, c := range codes {
		word |= uint64(c) << have
		for have += uint(bits); have >= 8; have -= 8 {
			dst[at] = byte(word)
			word >>= 8
			at++
		}
	}
}

// streamAt is code i of a little-endian stream of codes of so many bits.
func streamAt(data []byte, i, bits int) int {
	at := i * bits
	v := int(data[at/8]) >> (at % 8)
	if at%8+bits > 8 {
		v |= int(data[at/8+1]) << (8 - at%8)
	}
	return v & (1<<bits - 1)
}

// transposed is the transpose of words [rows, cols].
func transposed(data []byte, rows, cols int) ([]byte, error) {
	out := make([]byte, 4*rows*cols)
	return out, inParallel(cols, tile, func(from, to int) error {
		for c0 := from; c0 < to; c0 += tile {
			for r0 := 0; r0 < rows; r0 += tile {
				for c := c0; c < min(c0+tile, to); c++ {
					for r := r0; r < min(r0+tile, rows); r++ {
						binary.LittleEndian.PutUint32(out[4*(c*rows+r):], binary.LittleEndian.Uint32(data[4*(r*cols+c):]))
					}
				}
			}
		}
		return nil
	})
}
