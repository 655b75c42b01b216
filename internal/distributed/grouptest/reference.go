package grouptest

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// random is n elements of dtype d, always the same for the same seeds: integers are any,
// so that sums wrap, floats are about 1.
func random(d dtype.DType, n int, seed, rank uint64) []byte {
	source := rand.NewPCG(seed, rank)
	v := make([]byte, n*d.Size())
	switch d {
	case dtype.Bool:
		for i := range v {
			v[i] = byte(source.Uint64() >> 63)
		}
	case dtype.Complex64:
		for i := range 2 * n {
			put(dtype.Float32, v[4*i:], some(source))
		}
	default:
		if d.Is(dtype.Floating) {
			for i := range n {
				put(d, v[i*d.Size():], some(source))
			}
			break
		}
		whole := make([]byte, len(v)+8)
		for i := 0; i < len(v); i += 8 {
			binary.NativeEndian.PutUint64(whole[i:], source.Uint64())
		}
		copy(v, whole)
	}
	return v
}

// some is a number from -2 to 2 in steps that also float16 and bfloat16 have.
func some(source *rand.PCG) float64 { return float64(int64(source.Uint64()>>56)-128) / 64 }

// put writes one element of a floating dtype.
func put(d dtype.DType, v []byte, x float64) {
	switch d {
	case dtype.Float16:
		binary.NativeEndian.PutUint16(v, dtype.F32ToF16(float32(x)))
	case dtype.BFloat16:
		binary.NativeEndian.PutUint16(v, dtype.F32ToBF16(float32(x)))
	case dtype.Float32:
		binary.NativeEndian.PutUint32(v, math.Float32bits(float32(x)))
	case dtype.Float64:
		binary.NativeEndian.PutUint64(v, math.Float64bits(x))
	}
}

// float is element i of a floating dtype.
func float(d dtype.DType, v []byte, i int) float64 {
	switch d {
	case dtype.Float16:
		return float64(dtype.F16ToF32(binary.NativeEndian.Uint16(v[2*i:])))
	case dtype.BFloat16:
		return float64(dtype.BF16ToF32(binary.NativeEndian.Uint16(v[2*i:])))
	case dtype.Float32:
		return float64(math.Float32frombits(binary.NativeEndian.Uint32(v[4*i:])))
	}
	return math.Float64frombits(binary.NativeEndian.Uint64(v[8*i:]))
}

// integer is element i of an integer or bool, with the sign of signed dtypes.
func integer(d dtype.DType, v []byte, i int) int64 {
	var u uint64
	switch d.Size() {
	case 1:
		u = uint64(v[i])
	case 2:
		u = uint64(binary.NativeEndian.Uint16(v[2*i:]))
	case 4:
		u = uint64(binary.NativeEndian.Uint32(v[4*i:]))
	default:
		u = binary.NativeEndian.Uint64(v[8*i:])
	}
	return wrap(d, int64(u))
}

// wrap is what an integer dtype keeps of x.
func wrap(d dtype.DType, x int64) int64 {
	unused := 64 - 8*d.Size()
	if d.Is(dtype.SignedInteger) {
		return x << unused >> unused
	}
	return int64(uint64(x) << unused >> unused)
}

// check compares got with op over all, elementwise.
func check(op distributed.ReduceOp, d dtype.DType, got []byte, all [][]byte) error {
	for _, v := range all {
		if len(v) != len(got) {
			return fmt.Errorf("%d bytes, want %d", len(got), len(v))
		}
	}
	n := len(got) / d.Size()
	switch {
	case d == dtype.Complex64 && op == distributed.Sum:
		return checkFloats(op, dtype.Float32, got, all, 2*n)
	case d == dtype.Complex64:
		return checkComplex(op, got, all, n)
	case d.Is(dtype.Floating):
		return checkFloats(op, d, got, all, n)
	}
	for i := range n {
		want := integer(d, all[0], i)
		for _, v := range all[1:] {
			want = joinIntegers(op, d, want, integer(d, v, i))
		}
		if x := integer(d, got, i); x != want {
			return fmt.Errorf("all_%v of %v: element %d of %d is %d, want %d", op, d, i, n, x, want)
		}
	}
	return nil
}

func joinIntegers(op distributed.ReduceOp, d dtype.DType, a, b int64) int64 {
	less := a < b
	if d.Is(dtype.UnsignedInteger) {
		less = uint64(a) < uint64(b)
	}
	switch {
	case op == distributed.Sum && d == dtype.Bool:
		return a | b
	case op == distributed.Sum:
		return wrap(d, a+b)
	case less == (op == distributed.Max):
		return b
	}
	return a
}

func checkFloats(op distributed.ReduceOp, d dtype.DType, got []byte, all [][]byte, n int) error {
	unit := d.FInfo().Eps / 2 * float64(len(all)-1) // of roundings
	for i := range n {
		want := float(d, all[0], i)
		size := math.Abs(want)
		for _, v := range all[1:] {
			x := float(d, v, i)
			size += math.Abs(x)
			switch op {
			case distributed.Sum:
				want += x
			case distributed.Max:
				want = max(want, x)
			default:
				want = min(want, x)
			}
		}
		limit := 0.0
		if op == distributed.Sum {
			limit = size * unit
		}
		x := float(d, got, i)
		if same := x == want || math.IsNaN(x) && math.IsNaN(want); !same && !(math.Abs(x-want) <= limit) {
			return fmt.Errorf("all_%v of %v: element %d of %d is %v, want %v within %g", op, d, i, n, x, want, limit)
		}
	}
	return nil
}

// checkComplex compares extrema: by real, then by imaginary part; NaN if any is.
func checkComplex(op distributed.ReduceOp, got []byte, all [][]byte, n int) error {
	at := func(v []byte, i int) complex128 {
		return complex(float(dtype.Float32, v, 2*i), float(dtype.Float32, v, 2*i+1))
	}
	isNaN := func(z complex128) bool { return math.IsNaN(real(z)) || math.IsNaN(imag(z)) }
	for i := range n {
		want := at(all[0], i)
		for _, v := range all[1:] {
			z := at(v, i)
			less := real(want) < real(z) || real(want) == real(z) && imag(want) < imag(z)
			more := real(want) > real(z) || real(want) == real(z) && imag(want) > imag(z)
			if !isNaN(want) && (isNaN(z) || less && op == distributed.Max || more && op == distributed.Min) {
				want = z
			}
		}
		if z := at(got, i); z != want && !(isNaN(z) && isNaN(want)) {
			return fmt.Errorf("all_%v of complex64: element %d of %d is %v, want %v", op, i, n, z, want)
		}
	}
	return nil
}
