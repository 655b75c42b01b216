package sample

import "math"

// expTable is 2^(i/64).
var expTable = func() (t [64]float64) {
	for i := range t {
		t[i] = math.Exp2(float64(i) / 64)
	}
	return t
}()

// exp is e^x for x <= 0 to about 1e-13, several times faster than math.Exp:
// x = (64m+i) ln2/64 + r, e^x = 2^m * table[i] * (1 + r + ... + r^4/24). Below
// -700 it is 0.
func exp(x float64) float64 {
	if !(x > -700) {
		return 0
	}
	const round = 0x1.8p52 // adding it leaves the nearest integer in the low bits
	t := x*(64/math.Ln2) + round
	n := int64(math.Float64bits(t)<<12) >> 12
	r := x - (t-round)*(math.Ln2/64)
	p := 1 + r*(1+r*(1.0/2+r*(1.0/6+r*(1.0/24))))
	scale := math.Float64bits(expTable[n&63]) + uint64(n>>6)<<52
	return p * math.Float64frombits(scale)
}
