package lapack

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

var heap = Memory{
	Floats: func(n int) []float64 { return noise(n, 1e300) }, // work space is not cleared
	Ints:   func(n int) []int { return slices.Repeat([]int{-7}, n) },
}

func noise(n int, v float64) []float64 { return slices.Repeat([]float64{v}, n) }

func random(m, n int) []float64 {
	r := rand.New(rand.NewPCG(uint64(m), uint64(n)))
	a := make([]float64, m*n)
	for i := range a {
		a[i] = r.NormFloat64()
	}
	return a
}

// mul is a [m,k] @ b [k,n]; t is the transpose of a [m,n].
func mul(a, b []float64, m, k, n int) []float64 {
	y := make([]float64, m*n)
	for i := range m {
		for l := range k {
			for j := range n {
				y[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	return y
}

func t(a []float64, m, n int) []float64 {
	y := make([]float64, m*n)
	for i := range m {
		for j := range n {
			y[j*m+i] = a[i*n+j]
		}
	}
	return y
}

func unit(n int) []float64 {
	y := make([]float64, n*n)
	eye(y, n)
	return y
}

func near(tb testing.TB, what string, got, want []float64) {
	tb.Helper()
	top := 1.0
	for _, v := range want {
		top = math.Max(top, math.Abs(v))
	}
	for i := range want {
		if d := math.Abs(got[i] - want[i]); !(d <= 1e-12*top*float64(10+len(want))) {
			tb.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// sizes take every path: blocked and not, tall, wide, one row or column, none.
var sizes = [][2]int{{0, 0}, {0, 3}, {3, 0}, {1, 1}, {1, 5}, {5, 1}, {2, 2}, {4, 4}, {7, 3}, {3, 7}, {40, 5}, {5, 40}, {70, 70}, {130, 40}, {40, 130}}

func eachSize(tb *testing.T, f func(tb *testing.T, m, n, k int)) {
	for _, s := range sizes {
		tb.Run(fmt.Sprintf("%dx%d", s[0], s[1]), func(tb *testing.T) { f(tb, s[0], s[1], min(s[0], s[1])) })
	}
}

func TestQR(tb *testing.T) {
	eachSize(tb, func(tb *testing.T, m, n, k int) {
		a := random(m, n)
		q, r := noise(m*k, 9), noise(k*n, 9)
		QR(q, r, slices.Clone(a), m, n, heap)
		near(tb, "q r", mul(q, r, m, k, n), a)
		near(tb, "q^T q", mul(t(q, m, k), q, k, m, k), unit(k))
		for i := range k {
			for j := range i {
				if r[i*n+j] != 0 {
					tb.Fatalf("r[%d,%d] is %v", i, j, r[i*n+j])
				}
			}
		}
	})
}

func TestSVD(tb *testing.T) {
	eachSize(tb, func(tb *testing.T, m, n, k int) {
		a := random(m, n)
		u, s, vt, alone := noise(m*m, 9), noise(k, 9), noise(n*n, 9), noise(k, 9)
		if !SVD(u, s, vt, slices.Clone(a), m, n, heap) || !SVD(nil, alone, nil, slices.Clone(a), m, n, heap) {
			tb.Fatal("did not converge")
		}
		d := make([]float64, m*n)
		for i := range s {
			d[i*n+i] = s[i]
		}
		near(tb, "u s vt", mul(mul(u, d, m, m, n), vt, m, n, n), a)
		near(tb, "u^T u", mul(t(u, m, m), u, m, m, m), unit(m))
		near(tb, "vt vt^T", mul(vt, t(vt, n, n), n, n, n), unit(n))
		near(tb, "values alone", alone, s)
		if !slices.IsSortedFunc(s, func(x, y float64) int { return int(math.Copysign(1, y-x)) }) || k > 0 && s[k-1] < 0 {
			tb.Errorf("values %v do not descend to 0", s)
		}
		p := noise(m*n, 9)
		if !PseudoInverse(p, slices.Clone(a), m, n, 1e-14, heap) {
			tb.Fatal("did not converge")
		}
		near(tb, "a p a", mul(mul(a, p, m, n, m), a, m, m, n), a)
	})
}

// TestSVDOfSpecialMatrices: zeros, one value many times, numbers near the limits of float64.
func TestSVDOfSpecialMatrices(tb *testing.T) {
	for name, f := range map[string]func(i, j int) float64{
		"zero": func(i, j int) float64 { return 0 },
		"one":  func(i, j int) float64 { return 1 },
		"eye":  func(i, j int) float64 { return map[bool]float64{true: 1}[i == j] },
		"huge": func(i, j int) float64 { return 1e300 * float64(1+i*j%3) },
		"tiny": func(i, j int) float64 { return 1e-300 * float64(1+i*j%3) },
	} {
		const m, n = 6, 4
		a := make([]float64, m*n)
		scale := 0.0
		for i := range a {
			a[i] = f(i/n, i%n)
			scale = math.Max(scale, a[i])
		}
		u, s, vt := make([]float64, m*m), make([]float64, n), make([]float64, n*n)
		if !SVD(u, s, vt, slices.Clone(a), m, n, heap) {
			tb.Fatalf("%s: did not converge", name)
		}
		d, want := make([]float64, m*n), make([]float64, m*n)
		for i := range want {
			want[i] = a[i] / math.Max(scale, 1e-300)
		}
		for i := range s {
			d[i*n+i] = s[i] / math.Max(scale, 1e-300)
		}
		near(tb, name, mul(mul(u, d, m, m, n), vt, m, n, n), want)
	}
}

func square(tb *testing.T, f func(tb *testing.T, a []float64, n int)) {
	for _, n := range []int{0, 1, 2, 3, 9, 65, 130} {
		tb.Run(fmt.Sprint(n), func(tb *testing.T) { f(tb, random(n, n), n) })
	}
}

func TestEigh(tb *testing.T) {
	square(tb, func(tb *testing.T, a []float64, n int) {
		sym := t(a, n, n)
		for i := range sym {
			sym[i] = (sym[i] + a[i]) / 2
		}
		for _, upper := range []bool{false, true} {
			v, w, alone := slices.Clone(sym), make([]float64, n), make([]float64, n)
			ClearTriangle(v, n, !upper) // that triangle is not read
			if !Eigh(w, v, n, upper, true, heap) || !Eigh(alone, slices.Clone(sym), n, upper, false, heap) {
				tb.Fatal("did not converge")
			}
			vw := slices.Clone(v)
			for i := range vw {
				vw[i] *= w[i%n]
			}
			near(tb, "a v", mul(sym, v, n, n, n), vw)
			near(tb, "v^T v", mul(t(v, n, n), v, n, n, n), unit(n))
			near(tb, "values alone", alone, w)
			if !slices.IsSorted(w) {
				tb.Errorf("%v do not ascend", w)
			}
		}
	})
}

func TestEig(tb *testing.T) {
	square(tb, func(tb *testing.T, a []float64, n int) {
		w, alone, v := make([]complex128, n), make([]complex128, n), make([]complex128, n*n)
		ok := Eig(slices.Clone(a), n, func(j int, z complex128) { w[j] = z }, func(i, j int, z complex128) { v[i*n+j] = z }, heap)
		if !ok || !Eig(slices.Clone(a), n, func(j int, z complex128) { alone[j] = z }, nil, heap) {
			tb.Fatal("did not converge")
		}
		for i := range n {
			for j := range n {
				var s complex128
				for k := range n {
					s += complex(a[i*n+k], 0) * v[k*n+j]
				}
				d := s - w[j]*v[i*n+j]
				near(tb, "a v - v w", []float64{real(d), imag(d)}, []float64{0, 0})
			}
		}
		for j := range n {
			size := 0.0
			for i := range n {
				size += real(v[i*n+j])*real(v[i*n+j]) + imag(v[i*n+j])*imag(v[i*n+j])
			}
			near(tb, "length", []float64{size}, []float64{1})
		}
	})
}

func TestInverses(tb *testing.T) {
	square(tb, func(tb *testing.T, a []float64, n int) {
		y := slices.Clone(a)
		if z := Inverse(y, n, heap); z >= 0 {
			tb.Fatalf("pivot %d is 0", z)
		}
		near(tb, "a y", mul(a, y, n, n, n), unit(n))
		b := random(n, 3)
		x := slices.Clone(b)
		if z := Solve(slices.Clone(a), x, n, 3, heap); z >= 0 {
			tb.Fatalf("pivot %d is 0", z)
		}
		near(tb, "a x", mul(a, x, n, n, 3), b)
		for _, upper := range []bool{false, true} {
			tri := slices.Clone(a)
			ClearTriangle(tri, n, !upper)
			for i := range n {
				tri[i*n+i] += math.Copysign(float64(n), tri[i*n+i])
			}
			y, x := slices.Clone(tri), slices.Clone(b)
			for i := range n { // the other triangle does not count
				if upper {
					copy(y[i*n:i*n+i], a)
				}
			}
			full := slices.Clone(y)
			if z := TriangularInverse(y, n, upper); z >= 0 {
				tb.Fatalf("pivot %d is 0", z)
			}
			near(tb, "triangle", mul(tri, y, n, n, n), unit(n))
			if z := SolveTriangular(full, x, n, 3, upper); z >= 0 {
				tb.Fatalf("pivot %d is 0", z)
			}
			near(tb, "triangle x", mul(tri, x, n, n, 3), b)

			spd := mul(a, t(a, n, n), n, n, n)
			for i := range n {
				spd[i*n+i]++
			}
			l := slices.Clone(spd)
			Cholesky(l, n, upper)
			if upper {
				near(tb, "u^T u", mul(t(l, n, n), l, n, n, n), spd)
			} else {
				near(tb, "l l^T", mul(l, t(l, n, n), n, n, n), spd)
			}
		}
	})
}

func TestSingular(tb *testing.T) {
	a := []float64{1, 2, 2, 4}
	for name, z := range map[string]int{
		"inv":              Inverse(slices.Clone(a), 2, heap),
		"solve":            Solve(slices.Clone(a), []float64{1, 1}, 2, 1, heap),
		"tri_inv":          TriangularInverse([]float64{1, 0, 2, 0}, 2, false),
		"solve_triangular": SolveTriangular([]float64{1, 0, 2, 0}, []float64{1, 1}, 2, 1, false),
	} {
		if z != 1 {
			tb.Errorf("%s: the first pivot of 0 is %d, want 1", name, z)
		}
	}
	if s, l, d := Determinant(slices.Clone(a), 2, heap); s != 0 || !math.IsInf(l, -1) || d != 0 {
		tb.Errorf("sign %v, logarithm %v, determinant %v", s, l, d)
	}
	if s, l, d := Determinant([]float64{0, 2, 3, 0}, 2, heap); s != -1 || math.Abs(l-math.Log(6)) > 1e-15 || d != -6 {
		tb.Errorf("sign %v, logarithm %v, determinant %v", s, l, d)
	}
}

// TestPseudoInverseMemory: many equations of few unknowns need no square of their number.
func TestPseudoInverseMemory(tb *testing.T) {
	for _, mn := range [][2]int{{2000, 3}, {3, 2000}} {
		m, n := mn[0], mn[1]
		taken := 0
		mem := Memory{Ints: heap.Ints, Floats: func(n int) []float64 { taken += n; return heap.Floats(n) }}
		a, p := random(m, n), noise(m*n, 1)
		if !PseudoInverse(p, slices.Clone(a), m, n, 1e-14, mem) {
			tb.Fatal("did not converge")
		}
		if taken > 40*m*n {
			tb.Errorf("%d by %d takes %d floats", m, n, taken)
		}
		if m > n {
			near(tb, "p a", mul(p, a, n, m, n), unit(n))
		} else {
			near(tb, "a p", mul(a, p, m, n, m), unit(m))
		}
	}
}
