//go:build linux && metalemu

package metal

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// oneOfEachSize are dtypes with elements of 1, 2, 4 and 8 bytes.
var oneOfEachSize = []dtype.DType{dtype.Bool, dtype.BFloat16, dtype.Int32, dtype.Complex64}

func TestCopies(t *testing.T) {
	rng := rand.New(rand.NewPCG(11, 11))
	for _, d := range oneOfEachSize {
		for _, shape := range [][]int{{1}, {31}, {33, 1000}, {3, 4, 5, 2}, {2, 3, 2, 3, 5}, {1100, 3}, {0, 4}} {
			for name, a := range views(rng, d, shape...) {
				agree(t, fmt.Sprint(shape, name), tensor.Contiguous{}, 0, a)
				agree(t, fmt.Sprint(shape, name), tensor.Reshape{Shape: tensor.MakeInts(tensor.Shape(shape).Size())}, 0, a)
			}
		}
	}
}

// A view whose elements are not aligned is copied byte by byte.
func TestUnalignedCopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(12, 12))
	b := tensor.BackendFor(onGPU()).(*backend)
	for _, d := range []dtype.DType{dtype.Float16, dtype.Float32, dtype.Int64} {
		for off := range d.Size() {
			v, buf := unaligned(t, rng, d, off)
			if b.Accepts(tensor.Unary{}, 0, v) != (off == 0) || !b.Accepts(tensor.Contiguous{}, 0, v) {
				t.Errorf("%v at offset %d: what is accepted", d, off)
			}
			out, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, v.Spec.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			y := tensor.RowMajorView(v.Spec, out)
			q, err := newQueue(b, tensor.Stream{})
			if err != nil {
				t.Fatal(err)
			}
			if err := q.Encode(tensor.Contiguous{}, []View{v}, []View{y}); err != nil {
				t.Fatal(err)
			}
			if err := q.Signal().Wait(); err != nil {
				t.Fatal(err)
			}
			z := d.Size()
			for i := range 3 {
				for j := range 5 {
					at := off + (j*3+i)*z
					if got := out.Host()[(i*5+j)*z:][:z]; !bytes.Equal(got, buf.Host()[at:at+z]) {
						t.Errorf("%v at offset %d, element %d,%d: %x", d, off, i, j, got)
					}
				}
			}
		}
	}
}

// unaligned is a transposed [3, 5] view from byte off on.
func unaligned(t *testing.T, rng *rand.Rand, d dtype.DType, off int) (View, *tensor.Buffer) {
	buf, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, 16*d.Size())
	if err != nil {
		t.Fatal(err)
	}
	for i := range buf.Host() {
		buf.Host()[i] = byte(rng.Uint32())
	}
	v := tensor.RowMajorView(tensor.Spec{Shape: []int{3, 5}, DType: d}, buf)
	v.Strides, v.Offset = []int{1, 3}, off
	return v, buf
}

func TestPadAndConcatenate(t *testing.T) {
	rng := rand.New(rand.NewPCG(13, 13))
	ints := tensor.MakeInts
	for _, d := range oneOfEachSize {
		for name, a := range views(rng, d, 3, 5, 4) {
			agree(t, name, tensor.Pad{Low: ints(1, 0, 3), High: ints(2, 2, 0)}, 0, a, sample(rng, d))
			other := views(rng, d, 3, 5, 4)
			for axis := range 3 {
				agree(t, name, tensor.Concatenate{Axis: axis}, 0, a, other["backward"], other["repeated"])
			}
		}
		agree(t, "empty part", tensor.Concatenate{Axis: 1}, 0, sample(rng, d, 2, 0), sample(rng, d, 2, 3))
		agree(t, "empty inside", tensor.Pad{Low: ints(1, 1), High: ints(2, 2)}, 0, sample(rng, d, 0, 3), sample(rng, d))
	}
}

// These are views on most ways; a kernel copies where memory does not allow it.
func TestViewsThatCopy(t *testing.T) {
	rng := rand.New(rand.NewPCG(14, 14))
	ints := tensor.MakeInts
	a := sample(rng, dtype.Int32, 4, 6)
	for _, p := range []tensor.Primitive{
		tensor.Transpose{Perm: ints(1, 0)},
		tensor.Slice{Start: ints(3, 0), Stop: ints(-1, 6), Step: ints(-2, 1)},
		tensor.Broadcast{Shape: ints(2, 4, 6)},
		tensor.AsStrided{Shape: ints(3, 3), Strides: ints(5, -1), Offset: 4},
		tensor.Bitcast{To: dtype.Uint8},
		tensor.Bitcast{To: dtype.Complex64},
		tensor.Packed{ColumnMajor: true},
	} {
		agree(t, "", p, 0, a)
		if !supported(t, p, tensor.SpecOf(a)) {
			t.Errorf("%s has no kernel", p.Name())
		}
	}
}

func TestConst(t *testing.T) {
	for _, d := range oneOfEachSize {
		agree(t, "", tensor.Const{DType: d, Bits: 0x8182838485868701 & (1<<(8*d.Size()-1)<<1 - 1)}, 0)
	}
}

func TestArange(t *testing.T) {
	f := tensor.MakeF64
	types := []dtype.DType{dtype.Float32, dtype.Float16, dtype.Int64, dtype.Uint8, dtype.Bool, dtype.Complex64}
	if full {
		types = testTypes()
	}
	for _, d := range types {
		for _, x := range [][2]float64{{0, 1}, {-5, 3}, {0, 0}, {-1, 0.1}, {1e-3, 1.0 / 3}, {7, -0.7}, {1e30, -1e27}, {-2e38, 7e36}, {3e9, 1e7},
			{1 << 53, 1}, {-0.5, 1.0 / 1024}, {1e-46, 3e-46}, {5e-324, 1}, {math.Pi, -math.Pi / 3}} {
			for _, n := range []int{0, 1, 1000} {
				agree(t, fmt.Sprintf("%d from %v by %v", n, x[0], x[1]), tensor.Arange{Start: f(x[0]), Step: f(x[1]), N: n, DType: d}, 0)
			}
		}
	}
}
