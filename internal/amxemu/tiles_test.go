package amxemu

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"testing"
)

// ram is memory from address 0 on.
type ram []byte

func (m ram) Rows(write bool, addr, stride uint64, rows [][]byte) (int, error) {
	for i, r := range rows {
		at := addr + uint64(i)*stride
		switch {
		case at+uint64(len(r)) > uint64(len(m)):
			return i, &PageFault{max(at, uint64(len(m))), write}
		case write:
			copy(m[at:], r)
		default:
			copy(r, m[at:])
		}
	}
	return len(rows), nil
}

// config makes a configuration; tile i has the rows and bytes of tiles[i].
func config(tiles ...[2]int) []byte {
	c := make([]byte, 64)
	c[0] = 1
	for i, t := range tiles {
		c[48+i] = byte(t[0])
		binary.LittleEndian.PutUint16(c[16+2*i:], uint16(t[1]))
	}
	return c
}

func configured(t *testing.T, tiles ...[2]int) *Tiles {
	t.Helper()
	var s Tiles
	if err := s.Do(Inst{Op: LDTILECFG}, 0, 0, ram(config(tiles...))); err != nil {
		t.Fatal(err)
	}
	return &s
}

func TestConfigure(t *testing.T) {
	set := func(at int, b byte) []byte {
		c := config([2]int{16, 64}, [2]int{3, 8})
		c[at] = b
		return c
	}
	for why, cfg := range map[string][]byte{
		"palette 2":       set(0, 2),
		"byte 2":          set(2, 1),
		"byte 15":         set(15, 1),
		"a ninth tile":    set(32, 4),
		"rows of a ninth": set(56, 1),
		"the last byte":   set(63, 1),
		"17 rows":         set(48, 17),
		"65 bytes":        set(16, 65),
		"rows only":       set(50, 1),
		"bytes only":      set(20, 4),
	} {
		s := configured(t, [2]int{1, 4})
		old := *s
		if err := s.Do(Inst{Op: LDTILECFG}, 0, 0, ram(cfg)); err != ErrProtection {
			t.Errorf("%s: %v", why, err)
		}
		if *s != old {
			t.Errorf("%s: the state changed", why)
		}
	}
	s := configured(t, [2]int{16, 64}, [2]int{3, 8})
	s.data[0][0][0] = 1
	m := make(ram, 64)
	if err := s.Do(Inst{Op: STTILECFG}, 0, 0, m); err != nil || !bytes.Equal(m, config([2]int{16, 64}, [2]int{3, 8})) {
		t.Errorf("STTILECFG: %v, %x", err, m)
	}
	if err := s.Do(Inst{Op: LDTILECFG}, 0, 0, m); err != nil || s.data[0][0][0] != 0 {
		t.Errorf("LDTILECFG does not clear the data: %v", err)
	}
	for _, in := range []Inst{{Op: TILERELEASE}, {Op: LDTILECFG}} { // the latter with palette 0
		s := configured(t, [2]int{16, 64})
		clear(m)
		if err := s.Do(in, 0, 0, m); err != nil || *s != (Tiles{}) {
			t.Errorf("%v does not reset the state: %v", in.Op, err)
		}
	}
	m[5] = 1
	if err := new(Tiles).Do(Inst{Op: STTILECFG}, 0, 0, m); err != nil || !bytes.Equal(m, make([]byte, 64)) {
		t.Errorf("STTILECFG of no configuration: %v, %x", err, m)
	}
}

func TestUndefined(t *testing.T) {
	good := [][2]int{{3, 20}, {3, 28}, {7, 20}} // c, a, b
	cases := map[string]struct {
		in    Inst
		tiles [][2]int
	}{
		"no configuration":     {Inst{Op: TILEZERO}, nil},
		"no such tile":         {Inst{Op: TILEZERO, Dst: 8}, good},
		"tile left out":        {Inst{Op: TILELOADD, Dst: 3}, good},
		"store of a tile":      {Inst{Op: TILESTORED, Dst: 7}, good},
		"half a dword":         {Inst{Op: TILELOADD}, [][2]int{{1, 6}}},
		"c is a":               {Inst{Op: TDPBF16PS, Dst: 1, A: 1, B: 2}, good},
		"a is b":               {Inst{Op: TDPBF16PS, Dst: 0, A: 2, B: 2}, good},
		"rows of c and a":      {Inst{Op: TDPBF16PS, Dst: 0, A: 1, B: 2}, [][2]int{{4, 20}, {3, 28}, {7, 20}}},
		"columns of c and b":   {Inst{Op: TDPBSSD, Dst: 0, A: 1, B: 2}, [][2]int{{3, 20}, {3, 28}, {7, 24}}},
		"columns of a, rows b": {Inst{Op: TDPBUUD, Dst: 0, A: 1, B: 2}, [][2]int{{3, 20}, {3, 24}, {7, 20}}},
	}
	for why, c := range cases {
		s := new(Tiles)
		if c.tiles != nil {
			s = configured(t, c.tiles...)
		}
		if err := s.Do(c.in, 0, 0, make(ram, 4096)); err != ErrUndefined {
			t.Errorf("%s: %v", why, err)
		}
	}
	if err := configured(t, good...).Do(Inst{Op: TDPBF16PS, Dst: 0, A: 1, B: 2}, 0, 0, nil); err != nil {
		t.Error(err)
	}
}

