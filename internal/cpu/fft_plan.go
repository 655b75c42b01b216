package cpu

import (
	"math"
	"sync"
)

// A fftPlan transforms sequences of n complex numbers: Stockham's passes, which need no
// reordering, or Bluestein's convolution if n has a large prime factor. It computes in
// float64, which is as fast here and leaves one rounding to float32. Real and imaginary parts
// are apart, so that the inverse transform is the same with the parts exchanged; and several
// sequences, lanes, are interleaved: number j of lane l is element j*lanes + l.
type fftPlan struct {
	n      int
	passes []fftPass
	chirp  *fftChirp

	once sync.Once
	half []float64 // see halfTurns
}

// A fftPass makes of a sequence of radix*m numbers radix ones of m. w are the factors
// exp(-2 pi i p k/(radix*m)), real and imaginary, for k from 1 to radix-1 of each p below m;
// root are exp(2 pi i j/radix).
type fftPass struct {
	radix, m int
	w, root  []float64
}

const (
	maxFFTRadix = 31 // the largest prime factor that has a pass
	fftGap      = 80 // elements between arrays, whose lines meet in the cache otherwise
)

// fftFactors are the radices of n, and what is left of it.
func fftFactors(n int) (radices []int, rest int) {
	for n%4 == 0 {
		radices, n = append(radices, 4), n/4
	}
	for r := 2; r <= maxFFTRadix; r++ {
		for n%r == 0 {
			radices, n = append(radices, r), n/r
		}
	}
	return radices, n
}

// turn is cos and sin of 2 pi k/n for k from 0 to n, by angles up to an eighth of a turn.
func turn(k, n int) (c, s float64) {
	switch {
	case 2*k > n:
		c, s = turn(n-k, n)
		return c, -s
	case 4*k > n:
		c, s = turn(n-2*k, 2*n)
		return -c, s
	case 8*k > n:
		s, c = turn(n-4*k, 4*n)
		return c, s
	}
	s, c = math.Sincos(2 * math.Pi * float64(k) / float64(n))
	return c, s
}

func newFFTPlan(n int) *fftPlan {
	p := &fftPlan{n: n}
	radices, rest := fftFactors(n)
	if rest > 1 {
		p.chirp = newFFTChirp(n)
		return p
	}
	size := n
	for _, r := range radices {
		t := fftPass{radix: r, m: size / r, w: make([]float64, 0, 2*size)}
		for j := range t.m {
			for k := 1; k < r; k++ {
				c, s := turn(j*k, size)
				t.w = append(t.w, c, -s)
			}
		}
		for j := range r {
			c, s := turn(j, r)
			t.root = append(t.root, c, s)
		}
		p.passes = append(p.passes, t)
		size = t.m
	}
	return p
}

// halfTurns are cos and sin of 2 pi k/(2n) for k from 0 to n, with which half a spectrum of
// 2n real numbers is made of n complex ones.
func (p *fftPlan) halfTurns() []float64 {
	p.once.Do(func() {
		p.half = make([]float64, 0, 2*p.n+2)
		for k := range p.n + 1 {
			c, s := turn(k, 2*p.n)
			p.half = append(p.half, c, s)
		}
	})
	return p.half
}

// bytes is what the plan keeps at most, roughly.
func (p *fftPlan) bytes() int {
	n := 2 * p.n
	for i := range p.passes {
		n += len(p.passes[i].w)
	}
	if p.chirp != nil {
		return 8*n + 32*p.chirp.plan.n + p.chirp.plan.bytes()
	}
	return 8 * n
}

// work is how many elements run needs besides the numbers.
func (p *fftPlan) work(lanes int) int {
	if p.chirp != nil {
		return 2*(p.chirp.plan.n*lanes+fftGap) + p.chirp.plan.work(lanes)
	}
	return 2*p.n*lanes + fftGap
}

// cost is about how many operations of half a nanosecond a sequence takes.
func (p *fftPlan) cost() int {
	if p.chirp != nil {
		return 2*p.chirp.plan.cost() + 20*p.n
	}
	c := 2 * p.n
	for _, t := range p.passes {
		c += p.n * (t.radix + 6) / 4
	}
	return c
}

