//go:build ignore

package main

import (
	"fmt"
	"math"
)

// A pair is two registers of eight float64 for 16 values of float32.
type pair [2]int

var (
	px = pair{10, 11} // the argument
	pt = pair{12, 13}
	pk = pair{14, 15}
	pp = pair{16, 17} // the result
	pq = pair{18, 19}
	pr = pair{20, 21}
	ps = pair{22, 23}
)

// two writes an instruction for both halves.
func two(f string, regs ...pair) {
	for h := range 2 {
		args := make([]any, len(regs))
		for i, r := range regs {
			args[i] = r[h]
		}
		p(f, args...)
	}
}

// toWide converts the 16 values of Zz to float64 in px.
func toWide(z int) {
	p("VEXTRACTF64X4 $1, Z%d, Y11", z)
	p("VCVTPS2PD Y%d, Z10", z)
	p("VCVTPS2PD Y11, Z11")
}

// toNarrow rounds r to the 16 values of Zz.
func toNarrow(r pair, z int) {
	p("VCVTPD2PS Z%d, Y%d", r[0], r[0])
	p("VCVTPD2PS Z%d, Y%d", r[1], r[1])
	p("VINSERTF64X4 $1, Y%d, Z%d, Z%d", r[1], r[0], z)
}

// broadcast sets r to a constant.
func broadcast(name string, r pair) { two("VBROADCASTSD "+name+"<>(SB), Z%d", r) }

// horner evaluates the polynomial name0 + name1·x + … of degree n into r.
func horner(name string, n int, x, r pair) {
	broadcast(fmt.Sprint(name, n), r)
	for i := n - 1; i >= 0; i-- {
		two(fmt.Sprintf("VFMADD213PD.BCST %s%d<>(SB), Z%%d, Z%%d", name, i), x, r)
	}
}

const (
	expDegree = 8  // of (2^f-1)/f, |f| <= 1/2: relative error 1e-11
	logDegree = 7  // of log(1+f)/2s in s², s = f/(2+f) <= 1/5: 1e-12
	erfDegree = 10 // of erf(x)/x on eight intervals: 1e-12
)

// tables writes the constants.
func tables() {
	fmt.Println()
	c := math.Ln2
	for i := range expDegree + 1 { // ln(2)^(i+1)/(i+1)!
		constant(fmt.Sprint("expm", i), c)
		c *= math.Ln2 / float64(i+2)
	}
	for i := range logDegree + 1 {
		constant(fmt.Sprint("log", i), 2/float64(2*i+1))
	}
	s, k := 1.0, 1.0
	for i := range 7 { // Taylor; relative error below 1e-11 for |r| <= π/4
		if i < 6 {
			constant(fmt.Sprint("sin", i), s)
		}
		constant(fmt.Sprint("cos", i), k)
		s /= -float64((2*i + 2) * (2*i + 3))
		k /= -float64((2*i + 1) * (2*i + 2))
	}
	for _, v := range []struct {
		name string
		v    float64
	}{
		{"one", 1}, {"half", .5}, {"threequarters", .75}, {"d2", 2}, {"log2e", math.Log2E}, {"twolog2e", 2 * math.Log2E}, {"ln2", math.Ln2}, {"ln10e", math.Log10E},
		{"lim", 200}, {"nlim", -200}, {"lim20", 20}, {"lim4", math.Nextafter(4, 0)}, {"twoOverPi", 2 / math.Pi},
		// π/2 in two parts; the product with the first is exact in an FMA
		{"pio2hi", 0x1.921fb54442d18p+00}, {"pio2lo", 0x1.1a62633145c07p-54},
		{"bit0", math.Float64frombits(1)}, {"bit1", math.Float64frombits(2)},
	} {
		constant(v.name, v.v)
	}
	erfTable()
	for i := range 16 {
		fmt.Printf("DATA dup<>+%d(SB)/4, $%d\nDATA evenSign<>+%d(SB)/4, $%#x\n", 4*i, i/2, 4*i, uint32(1-i%2)<<31)
	}
	fmt.Println("GLOBL dup<>(SB), RODATA|NOPTR, $64\nGLOBL evenSign<>(SB), RODATA|NOPTR, $64")
	shifts()
}

