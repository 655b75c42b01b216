package fft_test

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fft"
	"github.com/mlxgo/mlx/internal/optest"
)

func ramp(shape ...int) *mlx.Array {
	v := make([]float64, mlx.Shape(shape).Size())
	for i := range v {
		v[i] = math.Sin(float64(i*i%97) + 0.7*float64(i))
	}
	return mlx.FromSlice(v, shape...).AsType(mlx.Float32)
}

func wantClose(t *testing.T, what string, got, want *mlx.Array) {
	t.Helper()
	if err := optest.Diff(got, want, optest.Tol{Rel: 1e-6, Abs: 1e-6}); err != nil {
		t.Errorf("%s: %v", what, err)
	}
}

// TestMisuse: what a transform does not take is refused when the graph is built.
func TestMisuse(t *testing.T) {
	x := ramp(3, 4)
	for what, f := range map[string]func(){
		"length 0; it must be at least 1":                   func() { fft.FFT(x, fft.N(0)) },
		"length -2":                                         func() { fft.IFFT(x, fft.N(-2)) },
		"axis 1 would be transformed with length 0":         func() { fft.FFT(mlx.Zeros(mlx.Shape{3, 0})) },
		"axis 0 would be transformed with length 0":         func() { fft.IRFFT(ramp(1)) },
		"a scalar has no axis":                              func() { fft.FFTN(mlx.NewArray(1.0)) },
		"fft[float32()]: a scalar has no axis":              func() { fft.FFT(mlx.NewArray(1.0)) },
		"axis 2 is out of range for shape (3, 4)":           func() { fft.RFFT(x, mlx.Axis(2)) },
		"axis -3 is out of range":                           func() { fft.FFTN(x, mlx.Axes{0, -3}) },
		"axis -2 is out of range":                           func() { fft.FFT2(ramp(4)) },
		"axis 1 is given twice":                             func() { fft.RFFTN(x, mlx.Axes{1, -1}) },
		"irfftn[float32(3, 4)]: no axis is given":           func() { fft.IRFFTN(x, mlx.Axes{}) },
		"3 sizes for 2 axes":                                func() { fft.FFT2(x, fft.S{1, 2, 3}) },
		"axis -3 is out of range for shape (3, 4)":          func() { fft.FFTN(x, fft.S{1, 2, 3}) },
		`norm "unitary" is not backward, ortho or forward`:  func() { fft.IRFFT2(x, fft.Norm("unitary")) },
		"is of one axis: give its length as N, not S":       func() { fft.FFT(x, fft.S{4}) },
		"is of several axes: give their lengths as S":       func() { fft.FFTN(x, fft.N(4)) },
		"takes one axis, not [0 1]":                         func() { fft.FFT(x, mlx.Axes{0, 1}) },
		"an axis is given twice":                            func() { fft.FFT(x, mlx.Axis(0), mlx.Axis(1)) },
		"too large":                                         func() { fft.FFT(x, fft.N(1<<60)) },
		"fftfreq: length 0 must be at least 1":              func() { fft.Freq(0, 1) },
		"rfftfreq: length -1 must be at least 1":            func() { fft.RFreq(-1, 1) },
		"rfftfreq: the spacing of samples must not be 0":    func() { fft.RFreq(4, 0) },
		"fftshift: axis 2 is out of range for shape (3, 4)": func() { fft.Shift(x, mlx.Axis(2)) },
	} {
		err := mlx.Try(f)
		var typed *mlx.Error
		if !errors.As(err, &typed) || !strings.Contains(err.Error(), what) {
			t.Errorf("%v, want %q", err, what)
		}
	}
}

// TestInverses: each transform has its inverse, for each norm, lengths even and odd.
func TestInverses(t *testing.T) {
	x, odd := ramp(4, 5, 6), ramp(2, 3, 7)
	z := x.Add(mlx.Square(ramp(4, 5, 6)).Mul(1i))
	for _, norm := range []fft.Norm{"backward", "ortho", "forward"} {
		wantClose(t, "fft", fft.IFFT(fft.FFT(z, norm), norm), z)
		wantClose(t, "fft of axis 0", fft.IFFT(fft.FFT(z, norm, mlx.Axis(0)), norm, mlx.Axis(0)), z)
		wantClose(t, "fft2", fft.IFFT2(fft.FFT2(z, norm), norm), z)
		wantClose(t, "fftn", fft.IFFTN(fft.FFTN(z, norm), norm), z)
		wantClose(t, "rfft", fft.IRFFT(fft.RFFT(x, norm), norm), x)
		wantClose(t, "rfft, odd", fft.IRFFT(fft.RFFT(odd, norm), norm, fft.N(7)), odd)
		wantClose(t, "rfft2", fft.IRFFT2(fft.RFFT2(x, norm), norm), x)
		wantClose(t, "rfft2, odd", fft.IRFFT2(fft.RFFT2(odd, norm), norm, fft.S{3, 7}), odd)
		wantClose(t, "rfftn", fft.IRFFTN(fft.RFFTN(x, norm), norm), x)
		axes := mlx.Axes{2, 0}
		wantClose(t, "rfftn of axes", fft.IRFFTN(fft.RFFTN(x, norm, axes), norm, axes), x)
	}
}

