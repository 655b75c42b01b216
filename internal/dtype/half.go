package dtype

import "math"

// F16ToF32 is the exact value of a binary16 pattern. A signaling NaN becomes
// quiet with its payload kept, as the hardware conversions do.
func F16ToF32(h uint16) float32 {
	sign := uint32(h&0x8000) << 16
	u := uint32(h&0x7fff) << 13
	switch {
	case u >= 0x7c00<<13: // infinity and NaN
		u += (255 - 31) << 23
		if u&0x7fffff != 0 {
			u |= 0x400000
		}
	case u >= 0x0400<<13: // normal: rebias
		u += (127 - 15) << 23
	default: // subnormal m*2^-24: put m under 2^-14's leading one, take the one off
		u = math.Float32bits(math.Float32frombits(u+113<<23) - math.Float32frombits(113<<23))
	}
	return math.Float32frombits(u | sign)
}

// F32ToF16 rounds to the nearest binary16, ties to even; from 65520 on it is
// infinity. NaN stays NaN, quiet, with its sign and upper payload bits, as the
// hardware conversions do.
func F32ToF16(f float32) uint16 {
	u := math.Float32bits(f)
	sign := uint16(u>>16) & 0x8000
	u &= 0x7fffffff
	switch {
	case u > 0x7f800000:
		return sign | 0x7e00 | uint16(u>>13)&0x3ff
	case u >= 0x477ff000: // 65520, the midpoint above the largest finite
		return sign | 0x7c00
	case u < 0x38800000: // below 2^-14: 0.5 has an ulp of 2^-24, so the sum rounds for us
		return sign | uint16(math.Float32bits(math.Float32frombits(u)+0.5)-0x3f000000)
	}
	u += 0xfff + u>>13&1 - (127-15)<<23
	return sign | uint16(u>>13)
}

// BF16ToF32 is the exact value of a bfloat16 pattern: the upper half of a float32.
func BF16ToF32(b uint16) float32 { return math.Float32frombits(uint32(b) << 16) }

// F32ToBF16 rounds to the nearest bfloat16, ties to even. Every NaN becomes
// 0x7fc0, as in MLX's CPU code.
func F32ToBF16(f float32) uint16 {
	u := math.Float32bits(f)
	if u&0x7fffffff > 0x7f800000 {
		return 0x7fc0
	}
	return uint16((u + 0x7fff + u>>16&1) >> 16)
}