// erfTable writes erf(x)/x as polynomials of t = 2x - i - 1/2 for interval i of
// eight: coefficient c of all intervals is one register.
func erfTable() {
	var c [8][]float64
	for i := range c {
		c[i] = fit(func(t float64) float64 {
			x := (t + .5 + float64(i)) / 2
			return math.Erf(x) / x
		}, erfDegree)
	}
	for k := range erfDegree + 1 {
		for i := range c {
			fmt.Printf("DATA erf%d<>+%d(SB)/8, $%#x\n", k, 8*i, math.Float64bits(c[i][k]))
		}
		fmt.Printf("GLOBL erf%d<>(SB), RODATA|NOPTR, $64\n", k)
	}
}

// fit returns the polynomial of degree n that meets f at the Chebyshev points of
// [-1/2, 1/2], by Chebyshev's series.
func fit(f func(float64) float64, n int) []float64 {
	cheb := make([]float64, n+1)
	for k := range cheb {
		for j := range n + 1 {
			a := math.Pi * (float64(j) + .5) / float64(n+1)
			cheb[k] += 2 / float64(n+1) * f(math.Cos(a)/2) * math.Cos(float64(k)*a)
		}
	}
	cheb[0] /= 2
	sum := make([]float64, n+1)
	prev, cur := make([]float64, n+1), make([]float64, n+1) // T(k-1), T(k) in powers of t
	cur[0] = 1
	for k, c := range cheb {
		for i, v := range cur {
			sum[i] += c * v
		}
		next := make([]float64, n+1)
		for i := range n {
			next[i+1] = 4 * cur[i] // 2·(2t)
			if k == 0 {
				next[i+1] = 2 * cur[i]
			}
		}
		for i, v := range prev {
			next[i] -= v
		}
		prev, cur = cur, next
	}
	return sum
}

// transcendental writes what is computed in float64 and rounded once.
func transcendental() {
	sign := func() { word(signBit, 4); word(signBit-1, 5) }
	odd := func() { p("VPTERNLOGD $0xf8, Z4, Z1, Z0") } // | (x & sign)
	unary("rsqrtF32", func() {}, func() {
		toWide(0)
		broadcast("one", pt)
		two("VSQRTPD Z%d, Z%d", px, px)
		two("VDIVPD Z%d, Z%d, Z%d", px, pt, pp)
		toNarrow(pp, 0)
	})
	unary("expm1F32", sign, func() {
		p("VMOVAPS Z0, Z1")
		toWide(0)
		broadcast("lim", pt)
		two("VMINPD Z%d, Z%d, Z%d", px, pt, px)
		broadcast("nlim", pt)
		two("VMAXPD Z%d, Z%d, Z%d", px, pt, px)
		expm1("log2e")
		toNarrow(pp, 0)
		odd()
	})
	unary("tanhF32", sign, func() { // E/(E+2), E = exp(2|x|)-1
		p("VMOVAPS Z0, Z1")
		p("VPANDD Z5, Z0, Z0")
		toWide(0)
		broadcast("lim20", pt)
		two("VMINPD Z%d, Z%d, Z%d", px, pt, px)
		expm1("twolog2e")
		two("VADDPD.BCST d2<>(SB), Z%d, Z%d", pp, pq)
		two("VDIVPD Z%d, Z%d, Z%d", pq, pp, pp)
		toNarrow(pp, 0)
		odd()
	})
	unary("erfF32", sign, func() {
		p("VMOVAPS Z0, Z1")
		p("VPANDD Z5, Z0, Z0")
		toWide(0)
		broadcast("lim4", pt)
		two("VMINPD Z%d, Z%d, Z%d", px, pt, px)
		two("VADDPD Z%d, Z%d, Z%d", px, px, pt)
		two("VRNDSCALEPD $11, Z%d, Z%d", pt, pk)
		two("VSUBPD Z%d, Z%d, Z%d", pk, pt, pt)
		two("VSUBPD.BCST half<>(SB), Z%d, Z%d", pt, pt)
		two("VCVTPD2QQ Z%d, Z%d", pk, pk)
		two(fmt.Sprintf("VPERMPD erf%d<>(SB), Z%%d, Z%%d", erfDegree), pk, pp)
		for i := erfDegree - 1; i >= 0; i-- {
			two(fmt.Sprintf("VPERMPD erf%d<>(SB), Z%%d, Z%%d", i), pk, pq)
			two("VFMADD213PD Z%d, Z%d, Z%d", pq, pt, pp)
		}
		two("VMULPD Z%d, Z%d, Z%d", px, pp, pp)
		toNarrow(pp, 0)
		odd()
	})
	logs()
	erfinv()
	for _, f := range []string{"sin", "cos"} {
		unary(f+"F32", func() { p("VPXORD Z4, Z4, Z4") }, func() {
			p("VMOVAPS Z0, Z1")
			toWide(0)
			sincos()
			quadrant(f)
			toNarrow(pq, 0)
			if f == "sin" { // -0 stays
				p("VCMPPS $0, Z4, Z1, K2")
				p("VMOVAPS Z1, K2, Z0")
			}
		})
	}
}

