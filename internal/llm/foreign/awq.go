package foreign

import (
	"encoding/binary"
	"fmt"

	"github.com/mlxgo/mlx/internal/llm/weights"
)

// AWQ's gemm layout: qweight I32 [in, out/8] and qzeros I32 [in/group, out/8] hold eight
// columns in a word, in the order of awqOrder from the lowest four bits up; scales are
// [in/group, out]. w = (q - zero) * scale. Reference: AutoAWQ, awq/modules/linear/gemm.py.

// awqShift is where the bits of column j of eight are: columns 0, 2, 4, 6, 1, 3, 5, 7
// stand one after the other.
var (
	awqShift = [8]uint{0, 16, 4, 20, 8, 24, 12, 28}
	awqOrder = [8]int{0, 2, 4, 6, 1, 3, 5, 7}
)

func (t *translation) awq() error {
	for _, path := range t.paths(".qweight") {
		if err := t.awqLayer(path); err != nil {
			return err
		}
	}
	return nil
}

// gridOf takes qweight, qzeros and scales, which AWQ and GPTQ have.
func (t *translation) gridOf(path string) (q, zeros, scales weights.Tensor, err error) {
	q, _ = t.take(path + ".qweight")
	if zeros, err = t.need(path+".qzeros", q.Name); err != nil {
		return q, zeros, scales, err
	}
	if scales, err = t.need(path+".scales", q.Name); err != nil {
		return q, zeros, scales, err
	}
	for _, x := range []weights.Tensor{q, zeros} {
		if err := checkInts(x, 2); err != nil {
			return q, zeros, scales, err
		}
	}
	if len(scales.Shape) != 2 || count(scales.Shape) == 0 || count(q.Shape) == 0 {
		return q, zeros, scales, fmt.Errorf("%s: shape %v does not go with qweight %v", scales.Name, scales.Shape, q.Shape)
	}
	return q, zeros, scales, checkFloats(scales)
}

func (t *translation) awqLayer(path string) error {
	q, zeros, scales, err := t.gridOf(path)
	if err != nil {
		return err
	}
	in, out, groups := q.Shape[0], 8*q.Shape[1], scales.Shape[0]
	if scales.Shape[1] != out || zeros.Shape[0] != groups || zeros.Shape[1]*8 != out || in%groups != 0 {
		return fmt.Errorf("%s: shape %v does not go with qzeros %v and scales %v of 4 bits", q.Name, q.Shape, zeros.Shape, scales.Shape)
	}
	group := in / groups
	if g := t.config.GroupSize; g != nil && *g > 0 && *g != group {
		return fmt.Errorf("%s: shapes %v and %v are of groups of %d, but %s says group_size %d", q.Name, q.Shape, scales.Shape, group, t.config.key, *g)
	}
	return t.add(&ints{
		path: path, rows: out, cols: in, bits: 4, group: group, groups: groups, from: q, scales: scales,
		scaleAt:   func(row, g int) int { return g*out + row },
		words:     func(data []byte) ([]byte, error) { return awqWords(data, in, out) },
		zerosData: hasData(zeros),
		zeroAt: func() (func(row, g int) int, error) {
			data, err := zeros.Bytes()
			return func(row, g int) int {
				return int(binary.LittleEndian.Uint32(data[4*(g*(out/8)+row/8):])>>awqShift[row%8]) & 15
			}, err
		},
		codes: func(dst, data []byte, begin, end int) {
			for c := range in {
				for row := begin; row < end; {
					word := binary.LittleEndian.Uint32(data[4*(c*(out/8)+row/8):])
					for last := min(row/8*8+8, end); row < last; row++ {
						dst[(row-begin)*in+c] = byte(word>>awqShift[row%8]) & 15
					}
				}
			}
		},
	})
}

// awqWords is MLX's packed matrix [out, in/8] of AWQ's [in, out/8].
func awqWords(data []byte, in, out int) ([]byte, error) {
	to := make([]byte, in*out/2)
	return to, inParallel(out/8, 4, func(from, end int) error {
		for j := from; j < end; j++ {
			for k := range in / 8 {
				var w [8]uint32
				for i := range w {
					w[i] = binary.LittleEndian.Uint32(data[4*((8*k+i)*(out/8)+j):])
				}
				transpose8(&w)
				for i, column := range w {
					binary.LittleEndian.PutUint32(to[4*((8*j+awqOrder[i])*(in/8)+k):], column)
				}
			}
		}
		return nil
	})
}

// transpose8 is the transpose of 8 by 8 groups of 4 bits.
func transpose8(w *[8]uint32) {
	for _, s := range []struct {
		step, shift int
		mask        uint32
	}{{4, 16, 0xffff}, {2, 8, 0xff00ff}, {1, 4, 0xf0f0f0f}} {
		for i := range w {
			if i&s.step == 0 {
				x := (w[i]>>s.shift ^ w[i+s.step]) & s.mask
				w[i+s.step] ^= x
				w[i] ^= x << s.shift
			}
		}
	}
}
