package simd

import (
	"fmt"
	"math"
)

// Mode is a scheme of quantization.
type Mode uint8

// Modes. A group of consecutive values of a row shares a scale.
const (
	Affine Mode = iota // code·s + b; 2, 3, 4, 5, 6, 8 bits, groups 32, 64, 128
	MXFP4              // e2m1 codes, e8m0 scales, group 32
	MXFP8              // e4m3 codes, e8m0 scales, group 32
	NVFP4              // e2m1 codes, e4m3 scales, group 16, optional global scale
	Dense              // bfloat16 values, Bits 16, Group 32; only for products, see [Table].PlansDense
)

func (m Mode) String() string {
	switch m {
	case Affine:
		return "affine"
	case MXFP4:
		return "mxfp4"
	case MXFP8:
		return "mxfp8"
	case NVFP4:
		return "nvfp4"
	case Dense:
		return "dense"
	}
	return fmt.Sprintf("Mode(%d)", uint8(m))
}

// Rounding names whose bytes QuantizeRow reproduces: MLX's CPU and GPU
// quantizers differ on ties and on some edge groups.
type Rounding uint8

// Roundings.
const (
	// RoundCPU rounds half to even and clamps codes to [0, n]. The fp modes
	// compute in the element type, and a tie of e2m1 takes the smaller
	// magnitude.
	RoundCPU Rounding = iota
	// RoundMetal rounds half away from zero and starts the maximum of an
	// affine group at 0. The fp modes compute in float32, ties of e2m1 go to
	// the even code, and a zero scale gives zero codes. A negative affine code
	// is undefined in Metal; here it is 0.
	RoundMetal
)

// QParams says how QuantizeRow quantizes.
type QParams struct {
	Mode     Mode
	Bits     int
	Group    int
	Elem     Elem    // type of the values; affine scales and biases have it too
	Global   float32 // NVFP4: the largest magnitude of the tensor; 0: none
	Rounding Rounding
}

// Check reports whether MLX knows the combination of mode, bits and group.
func (p QParams) Check() error {
	switch p.Mode {
	case Affine:
		switch p.Bits {
		case 2, 3, 4, 5, 6, 8:
		default:
			return fmt.Errorf("simd: affine quantization has 2, 3, 4, 5, 6 or 8 bits, not %d", p.Bits)
		}
		switch p.Group {
		case 32, 64, 128:
			return nil
		}
		return fmt.Errorf("simd: affine quantization has groups of 32, 64 or 128, not %d", p.Group)
	case MXFP4, MXFP8, NVFP4:
		bits, group := 4, 32
		if p.Mode == MXFP8 {
			bits = 8
		}
		if p.Mode == NVFP4 {
			group = 16
		}
		if p.Bits != bits || p.Group != group {
			return fmt.Errorf("simd: %v has %d bits and groups of %d, not %d and %d", p.Mode, bits, group, p.Bits, p.Group)
		}
		return nil
	}
	return fmt.Errorf("simd: unknown quantization mode %d", p.Mode)
}

// RowWords returns the packed words of a row of k values.
func (p QParams) RowWords(k int) int { return k * p.Bits / 32 }

// RowScaleBytes returns the bytes of the scales of a row of k values; the
// biases of an affine row take as many.
func (p QParams) RowScaleBytes(k int) int {
	if p.Mode == Affine {
		return k / p.Group * p.Elem.Size()
	}
	return k / p.Group
}

// QMatrix is a packed matrix of Rows × Cols values, quantized along Cols.
// A row is a little-endian bit stream of Cols codes, Cols·Bits/32 words.
// All memory may be unaligned; nothing is copied.
type QMatrix struct {
	Mode       Mode
	Bits       int
	Group      int
	Rows, Cols int
	Words      []uint32
	Scales     []byte  // Rows × Cols/Group: of Elem (affine), e8m0 (mx), e4m3 (nvfp4)
	Biases     []byte  // affine: as Scales; else nil
	Elem       Elem    // type of affine scales and biases
	Global     float32 // NVFP4: scales count in units of Global/(448·6); 0: none
}

