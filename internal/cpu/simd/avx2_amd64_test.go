//go:build amd64 && !purego && !race

package simd

import (
	"math"
	"testing"
)

// everyAssembly runs f once for each tier of assembly of this machine.
func everyAssembly(t *testing.T, f func(t *testing.T)) {
	everyTier(t, func(t *testing.T) {
		if Active() == "pure" {
			t.Skip("no assembly")
		}
		f(t)
	})
}

func onlyAVX2(t *testing.T) {
	old := Active()
	if Select("avx2") != nil {
		t.Skip("no avx2 tier here")
	}
	t.Cleanup(func() { _ = Select(old) })
}

// Rounded products: int16 keeps 15 bits of the largest activation of a group, so
// the error is below 1e-4 of the norms with outliers.
func TestInt16Products(t *testing.T) {
	onlyAVX2(t)
	r := newRand(41)
	for _, p := range modes {
		for _, e := range elems {
			p.Elem = e
			for _, m := range []int{1, 2, 3, 4, 17, 35} {
				n, k := 1+r.IntN(60), p.Group*(1+r.IntN(40))
				q := quantized(rounded(e, normals(r, n*k)), n, k, p)
				x := normals(r, m*k)
				for i := range m {
					x[i*k+r.IntN(k)] = 60 // an outlier
				}
				w := dense(q)
				y := qmmPart(x, m, q, Rounded, 0, m, 0, n)
				for i := range m {
					for j := range n {
						var s, nx, nw float64
						for l := range k {
							a, b := float64(x[i*k+l]), w[j*k+l]
							s, nx, nw = s+a*b, nx+a*a, nw+b*b
						}
						if d := math.Abs(float64(y[i*n+j]) - s); !(d <= 1e-4*math.Sqrt(nx*nw)) {
							t.Fatalf("%s %v m%d n%d k%d: y[%d,%d] = %v, float64 sum %v", p.name(), e, m, n, k, i, j, y[i*n+j], s)
						}
					}
				}
				i0, n0 := r.IntN(m), r.IntN(n)
				i1, n1 := i0+1+r.IntN(m-i0), n0+1+r.IntN(n-n0)
				part := qmmPart(x, m, q, Rounded, i0, i1, n0, n1)
				for i := i0; i < i1; i++ {
					if !sameBits(part[(i-i0)*(n1-n0):(i-i0+1)*(n1-n0)], y[i*n+n0:i*n+n1]) {
						t.Fatalf("%s m%d: rows [%d,%d) columns [%d,%d) differ from the whole", p.name(), m, i0, i1, n0, n1)
					}
				}
				same := K.QPlan(q, 1, Rounded).kind == K.QPlan(q, m, Rounded).kind
				if one := qmmPart(x[i0*k:], 1, q, Rounded, 0, 1, 0, n); same && !sameBits(one, y[i0*n:(i0+1)*n]) {
					t.Fatalf("%s m%d: row %d alone differs", p.name(), m, i0)
				}
			}
		}
	}
}

// Results of half precision are the float32 results, rounded; x may be halves.
func TestProductsOfHalves(t *testing.T) {
	onlyAVX2(t)
	r := newRand(42)
	for _, p := range modes {
		p.Elem = BF16
		for _, e := range []Elem{F16, BF16} {
			for _, prec := range []Precision{Exact, Rounded} {
				m, n, k := 1+r.IntN(20), 70, 3*p.Group
				q := quantized(normals(r, n*k), n, k, p)
				x := rounded(e, normals(r, m*k))
				pl := K.QPlan(q, m, prec)
				prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
				for i := range scratch {
					scratch[i] = 0xff // must not matter
				}
				for pass := range pl.Passes {
					K.QPrep(&pl, pass, prep, rawOf(e, x), q, 0, m, scratch)
				}
				y := Raw{e, odd(make([]byte, m*n*2))}
				K.QGemmNT(&pl, y, n, prep, q, 0, m, 0, n, scratch)
				want := rounded(e, qmmPart(x, m, q, prec, 0, m, 0, n))
				got := make([]float32, m*n)
				K.Load(got, y)
				if !sameBits(got, want) {
					t.Fatalf("%s %v %v m%d: a result of halves is not the rounded one", p.name(), e, prec, m)
				}
			}
		}
	}
}

// An activation that is not finite makes its row NaN, and no other.
func TestRoundedNotFinite(t *testing.T) {
	onlyAVX2(t)
	r := newRand(43)
	for _, p := range modes {
		p.Elem = F32
		const m, n = 3, 5
		k := 4 * p.Group
		q := quantized(normals(r, n*k), n, k, p)
		for _, v := range []float32{nan32, inf32, -inf32} {
			x := normals(r, m*k)
			x[k+p.Group+1] = v
			y := qmmPart(x, m, q, Rounded, 0, m, 0, n)
			for i, f := range y {
				if (f-f != 0) != (i/n == 1) {
					t.Fatalf("%s with %v: y[%d,%d] = %v", p.name(), v, i/n, i%n, f)
				}
			}
		}
	}
}
