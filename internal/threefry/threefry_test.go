package threefry

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"sort"
	"testing"
)

// golden reads testdata/random.safetensors, recorded from mlx 0.32.2, and
// returns the 32-bit words of each tensor.
func golden(t *testing.T) map[string][]uint32 {
	t.Helper()
	raw, err := os.ReadFile("testdata/random.safetensors")
	if err != nil {
		t.Fatal(err)
	}
	n := binary.LittleEndian.Uint64(raw)
	var header map[string]struct {
		DType   string `json:"dtype"`
		Offsets [2]int `json:"data_offsets"`
	}
	if err := json.Unmarshal(raw[8:8+n], &header); err != nil {
		t.Fatal(err)
	}
	data := raw[8+n:]
	out := map[string][]uint32{}
	for name, e := range header {
		switch e.DType {
		case "F32", "U32", "I32":
			b := data[e.Offsets[0]:e.Offsets[1]]
			w := make([]uint32, len(b)/4)
			for i := range w {
				w[i] = binary.LittleEndian.Uint32(b[4*i:])
			}
			out[name] = w
		case "BOOL":
			b := data[e.Offsets[0]:e.Offsets[1]]
			w := make([]uint32, len(b))
			for i := range w {
				w[i] = uint32(b[i])
			}
			out[name] = w
		}
	}
	return out
}

// uniforms is n uniforms of key as float32 bits.
func uniforms(key Key, n int) []uint32 {
	w := make([]uint32, n)
	Bits(key, w)
	for i := range w {
		w[i] = math.Float32bits(Uniform32(w[i]))
	}
	return w
}

func TestGolden(t *testing.T) {
	g := golden(t)
	for _, seed := range []uint64{0, 1, 42} {
		name := func(s string) string { return fmt.Sprintf("%d.%s", seed, s) }
		key := NewKey(seed)
		if got := key[:]; !slices.Equal(got, g[name("key")]) {
			t.Errorf("key(%d) = %v, want %v", seed, got, g[name("key")])
		}
		var split []uint32
		for _, k := range key.SplitN(3) {
			split = append(split, k[:]...)
		}
		if !slices.Equal(split, g[name("split")]) {
			t.Errorf("split(key(%d), 3) = %v, want %v", seed, split, g[name("split")])
		}
		if got := uniforms(key, 24); !slices.Equal(got, g[name("uniform")]) {
			t.Errorf("uniform of key(%d) = %x, want %x", seed, got, g[name("uniform")])
		}
		randint := make([]uint32, 20)
		for i, u := range uniforms(key, 20) {
			randint[i] = uint32(float32(math.Float32frombits(u) * 100))
		}
		if !slices.Equal(randint, g[name("randint")]) {
			t.Errorf("randint of key(%d) = %v, want %v", seed, randint, g[name("randint")])
		}
		bernoulli := make([]uint32, 20)
		Bits(key, bernoulli)
		p := float32(0.3) * math.Nextafter32(1<<32, math.MaxFloat32)
		for i, w := range bernoulli {
			bernoulli[i] = 0
			if float32(w) < p {
				bernoulli[i] = 1
			}
		}
		if !slices.Equal(bernoulli, g[name("bernoulli")]) {
			t.Errorf("bernoulli of key(%d) = %v, want %v", seed, bernoulli, g[name("bernoulli")])
		}
		// An odd number of words, ordered: permutation is argsort of the bits.
		bits := make([]uint32, 17)
		Bits(key, bits)
		perm := make([]uint32, 17)
		for i := range perm {
			perm[i] = uint32(i)
		}
		sort.Slice(perm, func(i, j int) bool { return bits[perm[i]] < bits[perm[j]] })
		if !slices.Equal(perm, g[name("permutation")]) {
			t.Errorf("permutation of key(%d) = %v, want %v", seed, perm, g[name("permutation")])
		}
		gen := NewGenerator(seed)
		first := uniforms(gen.Next(), 3)
		gen.Next() // normal(3)
		third := uniforms(gen.Next(), 2)
		want := g[name("global")]
		if !slices.Equal(first, want[:3]) || !slices.Equal(third, want[6:]) {
			t.Errorf("global sequence of seed %d = %x %x, want %x", seed, first, third, want)
		}
	}
}

// Values shown by mlx 0.32.2.
func TestEdgeGolden(t *testing.T) {
	if got, want := NewKey(12345678901), (Key{2, 3755744309}); got != want {
		t.Errorf("key(12345678901) = %v, want %v", got, want)
	}
	a, b := NewKey(5).Split()
	if want := [2]Key{{3594430910, 534832770}, {1784718894, 3813648515}}; [2]Key{a, b} != want {
		t.Errorf("split(key(5)) = %v %v, want %v", a, b, want)
	}
	want5 := []Key{{972824557, 2824805656}, {3248103636, 4189235826}, {3067645130, 2491659272},
		{2632234207, 395222586}, {3693246349, 1289231092}}
	if got := NewKey(5).SplitN(5); !slices.Equal(got, want5) {
		t.Errorf("split(key(5), 5) = %v, want %v", got, want5)
	}
	g := NewGenerator(11)
	if got, want := g.State(), (Key{0, 11}); got != want {
		t.Errorf("state after seed(11) = %v, want %v", got, want)
	}
	key := g.Next()
	if got, want := g.State(), (Key{3467837548, 240607015}); got != want {
		t.Errorf("state after seed(11) and a draw = %v, want %v", got, want)
	}
	floats := func(key Key, n int) []float32 {
		f := make([]float32, n)
		for i, u := range uniforms(key, n) {
			f[i] = math.Float32frombits(u)
		}
		return f
	}
	table := []struct {
		name string
		key  Key
		want []float32
	}{
		{"seed(11), first draw", key, []float32{0.6469342112541199, 0.18698816001415253}},
		{"seed(2**40 + 3)", NewGenerator(1<<40 + 3).Next(), []float32{0.7889357209205627, 0.09847021847963333}},
		{"one word", NewKey(2), []float32{0.4240216612815857}},
		{"five words", NewKey(1), []float32{0.8307938575744629, 0.16604094207286835, 0.45611220598220825,
			0.6428885459899902, 0.5686540603637695}},
	}
	for _, c := range table {
		if got := floats(c.key, len(c.want)); !slices.Equal(got, c.want) {
			t.Errorf("%s: uniform = %v, want %v", c.name, got, c.want)
		}
	}
}

