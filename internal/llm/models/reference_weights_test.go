package models_test

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/mlxgo/mlx/internal/hf/safetensors"
)

func itoa(n int) string { return strconv.Itoa(n) }

// refFloats decodes F32, BF16 and F16 by their bits.
func refFloats(x safetensors.Tensor) []float64 {
	var out []float64
	switch x.RawDType {
	case "F32":
		for b := x.Data; len(b) > 0; b = b[4:] {
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(b))))
		}
	case "BF16":
		for b := x.Data; len(b) > 0; b = b[2:] {
			out = append(out, float64(math.Float32frombits(uint32(binary.LittleEndian.Uint16(b))<<16)))
		}
	case "F16":
		for b := x.Data; len(b) > 0; b = b[2:] {
			out = append(out, refMinifloat(int(binary.LittleEndian.Uint16(b)), 5, 10))
		}
	case "U8":
		return refBytes(x.Data)
	default:
		panic("reference: dtype " + x.RawDType + " of " + x.Name)
	}
	return out
}

// refMinifloat decodes sign, exponent and mantissa of a finite number of the given
// widths, with IEEE's bias and denormals.
func refMinifloat(code, exponentBits, mantissaBits int) float64 {
	bias := 1<<(exponentBits-1) - 1
	mantissa := float64(code & (1<<mantissaBits - 1))
	exponent := code >> mantissaBits & (1<<exponentBits - 1)
	sign := 1.0
	if code>>(exponentBits+mantissaBits)&1 == 1 {
		sign = -1
	}
	if exponent == 0 {
		return sign * math.Ldexp(mantissa, 1-bias-mantissaBits)
	}
	return sign * math.Ldexp(mantissa+math.Ldexp(1, mantissaBits), exponent-bias-mantissaBits)
}

// refScheme is how one matrix is packed.
type refScheme struct {
	group, bits int
	mode        string
}

// refSchemeOf is mlx-lm's rule: a path's own object, whose missing values are the
// mode's defaults, else the whole block's.
func refSchemeOf(block refConfig, path string) refScheme {
	if own := block.object(path); own != nil {
		block = own
	}
	s := refScheme{mode: "affine", group: 64, bits: 4}
	if mode, ok := block["mode"].(string); ok {
		s.mode = mode
	}
	switch s.mode {
	case "mxfp4":
		s.group = 32
	case "mxfp8":
		s.group, s.bits = 32, 8
	case "nvfp4":
		s.group = 16
	}
	s.group, s.bits = int(block.num("group_size", float64(s.group))), int(block.num("bits", float64(s.bits)))
	return s
}

// refUnpack reads a packed matrix bit by bit: element k of a row is bits [k*b,
// (k+1)*b) of its little-endian bit stream.
func refUnpack(w, scales, biases safetensors.Tensor, s refScheme) refMatrix {
	rows, rowBytes := w.Shape[0], w.Shape[1]*4
	cols := rowBytes * 8 / s.bits
	m := refMatrix{rows, cols, make([]float64, rows*cols)}
	var scale, bias []float64
	if s.mode == "affine" {
		scale, bias = refFloats(scales), refFloats(biases)
	}
	for r := range rows {
		stream := w.Data[r*rowBytes : (r+1)*rowBytes]
		for k := range cols {
			code := 0
			for b := range s.bits {
				at := k*s.bits + b
				code |= int(stream[at/8]>>(at%8)&1) << b
			}
			g := (r*cols + k) / s.group
			at := r*cols + k
			switch s.mode {
			case "affine":
				m.v[at] = float64(code)*scale[g] + bias[g]
			case "mxfp4":
				m.v[at] = refMinifloat(code, 2, 1) * math.Ldexp(1, int(scales.Data[g])-127)
			case "mxfp8":
				m.v[at] = refMinifloat(code, 4, 3) * math.Ldexp(1, int(scales.Data[g])-127)
			case "nvfp4":
				m.v[at] = refMinifloat(code, 2, 1) * refMinifloat(int(scales.Data[g]), 4, 3)
			}
		}
	}
	return m
}
