package dtype

import "math"

// The largest e4m3 code that MLX writes: 448.
const e4m3Max = 0x7e

// E4M3ToF32 decodes an fp8 e4m3 code as MLX's from_fp8 does: bias 7, subnormals
// m*2^-9, and no NaN: 0x7f is 480.
func E4M3ToF32(b uint8) float32 { return e4m3Table[b] }

var e4m3Table = func() (t [256]float32) {
	for i := range t {
		// The code shifted under binary16's exponent is the value / 2^8.
		t[i] = F16ToF32(uint16(i&0x7f)<<7) * 256
		if i >= 0x80 {
			t[i] = -t[i]
		}
	}
	return t
}()

// F32ToE4M3 encodes as MLX's to_fp8 does: nearest, ties to even, saturating at
// 448 (code 0x7e); infinity and NaN are 0x7e with their sign.
func F32ToE4M3(f float32) uint8 {
	u := math.Float32bits(f)
	sign := uint8(u>>24) & 0x80
	u &= 0x7fffffff
	switch {
	case u >= 0x43e00000: // 448, infinity, NaN
		return sign | e4m3Max
	case u < 121<<23: // below 2^-6: 2^14 has an ulp of 2^-9, so the sum rounds for us
		return sign | uint8(math.Float32bits(math.Float32frombits(u)+0x1p14)-141<<23)
	}
	u += 0x7ffff + u>>20&1 - (127-7)<<23
	return sign | uint8(u>>20)
}

// E8M0ToF32 decodes a power-of-two scale: 2^(b-127), and infinity for 255.
func E8M0ToF32(b uint8) float32 {
	if b == 0 {
		return math.Float32frombits(0x400000) // 2^-127 is subnormal
	}
	return math.Float32frombits(uint32(b) << 23)
}

// F32ToE8M0 encodes a scale as MLX's CPU op graph does: the exponent nearest to
// log2(f) in float32, ties to even, within ±127. Zero is 127 (a scale of one);
// infinities and NaN are 255. Scales are never negative: a negative f is 255.
func F32ToE8M0(f float32) uint8 {
	if f == 0 {
		return 127
	}
	if f < 0 {
		return 255
	}
	return e8m0(f, math.RoundToEven)
}

// F32ToE8M0Kernel encodes as MLX's GPU kernels do: as F32ToE8M0, but ties go
// away from zero and zero and negatives are code 0.
func F32ToE8M0Kernel(f float32) uint8 {
	if f <= 0 && !math.IsInf(float64(f), -1) {
		return 0
	}
	return e8m0(f, math.Round)
}

func e8m0(f float32, round func(float64) float64) uint8 {
	if f != f || math.IsInf(float64(f), 0) {
		return 255
	}
	n := round(float64(float32(math.Log2(float64(f)))))
	return uint8(int(min(max(n, -127), 127)) + 127)
}

var e2m1Table = [16]float32{0, .5, 1, 1.5, 2, 3, 4, 6, float32(math.Copysign(0, -1)), -.5, -1, -1.5, -2, -3, -4, -6}

// E2M1ToF32 decodes an fp4 e2m1 code, the lower four bits of b.
func E2M1ToF32(b uint8) float32 { return e2m1Table[b&15] }

// F32ToE2M1 encodes as MLX's CPU op graph does: the first code of the table
// {0, .5, 1, 1.5, 2, 3, 4, 6, -0, ...} whose float32 distance to f is the least.
// So ties go towards zero, small negatives are +0, and NaN and infinities,
// equally far from every code, are 0.
func F32ToE2M1(f float32) uint8 {
	a := float32(math.Abs(float64(f)))
	if !(a <= 16) { // the differences round: only the search itself is right
		return e2m1Search(f)
	}
	// The differences near the midpoints are exact, so thresholds are the search.
	code := b2u(a > .25) + b2u(a > .75) + b2u(a > 1.25) + b2u(a > 1.75) + b2u(a > 2.5) + b2u(a > 3.5) + b2u(a > 5)
	if code != 0 && f < 0 {
		code |= 8
	}
	return code
}

func e2m1Search(f float32) uint8 {
	best, at := float32(math.Inf(1)), 0
	for i, v := range e2m1Table {
		if d := float32(math.Abs(float64(f - v))); d < best {
			best, at = d, i
		}
	}
	return uint8(at)
}

// F32ToE2M1Kernel encodes as MLX's GPU kernels do: nearest, ties to even,
// saturating at 6, the sign kept; NaN is code 7.
func F32ToE2M1Kernel(f float32) uint8 {
	if f != f {
		return 7
	}
	a := math.Abs(float64(f))
	code := b2u(a > .25) + b2u(a >= .75) + b2u(a > 1.25) + b2u(a >= 1.75) + b2u(a > 2.5) + b2u(a >= 3.5) + b2u(a > 5)
	return code | uint8(math.Float32bits(f)>>31)<<3
}

func b2u(b bool) uint8 {
	if b {
		return 1
	}
	return 0
}
