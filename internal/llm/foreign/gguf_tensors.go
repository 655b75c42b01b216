package foreign

import (
	"encoding/binary"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/hf/gguf"
	"github.com/mlxgo/mlx/internal/hf/safetensors"
	"github.com/mlxgo/mlx/internal/llm/weights"
)

// ggufTop are Hugging Face's names of what is in no block.
var ggufTop = map[string]string{"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}

// hfName is Hugging Face's name of a GGUF tensor.
func (a *ggufArch) hfName(name string) (string, bool) {
	stem, suffix := name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		stem, suffix = name[:i], name[i:]
	}
	if suffix != ".weight" && suffix != ".bias" {
		return "", false
	}
	if rest, ok := strings.CutPrefix(stem, "blk."); ok {
		n, part, _ := strings.Cut(rest, ".")
		if hf, ok := a.parts[part]; ok {
			return "model.layers." + n + "." + hf + suffix, true
		}
		return "", false
	}
	hf, ok := ggufTop[stem]
	return hf + suffix, ok
}

// GGUFName is the name in a GGUF file of an architecture for Hugging Face's name of a
// tensor; false if the architecture has no such tensor.
func GGUFName(arch, name string) (string, bool) {
	a, ok := ggufArchs[arch]
	if !ok {
		return "", false
	}
	stem, suffix := name, ""
	if i := strings.LastIndexByte(name, '.'); i >= 0 {
		stem, suffix = name[:i], name[i:]
	}
	for gg, hf := range ggufTop {
		if hf == stem {
			return gg + suffix, true
		}
	}
	rest, ok := strings.CutPrefix(stem, "model.layers.")
	if !ok {
		return "", false
	}
	n, part, _ := strings.Cut(rest, ".")
	for gg, hf := range a.parts {
		if hf == part {
			return "blk." + n + "." + gg + suffix, true
		}
	}
	return "", false
}

// tensors are the model's, and the bits of the paths that stay packed.
func (m *ggufModel) tensors() (out []weights.Tensor, schemes map[string]int, err error) {
	schemes = map[string]int{}
	for _, t := range m.file.Tensors() {
		if t.Name == "rope_freqs.weight" { // it is in rope_scaling
			continue
		}
		name, ok := m.arch.hfName(t.Name)
		if !ok {
			return nil, nil, fmt.Errorf("tensor %s is not known in the architecture %s", t.Name, m.name)
		}
		if rest, ok := strings.CutPrefix(name, "model.layers."); ok {
			n, _, _ := strings.Cut(rest, ".")
			if i, err := strconv.Atoi(n); err != nil || i < 0 || i >= m.blocks || n != strconv.Itoa(i) {
				return nil, nil, fmt.Errorf("tensor %s is of no block: there are %d", t.Name, m.blocks)
			}
		}
		order, err := m.order(t)
		if err != nil {
			return nil, nil, err
		}
		g := ggufTensor{m: m, t: t, order: order, name: name}
		switch {
		case len(t.Shape) == 2 && (t.Type == gguf.Q4_0 || t.Type == gguf.Q4_1):
			schemes[strings.TrimSuffix(name, ".weight")] = 4
			out = append(out, g.packed(4)...)
		case len(t.Shape) == 2 && t.Type == gguf.Q8_0:
			schemes[strings.TrimSuffix(name, ".weight")] = 8
			out = append(out, g.packed(8)...)
		default:
			out = append(out, g.plain())
		}
	}
	slices.SortFunc(out, func(a, b weights.Tensor) int { return strings.Compare(a.Name, b.Name) })
	return out, schemes, nil
}

// order is which row of a q or k tensor is each of Hugging Face's rows; nil: the same.
func (m *ggufModel) order(t gguf.Tensor) (func(row int) int, error) {
	if !m.arch.permuted {
		return nil, nil
	}
	heads := 0
	switch _, part, _ := strings.Cut(strings.TrimPrefix(t.Name, "blk."), "."); part {
	case "attn_q.weight", "attn_q.bias":
		heads = m.heads
	case "attn_k.weight", "attn_k.bias":
		heads = m.kvHeads
	default:
		return nil, nil
	}
	if t.Shape[0] != heads*m.headDim {
		return nil, fmt.Errorf("%s has %d rows, and %d heads of %d make %d", t.Name, t.Shape[0], heads, m.headDim, heads*m.headDim)
	}
	d := m.headDim
	return func(row int) int { return row/d*d + GGUFRow(row%d, d) }, nil
}

// GGUFRow is where a GGUF file of Llama has row i of Hugging Face's head of d rows:
// there the two halves, which rotate together, lie one behind the other, here they
// alternate. Source: permute of llama.cpp's convert_hf_to_gguf.py.
func GGUFRow(i, d int) int {
	if half := d / 2; i >= half {
		return 2*(i-half) + 1
	}
	return 2 * i
}

// ggufTensor is a tensor of the file on its way.
type ggufTensor struct {
	m     *ggufModel
	t     gguf.Tensor
	order func(int) int
	name  string // Hugging Face's
}

