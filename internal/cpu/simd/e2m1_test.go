package simd

import (
	"math"
	"testing"
)

// e2m1Thresholds is the code of d.5's GPU thresholds.
func e2m1Thresholds(v float64) (code uint32) {
	a := math.Abs(v)
	for _, above := range []bool{!(a <= .25), !(a < .75), !(a <= 1.25), !(a < 1.75), !(a <= 2.5), !(a < 3.5), !(a <= 5)} {
		if above {
			code++
		}
	}
	if math.Signbit(v) {
		code |= 8
	}
	return code
}

// TestE2M1Roundings holds the two roundings to e2m1 against their definitions, over all values of
// half precision and many of float32.
func TestE2M1Roundings(t *testing.T) {
	check := func(u uint32, elem Elem) {
		v := math.Float32frombits(u)
		if got, want := toE2M1(v), e2m1Thresholds(float64(v)); got != want {
			t.Fatalf("toE2M1(%v) = %d, want %d", v, got, want)
		}
		if a := abs32(v); a <= 16 {
			if got, want := downE2M1(v), nearestE2M1(v, elem); got != want {
				t.Fatalf("downE2M1(%v) = %d, want %d (%v)", v, got, want, elem)
			}
		}
	}
	for h := range uint32(1 << 16) {
		check(h<<16, BF16)
		var f [1]float32
		K.F16ToF32(f[:], []uint16{uint16(h)})
		check(math.Float32bits(f[0]), F16)
	}
	step := uint32(4099)
	for u := uint32(0); u < math.MaxUint32-step; u += step {
		check(u, F32)
	}
	for _, tie := range []float32{.25, .75, 1.25, 1.75, 2.5, 3.5, 5, 6, 16} {
		for _, v := range []float32{tie, -tie} {
			u := math.Float32bits(v)
			for d := range uint32(5) {
				check(u+d-2, F32)
			}
		}
	}
}

// TestE8M0Roots holds the scales of Metal's kernels against the logarithm.
func TestE8M0Roots(t *testing.T) {
	check := func(s float32) {
		b, v := kernelE8M0(s)
		want, value := e8m0(math.Round(float64(float32(math.Log2(float64(s))))), s)
		if s == 0 {
			want, value = 0, 0
		}
		if b != want || v != value {
			t.Fatalf("the scale of %v (%x) is %d, want %d", s, math.Float32bits(s), b, want)
		}
	}
	for u := uint32(0); u <= 0x7f800000; u += 9973 {
		check(math.Float32frombits(u))
	}
	for e := range uint32(256) {
		for d := range uint32(4096) {
			check(math.Float32frombits(e<<23 | (0x3504f3 - 2048 + d)))
		}
	}
}
