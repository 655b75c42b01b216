package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// rootsOf are exp(-2 pi i k/n).
func rootsOf(n int) (w []complex128) {
	for k := range n {
		c, s := turn(k, n)
		w = append(w, complex(c, -s))
	}
	return w
}

// naive is element k of the transform of n numbers.
func naive(x, roots []complex128, k int) (y complex128) {
	at := 0
	for _, v := range x {
		y += v * roots[at]
		if at += k; at >= len(x) {
			at -= len(x)
		}
	}
	return y
}

// TestFFTPlan: transforms of any length, of one lane and of several, are the definition's.
func TestFFTPlan(t *testing.T) {
	lengths := []int{1000, 1009, 1024, 2310, 4096, 4199, 10007}
	for n := 1; n <= 130; n++ {
		lengths = append(lengths, n)
	}
	for _, n := range lengths {
		roots := rootsOf(n)
		for _, lanes := range []int{1, 3} {
			r := rand.New(rand.NewPCG(uint64(n), uint64(lanes)))
			p := newFFTPlan(n)
			re, im := make([]float64, n*lanes), make([]float64, n*lanes)
			x := make([][]complex128, lanes)
			for i := range re {
				re[i], im[i] = r.NormFloat64(), r.NormFloat64()
				x[i%lanes] = append(x[i%lanes], complex(re[i], im[i]))
			}
			re, im = p.run(re, im, make([]float64, p.work(lanes)), lanes)
			var diff, size float64
			for l := range lanes {
				for k := 0; k < n; k += 1 + n/50 {
					y := naive(x[l], roots, k)
					d := complex(re[k*lanes+l], im[k*lanes+l]) - y
					diff += real(d)*real(d) + imag(d)*imag(d)
					size += real(y)*real(y) + imag(y)*imag(y)
				}
			}
			if e := math.Sqrt(diff / size); !(e < 1e-14) {
				t.Errorf("length %d, %d lanes: relative error %.2g", n, lanes, e)
			}
		}
	}
}

// TestTurn: angles are exact at the quarters of a turn, and right elsewhere.
func TestTurn(t *testing.T) {
	for n := 1; n < 50; n++ {
		for k := range n + 1 {
			c, s := turn(k, n)
			ws, wc := math.Sincos(2 * math.Pi * float64(k) / float64(n))
			if math.Abs(c-wc) > 4e-15 || math.Abs(s-ws) > 4e-15 {
				t.Errorf("%d of %d: %v, %v", k, n, c, s)
			}
			if 4*k%n == 0 && math.Abs(c)+math.Abs(s) != 1 {
				t.Errorf("%d of %d: %v, %v is not exact", k, n, c, s)
			}
		}
	}
}

// TestFFTPlansAtOnce: a plan is made once, whoever asks; what is kept is bounded.
func TestFFTPlansAtOnce(t *testing.T) {
	cache := fftCache{limit: 1 << 20}
	var wg sync.WaitGroup
	got := make([]*fftPlan, 8)
	for i := range got {
		wg.Go(func() {
			got[i] = cache.get(1 << 10)
			got[i].halfTurns()
			for n := 1; n < 40; n++ {
				cache.get(n)
			}
		})
	}
	wg.Wait()
	for _, p := range got[1:] {
		if p != got[0] {
			t.Fatal("two plans of one length")
		}
	}
	for n := 10_000; n < 10_010; n++ {
		cache.get(n)
		if len(cache.byLength) > 1 && cache.bytes > cache.limit {
			t.Fatalf("%d plans of %d bytes are kept", len(cache.byLength), cache.bytes)
		}
	}
	if cache.get(1<<10) == got[0] {
		t.Error("no plan was dropped")
	}
}

func BenchmarkFFTPlan(b *testing.B) {
	for _, n := range []int{64, 1000, 1024, 4096, 65536, 1009} {
		for _, lanes := range []int{1, 8} {
			b.Run(fmt.Sprintf("%d/lanes=%d", n, lanes), func(b *testing.B) {
				p := newFFTPlan(n)
				size := n * lanes
				mem := make([]float64, 2*(size+fftGap)+p.work(lanes))
				for b.Loop() {
					p.run(mem[:size], mem[size+fftGap:], mem[2*(size+fftGap):], lanes)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(lanes), "ns/row")
			})
		}
	}
}
