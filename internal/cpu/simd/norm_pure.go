package simd

import "math"

func rsqrt(f float32) float32 { return float32(1 / math.Sqrt(float64(f))) }

func rmsNorm(y, x []float32, w Raw, eps float32, t Elem) {
	y = y[:len(x)]
	n := rsqrt(dot(x, x)/float32(len(x)) + eps)
	for i, v := range x {
		y[i] = v * n
	}
	round(y, t)
	mulRaw(y, w)
}

func layerNorm(y, x []float32, w, b Raw, eps float32, t Elem) {
	y = y[:len(x)]
	mean := sum(x) / float32(len(x))
	for i, v := range x {
		y[i] = v - mean
	}
	n := rsqrt(dot(y, y)/float32(len(x)) + eps)
	for i, v := range y {
		y[i] = v * n
	}
	round(y, t)
	if len(w.Data) > 0 {
		mulRaw(y, w)
		round(y, t)
	}
	if len(b.Data) > 0 {
		var buf [256]float32
		for i := 0; i < len(y); i += len(buf) {
			z := y[i:min(i+len(buf), len(y))]
			for k, v := range floats(buf[:], b, i, len(z)) {
				z[k] += v
			}
		}
	}
}

// mulRaw multiplies y by w, unless w is empty.
func mulRaw(y []float32, w Raw) {
	if len(w.Data) == 0 {
		return
	}
	var buf [256]float32
	for i := 0; i < len(y); i += len(buf) {
		z := y[i:min(i+len(buf), len(y))]
		for k, v := range floats(buf[:], w, i, len(z)) {
			z[k] *= v
		}
	}
}
