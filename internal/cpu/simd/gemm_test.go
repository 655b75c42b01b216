package simd

import (
	"fmt"
	"math"
	"testing"
)

var (
	testRows = []int{1, 2, 3, 4, 5, 6, 7, 8, 9}
	testCols = []int{1, 2, 3, 4, 5, 6, 7, 8, 9, 31, 33}
	testK    = []int{0, 1, 2, 3, 5, 7, 15, 31, 32, 33, 63, 64, 65, 127, 129, 255, 257, 511, 513, 1027}
	elems    = []Elem{F32, F16, BF16}
)

// close64 checks y [m,n] with row stride ldy against float64 sums: the error of
// a float32 sum is measured in Σ|x·w|.
func close64(t *testing.T, what string, y []float32, ldy, m, n, k int, x, w func(i, k int) float64) {
	t.Helper()
	for i := range m {
		for j := range n {
			var s, a float64
			for l := range k {
				p := x(i, l) * w(j, l)
				s, a = s+p, a+math.Abs(p)
			}
			if d := math.Abs(float64(y[i*ldy+j]) - s); !(d <= 3e-6*a+1e-30) {
				t.Fatalf("%s: y[%d,%d] = %v, float64 sum %v", what, i, j, y[i*ldy+j], s)
			}
		}
	}
}

func TestGemm(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(2)
		for _, e := range elems {
			for _, k := range testK {
				for _, n := range testCols {
					m := testRows[r.IntN(len(testRows))]
					ldx, ldw, ldy := k+r.IntN(3), k+r.IntN(3), n+r.IntN(3)
					x := normals(r, m*ldx+1)
					v := rounded(e, normals(r, n*ldw+1))
					y := normals(r, m*ldy)
					K.GemmNT(y, ldy, x, ldx, m, rawOf(e, v), ldw, n, k)
					close64(t, fmt.Sprintf("NT %v m%d n%d k%d", e, m, n, k), y, ldy, m, n, k,
						func(i, l int) float64 { return float64(x[i*ldx+l]) }, func(j, l int) float64 { return float64(v[j*ldw+l]) })

					ldn := n + r.IntN(3)
					v = rounded(e, normals(r, k*ldn+1))
					y = normals(r, m*ldy)
					K.GemmNN(y, ldy, x, ldx, m, rawOf(e, v), ldn, n, k)
					close64(t, fmt.Sprintf("NN %v m%d n%d k%d", e, m, n, k), y, ldy, m, n, k,
						func(i, l int) float64 { return float64(x[i*ldx+l]) }, func(j, l int) float64 { return float64(v[l*ldn+j]) })
				}
			}
		}
	})
}

// Any rows and columns computed alone have the bits of the whole product.
func TestGemmChunks(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(3)
		for _, e := range elems {
			for _, k := range []int{7, 64, 100, 515, 1100} {
				const m, n = 9, 33
				x, w := normals(r, m*k), rawOf(e, normals(r, n*k))
				y := make([]float32, m*n)
				K.GemmNT(y, n, x, k, m, w, k, n, k)
				wn := rawOf(e, normals(r, n*k))
				z := make([]float32, m*n)
				K.GemmNN(z, n, x, k, m, wn, n, n, k)
				for range 20 {
					i0, j0 := r.IntN(m), r.IntN(n)
					mi, nj := 1+r.IntN(m-i0), 1+r.IntN(n-j0)
					part := make([]float32, mi*nj)
					K.GemmNT(part, nj, x[i0*k:], k, mi, w.Slice(j0*k, w.Len()), k, nj, k)
					for i := range mi {
						if !sameBits(part[i*nj:(i+1)*nj], y[(i0+i)*n+j0:][:nj]) {
							t.Fatalf("NT %v k%d: rows %d+%d columns %d+%d differ from the whole", e, k, i0, mi, j0, nj)
						}
					}
					K.GemmNN(part, nj, x[i0*k:], k, mi, wn.Slice(j0, wn.Len()), n, nj, k)
					for i := range mi {
						if !sameBits(part[i*nj:(i+1)*nj], z[(i0+i)*n+j0:][:nj]) {
							t.Fatalf("NN %v k%d: rows %d+%d columns %d+%d differ from the whole", e, k, i0, mi, j0, nj)
						}
					}
				}
			}
		}
	})
}

