package simd

import (
	"bytes"
	"math"
	"testing"
)

func fill(n int, v float32) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = v
	}
	return x
}

func with(x []float32, first ...float32) []float32 {
	copy(x, first)
	return x
}

// Edge groups with the values that MLX's CPU quantizer gave.
func TestQuantizeEdgeGroups(t *testing.T) {
	eps := float32(1e-7)
	for _, c := range []struct {
		name    string
		x       []float32
		s, bias float32
	}{
		{"zeros", fill(32, 0), -eps, 0},
		{"constant", fill(32, 1.5), -1.0000000116860974e-07, 1.5},
		{"negative constant", fill(32, -1.5), -1.0000000116860974e-07, -1.5},
		{"NaN", with(fill(32, 1), nan32), -1.0000000116860974e-07, 1},
		{"Inf", with(fill(32, 1), inf32), nan32, inf32},
	} {
		q := quantized(c.x, 1, 32, QParams{Mode: Affine, Bits: 4, Group: 32})
		var s, b [1]float32
		q.scales(s[:], 0, 0)
		q.biases(b[:], 0, 0)
		if !sameBits(s[:], []float32{c.s}) && (s[0] == s[0] || c.s == c.s) || b[0] != c.bias {
			t.Errorf("%s: scale %v bias %v, want %v %v", c.name, s[0], b[0], c.s, c.bias)
		}
		if !equalWords(q.Words, make([]uint32, 4)) {
			t.Errorf("%s: codes %x, want zeros", c.name, q.Words)
		}
	}
}

// Values with many ties, as MLX's CPU quantizer packed them.
func TestQuantizeTies(t *testing.T) {
	g := goldens(t, "edge.safetensors")
	w := make([]float32, 2*64)
	for i := range w {
		w[i] = float32(i%17)/4 - 2
	}
	for id, p := range map[string]QParams{
		"g32_b4": {Mode: Affine, Bits: 4, Group: 32}, "g64_b8": {Mode: Affine, Bits: 8, Group: 64}, "g32_b2": {Mode: Affine, Bits: 2, Group: 32},
		"g32_b3": {Mode: Affine, Bits: 3, Group: 32}, "g32_b5": {Mode: Affine, Bits: 5, Group: 32}, "g32_b6": {Mode: Affine, Bits: 6, Group: 32},
		"mxfp4": {Mode: MXFP4, Bits: 4, Group: 32}, "mxfp8": {Mode: MXFP8, Bits: 8, Group: 32}, "nvfp4": {Mode: NVFP4, Bits: 4, Group: 16},
	} {
		words, ok := g["quantize/"+id+".0"]
		if !ok {
			t.Errorf("quantize/%s is not recorded", id)
			continue
		}
		q := quantized(w, 2, 64, p)
		if !equalWords(q.Words, Uint32s(words.data)) || !bytes.Equal(q.Scales, g["quantize/"+id+".1"].data) ||
			p.Mode == Affine && !bytes.Equal(q.Biases, g["quantize/"+id+".2"].data) {
			t.Errorf("%s differs from the recorded bytes", id)
		}
	}
}

// codesOf unpacks row 0 as integers.
func codesOf(q *QMatrix) []int {
	c := make([]int, q.Cols)
	for i := range c {
		for b := range q.Bits {
			k := i*q.Bits + b
			c[i] |= int(q.Words[k/32]>>(k%32)&1) << b
		}
	}
	return c
}

func TestRoundMetal(t *testing.T) {
	p := QParams{Mode: Affine, Bits: 4, Group: 32, Rounding: RoundMetal}
	// All negative: Metal's maximum is 0, so the scale spans [min, 0].
	neg := make([]float32, 32)
	for i := range neg {
		neg[i] = -8 - float32(i)/31*7
	}
	q := quantized(neg, 1, 32, p)
	var s, b [1]float32
	q.scales(s[:], 0, 0)
	q.biases(b[:], 0, 0)
	if s[0] != 1 || b[0] != -15 {
		t.Errorf("negative group: scale %v bias %v, want 1 and -15", s[0], b[0])
	}
	p.Rounding = RoundCPU
	q = quantized(neg, 1, 32, p)
	q.scales(s[:], 0, 0)
	// The CPU spans [min, max] = 7, then fits -15 to a whole number of steps.
	if want := float32(-15) / float32(math.RoundToEven(-15/(7./15))); s[0] != want {
		t.Errorf("negative group on CPU: scale %v, want %v", s[0], want)
	}

	// Scale -1 exactly: the codes of half steps tell half-away from half-even.
	x := with(make([]float32, 32), 15, 14.5, 13.5, 12.5, .5, 0)
	p.Rounding = RoundCPU
	even := codesOf(quantized(x, 1, 32, p))[:6]
	p.Rounding = RoundMetal
	away := codesOf(quantized(x, 1, 32, p))[:6]
	for i, want := range [][2]int{{0, 0}, {0, 1}, {2, 2}, {2, 3}, {14, 15}, {15, 15}} {
		if even[i] != want[0] || away[i] != want[1] {
			t.Errorf("value %v: codes %d (CPU) %d (Metal), want %v", x[i], even[i], away[i], want)
		}
	}
}

