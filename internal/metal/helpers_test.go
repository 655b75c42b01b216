//go:build linux && metalemu

package metal

import (
	"encoding/binary"
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"testing"

	_ "github.com/mlxgo/mlx/internal/cpu" // the reference
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func onGPU() tensor.Stream { return tensor.DefaultStream(tensor.Device{Kind: tensor.KindGPU}) }
func onCPU() tensor.Stream { return tensor.DefaultStream(tensor.Device{Kind: tensor.KindCPU}) }

// full is for tests that take minutes.
var full = os.Getenv("MLX_FULL") == "1"

// supported reports whether p has kernels for row-major inputs of these specs, and fails
// the test if its encoding has another fault.
func supported(t *testing.T, p tensor.Primitive, in ...tensor.Spec) bool {
	t.Helper()
	b, ok := tensor.BackendFor(onGPU()).(*backend)
	if !ok {
		t.Fatal("the GPU is not this backend")
	}
	results, err := p.Infer(in)
	if err != nil {
		t.Fatalf("%s: %v", p.Name(), err)
	}
	views := func(specs []tensor.Spec) (l []View) {
		for _, s := range specs {
			buf, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, s.Bytes())
			if err != nil {
				t.Fatal(err)
			}
			l = append(l, tensor.RowMajorView(s, buf))
		}
		return l
	}
	e := &encoder{b: b}
	err = e.add(p, views(in), views(results))
	if err != nil && !errors.Is(err, tensor.ErrUnsupported) {
		t.Errorf("%s of %v: %v", p.Name(), in, err)
	}
	return err == nil
}

func specsOf(in []*tensor.Array) (l []tensor.Spec) {
	for _, a := range in {
		l = append(l, tensor.SpecOf(a))
	}
	return l
}

// bytesOn are the bytes of p's results on a stream.
func bytesOn(t *testing.T, s tensor.Stream, p tensor.Primitive, in []*tensor.Array) (l [][]byte) {
	t.Helper()
	err := tensor.Try(func() {
		for _, a := range tensor.Apply(p, s, in...) {
			l = append(l, a.Bytes())
		}
	})
	if err != nil {
		t.Errorf("%s of %v: %v", p.Name(), specsOf(in), err)
	}
	return l
}

// agree runs p on the GPU, where it must have a kernel, and on the CPU; results may differ
// by units in the last place (ulps) if they are floats. 0 asks for equal bits but of NaN.
func agree(t *testing.T, what string, p tensor.Primitive, ulps float64, in ...*tensor.Array) {
	t.Helper()
	if !supported(t, p, specsOf(in)...) {
		t.Errorf("%s: %s has no kernel for %v", what, p.Name(), specsOf(in))
		return
	}
	got, want := bytesOn(t, onGPU(), p, in), bytesOn(t, onCPU(), p, in)
	out, _ := p.Infer(specsOf(in))
	for i := range want {
		if i < len(got) {
			compare(t, what+" "+p.Name(), out[i].DType, got[i], want[i], ulps)
		}
	}
}

func compare(t *testing.T, what string, d dtype.DType, got, want []byte, ulps float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d bytes, want %d", what, len(got), len(want))
		return
	}
	if d == dtype.Complex64 {
		d = dtype.Float32
	}
	z := d.Size()
	bad, worst, at := 0, 0.0, 0
	for i := 0; i < len(want); i += z {
		g, w := number(d, got[i:]), number(d, want[i:])
		diff := math.Abs(g-w) / unit(d, w)
		switch {
		case g != g && w != w, g == w && (math.Signbit(g) == math.Signbit(w) || ulps > 0):
			continue
		case g == w, diff != diff:
			diff = math.Inf(1)
		case diff <= ulps:
			continue
		}
		if bad++; diff > worst {
			worst, at = diff, i
		}
	}
	if bad > 0 {
		t.Errorf("%s of %v: %d of %d elements differ; element %d is %v (%x), want %v (%x): %.3g units", what, d, bad, len(want)/z,
			at/z, number(d, got[at:]), got[at:at+z], number(d, want[at:]), want[at:at+z], worst)
	}
}

// number is an element's value.
func number(d dtype.DType, b []byte) float64 {
	switch d {
	case dtype.Float16:
		return float64(dtype.F16ToF32(binary.LittleEndian.Uint16(b)))
	case dtype.BFloat16:
		return float64(dtype.BF16ToF32(binary.LittleEndian.Uint16(b)))
	case dtype.Float32:
		return float64(math.Float32frombits(binary.LittleEndian.Uint32(b)))
	case dtype.Uint64, dtype.Int64:
		return float64(int64(binary.LittleEndian.Uint64(b)))
	}
	var u uint64
	for i := d.Size() - 1; i >= 0; i-- {
		u = u<<8 | uint64(b[i])
	}
	return float64(u)
}

// unit is the distance of floats at v; below the normal numbers it is the smallest of
// those, since a GPU may have no others.
func unit(d dtype.DType, v float64) float64 {
	bits, low := 23, -126
	switch d {
	case dtype.Float16:
		bits, low = 10, -24
	case dtype.BFloat16:
		bits = 7
	case dtype.Float32:
	default:
		return 1
	}
	_, e := math.Frexp(v)
	if e-1 < low {
		return math.Ldexp(1, low)
	}
	return math.Ldexp(1, e-1-bits)
}

// sample is an array of d with small numbers and special ones.
func sample(rng *rand.Rand, d dtype.DType, shape ...int) *tensor.Array {
	n := tensor.Shape(shape).Size()
	var b []byte
	for range n {
		b = appendElement(b, rng, d)
	}
	return tensor.FromBytes(b, shape, d)
}

func appendElement(b []byte, rng *rand.Rand, d dtype.DType) []byte {
	switch d {
	case dtype.Bool:
		return append(b, byte(rng.IntN(2)))
	case dtype.Float16:
		return binary.LittleEndian.AppendUint16(b, dtype.F32ToF16(float32(anyFloat(rng))))
	case dtype.BFloat16:
		return binary.LittleEndian.AppendUint16(b, dtype.F32ToBF16(float32(anyFloat(rng))))
	case dtype.Float32:
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(anyFloat(rng))))
	case dtype.Float64:
		return binary.LittleEndian.AppendUint64(b, math.Float64bits(anyFloat(rng)))
	case dtype.Complex64:
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(rng.NormFloat64()*3)))
		return binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(rng.NormFloat64()*3)))
	}
	v := uint64(int64(rng.IntN(9) - 4))
	if rng.IntN(3) == 0 {
		v = rng.Uint64()
	}
	return append(b, binary.LittleEndian.AppendUint64(nil, v)[:d.Size()]...)
}

func anyFloat(rng *rand.Rand) float64 {
	special := []float64{0, math.Copysign(0, -1), 1, -1, 0.5, -0.5, 2, math.Inf(1), math.Inf(-1), math.NaN(), math.MaxFloat32, -math.MaxFloat32, 0x1p-126}
	switch rng.IntN(8) {
	case 0:
		return special[rng.IntN(len(special))]
	case 1:
		return math.Round(rng.NormFloat64() * 6)
	case 2:
		return rng.NormFloat64() * math.Exp2(float64(rng.IntN(60)-40))
	case 3:
		return 2*rng.Float64() - 1
	case 4:
		return 30 * rng.NormFloat64()
	}
	return 2 * rng.NormFloat64()
}
