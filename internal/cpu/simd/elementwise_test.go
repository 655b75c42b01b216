package simd

import (
	"math"
	"testing"
)

// ulps returns the distance of got from want in units of the spacing of
// float32 at want.
func ulps(got float32, want float64) float64 {
	w := float32(want)
	switch {
	case want != want:
		if got != got {
			return 0
		}
		return math.Inf(1)
	case math.IsInf(float64(w), 0), math.IsInf(float64(got), 0):
		if got == w {
			return 0
		}
		return math.Inf(1)
	}
	a := abs32(w)
	u := float64(math.Nextafter32(a, inf32)) - float64(a)
	return math.Abs(float64(got)-want) / u
}

var unaryRefs = map[UnaryOp]func(float64) float64{
	Neg: func(x float64) float64 { return -x }, Abs: math.Abs,
	Sign: func(x float64) float64 {
		switch {
		case x > 0:
			return 1
		case x < 0:
			return -1
		}
		return 0
	},
	Square: func(x float64) float64 { return x * x }, Sqrt: math.Sqrt,
	Rsqrt: func(x float64) float64 { return 1 / math.Sqrt(x) }, Reciprocal: func(x float64) float64 { return 1 / x },
	Exp: math.Exp, Expm1: math.Expm1, Log: math.Log, Log1p: math.Log1p, Log2: math.Log2, Log10: math.Log10,
	Sin: math.Sin, Cos: math.Cos, Tan: math.Tan, Asin: math.Asin, Acos: math.Acos, Atan: math.Atan,
	Sinh: math.Sinh, Cosh: math.Cosh, Tanh: math.Tanh, Asinh: math.Asinh, Acosh: math.Acosh, Atanh: math.Atanh,
	Sigmoid: func(x float64) float64 { return 1 / (1 + math.Exp(-x)) },
	SiLU:    func(x float64) float64 { return x / (1 + math.Exp(-x)) },
	Erf:     math.Erf, ErfInv: math.Erfinv,
	Floor: math.Floor, Ceil: math.Ceil, Trunc: math.Trunc, Rint: math.RoundToEven,
}

func TestUnary(t *testing.T) {
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, .5, -.5, 1.5, 2.5, inf32, nan32, 1e-45, -1e-40, 88.7, 89.5, -87.4, -103.5, -104.5, -300, 1e-5, 3e38, -3e38, .25, -.25, 9.9, 10.1, .9999999}
	everyTier(t, func(t *testing.T) {
		for op := range NumUnary {
			r := newRand(9)
			ref := unaryRefs[op]
			if ref == nil || K.Unary[op] == nil {
				t.Fatalf("op %d has no reference or no kernel", op)
			}
			x := append([]float32(nil), special...)
			for i := range 20000 {
				v := float32(r.NormFloat64() * math.Pow(10, float64(i%7-4)))
				if op == ErfInv {
					v = float32(math.Tanh(float64(v)))
				}
				x = append(x, v)
			}
			y := make([]float32, len(x))
			K.Unary[op](y, x)
			worst, at := 0.0, float32(0)
			for i, v := range x {
				want := ref(float64(v))
				if op == ErfInv {
					// Giles: relative 3e-7 inside (-1, 1)
					if d := math.Abs(float64(y[i])-want) / max(1, math.Abs(want)); d > 1e-6 {
						t.Errorf("erfinv(%v) = %v, want %v", v, y[i], want)
					}
					continue
				}
				if u := ulps(y[i], want); u > worst {
					worst, at = u, v
				}
			}
			if worst > 0.51 {
				limit := 0.51
				if op == Rsqrt || op == Sigmoid || op == SiLU || op == Tanh {
					limit = 1
				}
				if worst > limit {
					t.Errorf("op %d: error of %.3f ulp at %v", op, worst, at)
				}
			}
			for n := range 35 { // lengths, in place
				z := append([]float32(nil), x[:n]...)
				K.Unary[op](z, z)
				for i := range z {
					if z[i] != y[i] && (z[i] == z[i] || y[i] == y[i]) {
						t.Fatalf("op %d: length %d differs at %d", op, n, i)
					}
				}
			}
		}
	})
}

func TestExpEverywhere(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		x, y := make([]float32, 0, 1<<21), make([]float32, 1<<21)
		for b := uint32(0); b < 1<<31; b += 1<<11 + 1 {
			x = append(x, math.Float32frombits(b), math.Float32frombits(b|1<<31))
		}
		y = y[:min(len(x), len(y))]
		x = x[:len(y)]
		K.Unary[Exp](y, x)
		for i, v := range x {
			if u := ulps(y[i], math.Exp(float64(v))); u > 1 {
				t.Fatalf("exp(%v) = %v: %.3f ulp", v, y[i], u)
			}
		}
	})
}

func TestErfInvEdges(t *testing.T) {
	x := []float32{1, -1, 1.5, nan32, 0}
	y := make([]float32, 5)
	K.Unary[ErfInv](y, x)
	if y[0] != inf32 || y[1] != -inf32 || y[2] == y[2] || y[3] == y[3] || y[4] != 0 {
		t.Errorf("erfinv of %v = %v", x, y)
	}
}

