package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A gatherQuant is products with packed matrices that indices pick. A unit is some columns
// of one product; it prepares x for itself.
type gatherQuant struct {
	weights  *packed
	x, y     *View
	lhs, rhs indexOf
	m, k, n  int
	rows     int // of a packed matrix
	cols     int // of a unit
	bn       int // units of a product
	pairs    int
	plan     simd.QPlan // but across
	across   bool
}

func gatherQuantTask(p quant.GatherMatMul, in, out []View) (task, error) {
	last := len(in) - 2
	w, err := packedOf(p.Scheme, in[1:last])
	if err != nil {
		return task{}, err
	}
	x, y := &in[0], &out[0]
	_, okx := elemOf(x.DType)
	_, oky := elemOf(y.DType)
	if !okx || !oky {
		return task{}, tensor.ErrUnsupported
	}
	ax, aw := len(x.Shape), len(w.words.Shape)
	g := &gatherQuant{weights: w, x: x, y: y, m: x.Shape[ax-2], rows: w.words.Shape[aw-2],
		lhs: newIndexOf(&in[last], x.Shape[:ax-2].Size(), 1),
		rhs: newIndexOf(&in[last+1], w.words.Shape[:aw-2].Size(), 1)}
	one := *w.shape()
	one.Rows = g.rows
	g.k, g.n = w.cols, g.rows
	if p.Transpose {
		g.plan = simd.K.QPlan(&one, g.m, simd.Exact)
		g.cols = (255/g.plan.Cols + 1) * g.plan.Cols
	} else {
		g.k, g.n, g.cols, g.across = g.rows, w.cols, tileQNN, true
	}
	g.bn = (g.n + g.cols - 1) / g.cols
	g.pairs = in[last].Shape.Size()
	return newTask(g.pairs*g.bn, max(g.pairs*g.m*g.n*g.k, g.pairs*g.m*g.n), g.run), nil
}

func (g *gatherQuant) run(s *scratch, c, nc int) {
	lo, hi := span(g.pairs*g.bn, c, nc)
	if lo >= hi {
		return
	}
	whole := *g.weights.matrix(&s.q)
	b := g.buffers(s)
	for u := lo; u < hi; u++ {
		pair, n0 := u/g.bn, u%g.bn*g.cols
		g.lhs.read(b.id[:1], b.raw, pair)
		g.rhs.read(b.id[1:], b.raw, pair)
		at, w := int(b.id[0]), int(b.id[1])
		s.q = whole.Slice(w*g.rows, (w+1)*g.rows)
		product := g.along
		if g.across {
			product = g.times
		}
		product(b, &s.q, at, pair, n0, min(n0+g.cols, g.n))
	}
}

// gatherBuffers are the memory of a chunk.
type gatherBuffers struct {
	raw          []uint64
	id           []int64
	prep, work   []byte
	x, y, scales []float32
}

func (g *gatherQuant) buffers(s *scratch) *gatherBuffers {
	b := &gatherBuffers{raw: piece[uint64](s, 2), id: piece[int64](s, 2)}
	if !g.across {
		b.prep, b.work = piece[byte](s, g.plan.Prep), piece[byte](s, g.plan.Scratch)
		return b
	}
	rows := min(tileM, g.m)
	b.x, b.scales = piece[float32](s, rows*g.k), piece[float32](s, simd.K.QScratchLen(g.weights.shape(), rows))
	if g.y.DType != dtype.Float32 {
		b.y = piece[float32](s, rows*tileQNN)
	}
	return b
}

// along is columns [n0, n1) of product number pair, of matrix at of x and q transposed.
func (g *gatherQuant) along(b *gatherBuffers, q *simd.QMatrix, at, pair, n0, n1 int) {
	x := rawAt(g.x, at*g.m*g.k, g.m*g.k)
	for pass := range g.plan.Passes {
		simd.K.QPrep(&g.plan, pass, b.prep, x, q, 0, g.m, b.work)
	}
	y := rawAt(g.y, pair*g.m*g.n+n0, (g.m-1)*g.n+n1-n0)
	simd.K.QGemmNT(&g.plan, y, g.n, b.prep, q, 0, g.m, n0, n1, b.work)
}

// times is along with q as it is.
func (g *gatherQuant) times(b *gatherBuffers, q *simd.QMatrix, at, pair, n0, n1 int) {
	t := qgemmNN{packed: g.weights, x: g.x, y: g.y, m: g.m, k: g.k, n: g.n}
	for i := 0; i < g.m; i += tileM {
		n := min(tileM, g.m-i)
		x := widen(b.x, unsafe.Add(g.x.Ptr(), (at*g.m+i)*g.k*g.x.DType.Size()), g.x.DType, n*g.k)
		t.tile(q, b.y, x, b.scales, pair*g.m+i, n, n0, n1)
	}
}
