package cpu

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// complexArray is an irregular array with its values.
func complexArray(shape ...int) (*tensor.Array, []complex128) {
	rng := newRand(uint64(len(shape) + shape[len(shape)-1]))
	v, wide := make([]complex64, tensor.Shape(shape).Size()), []complex128(nil)
	for i := range v {
		v[i] = complex(float32(rng.NormFloat64()), float32(rng.NormFloat64()))
		wide = append(wide, complex128(v[i]))
	}
	return tensor.FromSlice(v, shape...), wide
}

// l2 is the relative error of got.
func l2(got, want []complex128) float64 {
	var diff, size float64
	for i := range want {
		d := got[i] - want[i]
		diff += real(d)*real(d) + imag(d)*imag(d)
		size += real(want[i])*real(want[i]) + imag(want[i])*imag(want[i])
	}
	return math.Sqrt(diff / size)
}

func complexes(a *tensor.Array) (v []complex128) {
	if a.DType() == dtype.Float32 {
		for _, x := range tensor.ToSlice[float32](a) {
			v = append(v, complex(float64(x), 0))
		}
		return v
	}
	for _, x := range tensor.ToSlice[complex64](a) {
		v = append(v, complex128(x))
	}
	return v
}

// TestFFTError: relative errors are those of rounding the results once, for rows and for
// columns, of any length and number, forward and back.
func TestFFTError(t *testing.T) {
	const most = 6e-8
	for _, n := range []int{1, 2, 3, 8, 30, 97, 128, 210, 1009, 1024, 1331, 2048, 3001} {
		roots := rootsOf(n)
		for _, rows := range []int{1, 3, 21} {
			a, x := complexArray(rows, n)
			var want []complex128
			for r := range rows {
				for k := range n {
					want = append(want, 0)
					if r == 0 || n < 200 { // one row is enough of long ones
						want[len(want)-1] = naive(x[r*n:(r+1)*n], roots, k)
					}
				}
			}
			check := func(what string, y *tensor.Array, want []complex128) {
				t.Helper()
				got := complexes(y)
				if n >= 200 {
					got, want = got[:n], want[:n]
				}
				if len(got) > len(want) {
					t.Fatalf("%s of %d x %d: %d results", what, rows, n, len(got))
				}
				if e := l2(got, want); !(e < most) {
					t.Errorf("%s of %d x %d: relative error %.2g", what, rows, n, e)
				}
			}
			y := tensor.Apply1(fft.Complex{}, none, a)
			check("fft", y, want)
			columns := tensor.SwapAxes(tensor.CopyOf(tensor.SwapAxes(a, 0, 1, none), none), 0, 1, none)
			check("fft of columns", tensor.Apply1(fft.Complex{}, none, columns), want)
			if !slices.Equal(complexes(tensor.Apply1(fft.Complex{}, none, unaligned(columns))), complexes(y)) {
				t.Errorf("%d x %d: rows and columns differ", rows, n)
			}
			check("ifft", tensor.Apply1(fft.Complex{Inverse: true, Norm: fft.ByLength}, none, y), x)
		}
	}
}

// TestRealFFT: of real numbers, half of the spectrum is that of all; and back. Transposes are
// sums over the definition.
func TestRealFFT(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 7, 16, 17, 60, 74, 97, 101, 210, 256} {
		z, _ := complexArray(19, n)
		x := tensor.CopyOf(tensor.UnaryOf(tensor.OpReal, z, none), none)
		full := tensor.Apply1(fft.Complex{}, none, tensor.AsType(x, dtype.Complex64, none))
		half := tensor.Apply1(fft.Real{}, none, x)
		wide, got := complexes(full), complexes(half)
		var want []complex128
		for r := range 19 {
			want = append(want, wide[r*n:][:n/2+1]...)
		}
		if e := l2(got, want); !(e < 1e-7) {
			t.Errorf("rfft of %d: relative error %.2g", n, e)
		}
		size := tensor.MakeInts(n)
		back := tensor.Apply1(fft.Half{N: size, Norm: fft.ByLength}, none, half)
		if e := l2(complexes(back), complexes(x)); !(e < 1e-7) {
			t.Errorf("irfft of %d: relative error %.2g", n, e)
		}

		// <c, Real x> = <x, Half' c>, and the other way round; products without conjugation.
		c, wc := complexArray(19, n/2+1)
		transposed := complexes(tensor.Apply1(fft.Half{N: size, Transposed: true}, none, c))
		if a, b := realDot(wc, got), realDot(complexes(x), transposed); math.Abs(a-b) > 1e-5*float64(n+10) {
			t.Errorf("length %d: %v by rfft, %v by its transpose", n, a, b)
		}
		y := complexes(tensor.Apply1(fft.Half{N: size, Norm: fft.ByRoot}, none, c))
		transposed = complexes(tensor.Apply1(fft.Real{Norm: fft.ByRoot, Transposed: true}, none, x))
		if a, b := realDot(complexes(x), y), realDot(wc, transposed); math.Abs(a-b) > 1e-5*float64(n+10) {
			t.Errorf("length %d: %v by irfft, %v by its transpose", n, a, b)
		}
	}
}