// rows are the bytes of the tensor's rows in Hugging Face's order.
func (g *ggufTensor) rows() []byte {
	if g.order == nil {
		return g.t.Data
	}
	n := len(g.t.Data) / g.t.Shape[0]
	out := make([]byte, len(g.t.Data))
	for i := range g.t.Shape[0] {
		from := g.order(i) * n
		copy(out[i*n:(i+1)*n], g.t.Data[from:from+n])
	}
	return out
}

var ggufFloats = map[gguf.Type]dtype.DType{gguf.F32: dtype.Float32, gguf.F16: dtype.Float16, gguf.BF16: dtype.BFloat16}

func ggufNew(name string, d dtype.DType, shape []int, data []byte, owner any, make func() ([]byte, error)) weights.Tensor {
	return weights.Tensor{Tensor: safetensors.Tensor{Name: name, DType: d, RawDType: safetensors.RawDType(d), Shape: shape, Data: data}, Owner: owner, Make: make}
}

// plain is the tensor with its own numbers: a view where it can be one.
func (g *ggufTensor) plain() weights.Tensor {
	d, float := ggufFloats[g.t.Type]
	switch {
	case g.m.arch.plusOne && len(g.t.Shape) == 1 && strings.HasSuffix(g.t.Name, "norm.weight"):
		return ggufNew(g.name, dtype.Float32, g.t.Shape, nil, nil, g.lessOne)
	case float && g.order == nil:
		return ggufNew(g.name, d, g.t.Shape, g.t.Data, g.m.file, nil)
	case float:
		return ggufNew(g.name, d, g.t.Shape, nil, nil, func() ([]byte, error) { return g.rows(), nil })
	}
	d = g.m.wide
	return ggufNew(g.name, d, g.t.Shape, nil, nil, func() ([]byte, error) {
		data, err := gguf.Decode(g.t.Type, g.rows(), d)
		if err != nil {
			err = fmt.Errorf("%w; %v of it cannot be read here", err, g.t.Type)
		}
		return data, err
	})
}

// lessOne takes off the 1 of a norm's weights.
func (g *ggufTensor) lessOne() ([]byte, error) {
	x := make([]float32, g.t.Elements())
	gguf.Dequantize(x, g.t.Type, g.t.Data)
	out := make([]byte, 0, 4*len(x))
	for _, v := range x {
		out = binary.LittleEndian.AppendUint32(out, math.Float32bits(v-1))
	}
	return out, nil
}

// packed are the tensor's codes, scales and biases in MLX's affine packing: groups of 32,
// codes in a row from the lowest bits of uint32 on, w = scale*code + bias. Nothing is
// rounded: biases are multiples of the scale by a power of two, or the file's own.
func (g *ggufTensor) packed(bits int) []weights.Tensor {
	rows, cols := g.t.Shape[0], g.t.Shape[1]
	path := strings.TrimSuffix(g.name, ".weight")
	groups := []int{rows, cols / 32}
	return []weights.Tensor{
		ggufNew(path+".weight", dtype.Uint32, []int{rows, cols * bits / 32}, nil, nil, func() ([]byte, error) { return g.codes(bits), nil }),
		ggufNew(path+".scales", dtype.Float16, groups, nil, nil, func() ([]byte, error) { return g.halves(0), nil }),
		ggufNew(path+".biases", dtype.Float16, groups, nil, nil, g.biases),
	}
}

// codes are the codes of all blocks. Q4 has elements 0..15 in the low nibbles and 16..31
// in the high ones; int8 becomes unsigned by turning its sign bit.
func (g *ggufTensor) codes(bits int) []byte {
	data, size := g.rows(), g.t.Type.BlockBytes()
	out := make([]byte, len(data)/size*4*bits)
	to := out
	for ; len(data) > 0; data, to = data[size:], to[4*bits:] {
		if bits == 8 {
			for i, q := range data[2:34] {
				to[i] = q ^ 0x80
			}
			continue
		}
		q := data[size-16 : size]
		for i := 0; i < 16; i += 2 {
			to[i/2] = q[i]&15 | q[i+1]<<4
			to[8+i/2] = q[i]>>4 | q[i+1]&0xf0
		}
	}
	return out
}

// halves are the float16 at an offset of each block.
func (g *ggufTensor) halves(at int) []byte {
	data, size := g.rows(), g.t.Type.BlockBytes()
	out := make([]byte, 0, len(data)/size*2)
	for ; len(data) > 0; data = data[size:] {
		out = append(out, data[at], data[at+1])
	}
	return out
}

// biases are Q4_1's minima, -8 times the scale of Q4_0, -128 times that of Q8_0.
func (g *ggufTensor) biases() ([]byte, error) {
	if g.t.Type == gguf.Q4_1 {
		return g.halves(2), nil
	}
	zero := float32(8)
	if g.t.Type == gguf.Q8_0 {
		zero = 128
	}
	out := g.halves(0)
	for i := 0; i < len(out); i += 2 {
		d := dtype.F16ToF32(binary.LittleEndian.Uint16(out[i:]))
		h := dtype.F32ToF16(-zero * d)
		if h&0x7c00 == 0x7c00 {
			return nil, fmt.Errorf("a block of %v has the scale %g, too large for this program", g.t.Type, d)
		}
		binary.LittleEndian.PutUint16(out[i:], h)
	}
	return out, nil
}
