package foreign

import (
	"encoding/binary"
	"fmt"
	"math"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Weights of 8-bit floats: a code times the scale of its block, row, group or matrix.
// DeepSeek's and Mistral's checkpoints call the scales weight_scale_inv, FBGEMM's and
// compressed-tensors' weight_scale; all of them are factors.

// scaleEndings follow the name of a weight.
var scaleEndings = []string{"_scale_inv", "_scale"}

func isFP8(t weights.Tensor) bool { return t.RawDType == "F8_E4M3" || t.RawDType == "F8_E5M2" }

// hasFP8 reports whether there are 8-bit floats with scales.
func (t *translation) hasFP8() bool {
	for name, x := range t.tensors {
		for _, ending := range scaleEndings {
			if _, ok := t.tensors[name+ending]; ok && isFP8(x) {
				return true
			}
		}
	}
	return false
}

func (t *translation) fp8() error {
	if n := len(t.config.BlockSize); n != 0 && n != 2 {
		return t.config.fault("weight_block_size", "it has %d numbers, not 2", n)
	}
	for _, ending := range scaleEndings {
		for _, name := range t.paths(ending) {
			if w, ok := t.tensors[name]; !ok || !isFP8(w) {
				continue
			}
			if t.report.Used[name] {
				return fmt.Errorf("%s: it is there beside %s", name+ending, name+scaleEndings[0])
			}
			if err := t.scaled8(name, name+ending, t.config.BlockSize); err != nil {
				return err
			}
			t.drop(strings.TrimSuffix(name, ".weight"), activationScales...)
		}
	}
	return nil
}

// floats8 is a weight of 8-bit floats, [..., rows, cols], whose scales are of blocks.
type floats8 struct {
	w, scale               weights.Tensor
	matrices, rows, cols   int
	blockRows, blockCols   int
	scalePer, scalesPerRow int // scales of a matrix, and of a row of blocks
	numbers                *[256]float32
}

// scaled8 widens the weight called name, or packs it as mxfp8 where that holds the same
// numbers.
func (t *translation) scaled8(name, scaleName string, block []int) error {
	x := floats8{numbers: &e4m3}
	x.w, _ = t.take(name)
	x.scale, _ = t.take(scaleName)
	if x.w.RawDType == "F8_E5M2" {
		x.numbers = &e5m2
	}
	if err := checkFloats(x.scale); err != nil {
		return err
	}
	if err := x.fit(block); err != nil {
		return fmt.Errorf("%s: %w", scaleName, err)
	}
	path := strings.TrimSuffix(name, ".weight")
	ok, err := x.isMXFP8()
	if err != nil {
		return err
	}
	if ok && path != name {
		shape := append([]int{}, x.w.Shape...)
		words, groups := append([]int{}, shape...), append([]int{}, shape...)
		words[len(shape)-1] /= 4
		groups[len(shape)-1] /= 32
		return t.pack(path, scheme{32, 8, "mxfp8"}, tensorOf(name, dtype.Uint32, words, x.w, x.words),
			tensorOf(path+".scales", dtype.Uint8, groups, x.scale, x.exponents))
	}
	d := t.wide
	return t.widen(path, "MLX's 8-bit floats have powers of two as scales", tensorOf(name, d, x.w.Shape, x.w, func() ([]byte, error) { return x.widened(d) }))
}

// fit finds the blocks that the scales are of.
func (x *floats8) fit(block []int) error {
	w, s := x.w.Shape, x.scale.Shape
	if len(w) < 2 || count(w) == 0 {
		return fmt.Errorf("scales of a weight of shape %v are not supported", w)
	}
	x.rows, x.cols = w[len(w)-2], w[len(w)-1]
	x.matrices = count(w) / (x.rows * x.cols)
	x.blockRows, x.blockCols = x.rows, x.cols
	n := count(s)
	inner := s
	if x.matrices > 1 && n > 1 { // each matrix has its own
		if lead := len(w) - 2; len(s) < lead || count(s[:lead]) != x.matrices {
			return fmt.Errorf("scales of shape %v do not fit a weight of shape %v", s, w)
		}
		inner, n = s[len(w)-2:], n/x.matrices
		x.scalePer = n
	}
	x.scalesPerRow = 1
	switch {
	case n == 1:
		return nil
	case len(block) == 2:
		x.blockRows, x.blockCols = block[0], block[1]
	case len(inner) >= 1 && len(inner) <= 2 && inner[0] == x.rows && n%x.rows == 0 && x.cols%(n/x.rows) == 0: // a row's, or a group's of it
		x.blockRows, x.blockCols = 1, x.cols/(n/x.rows)
		x.scalesPerRow = n / x.rows
		return nil
	default:
		return fmt.Errorf("scales of shape %v do not fit a weight of shape %v, and there is no size of blocks", s, w)
	}
	for i, size := range []int{x.rows, x.cols} {
		if b := block[i]; len(inner) != 2 || b < 1 || (size-1)/b+1 != inner[i] {
			if len(inner) <= 2 && len(inner) > 0 && inner[0] == x.rows && n == x.rows { // one scale a row all the same
				x.blockRows, x.blockCols = 1, x.cols
				return nil
			}
			return fmt.Errorf("scales of shape %v do not fit a weight of shape %v in blocks of %v (weight_block_size)", s, w, block)
		}
	}
	x.scalesPerRow = inner[1]
	return nil
}

// scaleAt is the index of the scale of a place.
func (x *floats8) scaleAt(matrix, row, col int) int {
	return matrix*x.scalePer + row/x.blockRows*x.scalesPerRow + col/x.blockCols
}

// isMXFP8 reports whether all scales are powers of two for whole groups of 32 codes.
func (x *floats8) isMXFP8() (bool, error) {
	if x.w.RawDType != "F8_E4M3" || x.cols%32 != 0 || x.blockCols%32 != 0 && x.blockCols != x.cols || !hasData(x.scale) || len(x.w.Shape) != 2 {
		return false, nil
	}
	scales, err := floatsOf(x.scale)
	if err != nil {
		return false, err
	}
	for _, s := range scales {
		if _, ok := exponentOf(s); !ok {
			return false, nil
		}
	}
	return true, nil
}

// words are mxfp8's codes: the same ones, but that MLX takes the code of NaN for 480.
func (x *floats8) words() ([]byte, error) {
	data, err := x.w.Bytes()
	if err != nil {
		return nil, err
	}
	out := make([]byte, len(data))
	return out, inParallel(len(data), x.cols, func(from, to int) error {
		for i := from; i < to; i++ {
			if out[i] = data[i]; out[i]&0x7f == 0x7f {
				return fmt.Errorf("element %d is NaN, which MLX's 8-bit floats do not have", i)
			}
		}
		return nil
	})
}

// exponentOf is the code of a power of two in e8m0.
func exponentOf(x float32) (code byte, ok bool) {
	u := math.Float32bits(x)
	if u>>31 != 0 || u&(1<<23-1) != 0 || u>>23 == 0 || u>>23 == 255 {
		return 0, false
	}
	return byte(u >> 23), true
}

// exponents are mxfp8's scales.
func (x *floats8) exponents() ([]byte, error) {
	scales, err := floatsOf(x.scale)
	if err != nil {
		return nil, err
	}
	n := x.cols / 32
	out := make([]byte, x.rows*n)
	for i := range out {
		out[i], _ = exponentOf(scales[x.scaleAt(0, i/n, i%n*32)])
	}
	return out, nil
}

// widened is the weight in dtype d: float32 products, rounded once.
func (x *floats8) widened(d dtype.DType) ([]byte, error) {
	scales, err := floatsOf(x.scale)
	if err != nil {
		return nil, err
	}
	data, err := x.w.Bytes()
	if err != nil {
		return nil, err
	}
	type band struct{ row, rows int } // within one row of blocks
	var bands []band
	for m := range x.matrices {
		for r := 0; r < x.rows; {
			n := min(64, x.rows-r, x.blockRows-r%x.blockRows)
			bands = append(bands, band{m*x.rows + r, n})
			r += n
		}
	}
	out := make([]byte, len(data)*d.Size())
	return out, inParallel(len(bands), 1, func(from, to int) error {
		for _, b := range bands[from:to] {
			for col := 0; col < x.cols; col += x.blockCols {
				n := min(x.blockCols, x.cols-col)
				scale := scales[x.scaleAt(b.row/x.rows, b.row%x.rows, col)]
				x.block(out, data, d, b.row*x.cols+col, b.rows, n, scale)
			}
		}
		return nil
	})
}

// block widens rows of n codes, the first at index at: by a table of all codes where they
// are many.
func (x *floats8) block(out, data []byte, d dtype.DType, at, rows, n int, scale float32) {
	size := d.Size()
	if rows*n < 1024 {
		for r := range rows {
			for i, c := range data[at+r*x.cols:][:n] {
				putFloat(out[(at+r*x.cols)*size:], d, i, x.numbers[c]*scale)
			}
		}
		return
	}
	var values [256]float32
	for c, v := range x.numbers {
		values[c] = v * scale
	}
	table := make([]byte, 256*size)
	putFloats(table, d, values[:])
	for r := range rows {
		codes, to := data[at+r*x.cols:][:n], out[(at+r*x.cols)*size:][:n*size]
		if size == 2 {
			for i, c := range codes {
				binary.LittleEndian.PutUint16(to[2*i:], binary.LittleEndian.Uint16(table[2*int(c):]))
			}
			continue
		}
		for i, c := range codes {
			binary.LittleEndian.PutUint32(to[4*i:], binary.LittleEndian.Uint32(table[4*int(c):]))
		}
	}
}
