package simd

import (
	"fmt"
	"math"
	"testing"
)

var precisions = []Precision{Exact, Rounded, Halved}

// product is rows [i0, i1) by columns [n0, n1) of x·Wᵀ as type e, x prepared in
// ranges of step rows.
func product(x Raw, m int, q *QMatrix, p Precision, e Elem, step, i0, i1, n0, n1 int) []float32 {
	pl := K.QPlan(q, m, p)
	prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
	step = (step + pl.Rows - 1) / pl.Rows * pl.Rows
	for pass := range pl.Passes {
		for i := 0; i < m; i += step {
			K.QPrep(&pl, pass, prep, x, q, i, min(i+step, m), scratch)
		}
	}
	n := n1 - n0
	y := Raw{e, make([]byte, (i1-i0)*n*e.Size())}
	K.QGemmNT(&pl, y, n, prep, q, i0, i1, n0, n1, scratch)
	out := make([]float32, (i1-i0)*n)
	K.Load(out, y)
	return out
}

// relative is the norm of y - x·wᵀ over that of x·wᵀ, in float64.
func relative(y, x []float32, w []float64, m, n, k int) float64 {
	var e, norm float64
	for i := range m {
		for j := range n {
			var s float64
			for l := range k {
				s += float64(x[i*k+l]) * w[j*k+l]
			}
			d := float64(y[i*n+j]) - s
			e, norm = e+d*d, norm+s*s
		}
	}
	return math.Sqrt(e / norm)
}

// Rounded products of all schemes, few rows and many, odd sizes: within what
// int8 rounding leaves, and those of few rows within int16's.
func TestRoundedProducts(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(40)
		for _, p := range modes {
			for _, e := range elems {
				p.Elem = e
				for _, s := range [][3]int{{1, 5, 1}, {2, 6, 3}, {7, 33, 9}, {8, 31, 2}, {9, 40, 17}, {13, 130, 33}, {61, 70, 5}} {
					m, n, k := s[0], s[1], max(s[2]*p.Group, 32)
					q := quantized(rounded(e, normals(r, n*k)), n, k, p)
					x := rounded(BF16, normals(r, m*k))
					xe := []Elem{F32, F16, BF16}[r.IntN(3)]
					y := product(rawOf(xe, x), m, q, Rounded, F32, 16, 0, m, 0, n)
					tol := 1.5e-2
					if m < 8 && (p.Bits == 4 || p.Bits == 8) && p.Mode == Affine {
						tol = 1e-4
					}
					if got := relative(y, rounded(xe, x), dense(q), m, n, k); !(got <= tol) {
						t.Errorf("%s %v, x %v m%d n%d k%d: error %.2g", p.name(), e, xe, m, n, k, got)
					}
				}
			}
		}
	})
}

// Any cut of the rows and columns, any cut of the preparation and any type of
// result give the bits of the whole product.
func TestProductChunks(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(41)
		for _, p := range modes {
			p.Elem = F16
			for _, prec := range precisions {
				for _, m := range []int{1, 5, 9, 61} {
					n, k := 150, 512+3*p.Group
					if m == 61 {
						k = 17 * max(p.Group, 32)
					}
					q := quantized(rounded(F16, normals(r, n*k)), n, k, p)
					x := normals(r, m*k)
					for i := range m {
						x[i*k+k/3] *= 60 // an outlier: int8 codes it twice
					}
					raw := rawOf(BF16, x)
					whole := product(raw, m, q, prec, F32, m, 0, m, 0, n)
					pl := K.QPlan(q, m, prec)
					for range 6 {
						i0 := r.IntN(m) / pl.Rows * pl.Rows
						i1, n0 := i0+1+r.IntN(m-i0), r.IntN(n)
						n1 := n0 + 1 + r.IntN(n-n0)
						e := elems[r.IntN(3)]
						part := product(raw, m, q, prec, e, 1+r.IntN(m), i0, i1, n0, n1)
						for i := i0; i < i1; i++ {
							if !sameBits(part[(i-i0)*(n1-n0):(i-i0+1)*(n1-n0)], rounded(e, whole[i*n+n0:i*n+n1])) {
								t.Fatalf("%s %v m%d as %v: row %d of [%d,%d), columns [%d,%d) differ from the whole", p.name(), prec, m, e, i, i0, i1, n0, n1)
							}
						}
					}
				}
			}
		}
	})
}

