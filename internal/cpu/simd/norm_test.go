package simd

import (
	"math"
	"testing"
)

// rms64 and layer64 are the norms in float64; t rounds where the kernel must.
func rms64(x, w []float32, eps float64, t Elem) []float64 {
	var s float64
	for _, v := range x {
		s += float64(v) * float64(v)
	}
	n := 1 / math.Sqrt(s/float64(len(x))+eps)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v) * n
		if t != F32 {
			y[i] = float64(RoundTo(float32(y[i]), t))
		}
		if w != nil {
			y[i] *= float64(w[i])
		}
	}
	return y
}

func layer64(x, w, b []float32, eps float64, t Elem) []float64 {
	rnd := func(v float64) float64 {
		if t == F32 {
			return v
		}
		return float64(RoundTo(float32(v), t))
	}
	var mean, s float64
	for _, v := range x {
		mean += float64(v)
	}
	mean /= float64(len(x))
	for _, v := range x {
		s += (float64(v) - mean) * (float64(v) - mean)
	}
	n := 1 / math.Sqrt(s/float64(len(x))+eps)
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = rnd((float64(v) - mean) * n)
		if w != nil {
			y[i] = rnd(y[i] * float64(w[i]))
		}
		if b != nil {
			y[i] += float64(b[i])
		}
	}
	return y
}

func TestNorms(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(11)
		for _, n := range []int{1, 2, 3, 7, 8, 31, 33, 64, 100, 255, 257, 1000, 2049} {
			for _, e := range elems {
				x, w, b := rounded(e, normals(r, n)), rounded(e, normals(r, n)), rounded(e, normals(r, n))
				for i := range x {
					x[i] += 3 // a mean to take away
				}
				x = rounded(e, x)
				rw, rb := rawOf(e, w), rawOf(e, b)
				// A value on the edge of two halves may round either way.
				tol := map[Elem]float64{F32: 2e-6, F16: 1.1e-3, BF16: 9e-3}[e]
				y := make([]float32, n)
				check := func(what string, want []float64) {
					t.Helper()
					for i, v := range want {
						if d := math.Abs(float64(y[i]) - v); !(d <= tol*max(1, math.Abs(v))) {
							t.Fatalf("%s %v n%d: y[%d] = %v, want %v", what, e, n, i, y[i], v)
						}
					}
				}
				K.RMSNorm(y, x, Raw{}, 1e-5, e)
				check("rms without weight", rms64(x, nil, 1e-5, e))
				K.RMSNorm(y, x, rw, 1e-5, e)
				check("rms", rms64(x, w, 1e-5, e))
				K.LayerNorm(y, x, rw, rb, 1e-5, e)
				if n > 1 { // one value: 0/sqrt(eps), all rounding
					check("layer", layer64(x, w, b, 1e-5, e))
				}
				K.LayerNorm(y, x, Raw{}, rb, 1e-5, e)
				if n > 1 {
					check("layer without weight", layer64(x, nil, b, 1e-5, e))
				}
				z := append([]float32(nil), x...)
				K.LayerNorm(y, x, rw, Raw{}, 1e-5, e)
				K.LayerNorm(z, z, rw, Raw{}, 1e-5, e)
				if !sameBits(y, z) {
					t.Fatalf("layer norm in place differs")
				}
			}
		}
	})
}

// The product with the weight comes after the rounding of x·n.
func TestRMSNormRoundsBeforeWeight(t *testing.T) {
	r := newRand(12)
	x, w := rounded(BF16, normals(r, 512)), normals(r, 512)
	y, z := make([]float32, 512), make([]float32, 512)
	K.RMSNorm(z, x, Raw{}, 1e-5, BF16)
	K.RMSNorm(y, x, RawF32(w), 1e-5, BF16)
	for i := range y {
		if RoundTo(z[i], BF16) != z[i] || y[i] != z[i]*w[i] {
			t.Fatalf("y[%d] = %v, rounded value %v times weight %v", i, y[i], z[i], w[i])
		}
	}
}

