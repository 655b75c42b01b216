package fft_test

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/fft"
)

func ExampleFFT() {
	x := mlx.NewArray([]float64{1, 2, 3, 4})
	fmt.Println(fft.FFT(x))
	fmt.Println(fft.RFFT(x, fft.N(6)))
	// Output:
	// array([10+0j, -2+2j, -2+0j, -2-2j], dtype=complex64)
	// array([10+0j, -3.5-4.33013j, 2.5+0.866025j, -2+0j], dtype=complex64)
}

// The frequency of a signal is where its spectrum is largest.
func ExampleFreq() {
	signal := make([]float64, 200) // samples of a second
	for i := range signal {
		signal[i] = math.Sin(2*math.Pi*30*float64(i)/200) + 0.5*math.Cos(float64(i))
	}
	spectrum := mlx.Abs(fft.RFFT(mlx.FromSlice(signal)))
	at := mlx.ArgMax(spectrum)
	fmt.Println(fft.RFreq(200, 1./200).Index(at))
	// Output: array(30, dtype=float32)
}
