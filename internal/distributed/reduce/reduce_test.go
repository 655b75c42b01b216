package reduce_test

import (
	"bytes"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/reduce"
	"github.com/mlxgo/mlx/internal/dtype"
)

var ops = []distributed.ReduceOp{distributed.Sum, distributed.Max, distributed.Min}

// element joins one element of a and b in a second way: through integers of the width,
// or through float64, whose sum of two narrower floats rounds as theirs would.
func element(op distributed.ReduceOp, d dtype.DType, a, b []byte) []byte {
	switch {
	case d == dtype.Complex64:
		return complexElement(op, a, b)
	case d.Is(dtype.Floating):
		return encode(d, floatElement(op, decode(d, a), decode(d, b)))
	}
	x, y := integer(d, a), integer(d, b)
	var z int64
	switch op {
	case distributed.Sum:
		z = x + y
		if d == dtype.Bool {
			z = min(z, 1)
		}
	case distributed.Max:
		z = x
		if lessInteger(d, x, y) {
			z = y
		}
	case distributed.Min:
		z = y
		if lessInteger(d, x, y) {
			z = x
		}
	}
	out := binary.LittleEndian.AppendUint64(nil, uint64(z))
	return out[:d.Size()]
}

func lessInteger(d dtype.DType, x, y int64) bool {
	if d == dtype.Uint64 {
		return uint64(x) < uint64(y)
	}
	return x < y
}

// integer widens with the sign.
func integer(d dtype.DType, b []byte) int64 {
	var w [8]byte
	copy(w[:], b)
	v := int64(binary.LittleEndian.Uint64(w[:]))
	if shift := 64 - 8*d.Size(); d.Is(dtype.SignedInteger) {
		v = v << shift >> shift
	}
	return v
}

func floatElement(op distributed.ReduceOp, x, y float64) float64 {
	switch {
	case op == distributed.Sum:
		return x + y
	case x != x || y != y:
		return math.NaN()
	case (op == distributed.Max) == (x > y):
		return x
	}
	return y
}

func decode(d dtype.DType, b []byte) float64 {
	switch d {
	case dtype.Float16:
		return float64(dtype.F16ToF32(binary.LittleEndian.Uint16(b)))
	case dtype.BFloat16:
		return float64(dtype.BF16ToF32(binary.LittleEndian.Uint16(b)))
	case dtype.Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	}
	return math.Float64frombits(binary.LittleEndian.Uint64(b))
}

func encode(d dtype.DType, v float64) []byte {
	switch d {
	case dtype.Float16:
		return binary.LittleEndian.AppendUint16(nil, dtype.F32ToF16(float32(v)))
	case dtype.BFloat16:
		return binary.LittleEndian.AppendUint16(nil, dtype.F32ToBF16(float32(v)))
	case dtype.Float32:
		return binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v)))
	}
	return binary.LittleEndian.AppendUint64(nil, math.Float64bits(v))
}

// complexElement orders by real, then by imaginary part; a NaN part wins as a whole.
func complexElement(op distributed.ReduceOp, a, b []byte) []byte {
	f := dtype.Float32
	ar, ai, br, bi := decode(f, a), decode(f, a[4:]), decode(f, b), decode(f, b[4:])
	switch {
	case op == distributed.Sum:
		return append(encode(f, ar+br), encode(f, ai+bi)...)
	case ar != ar || ai != ai:
		return a
	case br != br || bi != bi:
		return b
	}
	above := ar > br || ar == br && ai > bi
	if above == (op == distributed.Max) {
		return a
	}
	return b
}

// same is equality of values: any NaN is a NaN, and zeros have no sign.
func same(d dtype.DType, a, b []byte) bool {
	switch {
	case d == dtype.Complex64:
		return same(dtype.Float32, a[:4], b[:4]) && same(dtype.Float32, a[4:], b[4:])
	case d.Is(dtype.Floating):
		x, y := decode(d, a), decode(d, b)
		return x == y || x != x && y != y
	}
	return bytes.Equal(a, b)
}

// operands are random bits with small numbers, infinities, NaN and equal values among
// them.
func operands(rng *rand.Rand, d dtype.DType, n int) []byte {
	out := make([]byte, 0, n*d.Size())
	for range n {
		var e []byte
		switch kind := rng.IntN(4); {
		case d == dtype.Bool:
			e = []byte{byte(rng.IntN(2))}
		case d.Is(dtype.Inexact) && kind > 0:
			special := []float64{0, 1, -1, 2.5, math.Inf(1), math.Inf(-1), math.NaN(), rng.NormFloat64(), 1e-6, 6e4}
			part := d
			if d == dtype.Complex64 {
				part = dtype.Float32
				e = encode(part, special[rng.IntN(len(special))])
			}
			e = append(e, encode(part, special[rng.IntN(len(special))])...)
		default:
			e = binary.LittleEndian.AppendUint64(nil, rng.Uint64())[:d.Size()]
		}
		out = append(out, e...)
	}
	return out
}

func TestEveryDTypeAndOp(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	for d := range dtype.DType(dtype.Count) {
		for _, op := range ops {
			for _, n := range []int{0, 1, 3, 8, 31, 1000, 2500} {
				size := d.Size()
				a, b := operands(rng, d, n), operands(rng, d, n)
				into, wasA := make([]byte, n*size), bytes.Clone(a)
				reduce.Into(op, d, into, a, b)
				if !bytes.Equal(a, wasA) {
					t.Fatalf("%v of %v: an operand changed", op, d)
				}
				reduce.Apply(op, d, a, b)
				if !bytes.Equal(a, into) {
					t.Errorf("%v of %d %v: in place gives other bits", op, n, d)
				}
				for i := range n {
					at := func(x []byte) []byte { return x[i*size : (i+1)*size] }
					if want := element(op, d, at(wasA), at(b)); !same(d, at(into), want) {
						t.Fatalf("%v of %d %v at %d: %x and %x give %x, want %x", op, n, d, i, at(wasA), at(b), at(into), want)
					}
				}
			}
		}
	}
}

func TestUnalignedMemory(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	for d := range dtype.DType(dtype.Count) {
		a, b := operands(rng, d, 100), operands(rng, d, 100)
		odd := append(make([]byte, 1, 1+len(a)), a...)[1:]
		for _, op := range ops {
			want := bytes.Clone(a)
			reduce.Apply(op, d, want, b)
			got := append(make([]byte, 1, 1+len(odd)), odd...)[1:]
			reduce.Apply(op, d, got, b)
			if !bytes.Equal(got, want) {
				t.Errorf("%v of unaligned %v differs", op, d)
			}
		}
	}
}

func BenchmarkSum(b *testing.B) {
	for d := range dtype.DType(dtype.Count) {
		b.Run(d.String(), func(b *testing.B) {
			x, y := make([]byte, 1<<18), make([]byte, 1<<18)
			b.SetBytes(int64(len(x)))
			for b.Loop() {
				reduce.Apply(distributed.Sum, d, x, y)
			}
		})
	}
}
