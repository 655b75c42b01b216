package foreign_test

import (
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/foreign"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// Checkpoints are packed here by the loops of the tools that write them, and MLX's
// layout is decoded in float64 from its definition: neither shares code with the package.

// grid is a quantized matrix before it is packed: w = (q - zero) * scale.
type grid struct {
	rows, cols, bits, group int
	q                       [][]int     // [rows][cols], unsigned
	zero                    [][]int     // [rows][groups]
	scale                   [][]float64 // [rows][groups], numbers of dtype
	dtype                   dtype.DType
	groupOf                 []int
}

// shuffle says how the columns are in groups.
type shuffle int

const (
	inOrder shuffle = iota
	actOrder
)

func newGrid(r *rand.Rand, rows, cols, bits, group int, d dtype.DType, symmetric bool, order shuffle) *grid {
	if group <= 0 {
		group = cols
	}
	g := &grid{rows: rows, cols: cols, bits: bits, group: group, dtype: d, groupOf: make([]int, cols)}
	for c, at := range r.Perm(cols) {
		if order == inOrder {
			at = c
		}
		g.groupOf[c] = at / group
	}
	n := (cols + group - 1) / group
	for range rows {
		q, zero, scale := make([]int, cols), make([]int, n), make([]float64, n)
		for c := range q {
			q[c] = r.IntN(1 << bits)
		}
		for i := range n {
			zero[i] = 1 << (bits - 1)
			if !symmetric {
				zero[i] = r.IntN(1 << bits)
			}
			scale[i] = rounded(0.001+0.02*r.Float64(), d)
		}
		g.q, g.zero, g.scale = append(g.q, q), append(g.zero, zero), append(g.scale, scale)
	}
	return g
}

// rounded is the number of dtype d next to x.
func rounded(x float64, d dtype.DType) float64 {
	switch d {
	case dtype.Float16:
		return float64(dtype.F16ToF32(dtype.F32ToF16(float32(x))))
	case dtype.BFloat16:
		return float64(dtype.BF16ToF32(dtype.F32ToBF16(float32(x))))
	}
	return float64(float32(x))
}

// value is the matrix in float64.
func (g *grid) value() [][]float64 {
	out := make([][]float64, g.rows)
	for r := range out {
		out[r] = make([]float64, g.cols)
		for c := range out[r] {
			i := g.groupOf[c]
			out[r][c] = float64(g.q[r][c]-g.zero[r][i]) * g.scale[r][i]
		}
	}
	return out
}

func (g *grid) groups() int { return len(g.zero[0]) }

// scales is [groups, rows], or [rows, groups].
func (g *grid) scales(name string, turned bool) safetensors.Tensor {
	shape, v := []int{g.rows, g.groups()}, []float64{}
	if turned {
		shape = []int{g.groups(), g.rows}
	}
	for i := range shape[0] {
		for j := range shape[1] {
			if turned {
				v = append(v, g.scale[j][i])
			} else {
				v = append(v, g.scale[i][j])
			}
		}
	}
	return floats(name, g.dtype, v, shape...)
}

func (g *grid) index(name string) safetensors.Tensor {
	v := make([]uint32, g.cols)
	for c := range v {
		v[c] = uint32(g.groupOf[c])
	}
	return words(name, "I32", v, g.cols)
}

func floats(name string, d dtype.DType, v []float64, shape ...int) safetensors.Tensor {
	var data []byte
	for _, x := range v {
		switch d {
		case dtype.Float16:
			data = binary.LittleEndian.AppendUint16(data, dtype.F32ToF16(float32(x)))
		case dtype.BFloat16:
			data = binary.LittleEndian.AppendUint16(data, dtype.F32ToBF16(float32(x)))
		default:
			data = binary.LittleEndian.AppendUint32(data, math.Float32bits(float32(x)))
		}
	}
	raw := map[dtype.DType]string{dtype.Float16: "F16", dtype.BFloat16: "BF16", dtype.Float32: "F32"}[d]
	return safetensors.Tensor{Name: name, DType: d, RawDType: raw, Shape: shape, Data: data}
}

func words(name, raw string, v []uint32, shape ...int) safetensors.Tensor {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint32(data, x)
	}
	return safetensors.Tensor{Name: name, DType: dtype.Int32, RawDType: raw, Shape: shape, Data: data}
}

func octets(name, raw string, v []byte, shape ...int) safetensors.Tensor {
	d := dtype.Uint8
	if raw == "I8" {
		d = dtype.Int8
	}
	return safetensors.Tensor{Name: name, DType: d, RawDType: raw, Shape: shape, Data: v}
}

func longs(name string, v ...int) safetensors.Tensor {
	var data []byte
	for _, x := range v {
		data = binary.LittleEndian.AppendUint64(data, uint64(x))
	}
	return safetensors.Tensor{Name: name, DType: dtype.Int64, RawDType: "I64", Shape: []int{len(v)}, Data: data}
}

type object map[string]any

// source is a model of tensors and a config.json.
func source(config object, ts ...safetensors.Tensor) weights.Source {
	raw, err := json.Marshal(config)
	if err != nil {
		panic(err)
	}
	return weights.Source{Name: "test", Tensors: weights.Of(ts), Read: func(name string) ([]byte, error) {
		if name == "config.json" {
			return raw, nil
		}
		return nil, fs.ErrNotExist
	}}
}

// headersOf is the source without the elements.
func headersOf(s weights.Source) weights.Source {
	out := s
	out.Tensors = nil
	for _, t := range s.Tensors {
		t.Data = nil
		out.Tensors = append(out.Tensors, t)
	}
	return out
}

