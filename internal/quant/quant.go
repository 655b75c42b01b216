// Package quant declares quantization: Scheme, which says how a matrix is
// packed, and the primitives Quantize, Dequantize and MatMul on packed weights.
// The layout is MLX's, byte for byte: mlx safetensors are used as they are.
//
// It has no kernels and no layers; calibrated methods live in packages below it.
package quant

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/opt"
	"github.com/mlxgo/mlx/internal/tensor"
)

type (
	// Array, Spec and Stream are the graph's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Stream = tensor.Stream
)

// Mode is a family of codes: "affine", "mxfp4", "mxfp8" or "nvfp4". As an
// argument it is mode=.
type Mode string

// The modes.
const (
	Affine Mode = "affine"
	MXFP4  Mode = "mxfp4"
	MXFP8  Mode = "mxfp8"
	NVFP4  Mode = "nvfp4"
)

// ForQuant makes a mode an argument of quantization.
func (m Mode) ForQuant(o *opt.Set) { o.Mode = string(m) }

// Rounding says which of MLX's quantizers to follow where they differ in ties and
// all-negative groups: Metal, which made the files that people have, or the CPU.
type Rounding int

// The roundings.
const (
	RoundMetal Rounding = iota
	RoundCPU
)

func (r Rounding) String() string {
	if r == RoundCPU {
		return "mlx-cpu"
	}
	return "mlx-metal"
}

// ForQuant makes a rounding an argument of quantization.
func (r Rounding) ForQuant(o *opt.Set) { o.Rounding = int(r) }

// Scheme is how a matrix is quantized. Zero fields stand for MLX's defaults: mode
// affine, group size 64 and 4 bits (mxfp4: 32, 4; mxfp8: 32, 8; nvfp4: 16, 4).
// As an argument it is group_size=, bits=, mode= and the rounding at once.
type Scheme struct {
	GroupSize int
	Bits      int
	Mode      Mode
	Rounding  Rounding
}

// ForQuant makes a scheme an argument of quantization.
func (s Scheme) ForQuant(o *opt.Set) {
	o.GroupSize, o.Bits, o.Mode, o.Rounding = s.GroupSize, s.Bits, string(s.Mode), int(s.Rounding)
}

// ForQuantize makes a scheme an argument of nn.quantize.
func (s Scheme) ForQuantize(o *opt.Set) { s.ForQuant(o) }

// ForQuantize makes a mode an argument of nn.quantize.
func (m Mode) ForQuantize(o *opt.Set) { m.ForQuant(o) }

// ForQuantize makes a rounding an argument of nn.quantize.
func (r Rounding) ForQuantize(o *opt.Set) { r.ForQuant(o) }

func (s Scheme) String() string {
	return fmt.Sprintf("%s bits %d group %d", s.Mode, s.Bits, s.GroupSize)
}

var defaults = map[Mode]Scheme{
	Affine: {GroupSize: 64, Bits: 4},
	MXFP4:  {GroupSize: 32, Bits: 4},
	MXFP8:  {GroupSize: 32, Bits: 8},
	NVFP4:  {GroupSize: 16, Bits: 4},
}

// Resolve fills in the defaults and refuses what MLX does not have.
func (s Scheme) Resolve() (Scheme, error) {
	if s.Mode == "" {
		s.Mode = Affine
	}
	d, ok := defaults[s.Mode]
	if !ok {
		return s, fmt.Errorf("quantization mode %q is not affine, mxfp4, mxfp8 or nvfp4", s.Mode)
	}
	if s.GroupSize == 0 {
		s.GroupSize = d.GroupSize
	}
	if s.Bits == 0 {
		s.Bits = d.Bits
	}
	if s.Mode != Affine {
		if s.GroupSize != d.GroupSize || s.Bits != d.Bits {
			return s, fmt.Errorf("quantization mode %s has group size %d and %d bits, not %d and %d", s.Mode, d.GroupSize, d.Bits, s.GroupSize, s.Bits)
		}
		return s, nil
	}
	if !slices.Contains([]int{2, 3, 4, 5, 6, 8}, s.Bits) {
		return s, fmt.Errorf("quantization to %d bits is not supported: use 2, 3, 4, 5, 6 or 8", s.Bits)
	}
	if !slices.Contains([]int{32, 64, 128}, s.GroupSize) {
		return s, fmt.Errorf("quantization group size %d is not supported: use 32, 64 or 128", s.GroupSize)
	}
	return s, nil
}

// Primitives. Inputs are x (for MatMul), the packed weight [..., N, K*Bits/32]
// uint32, scales [..., N, K/GroupSize] and, for affine, biases.
type (
	// Quantize packs w [..., N, K] and gives weight, scales and, for affine, biases.
	Quantize struct{ Scheme }
	// Dequantize unpacks to To.
	Dequantize struct {
		Scheme
		To tensor.DType
	}
	// MatMul is x [..., M, K] @ w^T, or x @ w without Transpose (w [K, N] packed
	// along N), on packed weights.
	MatMul struct {
		Scheme
		Transpose bool
		Round     bool // x of half precision may become the integers or bfloat16 values of fast kernels
		Halve     bool // weights may be rounded to the dtype of x, in gradients too
		Alone     bool // a row has the bits that it has in a product of one row
	}
)

// Name is the op's name.
func (Quantize) Name() string   { return "quantize" }
func (Dequantize) Name() string { return "dequantize" }
func (MatMul) Name() string     { return "quantized_matmul" }