func TestBinary(t *testing.T) {
	refs := map[BinaryOp]func(a, b float64) float64{
		Add: func(a, b float64) float64 { return a + b }, Sub: func(a, b float64) float64 { return a - b },
		Mul: func(a, b float64) float64 { return a * b }, Div: func(a, b float64) float64 { return a / b },
		Maximum: func(a, b float64) float64 { return max(a, b) }, Minimum: func(a, b float64) float64 { return min(a, b) },
		Pow: math.Pow, Atan2: math.Atan2,
		LogAddExp: func(a, b float64) float64 {
			if a == b {
				return a + math.Ln2
			}
			return max(a, b) + math.Log1p(math.Exp(-math.Abs(a-b)))
		},
	}
	special := []float32{0, float32(math.Copysign(0, -1)), 1, -1, inf32, -inf32, nan32, 1e-40, 3e38, 2, .5}
	everyTier(t, func(t *testing.T) {
		r := newRand(10)
		var a, b []float32
		for _, u := range special {
			for _, v := range special {
				a, b = append(a, u), append(b, v)
			}
		}
		a, b = append(a, normals(r, 5000)...), append(b, normals(r, 5000)...)
		for op := range NumBinary {
			y := make([]float32, len(a))
			K.Binary[op](y, a, b)
			for i := range a {
				if u := ulps(y[i], refs[op](float64(a[i]), float64(b[i]))); u > 0.51 {
					t.Errorf("op %d of %v, %v = %v: %.3f ulp", op, a[i], b[i], y[i], u)
				}
			}
			for n := range 35 {
				z := append([]float32(nil), a[200:200+n]...)
				K.Binary[op](z, z, b[200:])
				if !sameBits(z, y[200:200+n]) {
					t.Fatalf("op %d: length %d differs", op, n)
				}
				z = append([]float32(nil), b[200:200+n]...)
				K.Binary[op](z, a[200:], z)
				if !sameBits(z, y[200:200+n]) {
					t.Fatalf("op %d: length %d differs with b in place", op, n)
				}
			}
		}
		y := make([]float32, 5000)
		a, b = a[121:], b[121:]
		K.SwiGLU(y, a, b)
		for i := range y {
			want := float64(a[i]) / (1 + math.Exp(-float64(a[i]))) * float64(b[i])
			if u := ulps(y[i], want); !(u <= swiGLUBound()) {
				t.Errorf("swiglu(%v, %v): %.3f ulp", a[i], b[i], u)
			}
		}
	})
}

// swiGLUBound is the error of SwiGLU in ulp: pure Go computes in float64.
func swiGLUBound() float64 {
	if K.Name == "pure" {
		return 2
	}
	return 4
}

func TestUnaryGoldens(t *testing.T) {
	g := goldens(t, "ops.safetensors")
	for name, op := range map[string]UnaryOp{"exp": Exp, "erf": Erf, "sigmoid": Sigmoid, "tanh": Tanh, "expm1": Expm1, "sin": Sin, "cos": Cos, "log1p": Log1p} {
		want, ok := g["u."+name]
		if !ok {
			t.Logf("u.%s is not recorded", name)
			continue
		}
		in := g["x"]
		if name == "log1p" {
			in = g["p"]
		}
		x := in.floats()
		y := make([]float32, len(x))
		K.Unary[op](y, x)
		if d, s := maxDiff(y, f64s(want.floats())); !(d <= 2e-6*max(s, 1)) {
			t.Errorf("%s differs by %g", name, d)
		}
	}
	x := g["x"].floats()
	for i, v := range x {
		x[i] = float32(math.Tanh(float64(v)))
	}
	y := make([]float32, len(x))
	K.Unary[ErfInv](y, x)
	if d, s := maxDiff(y, f64s(g["u.erfinv"].floats())); !(d <= 1e-5*s) {
		t.Errorf("erfinv differs by %g of %g", d, s)
	}
}

// TestRows: four rows at a time are four times one row, NaN and both zeros among them.
func TestRows(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(12)
		for _, n := range []int{0, 1, 7, 16, 33, 100} {
			ld := n + 3
			x, y := normals(r, 3*ld+n), normals(r, n)
			for i := range x {
				if i%11 == 3 {
					x[i] = []float32{nan32, 0, float32(math.Copysign(0, -1)), inf32, -inf32}[i%5]
				}
			}
			for op, f := range map[BinaryOp]func(y, x []float32, ld int){Maximum: K.MaxRows, Minimum: K.MinRows} {
				got, want := append([]float32{}, y...), append([]float32{}, y...)
				f(got, x, ld)
				for k := range 4 {
					K.Binary[op](want, want, x[k*ld:k*ld+n])
				}
				for i := range want {
					if math.Float32bits(got[i]) != math.Float32bits(want[i]) && want[i] == want[i] || (got[i] != got[i]) != (want[i] != want[i]) {
						t.Errorf("op %d, %d elements: element %d is %v, want %v", op, n, i, got[i], want[i])
					}
				}
			}
		}
	})
}
