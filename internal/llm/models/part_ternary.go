package models

import (
	"encoding/binary"
	"fmt"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/nn"
)

// ternary is how BitNet's matrices are stored: in the files as codes of 2 bits, or as
// floats that are rounded to three values when they are used.
type ternary struct {
	packed  bool // else floats
	inverse bool // the files have the inverse of the scale
}

// newLinear is a matrix of a block.
func (s *spec) newLinear(in, out int, bias bool) nn.Layer {
	if s.ternary == nil {
		return nn.NewLinear(in, out, nn.Bias(bias))
	}
	l := &bitLinear{ternary: *s.ternary, in: in, out: out}
	if bias {
		l.Bias = mlx.Zeros(mlx.Shape{out}, mlx.Float32)
	}
	if l.packed {
		l.Weight, l.WeightScale = mlx.Zeros(mlx.Shape{(out + 3) / 4, in}, mlx.Uint8), mlx.Ones(mlx.Shape{1})
	} else {
		l.Weight = nn.NewLinear(in, out, nn.Bias(false)).Weight
	}
	return l
}

// bitLinear is a product of activations, rounded to 8 bits by token, with a matrix of
// -1, 0 and 1 times a scale.
type bitLinear struct {
	Weight      *mlx.Array // uint8 [out/4, in]: rows i, i+out/4, ... in the bits of row i; or floats [out, in]
	WeightScale *mlx.Array // [1]; nil with floats
	Bias        *mlx.Array // [out] or nil

	ternary
	in, out int
	ready   *nn.QuantizedLinear // the packed matrix as others of 2 bits; nil before
}

// Forward is [..., in] to [..., out].
func (l *bitLinear) Forward(x *mlx.Array) *mlx.Array {
	x = rounded8(x)
	var y *mlx.Array
	if l.packed {
		y = l.ready.Forward(x).AsType(x.DType())
	} else {
		y = mlx.MatMul(x, ternaryOf(l.Weight, x.DType()).T())
	}
	if l.Bias != nil {
		y = y.Add(l.Bias)
	}
	return y
}

// rounded8 is x in 255 steps of the largest element of each token.
func rounded8(x *mlx.Array) *mlx.Array {
	y := x.AsType(mlx.Float32)
	scale := mlx.Full(mlx.Shape{}, 127).Div(mlx.Maximum(mlx.Max(mlx.Abs(y), mlx.Axis(-1), mlx.KeepDims(true)), 1e-5))
	return round8(y.Mul(scale)).Div(scale).AsType(x.DType())
}

// round8 is the nearest integer of int8's range, the even one of two, in float32.
func round8(x *mlx.Array) *mlx.Array {
	const magic = 3 << 22 // float32 has no fractions there
	return mlx.Minimum(mlx.Maximum(x, -128), 127).Add(float64(magic)).Sub(float64(magic))
}

// ternaryOf is w in multiples -1, 0 and 1 of its mean magnitude, in dtype d.
func ternaryOf(w *mlx.Array, d mlx.DType) *mlx.Array {
	y := w.AsType(mlx.Float32)
	scale := mlx.Maximum(mlx.Mean(mlx.Abs(y)), 1e-5)
	return mlx.Minimum(mlx.Maximum(round8(y.Div(scale)), -1), 1).Mul(scale).AsType(d)
}

// prepare turns the codes of the files into the layout of affine quantization: code c
// stands for (c-1)*scale. The sizes are those that checkTernary allows.
func (l *bitLinear) prepare() {
	group := 128
	for l.in%group != 0 {
		group /= 2
	}
	codes := l.Weight.Bytes()
	words := make([]uint32, l.out*l.in/16)
	for row := range l.out {
		from, shift := codes[row%(l.out/4)*l.in:][:l.in], row/(l.out/4)*2
		to := words[row*l.in/16:][:l.in/16]
		for i, b := range from {
			to[i/16] |= uint32(b>>shift&3) << (i % 16 * 2)
		}
	}
	scale := mlx.Item[float32](l.WeightScale.AsType(mlx.Float32))
	if l.inverse {
		scale = 1 / scale
	}
	raw := make([]byte, 0, 4*len(words))
	for _, w := range words {
		raw = binary.LittleEndian.AppendUint32(raw, w)
	}
	shape := mlx.Shape{l.out, l.in / group}
	l.ready = &nn.QuantizedLinear{
		Weight: mlx.FromBytes(raw, mlx.Shape{l.out, l.in / 16}, mlx.Uint32),
		Scales: mlx.Full(shape, scale), Biases: mlx.Full(shape, -scale),
		Scheme: mlx.Scheme{Mode: "affine", Bits: 2, GroupSize: group},
	}
}

// ternaryConfig is BitNet's quantization_config.
type ternaryConfig struct {
	Method string   `json:"quant_method"`
	Class  string   `json:"linear_class"`
	Mode   string   `json:"quantization_mode"`
	Except []string `json:"modules_to_not_convert"`
}

// ternary is what the blocks' matrices are by the configuration, nil for floats.
func (c *ternaryConfig) ternary() (*ternary, error) {
	if c == nil || c.Method != "bitnet" {
		return nil, nil
	}
	for _, name := range c.Except {
		if name != "lm_head" {
			return nil, fmt.Errorf("config.json: quantization_config: modules_to_not_convert has %q; only lm_head can be left out", name)
		}
	}
	auto := c.Class == "autobitlinear"
	return &ternary{packed: !auto || c.Mode != "online", inverse: !auto}, nil
}

// checkTernary refuses sizes that packed matrices cannot have.
func (s *spec) checkTernary() error {
	if s.ternary == nil || !s.ternary.packed {
		return nil
	}
	for _, n := range []int{s.hidden, s.inner, s.heads * s.headDim, s.kvHeads * s.headDim} {
		if n%32 != 0 {
			return fmt.Errorf("config.json: packed ternary matrices need sizes that are multiples of 32, not %d", n)
		}
	}
	return nil
}
