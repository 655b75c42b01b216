//go:build amd64 && unix && !purego && !race

package simd

import (
	"os"
	"syscall"
	"testing"
)

// guarded returns n bytes that end where memory that faults begins.
func guarded(t *testing.T, n int) []byte {
	page := os.Getpagesize()
	size := (n+page-1)/page*page + page
	b, err := syscall.Mmap(-1, 0, size+page, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = syscall.Munmap(b) })
	if err := syscall.Mprotect(b[size:], syscall.PROT_NONE); err != nil {
		t.Fatal(err)
	}
	return b[size-n : size : size]
}

func guardedFloats(t *testing.T, x []float32) []float32 {
	y := Float32s(guarded(t, 4*len(x)))
	copy(y, x)
	return y
}

func guardedRaw(t *testing.T, r Raw) Raw {
	b := guarded(t, len(r.Data))
	copy(b, r.Data)
	return Raw{r.Elem, b}
}

// Kernels of the tier read and write inside their slices only, and give the
// bits that they give elsewhere.
func TestGuardPages(t *testing.T) { everyAssembly(t, testGuardPages) }

func testGuardPages(t *testing.T) {
	r := newRand(30)
	for _, k := range []int{1, 15, 16, 17, 31, 33, 48, 65} {
		for _, e := range elems {
			for _, m := range []int{1, 2, 4, 7} {
				const n = 5
				x, w := normals(r, m*k), rawOf(e, normals(r, n*k))
				y, z := make([]float32, m*n), guardedFloats(t, make([]float32, m*n))
				K.GemmNT(y, n, x, k, m, w, k, n, k)
				K.GemmNT(z, n, guardedFloats(t, x), k, m, guardedRaw(t, w), k, n, k)
				if !sameBits(y, z) {
					t.Fatalf("GemmNT %v m%d k%d differs at a page's end", e, m, k)
				}
				a := normals(r, m*n) // w as [n,k]: sums over n
				y, z = make([]float32, m*k), guardedFloats(t, make([]float32, m*k))
				K.GemmNN(y, k, a, n, m, w, k, k, n)
				K.GemmNN(z, k, guardedFloats(t, a), n, m, guardedRaw(t, w), k, k, n)
				if !sameBits(y, z) {
					t.Fatalf("GemmNN %v m%d n%d differs at a page's end", e, m, k)
				}
			}
			x := guardedFloats(t, normals(r, k))
			h := guardedRaw(t, Raw{e, make([]byte, k*e.Size())})
			K.Store(h, x)
			K.Load(x, h)
			K.Round(x, e)
			K.RMSNorm(x, x, h, 1e-5, e)
			q, o := guardedFloats(t, normals(r, k)), guardedFloats(t, make([]float32, k))
			a := &Attention{Scale: 1, Q: q, Rows: 1, D: k, K: h, V: h, KStride: k, VStride: k, Keys: 1, DV: k}
			Attend(o, k, a, guardedFloats(t, make([]float32, AttendScratchLen(a))))
			K.SwiGLU(o, x, q)
			K.Softmax(o, o)
			K.Axpy(o, 2, x)
			_ = K.Sum(o) + K.Dot(o, x)
			for _, op := range []UnaryOp{Exp, Sigmoid, SiLU} {
				K.Unary[op](o, x)
			}
			for _, op := range []BinaryOp{Add, Sub, Mul, Div} {
				K.Binary[op](o, x, q)
			}
		}
	}
	for _, p := range modes {
		p.Elem = BF16
		for _, m := range []int{1, 2, 4, 7} {
			n, k := 5, 3*p.Group
			q := quantized(normals(r, n*k), n, k, p)
			x := normals(r, m*k)
			g := *q
			g.Words = Uint32s(guarded(t, 4*len(q.Words)))
			copy(g.Words, q.Words)
			g.Scales, g.Biases = guardedRaw(t, Raw{F32, q.Scales}).Data, guardedRaw(t, Raw{F32, q.Biases}).Data
			for _, prec := range []Precision{Exact, Rounded} {
				y := qmmPart(x, m, q, prec, 0, m, 0, n)
				if !sameBits(guardedProduct(t, x, m, &g, prec), y) {
					t.Fatalf("%s m%d differs at a page's end", p.name(), m)
				}
			}
		}
	}
}

// guardedProduct is qmm with all memory at the ends of pages.
func guardedProduct(t *testing.T, x []float32, m int, q *QMatrix, p Precision) []float32 {
	pl := K.QPlan(q, m, p)
	y, prep, scratch := guardedFloats(t, make([]float32, m*q.Rows)), guarded(t, pl.Prep), guarded(t, pl.Scratch)
	for pass := range pl.Passes {
		K.QPrep(&pl, pass, prep, guardedRaw(t, RawF32(x)), q, 0, m, scratch)
	}
	K.QGemmNT(&pl, RawF32(y), q.Rows, prep, q, 0, m, 0, q.Rows, scratch)
	return y
}

