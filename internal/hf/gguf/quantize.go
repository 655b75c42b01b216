package gguf

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
)

// Writable are the types that Quantize makes.
var Writable = []Type{F32, F16, BF16, Q8_0, Q4_0}

// Quantize appends the blocks of elements to dst: with the rounding of ggml's reference
// code (quantize_row_q8_0_ref, quantize_row_q4_0_ref), so that the bytes are those of
// llama.cpp's quantizer. The elements are whole blocks; t is one of Writable. A number
// that is not finite, or that float16 does not hold where t needs it to, is an error.
func Quantize(dst []byte, t Type, x []float32) ([]byte, error) {
	if n := t.Block(); n == 0 || len(x)%n != 0 {
		panic(fmt.Sprintf("gguf: %d elements are no whole blocks of %v", len(x), t))
	}
	start := len(dst)
	dst = append(dst, make([]byte, len(x)/t.Block()*t.BlockBytes())...)
	out := dst[start:]
	var err error
	switch t {
	case F32:
		err = put(out, x, dtype.Float32)
	case F16:
		err = put(out, x, dtype.Float16)
	case BF16:
		err = put(out, x, dtype.BFloat16)
	case Q8_0, Q4_0:
		pack := packQ8_0
		if t == Q4_0 {
			pack = packQ4_0
		}
		for ; len(x) > 0; x, out = x[32:], out[t.BlockBytes():] {
			if err = pack(out, x[:32]); err != nil {
				break
			}
		}
	default:
		panic(fmt.Sprintf("gguf: %v is not written", t))
	}
	return dst, err
}

// scale writes the scale of a block as float16.
func scale(out []byte, d, largest float32) error {
	h := dtype.F32ToF16(d)
	if h&0x7fff >= 0x7c00 {
		return fmt.Errorf("a block with the value %g cannot be packed", largest)
	}
	binary.LittleEndian.PutUint16(out, h)
	return nil
}

func abs(x float32) float32 { return math.Float32frombits(math.Float32bits(x) &^ (1 << 31)) }

// finite says that a value cannot be packed; comparisons below skip NaN.
func finite(x []float32) error {
	for _, v := range x {
		if math.Float32bits(v)&0x7f800000 == 0x7f800000 {
			return fmt.Errorf("a block with the value %g cannot be packed", v)
		}
	}
	return nil
}

// packQ8_0: the scale is the largest magnitude over 127; codes are rounded to the
// nearest, halves away from zero.
func packQ8_0(out []byte, x []float32) error {
	if err := finite(x); err != nil {
		return err
	}
	var largest float32
	for _, v := range x {
		largest = max(largest, abs(v))
	}
	d := largest / 127
	if err := scale(out, d, largest); err != nil {
		return err
	}
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	for i, v := range x {
		out[2+i] = byte(int8(math.Round(float64(float32(v * inverse)))))
	}
	return nil
}

// packQ4_0: the scale maps the value of the largest magnitude, the first of equal ones,
// to the code -8; codes are v/d + 8.5, cut off, 15 at most.
func packQ4_0(out []byte, x []float32) error {
	if err := finite(x); err != nil {
		return err
	}
	var largest, value float32
	for _, v := range x {
		if abs(v) > largest {
			largest, value = abs(v), v
		}
	}
	d := value / -8
	if err := scale(out, d, value); err != nil {
		return err
	}
	var inverse float32
	if d != 0 {
		inverse = 1 / d
	}
	code := func(v float32) byte { return byte(min(15, int8(float32(v*inverse)+8.5))) }
	for i := range 16 {
		out[2+i] = code(x[i]) | code(x[i+16])<<4
	}
	return nil
}
