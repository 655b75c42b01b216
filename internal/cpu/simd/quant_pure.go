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
	rint := math.RoundToEven
	if p.Rounding == RoundMetal {
		rint = math.Round
	}
	n := float32(int(1)<<p.Bits - 1)
	for i, v := range w {
		q := float32(rint(float64((v - bias) / s)))
		switch {
		case !(q > 0): // also NaN, whose conversion is undefined
			q = 0
		case q > n:
			q = n
		}
		codes[i] = uint32(q)
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
	for i, v := range w {
		v = RoundTo(v/div, t)
		if enc != 1 {
			v = RoundTo(v*enc, t)
		}
		if p.Bits == 8 {
			codes[i] = uint32(ToE4M3(v))
		} else {
			codes[i] = nearestE2M1(v, t)
		}
	}
	return b
}

// fpGroupMetal follows the kernels: float32, and a reciprocal of the scale.
func fpGroupMetal(codes []uint32, w []float32, m float32, p QParams) (b byte) {
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
	var inv float32
	if div != 0 {
		inv = enc / div
	}
	for i, v := range w {
		v *= inv
		if p.Bits == 8 {
			codes[i] = uint32(ToE4M3(v))
		} else {
			codes[i] = toE2M1(v)
		}
	}
	return b
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

// toE2M1 rounds to e2m1, ties to even; NaN is the largest magnitude.
func toE2M1(v float32) uint32 {
	sign := math.Float32bits(v) >> 28 & 8
	switch a := abs32(v); {
	case !(a <= 5):
		return sign | 7
	case a >= 3.5:
		return sign | 6
	case a > 2.5:
		return sign | 5
	case a >= 1.75:
		return sign | 4
	case a > 1.25:
		return sign | 3
	case a >= .75:
		return sign | 2
	case a > .25:
		return sign | 1
	}
	return sign
}
