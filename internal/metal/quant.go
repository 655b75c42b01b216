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

func packedOf(s quant.Scheme, in []View) (p packed, err error) {
	p = packed{Scheme: s, words: &in[0], scales: &in[1], biases: &in[1], ts: "uchar"}
	if s.Mode == quant.Affine {
		p.biases, p.ts = &in[2], floatType(in[2].DType)
	}
	w := in[0].Shape
	p.rows, p.cols = w[:len(w)-1].Size(), w[len(w)-1]*32/s.Bits
	if p.ts == "" {
		err = noKernel("scales of %v", in[2].DType)
	}
	return p, err
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

// A quantProduct is x [M, K] times a packed matrix, transposed or not, or such products of
// matrices of x and packed ones that indices pick.
type quantProduct struct {
	packed
	x, y      *View
	m, n, k   int
	transpose bool
	alone     bool // rows have the bits of a product of one
	halve     bool // weights may be rounded to the type of x
	pairs     int  // of indices; 0 if there are none
	sorted    bool // the indices of matrices
	lhs, rhs  *View
	matrices  [2]int // of x, and packed
}

// quantMatMul is the product with one packed matrix.
func quantMatMul(e *encoder, p quant.MatMul, in, out []View) error {
	w, err := packedOf(p.Scheme, in[1:])
	if err != nil {
		return err
	}
	x := &in[0]
	g := quantProduct{packed: w, x: x, y: &out[0], m: x.Shape[:len(x.Shape)-1].Size(), n: w.rows, k: w.cols,
		transpose: p.Transpose, alone: p.Alone, halve: p.Halve && x.DType == dtype.BFloat16}
	return g.encode(e)
}

// gatherQuantMatMul is products with picked matrices.
func gatherQuantMatMul(e *encoder, p quant.GatherMatMul, in, out []View) error {
	last := len(in) - 2
	w, err := packedOf(p.Scheme, in[1:last])
	if err != nil {
		return err
	}
	lhs, rhs := &in[last], &in[last+1]
	if lhs.DType != dtype.Int64 || rhs.DType != dtype.Int64 {
		return noKernel("indices of %v", dtypesOf(in[last:]))
	}
	x := &in[0]
	ax, aw := len(x.Shape), len(w.words.Shape)
	g := quantProduct{packed: w, x: x, y: &out[0], m: x.Shape[ax-2], n: w.words.Shape[aw-2], k: w.cols, transpose: p.Transpose,
		sorted: p.Sorted, pairs: lhs.Shape.Size(), lhs: lhs, rhs: rhs, matrices: [2]int{x.Shape[:ax-2].Size(), w.words.Shape[:aw-2].Size()}}
	return g.encode(e)
}

// encode picks a kernel: for few rows one that reads the weights at the speed of memory,
// else tiles.
func (g *quantProduct) encode(e *encoder) error {
	tx, ty := floatType(g.x.DType), floatType(g.y.DType)
	if !g.transpose {
		g.n, g.k = g.k, g.n
	}
	if tx == "" || ty == "" {
		return noKernel("a product of %v and packed weights", g.x.DType)
	}
	if max(g.m, g.n, g.k, g.pairs) > math.MaxInt32/64 {
		return noKernel("axes of more than %d elements", math.MaxInt32/64)
	}
	if g.k == 0 {
		return (&product{y: g.y, ty: ty}).zero(e)
	}
	name, types, z := "qmm", []string{tx, g.ts, ty}, max(g.pairs, 1)
	held := "float" // weights in tiles are not rounded, unless they may be
	if g.halve {
		held = tx
	}
	grid, group := [3]int{(g.n + 31) / 32 * 128, (g.m + 31) / 32, z}, [3]int{128, 1, 1}
	var variant []string
	switch {
	case g.inRuns():
		name, types = "qmm_runs", append(types, held)
		grid = [3]int{grid[0], (g.pairs + 31) / 32, 1}
	case g.transpose && (g.alone || g.m <= e.b.limits.vectorRows(g.n, g.k)):
		rows := 1
		if g.m > 1 {
			rows = 4
		}
		name, variant = "qmv", []string{strconv.Itoa(rows)}
		grid, group = [3]int{(g.n + 7) / 8 * 64, (g.m + rows - 1) / rows, z}, [3]int{64, 1, 1}
	case !g.transpose && g.m <= 4:
		name = "qvm"
		grid, group = [3]int{(g.n + 63) / 64 * 256, g.m, z}, [3]int{256, 1, 1}
	default:
		types, variant = append(types, held), []string{strconv.FormatBool(g.transpose)}
	}
	kernel, err := e.kernel("quant", name, append(append(types, g.code()...), variant...))
	if err != nil {
		return err
	}
	e.run(kernel, grid, group, g.arguments(e)...)
	return nil
}

// inRuns says that many single rows are multiplied with few matrices, one after the other.
func (g *quantProduct) inRuns() bool {
	return g.sorted && g.transpose && g.m == 1 && g.pairs >= 16 && g.pairs >= 4*g.matrices[1]
}

func (g *quantProduct) arguments(e *encoder) []arg {
	args := []arg{e.in(g.words), e.in(g.scales), e.in(g.biases), e.in(g.x), e.out(g.y)}
	if g.pairs == 0 {
		return append(args, ints(g.m, g.n, g.k, g.shift(), 0, 0), e.in(g.words), e.in(g.words)) // no indices are read
	}
	rows := g.m
	if g.inRuns() {
		rows = g.pairs
	}
	return append(args, ints(rows, g.n, g.k, g.shift(), g.matrices[0], g.matrices[1]), e.in(g.lhs), e.in(g.rhs))
}

// dequantize picks the kernel that unpacks.
func dequantize(e *encoder, p quant.Dequantize, in, out []View) error {
	w, err := packedOf(p.Scheme, in)
	if err != nil {
		return err
	}
	return w.dequantize(e, e.out(&out[0]), floatType(out[0].DType), out[0].Shape.Size())
}

// dequantize unpacks n values to y, of type ty.
func (p *packed) dequantize(e *encoder, y arg, ty string, n int) error {
	n /= 8
	if p.ts == "" || ty == "" || n > math.MaxInt32 {
		return noKernel("%d unpacked values, or their dtype", 8*n)
	}
	k, err := e.kernel("quant", "dequantize", append([]string{p.ts, ty}, p.code()...))
	if err != nil {
		return err
	}
	grid, group := linear(n)
	e.run(k, grid, group, e.in(p.words), e.in(p.scales), e.in(p.biases), y, i32(p.shift()))
	return nil
}

// quantize picks the kernel that packs.
func quantize(e *encoder, p quant.Quantize, in, out []View) error {
	tx := floatType(in[0].DType)
	groups := in[0].Shape.Size() / p.GroupSize
	if tx == "" || groups > math.MaxInt32/32 {
		return noKernel("%d groups of %v", groups, in[0].DType)
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
