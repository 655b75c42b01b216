package cpu

import (
	"encoding/binary"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/tensor"
)

var none tensor.Stream

var allTypes = func() (ds []dtype.DType) {
	for d := range dtype.DType(dtype.Count) {
		ds = append(ds, d)
	}
	return ds
}()

// A value is one element: u holds integers (sign-extended) and bools, z floats.
type value struct {
	u uint64
	z complex128
}

func isInt(d dtype.DType) bool    { return d == dtype.Bool || d.Is(dtype.Integer) }
func isSigned(d dtype.DType) bool { return d.Is(dtype.SignedInteger) }

// wrap cuts u to the width of d and extends its sign.
func wrap(d dtype.DType, u uint64) uint64 {
	if d == dtype.Bool {
		return min(u, 1)
	}
	sh := 64 - 8*d.Size()
	if isSigned(d) {
		return uint64(int64(u<<sh) >> sh)
	}
	return u << sh >> sh
}

func decode(d dtype.DType, b []byte) value {
	var u uint64
	for i := d.Size() - 1; i >= 0; i-- {
		u = u<<8 | uint64(b[i])
	}
	switch d {
	case dtype.Float16:
		return value{z: complex(float64(dtype.F16ToF32(uint16(u))), 0)}
	case dtype.BFloat16:
		return value{z: complex(float64(dtype.BF16ToF32(uint16(u))), 0)}
	case dtype.Float32:
		return value{z: complex(float64(math.Float32frombits(uint32(u))), 0)}
	case dtype.Float64:
		return value{z: complex(math.Float64frombits(u), 0)}
	case dtype.Complex64:
		return value{z: complex(float64(math.Float32frombits(uint32(u))), float64(math.Float32frombits(uint32(u>>32))))}
	}
	return value{u: wrap(d, u)}
}

func encode(d dtype.DType, v value) []byte {
	u := v.u
	switch d {
	case dtype.Float16:
		u = uint64(dtype.F32ToF16(float32(real(v.z))))
	case dtype.BFloat16:
		u = uint64(dtype.F32ToBF16(float32(real(v.z))))
	case dtype.Float32:
		u = uint64(math.Float32bits(float32(real(v.z))))
	case dtype.Float64:
		u = math.Float64bits(real(v.z))
	case dtype.Complex64:
		u = uint64(math.Float32bits(float32(real(v.z)))) | uint64(math.Float32bits(float32(imag(v.z))))<<32
	}
	return binary.LittleEndian.AppendUint64(nil, u)[:d.Size()]
}

// A layout places a shape in memory: strides in elements, offset of the first
// element, number of elements, and which axes repeat.
type layout struct {
	name  string
	place func(s []int) (strides []int, first, size int)
}

func packedStrides(s []int, order []int) []int {
	st, n := make([]int, len(s)), 1
	for _, i := range slices.Backward(order) {
		st[i], n = n, n*s[i]
	}
	return st
}

func ascending(n int) (o []int) {
	for i := range n {
		o = append(o, i)
	}
	return o
}

var layouts = []layout{
	{"row-major", func(s []int) ([]int, int, int) {
		return packedStrides(s, ascending(len(s))), 0, tensor.Shape(s).Size()
	}},
	{"transposed", func(s []int) ([]int, int, int) {
		o := ascending(len(s))
		slices.Reverse(o)
		return packedStrides(s, o), 0, tensor.Shape(s).Size()
	}},
	{"backward", func(s []int) ([]int, int, int) {
		wide := slices.Clone(s)
		for i := range wide {
			wide[i] *= 2
		}
		st := packedStrides(wide, ascending(len(s)))
		n := tensor.Shape(wide).Size()
		first := 0
		for i := range st {
			if i == len(s)-1 && n > 0 {
				first += (s[i]*2 - 1) * st[i]
				st[i] = -2 * st[i]
			} else {
				st[i] *= 2
			}
		}
		return st, first, n
	}},
	{"broadcast", func(s []int) ([]int, int, int) {
		one := slices.Clone(s)
		if len(one) > 0 {
			one[0] = 1
		}
		st := packedStrides(one, ascending(len(s)))
		if len(st) > 0 {
			st[0] = 0
		}
		return st, 0, tensor.Shape(one).Size()
	}},
	{"repeated", func(s []int) ([]int, int, int) { return make([]int, len(s)), 0, 1 }},
}

// place puts random elements into memory under a layout, at an odd address; the
// values come back in row-major order.
func place(rng *rand.Rand, l layout, d dtype.DType, shape []int, gen func() value) (*tensor.Array, []value) {
	strides, first, size := l.place(shape)
	z := d.Size()
	mem := make([]byte, 1+size*z)
	for i := range size {
		copy(mem[1+i*z:], encode(d, gen()))
	}
	v := View{Spec: tensor.Spec{Shape: shape, DType: d}, Strides: strides, Buf: tensor.Borrow(mem, mem), Offset: 1 + first*z}
	vals := make([]value, tensor.Shape(shape).Size())
	for i := range vals {
		off, r := v.Offset, i
		for k := len(shape) - 1; k >= 0; k-- {
			off += r % shape[k] * strides[k] * z
			r /= shape[k]
		}
		vals[i] = decode(d, mem[off:])
	}
	return tensor.FromView(v), vals
}