func realDot(a, b []complex128) (sum float64) {
	for i := range a {
		sum += real(a[i] * b[i])
	}
	return sum
}

// TestFFTCuts: the same bits however the work is cut, and however many threads there are.
func TestFFTCuts(t *testing.T) {
	a, _ := complexArray(50, 600)
	columns := tensor.SwapAxes(tensor.CopyOf(tensor.SwapAxes(a, 0, 1, none), none), 0, 1, none)
	re := tensor.CopyOf(tensor.UnaryOf(tensor.OpReal, a, none), none)
	for _, c := range []struct {
		p tensor.Primitive
		x *tensor.Array
	}{
		{fft.Complex{}, a}, {fft.Complex{Inverse: true}, columns}, {fft.Real{}, re}, {fft.Half{N: tensor.MakeInts(1199)}, a},
	} {
		var first []byte
		withWorkers(t, func(n int) {
			got := slices.Clone(tensor.Apply1(c.p, none, c.x).Bytes())
			if first == nil {
				first = got
			}
			if !slices.Equal(got, first) {
				t.Errorf("%v with %d workers has other bits", c.p, n)
			}
		})
	}
}

func BenchmarkFFT(b *testing.B) {
	for _, shape := range [][]int{{64, 1024}, {1, 4096}, {64, 4096}, {64, 1000}, {64, 1009}, {1, 1 << 20}} {
		a, _ := complexArray(shape...)
		re := tensor.CopyOf(tensor.UnaryOf(tensor.OpReal, a, none), none)
		n := shape[1]
		half := tensor.CopyOf(tensor.Apply1(fft.Real{}, none, re), none)
		bench := func(what string, p tensor.Primitive, x *tensor.Array) {
			b.Run(fmt.Sprintf("%s/%dx%d", what, shape[0], n), func(b *testing.B) {
				for b.Loop() {
					tensor.Eval(tensor.Apply1(p, none, x))
				}
				flops := 5 * float64(shape[0]*n) * math.Log2(float64(n))
				b.ReportMetric(flops*float64(b.N)/float64(b.Elapsed().Nanoseconds()), "GFLOP/s")
			})
		}
		bench("complex", fft.Complex{}, a)
		bench("real", fft.Real{}, re)
		bench("half", fft.Half{N: tensor.MakeInts(n)}, half)
	}
	image, _ := complexArray(512, 512)
	b.Run("complex2/512x512", func(b *testing.B) {
		for b.Loop() {
			tensor.Eval(fft.ComplexOf("fft2", image, false, fft.Options{}, none))
		}
	})
}

// TestFFTMemory: a worker does not keep the memory of a long transform.
func TestFFTMemory(t *testing.T) {
	for _, n := range []int{1 << 19, 1<<18 + 1} {
		spec := tensor.Spec{Shape: tensor.Shape{n}, DType: dtype.Complex64}
		var io []View
		for range 2 {
			buf := tensor.Borrow(make([]byte, spec.Bytes()), "the test")
			io = append(io, tensor.RowMajorView(spec, buf))
		}
		var s scratch
		for range 2 {
			complexTask(fft.Complex{}, io[:1], io[1:]).run(&s, 0, 1)
			s.reset()
		}
		if kept := 8 * len(s.slab); kept > 8<<20 {
			t.Errorf("%d bytes are kept after a transform of %d", kept, n)
		}
	}
}