// Infer checks that groups divide the last axis.
func (p Quantize) Infer(in []Spec) ([]Spec, error) {
	s := in[0].Shape
	if len(s) < 2 || !in[0].DType.Is(dtype.Floating) || in[0].DType == dtype.Float64 {
		return nil, errors.New("needs a floating matrix")
	}
	k := s[len(s)-1]
	if k%p.GroupSize != 0 || k*p.Bits%32 != 0 {
		return nil, fmt.Errorf("the last axis %d is no multiple of the group size %d", k, p.GroupSize)
	}
	w, g := slices.Clone(s), slices.Clone(s)
	w[len(s)-1], g[len(s)-1] = k*p.Bits/32, k/p.GroupSize
	out := []Spec{{Shape: w, DType: dtype.Uint32}, {Shape: g, DType: in[0].DType}}
	if p.Mode == Affine {
		return append(out, out[1]), nil
	}
	out[1].DType = dtype.Uint8
	return out, nil
}

// check is the shape of the unpacked matrix.
func (s Scheme) check(in []Spec) (tensor.Shape, error) {
	want := 2
	if s.Mode == Affine {
		want = 3
	}
	if len(in) != want {
		if s.Mode == Affine {
			return nil, errors.New("affine needs biases beside the scales")
		}
		return nil, fmt.Errorf("%s has scales and no biases", s.Mode)
	}
	w, g := in[0].Shape, in[1].Shape
	n := len(w)
	if n < 2 || len(g) != n || in[0].DType != dtype.Uint32 || !slices.Equal(w[:n-1], g[:n-1]) {
		return nil, fmt.Errorf("weight %v is not uint32 [..., N, W] with scales [..., N, G]: they are %v", in[0], in[1])
	}
	k := g[n-1] * s.GroupSize
	if w[n-1]*32 != k*s.Bits {
		return nil, fmt.Errorf("weight %v and scales %v are not of %v", in[0], in[1], s)
	}
	if s.Mode == Affine {
		if !in[2].Equal(in[1]) || !in[1].DType.Is(dtype.Floating) || in[1].DType == dtype.Float64 {
			return nil, fmt.Errorf("biases %v differ from scales %v, or are not float32, float16 or bfloat16", in[2], in[1])
		}
	} else if in[1].DType != dtype.Uint8 {
		return nil, fmt.Errorf("scales of %s are uint8, not %v", s.Mode, in[1].DType)
	}
	out := slices.Clone(w)
	out[n-1] = k
	return out, nil
}

// Infer unpacks the shape.
func (p Dequantize) Infer(in []Spec) ([]Spec, error) {
	s, err := p.check(in)
	if err != nil {
		return nil, err
	}
	if !p.To.Is(dtype.Floating) || p.To == dtype.Float64 {
		return nil, fmt.Errorf("cannot dequantize to %v", p.To)
	}
	return []Spec{{Shape: s, DType: p.To}}, nil
}

// Infer checks the inner dimensions.
func (p MatMul) Infer(in []Spec) ([]Spec, error) {
	w, err := p.check(in[1:])
	if err != nil {
		return nil, err
	}
	x := in[0]
	if len(x.Shape) == 0 || !x.DType.Is(dtype.Floating) || x.DType == dtype.Float64 {
		return nil, errors.New("x must be floating, with an axis")
	}
	if len(w) != 2 {
		return nil, fmt.Errorf("the packed weight has %d axes, not 2", len(w))
	}
	k, n := w[1], w[0]
	if !p.Transpose {
		k, n = n, k
	}
	s := slices.Clone(x.Shape)
	if s[len(s)-1] != k {
		return nil, fmt.Errorf("inner dimensions differ (%d, %d)", s[len(s)-1], k)
	}
	s[len(s)-1] = n
	d := x.DType
	if p.Mode == Affine {
		d = dtype.Promote(d, in[2].DType)
	}
	return []Spec{{Shape: s, DType: d}}, nil
}

// must resolves a scheme or panics with *tensor.Error.
func must(op string, s Scheme) Scheme {
	r, err := s.Resolve()
	if err != nil {
		panic(&tensor.Error{Op: op, Err: err})
	}
	return r
}

// QuantizeOf packs w; the result is weight, scales and, for affine, biases.
func QuantizeOf(w *Array, s Scheme, on Stream) []*Array {
	return tensor.Apply(Quantize{must("quantize", s)}, on, w)
}

// DequantizeOf unpacks; biases is nil but for affine.
func DequantizeOf(weight, scales, biases *Array, s Scheme, to tensor.DType, on Stream) *Array {
	s = must("dequantize", s)
	s.Rounding = 0 // of no meaning here: equal ops compare equal
	return tensor.Apply1(Dequantize{s, to}, on, packed(weight, scales, biases)...)
}

// MatMulOf is x times the packed weight.
func MatMulOf(x, weight, scales, biases *Array, p MatMul, on Stream) *Array {
	p.Scheme = must("quantized_matmul", p.Scheme)
	p.Rounding = 0
	if d := x.DType(); d.Is(dtype.Integer) || d == dtype.Bool { // as MLX: integers take the scales' dtype
		d = dtype.Float32
		if p.Mode == Affine && scales.DType().Is(dtype.Floating) {
			d = scales.DType()
		}
		x = tensor.AsType(x, d, on)
	}
	in := append([]*Array{x}, packed(weight, scales, biases)...)
	return tensor.Apply1(p, on, in...)
}

// RowsAlone is p, if it is a product with the rows Alone.
func RowsAlone(p tensor.Primitive) tensor.Primitive {
	if m, ok := p.(MatMul); ok {
		m.Alone = true
		return m
	}
	return p
}

func packed(weight, scales, biases *Array) []*Array {
	if biases == nil {
		return []*Array{weight, scales}
	}
	return []*Array{weight, scales, biases}
}
