package simd

import (
	"encoding/binary"
	"encoding/json"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
)

// everyTier runs f once per tier of this machine.
func everyTier(t *testing.T, f func(t *testing.T)) {
	old := Active()
	defer func() {
		if err := Select(old); err != nil {
			t.Fatal(err)
		}
	}()
	for _, name := range Available() {
		if err := Select(name); err != nil {
			t.Fatal(err)
		}
		t.Run(name, f)
	}
}

func newRand(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, 1)) }

func normals(r *rand.Rand, n int) []float32 {
	x := make([]float32, n)
	for i := range x {
		x[i] = float32(r.NormFloat64())
	}
	return x
}

// odd copies b to memory that starts on an odd address.
func odd(b []byte) []byte {
	c := make([]byte, len(b)+1)
	copy(c[1:], b)
	return c[1:]
}

// rawOf rounds x to e and returns it in unaligned memory.
func rawOf(e Elem, x []float32) Raw {
	b := make([]byte, len(x)*e.Size())
	for i, v := range x {
		switch e {
		case F32:
			binary.LittleEndian.PutUint32(b[4*i:], math.Float32bits(v))
		case F16:
			binary.LittleEndian.PutUint16(b[2*i:], ToF16(v))
		case BF16:
			binary.LittleEndian.PutUint16(b[2*i:], ToBF16(v))
		}
	}
	return Raw{e, odd(b)}
}

func rounded(e Elem, x []float32) []float32 {
	y := make([]float32, len(x))
	for i, v := range x {
		y[i] = RoundTo(v, e)
	}
	return y
}

func sameBits(a, b []float32) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if math.Float32bits(a[i]) != math.Float32bits(b[i]) {
			return false
		}
	}
	return true
}

func sharedDir(t testing.TB) string {
	dir := os.Getenv("MLX_SHARED")
	if dir == "" {
		dir, _ = os.Getwd()
		for {
			if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
				break
			}
			up := filepath.Dir(dir)
			if up == dir {
				t.Skip("no go.mod above the working directory")
			}
			dir = up
		}
		dir = filepath.Join(dir, "..", "shared")
	}
	if _, err := os.Stat(filepath.Join(dir, "goldens")); err != nil {
		t.Skip("recorded references are missing: set MLX_SHARED")
	}
	return dir
}

type golden struct {
	DType string `json:"dtype"`
	Shape []int  `json:"shape"`
	Off   [2]int `json:"data_offsets"`
	data  []byte
}

// goldens reads a safetensors file of recorded references; the data stays at
// the alignment the file gives it.
func goldens(t testing.TB, name string) map[string]golden {
	b, err := os.ReadFile(filepath.Join(sharedDir(t), "goldens", name))
	if err != nil {
		t.Skip(err)
	}
	n := binary.LittleEndian.Uint64(b)
	var raw map[string]json.RawMessage
	if err := json.Unmarshal(b[8:8+n], &raw); err != nil {
		t.Fatal(err)
	}
	out := map[string]golden{}
	for k, v := range raw {
		if k == "__metadata__" {
			continue
		}
		var g golden
		if err := json.Unmarshal(v, &g); err != nil {
			t.Fatal(err)
		}
		g.data = b[8+n:][g.Off[0]:g.Off[1]]
		out[k] = g
	}
	return out
}

func (g golden) elem() Elem {
	switch g.DType {
	case "F16":
		return F16
	case "BF16":
		return BF16
	}
	return F32
}

func (g golden) floats() []float32 {
	r := Raw{g.elem(), g.data}
	x := make([]float32, r.Len())
	K.Load(x, r)
	return x
}

// maxDiff returns max |a-b| and max |b|.
func maxDiff(a []float32, b []float64) (diff, scale float64) {
	for i, v := range b {
		d := math.Abs(float64(a[i]) - v)
		if !(d <= diff) {
			diff = d
		}
		scale = max(scale, math.Abs(v))
	}
	return diff, scale
}

func f64s(x []float32) []float64 {
	y := make([]float64, len(x))
	for i, v := range x {
		y[i] = float64(v)
	}
	return y
}
