package simd

import "math"

// exp2Tail is 2^f for |f| <= 1/2 as a Taylor polynomial: relative error 3e-10.
const (
	ln2 = math.Ln2
	c1  = ln2
	c2  = ln2 * ln2 / 2
	c3  = ln2 * ln2 * ln2 / 6
	c4  = ln2 * ln2 * ln2 * ln2 / 24
	c5  = ln2 * ln2 * ln2 * ln2 * ln2 / 120
	c6  = ln2 * ln2 * ln2 * ln2 * ln2 * ln2 / 720
	c7  = ln2 * ln2 * ln2 * ln2 * ln2 * ln2 * ln2 / 5040
	c8  = ln2 * ln2 * ln2 * ln2 * ln2 * ln2 * ln2 * ln2 / 40320
)

// exp64 is exp(x) with relative error 3e-10 for |x| < 700, for results that are
// rounded to float32: 2^k·2^f with x·log2(e) = k + f. NaN stays NaN.
func exp64(x float64) float64 {
	const shift = 0x1.8p52
	t := float64(x * math.Log2E)
	u := t + shift
	k := math.Float64bits(u) // low bits: k as two's complement
	f := t - (u - shift)
	g := float64(f * f)
	h := float64(g * g)
	p := (1 + float64(c1*f)) + float64(g*(c2+float64(c3*f))) +
		float64(h*((c4+float64(c5*f))+float64(g*(c6+float64(c7*f)))+float64(h*c8)))
	return math.Float64frombits(math.Float64bits(p) + k<<52)
}

// exp32 is exp(x) within 0.51 ulp. Inlined into a loop, its conversion to float32
// would wait for the register's value of the last round (CVTSD2SS keeps the
// upper lanes): 12.7 ns a value instead of 5.3.
//
//go:noinline
func exp32(x float32) float32 {
	switch {
	case x > 89:
		return inf32
	case x < -104:
		return 0
	}
	return float32(exp64(float64(x)))
}

func sigmoid64(x float32) float64 {
	switch {
	case x > 89:
		return 1
	case x < -700:
		return 0
	}
	return 1 / (1 + exp64(-float64(x)))
}

func sigmoid32(x float32) float32 { return float32(sigmoid64(x)) }

func tanh32(x float32) float32 {
	switch {
	case x > 10:
		return 1
	case x < -10:
		return -1
	case x > -.25 && x < .25:
		return float32(math.Tanh(float64(x)))
	}
	return float32(1 - 2/(1+exp64(2*float64(x))))
}

// erfinv32 is the inverse error function by Giles' two polynomials in
// w = -log(1-x²) ("Approximating the erfinv function"), evaluated in float64.
func erfinv32(x float32) float32 {
	d := float64(x)
	if d == 1 || d == -1 {
		return float32(d) * inf32
	}
	w := -math.Log1p(-d * d)
	var p float64
	if w < 5 {
		w -= 2.5
		p = poly(w, 2.81022636e-08, 3.43273939e-07, -3.5233877e-06, -4.39150654e-06, 0.00021858087, -0.00125372503, -0.00417768164, 0.246640727, 1.50140941)
	} else {
		w = math.Sqrt(w) - 3
		p = poly(w, -0.000200214257, 0.000100950558, 0.00134934322, -0.00367342844, 0.00573950773, -0.0076224613, 0.00943887047, 1.00167406, 2.83297682)
	}
	return float32(p * d)
}

// poly evaluates a polynomial, the highest coefficient first.
func poly(x float64, c ...float64) float64 {
	var p float64
	for _, v := range c {
		p = float64(p*x) + v
	}
	return p
}
