package cpu

import (
	"math"
	"unsafe"
)

// Loops over slices: bits, quotients and tests of floats.

// constant fills bools whatever the inputs are.
func constant(v uint8) loop {
	return func(y, _, _, _ unsafe.Pointer, n int) {
		r := unsafe.Slice((*uint8)(y), n)
		for i := range r {
			r[i] = v
		}
	}
}

func invert[T integer](y, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = ^v
	}
}

func bitAnd[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v & b[i]
	}
}

func bitOr[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v | b[i]
	}
}

func bitXor[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v ^ b[i]
	}
}

// leftShift and rightShift take a count as unsigned: Go has no shift by less than 0,
// and a large one leaves no bit but copies of the sign.
func leftShift[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v << uint64(b[i])
	}
}

func rightShift[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		y[i] = v >> uint64(b[i])
	}
}

// floorDivideInt and remainderInt round down, so that q*b + r is a; by 0 both are 0.
func floorDivideInt[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		d := b[i]
		if d == 0 {
			y[i] = 0
			continue
		}
		q := v / d
		if r := v - q*d; r != 0 && (r < 0) != (d < 0) {
			q--
		}
		y[i] = q
	}
}

func remainderInt[T integer](y, a, b []T) {
	a, b = a[:len(y)], b[:len(y)]
	for i, v := range a {
		d := b[i]
		if d == 0 {
			y[i] = 0
			continue
		}
		r := v % d
		if r != 0 && (r < 0) != (d < 0) {
			r += d
		}
		y[i] = r
	}
}

// floorMod32 is floor(a/b) of the exact quotient and the remainder with the sign of
// b. Where the quotient is below 2^28, float64 is too close to it to round it to an
// integer that it is not.
func floorMod32(a, b float32) (q, r float32) {
	x, d := float64(a), float64(b)
	if f := x / d; f < 1<<28 && f > -1<<28 && !math.IsInf(d, 0) {
		f = math.Floor(f)
		if m := x - float64(f*d); m != 0 {
			return float32(f), float32(m)
		}
		return float32(f), float32(math.Copysign(0, x))
	}
	f, m := floorMod64(x, d)
	return float32(f), float32(m)
}

// floorMod64 is that of float64, as in NumPy: 1 by -Inf gives -1 and -Inf.
func floorMod64(a, b float64) (q, r float64) {
	if b == 0 {
		return a / b, math.NaN()
	}
	r = math.Mod(a, b)
	q = (a - r) / b
	if r != 0 && (r < 0) != (b < 0) {
		r += b
		q--
	}
	if q == 0 {
		return math.Copysign(0, a/b), r
	}
	f := math.Floor(q)
	if q-f > 0.5 {
		f++
	}
	return f, r
}

// logAddExp64 is log(exp(a) + exp(b)).
func logAddExp64(a, b float64) float64 {
	hi, lo := max(a, b), min(a, b)
	if math.IsInf(lo, -1) || math.IsInf(hi, 1) {
		return hi // and no Inf - Inf
	}
	return hi + math.Log1p(math.Exp(lo-hi))
}

func isInf[T float](y []uint8, x []T) {
	x = x[:len(y)]
	inf := T(math.Inf(1))
	for i, v := range x {
		y[i] = bit(v == inf) | bit(v == -inf)
	}
}

func isPosInf[T float](y []uint8, x []T) {
	x = x[:len(y)]
	inf := T(math.Inf(1))
	for i, v := range x {
		y[i] = bit(v == inf)
	}
}

func isNegInf[T float](y []uint8, x []T) {
	x = x[:len(y)]
	inf := T(math.Inf(-1))
	for i, v := range x {
		y[i] = bit(v == inf)
	}
}

// isFinite uses that NaN and infinities less themselves are NaN.
func isFinite[T float](y []uint8, x []T) {
	x = x[:len(y)]
	for i, v := range x {
		y[i] = bit(v-v == 0)
	}
}