// TestKnownAnswers checks the test vectors that come with the Threefry paper's
// Random123 distribution for threefry2x32 with 20 rounds.
func TestKnownAnswers(t *testing.T) {
	table := []struct {
		key    Key
		c0, c1 uint32
		a, b   uint32
	}{
		{Key{0, 0}, 0, 0, 0x6b200159, 0x99ba4efe},
		{Key{0xffffffff, 0xffffffff}, 0xffffffff, 0xffffffff, 0x1cb996fc, 0xbb002be7},
		{Key{0x13198a2e, 0x03707344}, 0x243f6a88, 0x85a308d3, 0xc4923a9c, 0x483df7a0},
	}
	for _, c := range table {
		if a, b := Block(c.key, c.c0, c.c1); a != c.a || b != c.b {
			t.Errorf("Block(%x, %x, %x) = %x, %x, want %x, %x", c.key, c.c0, c.c1, a, b, c.a, c.b)
		}
	}
}

func TestRangesAgreeWithBits(t *testing.T) {
	key := NewKey(0x0123456789abcdef)
	for n := range 40 {
		whole := make([]uint32, n)
		Bits(key, whole)
		for lo := range n + 1 {
			for hi := lo; hi <= n; hi++ {
				part := make([]uint32, hi-lo)
				FillRange(key, n, part, lo, hi)
				if !slices.Equal(part, whole[lo:hi]) {
					t.Fatalf("FillRange(n=%d, %d, %d) = %x, want %x", n, lo, hi, part, whole[lo:hi])
				}
			}
		}
		blocks := NumBlocks(n)
		for cut := range blocks + 1 {
			got := make([]uint32, n)
			FillBlocks(key, got, cut, blocks)
			FillBlocks(key, got, 0, cut)
			if !slices.Equal(got, whole) {
				t.Fatalf("FillBlocks(n=%d) cut at %d = %x, want %x", n, cut, got, whole)
			}
		}
	}
}

func TestFillBytes(t *testing.T) {
	key := NewKey(9)
	for n := range 50 {
		words := make([]uint32, (n+3)/4)
		Bits(key, words)
		var want []byte
		for _, w := range words {
			want = binary.LittleEndian.AppendUint32(want, w)
		}
		got := make([]byte, n)
		FillBytes(key, got)
		if !bytes.Equal(got, want[:n]) {
			t.Errorf("FillBytes of %d bytes = %x, want %x", n, got, want[:n])
		}
	}
}

func TestSplitNAgreesWithSplit(t *testing.T) {
	a, b := NewKey(77).Split()
	if got := NewKey(77).SplitN(2); got[0] != a || got[1] != b {
		t.Errorf("SplitN(2) = %v, Split = %v %v", got, a, b)
	}
	if got := NewKey(77).SplitN(0); len(got) != 0 {
		t.Errorf("SplitN(0) = %v", got)
	}
}

func TestUniform32Ends(t *testing.T) {
	for _, c := range []struct {
		bits uint32
		want float32
	}{
		{0, 0}, {1, 1.0 / (1 << 32)}, {1 << 31, 0.5},
		{0xffffff00, 0x1.fffffep-1}, {0xffffffff, 0x1.fffffep-1},
	} {
		if got := Uniform32(c.bits); got != c.want {
			t.Errorf("Uniform32(%#x) = %x, want %x", c.bits, got, c.want)
		}
	}
}

func TestRangePanics(t *testing.T) {
	dst := make([]uint32, 4)
	for name, f := range map[string]func(){
		"blocks past the end": func() { FillBlocks(Key{}, dst, 0, 3) },
		"words past the end":  func() { FillRange(Key{}, 4, dst, 2, 5) },
		"short destination":   func() { FillRange(Key{}, 9, dst, 0, 5) },
		"negative start":      func() { FillRange(Key{}, 9, dst, -1, 2) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: no panic", name)
				}
			}()
			f()
		}()
	}
}

func BenchmarkBits(b *testing.B) {
	dst := make([]uint32, 1<<16)
	b.SetBytes(int64(4 * len(dst)))
	for b.Loop() {
		Bits(NewKey(1), dst)
	}
}

func BenchmarkNext(b *testing.B) {
	g := NewGenerator(1)
	for b.Loop() {
		g.Next()
	}
}
