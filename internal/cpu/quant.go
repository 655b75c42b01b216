package cpu

import (
	"errors"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

var (
	simdModes = map[quant.Mode]simd.Mode{
		quant.Affine: simd.Affine, quant.MXFP4: simd.MXFP4, quant.MXFP8: simd.MXFP8, quant.NVFP4: simd.NVFP4,
	}
	simdRoundings = map[quant.Rounding]simd.Rounding{quant.RoundMetal: simd.RoundMetal, quant.RoundCPU: simd.RoundCPU}

	errWideScales = errors.New("scales of float64 are not supported")
)

// A packed matrix: where the parts of a QMatrix come from at run time.
type packed struct {
	mode          simd.Mode
	bits, group   int
	rows, cols    int
	words, scales *View
	biases        *View // nil but for affine
	elem          simd.Elem
}

// packedOf reads weight, scales and biases; leading axes are rows.
func packedOf(s quant.Scheme, in []View) (*packed, error) {
	w := in[0].Shape
	n := len(w)
	p := &packed{mode: simdModes[s.Mode], bits: s.Bits, group: s.GroupSize, rows: w[:n-1].Size(), cols: w[n-1] * 32 / s.Bits, words: &in[0], scales: &in[1]}
	if s.Mode == quant.Affine {
		e, ok := elemOf(in[1].DType)
		if !ok {
			return nil, errWideScales
		}
		p.biases, p.elem = &in[2], e
	}
	q := simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group}
	return p, q.Check()
}

// matrix fills q with the memory of now.
func (p *packed) matrix(q *simd.QMatrix) *simd.QMatrix {
	if p.mode == simd.Dense {
		*q = simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group, Rows: p.rows, Cols: p.cols, Elem: p.elem,
			Words: simd.Uint32s(rawAt(p.words, 0, p.rows*p.cols).Data)}
		return q
	}
	*q = simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group, Rows: p.rows, Cols: p.cols, Elem: p.elem,
		Words: all[uint32](p.words), Scales: p.scales.HostBytes()}
	if p.biases != nil {
		q.Biases = p.biases.HostBytes()
	}
	return q
}

func qmatmulTask(p quant.MatMul, in, out []View) (task, error) {
	w, err := packedOf(p.Scheme, in[1:])
	if err != nil {
		return task{}, err
	}
	x, y := &in[0], &out[0]
	m := x.Shape[:len(x.Shape)-1].Size()
	_, okx := elemOf(x.DType)
	_, oky := elemOf(y.DType)
	if !okx || !oky {
		return task{}, tensor.ErrUnsupported
	}
	if !p.Transpose {
		g := &product{weights: w, x: x, y: y, k: w.rows, n: w.cols, across: true}
		if p.Halve && x.DType == dtype.BFloat16 {
			if _, ok := g.planAcross(m); ok {
				return productTask(g, m, simd.Halved), nil
			}
		}
		return newQGemmNN(w, x, y, m).task(), nil
	}
	precision := simd.Exact
	switch {
	case p.Round && isHalf(x.DType):
		precision = simd.Rounded
	case p.Halve && x.DType == dtype.BFloat16:
		precision = simd.Halved
	}
	return productTask(&product{weights: w, x: x, y: y, k: w.cols, n: w.rows, alone: p.Alone}, m, precision), nil
}

// A product is x·Wᵀ with packed W, or x·W if it goes across: the rows of x are prepared once, by all
// threads, and then read by all.
type product struct {
	weights *packed
	x, y    *View
	k, n    int
	alone   bool // see quant.MatMul
	across  bool
	first   int // row of x
	plan    simd.QPlan
	rows    int // of a unit
	bm, bn  int // units
}

// maxPrep bounds the memory of prepared rows: products of more are cut.
const maxPrep = 64 << 20

// prepKey is what products with the same x must share to share its preparation.
type prepKey struct {
	plan        simd.QPlan
	mode        simd.Mode
	bits, group int
	k           int
	alone       int // rows, each by a plan of its own; 0: all by one
}

// productTask is a product of m rows, or a chain of products of as many rows as
// maxPrep has room for.
func productTask(g *product, m int, p simd.Precision) task {
	w := g.weights
	whole := g.planOf(m, p)
	if g.alone && m > 1 {
		if one := g.planOf(1, p); !one.SameSums(&whole) {
			t := g.rowByRow(one, m)
			t.prep = &prepKey{one, w.mode, w.bits, w.group, g.k, m}
			return t
		}
	}
	if whole.Prep <= maxPrep || m <= whole.Rows {
		t := g.task(whole)
		t.prep = &prepKey{whole, w.mode, w.bits, w.group, g.k, 0}
		return t
	}
	rows := max(maxPrep/(whole.Prep/m)/whole.Rows, 1) * whole.Rows
	var first *task
	for end := m; end > 0; {
		part := *g
		part.first = (end - 1) / rows * rows
		t := part.task(part.planOf(end-part.first, p))
		last := &t
		for last.then != nil {
			last = last.then
		}
		last.then, first = first, &t
		end = part.first
	}
	return *first
}

