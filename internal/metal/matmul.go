package metal

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// productTypes are the names of the dtypes that products take.
var productTypes = map[tensor.DType]string{
	dtype.Float32: "float", dtype.Float16: "half", dtype.BFloat16: "bfloat", dtype.Complex64: "float2",
}

// A matrix is the layout of the last two axes of a view: ld is the stride of a row, or of
// a column if the columns lie without gaps.
type matrix struct {
	rows, cols int
	ld         int
	transposed bool
}

// matrixOf reads the layout; ok is false if neither axis is without gaps.
func matrixOf(v *View) (m matrix, ok bool) {
	n := len(v.Shape)
	if n < 2 {
		return m, false
	}
	m.rows, m.cols = v.Shape[n-2], v.Shape[n-1]
	r, c := v.Strides[n-2], v.Strides[n-1]
	switch {
	case m.cols <= 1 || c == 1:
		m.ld = r
	case m.rows <= 1 || r == 1:
		m.ld, m.transposed = c, true
	default:
		return m, false
	}
	return m, true
}

// A product is MatMul's a @ b, over batch axes.
type product struct {
	a, b, y    *View
	ma, mb     matrix
	wa, wb     walk
	batch      int
	m, n, k    int
	ta, tb, ty string // types
}

// matmul picks kernels for MatMul.
func matmul(e *encoder, in, out []View) error {
	g := &product{a: &in[0], b: &in[1], y: &out[0]}
	g.ta, g.tb, g.ty = productTypes[g.a.DType], productTypes[g.b.DType], productTypes[g.y.DType]
	if g.ta == "" || g.tb == "" || g.ty == "" {
		return noKernel("a product of %v", dtypesOf(in))
	}
	g.ma, _ = matrixOf(g.a)
	g.mb, _ = matrixOf(g.b)
	g.m, g.k, g.n = g.ma.rows, g.ma.cols, g.mb.cols
	axes := len(g.a.Shape) - 2
	g.batch = g.a.Shape[:axes].Size()
	g.wa, g.wb = newWalk(g.a.Shape[:axes], g.a.Strides[:axes]), newWalk(g.b.Shape[:axes], g.b.Strides[:axes])
	if max(g.m, g.n, g.k, g.batch) > math.MaxInt32/64 {
		return noKernel("axes of more than %d elements", math.MaxInt32/64)
	}
	switch {
	case g.k == 0:
		return g.zero(e)
	case g.y.DType == dtype.Complex64:
		return g.complex(e)
	case g.n == 1:
		return g.vector(e, g.a, g.ma.transposed, g.ta, g.b, g.b.Strides[axes], g.tb)
	case g.m == 1:
		return g.vector(e, g.b, !g.mb.transposed, g.tb, g.a, g.a.Strides[axes+1], g.ta)
	}
	return g.tiles(e)
}

func (g *product) zero(e *encoder) error {
	n := g.y.Shape.Size()
	if n > math.MaxInt32 {
		return noKernel("%d results", n)
	}
	k, err := e.kernel("matmul", "product_zero", []string{g.ty})
	if err != nil {
		return err
	}
	grid, group := linear(n)
	e.run(k, grid, group, e.out(g.y))
	return nil
}

// batches are the arguments that describe the batch axes of both inputs.
func batches(a, b walk) []arg {
	return []arg{ints(a.shape...), longs(a.stride...), ints(b.shape...), longs(b.stride...)}
}

func (g *product) complex(e *encoder) error {
	k, err := e.kernel("matmul", "gemm_complex", []string{g.ta, g.tb})
	if err != nil {
		return err
	}
	axes := len(g.a.Shape) - 2
	a, b := g.a.Strides[axes:], g.b.Strides[axes:]
	args := append([]arg{e.in(g.a), e.in(g.b), e.out(g.y), ints(g.m, g.n, g.k, 1, g.k, len(g.wa.shape), len(g.wb.shape)),
		longs(a[0], a[1], b[0], b[1])}, batches(g.wa, g.wb)...)
	e.run(k, [3]int{g.n, g.m, g.batch}, [3]int{16, 16, 1}, args...)
	return nil
}

// shareRows is how many rows of a matrix at most make simdgroups share them along K.
const shareRows = 1024

// vector is the product of a matrix and a vector; columns says that the matrix lies so
// that neighbours belong to different results.
func (g *product) vector(e *encoder, w *View, columns bool, tw string, x *View, xStride int, tx string) error {
	mw, ww, wx := g.ma, g.wa, g.wb
	rows := g.m
	if w == g.b {
		mw, ww, wx, rows = g.mb, g.wb, g.wa, g.n
	}
	ld := mw.ld
	name, groups, share := "gemv", (rows+31)/32, 0
	consts := []gpu.Const{{Index: 2, Value: xStride == 1}}
	if columns {
		name, consts = "gemv_columns", nil
	} else if rows <= shareRows && g.k >= 512 {
		groups, share = (rows+3)/4, 1
	}
	k, err := e.kernel("matmul", name, []string{tw, tx, g.ty}, consts...)
	if err != nil {
		return err
	}
	args := append([]arg{e.in(w), e.in(x), e.out(g.y), ints(rows, g.k, share, len(ww.shape), len(wx.shape)), longs(ld, xStride)},
		batches(ww, wx)...)
	e.run(k, [3]int{groups * 256, 1, g.batch}, [3]int{256, 1, 1}, args...)
	return nil
}

// tileOf is the size of the tiles: large ones read less, small ones are more.
func (g *product) tileOf(l *limits) int {
	if g.m >= 64 && g.n >= 64 && g.batch*g.m*g.n >= l.large {
		return 64
	}
	return 32
}

// parts is how many parts a product is cut into along K, so that there are enough
// threadgroups for the device.
func (g *product) parts(tile int, l *limits) int {
	groups := g.batch * ((g.m + tile - 1) / tile) * ((g.n + tile - 1) / tile)
	if groups > l.groups || g.k < 512 {
		return 1
	}
	return max(1, min(16, 2*l.groups/groups, g.k/256))
}

func (g *product) tiles(e *encoder) error {
	tile := g.tileOf(e.b.limits)
	parts := g.parts(tile, e.b.limits)
	part := ((g.k+parts-1)/parts + 15) / 16 * 16
	parts = (g.k + part - 1) / part
	y, ty := e.out(g.y), g.ty
	if parts > 1 {
		y, ty = e.scratch(4*parts*g.y.Shape.Size()), "float"
	}
	size := fmt.Sprint(tile)
	k, err := e.kernel("matmul", "gemm", []string{g.ta, g.tb, ty, size, size},
		gpu.Const{Index: 0, Value: g.ma.transposed}, gpu.Const{Index: 1, Value: g.mb.transposed})
	if err != nil {
		return err
	}
	args := append([]arg{e.in(g.a), e.in(g.b), y, ints(g.m, g.n, g.k, parts, part, len(g.wa.shape), len(g.wb.shape)), longs(g.ma.ld, g.mb.ld)},
		batches(g.wa, g.wb)...)
	grid := [3]int{(g.n + tile - 1) / tile * 128, (g.m + tile - 1) / tile, g.batch * parts}
	e.run(k, grid, [3]int{128, 1, 1}, args...)
	if parts == 1 {
		return nil
	}
	sum, err := e.kernel("matmul", "gemm_parts", []string{g.ty})
	if err != nil {
		return err
	}
	n := g.m * g.n
	e.run(sum, [3]int{n, g.batch, 1}, [3]int{256, 1, 1}, y.reading(), e.out(g.y), i32(n), i32(parts))
	return nil
}