// TestDTypes: whatever goes in, complex64 or float32 comes out.
func TestDTypes(t *testing.T) {
	for _, d := range []mlx.DType{mlx.Bool, mlx.Int8, mlx.Uint64, mlx.Float16, mlx.BFloat16, mlx.Float32, mlx.Float64, mlx.Complex64} {
		x := mlx.NewArray([]float64{1, 0, 1, 1}).AsType(d)
		wantClose(t, fmt.Sprint("fft of ", d), fft.FFT(x), mlx.NewArray([]complex64{3, 1i, 1, -1i}))
		wantClose(t, fmt.Sprint("rfft of ", d), fft.RFFT(x), mlx.NewArray([]complex64{3, 1i, 1}))
		wantClose(t, fmt.Sprint("irfft of ", d), fft.IRFFT(x), mlx.NewArray([]float64{4, -1, 1, 2, 1, -1}).Div(6).AsType(mlx.Float32))
	}
}

// TestShifts: of even and odd axes, one, several and all; IShift undoes Shift.
func TestShifts(t *testing.T) {
	x := mlx.Arange(12).Reshape(3, 4)
	for what, c := range map[string][2]*mlx.Array{
		"all":     {fft.Shift(x), mlx.NewArray([][]int{{10, 11, 8, 9}, {2, 3, 0, 1}, {6, 7, 4, 5}})},
		"axis 0":  {fft.Shift(x, mlx.Axis(0)), mlx.NewArray([][]int{{8, 9, 10, 11}, {0, 1, 2, 3}, {4, 5, 6, 7}})},
		"axis -1": {fft.Shift(x, mlx.Axis(-1)), mlx.NewArray([][]int{{2, 3, 0, 1}, {6, 7, 4, 5}, {10, 11, 8, 9}})},
		"back":    {fft.IShift(fft.Shift(x)), x},
		"scalar":  {fft.Shift(mlx.NewArray(3)), mlx.NewArray(3)},
		"empty":   {fft.Shift(mlx.Zeros(mlx.Shape{0, 3})), mlx.Zeros(mlx.Shape{0, 3})},
	} {
		if err := optest.Diff(c[0], c[1], optest.Exact); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	wantClose(t, "fftfreq", fft.Freq(4, 2), mlx.NewArray([]float64{0, 0.125, -0.25, -0.125}).AsType(mlx.Float32))
	wantClose(t, "fftfreq of 1", fft.Freq(1, 2), mlx.NewArray([]float64{0}).AsType(mlx.Float32))
	wantClose(t, "rfftfreq", fft.RFreq(5, -1), mlx.NewArray([]float64{0, -0.2, -0.4}).AsType(mlx.Float32))
}

// TestGradientOfLoss: the gradient of a loss on the spectrum is the one by Parseval's
// equation, also when it is compiled; a signal follows it to its target.
func TestGradientOfLoss(t *testing.T) {
	x := ramp(5, 12)
	power := func(x *mlx.Array) *mlx.Array {
		return mlx.Sum(mlx.Square(mlx.Abs(fft.FFTN(x, fft.Norm("ortho")))))
	}
	wantClose(t, "gradient", mlx.Grad(power)(x), x.Mul(2))
	wantClose(t, "compiled", mlx.Compile(mlx.Grad(power))(x), x.Mul(2))
	wantClose(t, "second derivative", mlx.Grad(func(x *mlx.Array) *mlx.Array {
		return mlx.Sum(mlx.Square(mlx.Grad(power)(x)))
	})(x), x.Mul(8))

	target := mlx.Abs(fft.RFFT(ramp(40)))
	miss := func(x *mlx.Array) *mlx.Array { return mlx.Mean(mlx.Square(mlx.Abs(fft.RFFT(x)).Sub(target))) }
	signal := mlx.Cos(mlx.Arange(40).Mul(0.9))
	first := mlx.Item[float32](miss(signal))
	for range 60 {
		signal = signal.Sub(mlx.Grad(miss)(signal).Mul(0.2))
	}
	if last := mlx.Item[float32](miss(signal)); !(last < 0.05*first) {
		t.Errorf("the loss goes from %v to %v", first, last)
	}
}

// TestShapeless: a compiled transform of all of an axis takes other lengths; one of a length
// that was traced says so.
func TestShapeless(t *testing.T) {
	traces := 0
	f := mlx.Compile(func(x *mlx.Array) *mlx.Array {
		traces++
		return mlx.Abs(fft.RFFT(x, fft.Norm("ortho")))
	}, mlx.Shapeless(true))
	for _, n := range []int{8, 9, 12} {
		wantClose(t, fmt.Sprint("length ", n), f(ramp(n)), mlx.Abs(fft.RFFT(ramp(n), fft.Norm("ortho"))))
	}
	if traces != 1 {
		t.Errorf("traced %d times", traces)
	}
	g := mlx.Compile(func(x *mlx.Array) *mlx.Array { return fft.IRFFT(x) }, mlx.Shapeless(true))
	wantClose(t, "irfft", g(ramp(5)), fft.IRFFT(ramp(5)))
	if err := mlx.Try(func() { mlx.Eval(g(ramp(6))) }); err == nil || !strings.Contains(err.Error(), "keeps a size") {
		t.Errorf("another length: %v", err)
	}
}
