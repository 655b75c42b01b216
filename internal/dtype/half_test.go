package dtype

import (
	"math"
	"testing"
)

// value is the definition of a small float: e exponent bits, m mantissa bits,
// IEEE infinities and NaN when ieee.
func value(bits, e, m int, ieee bool) float64 {
	sign := 1.0
	if bits>>(e+m)&1 == 1 {
		sign = -1
	}
	exp, man := bits>>m&(1<<e-1), bits&(1<<m-1)
	bias := 1<<(e-1) - 1
	switch {
	case ieee && exp == 1<<e-1 && man != 0:
		return math.NaN()
	case ieee && exp == 1<<e-1:
		return sign * math.Inf(1)
	case exp == 0:
		return math.Copysign(math.Ldexp(float64(man), 1-bias-m), sign)
	}
	return sign * math.Ldexp(float64(man)+float64(int(1)<<m), exp-bias-m)
}

func same(a float32, b float64) bool {
	return math.IsNaN(float64(a)) && math.IsNaN(b) || float64(a) == b && math.Signbit(float64(a)) == math.Signbit(b)
}

func TestHalfDecodesEveryPattern(t *testing.T) {
	for i := range 1 << 16 {
		if got, want := F16ToF32(uint16(i)), value(i, 5, 10, true); !same(got, want) {
			t.Fatalf("F16ToF32(%#04x) = %v, want %v", i, got, want)
		}
		if got, want := BF16ToF32(uint16(i)), value(i, 8, 7, true); !same(got, want) {
			t.Fatalf("BF16ToF32(%#04x) = %v, want %v", i, got, want)
		}
	}
}

// Round trips, the midpoints to the next pattern (ties to even) and the floats
// just beside them decide every case of rounding to nearest.
func TestHalfEncodesEveryBoundary(t *testing.T) {
	for _, c := range []struct {
		name string
		enc  func(float32) uint16
		dec  func(uint16) float32
		inf  int
		over float64 // what stands for infinity when taking the last midpoint
	}{
		{"f16", F32ToF16, F16ToF32, 0x7c00, 65536},
		{"bf16", F32ToBF16, BF16ToF32, 0x7f80, 0x1p128},
	} {
		for i := range c.inf {
			for _, sign := range []uint16{0, 0x8000} {
				lo := float64(c.dec(uint16(i)))
				hi := c.over
				if i+1 < c.inf {
					hi = float64(c.dec(uint16(i + 1)))
				}
				check := func(f float32, want int) {
					if sign != 0 {
						f = -f
					}
					if got := c.enc(f); got != uint16(want)|sign {
						t.Fatalf("%s: encode(%v) = %#04x, want %#04x", c.name, f, got, uint16(want)|sign)
					}
				}
				mid := float32((lo + hi) / 2)
				check(float32(lo), i)
				check(math.Nextafter32(mid, 0), i)
				check(mid, i+i&1)
				check(math.Nextafter32(mid, float32(math.Inf(1))), i+1)
			}
		}
		if got := c.enc(float32(math.Inf(-1))); got != uint16(c.inf)|0x8000 {
			t.Errorf("%s: encode(-inf) = %#04x", c.name, got)
		}
		if got := c.enc(math.MaxFloat32); got != uint16(c.inf) {
			t.Errorf("%s: encode(max) = %#04x", c.name, got)
		}
	}
}

func TestHalfNaN(t *testing.T) {
	for _, c := range []struct {
		in        uint32
		f16, bf16 uint16
	}{
		{0x7fc00000, 0x7e00, 0x7fc0},
		{0xffc00000, 0xfe00, 0x7fc0},
		{0x7f800001, 0x7e00, 0x7fc0},
		{0x7fc02000, 0x7e01, 0x7fc0},
		{0xffffffff, 0xffff, 0x7fc0},
	} {
		f := math.Float32frombits(c.in)
		if got := F32ToF16(f); got != c.f16 {
			t.Errorf("F32ToF16(%#x) = %#x, want %#x", c.in, got, c.f16)
		}
		if got := F32ToBF16(f); got != c.bf16 {
			t.Errorf("F32ToBF16(%#x) = %#x, want %#x", c.in, got, c.bf16)
		}
	}
	if got := math.Float32bits(F16ToF32(0xfc01)); got != 0xffc02000 {
		t.Errorf("F16ToF32 of a signaling NaN = %#x", got)
	}
}