// planOf is the plan for m rows.
func (g *product) planOf(m int, p simd.Precision) simd.QPlan {
	if g.across {
		pl, _ := g.planAcross(m)
		return pl
	}
	return simd.K.QPlan(g.weights.shape(), m, p)
}

func (g *product) planAcross(m int) (simd.QPlan, bool) {
	return simd.K.QPlanAcross(g.weights.shape(), m)
}

// shape is the matrix without its memory.
func (p *packed) shape() *simd.QMatrix {
	return &simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group, Rows: p.rows, Cols: p.cols, Elem: p.elem}
}

// task is the passes over the rows of x, then the product.
func (g *product) task(plan simd.QPlan) task {
	g.plan = plan
	pl, m := &g.plan, plan.M
	g.bn = (g.n + pl.Cols - 1) / pl.Cols
	g.rows = m
	if want := 4 * Workers(); m > pl.Rows && g.bn < want { // few columns: cut rows, too
		parts := min((want+g.bn-1)/max(g.bn, 1), (m+pl.Rows-1)/pl.Rows)
		g.rows = ((m+parts-1)/parts + pl.Rows - 1) / pl.Rows * pl.Rows
	}
	g.bm = (m + g.rows - 1) / max(g.rows, 1)
	t := newTask(g.bm*g.bn, max(m*g.n*g.k, m*g.n), g.run)
	units := (m + pl.Rows - 1) / pl.Rows
	for pass := pl.Passes - 1; pass >= 0; pass-- {
		then := t
		t = newTask(units, 2*m*g.k, func(s *scratch, c, nc int) { g.prepare(s, pass, c, nc) })
		t.shared, t.then = pl.Prep, &then
	}
	return t
}

// rowByRow is m products of one row, few: they take turns at each range of columns, so
// that memory gives the weights once and cache the rest.
func (g *product) rowByRow(one simd.QPlan, m int) task {
	g.plan = one
	pl, w := &g.plan, g.weights
	line := (pl.Prep + 63) &^ 63
	g.bn = (g.n + pl.Cols - 1) / pl.Cols
	t := newTask(g.bn, m*g.n*g.k, func(s *scratch, c, nc int) {
		q, work := w.matrix(&s.q), piece[byte](s, pl.Scratch)
		lo, hi := span(g.bn, c, nc)
		for ; lo < hi; lo++ {
			n0, n1 := lo*pl.Cols, min((lo+1)*pl.Cols, g.n)
			for i := range m {
				y := rawAt(g.y, i*g.n+n0, n1-n0)
				simd.K.QGemmNT(pl, y, g.n, s.shared[i*line:i*line+pl.Prep], q, 0, 1, n0, n1, work)
			}
		}
	})
	for pass := pl.Passes - 1; pass >= 0; pass-- {
		then := t
		t = newTask(m, 2*m*g.k, func(s *scratch, c, nc int) {
			q, work := w.matrix(&s.q), piece[byte](s, pl.Scratch)
			for i, hi := span(m, c, nc); i < hi; i++ {
				simd.K.QPrep(pl, pass, s.shared[i*line:i*line+pl.Prep], rawAt(g.x, i*g.k, g.k), q, 0, 1, work)
			}
		})
		t.shared, t.then = line*m, &then
	}
	return t
}

func (g *product) prepare(s *scratch, pass, c, nc int) {
	pl := &g.plan
	lo, hi := span((pl.M+pl.Rows-1)/pl.Rows, c, nc)
	if lo < hi {
		x := rawAt(g.x, g.first*g.k, pl.M*g.k)
		simd.K.QPrep(pl, pass, s.shared, x, g.weights.matrix(&s.q), lo*pl.Rows, min(hi*pl.Rows, pl.M), piece[byte](s, pl.Scratch))
	}
}

// run computes units lo to hi, those of the same rows in one call.
func (g *product) run(s *scratch, c, nc int) {
	pl, q := &g.plan, g.weights.matrix(&s.q)
	work := piece[byte](s, pl.Scratch)
	lo, hi := span(g.bm*g.bn, c, nc)
	for lo < hi {
		i, j := lo/g.bn, lo%g.bn
		end := min(hi, (i+1)*g.bn)
		i0, n0 := i*g.rows, j*pl.Cols
		i1, n1 := min(i0+g.rows, pl.M), min(n0+(end-lo)*pl.Cols, g.n)
		y := rawAt(g.y, (g.first+i0)*g.n+n0, (i1-i0-1)*g.n+n1-n0)
		simd.K.QGemmNT(pl, y, g.n, s.shared, q, i0, i1, n0, n1, work)
		lo = end
	}
}