// expm1 sets pp to 2^(c·px) - 1: 2^k·q + (2^k-1) with q = 2^f - 1, without
// cancellation. px is clamped.
func expm1(c string) {
	two("VMULPD.BCST "+c+"<>(SB), Z%d, Z%d", px, pt)
	two("VRNDSCALEPD $8, Z%d, Z%d", pt, pk)
	two("VSUBPD Z%d, Z%d, Z%d", pk, pt, pt)
	horner("expm", expDegree, pt, pp)
	two("VMULPD Z%d, Z%d, Z%d", pt, pp, pp)
	broadcast("one", pq)
	two("VSCALEFPD Z%d, Z%d, Z%d", pk, pq, pr)
	two("VSUBPD Z%d, Z%d, Z%d", pq, pr, pq)
	two("VFMADD213PD Z%d, Z%d, Z%d", pq, pr, pp)
}

// logs: x = 2^k·m with m in [3/4, 3/2), log m = 2·artanh(f/(2+f)), f = m - 1.
func logs() {
	for _, l := range []struct{ name, unit string }{{"log", ""}, {"log2", "log2e"}, {"log10", "ln10e"}, {"log1p", ""}} {
		unary(l.name+"F32", func() {
			word(0x7f7fffff, 4)
			edge := uint32(0)
			if l.name == "log1p" {
				edge = signBit | oneBits
			}
			word(edge, 5)
			word(nanBits, 6)
			word(signBit|infBits, 7)
			word(signBit, 8)
		}, func() {
			p("VMOVAPS Z0, Z1")
			toWide(0)
			if l.name == "log1p" {
				two("VMOVAPD Z%d, Z%d", px, ps)
				two("VADDPD.BCST one<>(SB), Z%d, Z%d", px, px)
			}
			logarithm(l.name == "log1p")
			if l.unit != "" {
				two("VMULPD.BCST "+l.unit+"<>(SB), Z%d, Z%d", pp, pp)
			}
			toNarrow(pp, 0)
			if l.name == "log1p" { // -0 stays
				p("VPTERNLOGD $0xf8, Z8, Z1, Z0")
			}
			p("VCMPPS $1, Z5, Z1, K2")
			p("VMOVAPS Z6, K2, Z0")
			p("VCMPPS $0, Z5, Z1, K2")
			p("VMOVAPS Z7, K2, Z0")
			p("VCMPPS $6, Z4, Z1, K2") // Inf and NaN stay
			p("VMOVAPS Z1, K2, Z0")
		})
	}
}

