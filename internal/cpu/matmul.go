package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Products are cut into tiles of the result; a tile's bits do not depend on the
// cut, since every element sums over K in the order of the slice kernel.
const (
	tileM  = 64  // rows of x that share the converted rows of w
	tileNT = 64  // columns of the result if the weight is transposed: rows of it
	tileNN = 256 // else: long runs of its rows

	turnedCols = 16 // of a transposed x that are turned at a time
)

// A matrix is the layout of the last two axes of a view.
type matrix struct {
	rows, cols int
	ld         int  // stride of a row, or of a column if transposed
	transposed bool // columns lie one element after the other
}

// matrixOf reads the layout; ok is false if neither axis is without gaps. A
// matrix that can be seen both ways is not transposed, but for one column: a
// vector [K, 1] is rather a row of the transposed matrix.
func matrixOf(v *View) (m matrix, ok bool) {
	n := len(v.Shape)
	m.rows, m.cols = v.Shape[n-2], v.Shape[n-1]
	r, c := v.Strides[n-2], v.Strides[n-1]
	switch {
	case m.cols == 1 && m.rows > 1 && r == 1:
		m.ld, m.transposed = m.rows, true
	case (m.cols <= 1 || c == 1) && (m.rows <= 1 || r >= 0):
		m.ld = r
		if m.rows <= 1 {
			m.ld = m.cols
		}
	case (m.rows <= 1 || r == 1) && (m.cols <= 1 || c >= 0):
		m.ld, m.transposed = c, true
	default:
		return m, false
	}
	return m, true
}

// span is the number of elements from the first to the last.
func (m *matrix) span() int {
	a, b := m.rows, m.cols
	if m.transposed {
		a, b = b, a
	}
	if a == 0 || b == 0 {
		return 0
	}
	return (a-1)*m.ld + b
}

func matmulTask(in, out []View) (task, error) {
	_, fa := elemOf(in[0].DType)
	_, fb := elemOf(in[1].DType)
	if !fa || !fb {
		return wideMatmulTask(in, out), nil
	}
	g := &gemm{a: &in[0], b: &in[1], y: &out[0]}
	g.ma, _ = matrixOf(g.a)
	g.mb, _ = matrixOf(g.b)
	n := len(g.a.Shape)
	g.batch = tensor.Shape(g.a.Shape[:n-2]).Size()
	g.wa, g.wb = newWalk(g.a.Shape[:n-2], g.a.Strides[:n-2]), newWalk(g.b.Shape[:n-2], g.b.Strides[:n-2])
	g.m, g.k, g.n = g.ma.rows, g.ma.cols, g.mb.cols
	if w := g.linear(); w != nil {
		return productTask(&product{weights: w, x: g.a, y: g.y, k: g.k, n: g.n, across: !g.mb.transposed}, g.batch*g.m, simd.Exact), nil
	}
	cost := max(g.batch*g.m*g.n*g.k/2, g.batch*g.m*g.n)
	if g.swapped() {
		g.bm = (g.m + tileNN - 1) / tileNN
		return newTask(g.batch*g.bm, cost, g.runSwapped), nil
	}
	g.width = tileNN
	if g.mb.transposed {
		g.width = tileNT
	}
	g.bm, g.bn = (g.m+tileM-1)/tileM, (g.n+g.width-1)/g.width
	units := g.batch * g.bm * g.bn
	return newTask(units, cost, g.run), nil
}

// linear is b as a matrix of weights if g is the product of rows and one such
// matrix that the kernels of packed weights take, too, or nil. They neither round
// bfloat16 values nor read anything else.
func (g *gemm) linear() *packed {
	one := true
	for i, s := range g.b.Strides[:len(g.b.Strides)-2] {
		one = one && (s == 0 || g.b.Shape[i] == 1)
	}
	if !one || !g.a.Contiguous() || g.a.DType != dtype.BFloat16 || g.b.DType != dtype.BFloat16 {
		return nil
	}
	w := &packed{mode: simd.Dense, bits: 16, group: 32, rows: g.n, cols: g.k, words: g.b, elem: simd.BF16}
	if g.mb.transposed {
		if g.mb.ld != g.k || !simd.K.PlansDense(g.batch*g.m, g.k) {
			return nil
		}
		return w
	}
	w.rows, w.cols = g.k, g.n
	if _, ok := simd.K.QPlanAcross(w.shape(), g.batch*g.m); !ok || g.mb.ld != g.n {
		return nil
	}
	return w
}

// A gemm is a batch of products in float32.
type gemm struct {
	a, b, y *View
	ma, mb  matrix
	wa, wb  walk
	batch   int
	m, n, k int
	bm, bn  int // tiles
	width   int // columns of a tile
}

func (g *gemm) run(s *scratch, c, nc int) {
	lo, hi := span(g.batch*g.bm*g.bn, c, nc)
	var x []float32
	var ldx int
	xbuf := piece[float32](s, min(tileM, g.m)*g.k)
	var cols, ybuf []float32
	if g.ma.transposed {
		cols = piece[float32](s, turnedCols*tileM)
	}
	if g.y.DType != dtype.Float32 {
		ybuf = piece[float32](s, min(tileM, g.m)*g.width)
	}
	for u, have := lo, -1; u < hi; u++ {
		tb, j := u/g.bn, u%g.bn
		t, i0 := tb/g.bm, tb%g.bm*tileM
		rows := min(tileM, g.m-i0)
		if tb != have {
			x, ldx = g.loadX(xbuf, cols, t, i0, rows)
			have = tb
		}
		g.tile(ybuf, x, ldx, t, i0, rows, j*g.width, min(g.width, g.n-j*g.width))
	}
}

