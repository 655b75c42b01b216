//go:build ignore

package main

import "math"

// doubles runs body on Y0 as float64 values in Y10 and Y11; the result is in Y6 and Y7.
func doubles(body func()) {
	p("VEXTRACTF128 $1, Y0, X11")
	p("VCVTPS2PD X0, Y10")
	p("VCVTPS2PD X11, Y11")
	body()
	p("VCVTPD2PSY Y6, X6")
	p("VCVTPD2PSY Y7, X7")
	p("VINSERTF128 $1, X7, Y6, Y0")
}

// both prints an instruction for registers r and once more for r+1.
func both(f string, r ...int) {
	for i := range 2 {
		var a []any
		for _, v := range r {
			a = append(a, v+i)
		}
		p(f, a...)
	}
}

// exponent splits t = x·scale, limited, into k in Y4 and f = t-k in Y2. NaN
// passes, since MIN and MAX return the second source then.
func exponent(scale, lo, hi float64) {
	both("VMULPD "+vec(scale)+", Y%d, Y%d", 10, 2)
	p("VMOVUPD %s, Y12", vec(hi))
	p("VMOVUPD %s, Y13", vec(lo))
	both("VMINPD Y%[1]d, Y12, Y%[1]d", 2)
	both("VMAXPD Y%[1]d, Y13, Y%[1]d", 2)
	both("VROUNDPD $8, Y%d, Y%d", 2, 4)
	both("VSUBPD Y%[2]d, Y%[1]d, Y%[1]d", 2, 4)
}

// expCoefs are ln(2)^i/i! of 2^f for |f| <= 1/2: relative error 3e-10.
func expCoefs() (c [9]float64) {
	c[0] = 1
	for i := 1; i < 9; i++ {
		c[i] = c[i-1] * math.Ln2 / float64(i)
	}
	return c
}

// horner evaluates the polynomial in Y2 and Y3, the lowest coefficient first, to Y6 and Y7.
func horner(c []float64) {
	both("VMOVUPD "+vec(c[len(c)-1])+", Y%d", 6)
	for i := len(c) - 2; i >= 0; i-- {
		both("VFMADD213PD "+vec(c[i])+", Y%d, Y%d", 2, 6)
	}
}

// power turns the integral doubles in Y4 and Y5 into k<<52.
func power() {
	both("VCVTPD2DQY Y%d, X%[1]d", 4)
	both("VPMOVSXDQ X%[1]d, Y%[1]d", 4)
	both("VPSLLQ $52, Y%[1]d, Y%[1]d", 4)
}

// exp applies exp(x), 1/(1+exp(-x)) or x/(1+exp(-x)) to Y0. An exponent of 1024
// comes with f = 0 only, since t is limited to it, and so is Inf.
func exp(f string) {
	scale := math.Log2E
	if f != "exp" {
		scale = -scale
	}
	c := expCoefs()
	doubles(func() {
		exponent(scale, -1022, 1024)
		horner(c[:])
		power()
		both("VPADDQ Y%[2]d, Y%[1]d, Y%[1]d", 6, 4)
		switch f {
		case "sigmoid":
			both("VMOVUPD "+vec(1.0)+", Y%d", 10)
			fallthrough
		case "silu":
			both("VADDPD "+vec(1.0)+", Y%[1]d, Y%[1]d", 6)
			both("VDIVPD Y%[1]d, Y%[2]d, Y%[1]d", 6, 10)
		}
	})
}

// expm1 is 2^k·(2^f-1) + (2^k-1), without cancellation where k = 0; tanh(x) is
// m/(m+2) of m = expm1(2x).
func expm1(tanh bool) {
	scale, hi := math.Log2E, 150.
	if tanh {
		scale, hi = 2*scale, 64
	}
	c := expCoefs()
	p("VANDPS %s, Y0, Y1", vec(uint32(1<<31)))
	doubles(func() {
		exponent(scale, -64, hi)
		horner(c[1:])
		both("VMULPD Y%[2]d, Y%[1]d, Y%[1]d", 6, 2)
		power()
		both("VPADDQ "+vec(1.0)+", Y%[1]d, Y%[1]d", 4)
		both("VSUBPD "+vec(1.0)+", Y%d, Y%d", 4, 2)
		both("VFMADD213PD Y%[3]d, Y%[2]d, Y%[1]d", 6, 4, 2)
		if tanh {
			both("VADDPD "+vec(2.0)+", Y%d, Y%d", 6, 2)
			both("VDIVPD Y%[2]d, Y%[1]d, Y%[1]d", 6, 2)
		}
	})
	p("VORPS Y1, Y0, Y0") // -0
}

// erf is x·P(x²), P the Chebyshev series of erf(√u)/√u on [0, 16]: relative
// error 5e-10; beyond 4 it rounds to 1.
func erf() {
	const degree = 22
	c := fit(degree, func(v float64) float64 {
		x := math.Sqrt(8 * (v + 1))
		if x == 0 {
			return 2 / math.Sqrt(math.Pi)
		}
		return math.Erf(x) / x
	})
	p("VANDPS %s, Y0, Y1", vec(uint32(1<<31)))
	p("VANDPS %s, Y0, Y0", vec(uint32(1<<31-1)))
	doubles(func() {
		p("VMOVUPD %s, Y12", vec(4.0))
		p("VMOVUPD %s, Y13", vec(.125))
		both("VMINPD Y%[1]d, Y12, Y%[1]d", 10)
		both("VMULPD Y%[1]d, Y%[1]d, Y%[2]d", 10, 2)
		both("VFMSUB213PD "+vec(1.0)+", Y13, Y%d", 2)
		horner(c)
		both("VMULPD Y%[2]d, Y%[1]d, Y%[1]d", 6, 10)
	})
	p("VORPS Y1, Y0, Y0")
}

// fit returns the polynomial that interpolates f at the Chebyshev points of [-1, 1].
func fit(degree int, f func(v float64) float64) []float64 {
	n := degree + 1
	sum, prev, cur := make([]float64, n), make([]float64, n), make([]float64, n)
	cur[0] = 1 // T_0
	for j := range n {
		var a float64
		for i := range n {
			th := math.Pi * (float64(i) + .5) / float64(n)
			a += f(math.Cos(th)) * math.Cos(float64(j)*th)
		}
		a *= 2 / float64(n)
		if j == 0 {
			a /= 2
		}
		next := make([]float64, n)
		for i := range n {
			sum[i] += a * cur[i]
			if i > 0 {
				next[i] = 2 * cur[i-1]
			}
			next[i] -= prev[i]
		}
		if j == 0 {
			next = make([]float64, n)
			next[1] = 1
		}
		prev, cur = cur, next
	}
	return sum
}