// logarithm sets pp to log px. If near, ps is px - 1 exactly, for px near 1.
func logarithm(near bool) {
	two("VPSUBQ.BCST threequarters<>(SB), Z%d, Z%d", px, pk)
	two("VPSRAQ $52, Z%d, Z%d", pk, pk)
	two("VPSLLQ $52, Z%d, Z%d", pk, pt)
	two("VPSUBQ Z%d, Z%d, Z%d", pt, px, px)
	two("VSUBPD.BCST one<>(SB), Z%d, Z%d", px, px)
	for h := 0; h < 2 && near; h++ { // k is 0
		p("VPTESTNMQ Z%d, Z%d, K%d", pk[h], pk[h], 2+h)
		p("VMOVAPD Z%d, K%d, Z%d", ps[h], 2+h, px[h])
	}
	two("VCVTQQ2PD Z%d, Z%d", pk, pk)
	two("VADDPD.BCST d2<>(SB), Z%d, Z%d", px, pt)
	two("VDIVPD Z%d, Z%d, Z%d", pt, px, pt)
	two("VMULPD Z%d, Z%d, Z%d", pt, pt, pq)
	horner("log", logDegree, pq, pp)
	two("VMULPD Z%d, Z%d, Z%d", pt, pp, pp)
	two("VFMADD231PD.BCST ln2<>(SB), Z%d, Z%d", pk, pp)
}

// erfinv is Giles' two polynomials in w = -log(1-x²), as in the pure tier.
func erfinv() {
	fmt.Println()
	for i, v := range []float64{1.50140941, 0.246640727, -0.00417768164, -0.00125372503, 0.00021858087, -4.39150654e-06, -3.5233877e-06, 3.43273939e-07, 2.81022636e-08} {
		constant(fmt.Sprint("mid", i), v)
	}
	for i, v := range []float64{2.83297682, 1.00167406, 0.00943887047, -0.0076224613, 0.00573950773, -0.00367342844, 0.00134934322, 0.000100950558, -0.000200214257} {
		constant(fmt.Sprint("end", i), v)
	}
	constant("nfive", -5)
	constant("d3", 3)
	constant("d25", 2.5)
	unary("erfinvF32", func() {
		word(signBit, 4)
		word(signBit-1, 5)
		word(oneBits, 6)
		word(infBits, 7)
		word(nanBits, 8)
	}, func() {
		pu := pair{24, 25}
		p("VMOVAPS Z0, Z1")
		toWide(0)
		two("VMOVAPD Z%d, Z%d", px, pu)
		two("VPXORQ Z%d, Z%d, Z%d", ps, ps, ps)
		two("VFNMADD231PD Z%d, Z%d, Z%d", px, px, ps)
		two("VADDPD.BCST one<>(SB), Z%d, Z%d", ps, px)
		logarithm(true)
		two("VPXORQ Z%d, Z%d, Z%d", pk, pk, pk)
		two("VSUBPD Z%d, Z%d, Z%d", pp, pk, pk) // w
		two("VSUBPD.BCST d25<>(SB), Z%d, Z%d", pk, pt)
		horner("mid", 8, pt, pq)
		two("VSQRTPD Z%d, Z%d", pk, pt)
		two("VSUBPD.BCST d3<>(SB), Z%d, Z%d", pt, pt)
		horner("end", 8, pt, pr)
		for h := range 2 {
			p("VCMPPD.BCST $2, nfive<>(SB), Z%d, K2", pp[h]) // w >= 5
			p("VMOVAPD Z%d, K2, Z%d", pr[h], pq[h])
		}
		two("VMULPD Z%d, Z%d, Z%d", pu, pq, pq)
		toNarrow(pq, 0)
		p("VPANDD Z5, Z1, Z2")
		p("VPANDD Z4, Z1, Z3")
		p("VPORD Z7, Z3, Z3")
		p("VCMPPS $0, Z6, Z2, K2")
		p("VMOVAPS Z3, K2, Z0") // of ±1: ±Inf
		p("VCMPPS $6, Z6, Z2, K2")
		p("VMOVAPS Z8, K2, Z0")
	})
}

// sincos sets pp and pr to sin and cos of the part of px within π/4, and pk to
// the number of right angles; |px| < 2^30.
func sincos() {
	two("VMULPD.BCST twoOverPi<>(SB), Z%d, Z%d", px, pk)
	two("VRNDSCALEPD $8, Z%d, Z%d", pk, pk)
	two("VFNMADD231PD.BCST pio2hi<>(SB), Z%d, Z%d", pk, px)
	two("VFNMADD231PD.BCST pio2lo<>(SB), Z%d, Z%d", pk, px)
	two("VCVTPD2QQ Z%d, Z%d", pk, pk)
	two("VMULPD Z%d, Z%d, Z%d", px, px, pt)
	horner("sin", 5, pt, pp)
	two("VMULPD Z%d, Z%d, Z%d", px, pp, pp)
	horner("cos", 6, pt, pr)
}

