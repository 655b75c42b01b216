package opt

// fftOps are the keywords of Fourier transforms.
type fftOps struct {
	HasLength, HasSizes bool
	Length              int
	Sizes               []int
	FFTNorm             string
}

// FFT is n= or s=, axis= or axes=, norm= and stream=.
type FFT interface{ ForFFT(*Set) }
