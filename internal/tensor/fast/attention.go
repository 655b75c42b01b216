package fast

import (
	"errors"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Attention is softmax(q k^T * Scale + mask) v with an online softmax: the score
// matrix never exists. Inputs are q [B, Hq, L, D], k [B, Hkv, C, D], v [B, Hkv,
// C, Dv], then those of mask, sinks and pos that the fields announce. Query head
// h uses key head h / (Hq/Hkv). A row that may see no key is 0.
type Attention struct {
	Scale tensor.F64
	// SoftCap > 0: scores s become SoftCap * tanh(s / SoftCap) before the mask.
	SoftCap tensor.F64
	// Causal: query i sees keys up to offset + i, where the offset is pos[b] when
	// there is a pos input (int32 [B], keys beyond are not read), else C - L.
	Causal bool
	// Window > 0: a query sees itself and the Window-1 keys before it.
	Window int
	// Ring: keys and values are a ring of C rows, where key t lies in row t % C, as
	// CacheWrite{Ring: C} leaves it. It needs a window and pos, and no mask. The caller
	// sees to it that the ring has what the first query sees: C >= Window-1+L, and C a
	// multiple of 512, unless all keys so far are fewer than C. The bits are those of
	// the same keys in order.
	Ring bool
	// Mask announces an input that broadcasts to [B, Hq, L, C]: bool (true keeps)
	// or floating (added).
	Mask bool
	// Sinks announces an input [Hq]: a logit per head that only the denominator sees.
	Sinks bool
	// Pos announces the position input.
	Pos bool
	// Bits > 0: k and v are three inputs each, as quant.Quantize packs them in groups
	// of Group: words [..., D*Bits/32] uint32, scales and biases [..., D/Group].
	Bits, Group int
}

// Name is the op's name.
func (Attention) Name() string { return "scaled_dot_product_attention" }

// Infer checks ranks, heads and sizes.
func (p Attention) Infer(in []Spec) ([]Spec, error) {
	in, err := p.unpacked(in)
	if err != nil {
		return nil, err
	}
	q, k, v := in[0].Shape, in[1].Shape, in[2].Shape
	if len(q) != 4 || len(k) != 4 || len(v) != 4 {
		return nil, errors.New("needs q, k and v of four axes")
	}
	if q[0] != k[0] || k[0] != v[0] || k[1] != v[1] || k[2] != v[2] || q[3] != k[3] {
		return nil, errors.New("q [B, Hq, Lq, D], k [B, Hkv, Lk, D] and v [B, Hkv, Lk, Dv] do not share B, Hkv, Lk or D")
	}
	if k[1] == 0 || q[1]%k[1] != 0 {
		return nil, fmt.Errorf("%d query heads are no multiple of %d key heads", q[1], k[1])
	}
	d := dtype.Promote(dtype.Promote(in[0].DType, in[1].DType), in[2].DType)
	if !d.Is(dtype.Floating) {
		return nil, fmt.Errorf("%v is not floating", d)
	}
	if p.Ring && (p.Window <= 0 || !p.Causal || !p.Pos || p.Mask) {
		return nil, errors.New("a ring of keys needs a window and a position, and no mask")
	}
	rest := in[3:]
	next := func() (s Spec) { s, rest = rest[0], rest[1:]; return s }
	if p.Mask {
		m := next()
		full := tensor.Shape{q[0], q[1], q[2], k[2]}
		if err := broadcasts(m.Shape, full); err != nil {
			return nil, err
		}
		if m.DType != dtype.Bool && !m.DType.Is(dtype.Floating) {
			return nil, fmt.Errorf("mask of %v is neither bool nor floating", m.DType)
		}
	}
	if p.Sinks {
		if s := next(); len(s.Shape) != 1 || s.Shape[0] != q[1] {
			return nil, fmt.Errorf("sinks %v are not one per query head (%d)", s, q[1])
		}
	}
	if p.Pos {
		if s := next(); s.DType != dtype.Int32 || len(s.Shape) != 1 || s.Shape[0] != q[0] {
			return nil, fmt.Errorf("position %v is not int32(%d,)", s, q[0])
		}
	}
	return []Spec{{Shape: tensor.Shape{q[0], q[1], q[2], v[3]}, DType: d}}, nil
}

// unpacked is in with the specs that packed keys and values have without packing.
func (p Attention) unpacked(in []Spec) ([]Spec, error) {
	if p.Bits == 0 {
		return in, nil
	}
	out := []Spec{in[0]}
	for _, i := range []int{1, 4} {
		s, err := p.unpackedOf(in[i : i+3])
		if err != nil {
			return nil, err
		}
		if len(s.Shape) != 4 {
			return nil, fmt.Errorf("packed arrays have %d axes, not 4", len(s.Shape))
		}
		out = append(out, s)
	}
	if in[0].DType == dtype.Float64 {
		return nil, errors.New("packed keys need queries of float32, float16 or bfloat16")
	}
	return append(out, in[7:]...), nil
}

// unpackedOf is the spec of what words, scales and biases hold.
func (p Attention) unpackedOf(in []Spec) (Spec, error) {
	words, scales, biases := in[0], in[1], in[2]
	n := len(words.Shape)
	if n == 0 || len(scales.Shape) != n || !scales.Equal(biases) || words.DType != dtype.Uint32 || scales.DType == dtype.Float64 {
		return Spec{}, fmt.Errorf("words %v, scales %v and biases %v do not fit", words, scales, biases)
	}
	d := scales.Shape[n-1] * p.Group
	if d*p.Bits != words.Shape[n-1]*32 || !slices.Equal(words.Shape[:n-1], scales.Shape[:n-1]) {
		return Spec{}, fmt.Errorf("words %v and scales %v are not of %d bits in groups of %d", words, scales, p.Bits, p.Group)
	}
	s := slices.Clone(words.Shape)
	s[n-1] = d
	return Spec{Shape: s, DType: scales.DType}, nil
}

func broadcasts(s, t tensor.Shape) error {
	ok := len(s) <= len(t)
	for i := 0; ok && i < len(s); i++ {
		d := t[len(t)-len(s)+i]
		ok = s[i] == d || s[i] == 1
	}
	if !ok {
		return fmt.Errorf("mask %v cannot be broadcast to %v", s, t)
	}
	return nil
}

// AttentionOf attends; mask, sinks and pos may be nil.
func AttentionOf(p Attention, q, k, v, mask, sinks, pos *Array, s Stream) *Array {
	return PackedAttentionOf(p, q, []*Array{k}, []*Array{v}, mask, sinks, pos, s)
}

// PackedAttentionOf attends to keys and values of one array each or, with p.Bits, of
// three: words, scales and biases.
func PackedAttentionOf(p Attention, q *Array, k, v []*Array, mask, sinks, pos *Array, s Stream) *Array {
	in := slices.Concat([]*Array{q}, k, v)
	p.Mask, p.Sinks, p.Pos = mask != nil, sinks != nil, pos != nil
	for _, a := range []*Array{mask, sinks, pos} {
		if a != nil {
			in = append(in, a)
		}
	}
	return tensor.Apply1(p, s, in...)
}