// quadrant sets pq to sin or cos from pp, pr and pk.
func quadrant(f string) {
	near, far := pp, pr // of even and odd numbers of right angles
	ks := pk
	if f == "cos" {
		near, far = pr, pp
		ks = ps
		two("VPADDQ.BCST bit0<>(SB), Z%d, Z%d", pk, ks)
	}
	for h := range 2 {
		p("VPTESTMQ.BCST bit0<>(SB), Z%d, K%d", pk[h], 2+h)
		p("VMOVAPD Z%d, Z%d", near[h], pq[h])
		p("VMOVAPD Z%d, K%d, Z%d", far[h], 2+h, pq[h])
	}
	two("VPANDQ.BCST bit1<>(SB), Z%d, Z%d", ks, ps)
	two("VPSLLQ $62, Z%d, Z%d", ps, ps)
	two("VPXORQ Z%d, Z%d, Z%d", ps, pq, pq)
}

// swiglu writes gate·sigmoid(gate)·up in float32. With s = e^-|x| = 2^n·p, the
// quotient x/(1+s), or x·p/(1+s) scaled by 2^n last, loses nothing to denormals.
// Five roundings are at most 4 ulp.
func swiglu() {
	fmt.Println()
	c := fit(math.Exp2, 6)
	c[0] = 1
	hi := float32(math.Log2E)
	for i, v := range append(c, float64(hi), math.Log2E-float64(hi)) {
		fmt.Printf("DATA swiglu%d<>+0(SB)/4, $%#x\nGLOBL swiglu%d<>(SB), RODATA|NOPTR, $4\n", i, math.Float32bits(float32(v)), i)
	}
	args("swigluF32", "y, a, b *float32, n int", 32, [][2]string{{"y+0", "DI"}, {"a+8", "SI"}, {"b+16", "DX"}, {"n+24", "CX"}})
	for i := range 9 {
		p("VBROADCASTSS swiglu%d<>(SB), Z%d", i, 16+i)
	}
	word(signBit, 8)
	word(math.Float32bits(-200), 9)
	word(signBit|infBits, 10)
	word(nanBits, 11)
	loop(map[string]int{"DI": 4, "SI": 4, "DX": 4}, func(m string) {
		loadW("F32", "(SI)", m, 0)
		p("VPORD Z8, Z0, Z1")
		p("VMAXPS Z1, Z9, Z1") // NaN stays
		p("VMULPS Z23, Z1, Z2")
		p("VRNDSCALEPS $8, Z2, Z2")
		p("VMOVAPS Z1, Z3")
		p("VFMSUB213PS Z2, Z23, Z3")
		p("VFMADD231PS Z24, Z1, Z3")
		p("VMOVAPS Z22, Z4")
		for i := 5; i > 0; i-- {
			p("VFMADD213PS Z%d, Z3, Z4", 16+i)
		}
		p("VMULPS Z3, Z4, Z4") // p - 1
		p("VADDPS Z16, Z4, Z5")
		p("VSCALEFPS Z2, Z5, Z5")
		p("VADDPS Z16, Z5, Z5")
		p("VPMOVD2M Z0, K2")
		p("VCMPPS $0, Z10, Z0, K3")
		p("VMOVAPS Z1, K2, Z0")
		p("VFMADD231PS Z4, Z1, K2, Z0") // x·p in one rounding
		p("VDIVPS Z5, Z0, Z0")
		p("VSCALEFPS Z2, Z0, K2, Z0")
		p("VMOVAPS Z11, K3, Z0") // -Inf·0
		loadW("F32", "(DX)", m, 6)
		p("VMULPS Z6, Z0, Z0")
		store(m)
	})
	end()
}