// dense dequantizes q to float32 values in float64.
func dense(q *QMatrix) []float64 {
	w := make([]float32, q.Rows*q.Cols)
	for r := range q.Rows {
		K.DequantRow(w[r*q.Cols:], q, r, F32)
	}
	return f64s(w)
}

// checkQ compares y with float64 products; each error is in units of the norms
// of the row of x and of w (B053 asks for 1e-3).
func checkQ(t *testing.T, what string, y []float32, ldy int, x []float32, m, n, k int, w func(j, l int) float64) {
	t.Helper()
	for i := range m {
		for j := range n {
			var s, nx, nw float64
			for l := range k {
				a, b := float64(x[i*k+l]), w(j, l)
				s, nx, nw = s+a*b, nx+a*a, nw+b*b
			}
			if d := math.Abs(float64(y[i*ldy+j]) - s); !(d <= 3e-6*math.Sqrt(nx*nw)+1e-30) {
				t.Fatalf("%s: y[%d,%d] = %v, float64 sum %v", what, i, j, y[i*ldy+j], s)
			}
		}
	}
}

func TestQGemm(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(4)
		for _, p := range modes {
			for _, e := range elems {
				p.Elem = e
				for _, n := range append([]int{511}, testCols...) {
					m, k := testRows[r.IntN(len(testRows))], p.Group*(1+r.IntN(3))
					switch n {
					case 33:
						m, k = 33, 512+p.Group
					case 31:
						k = 4096
					}
					q := quantized(rounded(e, normals(r, n*k)), n, k, p)
					x := normals(r, m*k)
					w := dense(q)
					checkQ(t, fmt.Sprintf("NT %s %v m%d n%d k%d", p.name(), e, m, n, k), qmm(x, m, q), n, x, m, n, k,
						func(j, l int) float64 { return w[j*k+l] })
				}
				for _, k := range []int{1, 2, 3, 4, 5, 33} {
					m, n := testRows[r.IntN(len(testRows))], p.Group*(1+r.IntN(9))
					q := quantized(rounded(e, normals(r, n*k)), k, n, p)
					x := normals(r, m*k)
					w := dense(q)
					y := make([]float32, m*n)
					K.QGemmNN(y, n, x, k, m, q, 0, n, make([]float32, K.QScratchLen(q, m)))
					checkQ(t, fmt.Sprintf("NN %s %v m%d n%d k%d", p.name(), e, m, n, k), y, n, x, m, n, k,
						func(j, l int) float64 { return w[l*n+j] })
				}
			}
		}
	})
}

func TestQGemmNNChunks(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(5)
		for _, p := range modes {
			p.Elem = BF16
			m, k := 9, 512+3*p.Group
			q := quantized(rounded(BF16, normals(r, 37*k)), 37, k, p)
			x, z := normals(r, m*37), make([]float32, m*k)
			K.QGemmNN(z, k, x, 37, m, q, 0, k, make([]float32, K.QScratchLen(q, m)))
			for range 10 {
				i0, g := r.IntN(m), k/p.Group
				mi, n0 := 1+r.IntN(m-i0), r.IntN(g)
				n1 := n0 + 1 + r.IntN(g-n0)
				n0, n1 = n0*p.Group, n1*p.Group
				part := make([]float32, mi*(n1-n0))
				K.QGemmNN(part, n1-n0, x[i0*37:], 37, mi, q, n0, n1, make([]float32, K.QScratchLen(q, mi)))
				for i := range mi {
					if !sameBits(part[i*(n1-n0):(i+1)*(n1-n0)], z[(i0+i)*k+n0:(i0+i)*k+n1]) {
						t.Fatalf("%s: rows %d+%d columns [%d,%d) differ from the whole", p.name(), i0, mi, n0, n1)
					}
				}
			}
		}
	})
}