// Products with few channels far larger than the others, as residual streams of
// transformers have them, stay within 5e-3; usual ones within 1e-2.
func TestOutliers(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(42)
		for _, bits := range []int{4, 8} {
			for _, k := range []int{2048, 8192} {
				m, n := 40, 64
				q := quantized(normals(r, n*k), n, k, QParams{Mode: Affine, Bits: bits, Group: 64, Elem: BF16})
				x := normals(r, m*k)
				w := dense(q)
				check := func(what string, tol float64) {
					y := product(rawOf(BF16, x), m, q, Rounded, F32, 16, 0, m, 0, n)
					got := relative(y, rounded(BF16, x), w, m, n, k)
					t.Logf("%s %d bits k%d, %s: %.2g", Active(), bits, k, what, got)
					if !(got <= tol) {
						t.Errorf("%d bits k%d, %s: error %.2g", bits, k, what, got)
					}
				}
				check("usual", 1e-2)
				for i := range m {
					for _, c := range []int{k / 9, k/2 + 3, k - 7} {
						x[i*k+c] *= 60
					}
				}
				check("outliers", 5e-3)
			}
		}
	})
}

// A plan's rows give the same bits whatever the number of rows, but for int8,
// whose second codes depend on all rows.
func TestSameBitsForAnyRows(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(32)
		const m, n = 17, 11
		for _, p := range modes {
			p.Elem = BF16
			k := 9 * max(p.Group, 32)
			q := quantized(normals(r, n*k), n, k, p)
			x := normals(r, m*k)
			for _, prec := range precisions {
				first := map[int][]float32{} // by kind: the last row of x
				for rows := 1; rows <= m; rows++ {
					pl := K.QPlan(q, rows, prec)
					if pl.Passes > 1 {
						continue
					}
					y := product(RawF32(x[(m-rows)*k:]), rows, q, prec, F32, rows, 0, rows, 0, n)
					last := y[(rows-1)*n:]
					if was := first[pl.kind]; was != nil && !sameBits(last, was) {
						t.Fatalf("%s %v: the row differs among %d rows", p.name(), prec, rows)
					}
					first[pl.kind] = last
				}
			}
		}
	})
}

// What is not finite in x stays so in its row, and zeros give zeros.
func TestProductNotFinite(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(43)
		for _, p := range []QParams{q4, {Mode: Affine, Bits: 8, Group: 128}, {Mode: Affine, Bits: 3, Group: 32}} {
			p.Elem = BF16
			n, k := 40, 4*p.Group
			q := quantized(normals(r, n*k), n, k, p)
			for _, prec := range precisions {
				for _, m := range []int{1, 4, 12} {
					for _, v := range []float32{nan32, inf32, -inf32} {
						x := normals(r, m*k)
						clear(x[:k])
						x[(m-1)*k+k-3] = v
						y := product(RawF32(x), m, q, prec, F32, m, 0, m, 0, n)
						for i, f := range y {
							finite := f-f == 0
							if finite != (i < (m-1)*n) || m > 1 && i < n && f != 0 {
								t.Fatalf("%s %v m%d with %v: y[%d,%d] is %v", p.name(), prec, m, v, i/n, i%n, f)
							}
						}
					}
				}
			}
		}
	})
}

// Dense bfloat16 matrices, where a tier takes them.
func TestDenseProducts(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(44)
		for _, s := range [][3]int{{8, 1, 32}, {9, 33, 96}, {64, 150, 4128}} {
			m, n, k := s[0], s[1], s[2]
			if !K.PlansDense(m, k) {
				t.Skip("this tier has no dense products of bfloat16")
			}
			w := rounded(BF16, normals(r, n*k))
			q := &QMatrix{Mode: Dense, Bits: 16, Group: 32, Rows: n, Cols: k, Elem: BF16, Words: Uint32s(rawOf(BF16, w).Data)}
			x := rounded(BF16, normals(r, m*k))
			y := product(rawOf(BF16, x), m, q, Rounded, F32, 16, 0, m, 0, n)
			if got := relative(y, x, f64s(w), m, n, k); !(got <= 1e-6) {
				t.Errorf("m%d n%d k%d: error %.2g", m, n, k, got)
			}
		}
	})
}