// A qgemmNN is x·W with packed W, in tiles as gemm.
type qgemmNN struct {
	*packed
	x, y    *View
	m, k, n int
	bm, bn  int
}

const tileQNN = 256 // columns of a tile: a multiple of every group size

func newQGemmNN(w *packed, x, y *View, m int) *qgemmNN {
	return &qgemmNN{packed: w, x: x, y: y, m: m, k: w.rows, n: w.cols,
		bm: (m + tileM - 1) / tileM, bn: (w.cols + tileQNN - 1) / tileQNN}
}

func (g *qgemmNN) task() task {
	return newTask(g.bm*g.bn, max(g.m*g.n*g.k, g.m*g.n), g.run)
}

func (g *qgemmNN) run(s *scratch, c, nc int) {
	lo, hi := span(g.bm*g.bn, c, nc)
	if lo >= hi {
		return
	}
	q := g.matrix(&s.q)
	rows := min(tileM, g.m)
	var x []float32
	xbuf, ybuf := piece[float32](s, rows*g.k), []float32(nil)
	if g.y.DType != dtype.Float32 {
		ybuf = piece[float32](s, rows*tileQNN)
	}
	work := piece[float32](s, simd.K.QScratchLen(q, rows))
	for u, have := lo, -1; u < hi; u++ {
		i, j := u/g.bn, u%g.bn
		n := min(tileM, g.m-i*tileM)
		if i != have {
			x = widen(xbuf, unsafe.Add(g.x.Ptr(), i*tileM*g.k*g.x.DType.Size()), g.x.DType, n*g.k)
			have = i
		}
		g.tile(q, ybuf, x, work, i*tileM, n, j*tileQNN, min((j+1)*tileQNN, g.n))
	}
}

func (g *qgemmNN) tile(q *simd.QMatrix, ybuf, x, work []float32, i0, rows, n0, n1 int) {
	base := i0*g.n + n0
	y, ldy := ybuf, tileQNN
	if ybuf == nil {
		y, ldy = at[float32](g.y, base, (rows-1)*g.n+n1-n0), g.n
	}
	simd.K.QGemmNN(y, ldy, x, g.k, rows, q, n0, n1, work)
	if ybuf == nil {
		return
	}
	for i := range rows {
		narrow(unsafe.Add(g.y.Ptr(), (base+i*g.n)*2), ybuf[i*tileQNN:i*tileQNN+n1-n0], g.y.DType)
	}
}

func dequantizeTask(p quant.Dequantize, in, out []View) (task, error) {
	w, err := packedOf(p.Scheme, in)
	if err != nil {
		return task{}, err
	}
	y := &out[0]
	e, ok := elemOf(p.To)
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	return newTask(w.rows, 4*w.rows*w.cols, func(s *scratch, c, nc int) {
		lo, hi := span(w.rows, c, nc)
		q, buf := w.matrix(&s.q), piece[float32](s, w.cols)
		for r := lo; r < hi; r++ {
			if e == simd.F32 {
				simd.K.DequantRow(at[float32](y, r*w.cols, w.cols), q, r, e)
				continue
			}
			simd.K.DequantRow(buf, q, r, e)
			narrow(unsafe.Add(y.Ptr(), r*w.cols*2), buf, p.To)
		}
	}), nil
}

func quantizeTask(p quant.Quantize, in, out []View) (task, error) {
	x, w := &in[0], &out[0]
	e, ok := elemOf(x.DType)
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	n := len(x.Shape)
	rows, k := x.Shape[:n-1].Size(), x.Shape[n-1]
	words, groups := w.Shape[n-1], out[1].Shape[n-1]
	par := simd.QParams{Mode: simdModes[p.Mode], Bits: p.Bits, Group: p.GroupSize, Elem: e, Rounding: simdRoundings[p.Rounding]}
	if err := par.Check(); err != nil {
		return task{}, err
	}
	part := func(i, r int) []byte {
		n := groups * out[i].DType.Size()
		return out[i].HostBytes()[r*n : (r+1)*n]
	}
	return newTask(rows, 20*rows*k, func(s *scratch, c, nc int) {
		lo, hi := span(rows, c, nc)
		buf := piece[float32](s, k)
		for r := lo; r < hi; r++ {
			v := widen(buf, unsafe.Add(x.Ptr(), r*k*x.DType.Size()), x.DType, k)
			var biases []byte
			if p.Mode == quant.Affine {
				biases = part(2, r)
			}
			simd.K.QuantizeRow(at[uint32](w, r*words, words), part(1, r), biases, v, par)
		}
	}), nil
}