// A product with rows or an expert of a stack is that part of the whole.
func TestQMatrixSlice(t *testing.T) {
	r := newRand(18)
	for _, p := range modes {
		p.Elem = F16
		k := 2 * p.Group
		q := quantized(rounded(F16, normals(r, 12*k)), 12, k, p)
		if len(q.Words) != 12*p.RowWords(k) || len(q.Scales) != 12*p.RowScaleBytes(k) {
			t.Errorf("%s: row sizes %d and %d", p.name(), p.RowWords(k), p.RowScaleBytes(k))
		}
		x := normals(r, 3*k)
		y := qmm(x, 3, q)
		s := q.Slice(5, 9)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		z := qmm(x, 3, &s)
		for i := range 3 {
			if !sameBits(z[i*4:(i+1)*4], y[i*12+5:i*12+9]) {
				t.Fatalf("%s: rows 5 to 9 differ", p.name())
			}
		}
	}
}

func TestDot(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(6)
		for n := range 300 {
			x, y := normals(r, n), normals(r, n)
			one := []float32{K.Dot(x, y)}
			close64(t, fmt.Sprintf("dot %d", n), one, 1, 1, 1, n, func(_, l int) float64 { return float64(x[l]) }, func(_, l int) float64 { return float64(y[l]) })
			one[0] = K.Sum(x)
			close64(t, fmt.Sprintf("sum %d", n), one, 1, 1, 1, n, func(_, l int) float64 { return float64(x[l]) }, func(_, l int) float64 { return 1 })
			z := append([]float32(nil), y...)
			K.Axpy(z, 1.5, x)
			for i := range z {
				if z[i] != y[i]+float32(1.5*x[i]) {
					t.Fatalf("axpy %d", n)
				}
			}
		}
	})
}

func TestKernelsDoNotAllocate(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		r := newRand(7)
		p := QParams{Mode: Affine, Bits: 4, Group: 64, Elem: BF16}
		q := quantized(normals(r, 8*128), 8, 128, p)
		x, y := normals(r, 4*128), make([]float32, 4*128)
		pl := K.QPlan(q, 4, Exact)
		prep, work, scratch := make([]byte, pl.Prep), make([]byte, pl.Scratch), make([]float32, K.QScratchLen(q, 4))
		w := rawOf(BF16, normals(r, 8*128))
		a := &Attention{Scale: 1, Q: x, QStride: 128, Rows: 4, D: 128, K: w, V: w, KStride: 128, VStride: 128, Keys: 8, DV: 128}
		s := make([]float32, AttendScratchLen(a))
		words, sc, bi := make([]uint32, 16), make([]byte, 4), make([]byte, 4)
		n := testing.AllocsPerRun(10, func() {
			K.QPrep(&pl, 0, prep, RawF32(x), q, 0, 4, work)
			K.QGemmNT(&pl, RawF32(y), 8, prep, q, 0, 4, 0, 8, work)
			K.QGemmNN(y, 128, x, 8, 4, q, 0, 128, scratch)
			K.GemmNT(y, 8, x, 128, 4, w, 128, 8, 128)
			K.GemmNN(y, 128, x, 8, 4, w, 128, 128, 8)
			Attend(y, 128, a, s)
			K.DequantRow(y, q, 3, BF16)
			K.LayerNorm(y[:128], x[:128], w.Slice(0, 128), w.Slice(0, 128), 1e-5, BF16)
			K.Rope(y, x, x[:64], x[:64], false, false)
			_ = K.LogSumExp(x) + float32(K.ArgMax(x))
			K.Unary[Sin](y, x)
			K.QuantizeRow(words, sc, bi, x[:128], p)
			K.RMSNorm(y[:128], x[:128], w.Slice(0, 128), 1e-5, BF16)
			K.Softmax(y, x)
			K.Unary[ErfInv](y, x)
		})
		if n != 0 {
			t.Errorf("%v allocations a run", n)
		}
	})
}
