// Package fft is mx.fft: discrete Fourier transforms, of complex64 and float32 alone. Arrays
// of other dtypes are converted first; RFFT and its kin take the real part of complex numbers.
//
//	y := fft.FFT(x)                                  // y[k] is the sum of x[j] exp(-2 pi i j k/n)
//	h := fft.RFFT(x, fft.N(64), mlx.Axis(0))         // of a real x, the first 33 of 64 numbers
//	z := fft.IFFT2(fft.FFT2(im).Mul(filter))         // over the last two axes
//	f := fft.FFTN(x, mlx.Axes{0, 2}, fft.Norm("ortho"))
//
// Any length of at least 1 does; powers of 2 and products of small primes are fastest. All
// have gradients; that of a complex x is the transposed Jacobian times the cotangent,
// without conjugation, as for every op here.
package fft

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// Option is [N], [S], [Norm], mlx.Axis, mlx.Axes or a stream.
type Option = opt.FFT

// N is n=: the length of the axis, cut or padded with zeros. Of IRFFT it is the length of
// the result, 2*(m-1) of m numbers if not given.
type N int

// S is s=: the length of each axis, of transforms of several, cut or padded with zeros.
// Without mlx.Axes it is about the last len(S) axes.
type S []int

// Norm is norm=: "backward" (the default) divides inverse transforms by the length, "forward"
// the others, "ortho" both by its root.
type Norm string

// ForFFT makes it the argument n=.
func (n N) ForFFT(s *opt.Set) { s.Length, s.HasLength = int(n), true }

// ForFFT makes it the argument s=.
func (n S) ForFFT(s *opt.Set) { s.Sizes, s.HasSizes = append([]int{}, n...), true }

// ForFFT makes it the argument norm=.
func (k Norm) ForFFT(s *opt.Set) { s.FFTNorm = string(k) }

// keywords are the options of a transform, of one axis or of several; unless given, the axes
// are these.
func keywords(op string, one bool, axes []int, opts []Option) (fft.Options, mlx.Stream) {
	var set opt.Set
	for _, o := range opts {
		o.ForFFT(&set)
	}
	s := tensor.OneStream(op, &set)
	if set.HasAxes {
		axes = set.Axes
	}
	switch {
	case one && set.HasSizes:
		tensor.Throw(op, nil, "is of one axis: give its length as N, not S")
	case one && len(axes) != 1:
		tensor.Throw(op, nil, "takes one axis, not %v", axes)
	case !one && set.HasLength:
		tensor.Throw(op, nil, "is of several axes: give their lengths as S, not N")
	case set.HasLength:
		set.Sizes = []int{set.Length}
	}
	return fft.Options{Sizes: set.Sizes, Axes: axes, Norm: set.FFTNorm}, s
}

// The axes of transforms of one and of two.
var (
	last    = []int{-1}
	lastTwo = []int{-2, -1}
)

// FFT is mx.fft.fft, along the last axis unless given: complex64.
func FFT(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("fft", true, last, opts)
	return fft.ComplexOf("fft", x, false, o, s)
}

// IFFT is mx.fft.ifft: the inverse of [FFT].
func IFFT(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("ifft", true, last, opts)
	return fft.ComplexOf("ifft", x, true, o, s)
}

// FFT2 is mx.fft.fft2, over the last two axes unless given.
func FFT2(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("fft2", false, lastTwo, opts)
	return fft.ComplexOf("fft2", x, false, o, s)
}

// IFFT2 is mx.fft.ifft2: the inverse of [FFT2].
func IFFT2(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("ifft2", false, lastTwo, opts)
	return fft.ComplexOf("ifft2", x, true, o, s)
}

// FFTN is mx.fft.fftn, over all axes unless given.
func FFTN(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("fftn", false, nil, opts)
	return fft.ComplexOf("fftn", x, false, o, s)
}

// IFFTN is mx.fft.ifftn: the inverse of [FFTN].
func IFFTN(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("ifftn", false, nil, opts)
	return fft.ComplexOf("ifftn", x, true, o, s)
}

// RFFT is mx.fft.rfft: of n real numbers the first n/2+1 of [FFT]'s, of which the others
// are the conjugates.
func RFFT(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("rfft", true, last, opts)
	return fft.RealOf("rfft", x, o, s)
}

// IRFFT is mx.fft.irfft: the inverse of [RFFT], float32. Of what belongs to frequency 0, and
// n/2 of an even n, the imaginary part is ignored.
func IRFFT(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("irfft", true, last, opts)
	return fft.HalfOf("irfft", x, o, s)
}

// RFFT2 is mx.fft.rfft2: [RFFT] of the last axis, or the last of those given, then [FFT] of
// the other.
func RFFT2(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("rfft2", false, lastTwo, opts)
	return fft.RealOf("rfft2", x, o, s)
}

// IRFFT2 is mx.fft.irfft2: the inverse of [RFFT2]; S is the shape of the result.
func IRFFT2(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("irfft2", false, lastTwo, opts)
	return fft.HalfOf("irfft2", x, o, s)
}

// RFFTN is mx.fft.rfftn: [RFFT] of the last axis, or the last of those given, then [FFT] of
// the others.
func RFFTN(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("rfftn", false, nil, opts)
	return fft.RealOf("rfftn", x, o, s)
}

// IRFFTN is mx.fft.irfftn: the inverse of [RFFTN]; S is the shape of the result.
func IRFFTN(x *mlx.Array, opts ...Option) *mlx.Array {
	o, s := keywords("irfftn", false, nil, opts)
	return fft.HalfOf("irfftn", x, o, s)
}

// Freq is mx.fft.fftfreq(n, d): the frequencies of [FFT]'s numbers, of samples that are d
// apart: 0, 1/(n d), ..., then the negative ones; float32.
func Freq(n int, d float64, on ...mlx.StreamOrDevice) *mlx.Array {
	return fft.FreqOf(n, d, tensor.OnlyStream("fftfreq", on))
}

// RFreq is mx.fft.rfftfreq(n, d): the frequencies of [RFFT]'s numbers; float32.
func RFreq(n int, d float64, on ...mlx.StreamOrDevice) *mlx.Array {
	return fft.RFreqOf(n, d, tensor.OnlyStream("rfftfreq", on))
}

// Shift is mx.fft.fftshift: frequency 0 comes to the middle of all axes, or of those given.
func Shift(x *mlx.Array, opts ...mlx.AxisOption) *mlx.Array { return shift("fftshift", x, false, opts) }

// IShift is mx.fft.ifftshift: the inverse of [Shift].
func IShift(x *mlx.Array, opts ...mlx.AxisOption) *mlx.Array {
	return shift("ifftshift", x, true, opts)
}

func shift(op string, x *mlx.Array, inverse bool, opts []mlx.AxisOption) *mlx.Array {
	var set opt.Set
	for _, o := range opts {
		o.ForAxis(&set)
	}
	return fft.ShiftOf(op, x, set.Axes, inverse, tensor.OneStream(op, &set))
}
