package foreign

import (
	"encoding/binary"
	"fmt"

	"github.com/mlxgo/mlx/internal/llm/weights"
)

// GPTQ: qweight I32 [in*bits/32, out] has in each column a little-endian stream of the
// codes of one output, which is MLX's row; qzeros I32 [groups, out*bits/32] is such a
// stream of zeros for each group, less one in the first version of the format; scales are
// [groups, out]; g_idx I32 [in] is the group of each input.
// w = (q - zero) * scale, and zero = (stored + 1) modulo 2^bits. References: AutoGPTQ,
// nn_modules/qlinear/qlinear_cuda.py; GPTQModel, checkpoint_format.

func (t *translation) gptq() error {
	if t.config.Bits != nil {
		t.report.Format += fmt.Sprintf(" %d bits", *t.config.Bits)
	}
	for _, path := range t.paths(".qweight") {
		if err := t.gptqLayer(path); err != nil {
			return err
		}
	}
	return nil
}

func (t *translation) gptqLayer(path string) error {
	q, zeros, scales, err := t.gridOf(path)
	if err != nil {
		return err
	}
	out, groups := q.Shape[1], scales.Shape[0]
	fit := fmt.Errorf("%s: shape %v does not go with qzeros %v and scales %v", q.Name, q.Shape, zeros.Shape, scales.Shape)
	if scales.Shape[1] != out || zeros.Shape[0] != groups || 32*zeros.Shape[1]%out != 0 {
		return fit
	}
	bits := 32 * zeros.Shape[1] / out
	if bits < 1 || bits > 8 || 32*q.Shape[0]%bits != 0 {
		return fit
	}
	in := 32 * q.Shape[0] / bits
	if b := t.config.Bits; b != nil && *b != bits && !isSet(t.config.Dynamic) {
		return fmt.Errorf("%s: shapes %v and %v are of %d bits, but %s says %d", q.Name, q.Shape, zeros.Shape, bits, t.config.key, *b)
	}
	group := (in + groups - 1) / groups
	if g := t.config.GroupSize; g != nil && *g > 0 && *g < in && (in+*g-1) / *g == groups {
		group = *g // the last may be shorter
	}
	if (in+group-1)/group != groups {
		return fmt.Errorf("%s: %d inputs are not in %d groups of %d", scales.Name, in, groups, group)
	}
	x := &ints{
		path: path, rows: out, cols: in, bits: bits, group: group, groups: groups, from: q, scales: scales,
		scaleAt:   func(row, g int) int { return g*out + row },
		zerosData: hasData(zeros), zerosRound: t.config.Sym != nil && *t.config.Sym,
		zeroAt: t.gptqZeros(zeros, bits),
		codes:  streamColumns(q.Shape[0], out, bits),
		words:  func(data []byte) ([]byte, error) { return transposed(data, q.Shape[0], out) },
	}
	if x.groupOf, err = t.groupIndex(path+".g_idx", x, t.config.DescAct != nil && *t.config.DescAct); err != nil {
		return err
	}
	return t.add(x)
}

// gptqZeros reads the zeros of either version.
func (t *translation) gptqZeros(zeros weights.Tensor, bits int) func() (func(row, g int) int, error) {
	less := 1
	if t.config.checkpointFormat() == "gptq_v2" {
		less = 0
	}
	stride := 4 * zeros.Shape[1]
	return func() (func(row, g int) int, error) {
		data, err := zeros.Bytes()
		return func(row, g int) int {
			return (streamAt(data[g*stride:][:stride], row, bits) + less) & (1<<bits - 1)
		}, err
	}
}

// streamColumns reads the codes of words [words, out] whose columns are streams of codes.
func streamColumns(words, out, bits int) func(dst, data []byte, begin, end int) {
	in := 32 * words / bits
	return func(dst, data []byte, begin, end int) {
		stream := make([]byte, 4*words)
		for row := begin; row < end; row++ {
			if 32%bits == 0 { // no code in two words
				for w := range words {
					word := binary.LittleEndian.Uint32(data[4*(w*out+row):])
					codes := dst[(row-begin)*in+w*(32/bits):][:32/bits]
					for i := range codes {
						codes[i] = byte(word) & (1<<bits - 1)
						word >>= bits
					}
				}
				continue
			}
			for w := range words {
				copy(stream[4*w:], data[4*(w*out+row):][:4])
			}
			for c := range in {
				dst[(row-begin)*in+c] = byte(streamAt(stream, c, bits))
			}
		}
	}
}

// groupIndex reads the group of each column, nil if they are in order. Of headers alone
// the configuration's word is taken: moved says that they are not.
func (t *translation) groupIndex(name string, x *ints, moved bool) ([]int32, error) {
	index, ok := t.take(name)
	if !ok {
		return nil, nil
	}
	if err := checkInts(index, 1); err != nil {
		return nil, err
	}
	if index.Shape[0] != x.cols {
		return nil, fmt.Errorf("%s: shape %v does not go with %d inputs", name, index.Shape, x.cols)
	}
	if !hasData(index) {
		if moved {
			return []int32{}, nil
		}
		return nil, nil
	}
	data, err := index.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]int32, x.cols)
	inOrder, unset := true, true
	for i := range out {
		g := int32(binary.LittleEndian.Uint32(data[4*i:]))
		unset = unset && g == -1
		inOrder = inOrder && int(g) == i/x.group
		out[i] = g
	}
	if inOrder || unset {
		return nil, nil
	}
	for i, g := range out {
		if g < 0 || int(g) >= x.groups {
			return nil, fmt.Errorf("%s: input %d is in group %d, but there are %d", name, i, g, x.groups)
		}
	}
	return out, nil
}
