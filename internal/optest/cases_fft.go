package optest

import (
	"math"
	"math/cmplx"
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fft"
)

// A spectrum is a grid of complex128 that is transformed by the definition.
type spectrum struct {
	v     []complex128
	shape mlx.Shape
}

// gridOf is re + i im; im may be nil.
func gridOf(re, im *mlx.Array) spectrum {
	g := spectrum{make([]complex128, re.Size()), re.Shape()}
	for i, v := range floats(re) {
		g.v[i] = complex(v, 0)
	}
	if im != nil {
		for i, v := range floats(im) {
			g.v[i] += complex(0, v)
		}
	}
	return g
}

// along replaces each line of an axis by m numbers f(line).
func (g spectrum) along(axis, m int, f func(line []complex128) []complex128) spectrum {
	inner, n := g.shape[axis+1:].Size(), g.shape[axis]
	out := spectrum{shape: slices.Clone(g.shape)}
	out.shape[axis] = m
	out.v = make([]complex128, out.shape.Size())
	for o := range g.shape[:axis].Size() {
		for i := range inner {
			line := make([]complex128, n)
			for j := range n {
				line[j] = g.v[(o*n+j)*inner+i]
			}
			for j, v := range f(line) {
				out.v[(o*m+j)*inner+i] = v
			}
		}
	}
	return out
}

// fit cuts or pads an axis.
func (g spectrum) fit(axis, n int) spectrum {
	return g.along(axis, n, func(line []complex128) []complex128 {
		return append(line, make([]complex128, n)...)[:n]
	})
}

// transform is the sum of x[j] exp(sign 2 pi i j k/n) times a factor.
func (g spectrum) transform(axis int, sign, factor float64) spectrum {
	n := g.shape[axis]
	return g.along(axis, n, func(line []complex128) []complex128 {
		out := make([]complex128, n)
		for k := range out {
			for j, v := range line {
				out[k] += v * cmplx.Rect(factor, sign*2*math.Pi*float64(j*k%n)/float64(n))
			}
		}
		return out
	})
}

// whole makes of half a spectrum the one of n numbers.
func (g spectrum) whole(axis, n int) spectrum {
	return g.along(axis, n, func(line []complex128) []complex128 {
		out := make([]complex128, n)
		for k, v := range line {
			switch {
			case k == 0 || 2*k == n:
				out[k] = complex(real(v), 0)
			default:
				out[k], out[n-k] = v, cmplx.Conj(v)
			}
		}
		return out
	})
}

// parts are the real and imaginary parts as float32.
func (g spectrum) parts() []*mlx.Array {
	re, im := make([]float32, len(g.v)), make([]float32, len(g.v))
	for i, v := range g.v {
		re[i], im[i] = float32(real(v)), float32(imag(v))
	}
	return list(mlx.FromSlice(re, g.shape...), mlx.FromSlice(im, g.shape...))
}

func reAndIm(y *mlx.Array) []*mlx.Array { return list(mlx.Real(y), mlx.Imag(y)) }

// withParts is the complex array of two inputs, its parts.
func withParts(in []*mlx.Array) *mlx.Array { return in[0].Add(in[1].Mul(1i)) }

// fftTol is a few roundings of the largest results.
var fftTol = Tol{Rel: 1e-6, Abs: 1e-6}

// powers is not linear, so that there is a second derivative to test.
func powers(y *mlx.Array) []*mlx.Array { return list(mlx.Square(mlx.Abs(y))) }

