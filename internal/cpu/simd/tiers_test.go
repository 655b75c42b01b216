package simd

import (
	"bytes"
	"fmt"
	"math"
	"testing"
)

// edges are values where kernels may go wrong: zeros, denormals, limits, NaN of
// either sign, and where operations change their branch.
var edges = func() []float32 {
	x := []float32{0, 1e-45, 1e-40, 0x1p-126, 1e-20, 1e-5, .24999999, .25, .5, .75, .9999999, 1, 1.0000001, 1.5, 2, 2.5, 3.9, 3.9999998, 4, 5, 9.9, 10.1,
		20.5, 88.7, 89.5, 104.5, 200, 1e5, 8388607.5, 8388608, 0x1p30, 0x1p31, 1e20, math.MaxFloat32, inf32, nan32}
	for _, v := range x {
		x = append(x, -v)
	}
	return x
}()

// sample is a spread of all float32 values.
func sample(step uint32) []float32 {
	var x []float32
	for b := uint64(0); b < 1<<32; b += uint64(step) {
		x = append(x, math.Float32frombits(uint32(b)))
	}
	return x
}

// alike reports whether a and b have the same bits, or are NaN both.
func alike(a, b float32) bool {
	return math.Float32bits(a) == math.Float32bits(b) || a != a && b != b
}

func checkAlike(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i, v := range want {
		if !alike(got[i], v) {
			t.Fatalf("%s: value %d is %v, in pure Go %v", what, i, got[i], v)
		}
	}
}

// Operations that round at most once give the bits of the pure tier.
func TestExactOperations(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		x := append(sample(65537*3), edges...)
		y, z := make([]float32, len(x)), make([]float32, len(x))
		for _, op := range []UnaryOp{Neg, Abs, Sign, Square, Sqrt, Rsqrt, Reciprocal, Floor, Ceil, Trunc, Rint} {
			K.Unary[op](y, x)
			pureUnary[op](z, x)
			checkAlike(t, fmt.Sprint("unary op ", op), y, z)
		}
		var a, b []float32
		for _, u := range edges {
			for _, v := range edges {
				a, b = append(a, u), append(b, v)
			}
		}
		y, z = make([]float32, len(a)), make([]float32, len(a))
		for _, op := range []BinaryOp{Add, Sub, Mul, Div, Maximum, Minimum} {
			K.Binary[op](y, a, b)
			pureBinary[op](z, a, b)
			checkAlike(t, fmt.Sprint("binary op ", op), y, z)
		}
	})
}

// Operations computed in float64 are within 0.51 ulp (tanh and sigmoid 1 ulp) of
// math over all of float32, and keep the sign of zero.
func TestWideOperations(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		x := append(append([]float32(nil), edges...), sample(65537*3)...)
		for v := -8.; v < 8; v += 1. / 1024 { // where erf and tanh bend
			x = append(x, float32(v)*1.0001)
		}
		y := make([]float32, len(x))
		for _, op := range []UnaryOp{Exp, Expm1, Log, Log1p, Log2, Log10, Sin, Cos, Tanh, Sigmoid, Erf} {
			limit := 0.51
			if op == Tanh || op == Sigmoid {
				limit = 1
			}
			K.Unary[op](y, x)
			for i, v := range x {
				want := unaryRefs[op](float64(v))
				if u := ulps(y[i], want); !(u <= limit) {
					t.Fatalf("op %d of %v = %v, want %v: %.3f ulp", op, v, y[i], want, u)
				}
				if v == 0 && math.Signbit(float64(y[i])) != math.Signbit(want) {
					t.Errorf("op %d of %v has the wrong sign", op, v)
				}
			}
			z := make([]float32, 1)
			for i, v := range x[:200] { // the same bits alone, whatever is beside
				if K.Unary[op](z, x[i:i+1]); !alike(z[0], y[i]) {
					t.Fatalf("op %d of %v is %v alone, %v among others", op, v, z[0], y[i])
				}
			}
		}
	})
}

// The inverse of erf is a fixed approximation: tiers agree within 1 ulp.
func TestErfInvTiers(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		x := append(sample(65537), edges...)
		r := newRand(48)
		for range 50000 {
			x = append(x, 2*r.Float32()-1, 1-r.Float32()*1e-5)
		}
		y, z := make([]float32, len(x)), make([]float32, len(x))
		K.Unary[ErfInv](y, x)
		erfinvLoop(z, x)
		for i, v := range x {
			if u := ulps(y[i], float64(z[i])); !(u <= 1) || v == 0 && !alike(y[i], z[i]) {
				t.Fatalf("erfinv(%v) = %v, in pure Go %v", v, y[i], z[i])
			}
		}
	})
}

