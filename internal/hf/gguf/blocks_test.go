package gguf

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
)

// recorded are blocks that ggml made and read (see docs/gguf.md): of elements x, and of
// random bytes.
type recorded struct {
	X     []byte `json:"x"`
	Types map[string]struct {
		Blocks       []byte `json:"blocks"`
		Floats       []byte `json:"floats"`
		Random       []byte `json:"random"`
		RandomFloats []byte `json:"random_floats"`
	} `json:"types"`
}

func readRecorded(t *testing.T) (r recorded) {
	t.Helper()
	data, err := os.ReadFile("testdata/ggml.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatal(err)
	}
	return r
}

func floatsOf(b []byte) []float32 {
	out := make([]float32, len(b)/4)
	for i := range out {
		out[i] = math.Float32frombits(binary.LittleEndian.Uint32(b[4*i:]))
	}
	return out
}

func same(t *testing.T, what string, got, want []float32) {
	t.Helper()
	for i := range want {
		if math.Float32bits(got[i]) != math.Float32bits(want[i]) {
			t.Fatalf("%s: element %d is %v, want %v", what, i, got[i], want[i])
		}
	}
}

// Every type is read with the bits of ggml.
func TestDequantizeGGML(t *testing.T) {
	r := readRecorded(t)
	if len(r.Types) != len(layouts)-1 { // all but F32
		t.Fatalf("%d types are recorded, not %d", len(r.Types), len(layouts)-1)
	}
	for kind, l := range layouts {
		rec, ok := r.Types[l.name]
		if !ok {
			continue
		}
		y := make([]float32, len(r.X)/4)
		Dequantize(y, kind, rec.Blocks)
		same(t, l.name, y, floatsOf(rec.Floats))
		Dequantize(y, kind, rec.Random)
		same(t, l.name+" of random bytes", y, floatsOf(rec.RandomFloats))
	}
}

// What is written has the bytes of ggml's quantizer.
func TestQuantizeGGML(t *testing.T) {
	r := readRecorded(t)
	for _, kind := range Writable[1:] {
		got, err := Quantize([]byte{7}, kind, floatsOf(r.X))
		if err != nil {
			t.Fatal(err)
		}
		if want := r.Types[kind.String()].Blocks; got[0] != 7 || !slices.Equal(got[1:], want) {
			for i := range want {
				if got[1+i] != want[i] {
					t.Fatalf("%v: byte %d is %d, want %d", kind, i, got[1+i], want[i])
				}
			}
		}
	}
	for _, kind := range Writable[1:] {
		x := make([]float32, 32)
		x[3] = 3e38
		if _, err := Quantize(nil, kind, x); (err == nil) != (kind == BF16) {
			t.Errorf("%v: 3e38: %v", kind, err)
		}
	}
	for _, bad := range []float32{float32(math.NaN()), float32(math.Inf(-1))} {
		x := make([]float32, 32)
		x[31] = bad
		for _, kind := range []Type{Q8_0, Q4_0} {
			if _, err := Quantize(nil, kind, x); err == nil {
				t.Errorf("%v: %v was packed", kind, bad)
			}
		}
	}
}

// The nibbles 0..15, 15..0 with d = 0.5 and m = -1: the low nibbles are the first half.
func TestNibbles(t *testing.T) {
	q := make([]byte, 16)
	for i := range q {
		q[i] = byte(i | (15-i)<<4)
	}
	half, minusOne := []byte{0, 0x38}, []byte{0, 0xbc}
	y := make([]float32, 32)
	Dequantize(y, Q4_1, slices.Concat(half, minusOne, q))
	for i, want := range map[int]float32{0: -1, 15: 6.5, 16: 6.5, 31: -1, 3: 0.5} {
		if y[i] != want {
			t.Errorf("Q4_1: element %d is %v, want %v", i, y[i], want)
		}
	}
	Dequantize(y, Q4_0, slices.Concat(half, q))
	for i, want := range map[int]float32{0: -4, 15: 3.5, 16: 3.5, 31: -4} {
		if y[i] != want {
			t.Errorf("Q4_0: element %d is %v, want %v", i, y[i], want)
		}
	}
}

// Decode has the same bits with any number of threads, in every dtype.
func TestDecode(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	x := make([]float32, 256*1031)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	blocks, err := Quantize(nil, Q8_0, x)
	if err != nil {
		t.Fatal(err)
	}
	y := make([]float32, len(x))
	Dequantize(y, Q8_0, blocks)
	for _, d := range []dtype.DType{dtype.Float32, dtype.Float16, dtype.BFloat16} {
		want := make([]byte, len(y)*d.Size())
		if err := put(want, y, d); err != nil {
			t.Fatal(err)
		}
		for _, n := range []int{1, 3, 16} {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(n))
			if got, err := Decode(Q8_0, blocks, d); err != nil || !slices.Equal(got, want) {
				t.Fatalf("%v with %d threads differs (%v)", d, n, err)
			}
		}
	}
	big, err := Quantize(nil, F32, []float32{1, 7e4})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Decode(F32, big, dtype.Float16); err == nil {
		t.Error("7e4 became a float16")
	}
}

func BenchmarkDecode(b *testing.B) {
	for _, kind := range []Type{Q4_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, Q5_K, Q6_K, BF16} {
		blocks := make([]byte, (16<<20)/kind.Block()*kind.BlockBytes()) // 16 M elements
		b.Run(kind.String(), func(b *testing.B) {
			b.SetBytes(32 << 20)
			for range b.N {
				if _, err := Decode(kind, blocks, dtype.Float16); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