func fftCases() []Case {
	pair := made(ramp(3, 4, 6), mlx.Square(ramp(3, 4, 6).Add(0.3)).Mul(0.2))
	cases := []Case{
		{Name: "fft", File: "ops", In: []string{"x"}, Keys: []string{"fft.re", "fft.im"}, Tol: fftTol, Empty: true,
			Build: func(in []*mlx.Array) []*mlx.Array { return reAndIm(fft.FFT(in[0])) }},
		{Name: "rfft.abs", File: "ops", In: []string{"x"}, Tol: fftTol, Empty: true,
			Build: one(func(x *mlx.Array) *mlx.Array { return mlx.Abs(fft.RFFT(x)) })},
		{Name: "power spectrum", Inputs: made(ramp(3, 12)), Tol: fftTol, Empty: true,
			Build: func(in []*mlx.Array) []*mlx.Array { return powers(fft.RFFT(in[0], fft.Norm("ortho"))) },
			Want: func(in []*mlx.Array) []*mlx.Array {
				return powers(withParts(gridOf(in[0], nil).transform(1, -1, 1/math.Sqrt(12)).fit(1, 7).parts()))
			}},
	}
	// Complex transforms of one axis and of several.
	for _, c := range []struct {
		name      string
		f         func(*mlx.Array, ...fft.Option) *mlx.Array
		sign      float64
		opts      []fft.Option
		axes, n   []int
		transform float64 // factor of each axis is n to this power
	}{
		{"fft of complex numbers", fft.FFT, -1, nil, []int{2}, []int{6}, 0},
		{"fft padded along axis 1", fft.FFT, -1, []fft.Option{fft.N(7), mlx.Axis(1)}, []int{1}, []int{7}, 0},
		{"fft cut along axis -3, forward", fft.FFT, -1, []fft.Option{fft.N(2), mlx.Axis(-3), fft.Norm("forward")}, []int{0}, []int{2}, -1},
		{"fft of a large prime", fft.FFT, -1, []fft.Option{fft.N(37)}, []int{2}, []int{37}, 0},
		{"ifft", fft.IFFT, 1, nil, []int{2}, []int{6}, -1},
		{"ifft padded, forward", fft.IFFT, 1, []fft.Option{fft.N(8), fft.Norm("forward")}, []int{2}, []int{8}, 0},
		{"fft2", fft.FFT2, -1, nil, []int{1, 2}, []int{4, 6}, 0},
		{"ifft2 ortho", fft.IFFT2, 1, []fft.Option{fft.Norm("ortho")}, []int{1, 2}, []int{4, 6}, -0.5},
		{"fftn", fft.FFTN, -1, nil, []int{0, 1, 2}, []int{3, 4, 6}, 0},
		{"fftn of sizes", fft.FFTN, -1, []fft.Option{fft.S{5, 4}}, []int{1, 2}, []int{5, 4}, 0},
		{"ifftn of axes", fft.IFFTN, 1, []fft.Option{fft.S{7, 2}, mlx.Axes{2, 0}}, []int{2, 0}, []int{7, 2}, -1},
	} {
		cases = append(cases, Case{Name: c.name, Inputs: pair, Tol: fftTol, Empty: !slices.Contains(c.axes, 0),
			Build: func(in []*mlx.Array) []*mlx.Array { return reAndIm(c.f(withParts(in), c.opts...)) },
			Want: func(in []*mlx.Array) []*mlx.Array {
				g := gridOf(in[0], in[1])
				for i, axis := range c.axes {
					g = g.fit(axis, c.n[i]).transform(axis, c.sign, math.Pow(float64(c.n[i]), c.transform))
				}
				return g.parts()
			}})
	}
	return append(cases, halfCases(pair)...)
}

// halfCases are transforms between real numbers and half of a spectrum.
func halfCases(pair func(Golden) []*mlx.Array) (cases []Case) {
	type half struct {
		name    string
		f       func(*mlx.Array, ...fft.Option) *mlx.Array
		opts    []fft.Option
		axes, n []int // the last axis is that of the halves
	}
	for _, c := range []half{
		{"rfft of an odd length", fft.RFFT, []fft.Option{fft.N(5)}, []int{2}, []int{5}},
		{"rfft padded along axis 1", fft.RFFT, []fft.Option{fft.N(8), mlx.Axis(1)}, []int{1}, []int{8}},
		{"rfft of a large prime", fft.RFFT, []fft.Option{fft.N(74)}, []int{2}, []int{74}},
		{"rfft of one number", fft.RFFT, []fft.Option{fft.N(1)}, []int{2}, []int{1}},
		{"rfft2", fft.RFFT2, nil, []int{1, 2}, []int{4, 6}},
		{"rfftn of axes", fft.RFFTN, []fft.Option{fft.S{3, 6, 5}, mlx.Axes{2, 0, 1}}, []int{2, 0, 1}, []int{3, 6, 5}},
	} {
		cases = append(cases, Case{Name: c.name, Inputs: func(g Golden) []*mlx.Array { return pair(g)[:1] }, Tol: fftTol,
			Empty: !slices.Contains(c.axes, 0),
			Build: func(in []*mlx.Array) []*mlx.Array { return reAndIm(c.f(in[0], c.opts...)) },
			Want: func(in []*mlx.Array) []*mlx.Array {
				g := gridOf(in[0], nil)
				for i, axis := range c.axes {
					g = g.fit(axis, c.n[i]).transform(axis, -1, 1)
				}
				last := len(c.axes) - 1
				return g.fit(c.axes[last], c.n[last]/2+1).parts()
			}})
	}
	for _, c := range []half{
		{"irfft", fft.IRFFT, nil, []int{2}, []int{10}},
		{"irfft of an odd length", fft.IRFFT, []fft.Option{fft.N(9)}, []int{2}, []int{9}},
		{"irfft padded along axis 0", fft.IRFFT, []fft.Option{fft.N(8), mlx.Axis(0)}, []int{0}, []int{8}},
		{"irfft of a large prime", fft.IRFFT, []fft.Option{fft.N(37)}, []int{2}, []int{37}},
		{"irfft2", fft.IRFFT2, nil, []int{1, 2}, []int{4, 10}},
		{"irfftn of axes", fft.IRFFTN, []fft.Option{fft.S{5, 7}, mlx.Axes{0, 1}}, []int{0, 1}, []int{5, 7}},
	} {
		cases = append(cases, Case{Name: c.name, Inputs: pair, Tol: fftTol, Empty: !slices.Contains(c.axes, 0),
			Build: func(in []*mlx.Array) []*mlx.Array { return list(c.f(withParts(in), c.opts...)) },
			Want: func(in []*mlx.Array) []*mlx.Array {
				g := gridOf(in[0], in[1])
				for i, axis := range c.axes {
					n := c.n[i]
					if i == len(c.axes)-1 {
						g = g.fit(axis, n/2+1).whole(axis, n)
					}
					g = g.fit(axis, n).transform(axis, 1, 1/float64(n))
				}
				return g.parts()[:1]
			}})
	}
	return cases
}