// run transforms re, im and says where the results are: there, or in work.
func (p *fftPlan) run(re, im, work []float64, lanes int) (yr, yi []float64) {
	if p.chirp != nil {
		p.chirp.run(re, im, work, lanes)
		return re, im
	}
	size := p.n * lanes
	xr, xi, yr, yi := re[:size], im[:size], work[:size], work[size+fftGap:][:size]
	s := lanes
	for i := range p.passes {
		t := &p.passes[i]
		switch t.radix {
		case 2:
			t.two(yr, yi, xr, xi, s)
		case 3:
			t.three(yr, yi, xr, xi, s)
		case 4:
			t.four(yr, yi, xr, xi, s)
		case 5:
			t.five(yr, yi, xr, xi, s)
		default:
			t.odd(yr, yi, xr, xi, s)
		}
		xr, xi, yr, yi = yr, yi, xr, xi
		s *= t.radix
	}
	return xr, xi
}

// A fftChirp is Bluestein's: j*k = (j^2 + k^2 - (k-j)^2)/2 makes of the transform a
// convolution with exp(pi i j^2/n), which transforms of a longer, smooth length do.
type fftChirp struct {
	plan               *fftPlan
	re, im             []float64 // exp(-pi i j^2/n)
	filterRe, filterIm []float64 // the transform of its conjugate, by the length
}

func newFFTChirp(n int) *fftChirp {
	size := (2*n + 14) / 16 * 16 // at least 2n-1
	for ; ; size += 16 {
		if _, rest := fftFactors(size); rest == 1 {
			break
		}
	}
	c := &fftChirp{plan: newFFTPlan(size)}
	c.filterRe, c.filterIm = make([]float64, size), make([]float64, size)
	for j := range n {
		cos, sin := turn(j*j%(2*n), 2*n)
		c.re, c.im = append(c.re, cos), append(c.im, -sin)
		for _, k := range []int{j, (size - j) % size} {
			c.filterRe[k], c.filterIm[k] = cos/float64(size), sin/float64(size)
		}
	}
	c.filterRe, c.filterIm = c.plan.run(c.filterRe, c.filterIm, make([]float64, c.plan.work(1)), 1)
	return c
}

// run transforms re, im in place.
func (c *fftChirp) run(re, im, work []float64, lanes int) {
	size := c.plan.n * lanes
	ar, ai, rest := work[:size], work[size+fftGap:][:size], work[2*(size+fftGap):]
	clear(ar[len(c.re)*lanes:])
	clear(ai[len(c.re)*lanes:])
	timesLanes(ar, ai, re, im, c.re, c.im, lanes)
	yr, yi := c.plan.run(ar, ai, rest, lanes)
	timesLanes(ar, ai, yr, yi, c.filterRe, c.filterIm, lanes)
	yi, yr = c.plan.run(ai, ar, rest, lanes)
	timesLanes(re, im, yr, yi, c.re, c.im, lanes)
}

// timesLanes is y = x w, with one w for all lanes.
func timesLanes(yr, yi, xr, xi, wr, wi []float64, lanes int) {
	i := 0
	for j, a := range wr {
		b := wi[j]
		for range lanes {
			yr[i], yi[i] = xr[i]*a-xi[i]*b, xr[i]*b+xi[i]*a
			i++
		}
	}
}

// A fftCache keeps plans by length until they are larger than limit together.
type fftCache struct {
	sync.Mutex
	limit, bytes int
	byLength     map[int]*fftPlan
}

var fftPlans = fftCache{limit: 64 << 20}

// get is the plan for length n, which is never changed.
func (c *fftCache) get(n int) *fftPlan {
	c.Lock()
	defer c.Unlock()
	if p := c.byLength[n]; p != nil {
		return p
	}
	p := newFFTPlan(n)
	if c.bytes += p.bytes(); c.byLength == nil || c.bytes > c.limit {
		c.byLength, c.bytes = map[int]*fftPlan{}, p.bytes()
	}
	c.byLength[n] = p
	return p
}