// SwiGLU is within its bound over all of float32, down to denormals.
func TestSwiGLUEverywhere(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(46)
		x := append(sample(65537), edges...)
		for range 100000 {
			x = append(x, float32(r.NormFloat64()*20))
		}
		up, y := make([]float32, len(x)), make([]float32, len(x))
		for i := range up {
			up[i] = 1 + r.Float32()
		}
		K.SwiGLU(y, x, up)
		for i, v := range x {
			g := float64(v) / (1 + math.Exp(-float64(v)))
			if v < -700 && v > -inf32 {
				g = math.Copysign(0, -1) // exp(-x) is beyond float64
			}
			if u := ulps(y[i], g*float64(up[i])); !(u <= swiGLUBound()) {
				t.Fatalf("swiglu(%v, %v) = %v, want %v: %.3f ulp", v, up[i], y[i], g*float64(up[i]), u)
			}
		}
	})
}

// Extrema follow the pure tier: the first NaN, the first of equals, also of zeros.
func TestExtremes(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(40)
		negZero := float32(math.Copysign(0, -1))
		for n := range 200 {
			for round := range 8 {
				x := normals(r, n)
				for i := range x {
					switch {
					case round == 1:
						x[i] = []float32{0, negZero}[r.IntN(2)]
					case round == 2:
						x[i] = float32(r.IntN(3))
					case round == 3:
						x[i] = -inf32
					case round == 4:
						x[i] = inf32
					case round > 4 && r.IntN(1+n/2) == 0:
						x[i] = edges[r.IntN(len(edges))]
					}
				}
				if got, want := K.ArgMax(x), argMax(x); got != want {
					t.Fatalf("argmax(%v) = %d, want %d", x, got, want)
				}
				if got, want := K.ArgMin(x), argMin(x); got != want {
					t.Fatalf("argmin(%v) = %d, want %d", x, got, want)
				}
				if got, want := K.Max(x), maxRow(x); !alike(got, want) {
					t.Fatalf("max(%v) = %v, want %v", x, got, want)
				}
				if got, want := K.Min(x), minRow(x); !alike(got, want) {
					t.Fatalf("min(%v) = %v, want %v", x, got, want)
				}
				if got, want := K.FirstNaN(x), firstNaN(x); got != want {
					t.Fatalf("first NaN of %v = %d, want %d", x, got, want)
				}
			}
		}
	})
}

// Rotation has no fused multiply-add: the bits are those of the pure tier.
func TestRopeBits(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(41)
		for h := range 70 {
			for _, rest := range []int{0, 1, 5, 17} {
				for _, traditional := range []bool{false, true} {
					for _, inverse := range []bool{false, true} {
						x, cos, sin := normals(r, 2*h+rest), normals(r, h), normals(r, h)
						if len(x) > 3 {
							x[len(x)/2] = edges[r.IntN(len(edges))]
						}
						y, z := make([]float32, len(x)), make([]float32, len(x))
						rope(z, x, cos, sin, traditional, inverse)
						K.Rope(y, x, cos, sin, traditional, inverse)
						what := fmt.Sprintf("rope of %d and %d values, traditional %v, inverse %v", 2*h, rest, traditional, inverse)
						checkAlike(t, what, y, z)
						K.Rope(x, x, cos, sin, traditional, inverse)
						checkAlike(t, what+", in place", x, z)
					}
				}
			}
		}
	})
}

// Angles are rounded to float32, then taken as exact: tables are within 0.51 ulp
// of math, at any position.
func TestRopeTables(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		for _, h := range []int{1, 2, 7, 8, 16, 31, 32, 48, 64, 65} {
			inv, periods := make([]float32, h), make([]float32, h)
			RopeInv(inv, 500000)
			for i, f := range inv {
				periods[i] = 1 / f
			}
			cos, sin := make([]float32, h), make([]float32, h)
			for _, pos := range []float32{0, 1, 2, 17, 511, 4095, 131071, -3, .125, 16777216, 3e9, 1e30, inf32, nan32} {
				check := func(what string, angle func(i int) float32) {
					t.Helper()
					for i := range cos {
						s, c := math.Sincos(float64(angle(i)))
						if u := max(ulps(cos[i], c), ulps(sin[i], s)); !(u <= .51) {
							t.Fatalf("%s %d of position %v: %v %v, want %v %v", what, i, pos, cos[i], sin[i], c, s)
						}
					}
				}
				K.RopeTable(cos, sin, pos, inv)
				check("angle", func(i int) float32 { return pos * inv[i] })
				K.RopePeriods(cos, sin, pos, periods)
				check("angle by period", func(i int) float32 { return pos / periods[i] })
			}
		}
	})
}