func TestSoftmax(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(13)
		for n := 1; n < 300; n++ {
			x := normals(r, n)
			for i := range x {
				x[i] *= 10
			}
			if n > 3 {
				x[n/2] = -inf32
			}
			var m, s float64 = math.Inf(-1), 0
			for _, v := range x {
				m = max(m, float64(v))
			}
			for _, v := range x {
				s += math.Exp(float64(v) - m)
			}
			y := make([]float32, n)
			K.Softmax(y, x)
			for i, v := range x {
				// 2e-6 relative: x-max rounds before exp
				if want := math.Exp(float64(v)-m) / s; math.Abs(float64(y[i])-want) > 5e-6*want+1e-37 {
					t.Fatalf("softmax n%d: y[%d] = %v, want %v", n, i, y[i], want)
				}
			}
			if l := K.LogSumExp(x); ulps(l, m+math.Log(s)) > 2 && math.Abs(float64(l)-m-math.Log(s)) > 3e-7 {
				t.Fatalf("logsumexp n%d = %v, want %v", n, l, m+math.Log(s))
			}
			K.Softmax(x, x)
			if !sameBits(x, y) {
				t.Fatalf("softmax n%d in place differs", n)
			}
		}
		K.Softmax(nil, nil)
		for _, x := range [][]float32{{nan32, 1}, {1, nan32}, {inf32, 1, inf32}, {-inf32, -inf32}} {
			y := make([]float32, len(x))
			if K.Softmax(y, x); K.FirstNaN(y) < 0 {
				t.Errorf("softmax(%v) = %v", x, y)
			}
		}
		for _, c := range []struct {
			x    []float32
			want float32
		}{{nil, -inf32}, {[]float32{-inf32, -inf32}, -inf32}, {[]float32{inf32, 1}, inf32}, {[]float32{1, nan32}, nan32}} {
			if got := K.LogSumExp(c.x); got != c.want && (got == got || c.want == c.want) {
				t.Errorf("logsumexp(%v) = %v, want %v", c.x, got, c.want)
			}
		}
	})
}

func TestArgMaxNaN(t *testing.T) { // B013
	everyTier(t, func(t *testing.T) {
		r := newRand(14)
		for _, n := range []int{1, 2, 3, 4, 8, 33, 1000, 5000} {
			x := normals(r, n)
			hi, lo := 0, 0
			for i := range x {
				if x[i] > x[hi] {
					hi = i
				}
				if x[i] < x[lo] {
					lo = i
				}
			}
			if K.ArgMax(x) != hi || K.ArgMin(x) != lo || K.Max(x) != x[hi] || K.Min(x) != x[lo] || K.FirstNaN(x) != -1 {
				t.Fatalf("n%d: argmax %d argmin %d, want %d %d", n, K.ArgMax(x), K.ArgMin(x), hi, lo)
			}
			for at := 0; at < n; at += 1 + n/40 {
				y := append([]float32(nil), x...)
				y[at] = nan32
				y[n-1-(n-1-at)/2] = nan32 // a later NaN does not win
				y[n-1] = inf32
				want := at
				if at == n-1 {
					y[at] = nan32
				}
				if K.ArgMax(y) != want || K.ArgMin(y) != want || K.FirstNaN(y) != want || K.Max(y) == K.Max(y) || K.Min(y) == K.Min(y) {
					t.Fatalf("n%d NaN at %d: argmax %d argmin %d first %d", n, at, K.ArgMax(y), K.ArgMin(y), K.FirstNaN(y))
				}
			}
		}
		if K.ArgMax([]float32{1, 3, 3, 2}) != 1 || K.ArgMin([]float32{1, 0, 0, 2}) != 1 || K.ArgMax([]float32{-inf32, -inf32}) != 0 || K.ArgMax(nil) != -1 {
			t.Error("ties or edges")
		}
	})
}

func TestNormGoldens(t *testing.T) {
	g := goldens(t, "fast.safetensors")
	x, w, b := g["x"].floats(), g["w"], g["b"]
	y := make([]float32, len(x))
	rw, rb := Raw{F32, w.data}, Raw{F32, b.data}
	for name, f := range map[string]func(y, x []float32){
		"rms_norm":      func(y, x []float32) { K.RMSNorm(y, x, rw, 1e-5, F32) },
		"rms_norm_none": func(y, x []float32) { K.RMSNorm(y, x, Raw{}, 1e-5, F32) },
		"layer_norm":    func(y, x []float32) { K.LayerNorm(y, x, rw, rb, 1e-5, F32) },
	} {
		for i := 0; i < len(x); i += 64 {
			f(y[i:i+64], x[i:i+64])
		}
		if d, s := maxDiff(y, f64s(g[name].floats())); !(d <= 1e-5*s) {
			t.Errorf("%s differs by %g of %g", name, d, s)
		}
	}
}