// loadX is rows [i0, i0+rows) of a as float32; cols is memory for some columns of a
// transposed one.
func (g *gemm) loadX(buf, cols []float32, t, i0, rows int) ([]float32, int) {
	if g.k == 0 {
		return nil, 0
	}
	off := g.wa.offset(t)
	if !g.ma.transposed {
		off += i0 * g.ma.ld
		n := (rows-1)*g.ma.ld + g.k
		if g.a.DType == dtype.Float32 {
			return at[float32](g.a, off, n), g.ma.ld
		}
		for i := range rows {
			simd.K.Load(buf[i*g.k:(i+1)*g.k], rawAt(g.a, off+i*g.ma.ld, g.k))
		}
		return buf, g.k
	}
	for k := 0; k < g.k; k += turnedCols { // column k holds rows next to each other
		n := min(turnedCols, g.k-k)
		for j := range n {
			simd.K.Load(cols[j*tileM:j*tileM+rows], rawAt(g.a, off+i0+(k+j)*g.ma.ld, rows))
		}
		for i := range rows {
			for j := range buf[i*g.k+k:][:n] {
				buf[i*g.k+k+j] = cols[j*tileM+i]
			}
		}
	}
	return buf, g.k
}

// tile computes rows [i0, +rows) and columns [j0, +cols) of product t.
func (g *gemm) tile(ybuf, x []float32, ldx, t, i0, rows, j0, cols int) {
	base := (t*g.m+i0)*g.n + j0
	y, ldy := ybuf, g.width
	if ybuf == nil {
		y, ldy = at[float32](g.y, base, (rows-1)*g.n+cols), g.n
	}
	off, n := g.wb.offset(t), g.mb.span()
	if g.mb.transposed {
		w := rawAt(g.b, off+j0*g.mb.ld, n-j0*g.mb.ld)
		simd.K.GemmNT(y, ldy, x, ldx, rows, w, g.mb.ld, cols, g.k)
	} else {
		w := rawAt(g.b, off+j0, n-j0)
		simd.K.GemmNN(y, ldy, x, ldx, rows, w, g.mb.ld, cols, g.k)
	}
	if ybuf == nil {
		return
	}
	for i := range rows {
		narrow(unsafe.Add(g.y.Ptr(), (base+i*g.n)*2), ybuf[i*g.width:i*g.width+cols], g.y.DType)
	}
}

// wideMatmulTask serves float64 and complex64 with plain loops: inputs are
// converted to the type of the result, sums are float64 or complex128.
func wideMatmulTask(in, out []View) task {
	a, b, y := operandOf(&in[0]), operandOf(&in[1]), &out[0]
	n := len(in[0].Shape)
	batch := tensor.Shape(in[0].Shape[:n-2]).Size()
	m, k, cols := in[0].Shape[n-2], in[0].Shape[n-1], in[1].Shape[n-1]
	ca, _ := castLoop(in[0].DType, y.DType)
	cb, _ := castLoop(in[1].DType, y.DType)
	const width = 16 // columns that share a conversion of b
	bn := (cols + width - 1) / width
	return newTask(batch*bn, batch*(m+4)*k*cols, func(s *scratch, c, nc int) {
		lo, hi := span(batch*bn, c, nc)
		raw, f := piece[uint64](s, max(k, width)), piece[float32](s, max(k, width))
		row, panel := piece[uint64](s, k), piece[uint64](s, k*width)
		for u := lo; u < hi; u++ {
			t, j0 := u/bn, u%bn*width
			w := min(width, cols-j0)
			for i := range k {
				wideRow(panel[i*width:i*width+w], &b, cb, raw, f, (t*k+i)*cols+j0)
			}
			for i := range m {
				wideRow(row, &a, ca, raw, f, (t*m+i)*k)
				o := (t*m+i)*cols + j0
				if y.DType == dtype.Float64 {
					products[float64, float64](at[float64](y, o, w), row, panel, width)
				} else {
					productsComplex(at[complex64](y, o, w), row, panel, width)
				}
			}
		}
	})
}

// wideRow is elements of o from the lo-th on as 64-bit values.
func wideRow(dst []uint64, o *operand, conv loop, raw []uint64, f []float32, lo int) {
	if len(dst) == 0 {
		return
	}
	p := o.block(raw, lo, len(dst))
	if isHalf(o.v.DType) {
		p = unsafe.Pointer(unsafe.SliceData(widen(f, p, o.v.DType, len(dst))))
	}
	conv(unsafe.Pointer(unsafe.SliceData(dst)), p, nil, nil, len(dst))
}

func products[T, A float](y []T, row, panel []uint64, width int) {
	x := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(row))), len(row))
	w := unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(panel))), len(panel))
	for j := range y {
		var sum A
		for i, v := range x {
			sum += A(A(v) * A(w[i*width+j]))
		}
		y[j] = T(sum)
	}
}

func productsComplex(y []complex64, row, panel []uint64, width int) {
	x := unsafe.Slice((*complex64)(unsafe.Pointer(unsafe.SliceData(row))), len(row))
	w := unsafe.Slice((*complex64)(unsafe.Pointer(unsafe.SliceData(panel))), len(panel))
	for j := range y {
		var sum complex128
		for i, v := range x {
			sum += complex128(v) * complex128(w[i*width+j])
		}
		y[j] = complex64(sum)
	}
}
