package lapack

import (
	"math"
	"math/cmplx"
	"slices"
	"testing"
)

func complexes(m, n int) []complex128 {
	re, im := random(m, n+1), random(m+1, n)
	a := make([]complex128, m*n)
	for i := range a {
		a[i] = complex(re[i], im[i])
	}
	return a
}

func cmul(a, b []complex128, m, k, n int) []complex128 {
	y := make([]complex128, m*n)
	for i := range m {
		for l := range k {
			for j := range n {
				y[i*n+j] += a[i*k+l] * b[l*n+j]
			}
		}
	}
	return y
}

func adjoint(a []complex128, m, n int) []complex128 {
	y := make([]complex128, m*n)
	for i := range m {
		for j := range n {
			y[j*m+i] = cmplx.Conj(a[i*n+j])
		}
	}
	return y
}

func cnear(tb testing.TB, what string, got, want []complex128) {
	tb.Helper()
	for i := range want {
		if !(cmplx.Abs(got[i]-want[i]) <= 1e-10*float64(10+len(want))) {
			tb.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

func cunit(n int) []complex128 {
	y := make([]complex128, n*n)
	for i := range n {
		y[i*n+i] = 1
	}
	return y
}

func checkComplexSVD(tb *testing.T, a []complex128, m, n int) {
	tb.Helper()
	k := min(m, n)
	u, vt := make([]complex128, m*m), make([]complex128, n*n)
	s, alone := make([]float64, k), make([]float64, k)
	if !ComplexSVD(u, s, vt, slices.Clone(a), m, n, heap) || !ComplexSVD(nil, alone, nil, slices.Clone(a), m, n, heap) {
		tb.Fatal("did not converge")
	}
	d := make([]complex128, m*n)
	for i := range s {
		d[i*n+i] = complex(s[i], 0)
	}
	cnear(tb, "u^H u", cmul(adjoint(u, m, m), u, m, m, m), cunit(m))
	cnear(tb, "vt vt^H", cmul(vt, adjoint(vt, n, n), n, n, n), cunit(n))
	cnear(tb, "u s vt", cmul(cmul(u, d, m, m, n), vt, m, n, n), a)
	near(tb, "values alone", alone, s)
}

func checkHermitian(tb *testing.T, h []complex128, n int) {
	tb.Helper()
	for _, upper := range []bool{false, true} {
		v, w := slices.Clone(h), make([]float64, n)
		for i := range n { // the other triangle is not read, nor is the diagonal's imaginary part
			v[i*n+i] += 7i
			for j := range i {
				if upper {
					v[i*n+j] = 99
				} else {
					v[j*n+i] = 99
				}
			}
		}
		if !Hermitian(w, v, n, upper, true, heap) {
			tb.Fatal("did not converge")
		}
		vw := slices.Clone(v)
		for i := range vw {
			vw[i] *= complex(w[i%n], 0)
		}
		cnear(tb, "v^H v", cmul(adjoint(v, n, n), v, n, n, n), cunit(n))
		cnear(tb, "h v", cmul(h, v, n, n, n), vw)
		if !slices.IsSorted(w) {
			tb.Errorf("%v do not ascend", w)
		}
	}
}

func TestComplexSVD(tb *testing.T) {
	eachSize(tb, func(tb *testing.T, m, n, _ int) {
		if m*n < 3000 {
			checkComplexSVD(tb, complexes(m, n), m, n)
		}
	})
}

// TestComplexRepeated: equal values, real matrices, low rank, zeros.
func TestComplexRepeated(tb *testing.T) {
	const n = 6
	q := make([]complex128, n*n) // the Fourier matrix is unitary
	for i := range n {
		for j := range n {
			q[i*n+j] = cmplx.Rect(1/math.Sqrt(n), 2*math.Pi*float64(i*j)/n)
		}
	}
	for name, values := range map[string][]float64{
		"all equal": {2, 2, 2, 2, 2, 2}, "clusters": {3, 3, 3, 1, 1, -1}, "low rank": {5, 4, 0, 0, 0, 0},
		"zero": {0, 0, 0, 0, 0, 0}, "near": {1, 1 + 1e-13, 1 + 2e-13, 2, 2 + 1e-9, 3}, "tiny": {1, 1e-7, 1e-8, 1e-11, 1e-14, 0},
	} {
		tb.Run(name, func(tb *testing.T) {
			d := make([]complex128, n*n)
			for i, v := range values {
				d[i*n+i] = complex(v, 0)
			}
			h := cmul(cmul(q, d, n, n, n), adjoint(q, n, n), n, n, n)
			checkHermitian(tb, h, n)
			checkComplexSVD(tb, h, n, n)
			checkComplexSVD(tb, h[:4*n], 4, n)
			checkComplexSVD(tb, d, n, n)
			checkComplexSVD(tb, cmul(q, d, n, n, n), n, n)
		})
	}
}

func TestHermitian(tb *testing.T) {
	for _, n := range []int{0, 1, 2, 5, 33} {
		a := complexes(n, n)
		h := adjoint(a, n, n)
		for i := range h {
			h[i] += a[i]
		}
		checkHermitian(tb, h, n)
	}
}

func TestComplexEig(tb *testing.T) {
	check := func(name string, a []complex128, n int) {
		tb.Run(name, func(tb *testing.T) {
			w, v, alone := make([]complex128, n), make([]complex128, n*n), make([]complex128, n)
			if !ComplexEig(w, v, slices.Clone(a), n) || !ComplexEig(alone, nil, slices.Clone(a), n) {
				tb.Fatal("did not converge")
			}
			vw := slices.Clone(v)
			for i := range vw {
				vw[i] *= w[i%n]
			}
			cnear(tb, "a v", cmul(a, v, n, n, n), vw)
			cnear(tb, "values alone", alone, w)
			for j := range n {
				size, top, anchored := 0.0, 0.0, false
				for i := range n {
					z := v[i*n+j]
					size += real(z)*real(z) + imag(z)*imag(z)
					top = max(top, cmplx.Abs(z))
				}
				for i := range n {
					anchored = anchored || imag(v[i*n+j]) == 0 && cmplx.Abs(v[i*n+j]) >= top-1e-12
				}
				if !(math.Abs(size-1) <= 1e-12) || !anchored {
					tb.Errorf("vector %d has length^2 %v; its largest element is real: %v", j, size, anchored)
				}
			}
			var trace, sum complex128
			for i := range n {
				trace, sum = trace+a[i*n+i], sum+w[i]
			}
			cnear(tb, "trace", []complex128{sum}, []complex128{trace})
		})
	}
	for _, n := range []int{0, 1, 2, 3, 10, 60} {
		check("random", complexes(n, n), n)
	}
	// The cycle of 8 has the 8th roots of 1, and its shift is always 0.
	cycle := make([]complex128, 64)
	for i := range 8 {
		cycle[i*8+(i+1)%8] = 1
	}
	check("cycle", cycle, 8)
	check("zero", make([]complex128, 25), 5)
	check("one", cunit(5), 5)
	check("jordan", []complex128{2, 1, 0, 0, 2, 1, 0, 0, 2}, 3)
	long := make([]complex128, 60*60) // vectors of its triangle grow by 2^52 with each row
	for i := range 59 {
		long[i*60+i+1] = 1
	}
	check("long jordan", long, 60)
	check("imaginary", []complex128{0, 1i, 1i, 0}, 2)
	check("real with pairs", []complex128{0, 1, -1, 0}, 2)
	check("tiny", []complex128{1e-200, 2e-200, 3e-200i, 1e-200}, 2)
	// Its values are 1 and 1+i, each twice, far from normal.
	check("triangle", []complex128{1, 50, 3, 4i, 0, 1 + 1i, 2, 1, 0, 0, 1, 70, 0, 0, 0, 1 + 1i}, 4)
}