func TestLoadStore(t *testing.T) {
	s := configured(t, [2]int{5, 12})
	src, dst := make(ram, 5*20), make(ram, 5*16)
	for i := range src {
		src[i] = byte(i + 1)
	}
	if err := s.Do(Inst{Op: TILELOADDT1}, 0, 20, src); err != nil {
		t.Fatal(err)
	}
	if err := s.Do(Inst{Op: TILESTORED}, 1, 16, dst); err != nil {
		t.Fatal(err)
	}
	for i, b := range dst {
		r, c := (i-1)/16, (i-1)%16
		want := byte(0)
		if i > 0 && c < 12 {
			want = byte(20*r + c + 1)
		}
		if b != want {
			t.Fatalf("byte %d is %d, want %d", i, b, want)
		}
	}
	// A page fault in row 3, and the restart behind it.
	if err := s.Do(Inst{Op: TILEZERO}, 0, 0, nil); err != nil {
		t.Fatal(err)
	}
	var page *PageFault
	if err := s.Do(Inst{Op: TILELOADD}, 0, 20, src[:70]); !errors.As(err, &page) || *page != (PageFault{Addr: 70}) {
		t.Fatalf("beyond memory: %v", err)
	}
	if s.cfg[1] != 3 || s.data[0][2][11] != 52 || s.data[0][3][0] != 0 {
		t.Errorf("after a fault in row 3 the start row is %d", s.cfg[1])
	}
	if err := s.Do(Inst{Op: TILELOADD}, 0, 20, src); err != nil || s.cfg[1] != 0 || s.data[0][4][11] != 92 {
		t.Errorf("the restart: %v", err)
	}
	if err := s.Do(Inst{Op: TILESTORED}, 0, 16, dst[:4*16]); !errors.As(err, &page) || *page != (PageFault{64, true}) {
		t.Errorf("store beyond memory: %v", err)
	}
}

// product runs one product on random tiles and returns them before and after.
func product(t *testing.T, r *rand.Rand, op Op, m, n, k int, fill func(b []byte)) (c, a, b, got []byte) {
	t.Helper()
	s := configured(t, [2]int{m, 4 * n}, [2]int{m, 4 * k}, [2]int{k, 4 * n})
	c, a, b = make([]byte, 4*m*n), make([]byte, 4*m*k), make([]byte, 4*k*n)
	for _, x := range [][]byte{c, a, b} {
		for i := range x {
			x[i] = byte(r.Uint32())
		}
		fill(x)
	}
	got = make([]byte, len(c))
	for _, x := range []struct {
		in  Inst
		row int
		mem []byte
	}{{Inst{Op: TILELOADD}, n, c}, {Inst{Op: TILELOADD, Dst: 1}, k, a}, {Inst{Op: TILELOADD, Dst: 2}, n, b},
		{Inst{Op: op, Dst: 0, A: 1, B: 2}, 0, nil}, {Inst{Op: TILESTORED}, n, got}} {
		if err := s.Do(x.in, 0, uint64(4*x.row), ram(x.mem)); err != nil {
			t.Fatal(err)
		}
	}
	return c, a, b, got
}

var shapes = [][3]int{{16, 16, 16}, {1, 1, 1}, {3, 5, 7}, {16, 2, 9}}

func TestInt8(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	signs := map[Op][2]bool{TDPBSSD: {true, true}, TDPBSUD: {true, false}, TDPBUSD: {false, true}, TDPBUUD: {false, false}}
	val := func(signed bool, b byte) int64 {
		if signed && b > 127 {
			return int64(b) - 256
		}
		return int64(b)
	}
	for op, s := range signs {
		for _, d := range shapes {
			m, n, k := d[0], d[1], d[2]
			c, a, b, got := product(t, r, op, m, n, k, func([]byte) {})
			for i := range m {
				for j := range n {
					sum := int64(binary.LittleEndian.Uint32(c[4*(i*n+j):]))
					for l := range 4 * k {
						sum += val(s[0], a[4*i*k+l]) * val(s[1], b[4*(l/4*n+j)+l%4])
					}
					if g := binary.LittleEndian.Uint32(got[4*(i*n+j):]); g != uint32(sum) {
						t.Fatalf("%v %v: [%d,%d] is %d, want %d", op, d, i, j, g, uint32(sum))
					}
				}
			}
		}
	}
}