// translated is the translation, checked for what every one must have.
func translated(t *testing.T, s weights.Source) (map[string]weights.Tensor, object, *foreign.Report) {
	t.Helper()
	f32 := dtype.Float32
	out, report, err := foreign.Translate(s, foreign.Options{DType: &f32})
	if err != nil {
		t.Fatal(err)
	}
	if report == nil {
		t.Fatal("nothing was translated")
	}
	raw, err := out.Read("config.json")
	if err != nil {
		t.Fatal(err)
	}
	var config object
	if err := json.Unmarshal(raw, &config); err != nil {
		t.Fatal(err)
	}
	if config["quantization_config"] != nil {
		t.Error("config.json still has quantization_config")
	}
	all := map[string]weights.Tensor{}
	for _, x := range out.Tensors {
		if _, twice := all[x.Name]; twice {
			t.Errorf("%s is there twice", x.Name)
		}
		all[x.Name] = x
	}
	return all, config, report
}

// decoded is a layer of MLX's tensors in float64, by the definition of its layout.
func decoded(t *testing.T, all map[string]weights.Tensor, config object, path string) [][]float64 {
	t.Helper()
	w := all[path+".weight"]
	data, err := w.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	cols := w.Shape[len(w.Shape)-1]
	rows := 1
	for _, n := range w.Shape[:len(w.Shape)-1] {
		rows *= n
	}
	out := make([][]float64, rows)
	scales, packed := all[path+".scales"]
	if !packed {
		v := numbers(t, w)
		for r := range out {
			out[r] = v[r*cols : (r+1)*cols]
		}
		return out
	}
	q, _ := config["quantization"].(map[string]any)
	if own, ok := q[path].(map[string]any); ok {
		q = own
	}
	bits, group, mode := int(q["bits"].(float64)), int(q["group_size"].(float64)), q["mode"].(string)
	if w.RawDType != "U32" {
		t.Fatalf("%s is %s", w.Name, w.RawDType)
	}
	s := numbers(t, scales)
	var b []float64
	if mode == "affine" {
		b = numbers(t, all[path+".biases"])
	}
	n := cols * 32 / bits
	if len(s) != rows*n/group {
		t.Fatalf("%s: %d scales for [%d, %d] in groups of %d", path, len(s), rows, n, group)
	}
	for r := range out {
		out[r] = make([]float64, n)
		for c := range out[r] {
			code := 0
			for k := range bits {
				at := r*cols*32 + c*bits + k
				code |= int(data[at/8]>>(at%8)&1) << k
			}
			i := (r*n + c) / group
			switch mode {
			case "affine":
				out[r][c] = float64(code)*s[i] + b[i]
			case "mxfp4":
				out[r][c] = float4(code) * math.Ldexp(1, int(s[i])-127)
			case "nvfp4":
				out[r][c] = float4(code) * float8(int(s[i]), 4, 3)
			case "mxfp8":
				out[r][c] = float8(code, 4, 3) * math.Ldexp(1, int(s[i])-127)
			}
		}
	}
	return out
}

func float4(code int) float64 {
	x := []float64{0, 0.5, 1, 1.5, 2, 3, 4, 6}[code&7]
	if code&8 != 0 {
		return -x
	}
	return x
}

// float8 is a number by its code's parts.
func float8(code, exponentBits, mantissaBits int) float64 {
	e, m := code>>mantissaBits&(1<<exponentBits-1), float64(code&(1<<mantissaBits-1))/float64(int(1)<<mantissaBits)
	bias := 1<<(exponentBits-1) - 1
	x := math.Ldexp(1+m, e-bias)
	if e == 0 {
		x = math.Ldexp(m, 1-bias)
	}
	if code&0x80 != 0 {
		x = -x
	}
	return x
}

func numbers(t *testing.T, x weights.Tensor) []float64 {
	t.Helper()
	data, err := x.Bytes()
	if err != nil {
		t.Fatal(err)
	}
	var out []float64
	for i := 0; i < len(data); i += x.DType.Size() {
		switch x.RawDType {
		case "F16":
			out = append(out, float64(dtype.F16ToF32(binary.LittleEndian.Uint16(data[i:]))))
		case "BF16":
			out = append(out, float64(dtype.BF16ToF32(binary.LittleEndian.Uint16(data[i:]))))
		case "F32":
			out = append(out, float64(math.Float32frombits(binary.LittleEndian.Uint32(data[i:]))))
		case "U8":
			out = append(out, float64(data[i]))
		default:
			t.Fatalf("%s is %s", x.Name, x.RawDType)
		}
	}
	return out
}

// same compares bit for bit, or with what float32 makes of the numbers.
func same(t *testing.T, got, want [][]float64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d rows, not %d", len(got), len(want))
	}
	for r := range want {
		if len(got[r]) != len(want[r]) {
			t.Fatalf("row %d has %d columns, not %d", r, len(got[r]), len(want[r]))
		}
		for c := range want[r] {
			if got[r][c] != want[r][c] && got[r][c] != float64(float32(want[r][c])) {
				t.Fatalf("[%d, %d] is %v, not %v", r, c, got[r][c], want[r][c])
			}
		}
	}
}

// embedding is a matrix that no format packs.
func embedding() safetensors.Tensor {
	return floats("model.embed_tokens.weight", dtype.BFloat16, []float64{1, 2, 3, 4}, 2, 2)
}

func name(parts ...any) string { return fmt.Sprint(parts...) }
