package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// A transform is an FFT of rows, some lanes at a time. Real rows of even length n are
// computed as n/2 complex numbers, real those of even index and imaginary the others.
type transform struct {
	x      rowsOf
	y      *View
	n, m   int // length, and n/2+1: half of the spectrum
	plan   *fftPlan
	even   bool
	factor float64
	lanes  int
}

// The place where numbers of some lanes are transformed.
type fftLanes struct {
	re, im, work []float64
	lanes        int
}

func newTransform(n int, norm fft.Norm, halved bool, in, out []View) *transform {
	t := &transform{x: rowsOfView(&in[0]), y: &out[0], n: n, m: n/2 + 1, factor: norm.Factor(n)}
	size := n
	if t.even = halved && n%2 == 0; t.even {
		size = n / 2
	}
	t.plan = fftPlans.get(size)
	// Rows that are columns of memory are read as many at a time as a cache line has.
	t.lanes = max(1, min(8, 1<<17/size))
	if t.x.st == 1 {
		t.lanes = max(1, min(8, 8192/size, t.x.n/8))
	}
	return t
}

// task runs the steps on lanes of rows: load, transform and store.
func (t *transform) task(load func(l fftLanes, row int), inverse bool, store func(l fftLanes, row int)) task {
	units := (t.x.n + t.lanes - 1) / t.lanes
	return newTask(units, t.x.n*(t.plan.cost()+4*t.n), func(s *scratch, c, nc int) {
		lo, hi := span(units, c, nc)
		size := max(t.plan.n, t.m) * t.lanes
		mem := floats(s, 2*(size+fftGap)+t.plan.work(t.lanes), 1<<20)
		l := fftLanes{re: mem[:size], im: mem[size+fftGap:][:size], work: mem[2*(size+fftGap):]}
		for ; lo < hi; lo++ {
			row := lo * t.lanes
			l.lanes = min(t.lanes, t.x.n-row)
			load(l, row)
			y := l
			if inverse {
				y.im, y.re = t.plan.run(l.im, l.re, l.work, l.lanes)
			} else {
				y.re, y.im = t.plan.run(l.re, l.im, l.work, l.lanes)
			}
			store(y, row)
		}
	})
}

func complexTask(p fft.Complex, in, out []View) task {
	k := in[0].Shape[len(in[0].Shape)-1]
	t := newTransform(k, p.Norm, false, in, out)
	return t.task(t.loadComplex, p.Inverse, t.storeComplex)
}

func realTask(p fft.Real, in, out []View) task {
	t := newTransform(in[0].Shape[len(in[0].Shape)-1], p.Norm, true, in, out)
	store := func(l fftLanes, row int) { t.storeHalf(l, row, p.Transposed) }
	return t.task(t.loadReal, false, store)
}

func halfTask(p fft.Half, in, out []View) task {
	t := newTransform(p.N.At(0), p.Norm, true, in, out)
	load := func(l fftLanes, row int) { t.loadHalf(l, row, p.Transposed) }
	return t.task(load, true, t.storeReal)
}

// from is the address of a row's first element.
func (t *transform) from(row int) unsafe.Pointer {
	return unsafe.Add(t.x.v.Ptr(), t.x.outer.offset(row)*t.x.size)
}

// starts are the addresses of the rows of all lanes.
func (t *transform) starts(l fftLanes, row int) (p [8]unsafe.Pointer) {
	for i := range l.lanes {
		p[i] = t.from(row + i)
	}
	return p
}

func (t *transform) loadComplex(l fftLanes, row int) {
	p, step, at := t.starts(l, row), t.x.st*t.x.size, 0
	for j := range t.x.k {
		for i := range l.lanes {
			v := *(*complex64)(unsafe.Add(p[i&7], j*step))
			l.re[at], l.im[at] = float64(real(v)), float64(imag(v))
			at++
		}
	}
}

func (t *transform) loadReal(l fftLanes, row int) {
	p, step, at := t.starts(l, row), t.x.st*t.x.size, 0
	if !t.even {
		for j := range t.n {
			for i := range l.lanes {
				l.re[at], l.im[at] = float64(*(*float32)(unsafe.Add(p[i&7], j*step))), 0
				at++
			}
		}
		return
	}
	for j := 0; j < t.n; j += 2 {
		for i := range l.lanes {
			q := unsafe.Add(p[i&7], j*step)
			l.re[at], l.im[at] = float64(*(*float32)(q)), float64(*(*float32)(unsafe.Add(q, step)))
			at++
		}
	}
}

