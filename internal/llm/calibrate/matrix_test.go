package calibrate

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/quant"
)

// gramOf is X^T X of correlated random inputs [tokens, n].
func gramOf(n, tokens int, seed uint64) (*matrix, [][]float64) {
	r := rand.New(rand.NewPCG(seed, 0))
	g, xs := newMatrix(n), make([][]float64, tokens)
	for t := range xs {
		x := make([]float64, n)
		for i := range x {
			x[i] = r.NormFloat64()
			if i > 0 {
				x[i] += 0.8 * x[i-1]
			}
			if i%7 == 3 {
				x[i] *= 5
			}
		}
		xs[t] = x
		for i := range x {
			axpy(g.row(i), x[i], x)
		}
	}
	return g, xs
}

// TestInverseFactor: U^T U times A is the identity, for sizes around the blocks.
func TestInverseFactor(t *testing.T) {
	for _, n := range []int{1, 2, 63, 64, 65, 150} {
		a, _ := gramOf(n, 2*n+3, uint64(n))
		work := newMatrix(n)
		copy(work.v, a.v)
		u, err := inverseFactor(work)
		if err != nil {
			t.Fatal(err)
		}
		worst := 0.0
		for i := range n {
			for j := range n {
				if j < i && u.row(i)[j] != 0 {
					t.Fatalf("n %d: U[%d,%d] is %g below the diagonal", n, i, j, u.row(i)[j])
				}
			}
		}
		inverse := newMatrix(n)
		for k := range n {
			for i := range n {
				axpy(inverse.row(i), u.row(k)[i], u.row(k))
			}
		}
		for i := range n {
			row := make([]float64, n)
			for k := range n {
				axpy(row, inverse.row(i)[k], a.row(k))
			}
			for j, v := range row {
				want := 0.0
				if i == j {
					want = 1
				}
				worst = max(worst, math.Abs(v-want))
			}
		}
		if worst > 1e-8 {
			t.Errorf("n %d: U^T U A differs from the identity by %g", n, worst)
		}
	}
	bad := newMatrix(2)
	copy(bad.v, []float64{1, 2, 2, 1})
	if _, err := inverseFactor(bad); err == nil {
		t.Error("a matrix that is not positive definite has a factor")
	}
}

func randomWeights(rows, cols int) []float32 {
	r := rand.New(rand.NewPCG(uint64(rows), uint64(cols)))
	w := make([]float32, rows*cols)
	for i := range w {
		w[i] = float32(r.NormFloat64())
	}
	return w
}

// errorOn is the sum of squares of (W' - W) x over inputs.
func errorOn(w, now []float32, rows, cols int, xs [][]float64) (sum float64) {
	d := make([]float64, cols)
	for r := range rows {
		for j := range d {
			d[j] = float64(now[r*cols+j]) - float64(w[r*cols+j])
		}
		for _, x := range xs {
			y := dot(d, x)
			sum += y * y
		}
	}
	return sum
}

// TestPacked: what fitted and gptq pack is what MLX's dequantize reads, and each loses
// less than what is simpler, on the inputs themselves.
func TestPacked(t *testing.T) {
	const rows, cols = 19, 128
	w := randomWeights(rows, cols)
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64} {
			s, err := quant.Scheme{Bits: bits, GroupSize: group}.Resolve()
			if err != nil {
				t.Fatal(err)
			}
			gram, xs := gramOf(cols, 300, 1)
			h := make([]float64, cols)
			for i := range h {
				h[i] = gram.row(i)[i]
			}
			f, err := newFactor(gram, damping)
			if err != nil {
				t.Fatal(err)
			}
			values := func(q mlx.Quantized) []float32 { return mlx.ToSlice[float32](mlx.Dequantize(q, mlx.Float32)) }
			plain := errorOn(w, values(mlx.Quantize(mlx.FromSlice(w, rows, cols).AsType(mlx.BFloat16), s)), rows, cols, xs)
			p := fitted(w, rows, cols, h, s, mlx.BFloat16)
			fit := errorOn(w, values(p.quantized()), rows, cols, xs)
			g := gptq(w, rows, cols, f, s, mlx.BFloat16)
			best := errorOn(w, values(g.quantized()), rows, cols, xs)
			if best > 0.8*min(fit, plain) {
				t.Errorf("%v: error %.4g plain, %.4g fitted, %.4g gptq", s, plain, fit, best)
			}
			if bits <= 3 && fit > plain {
				t.Errorf("%v: the fitted grids lose %.4g, MLX's %.4g", s, fit, plain)
			}
		}
	}
}

// TestBestGrid: constant groups, groups of zeros, and weights of zero.
func TestBestGrid(t *testing.T) {
	ones := make([]float64, 32)
	for i := range ones {
		ones[i] = 1
	}
	for _, v := range []float64{0, 0.5, -2, 1e-9} {
		w := make([]float64, 32)
		for i := range w {
			w[i] = v
		}
		for _, h := range [][]float64{ones, make([]float64, 32)} {
			g := bestGrid(w, h, 2, mlx.BFloat16)
			if got := g.value(g.code(v)); math.IsNaN(got) || h[0] > 0 && math.Abs(got-v) > 1e-2*math.Abs(v)+1e-6 {
				t.Errorf("a group of %g becomes %g (%+v)", v, got, g)
			}
		}
	}
}
