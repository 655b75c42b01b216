//go:build linux && metalemu

package metal

import (
	"fmt"
	"math"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/msltest"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// spectrumOf is the definition in float64: row by row of n numbers, sign in the exponent.
func spectrumOf(x []complex64, n int, sign, factor float64) []complex128 {
	roots := make([]complex128, n)
	for k := range roots {
		s, c := math.Sincos(sign * 2 * math.Pi * float64(k) / float64(n))
		roots[k] = complex(factor*c, factor*s)
	}
	out := make([]complex128, len(x))
	for i := range out {
		row, k := i/n*n, i%n
		for j := range n {
			out[i] += complex128(x[row+j]) * roots[j*k%n]
		}
	}
	return out
}

// relative is the relative error of got, in the mean.
func relative(got []complex64, want []complex128) float64 {
	var diff, size float64
	for i, w := range want {
		d := complex128(got[i]) - w
		diff += real(d)*real(d) + imag(d)*imag(d)
		size += real(w)*real(w) + imag(w)*imag(w)
	}
	return math.Sqrt(diff / size)
}

// TestFFT: complex transforms against the definition in float64, of every radix, several
// rows in a threadgroup and one.
func TestFFT(t *testing.T) {
	lengths := []int{1, 2, 3, 4, 5, 6, 7, 8, 11, 13, 16, 30, 64, 91, 128, 143, 1000, 1024, 1848}
	if full {
		lengths = append(lengths, 9, 12, 15, 49, 121, 169, 385, 512, 2048, 2187, 3125, 4004, 4096)
	}
	for _, n := range lengths {
		rows := max(1, 300/n)
		x := someOf(dtype.Complex64, uint64(n), -1, 1, rows, n)
		for _, p := range []fft.Complex{{}, {Inverse: true, Norm: fft.ByLength}} {
			if p.Inverse && n > 200 && !full {
				continue
			}
			if err := hasKernel(p, []*tensor.Array{x}); err != nil {
				t.Fatalf("%d: %v", n, err)
			}
			got := tensor.ToSlice[complex64](tensor.Apply1(p, onGPU(), x))
			sign := -1.0
			if p.Inverse {
				sign = 1
			}
			want := spectrumOf(tensor.ToSlice[complex64](x), n, sign, p.Norm.Factor(n))
			if e := relative(got, want); !(e < 3e-7) {
				t.Errorf("%s of %d rows of %d: relative error %.2g", p.Name(), rows, n, e)
			}
		}
	}
}

// TestFFTForms: real and complex transforms and their transposes, of rows in any layout, are
// the CPU's, whose errors are tested against float64.
func TestFFTForms(t *testing.T) {
	tol := closeness{2e-6, 2e-6}
	for _, n := range []int{1, 2, 3, 8, 15, 26, 70} {
		for _, norm := range []fft.Norm{fft.Plain, fft.ByRoot} {
			z, x := someOf(dtype.Complex64, 1, -1, 1, 3, 5, n), someOf(dtype.Float32, 2, -1, 1, 3, 5, n)
			h := someOf(dtype.Complex64, 3, -1, 1, 3, 5, n/2+1)
			size := tensor.MakeInts(n)
			for _, c := range []struct {
				p tensor.Primitive
				x *tensor.Array
			}{
				{fft.Complex{Norm: norm}, z}, {fft.Complex{Inverse: true, Norm: norm}, z},
				{fft.Real{Norm: norm}, x}, {fft.Real{Norm: norm, Transposed: true}, x},
				{fft.Half{N: size, Norm: norm}, h}, {fft.Half{N: size, Norm: norm, Transposed: true}, h},
			} {
				for name, x := range stridedForms(c.x) {
					if name == "row-major" || norm == fft.Plain && n%4 != 0 {
						sameAsCPU(t, fmt.Sprint(n, " ", name, " ", c.p), c.p, tol, x)
					}
				}
			}
		}
	}
	x := someOf(dtype.Float32, 5, -1, 1, 2, 2048)
	if full {
		x = someOf(dtype.Float32, 5, -1, 1, 2, 8192)
	}
	sameAsCPU(t, "long", fft.Real{Norm: fft.ByRoot}, tol, x)
	sameAsCPU(t, "of no rows", fft.Real{}, closeness{}, someOf(dtype.Float32, 1, 0, 1, 0, 4))
	sameAsCPU(t, "of a vector", fft.Complex{}, tol, someOf(dtype.Complex64, 1, 0, 1, 12))
}

// TestFFTEnds: the first and the last of half a spectrum of even length are real.
func TestFFTEnds(t *testing.T) {
	for _, n := range []int{2, 4, 6, 30, 64, 1000} {
		y := tensor.ToSlice[complex64](tensor.Apply1(fft.Real{}, onGPU(), someOf(dtype.Float32, uint64(n), -1, 1, n)))
		if a, b := imag(y[0]), imag(y[n/2]); a != 0 || b != 0 {
			t.Errorf("of %d numbers, the ends have imaginary parts %v and %v", n, a, b)
		}
	}
}

// TestFFTFallsBack: what threadgroup memory is too small for, and large prime factors, go to
// the CPU.
func TestFFTFallsBack(t *testing.T) {
	for _, n := range []int{17, 34, 4098, 8192} {
		fallsBack(t, fft.Complex{}, someOf(dtype.Complex64, 1, -1, 1, 2, n))
	}
	fallsBack(t, fft.Real{}, someOf(dtype.Float32, 1, -1, 1, 8194))
	fallsBack(t, fft.Half{N: tensor.MakeInts(38)}, someOf(dtype.Complex64, 1, -1, 1, 2, 20))
}

// The kernels have no races and stay inside of their arrays.
func TestFFTSanitized(t *testing.T) {
	if !full {
		t.Skip("takes minutes; MLX_FULL=1 runs it")
	}
	z := func(shape ...int) *tensor.Array { return someOf(dtype.Complex64, 1, -1, 1, shape...) }
	columns := evaluated(tensor.SwapAxes(z(30, 7), 0, 1, onCPU()))
	for _, mode := range []msltest.Mode{msltest.TSan, msltest.ASan, msltest.MSan} {
		for _, c := range []struct {
			what string
			p    tensor.Primitive
			in   *tensor.Array
		}{
			{"powers of 2", fft.Complex{}, z(5, 256)},
			{"one row", fft.Complex{Inverse: true}, z(2, 1040)},
			{"odd radices", fft.Complex{}, z(3, 1155)},
			{"columns", fft.Complex{}, columns},
			{"real", fft.Real{Transposed: true}, someOf(dtype.Float32, 1, -1, 1, 9, 130)},
			{"real, odd", fft.Real{}, someOf(dtype.Float32, 1, -1, 1, 9, 33)},
			{"half", fft.Half{N: tensor.MakeInts(130), Transposed: true}, z(9, 66)},
			{"half, odd", fft.Half{N: tensor.MakeInts(33)}, z(9, 17)},
		} {
			sanitized(t, mode, c.what, c.p, closeness{1e-5, 1e-5}, c.in)
		}
	}
}