// Products x·w, not transposed, of all schemes and of bfloat16: within what weights in
// bfloat16 leave, the same bits for any cut.
func TestProductsAcross(t *testing.T) {
	everyTier(t, func(t *testing.T) { checkAcross(t, [][3]int{{64, 32, 1}, {71, 96, 3}, {65, 2080, 5}}) })
}

// checkAcross takes rows of x, rows of w and groups of a row of w.
func checkAcross(t *testing.T, shapes [][3]int) {
	r := newRand(45)
	check := func(name string, q *QMatrix, w []float64, m int, tol float64) {
		pl, ok := K.QPlanAcross(q, m)
		if !ok {
			t.Skip("this tier has no products across")
		}
		k, n := q.Rows, q.Cols
		x := rounded(BF16, normals(r, m*k))
		for i := range m {
			x[i*k+k/3] *= 64 // stays bfloat16
		}
		whole := across(rawOf(BF16, x), &pl, q, F32, m, 0, m, 0, n)
		wt := make([]float64, len(w))
		for i := range k {
			for j := range n {
				wt[j*k+i] = w[i*n+j]
			}
		}
		if got := relative(whole, x, wt, m, n, k); !(got <= tol) {
			t.Errorf("%s m%d n%d k%d: error %.2g", name, m, n, k, got)
		}
		for range 4 {
			i0, n0 := r.IntN(m)/pl.Rows*pl.Rows, r.IntN(n)/pl.Cols*pl.Cols
			i1, n1 := i0+1+r.IntN(m-i0), min(n0+pl.Cols*(1+r.IntN(3)), n)
			e := elems[r.IntN(3)]
			part := across(rawOf(BF16, x), &pl, q, e, 1+r.IntN(m), i0, i1, n0, n1)
			for i := i0; i < i1; i++ {
				if !sameBits(part[(i-i0)*(n1-n0):(i-i0+1)*(n1-n0)], rounded(e, whole[i*n+n0:i*n+n1])) {
					t.Fatalf("%s m%d as %v: row %d of [%d,%d), columns [%d,%d) differ from the whole", name, m, e, i, i0, i1, n0, n1)
				}
			}
		}
	}
	for _, p := range modes {
		p.Elem = BF16
		for _, s := range shapes {
			m, k, n := s[0], s[1], s[2]*max(p.Group, 32)
			q := quantized(rounded(BF16, normals(r, n*k)), k, n, p)
			check(p.name(), q, dense(q), m, 4e-3)
		}
	}
	for _, s := range [][3]int{{64, 32, 32}, {130, 96, 160}} {
		m, k, n := s[0], s[1], s[2]
		w := rounded(BF16, normals(r, n*k))
		q := &QMatrix{Mode: Dense, Bits: 16, Group: 32, Rows: k, Cols: n, Elem: BF16, Words: Uint32s(rawOf(BF16, w).Data)}
		check("dense", q, f64s(w), m, 1e-6)
	}
}

// across is product by a plan across.
func across(x Raw, pl *QPlan, q *QMatrix, e Elem, step, i0, i1, n0, n1 int) []float32 {
	prep, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch)
	step = (step + pl.Rows - 1) / pl.Rows * pl.Rows
	for i := 0; i < pl.M; i += step {
		K.QPrep(pl, 0, prep, x, q, i, min(i+step, pl.M), scratch)
	}
	n := n1 - n0
	y := Raw{e, make([]byte, (i1-i0)*n*e.Size())}
	K.QGemmNT(pl, y, n, prep, q, i0, i1, n0, n1, scratch)
	out := make([]float32, (i1-i0)*n)
	K.Load(out, y)
	return out
}

func TestPrecisionNames(t *testing.T) {
	if s := fmt.Sprint(Exact, Rounded, Halved, Precision(7)); s != "exact rounded halved Precision(7)" {
		t.Error(s)
	}
}
