package simd

import "math"

// quantizeRow packs one row, see Table.QuantizeRow.
func quantizeRow(words []uint32, scales, biases []byte, x []float32, p QParams) {
	var codes [128]uint32
	pk := packer{words: words, bits: p.Bits}
	size := p.Elem.Size()
	for g := 0; len(x) >= p.Group; g++ {
		v, c := x[:p.Group], codes[:p.Group]
		x = x[p.Group:]
		if p.Mode == Affine {
			s, b := affineGroup(c, v, p)
			store(Raw{p.Elem, scales[g*size:][:size]}, []float32{s})
			store(Raw{p.Elem, biases[g*size:][:size]}, []float32{b})
		} else {
			scales[g] = fpGroup(c, v, p)
		}
		pk.put(c)
	}
}

// packer writes codes of a fixed width as a little-endian bit stream.
type packer struct {
	words []uint32
	bits  int
	acc   uint64
	have  int
}

func (p *packer) put(codes []uint32) {
	for _, c := range codes {
		p.acc |= uint64(c) << p.have
		p.have += p.bits
		if p.have >= 32 {
			p.words[0] = uint32(p.acc)
			p.words = p.words[1:]
			p.acc >>= 32
			p.have -= 32
		}
	}
}

// affineGroup finds scale and bias such that the edge of larger magnitude is
// code 0 exactly and zero lies on a code; all in float32.
func affineGroup(codes []uint32, w []float32, p QParams) (s, bias float32) {
	hi, lo := float32(math.Inf(-1)), float32(math.Inf(1))
	for _, v := range w {
		if v > hi {
			hi = v
		}
		if v < lo {
			lo = v
		}
	}
	s, bias = affineScale(lo, hi, p)
	n := float32(int(1)<<p.Bits - 1)
	metal := p.Rounding == RoundMetal
	for i, v := range w {
		q := (v - bias) / s
		switch { // the bounds are whole numbers, so rounding keeps what is within them there
		case !(q > 0): // also NaN, whose conversion is undefined
			codes[i] = 0
		case q > n:
			codes[i] = uint32(n)
		case metal: // half away from zero: the sum is exact in float64
			codes[i] = uint32(float64(q) + 0.5)
		default: // half to even: float32 has no fractions from 2^23 on
			codes[i] = math.Float32bits(q+1<<23) & 0xff
		}
	}
	return s, bias
}

// affineScale is scale and bias of a group of values from lo to hi.
func affineScale(lo, hi float32, p QParams) (s, bias float32) {
	rint := math.RoundToEven
	if p.Rounding == RoundMetal {
		rint, hi = math.Round, max(hi, 0)
	}
	n := float32(int(1)<<p.Bits - 1)
	s = max((hi-lo)/n, 1e-7)
	edge := lo
	if !(abs32(lo) > abs32(hi)) {
		s, edge = -s, hi
	}
	if q0 := float32(rint(float64(edge / s))); q0 != 0 {
		s, bias = edge/q0, edge
	}
	return s, bias
}

func abs32(f float32) float32 { return math.Float32frombits(math.Float32bits(f) &^ (1 << 31)) }

// fpGroup quantizes one group of an fp mode and returns its scale byte.
func fpGroup(codes []uint32, w []float32, p QParams) byte {
	var m float32
	for _, v := range w {
		m = max(m, abs32(v)) // NaN stays
	}
	if p.Rounding == RoundMetal {
		return fpGroupMetal(codes, w, m, p)
	}
	return fpGroupCPU(codes, w, m, p)
}

// fpGroupCPU follows the op graph: each step is rounded to the element type.
func fpGroupCPU(codes []uint32, w []float32, m float32, p QParams) (b byte) {
	t := p.Elem
	s := RoundTo(m/largest(p), t)
	div, enc := float32(1), float32(1)
	if p.Mode == NVFP4 {
		if p.Global != 0 {
			enc = RoundTo(448*6/p.Global, t)
		}
		b = ToE4M3(RoundTo(s*enc, t))
		div = RoundTo(FromE4M3(b), t)
	} else {
		b, div = graphE8M0(s, t)
		div = RoundTo(div, t)
	}
	round := t != F32
	for i, v := range w {
		if v /= div; round {
			v = RoundTo(v, t)
		}
		if enc != 1 {
			v = RoundTo(v*enc, t)
		}
		switch {
		case p.Bits == 8:
			codes[i] = uint32(ToE4M3(v))
		case abs32(v) <= 16:
			codes[i] = downE2M1(v)
		default: // differences to all codes may round to the same; also NaN
			codes[i] = nearestE2M1(v, t)
		}
	}
	return b
}

