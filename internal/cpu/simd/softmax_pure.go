package simd

import "math"

var (
	inf32 = float32(math.Inf(1))
	nan32 = float32(math.NaN())
)

func softmax(y, x []float32) {
	if len(x) == 0 {
		return
	}
	y = y[:len(x)]
	n := 1 / expSum(y, x, maxRow(x))
	for i := range y {
		y[i] *= n
	}
}

// expSum writes y = exp(x-m) and returns the sum of y, in the order of sum.
func expSum(y, x []float32, m float32) float32 {
	y = y[:len(x)]
	for i, v := range x {
		y[i] = exp32(v - m)
	}
	return sum(y)
}

func logSumExp(x []float32) float32 {
	m := maxRow(x)
	if m-m != 0 { // ±Inf or NaN
		return m
	}
	var buf [4 * block]float32
	var s float64
	for len(x) > 0 {
		n := min(len(buf), len(x))
		s += float64(expSum(buf[:n], x[:n], m))
		x = x[n:]
	}
	return float32(float64(m) + math.Log(s))
}

func argMax(x []float32) int {
	if len(x) == 0 {
		return -1
	}
	best, at := x[0], 0
	for i, v := range x {
		if !(v <= best) { // larger, or one of the two is NaN
			if best != best {
				return at
			}
			best, at = v, i
		}
	}
	return at
}

func argMin(x []float32) int {
	if len(x) == 0 {
		return -1
	}
	best, at := x[0], 0
	for i, v := range x {
		if !(v >= best) {
			if best != best {
				return at
			}
			best, at = v, i
		}
	}
	return at
}

func maxRow(x []float32) float32 {
	if i := argMax(x); i >= 0 {
		return x[i]
	}
	return -inf32
}

func minRow(x []float32) float32 {
	if i := argMin(x); i >= 0 {
		return x[i]
	}
	return inf32
}

func firstNaN(x []float32) int {
	for i, v := range x {
		if v != v {
			return i
		}
	}
	return -1
}
