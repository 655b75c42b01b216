package optest

import (
	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fft"
)

var fftEdges = map[string]func() []*mlx.Array{
	"fft/fft":            func() []*mlx.Array { return as(fft.FFT(f(1, 2, 3, 4, 5))) },
	"fft/fft_n_pad":      func() []*mlx.Array { return as(fft.FFT(f(1, 2, 3), fft.N(4))) },
	"fft/fft_n_cut":      func() []*mlx.Array { return as(fft.FFT(f(1, 2, 3, 4, 5), fft.N(3))) },
	"fft/ifft":           func() []*mlx.Array { return as(fft.IFFT(arr([]complex64{1 + 1i, 2, 3 - 1i}))) },
	"fft/rfft_odd":       func() []*mlx.Array { return as(fft.RFFT(f(1, 2, 3, 4, 5))) },
	"fft/irfft_default":  func() []*mlx.Array { return as(fft.IRFFT(arr([]complex64{10, -2 + 2i, -2}))) },
	"fft/irfft_n_odd":    func() []*mlx.Array { return as(fft.IRFFT(arr([]complex64{10, -2 + 2i, -2}), fft.N(5))) },
	"fft/fft2":           func() []*mlx.Array { return as(fft.FFT2(fgrid(2, 3))) },
	"fft/rfft2":          func() []*mlx.Array { return as(fft.RFFT2(fgrid(3, 4))) },
	"fft/irfft2":         func() []*mlx.Array { return as(fft.IRFFT2(fft.RFFT2(fgrid(3, 4)))) },
	"fft/fftn_axes":      func() []*mlx.Array { return as(fft.FFTN(fgrid(2, 2, 2), mlx.Axes{0, 2})) },
	"fft/fft_int_input":  func() []*mlx.Array { return as(fft.FFT(arr([]int{1, 2, 3}))) },
	"fft/fft_axis_error": func() []*mlx.Array { return as(fft.FFT(zeros(3), mlx.Axis(1))) },
	"fft/fft_n_zero_error": func() []*mlx.Array {
		return as(fft.FFT(zeros(3), fft.N(0)))
	},
	"fft/rfft_complex_input": func() []*mlx.Array { return as(fft.RFFT(arr([]complex64{1i, 2}))) },
	"fft/fftshift":           func() []*mlx.Array { return as(fft.Shift(grid(5))) },
	"fft/ifftshift":          func() []*mlx.Array { return as(fft.IShift(grid(5))) },
	"fft/fftfreq":            func() []*mlx.Array { return as(fft.Freq(5, 0.5)) },
	"fft/rfftfreq":           func() []*mlx.Array { return as(fft.RFreq(6, 1)) },
	"fft/fft_norm_ortho":     func() []*mlx.Array { return as(fft.FFT(f(1, 2, 3, 4), fft.Norm("ortho"))) },
}