// fpGroupMetal follows the kernels: float32, and a reciprocal of the scale.
func fpGroupMetal(codes []uint32, w []float32, m float32, p QParams) byte {
	b, inv := fpScaleMetal(m, p)
	if p.Bits == 8 {
		for i, v := range w {
			codes[i] = uint32(ToE4M3(v * inv))
		}
		return b
	}
	for i, v := range w {
		codes[i] = toE2M1(v * inv)
	}
	return b
}

// fpScaleMetal is the scale of a group whose largest magnitude is m, as a byte and as
// what values are multiplied by.
func fpScaleMetal(m float32, p QParams) (b byte, inv float32) {
	s := m / largest(p)
	div, enc := float32(0), float32(1)
	if p.Mode == NVFP4 {
		if p.Global != 0 {
			enc = 448 * 6 / p.Global
		}
		b = ToE4M3(s * enc)
		div = FromE4M3(b)
	} else {
		b, div = kernelE8M0(s)
	}
	if div != 0 {
		inv = enc / div
	}
	return b, inv
}

// largest is the largest magnitude of a code.
func largest(p QParams) float32 {
	if p.Bits == 8 {
		return 448
	}
	return 6
}

// graphE8M0 encodes a scale as MLX's op graph in type t: the nearest exponent, ties
// to even; zero is a scale of one.
func graphE8M0(s float32, t Elem) (byte, float32) {
	var n float64
	if s != 0 {
		n = math.RoundToEven(float64(RoundTo(float32(math.Log2(float64(s))), t)))
	}
	return e8m0(n, s)
}

// kernelE8M0 encodes a scale as MLX's kernels: ties away from zero; zero is byte 0
// and no scale at all.
func kernelE8M0(s float32) (byte, float32) {
	if s == 0 {
		return 0, 0
	}
	// Between exponents the nearest is told by the root of 2; logarithms are only for
	// what is close to it, and for what is no normal number.
	const root2, close = 0x3504f3, 1 << 10
	u := math.Float32bits(s)
	if e, m := int(u>>23), int(u&0x7fffff); 0 < e && e < 255 && (m < root2-close || m > root2+close) {
		if m > root2 {
			e++
		}
		b := byte(min(e, 254))
		return b, FromE8M0(b)
	}
	return e8m0(math.Round(float64(float32(math.Log2(float64(s))))), s)
}

// e8m0 encodes 2^n; a scale that is not finite gets byte 255.
func e8m0(n float64, s float32) (byte, float32) {
	if f := float64(s); math.IsNaN(f) || math.IsInf(f, 0) {
		return 255, FromE8M0(255)
	}
	b := byte(int(min(max(n, -127), 127)) + 127)
	return b, FromE8M0(b)
}

// nearestE2M1 takes the first code of the smallest |v - value|, the difference
// rounded to t, so ties go to the smaller code of either sign; NaN is code 0.
func nearestE2M1(v float32, t Elem) uint32 {
	best, code := float32(math.Inf(1)), uint32(0)
	for c, u := range e2m1 {
		if d := abs32(RoundTo(v-u, t)); d < best {
			best, code = d, uint32(c)
		}
	}
	return code
}

// downE2M1 is nearestE2M1 where all differences that matter are exact: ties go to the
// smaller magnitude, and what rounds to zero has no sign.
func downE2M1(v float32) uint32 {
	u := math.Float32bits(v)
	sign := u >> 28 & 8
	u &= 0x7fffffff
	switch {
	case u >= 0x40a00001: // above 5
		return sign | 7
	case u >= 0x3f800000: // normal: half a unit less one, then cut
		return sign | (u+0x1fffff-126<<23)>>22
	case u > 0x3f400000: // above 0.75
		return sign | 2
	case u > 0x3e800000: // above 0.25
		return sign | 1
	}
	return 0
}

// toE2M1 rounds to e2m1, ties to even; NaN is the largest magnitude.
func toE2M1(v float32) uint32 {
	u := math.Float32bits(v)
	sign := u >> 28 & 8
	u &= 0x7fffffff
	switch {
	case u > 0x40a00000: // above 5
		return sign | 7
	case u < 0x3f800000: // subnormal: a sum with 2^22 rounds to halves
		return sign | math.Float32bits(math.Float32frombits(u)+1<<22) - 149<<23
	}
	return sign | (u+0x1fffff+u>>22&1-126<<23)>>22
}
