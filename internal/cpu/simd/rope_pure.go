package simd

import "math"

// RopeInv fills inv[i] = exp(-i·log(base)/len(inv)), the float32 steps of MLX:
// inverse wavelengths of rotary embedding over 2·len(inv) values.
func RopeInv(inv []float32, base float32) {
	step := float32(math.Log(float64(base))) / float32(len(inv))
	for i := range inv {
		inv[i] = float32(math.Exp(float64(-float32(i) * step)))
	}
}

func ropeTable(cos, sin []float32, pos float32, inv []float32) {
	cos, sin = cos[:len(inv)], sin[:len(inv)]
	for i, f := range inv {
		s, c := math.Sincos(float64(pos * f))
		cos[i], sin[i] = float32(c), float32(s)
	}
}

func ropePeriods(cos, sin []float32, pos float32, periods []float32) {
	cos, sin = cos[:len(periods)], sin[:len(periods)]
	for i, f := range periods {
		s, c := math.Sincos(float64(pos / f))
		cos[i], sin[i] = float32(c), float32(s)
	}
}

func rope(y, x, cos, sin []float32, traditional, inverse bool) {
	h := len(cos)
	sin, y = sin[:h], y[:len(x)]
	sign := float32(1)
	if inverse {
		sign = -1
	}
	if traditional {
		u, v := x[:2*h], y[:2*h]
		for i, c := range cos {
			s := sign * sin[i]
			a, b := u[2*i], u[2*i+1]
			v[2*i] = float32(a*c) - float32(b*s)
			v[2*i+1] = float32(a*s) + float32(b*c)
		}
	} else {
		u, v := x[:h], x[h:2*h]
		p, q := y[:h], y[h:2*h]
		for i, c := range cos {
			s := sign * sin[i]
			a, b := u[i], v[i]
			p[i] = float32(a*c) - float32(b*s)
			q[i] = float32(a*s) + float32(b*c)
		}
	}
	copy(y[2*h:], x[2*h:])
}
