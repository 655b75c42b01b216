package convert

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm"
	"github.com/mlxgo/mlx/internal/llm/llmtest"
	"github.com/mlxgo/mlx/internal/llm/models"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/nn"
)

// schemes are all that there are, by MLX's name for them.
func schemes() map[string]quant.Scheme {
	out := map[string]quant.Scheme{}
	for _, bits := range []int{2, 3, 4, 5, 6, 8} {
		for _, group := range []int{32, 64, 128} {
			out[fmt.Sprintf("b%d.g%d", bits, group)] = quant.Scheme{Mode: quant.Affine, Bits: bits, GroupSize: group}
		}
	}
	for mode, bits := range map[quant.Mode]int{quant.MXFP4: 4, quant.MXFP8: 8, quant.NVFP4: 4} {
		s, _ := quant.Scheme{Mode: mode, Bits: bits}.Resolve()
		out[string(mode)] = s
	}
	return out
}

// made are the outputs of all rows of a matrix.
func made(r rows, in ...[]byte) [][]byte {
	par := func(n int) []byte { return make([]byte, n) }
	s := r.scheme
	var out [][]byte
	switch {
	case r.kind != quantizeRows:
		out = [][]byte{par(r.n * r.cols * r.to.Size())}
	case s.Mode == quant.Affine:
		groups := r.n * r.cols / s.GroupSize * r.to.Size()
		out = [][]byte{par(r.n * r.cols * s.Bits / 8), par(groups), par(groups)}
	default:
		out = [][]byte{par(r.n * r.cols * s.Bits / 8), par(r.n * r.cols / s.GroupSize)}
	}
	// In two parts, as the threads do.
	cut := r.n / 2
	a, b := make([][]byte, len(out)), make([][]byte, len(out))
	for i, o := range out {
		a[i], b[i] = o[:len(o)/r.n*cut], o[len(o)/r.n*cut:]
	}
	r.make(a, in, 0, cut)
	r.make(b, in, cut, r.n)
	return out
}