// single reports whether number k of half a spectrum stands for itself alone.
func (t *transform) single(k int) bool { return k == 0 || 2*k == t.n }

// loadHalf makes of half a spectrum the numbers whose inverse transform is real; if
// transposed, each of its numbers stands for the real part of its term.
func (t *transform) loadHalf(l fftLanes, row int, transposed bool) {
	t.loadComplex(l, row)
	for k := range t.m {
		re, im := l.re[k*l.lanes:][:l.lanes], l.im[k*l.lanes:][:l.lanes]
		if transposed {
			f := 0.5
			if t.single(k) {
				f = 1
			}
			for i := range re {
				re[i], im[i] = f*re[i], -f*im[i]
			}
		}
		if t.single(k) {
			clear(im)
		}
	}
	if t.even {
		t.merge(l)
		return
	}
	for k := 1; k < t.m; k++ {
		for i := range l.lanes {
			a, b := k*l.lanes+i, (t.n-k)*l.lanes+i
			l.re[b], l.im[b] = l.re[a], -l.im[a]
		}
	}
}

// merge makes of x[0..h] the numbers (x[k] + conj x[h-k]) + i w (x[k] - conj x[h-k]), w being
// exp(2 pi i k/n), whose inverse transform has the real numbers in pairs.
func (t *transform) merge(l fftLanes) {
	h, w := t.n/2, t.plan.halfTurns()
	for k := 0; 2*k <= h; k++ {
		c, s := w[2*k], w[2*k+1]
		for i := range l.lanes {
			a, b := k*l.lanes+i, (h-k)*l.lanes+i
			er, ei := l.re[a]+l.re[b], l.im[a]-l.im[b]
			dr, di := l.re[a]-l.re[b], l.im[a]+l.im[b]
			or, oi := -s*dr-c*di, c*dr-s*di // i w d
			l.re[a], l.im[a] = er+or, ei+oi
			l.re[b], l.im[b] = er-or, oi-ei // of h-k: e conjugated, i w d negated and conjugated
		}
	}
}

func (t *transform) storeComplex(l fftLanes, row int) {
	for i := range l.lanes {
		y, from := at[complex64](t.y, (row+i)*t.n, t.n), i
		for j := range y {
			y[j] = complex(float32(l.re[from]*t.factor), float32(l.im[from]*t.factor))
			from += l.lanes
		}
	}
}

func (t *transform) storeReal(l fftLanes, row int) {
	for i := range l.lanes {
		y, from := at[float32](t.y, (row+i)*t.n, t.n), i
		if !t.even {
			for j := range y {
				y[j] = float32(l.re[from] * t.factor)
				from += l.lanes
			}
			continue
		}
		for j := 0; j+1 < len(y); j += 2 {
			y[j], y[j+1] = float32(l.re[from]*t.factor), float32(l.im[from]*t.factor)
			from += l.lanes
		}
	}
}

// storeHalf stores half of the spectrum; if transposed, conjugated, and doubled where a
// number stands for two.
func (t *transform) storeHalf(l fftLanes, row int, transposed bool) {
	var y [8][]complex64
	for i := range l.lanes {
		y[i] = at[complex64](t.y, (row+i)*t.m, t.m)
	}
	put := func(i, k int, re, im float64) {
		f, g := t.factor, t.factor
		if transposed {
			if !t.single(k) {
				f *= 2
			}
			g = -f
		}
		y[i&7][k] = complex(float32(re*f), float32(im*g))
	}
	if !t.even {
		for k := range t.m {
			for i := range l.lanes {
				put(i, k, l.re[k*l.lanes+i], l.im[k*l.lanes+i])
			}
		}
		return
	}
	// With z the transform of pairs and w = exp(-2 pi i k/n), numbers k and h-k are the half of
	// e + d and of the conjugate of e - d: e = z[k] + conj z[h-k], d = -i w (z[k] - conj z[h-k]).
	h, w := t.n/2, t.plan.halfTurns()
	for k := 0; 2*k <= h; k++ {
		c, s := w[2*k], w[2*k+1]
		for i := range l.lanes {
			a, b := k*l.lanes+i, (h-k)%h*l.lanes+i
			er, ei := l.re[a]+l.re[b], l.im[a]-l.im[b]
			vr, vi := l.re[a]-l.re[b], l.im[a]+l.im[b]
			dr, di := c*vi-s*vr, 0-c*vr-s*vi // no -0 where it is real
			put(i, k, (er+dr)/2, (ei+di)/2)
			put(i, h-k, (er-dr)/2, (di-ei)/2)
		}
	}
}