// random gives small numbers of d, among them zeros, repeats and, for floats,
// NaN, infinities and -0 now and then.
func random64(rng *rand.Rand, d dtype.DType, special bool) func() value {
	return func() value {
		if isInt(d) {
			if rng.IntN(4) == 0 && special {
				return value{u: wrap(d, rng.Uint64())}
			}
			return value{u: wrap(d, uint64(rng.IntN(7)-3))}
		}
		if special && rng.IntN(9) == 0 {
			return value{z: complex([]float64{math.NaN(), math.Inf(1), math.Inf(-1), math.Copysign(0, -1), 0}[rng.IntN(5)], 0)}
		}
		f := func() float64 { return float64(float32(math.Round(rng.NormFloat64()*64) / 32)) }
		if d == dtype.Complex64 {
			return value{z: complex(f(), f())}
		}
		return value{z: complex(f(), 0)}
	}
}

// values evaluates a and decodes it.
func values(t testing.TB, a *tensor.Array) []value {
	t.Helper()
	var b []byte
	if err := tensor.Try(func() { b = a.Bytes() }); err != nil {
		t.Fatal(err)
	}
	z := a.DType().Size()
	vals := make([]value, a.Size())
	for i := range vals {
		vals[i] = decode(a.DType(), b[i*z:])
	}
	return vals
}

// tolerance of one rounding to d, and a few of float32 inside.
func epsilon(d dtype.DType) float64 {
	switch d {
	case dtype.Float16:
		return 0x1p-10
	case dtype.BFloat16:
		return 0x1p-7
	case dtype.Float64:
		return 1e-13
	}
	return 2e-6
}

func near(d dtype.DType, got, want value, scale float64) bool {
	if isInt(d) {
		return got.u == want.u
	}
	part := func(g, w float64) bool {
		lim := d.FInfo().Max
		switch {
		case math.IsNaN(w) || math.IsNaN(g):
			return math.IsNaN(w) == math.IsNaN(g)
		case math.Abs(w) >= lim*(1-epsilon(d)): // on the edge of the range
			return math.Abs(g) >= lim*(1-2*epsilon(d)) && math.Signbit(g) == math.Signbit(w)
		}
		return math.Abs(g-w) <= epsilon(d)*(math.Abs(w)+scale)+d.FInfo().SmallestNormal
	}
	return part(real(got.z), real(want.z)) && part(imag(got.z), imag(want.z))
}

// compareValues reports the first difference.
func compareValues(t testing.TB, what string, d dtype.DType, got, want []value, scale float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("%s: %d elements, want %d", what, len(got), len(want))
		return
	}
	for i := range got {
		if !near(d, got[i], want[i], scale) {
			t.Errorf("%s: element %d is %v, want %v", what, i, show(d, got[i]), show(d, want[i]))
			return
		}
	}
}

func show(d dtype.DType, v value) any {
	switch {
	case isSigned(d):
		return int64(v.u)
	case isInt(d):
		return v.u
	}
	return v.z
}

// floatsOf are the real parts.
func floatsOf(vs []value) []float64 {
	out := make([]float64, len(vs))
	for i, v := range vs {
		out[i] = real(v.z)
	}
	return out
}

func fromFloats(fs []float64) []value {
	out := make([]value, len(fs))
	for i, f := range fs {
		out[i] = value{z: complex(f, 0)}
	}
	return out
}

// roundTo is f as a value of d.
func roundTo(d dtype.DType, f float64) float64 {
	return real(decode(d, encode(d, value{z: complex(f, 0)})).z)
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

// normal is an array of n(0,1) values of d, row-major.
func normalArray(rng *rand.Rand, d dtype.DType, shape ...int) (*tensor.Array, []float64) {
	a, v := place(rng, layouts[0], d, shape, func() value { return value{z: complex(rng.NormFloat64(), 0)} })
	return a, floatsOf(v)
}

func sharedDir(t testing.TB) string {
	t.Helper()
	if dir := os.Getenv("MLX_SHARED"); dir != "" {
		return dir
	}
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		if dir == filepath.Dir(dir) {
			t.Skip("no go.mod above the test: cannot find ../shared")
		}
	}
	dir = filepath.Join(dir, "..", "shared")
	if _, err := os.Stat(dir); err != nil {
		t.Skip("recorded references are missing: ", err)
	}
	return dir
}

// golden opens a file of recorded arrays.
func golden(t testing.TB, name string) func(key string) *tensor.Array {
	t.Helper()
	f, err := safetensors.Open(filepath.Join(sharedDir(t), "goldens", name+".safetensors"))
	if err != nil {
		t.Skip("recorded references are missing: ", err)
	}
	return func(key string) *tensor.Array {
		t.Helper()
		x, ok := f.Tensor(key)
		if !ok {
			t.Fatalf("%s has no %q", name, key)
		}
		return tensor.FromBytes(x.Data, x.Shape, x.DType)
	}
}

// agree compares with a recorded array: 1e-5 of the largest value and 1e-6.
func agree(t testing.TB, what string, got, want *tensor.Array) {
	t.Helper()
	g, w := values(t, got), values(t, want)
	if got.DType() != want.DType() || len(g) != len(w) {
		t.Errorf("%s is %v, want %v", what, tensor.SpecOf(got), tensor.SpecOf(want))
		return
	}
	top := 0.0
	for _, v := range w {
		top = max(top, math.Abs(real(v.z)))
	}
	for i := range g {
		if g[i].u != w[i].u || !(math.Abs(real(g[i].z)-real(w[i].z)) <= 1e-5*top+1e-6) {
			t.Errorf("%s: element %d is %v, want %v", what, i, show(got.DType(), g[i]), show(got.DType(), w[i]))
			return
		}
	}
}

// withWorkers runs f for several numbers of workers.
func withWorkers(t *testing.T, f func(n int)) {
	defer SetWorkers(0)
	for _, n := range []int{1, 2, 3, 5, 7} {
		SetWorkers(n)
		if Workers() != n {
			t.Fatalf("%d workers, want %d", Workers(), n)
		}
		f(n)
	}
}