// Attention reads no key, value, query, mask or bias behind the last that counts.
func TestAttendGuardPages(t *testing.T) { everyAssembly(t, testAttendGuardPages) }

func testAttendGuardPages(t *testing.T) {
	r := newRand(31)
	for trial := range 90 {
		e := elems[trial%3]
		a, _, _, _ := randomAttention(r, e, trial)
		if a.Keys == 0 {
			continue
		}
		want := runAttend(a)
		a.Q = guardedFloats(t, a.Q[:(a.Rows-1)*a.QStride+a.D])
		a.K = guardedRaw(t, a.K.Slice(0, (a.Keys-1)*a.KStride+a.D))
		a.V = guardedRaw(t, a.V.Slice(0, (a.Keys-1)*a.VStride+a.DV))
		g := max(a.Group, 1)
		if a.Mask != nil {
			a.Mask = guardedRaw(t, Raw{F32, a.Mask[:(a.Rows/g-1)*a.MaskStride+(g-1)*a.MaskHead+a.Keys]}).Data
		}
		if a.Bias != nil {
			a.Bias = guardedFloats(t, a.Bias[:(a.Rows/g-1)*a.BiasStride+(g-1)*a.BiasHead+a.Keys])
		}
		out := guardedFloats(t, make([]float32, a.Rows*a.DV))
		Attend(out, a.DV, a, guardedFloats(t, make([]float32, AttendScratchLen(a))))
		if !sameBits(out, want) {
			t.Fatalf("trial %d differs at a page's end", trial)
		}
	}
}

// The same for operations on rows, norms, rotation, and codes as values.
func TestGuardPagesOfRows(t *testing.T) { everyAssembly(t, testGuardPagesOfRows) }

func testGuardPagesOfRows(t *testing.T) {
	r := newRand(45)
	for _, n := range []int{1, 7, 8, 9, 15, 16, 17, 31, 33, 63, 64, 65, 200} {
		x, b := normals(r, n), normals(r, n)
		gx, gb := guardedFloats(t, x), guardedFloats(t, b)
		y, z := make([]float32, n), guardedFloats(t, make([]float32, n))
		check := func(what string, f func(y, x, b []float32)) {
			t.Helper()
			f(y, x, b)
			f(z, gx, gb)
			for i, v := range y {
				if !alike(z[i], v) {
					t.Fatalf("%s of %d values differs at a page's end", what, n)
				}
			}
		}
		for op := range NumUnary {
			check("unary", func(y, x, _ []float32) { K.Unary[op](y, x) })
		}
		for op := range NumBinary {
			check("binary", func(y, x, b []float32) { K.Binary[op](y, x, b) })
		}
		check("rows", func(y, x, _ []float32) {
			y[0] = K.Max(x) + K.Min(x) + K.LogSumExp(x) + float32(K.ArgMax(x)+K.ArgMin(x)+K.FirstNaN(x))
		})
		for _, e := range elems {
			w := guardedRaw(t, rawOf(e, b))
			check("layer norm", func(y, x, _ []float32) { K.LayerNorm(y, x, w, w, 1e-5, e) })
		}
		h := n / 2
		check("angles", func(y, x, _ []float32) { K.RopeTable(y[n-h:], y[n-2*h:][:h], 3, x[n-h:]) })
		check("angles", func(y, x, _ []float32) { K.RopePeriods(y[n-h:], y[n-2*h:][:h], 3, x[n-h:]) })
		for _, traditional := range []bool{false, true} {
			check("rotation", func(y, x, b []float32) {
				K.Rope(y[n-2*h:], x[n-2*h:], b[n-h:], b[n-2*h:][:h], traditional, false)
			})
		}
	}
	for _, p := range modes {
		p.Elem = BF16
		k := 3 * p.Group
		q := *quantized(normals(r, 5*k), 5, k, p)
		g := q
		g.Words = Uint32s(guarded(t, 4*len(q.Words)))
		copy(g.Words, q.Words)
		g.Scales, g.Biases = guardedRaw(t, Raw{F32, q.Scales}).Data, guardedRaw(t, Raw{F32, q.Biases}).Data
		y, z := make([]float32, 7*k), guardedFloats(t, make([]float32, 7*k))
		for row := range 5 {
			K.DequantRow(y, &q, row, F16)
			K.DequantRow(z[6*k:], &g, row, F16)
			if !sameBits(y[:k], z[6*k:]) {
				t.Fatalf("%s row %d differs at a page's end", p.name(), row)
			}
		}
		for _, m := range []int{1, 2, 7} {
			x := guardedFloats(t, normals(r, 5*m))
			y, z := make([]float32, m*k), guardedFloats(t, make([]float32, m*k))
			work := guardedFloats(t, make([]float32, K.QScratchLen(&q, m)))
			K.QGemmNN(y, k, x, 5, m, &q, 0, k, work)
			K.QGemmNN(z, k, x, 5, m, &g, 0, k, work)
			if !sameBits(y, z) {
				t.Fatalf("QGemmNN %s m%d differs at a page's end", p.name(), m)
			}
		}
	}
}
