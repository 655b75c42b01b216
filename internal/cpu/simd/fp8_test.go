package simd

import (
	"math"
	"testing"
)

func TestE4M3Codes(t *testing.T) {
	for i := range 256 {
		if got, want := FromE4M3(uint8(i)), value(i, 4, 3, false); !same(got, want) {
			t.Fatalf("FromE4M3(%#x) = %v, want %v", i, got, want)
		}
	}
	if FromE4M3(0x7f) != 480 {
		t.Errorf("0x7f decodes to %v, want 480", FromE4M3(0x7f))
	}
	for i := range 0x7e {
		mid := (FromE4M3(uint8(i)) + FromE4M3(uint8(i+1))) / 2
		for f, want := range map[float32]int{
			FromE4M3(uint8(i)):       i,
			math.Nextafter32(mid, 0): i,
			mid:                      i + i&1,
			math.Nextafter32(mid, float32(math.Inf(1))): i + 1,
		} {
			if got := ToE4M3(f); got != uint8(want) {
				t.Fatalf("ToE4M3(%v) = %#x, want %#x", f, got, want)
			}
			if got := ToE4M3(-f); f != 0 && got != uint8(want)|0x80 {
				t.Fatalf("ToE4M3(%v) = %#x, want %#x", -f, got, want|0x80)
			}
		}
	}
	inf, nan := float32(math.Inf(1)), math.Float32frombits(0x7fc00000)
	for f, want := range map[float32]uint8{464: 0x7e, 465: 0x7e, 1e30: 0x7e, inf: 0x7e, -inf: 0xfe, -449: 0xfe} {
		if got := ToE4M3(f); got != want {
			t.Errorf("ToE4M3(%v) = %#x, want %#x", f, got, want)
		}
	}
	if ToE4M3(nan) != 0x7e || ToE4M3(math.Float32frombits(0xffc00000)) != 0xfe {
		t.Error("NaN must saturate with its sign")
	}
	if ToE4M3(math.Float32frombits(1<<31)) != 0x80 {
		t.Error("-0 must keep its sign")
	}
}

func TestE8M0(t *testing.T) {
	for i := range 255 {
		want := math.Ldexp(1, i-127)
		if got := FromE8M0(uint8(i)); float64(got) != want {
			t.Fatalf("FromE8M0(%d) = %v, want %v", i, got, want)
		}
		f := float32(want)
		if graphByte(f) != uint8(i) || kernelByte(f) != uint8(i) {
			t.Fatalf("encode(2^%d) = %d, %d, want %d", i-127, graphByte(f), kernelByte(f), i)
		}
		if i > 0 && i < 254 && (graphByte(f*1.41) != uint8(i) || graphByte(f*1.42) != uint8(i+1)) {
			t.Fatalf("the rounding is not to the nearest exponent at 2^%d", i-127)
		}
	}
	inf := float32(math.Inf(1))
	if !math.IsInf(float64(FromE8M0(255)), 1) {
		t.Error("255 decodes to ", FromE8M0(255))
	}
	for _, c := range []struct {
		f             float32
		graph, kernel uint8
	}{
		{0, 127, 0}, {inf, 255, 255}, {-inf, 255, 255}, {float32(math.NaN()), 255, 255},
		{math.MaxFloat32, 254, 254}, {math.SmallestNonzeroFloat32, 0, 0}, {6, 130, 130}, {5.6, 129, 129},
		// log2 in float32 is exactly 1.5, then 2.5: at the latter the two ties part ways.
		{math.Sqrt2 * 2, 129, 129}, {math.Sqrt2 * 4, 129, 130},
	} {
		if g, k := graphByte(c.f), kernelByte(c.f); g != c.graph || k != c.kernel {
			t.Errorf("encode(%v) = %d, %d, want %d, %d", c.f, g, k, c.graph, c.kernel)
		}
	}
}

func TestE2M1(t *testing.T) {
	for i := range 16 {
		v := value(i, 2, 1, false)
		if got := e2m1[i]; !same(got, v) {
			t.Fatalf("e2m1(%d) = %v, want %v", i, got, v)
		}
		f := float32(v)
		if got := kernelCode(f); got != uint8(i) {
			t.Errorf("kernelCode(%v) = %d, want %d", f, got, i)
		}
		if got := graphCode(f); i != 8 && got != uint8(i) {
			t.Errorf("graphCode(%v) = %d, want %d", f, got, i)
		}
	}
	inf := float32(math.Inf(1))
	for _, c := range []struct {
		f             float32
		graph, kernel uint8
	}{
		{.25, 0, 0}, {.75, 1, 2}, {1.25, 2, 2}, {1.75, 3, 4}, {2.5, 4, 4}, {3.5, 5, 6}, {5, 6, 6}, {5.01, 7, 7},
		{-.25, 0, 8}, {-.1, 0, 8}, {-.75, 9, 10}, {-3.5, 13, 14}, {-100, 15, 15}, {100, 7, 7},
		{inf, 0, 7}, {-inf, 0, 15}, {float32(math.NaN()), 0, 7}, {math.Float32frombits(1 << 31), 0, 8},
	} {
		if g, k := graphCode(c.f), kernelCode(c.f); g != c.graph || k != c.kernel {
			t.Errorf("encode(%v) = %d, %d, want %d, %d", c.f, g, k, c.graph, c.kernel)
		}
	}
}

func graphByte(f float32) byte {
	b, _ := graphE8M0(f, F32)
	return b
}

func kernelByte(f float32) byte {
	b, _ := kernelE8M0(f)
	return b
}

func graphCode(f float32) uint8  { return uint8(nearestE2M1(f, F32)) }
func kernelCode(f float32) uint8 { return uint8(toE2M1(f)) }

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
