package dtype

import (
	"math"
	"testing"
)

func TestE4M3(t *testing.T) {
	for i := range 256 {
		if got, want := E4M3ToF32(uint8(i)), value(i, 4, 3, false); !same(got, want) {
			t.Fatalf("E4M3ToF32(%#x) = %v, want %v", i, got, want)
		}
	}
	if E4M3ToF32(0x7f) != 480 {
		t.Errorf("0x7f decodes to %v, want 480", E4M3ToF32(0x7f))
	}
	for i := range 0x7e {
		mid := (E4M3ToF32(uint8(i)) + E4M3ToF32(uint8(i+1))) / 2
		for f, want := range map[float32]int{
			E4M3ToF32(uint8(i)):      i,
			math.Nextafter32(mid, 0): i,
			mid:                      i + i&1,
			math.Nextafter32(mid, float32(math.Inf(1))): i + 1,
		} {
			if got := F32ToE4M3(f); got != uint8(want) {
				t.Fatalf("F32ToE4M3(%v) = %#x, want %#x", f, got, want)
			}
			if got := F32ToE4M3(-f); f != 0 && got != uint8(want)|0x80 {
				t.Fatalf("F32ToE4M3(%v) = %#x, want %#x", -f, got, want|0x80)
			}
		}
	}
	inf, nan := float32(math.Inf(1)), math.Float32frombits(0x7fc00000)
	for f, want := range map[float32]uint8{464: 0x7e, 465: 0x7e, 1e30: 0x7e, inf: 0x7e, -inf: 0xfe, -449: 0xfe} {
		if got := F32ToE4M3(f); got != want {
			t.Errorf("F32ToE4M3(%v) = %#x, want %#x", f, got, want)
		}
	}
	if F32ToE4M3(nan) != 0x7e || F32ToE4M3(math.Float32frombits(0xffc00000)) != 0xfe {
		t.Error("NaN must saturate with its sign")
	}
	if F32ToE4M3(math.Float32frombits(1<<31)) != 0x80 {
		t.Error("-0 must keep its sign")
	}
}

func TestE8M0(t *testing.T) {
	for i := range 255 {
		want := math.Ldexp(1, i-127)
		if got := E8M0ToF32(uint8(i)); float64(got) != want {
			t.Fatalf("E8M0ToF32(%d) = %v, want %v", i, got, want)
		}
		f := float32(want)
		if F32ToE8M0(f) != uint8(i) || F32ToE8M0Kernel(f) != uint8(i) {
			t.Fatalf("encode(2^%d) = %d, %d, want %d", i-127, F32ToE8M0(f), F32ToE8M0Kernel(f), i)
		}
		if i > 0 && i < 254 && (F32ToE8M0(f*1.41) != uint8(i) || F32ToE8M0(f*1.42) != uint8(i+1)) {
			t.Fatalf("the rounding is not to the nearest exponent at 2^%d", i-127)
		}
	}
	inf := float32(math.Inf(1))
	if !math.IsInf(float64(E8M0ToF32(255)), 1) {
		t.Error("255 decodes to ", E8M0ToF32(255))
	}
	for _, c := range []struct {
		f             float32
		graph, kernel uint8
	}{
		{0, 127, 0}, {inf, 255, 255}, {-inf, 255, 255}, {float32(math.NaN()), 255, 255}, {-1, 255, 0},
		{math.MaxFloat32, 254, 254}, {math.SmallestNonzeroFloat32, 0, 0}, {6, 130, 130}, {5.6, 129, 129},
		// log2 in float32 is exactly 1.5, then 2.5: at the latter the two ties part ways.
		{math.Sqrt2 * 2, 129, 129}, {math.Sqrt2 * 4, 129, 130},
	} {
		if g, k := F32ToE8M0(c.f), F32ToE8M0Kernel(c.f); g != c.graph || k != c.kernel {
			t.Errorf("encode(%v) = %d, %d, want %d, %d", c.f, g, k, c.graph, c.kernel)
		}
	}
}

func TestE2M1(t *testing.T) {
	for i := range 16 {
		v := value(i, 2, 1, false)
		if got := E2M1ToF32(uint8(i)); !same(got, v) {
			t.Fatalf("E2M1ToF32(%d) = %v, want %v", i, got, v)
		}
		f := float32(v)
		if got := F32ToE2M1Kernel(f); got != uint8(i) {
			t.Errorf("F32ToE2M1Kernel(%v) = %d, want %d", f, got, i)
		}
		if got := F32ToE2M1(f); i != 8 && got != uint8(i) {
			t.Errorf("F32ToE2M1(%v) = %d, want %d", f, got, i)
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
		if g, k := F32ToE2M1(c.f), F32ToE2M1Kernel(c.f); g != c.graph || k != c.kernel {
			t.Errorf("encode(%v) = %d, %d, want %d, %d", c.f, g, k, c.graph, c.kernel)
		}
	}
}

// The thresholds agree with the search over the table that defines the code.
func TestE2M1ThresholdsAreTheSearch(t *testing.T) {
	for u := uint32(0); u < 0x42000000; u += 977 {
		for _, f := range []float32{math.Float32frombits(u), -math.Float32frombits(u)} {
			if got, want := F32ToE2M1(f), e2m1Search(f); got != want {
				t.Fatalf("F32ToE2M1(%v) = %d, the search gives %d", f, got, want)
			}
		}
	}
	for _, mid := range []float32{.25, .75, 1.25, 1.75, 2.5, 3.5, 5} {
		for _, f := range []float32{math.Nextafter32(mid, 0), mid, math.Nextafter32(mid, 9)} {
			if F32ToE2M1(f) != e2m1Search(f) || F32ToE2M1(-f) != e2m1Search(-f) {
				t.Errorf("F32ToE2M1(±%v) = %d, %d", f, F32ToE2M1(f), F32ToE2M1(-f))
			}
		}
	}
}
