package simd

import (
	"math"
	"sync"
)

// F16 and BF16 bit patterns to float32 and back, one value at a time.

// FromF16 returns the value of a float16 bit pattern.
func FromF16(h uint16) float32 {
	// Shifting exponent and mantissa into float32 position leaves a value that
	// is 2^112 too small; the product also normalizes subnormals.
	const scale = 0x1p112
	m := uint32(h&0x7fff) << 13
	s := uint32(h&0x8000) << 16
	if m >= 0x7c00<<13 {
		b := s | 0x7f800000 | m
		if m > 0x7c00<<13 {
			b |= 1 << 22 // quiet
		}
		return math.Float32frombits(b)
	}
	return math.Float32frombits(s | math.Float32bits(math.Float32frombits(m)*scale))
}

// ToF16 rounds f to float16, ties to even.
func ToF16(f float32) uint16 {
	b := math.Float32bits(f)
	s := uint16(b >> 16 & 0x8000)
	b &= 0x7fffffff
	switch {
	case b > 0x7f800000:
		return s | 0x7e00 | uint16(b>>13&0x3ff)
	case b >= 0x477ff000: // 65520, the first value that rounds to Inf
		return s | 0x7c00
	case b < 0x38800000: // below 2^-14: adding 0.5 rounds to units of 2^-24
		return s | uint16(math.Float32bits(math.Float32frombits(b)+0.5)-0x3f000000)
	}
	b += 0xfff + b>>13&1
	return s | uint16((b-0x38000000)>>13)
}

// FromBF16 returns the value of a bfloat16 bit pattern.
func FromBF16(h uint16) float32 { return math.Float32frombits(uint32(h) << 16) }

// ToBF16 rounds f to bfloat16, ties to even.
func ToBF16(f float32) uint16 {
	b := math.Float32bits(f)
	if b&0x7fffffff > 0x7f800000 {
		return uint16(b>>16) | 0x40
	}
	return uint16((b + 0x7fff + b>>16&1) >> 16)
}

// RoundTo rounds f to the nearest value of t, ties to even.
func RoundTo(f float32, t Elem) float32 {
	switch t {
	case F16:
		return FromF16(ToF16(f))
	case BF16:
		return FromBF16(ToBF16(f))
	}
	return f
}

// f16Table holds the value of every float16: 256 KiB, of which weights touch a
// tenth. A load costs a third of the arithmetic of FromF16.
var (
	f16Table [1 << 16]float32
	f16Once  sync.Once
)

func fillF16Table() {
	for i := range f16Table {
		f16Table[i] = FromF16(uint16(i))
	}
}

func f16ToF32(dst []float32, src []uint16) {
	f16Once.Do(fillF16Table)
	dst = dst[:len(src)]
	for i, h := range src {
		dst[i] = f16Table[h]
	}
}

func f32ToF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, f := range src {
		dst[i] = ToF16(f)
	}
}

func bf16ToF32(dst []float32, src []uint16) {
	dst = dst[:len(src)]
	for i, h := range src {
		dst[i] = FromBF16(h)
	}
}

func f32ToBF16(dst []uint16, src []float32) {
	dst = dst[:len(src)]
	for i, f := range src {
		dst[i] = ToBF16(f)
	}
}

func load(dst []float32, src Raw) {
	switch src.Elem {
	case F32:
		if len(dst) > 0 {
			copy(dst, Float32s(src.Data)[:len(dst)])
		}
	case F16:
		f16ToF32(dst, Uint16s(src.Data)[:len(dst)])
	case BF16:
		bf16ToF32(dst, Uint16s(src.Data)[:len(dst)])
	}
}

func store(dst Raw, src []float32) {
	switch dst.Elem {
	case F32:
		if len(src) > 0 {
			copy(Float32s(dst.Data)[:len(src)], src)
		}
	case F16:
		f32ToF16(Uint16s(dst.Data), src)
	case BF16:
		f32ToBF16(Uint16s(dst.Data), src)
	}
}

func round(x []float32, t Elem) {
	switch t {
	case F16:
		for i, f := range x {
			x[i] = FromF16(ToF16(f))
		}
	case BF16:
		for i, f := range x {
			x[i] = FromBF16(ToBF16(f))
		}
	}
}
