//go:build amd64 && !purego && !race

package simd

import (
	"fmt"
	"math"
	"os"
	"slices"
	"testing"
)

// A machine that has the features must use them: the fast path cannot go
// missing silently.
func TestRequireAssembly(t *testing.T) {
	want := "pure"
	switch {
	case hasAMX():
		want = "amx"
	case hasAVX512():
		want = "avx512"
	case hasAVX2():
		want = "avx2"
	}
	if got := Available()[0]; got != want {
		t.Errorf("the best tier is %s, want %s", got, want)
	}
	if os.Getenv("MLX_SIMD") == "" && Active() != want {
		t.Errorf("the active tier is %s, want %s", Active(), want)
	}
	if hasAVX2() && !slices.Contains(Available(), "avx2") {
		t.Errorf("no avx2 among %v", Available())
	}
}

func onlyAVX512(t *testing.T) {
	old := Active()
	if Select("avx512") != nil {
		t.Skip("no avx512 tier here")
	}
	t.Cleanup(func() { _ = Select(old) })
}

// The error of every product is that of float32 sums: 1e-6 of Σ|x·w|.
func TestProductError(t *testing.T) { everyAssembly(t, testProductError) }

func testProductError(t *testing.T) {
	r := newRand(31)
	const n, k = 9, 4096 + 128
	for _, m := range []int{1, 2, 3, 4, 5, 13} {
		x := normals(r, m*k)
		check := func(what string, y []float32, w []float64) {
			t.Helper()
			for i := range m {
				for j := range n {
					var s, a float64
					for l := range k {
						v := float64(x[i*k+l]) * w[j*k+l]
						s, a = s+v, a+math.Abs(v)
					}
					if d := math.Abs(float64(y[i*n+j]) - s); !(d <= 1e-6*a) {
						t.Fatalf("%s m%d: y[%d,%d] off by %.2g of Σ|x·w|", what, m, i, j, d/a)
					}
				}
			}
		}
		for _, e := range elems {
			w := rounded(e, normals(r, n*k))
			y := make([]float32, m*n)
			K.GemmNT(y, n, x, k, m, rawOf(e, w), k, n, k)
			check(fmt.Sprint(e), y, f64s(w))
			wt := make([]float32, n*k)
			for i, v := range w {
				wt[i%k*n+i/k] = v
			}
			K.GemmNN(y, n, x, k, m, rawOf(e, wt), n, n, k)
			check(fmt.Sprint(e, " NN"), y, f64s(w))
		}
		for _, p := range modes {
			p.Elem = F16
			q := quantized(normals(r, n*k), n, k, p)
			check(p.name(), qmm(x, m, q), dense(q))
		}
	}
}

// NaN and Inf reach the result as they do in pure Go.
func TestNotFinite(t *testing.T) {
	everyTier(t, func(t *testing.T) {
		for _, v := range []float32{nan32, inf32, -inf32} {
			for _, at := range []int{0, 17, 34} {
				x := fill(35, 1)
				x[at] = v
				if got := K.Dot(x, fill(35, 1)); got == got && got != v {
					t.Errorf("dot with %v is %v", v, got)
				}
				if got := K.Sum(x); got == got && got != v || v == v && got != got {
					t.Errorf("sum with %v is %v", v, got)
				}
				y := make([]float32, 35)
				K.RMSNorm(y, x, Raw{}, 1e-5, F32)
				if y[at] == y[at] {
					t.Errorf("norm of %v is %v", v, y[at])
				}
				// A NaN score makes the row NaN, -Inf weighs nothing.
				a := &Attention{Scale: 1, Q: []float32{1}, QStride: 1, Rows: 1, D: 1, K: RawF32(x), V: RawF32(fill(35, 1)), KStride: 1, VStride: 1, Keys: 35, DV: 1}
				if got := runAttend(a)[0]; (v == -inf32) != (got == 1) && got == got {
					t.Errorf("attention with a score of %v is %v", v, got)
				}
				x = fill(35, -inf32)
				x[at] = v
				a.K = RawF32(x)
				if got := runAttend(a)[0]; v == -inf32 && got != 0 || v != -inf32 && got == got {
					t.Errorf("attention with one score of %v is %v", v, got)
				}
			}
		}
		x := []float32{-inf32, inf32, nan32, 800, -800}
		y := make([]float32, 5)
		K.Unary[Exp](y, x)
		if y[0] != 0 || y[1] != inf32 || y[2] == y[2] || y[3] != inf32 || y[4] != 0 {
			t.Errorf("exp of %v is %v", x, y)
		}
		K.Unary[Sigmoid](y, x)
		if y[0] != 0 || y[1] != 1 || y[2] == y[2] || y[3] != 1 || y[4] != 0 {
			t.Errorf("sigmoid of %v is %v", x, y)
		}
	})
}

// Weights of attention are off by less than 1.5e-7 of the largest, hidden scores
// weigh nothing, and what was summed before shrinks as the maximum grows.
func TestAttendWeights(t *testing.T) {
	onlyAVX512(t)
	r := newRand(46)
	for range 50 {
		s := make([]float32, attRows*scoreStride)
		for i := range s {
			s[i] = float32(r.NormFloat64() * 20)
		}
		see, m, f, l := make([]uint64, attRows), make([]float32, 16), make([]float32, 16), make([]float32, 64)
		const scale = .5
		want, before := make([]float64, len(s)), make([]float32, attRows)
		for i := range attRows {
			see[i] = r.Uint64() | 1
			before[i] = float32(r.NormFloat64() * 20)
			top := float64(before[i])
			row := want[i*scoreStride:][:keyBlock]
			for j := range row {
				row[j] = math.Inf(-1)
				if see[i]>>j&1 != 0 {
					row[j] = scale * float64(s[i*scoreStride+j])
				}
				top = max(top, row[j])
			}
			for j := range row {
				row[j] = math.Exp(row[j] - top)
			}
			for j := range 4 {
				m[4*i+j] = before[i]
			}
			l[16*i] = 2
		}
		attWeights(&s[0], 4*scoreStride, &see[0], &m[0], &f[0], &l[0], scale, attRows)
		for i := range attRows {
			sum := 2 * math.Exp(float64(before[i]-m[4*i]))
			for j, w := range want[i*scoreStride:][:keyBlock] {
				got := float64(s[i*scoreStride+j])
				if !(math.Abs(got-w) <= 1.5e-7) || w == 0 && got != 0 {
					t.Fatalf("weight %g, want %g", got, w)
				}
				sum += w
			}
			if got := float64(sumF32(&l[16*i], 16)); !(math.Abs(got-sum) <= 2e-6*sum) {
				t.Fatalf("sum %g, want %g", got, sum)
			}
		}
	}
}
