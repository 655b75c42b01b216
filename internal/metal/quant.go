package metal

import (
	"math"
	"math/bits"
	"strconv"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// quantModes are the modes' numbers in kernels/codes.h.
var quantModes = map[quant.Mode]int{quant.Affine: 0, quant.MXFP4: 1, quant.MXFP8: 2, quant.NVFP4: 3}

// A packed matrix: weight, scales and biases, which are the scales again for modes that
// have none.
type packed struct {
	quant.Scheme
	words, scales, biases *View
	rows, cols            int
	ts                    string // type of scales
}

func packedOf(s quant.Scheme, in []View) (p packed, ok bool) {
	p = packed{Scheme: s, words: &in[0], scales: &in[1], biases: &in[1], ts: "uchar"}
	if s.Mode == quant.Affine {
		p.biases, p.ts = &in[2], floatType(in[2].DType)
	}
	w := in[0].Shape
	p.rows, p.cols = w[:len(w)-1].Size(), w[len(w)-1]*32/s.Bits
	return p, p.ts != ""
}

// floatType is a dtype that sums in float32 hold, or "".
func floatType(d tensor.DType) string {
	if d == dtype.Complex64 {
		return ""
	}
	return productTypes[d]
}

// code are the template arguments for bits and mode.
func (p *packed) code() []string {
	return []string{strconv.Itoa(p.Bits), strconv.Itoa(quantModes[p.Mode])}
}

// shift is the logarithm of the group size.
func (p *packed) shift() int { return bits.TrailingZeros(uint(p.GroupSize)) }

// quantMatMul picks kernels for products with packed matrices.
func quantMatMul(e *encoder, p quant.MatMul, in, out []View) error {
	w, ok := packedOf(p.Scheme, in[1:])
	x, y := &in[0], &out[0]
	tx, ty := floatType(x.DType), floatType(y.DType)
	m := x.Shape[:len(x.Shape)-1].Size()
	n, k := w.rows, w.cols
	if !p.Transpose {
		n, k = k, n
	}
	if !ok || tx == "" || ty == "" || max(m, n, k) > math.MaxInt32/64 {
		return tensor.ErrUnsupported
	}
	if k == 0 {
		return (&product{y: y, ty: ty}).zero(e)
	}
	name, types := "qmm", []string{tx, w.ts, ty}
	grid, group := [3]int{(n + 31) / 32 * 128, (m + 31) / 32, 1}, [3]int{128, 1, 1}
	var variant []string
	switch vectors := e.b.vectorRows(n, k); {
	case p.Transpose && (p.Alone || m <= vectors):
		rows := 1
		if m > 1 {
			rows = 4
		}
		name, variant = "qmv", []string{strconv.Itoa(rows)}
		grid, group = [3]int{(n + 7) / 8 * 64, (m + rows - 1) / rows, 1}, [3]int{64, 1, 1}
	case !p.Transpose && m <= 4:
		name = "qvm"
		grid, group = [3]int{(n + 63) / 64 * 256, m, 1}, [3]int{256, 1, 1}
	default:
		held := "float" // weights are not rounded, unless they may be
		if p.Halve && x.DType == dtype.BFloat16 {
			held = tx
		}
		types = append(types, held)
		variant = []string{strconv.FormatBool(p.Transpose)}
	}
	kernel, err := e.kernel("quant", name, append(append(types, w.code()...), variant...))
	if err != nil {
		return err
	}
	e.run(kernel, grid, group, e.in(w.words), e.in(w.scales), e.in(w.biases), e.in(x), e.out(y), ints(m, n, k, w.shift()))
	return nil
}

// dequantize picks the kernel that unpacks.
func dequantize(e *encoder, p quant.Dequantize, in, out []View) error {
	w, ok := packedOf(p.Scheme, in)
	ty := floatType(out[0].DType)
	n := out[0].Shape.Size() / 8
	if !ok || ty == "" || n > math.MaxInt32 {
		return tensor.ErrUnsupported
	}
	k, err := e.kernel("quant", "dequantize", append([]string{w.ts, ty}, w.code()...))
	if err != nil {
		return err
	}
	grid, group := linear(n)
	e.run(k, grid, group, e.in(w.words), e.in(w.scales), e.in(w.biases), e.out(&out[0]), i32(w.shift()))
	return nil
}

// quantize picks the kernel that packs.
func quantize(e *encoder, p quant.Quantize, in, out []View) error {
	tx := floatType(in[0].DType)
	groups := in[0].Shape.Size() / p.GroupSize
	if tx == "" || groups > math.MaxInt32/32 {
		return tensor.ErrUnsupported
	}
	name, args := "quantize_affine", []string{tx}
	buffers := []arg{e.in(&in[0]), e.out(&out[0]), e.out(&out[1])}
	if p.Mode == quant.Affine {
		buffers = append(buffers, e.out(&out[2]))
	} else {
		name, args = "quantize_fp", append(args, strconv.Itoa(quantModes[p.Mode]))
	}
	k, err := e.kernel("quantize", name, args)
	if err != nil {
		return err
	}
	e.run(k, [3]int{(groups + 7) / 8 * 256, 1, 1}, [3]int{256, 1, 1},
		append(buffers, ints(groups, p.GroupSize, p.Bits, int(p.Rounding)))...)
	return nil
}