// bigFMA is fma32 by arithmetic of any precision.
func bigFMA(a, b, c float32) float32 {
	x := func(f float32) *big.Float {
		if math.Abs(float64(f)) < 0x1p-126 {
			f = float32(math.Copysign(0, float64(f)))
		}
		return new(big.Float).SetPrec(2000).SetFloat64(float64(f))
	}
	s := x(a)
	s.Mul(s, x(b)).Add(s, x(c)).SetPrec(24)
	if s.Sign() != 0 && s.MantExp(nil) <= -126 { // s < 2^-126
		return float32(math.Copysign(0, float64(s.Sign())))
	}
	if s.Sign() == 0 && s.Signbit() {
		return float32(math.Copysign(0, -1))
	}
	f, _ := s.Float32()
	return f
}

// wild are floats where rounding, overflow and underflow happen.
func wild(r *rand.Rand) float32 {
	exp := uint32(r.IntN(253) + 1)
	if r.IntN(2) == 0 {
		exp = uint32(120 + r.IntN(16))
	}
	mant := r.Uint32() & 0x7fffff
	switch r.IntN(8) {
	case 0:
		mant = 0
	case 1:
		mant = 0x7fffff
	case 2:
		mant &= 0x7f0000
	case 3:
		exp = uint32(r.IntN(4))
	}
	return math.Float32frombits(r.Uint32()&0x80000000 | exp<<23 | mant)
}

func TestFMA(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	check := func(a, b, c float32) {
		t.Helper()
		if got, want := fma32(a, b, c), bigFMA(a, b, c); math.Float32bits(got) != math.Float32bits(want) {
			t.Fatalf("%g·%g + %g = %g (%08x), want %g (%08x)", a, b, c, got, math.Float32bits(got), want, math.Float32bits(want))
		}
	}
	for range 50000 {
		a, b, c := wild(r), wild(r), wild(r)
		check(a, b, c)
		check(a, 1, c)
		check(a, b, -a*b)
		check(a, b, math.Nextafter32(-a*b, 0))
	}
	// Half way between floats, and a little more or less than that.
	check(0x1p-12, 0x1p-12, 1)
	check(0x1.000002p-12, 0x1p-12, 1)
	check(0x1p-12, 0x1p-12, 1+0x1p-23)
	check(0x1p-12, 0x1p-12-0x1p-36, 1+0x1p-23)
	check(0x1p-60, 0x1p-60, 1+0x1p-23)
	// About the least normal number.
	for _, c := range []float32{0x1p-126, -0x1p-126, 0x1p-125, 0x1p-127} {
		for e := -160; e < -120; e++ {
			for _, m := range []float32{1, 1.5, 1.25, -1, -1.5, -1.75} {
				check(m*0x1p-60, float32(math.Ldexp(1, e+60)), c)
			}
		}
	}
	inf := float32(math.Inf(1))
	for _, c := range [][4]float32{{inf, 1, 1, inf}, {inf, -1, 0, -inf}, {1, 1, -inf, -inf}, {math.MaxFloat32, 2, 0, inf}} {
		if got := fma32(c[0], c[1], c[2]); got != c[3] {
			t.Errorf("%g·%g + %g = %g, want %g", c[0], c[1], c[2], got, c[3])
		}
	}
	for _, c := range [][3]float32{{inf, 0, 1}, {inf, 1, -inf}, {inf, 1e-40, 0}, {float32(math.NaN()), 0, 0}} {
		if got := fma32(c[0], c[1], c[2]); got == got {
			t.Errorf("%g·%g + %g = %g, want NaN", c[0], c[1], c[2], got)
		}
	}
}

// Sums of even and of odd values apart, then together, then into c.
func TestBF16(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	f32 := func(b []byte, i int) float32 { return math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:])) }
	b16 := func(b []byte, i int) float32 {
		return math.Float32frombits(uint32(binary.LittleEndian.Uint16(b[2*i:])) << 16)
	}
	for _, exp := range []uint32{127, 100, 64, 1} { // about 1, tiny, products that underflow, subnormals
		for _, d := range shapes {
			m, n, k := d[0], d[1], d[2]
			c, a, b, got := product(t, r, TDPBF16PS, m, n, k, func(x []byte) {
				for i := 1; i < len(x); i += 2 {
					e := exp - 1 + r.Uint32()&3
					x[i], x[i-1] = x[i]&0x80|byte(e>>1), x[i-1]&0x7f|byte(e<<7)
				}
			})
			for i := range m {
				for j := range n {
					var even, odd float32
					for l := range k {
						even = bigFMA(b16(a, 2*(i*k+l)), b16(b, 2*(l*n+j)), even)
						odd = bigFMA(b16(a, 2*(i*k+l)+1), b16(b, 2*(l*n+j)+1), odd)
					}
					want := bigFMA(1, bigFMA(1, even, odd), f32(c, i*n+j))
					if g := f32(got, i*n+j); math.Float32bits(g) != math.Float32bits(want) {
						t.Fatalf("exponent %d %v: [%d,%d] is %g, want %g", exp, d, i, j, g, want)
					}
				}
			}
		}
	}
}