// Check reports whether the sizes of q fit each other.
func (q *QMatrix) Check() error {
	p := QParams{Mode: q.Mode, Bits: q.Bits, Group: q.Group}
	if err := p.Check(); err != nil {
		return err
	}
	if q.Rows < 0 || q.Cols < 0 || q.Cols%q.Group != 0 {
		return fmt.Errorf("simd: a quantized matrix of [%d %d] does not divide into groups of %d", q.Rows, q.Cols, q.Group)
	}
	if n := q.Rows * q.rowWords(); len(q.Words) < n {
		return fmt.Errorf("simd: quantized matrix [%d %d] of %d bits needs %d words, has %d", q.Rows, q.Cols, q.Bits, n, len(q.Words))
	}
	size := 1
	if q.Mode == Affine {
		size = q.Elem.Size()
	}
	n := q.Rows * q.groups() * size
	if len(q.Scales) < n {
		return fmt.Errorf("simd: quantized matrix [%d %d] with groups of %d needs %d bytes of scales, has %d", q.Rows, q.Cols, q.Group, n, len(q.Scales))
	}
	if q.Mode == Affine && len(q.Biases) < n {
		return fmt.Errorf("simd: quantized matrix [%d %d] with groups of %d needs %d bytes of biases, has %d", q.Rows, q.Cols, q.Group, n, len(q.Biases))
	}
	return nil
}

// Slice returns rows [i, j) of q, sharing its memory: one expert of a stack.
func (q *QMatrix) Slice(i, j int) QMatrix {
	s := *q
	s.Rows = j - i
	w, b := q.rowWords(), q.groups()
	if q.Mode == Affine {
		b *= q.Elem.Size()
		s.Biases = q.Biases[i*b : j*b]
	}
	s.Words, s.Scales = q.Words[i*w:j*w], q.Scales[i*b:j*b]
	return s
}

func (q *QMatrix) rowWords() int { return q.Cols * q.Bits / 32 }
func (q *QMatrix) groups() int   { return q.Cols / q.Group }

// scales decodes len(dst) scales from group g of row on.
func (q *QMatrix) scales(dst []float32, row, g int) {
	i := row*q.groups() + g
	switch q.Mode {
	case Affine:
		load(dst, Raw{q.Elem, q.Scales}.Slice(i, i+len(dst)))
	case NVFP4:
		for t, b := range q.Scales[i : i+len(dst)] {
			dst[t] = FromE4M3(b)
		}
		if q.Global != 0 {
			unit := q.Global / (448 * 6)
			for t := range dst {
				dst[t] *= unit
			}
		}
	default:
		for t, b := range q.Scales[i : i+len(dst)] {
			dst[t] = FromE8M0(b)
		}
	}
}

// biases decodes len(dst) biases from group g of row on; affine only.
func (q *QMatrix) biases(dst []float32, row, g int) {
	i := row*q.groups() + g
	load(dst, Raw{q.Elem, q.Biases}.Slice(i, i+len(dst)))
}

// FromE8M0 returns 2^(b-127); byte 255, not finite, is +Inf.
func FromE8M0(b byte) float32 {
	if b == 0 {
		return 0x1p-127
	}
	return math.Float32frombits(uint32(b) << 23)
}

// FromE4M3 returns the value of an e4m3 byte: bias 7, no Inf, and 0x7F is 480
// as in MLX, not NaN.
func FromE4M3(b byte) float32 {
	// Place the bits as a float16 that is 2^8 too small.
	return FromF16(uint16(b&0x80)<<8|uint16(b&0x7f)<<7) * 256
}

// ToE4M3 rounds f to e4m3, ties to even, saturating at 448; NaN saturates too.
func ToE4M3(f float32) byte {
	u := math.Float32bits(f)
	sign := byte(u >> 24 & 0x80)
	u &= 0x7fffffff
	switch {
	case u >= 543<<21:
		return sign | 0x7e
	case u < 121<<23: // subnormal: a sum with 2^14 rounds to units of 2^-9
		d := math.Float32frombits(u) + math.Float32frombits(141<<23)
		return sign | byte(math.Float32bits(d)-141<<23)
	}
	u += 0x7ffff + u>>20&1
	return sign | byte((u-120<<23)>>20)
}

// e2m1 magnitudes by code; bit 3 is the sign.
var e2m1 = [16]float32{0, .5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -.5, -1, -1.5, -2, -3, -4, -6}
