//go:build amd64 && !purego && !race

package simd

import "math"

// Operations on one row in the avx512 tier: extrema, logsumexp, norms, rotary
// embedding.

func maxAVX512(x []float32) float32 {
	m := extremeMaxF32(ptr(x), len(x))
	if m != m || m == 0 { // which NaN, which zero
		return maxRow(x[argMaxAVX512(x):][:1])
	}
	return m
}

func minAVX512(x []float32) float32 {
	m := extremeMinF32(ptr(x), len(x))
	if m != m || m == 0 {
		return minRow(x[argMinAVX512(x):][:1])
	}
	return m
}

func argMaxAVX512(x []float32) int { return indexOf(x, extremeMaxF32(ptr(x), len(x))) }
func argMinAVX512(x []float32) int { return indexOf(x, extremeMinF32(ptr(x), len(x))) }

// indexOf returns the first place of v, which may be NaN; -1 without one.
func indexOf(x []float32, v float32) int {
	if v != v {
		return findNaNF32(ptr(x), len(x))
	}
	return findF32(ptr(x), len(x), v)
}

func firstNaNAVX512(x []float32) int { return findNaNF32(ptr(x), len(x)) }

// logSumExpAVX512 adds the sums of blocks in float64.
func logSumExpAVX512(x []float32) float32 {
	m := maxAVX512(x)
	if m-m != 0 { // ±Inf or NaN
		return m
	}
	var buf [1024]float32
	var s float64
	for len(x) > 0 {
		n := min(len(buf), len(x))
		expSubF32(&buf[0], &x[0], n, m)
		s += float64(sumF32(&buf[0], n))
		x = x[n:]
	}
	return float32(float64(m) + math.Log(s))
}

func layerNormAVX512(y, x []float32, w, b Raw, eps float32, t Elem) {
	y = y[:len(x)]
	shiftF32(ptr(y), ptr(x), len(x), sumAVX512(x)/float32(len(x)))
	n := rsqrt(dotAVX512(y, y)/float32(len(x)) + eps)
	scaleF32(ptr(y), ptr(y), len(y), n)
	roundAVX512(y, t)
	if len(w.Data) > 0 {
		mulRawAVX512(y, w)
		roundAVX512(y, t)
	}
	if len(b.Data) == 0 {
		return
	}
	b = b.Slice(0, len(y))
	switch b.Elem {
	case F32:
		vecAddF32(ptr(y), ptr(y), ptr(Float32s(b.Data)), len(y))
	case F16:
		vecAddF16(ptr(y), ptr(y), ptr(Uint16s(b.Data)), len(y))
	case BF16:
		vecAddBF16(ptr(y), ptr(y), ptr(Uint16s(b.Data)), len(y))
	}
}

// mulRawAVX512 multiplies y by w.
func mulRawAVX512(y []float32, w Raw) {
	w = w.Slice(0, len(y))
	switch w.Elem {
	case F32:
		vecMulF32(ptr(y), ptr(y), ptr(Float32s(w.Data)), len(y))
	case F16:
		vecMulF16(ptr(y), ptr(y), ptr(Uint16s(w.Data)), len(y))
	case BF16:
		vecMulBF16(ptr(y), ptr(y), ptr(Uint16s(w.Data)), len(y))
	}
}

func ropeAVX512(y, x, cos, sin []float32, traditional, inverse bool) {
	h := len(cos)
	y, sin = y[:len(x)], sin[:h]
	u, v := y[:2*h], x[:2*h]
	sign := float32(1)
	if inverse {
		sign = -1
	}
	if h > 0 {
		if traditional {
			ropePairs(&u[0], &v[0], &cos[0], &sin[0], h, sign)
		} else {
			ropeHalves(&u[0], &v[0], &cos[0], &sin[0], h, sign)
		}
	}
	if h := 2 * h; h < len(x) && &y[h] != &x[h] {
		copy(y[h:], x[h:])
	}
}

// maxAngle bounds the angles that sin and cos reduce exactly enough; larger ones,
// Inf and NaN are for math.
const maxAngle = 1 << 30

func ropeTableAVX512(cos, sin []float32, pos float32, inv []float32) {
	cos, sin = cos[:len(inv)], sin[:len(inv)]
	ropeTableF32(ptr(cos), ptr(sin), ptr(inv), len(inv), pos)
	for i, f := range inv {
		if a := pos * f; !(abs32(a) <= maxAngle) {
			ropeTable(cos[i:], sin[i:], pos, inv[i:i+1])
		}
	}
}

func ropePeriodsAVX512(cos, sin []float32, pos float32, periods []float32) {
	cos, sin = cos[:len(periods)], sin[:len(periods)]
	ropePeriodsF32(ptr(cos), ptr(sin), ptr(periods), len(periods), pos)
	for i, f := range periods {
		if a := pos / f; !(abs32(a) <= maxAngle) {
			ropePeriods(cos[i:], sin[i:], pos, periods[i:i+1])
		}
	}
}

// angles applies f, sin or cos, and slow to values beyond maxAngle.
func angles(y, x []float32, f func(y, x *float32, n int), slow func(y, x []float32)) {
	x = x[:len(y)]
	if extremeAbsF32(ptr(x), len(x)) <= maxAngle {
		f(ptr(y), ptr(x), len(y))
		return
	}
	var buf [256]float32 // y may be x
	for i := 0; i < len(y); i += len(buf) {
		u := x[i:min(i+len(buf), len(x))]
		v := buf[:len(u)]
		f(&v[0], &u[0], len(u))
		for k, a := range u {
			if !(abs32(a) <= maxAngle) {
				slow(v[k:k+1], u[k:k+1])
			}
		}
		copy(y[i:], v)
	}
}
