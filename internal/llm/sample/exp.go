package sample

import (
	"math"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// expTable holds the bits of 2^(i/128).
var expTable = func() (t [128]uint64) {
	for i := range t {
		t[i] = math.Float64bits(math.Exp2(float64(i) / 128))
	}
	return t
}()

// exp is e^x for x <= 0 to about 3e-12, small enough to be inlined:
// x = (128m+i) ln2/128 + r, e^x = 2^m * 2^(i/128) * (1 + r + r^2/2 + r^3/6).
// Below -700 it is 0.
func exp(x float64) float64 {
	if !(x > -700) {
		return 0
	}
	const round = 0x1.8p52 // adding it leaves the nearest integer in the low bits
	t := x*(128/math.Ln2) + round
	r := x - (t-round)*(math.Ln2/128)
	n := math.Float64bits(t) // i in the low 7 bits, m above, as two's complement
	return (1 + r*(1+r*(0.5+r*(1.0/6)))) * math.Float64frombits(expTable[n%128]+n>>7<<52)
}

// blocks is memory for kernels that take blockLen values at a time.
type blocks struct {
	x, same [blockLen]float32
}

const blockLen = 1024

// subtract writes x - v to y, multiply x·v; y may be x.
func (b *blocks) subtract(y, x []float32, v float32) { b.with(simd.K.Binary[simd.Sub], y, x, v) }
func (b *blocks) multiply(y, x []float32, v float32) { b.with(simd.K.Binary[simd.Mul], y, x, v) }

// with applies f to each value of x and v.
func (b *blocks) with(f func(y, a, b []float32), y, x []float32, v float32) {
	n := min(len(x), blockLen)
	for i := range b.same[:n] {
		b.same[i] = v
	}
	for len(x) > 0 {
		n = min(n, len(x))
		f(y[:n], x[:n], b.same[:n])
		x, y = x[n:], y[n:]
	}
}