// TestGoldens: the bytes that MLX's CPU has recorded, of every scheme and dtype.
func TestGoldens(t *testing.T) {
	golden := map[string]safetensors.Tensor{}
	for _, name := range []string{"quantize_affine.safetensors", "quantize_fp.safetensors"} {
		f, err := safetensors.Open(llmtest.Shared(t, "goldens", name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		for _, x := range f.Tensors() {
			golden[x.Name] = x
			if d, ok := strings.CutPrefix(x.Name, "w."); ok { // both files have one
				golden[name+d] = x
			}
		}
	}
	compared := 0
	for name, s := range schemes() {
		s.Rounding = quant.RoundCPU
		for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
			key := d.String() + "." + name
			q, ok := golden[key+".q"]
			if !ok {
				continue
			}
			compared++
			file := "quantize_affine.safetensors"
			if s.Mode != quant.Affine {
				file = "quantize_fp.safetensors"
			}
			w := golden[file+d.String()]
			got := made(rows{kind: quantizeRows, n: w.Shape[0], cols: w.Shape[1], from: d, to: d, scheme: s}, w.Data)
			want := [][]byte{q.Data, golden[key+".scales"].Data, golden[key+".biases"].Data}
			for i := range got {
				if !bytes.Equal(got[i], want[i]) {
					t.Errorf("%s: output %d differs", key, i)
				}
			}
			deq := golden[key+".deq"]
			back := made(rows{kind: dequantizeRows, n: w.Shape[0], cols: w.Shape[1], from: d, to: deq.DType, scheme: s}, want...)
			if !bytes.Equal(zeros(deq.DType, back[0]), zeros(deq.DType, deq.Data)) {
				t.Errorf("%s: dequantized values differ", key)
			}
		}
	}
	if compared != 60 {
		t.Errorf("compared %d cases, not 60", compared)
	}
}

// zeros is data with all zeros positive.
func zeros(d mlx.DType, data []byte) []byte {
	out := bytes.Clone(data)
	size := d.Size()
	for i := size - 1; i < len(out); i += size {
		if out[i] == 0x80 && len(bytes.Trim(out[i-size+1:i], "\x00")) == 0 {
			out[i] = 0
		}
	}
	return out
}

// TestMetalTable holds the files' rounding against the rules of MLX's Metal kernels,
// written out in float32: ties away from zero, groups without a positive value, codes that
// would be negative.
func TestMetalTable(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	for name, s := range schemes() {
		s.Rounding = quant.RoundMetal
		for _, d := range []mlx.DType{mlx.Float32, mlx.Float16, mlx.BFloat16} {
			w := metalCases(rng, s, d)
			in := llmtest.Tensor("w", w, d, len(w)/s.GroupSize, s.GroupSize)
			w = mlx.ToSlice[float32](mlx.FromBytes(in.Data, mlx.Shape(in.Shape), d).AsType(mlx.Float32))
			got := made(rows{kind: quantizeRows, n: len(w) / s.GroupSize, cols: s.GroupSize, from: d, to: d, scheme: s}, in.Data)
			for g := range len(w) / s.GroupSize {
				group := w[g*s.GroupSize:][:s.GroupSize]
				codes := unpack(got[0][g*s.GroupSize*s.Bits/8:], s.GroupSize, s.Bits)
				if s.Mode == quant.Affine {
					scale, bias, want := metalAffine(group, s.Bits)
					ref := llmtest.Tensor("", []float32{scale, bias}, d).Data
					n := d.Size()
					if !bytes.Equal(got[1][g*n:][:n], ref[:n]) || !bytes.Equal(got[2][g*n:][:n], ref[n:]) || fmt.Sprint(codes) != fmt.Sprint(want) {
						t.Fatalf("%s %v: %v became %v, want %v, scale %v, bias %v", name, d, group, codes, want, scale, bias)
					}
					continue
				}
				scale, want := metalMini(group, s)
				if got[1][g] != scale || fmt.Sprint(codes) != fmt.Sprint(want) {
					t.Fatalf("%s %v: %v became %v with scale %d, want %v with %d", name, d, group, codes, got[1][g], want, scale)
				}
			}
		}
	}
}

// metalCases are groups with what is hard.
func metalCases(rng *rand.Rand, s quant.Scheme, d mlx.DType) (w []float32) {
	for i := range 60 {
		for j := range s.GroupSize {
			v := float32(rng.NormFloat64())
			switch i % 10 {
			case 0: // all negative
				v = -1 - float32(math.Abs(float64(v)))
			case 1: // all positive
				v = 1 + float32(math.Abs(float64(v)))
			case 2: // halves of a step: ties
				v = float32(rng.IntN(2<<s.Bits)) / 2
				if j == 0 {
					v = float32(int(1)<<s.Bits) - 1
				}
			case 3:
				v = -float32(rng.IntN(2<<s.Bits)) / 2
			case 4:
				v = 0
			case 5: // constant
				v = float32(i) - 20
			case 6: // ties of the small floats
				v = []float32{0, .25, .75, 1.25, 1.75, 2.5, 3.5, 5, 6, -.25, -.75, -1.25, -2.5, -5, -6}[rng.IntN(15)]
				if j == 0 {
					v = 6
				}
			case 7: // tiny ones
				v *= 1e-4
			case 8: // an outlier
				if j == 3 {
					v = 300
				}
			}
			w = append(w, v)
		}
	}
	return w
}

func unpack(data []byte, n, bits int) []int {
	out := make([]int, n)
	for i := range n * bits {
		out[i/bits] |= int(data[i/8]>>(i%8)&1) << (i % bits)
	}
	return out
}

// away rounds half away from zero.
func away(x float32) float32 {
	whole := float32(math.Trunc(float64(x)))
	if d := x - whole; d >= 0.5 {
		return whole + 1
	} else if d <= -0.5 {
		return whole - 1
	}
	return whole
}

// metalAffine is a group by MLX's affine_quantize for Metal, in float32.
func metalAffine(w []float32, bits int) (scale, bias float32, codes []int) {
	hi, lo := float32(0), float32(math.MaxFloat32)
	for _, v := range w {
		hi, lo = max(hi, v), min(lo, v)
	}
	n := float32(int(1)<<bits - 1)
	scale = max((hi-lo)/n, 1e-7)
	edge := lo
	if !(float32(math.Abs(float64(lo))) > float32(math.Abs(float64(hi)))) {
		scale, edge = -scale, hi
	}
	if q0 := away(edge / scale); q0 != 0 {
		scale, bias = edge/q0, edge
	}
	for _, v := range w {
		codes = append(codes, int(max(min(away((v-bias)/scale), n), 0)))
	}
	return scale, bias, codes
}

// metalMini is a group by MLX's fp_quantize for Metal, in float32.
func metalMini(w []float32, s quant.Scheme) (scale byte, codes []int) {
	var m float32
	for _, v := range w {
		m = max(m, float32(math.Abs(float64(v))))
	}
	x := m / 6
	if s.Bits == 8 {
		x = m / 448
	}
	value := float32(0)
	switch {
	case s.Mode == quant.NVFP4:
		scale = nearestE4M3(x)
		value = valueE4M3(scale)
	case x != 0:
		n := min(max(math.Round(float64(float32(math.Log2(float64(x))))), -127), 127)
		scale, value = byte(int(n)+127), float32(math.Ldexp(1, int(n)))
	}
	inverse := float32(0)
	if value != 0 {
		inverse = 1 / value
	}
	for _, v := range w {
		v *= inverse
		if s.Bits == 8 {
			codes = append(codes, int(nearestE4M3(v)))
			continue
		}
		a, c := math.Abs(float64(v)), 0
		for _, above := range []bool{a > .25, a >= .75, a > 1.25, a >= 1.75, a > 2.5, a >= 3.5, a > 5} {
			if above {
				c++
			}
		}
		if math.Signbit(float64(v)) {
			c |= 8
		}
		codes = append(codes, c)
	}
	return scale, codes
}

// valueE4M3 is the number of a code: sign, 4 bits of exponent, 3 of mantissa.
func valueE4M3(code byte) float32 {
	e, m := int(code>>3&15), float64(code&7)
	v := math.Ldexp(1+m/8, e-7)
	if e == 0 {
		v = math.Ldexp(m/8, -6)
	}
	if code > 127 {
		v = -v
	}
	return float32(v)
}

// nearestE4M3 is the code nearest to x among all that are finite; of two that are as near
// the even one.
func nearestE4M3(x float32) byte {
	best, distance := 0, math.Inf(1)
	for c := range 127 {
		d := math.Abs(math.Abs(float64(x)) - float64(valueE4M3(byte(c))))
		if d < distance || d == distance && c%2 == 0 {
			best, distance = c, d
		}
	}
	if math.Signbit(float64(x)) {
		best |= 0x80
	}
	return byte(best)
}

// TestModes: stories260k and story-10m in every mode and back. The logits of the directory
// are those of quantizing in memory, and a layer of 172 columns stays as it is.
func TestModes(t *testing.T) {
	for _, name := range []string{"stories260k", "story-10m"} {
		dir := llmtest.Shared(t, "models", name)
		for mode, s := range schemes() {
			if s.GroupSize > 64 || name == "story-10m" && mode != "b4.g64" && mode != "nvfp4" {
				continue
			}
			t.Run(name+"/"+mode, func(t *testing.T) {
				s.Rounding = quant.Rounding(len(mode) % 2)
				var notes []string
				out := convertDir(t, dir, Options{Quantize: true, Scheme: s, Note: func(text string) { notes = append(notes, text) }})
				memory := load(t, dir)
				left := 0
				nn.Quantize(memory.Model, s, nn.Predicate(func(path string, l nn.Quantizable) (mlx.Scheme, bool) {
					if linear, ok := l.(*nn.Linear); ok && linear.Weight.Dim(1)%s.GroupSize != 0 {
						left++
						return s, false
					}
					return s, true
				}))
				if len(notes) != left || name == "stories260k" && left != 5 {
					t.Errorf("%d layers are left, notes %q", left, notes)
				}
				equalLogits(t, load(t, out), memory)

				back := convertDir(t, out, Options{Dequantize: true})
				for _, f := range []string{"quantization", "quantization_config"} {
					var config map[string]any
					readJSON(t, &config, back, "config.json")
					if config[f] != nil {
						t.Errorf("the dequantized model has %s", f)
					}
				}
				got := openWeights(t, back)
				for path, l := range nn.Modules(memory.Model) {
					switch l := l.(type) {
					case *nn.QuantizedLinear:
						sameValues(t, got[path+".weight"], l.Weight, l.Scales, l.Biases, l.Scheme)
					case *nn.QuantizedEmbedding:
						sameValues(t, got[path+".weight"], l.Weight, l.Scales, l.Biases, l.Scheme)
					}
				}
				if _, ok := got["lm_head.weight"]; ok {
					t.Error("a tied head is written")
				}
				load(t, back)
			})
		}
	}
}

func load(t testing.TB, dir string) *llm.Loaded {
	t.Helper()
	m, err := llm.Load(dir, llm.LoadOptions{New: models.New, NoTokenizer: true, ExactActivations: true})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func equalLogits(t *testing.T, a, b *llm.Loaded) {
	t.Helper()
	var out [2][]float32
	for i, m := range []*llm.Loaded{a, b} {
		logits, err := m.Logits([]int{1, 5, 9, 200, 33})
		if err != nil {
			t.Fatal(err)
		}
		out[i] = mlx.ToSlice[float32](logits)
	}
	if len(out[0]) != len(out[1]) {
		t.Fatalf("%d and %d logits", len(out[0]), len(out[1]))
	}
	for i := range out[0] {
		if out[0][i] != out[1][i] {
			t.Fatalf("logit %d is %v and %v", i, out[0][i], out[1][i])
		}
	}
}

// sameValues compares a written tensor with the dequantized weight of a layer.
func sameValues(t *testing.T, got safetensors.Tensor, w, scales, biases *mlx.Array, s mlx.Scheme) {
	t.Helper()
	want := mlx.Dequantize(mlx.Quantized{Weight: w, Scales: scales, Biases: biases, Scheme: s})
	if got.DType != want.DType() || !bytes.Equal(got.Data, want.Bytes()) {
		t.Errorf("%s: %v values differ from %v of the library", got.Name, got.DType, want.DType())
	}
}

// TestSources: models of several families, some with other names in their files or turned
// matrices, have the same logits when they are written as they are, and run quantized.
func TestSources(t *testing.T) {
	dirs, err := filepath.Glob(filepath.Join("..", "models", "testdata", "parity*", "*"))
	if err != nil || len(dirs) < 6 {
		t.Fatal(dirs, err)
	}
	for _, dir := range dirs {
		t.Run(filepath.Base(dir), func(t *testing.T) {
			plain := convertDir(t, dir, Options{})
			equalLogits(t, load(t, dir), load(t, plain))
			again := convertDir(t, plain, Options{})
			sameFiles(t, plain, again)
			packed := convertDir(t, dir, Options{Quantize: true, Scheme: quant.Scheme{GroupSize: 32, Bits: 8}})
			load(t, packed)
			if names := openWeights(t, packed); len(names) == 0 || !hasScales(names) {
				t.Error("nothing is quantized")
			}
		})
	}
}

func hasScales(w map[string]safetensors.Tensor) bool {
	for name := range w {
		if strings.HasSuffix(name, ".scales") {
			return true
		}
	}
	return false
}