func TestRoundMetalFP(t *testing.T) {
	// Largest 6: scale 1, so values are codes; the ties of e2m1 go to even.
	x := with(make([]float32, 32), 6, .25, .75, 1.25, 1.75, 2.5, 3.5, 5, -.75, -.1, -6, .26, 5.1)
	want := map[Rounding][]int{
		RoundCPU:   {7, 0, 1, 2, 3, 4, 5, 6, 9, 0, 15, 1, 7},
		RoundMetal: {7, 0, 2, 2, 4, 4, 6, 6, 10, 8, 15, 1, 7},
	}
	for r, w := range want {
		q := quantized(x, 1, 32, QParams{Mode: MXFP4, Bits: 4, Group: 32, Rounding: r})
		if q.Scales[0] != 127 {
			t.Errorf("scale byte %d, want 127", q.Scales[0])
		}
		for i, c := range codesOf(q)[:len(w)] {
			if c != w[i] {
				t.Errorf("rounding %d: %v has code %d, want %d", r, x[i], c, w[i])
			}
		}
	}
	// Zero groups: byte 127 from the CPU graph, 0 from the kernels; codes 0.
	for _, c := range []struct {
		p QParams
		b byte
	}{
		{QParams{Mode: MXFP4, Bits: 4, Group: 32}, 127}, {QParams{Mode: MXFP4, Bits: 4, Group: 32, Rounding: RoundMetal}, 0},
		{QParams{Mode: MXFP8, Bits: 8, Group: 32}, 127}, {QParams{Mode: MXFP8, Bits: 8, Group: 32, Rounding: RoundMetal}, 0},
		{QParams{Mode: NVFP4, Bits: 4, Group: 16}, 0}, {QParams{Mode: NVFP4, Bits: 4, Group: 16, Rounding: RoundMetal}, 0},
	} {
		q := quantized(fill(32, 0), 1, 32, c.p)
		if q.Scales[0] != c.b || !equalWords(q.Words, make([]uint32, len(q.Words))) {
			t.Errorf("%v rounding %d: zero group has scale byte %d and codes %x", c.p.Mode, c.p.Rounding, q.Scales[0], q.Words)
		}
	}
	// log2(s) = 1/2 exactly never happens in float32; 1.5 octaves do round up.
	q := quantized(with(make([]float32, 32), 6*1.5), 1, 32, QParams{Mode: MXFP4, Bits: 4, Group: 32, Rounding: RoundMetal})
	if q.Scales[0] != 128 {
		t.Errorf("scale 1.5 rounds to byte %d, want 128", q.Scales[0])
	}
}

func TestNVFP4Global(t *testing.T) {
	r := newRand(17)
	w := normals(r, 4*64)
	var m float32
	for _, v := range w {
		m = max(m, abs32(v))
	}
	for _, rounding := range []Rounding{RoundCPU, RoundMetal} {
		q := quantized(w, 4, 64, QParams{Mode: NVFP4, Bits: 4, Group: 16, Global: m, Rounding: rounding})
		y := make([]float32, 64)
		for i := range 4 {
			K.DequantRow(y, q, i, F32)
			for j, v := range y {
				var top float32
				for _, u := range w[i*64+j/16*16:][:16] {
					top = max(top, abs32(u))
				}
				// Half the widest gap of e2m1 is 1 of 6, and the scale rounds by 1/16.
				if d := abs32(v - w[i*64+j]); d > top*(1./6+1./16) {
					t.Fatalf("rounding %d: %v became %v in a group up to %v", rounding, w[i*64+j], v, top)
				}
			}
		}
		if b := q.Scales; b[0] < 0x40 { // scales use the range of e4m3 up to 448
			t.Errorf("rounding %d: global scale left byte %#x", rounding, b[0])
		}
	}
}

func TestChecks(t *testing.T) {
	for _, p := range []QParams{{Mode: Affine, Bits: 7, Group: 64}, {Mode: Affine, Bits: 4, Group: 16}, {Mode: MXFP4, Bits: 8, Group: 32}, {Mode: MXFP8, Bits: 8, Group: 64}, {Mode: NVFP4, Bits: 4, Group: 32}, {Mode: 9}} {
		if p.Check() == nil {
			t.Errorf("%+v passed", p)
		}
	}
	q := quantized(make([]float32, 128), 2, 64, QParams{Mode: Affine, Bits: 4, Group: 64})
	if err := q.Check(); err != nil {
		t.Error(err)
	}
	for _, f := range []func(*QMatrix){
		func(q *QMatrix) { q.Cols = 65 }, func(q *QMatrix) { q.Rows = 3 }, func(q *QMatrix) { q.Words = q.Words[1:] },
		func(q *QMatrix) { q.Scales = q.Scales[1:] }, func(q *QMatrix) { q.Biases = nil },
	} {
		bad := *q
		if f(&bad); bad.Check() == nil {
			t.Errorf("%+v passed", bad)
		}
	}
}