// Dequantized rows have the bits of the pure tier in all modes and types.
func TestDequantBits(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(42)
		for _, p := range modes {
			for _, e := range elems {
				p.Elem = e
				for _, groups := range []int{1, 3, 9, 2*kChunk/p.Group + 1} {
					k := groups * p.Group
					q := quantized(rounded(e, normals(r, 3*k)), 3, k, p)
					if p.Mode != Affine { // all scale bytes
						for i := range q.Scales {
							q.Scales[i] = byte(r.IntN(256))
						}
					}
					for i := range q.Words { // all codes
						q.Words[i] = r.Uint32()
					}
					y, z := make([]float32, k), make([]float32, k)
					for _, to := range elems {
						K.DequantRow(y, q, 1, to)
						dequantRow(z, q, 1, to)
						checkAlike(t, fmt.Sprintf("%s with scales of %v, %d columns, as %v", p.name(), e, k, to), y, z)
					}
				}
			}
		}
	})
}

// Quantized rows have the bytes of the pure tier in all modes and roundings.
func TestQuantizeBits(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(47)
		for _, p := range modes {
			for round := range 40 {
				p.Elem, p.Rounding = elems[round%3], Rounding(round/3%2)
				k := p.Group * 3
				x := normals(r, k)
				for i := range x {
					switch round % 8 {
					case 0: // halves of a step: ties
						x[i] = float32(r.IntN(2<<p.Bits)) / 2
					case 1:
						x[i] = edges[r.IntN(len(edges))]
					case 2:
						if i%31 == 0 {
							x[i] = nan32
						}
					case 3:
						x[i] = float32(r.IntN(2)) * 1e-40
					case 4:
						x[i] = -abs32(x[i])
					}
				}
				x = rounded(p.Elem, x)
				n, g := p.RowWords(k), p.RowScaleBytes(k)
				w, s, b := make([]uint32, n), make([]byte, g), make([]byte, g)
				pw, pscale, pb := make([]uint32, n), make([]byte, g), make([]byte, g)
				K.QuantizeRow(w, s, b, x, p)
				quantizeRow(pw, pscale, pb, x, p)
				if !equalWords(w, pw) || !bytes.Equal(s, pscale) || !bytes.Equal(b, pb) {
					t.Fatalf("%s %v rounding %d: bytes of %v differ", p.name(), p.Elem, p.Rounding, x)
				}
			}
		}
	})
}

// x·W with packed weights is x·W with the values of DequantRow, in K's order.
func TestQGemmNNIsGemmNN(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(43)
		for _, p := range modes {
			p.Elem = BF16
			for _, m := range []int{1, 2, 3, 5, 7, 13} {
				for _, k := range []int{1, 31, 32, 33, 100} {
					n := p.Group * (1 + r.IntN(5))
					q := quantized(rounded(BF16, normals(r, n*k)), k, n, p)
					w := make([]float32, k*n)
					for i := range k {
						K.DequantRow(w[i*n:], q, i, F32)
					}
					x := normals(r, m*k)
					y, z := make([]float32, m*n), make([]float32, m*n)
					K.GemmNN(z, n, x, k, m, RawF32(w), n, n, k)
					K.QGemmNN(y, n, x, k, m, q, 0, n, make([]float32, K.QScratchLen(q, m)))
					checkAlike(t, fmt.Sprintf("%s m%d k%d n%d", p.name(), m, k, n), y, z)
				}
			}
		}
	})
}

// Sums of exponentials over many blocks.
func TestLogSumExpLong(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(44)
		for _, n := range []int{1, 15, 127, 513, 1023, 1024, 1025, 5000, 128256} {
			x := normals(r, n)
			for i := range x {
				x[i] = x[i]*20 - 100
			}
			m, s := math.Inf(-1), 0.
			for _, v := range x {
				m = max(m, float64(v))
			}
			for _, v := range x {
				s += math.Exp(float64(v) - m)
			}
			if l := K.LogSumExp(x); ulps(l, m+math.Log(s)) > 2 {
				t.Errorf("logsumexp of %d values is %v, want %v", n, l, m+math.Log(s))
			}
		}
	})
}
