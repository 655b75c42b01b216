package metal

import (
	"encoding/binary"
	"math"
	"strconv"

	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fft"
)

// Kinds of transforms, as in fft.metal, and the types of what they read and write.
const (
	fftComplex = iota
	fftReal
	fftHalf
)

var fftTypes = [...][2]string{{"float2", "float2"}, {"float", "float2"}, {"float2", "float"}}

const (
	maxFFT    = 4096 // complex numbers: the threadgroup memory of every Apple GPU
	fftEach   = 8    // numbers of a thread
	fftGroup  = 1024 // numbers of a threadgroup with several rows, about
	fftTurned = 64   // numbers of the fine table of factors
)

// A transform is one primitive of package fft: n numbers, of length complex ones.
type transform struct {
	kind, n, length     int
	inverse, transposed bool
	factor              float64
}

// transformOf reads the primitive; in is its input.
func transformOf(p tensor.Primitive, in *View) (t transform) {
	t.n = in.Shape[len(in.Shape)-1]
	halved := false
	switch p := p.(type) {
	case fft.Complex:
		t.kind, t.inverse, t.factor = fftComplex, p.Inverse, p.Norm.Factor(t.n)
	case fft.Real:
		t.kind, t.transposed, t.factor = fftReal, p.Transposed, p.Norm.Factor(t.n)
		halved = t.n%2 == 0
	case fft.Half:
		t.n = p.N.At(0)
		t.kind, t.inverse, t.transposed, t.factor = fftHalf, true, p.Transposed, p.Norm.Factor(t.n)
		halved = t.n%2 == 0
	}
	if t.length = t.n; halved {
		t.length = t.n / 2
	}
	return t
}

// fftRadices are the radices of n that the kernel has passes for; ok is false if they do not
// do. odd says that there are other ones than powers of 2.
func fftRadices(n int) (radices []int, odd, ok bool) {
	for _, r := range []int{8, 4, 2, 3, 5, 7, 11, 13} {
		for n%r == 0 {
			radices, n = append(radices, r), n/r
			odd = odd || r%2 == 1
		}
	}
	return radices, odd, n == 1
}

// fftTurns are exp(-2 pi i t/n) for t below 64, then for every 64th.
func fftTurns(n int) arg {
	var b []byte
	add := func(t int) {
		s, c := math.Sincos(2 * math.Pi * float64(t) / float64(n))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(c)))
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(-s)))
	}
	for t := range fftTurned {
		add(t)
	}
	for t := 0; t < n; t += fftTurned {
		add(t)
	}
	return arg{bytes: b}
}

// transformRows transforms the last axis: lengths up to 4096, twice that of real numbers if
// it is even, with prime factors up to 13. Strides may be any.
func transformRows(e *encoder, p tensor.Primitive, in, out []View) error {
	t := transformOf(p, &in[0])
	radices, odd, ok := fftRadices(t.length)
	switch {
	case !ok:
		return noKernel("a length of %d, which has a prime factor above 13", t.n)
	case t.length > maxFFT:
		return noKernel("a length of %d, more than threadgroup memory has place for", t.n)
	}
	types := fftTypes[t.kind]
	k, err := e.kernel("fft", "fft", []string{strconv.Itoa(t.kind), types[0], types[1], strconv.Itoa(bit(odd))})
	if err != nil {
		return err
	}
	x := newRows(&in[0])
	rows := max(1, min(fftGroup/t.length, x.n))
	threads := threadsFor(rows*t.length, fftEach, maxFFT/fftEach)
	groups := (x.n + rows - 1) / rows
	if groups*threads > maxSize {
		return noKernel("%d rows", x.n)
	}
	args := append([]arg{e.in(&in[0]), e.out(&out[0]), i32(x.n), i32(rows), i32(t.n), i32(t.length), ints(radices...), i32(len(radices)),
		fftTurns(t.n), flag(t.inverse), flag(t.transposed), f32(t.factor), i64(x.step)}, x.outer.args()...)
	e.runWith(k, [3]int{groups * threads, 1, 1}, [3]int{threads, 1, 1}, []int{(8*rows*t.length + 15) &^ 15}, args...)
	return nil
}

// fftVariants are all kinds of transforms, of powers of 2 and of other lengths.
func fftVariants() (l []specialized) {
	for kind, types := range fftTypes {
		for _, odd := range []string{"0", "1"} {
			l = append(l, every("fft", []string{"fft"}, []string{strconv.Itoa(kind), types[0], types[1], odd})...)
		}
	}
	return l
}
