package simd

import (
	"math"
	"reflect"
	"strings"
	"testing"
)

func TestSelect(t *testing.T) {
	old := Active()
	defer Select(old)
	err := Select("mmx")
	if err == nil || !strings.Contains(err.Error(), "pure") || !strings.Contains(err.Error(), "mmx") {
		t.Errorf("Select of an unknown tier: %v", err)
	}
	if Active() != old {
		t.Errorf("a failed Select changed the tier to %s", Active())
	}
	if err := fromEnv("mmx"); err == nil || Active() != Available()[0] {
		t.Errorf("MLX_SIMD=mmx: error %v, active %s", err, Active())
	}
	if err := fromEnv(""); err != nil || Active() != Available()[0] {
		t.Errorf("no MLX_SIMD: error %v, active %s", err, Active())
	}
	if err := fromEnv("pure"); err != nil || Active() != "pure" {
		t.Errorf("MLX_SIMD=pure: error %v, active %s", err, Active())
	}
	for _, name := range Available() {
		if err := Select(name); err != nil || Active() != name {
			t.Errorf("Select(%q): %v, active %s", name, err, Active())
		}
	}
}

// ref16 decodes a half from its definition; ebits exponent bits.
func ref16(h uint16, ebits int) float64 {
	mbits := 15 - ebits
	e, m := int(h>>mbits)&(1<<ebits-1), int(h)&(1<<mbits-1)
	bias := 1<<(ebits-1) - 1
	v := math.Ldexp(float64(m)/float64(int(1)<<mbits)+1, e-bias)
	switch {
	case e == 1<<ebits-1 && m != 0:
		return math.NaN()
	case e == 1<<ebits-1:
		v = math.Inf(1)
	case e == 0:
		v = math.Ldexp(float64(m), 1-bias-mbits)
	}
	if h>>15 == 1 {
		v = -v
	}
	return v
}

func TestHalves(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		for _, c := range []struct {
			e     Elem
			ebits int
			from  func([]float32, []uint16)
			to    func([]uint16, []float32)
		}{{F16, 5, K.F16ToF32, K.F32ToF16}, {BF16, 8, K.BF16ToF32, K.F32ToBF16}} {
			all := make([]uint16, 1<<16)
			for i := range all {
				all[i] = uint16(i)
			}
			f, back := make([]float32, len(all)), make([]uint16, len(all))
			c.from(f, all)
			c.to(back, f)
			for h, v := range f {
				want := ref16(uint16(h), c.ebits)
				if math.IsNaN(want) {
					if v == v || back[h]&0x7fff <= uint16(1<<c.ebits-1)<<(15-c.ebits) {
						t.Fatalf("%v %#04x: NaN became %v, back %#04x", c.e, h, v, back[h])
					}
					continue
				}
				if float64(v) != want || math.Signbit(float64(v)) != math.Signbit(want) || back[h] != uint16(h) {
					t.Fatalf("%v %#04x = %v, want %v; back %#04x", c.e, h, v, want, back[h])
				}
			}
			testRounding(t, c.e, c.ebits, c.to)
		}
	})
}

// testRounding rounds the points between neighbours: below, at and above the middle.
func testRounding(t *testing.T, e Elem, ebits int, to func([]uint16, []float32)) {
	inf := uint16(1<<ebits-1) << (15 - ebits)
	for h := uint16(0); h < inf; h++ {
		lo, hi := ref16(h, ebits), ref16(h+1, ebits)
		if h+1 == inf { // the next value if the exponent went on
			hi = 2*lo - ref16(h-1, ebits)
		}
		mid := float32((lo + hi) / 2)
		if float64(mid) != (lo+hi)/2 {
			t.Fatalf("%v: middle above %#04x is no float32", e, h)
		}
		x := []float32{math.Nextafter32(mid, 0), mid, math.Nextafter32(mid, inf32), -mid}
		even := h + h&1
		want := []uint16{h, even, h + 1, even | 0x8000}
		got := make([]uint16, 4)
		to(got, x)
		for i := range x {
			if got[i] != want[i] {
				t.Fatalf("%v: %v rounds to %#04x, want %#04x", e, x[i], got[i], want[i])
			}
		}
	}
	got := make([]uint16, 3)
	to(got, []float32{inf32, math.MaxFloat32, -inf32})
	if got[0] != inf || got[1] != inf || got[2] != inf|0x8000 {
		t.Errorf("%v: Inf, MaxFloat32, -Inf round to %#04x", e, got)
	}
}

func TestLoadStoreUnaligned(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(8)
		for _, e := range elems {
			for n := range 40 {
				x := normals(r, n)
				got, want := make([]float32, n), rounded(e, x)
				K.Load(got, rawOf(e, x))
				if !sameBits(got, want) {
					t.Fatalf("Load %v %d", e, n)
				}
				b := Raw{e, odd(make([]byte, n*e.Size()))}
				K.Store(b, x)
				clear(got)
				K.Load(got, b)
				if !sameBits(got, want) {
					t.Fatalf("Store %v %d", e, n)
				}
				K.Round(x, e)
				if !sameBits(x, want) {
					t.Fatalf("Round %v %d", e, n)
				}
			}
		}
	})
}

func TestE4M3(t *testing.T) {
	for b := range 256 {
		e, m := b>>3&15, float64(b&7)
		want := math.Ldexp(1+m/8, e-7)
		if e == 0 {
			want = m / 512
		}
		if b&0x80 != 0 {
			want = -want
		}
		got := FromE4M3(byte(b))
		if float64(got) != want {
			t.Errorf("e4m3 %#02x = %v, want %v", b, got, want)
		}
		if b&0x7f != 0x7f && ToE4M3(got) != byte(b) {
			t.Errorf("e4m3 %v back to %#02x, want %#02x", got, ToE4M3(got), b)
		}
	}
	for b := byte(0); b < 0x7e; b++ {
		lo, hi := FromE4M3(b), FromE4M3(b+1)
		mid := (lo + hi) / 2
		if got := ToE4M3(mid); got != b+b&1 {
			t.Errorf("tie %v to %#02x, want %#02x", mid, got, b+b&1)
		}
		if ToE4M3(math.Nextafter32(mid, 0)) != b || ToE4M3(math.Nextafter32(mid, inf32)) != b+1 {
			t.Errorf("neighbours of %v", mid)
		}
	}
	for _, c := range []struct {
		f float32
		b byte
	}{{463.9, 0x7e}, {464, 0x7e}, {1e9, 0x7e}, {inf32, 0x7e}, {-inf32, 0xfe}, {nan32, 0x7e}} {
		if got := ToE4M3(c.f); got != c.b {
			t.Errorf("e4m3 of %v: %#02x, want %#02x", c.f, got, c.b)
		}
	}
}

// Every tier sets every kernel.
func TestTablesAreFull(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		v := reflect.ValueOf(K)
		for i := range v.NumField() {
			f := v.Field(i)
			switch f.Kind() {
			case reflect.Func:
				if f.IsNil() {
					t.Errorf("%s has no %s", K.Name, v.Type().Field(i).Name)
				}
			case reflect.Array:
				for j := range f.Len() {
					if f.Index(j).IsNil() {
						t.Errorf("%s has no %s[%d]", K.Name, v.Type().Field(i).Name, j)
					}
				}
			}
		}
	})
}
