package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
)

// swappedCols is the most columns of a product that is computed as its transpose: of more,
// each turned element of a serves enough of them.
const swappedCols = 64

// swapped reports whether yᵀ = bᵀ·aᵀ is the better way: the columns of a lie without gaps,
// so that it reads a as it is, in place of turning it for few columns of b.
func (g *gemm) swapped() bool {
	return g.ma.transposed && !g.mb.transposed && g.n <= swappedCols && g.n < g.m
}

// runSwapped computes units of tileNN rows of y. Sums over K have the order, and so the
// bits, of products that are not swapped.
func (g *gemm) runSwapped(s *scratch, c, nc int) {
	lo, hi := span(g.batch*g.bm, c, nc)
	turned, tile := piece[float32](s, g.n*g.k), piece[float32](s, g.n*tileNN)
	var half []float32
	if g.y.DType != dtype.Float32 {
		half = piece[float32](s, g.n*tileNN)
	}
	for u, have := lo, -1; u < hi; u++ {
		t, i0 := u/g.bm, u%g.bm*tileNN
		if t != have {
			g.turnB(turned, tile, t)
			have = t
		}
		rows := min(tileNN, g.m-i0)
		a := rawAt(g.a, g.wa.offset(t)+i0, max(g.ma.span()-i0, 0))
		simd.K.GemmNN(tile, tileNN, turned, g.k, g.n, a, g.ma.ld, rows, g.k)
		base := (t*g.m + i0) * g.n
		y := half
		if half == nil {
			y = at[float32](g.y, base, rows*g.n)
		}
		for j := range g.n {
			for i, v := range tile[j*tileNN:][:rows] {
				y[i*g.n+j] = v
			}
		}
		if half != nil {
			narrow(unsafe.Add(g.y.Ptr(), base*2), half[:rows*g.n], g.y.DType)
		}
	}
}

// turnB is the columns of b in product t, one after another.
func (g *gemm) turnB(dst, row []float32, t int) {
	row = row[:g.n]
	for k := range g.k {
		simd.K.Load(row, rawAt(g.b, g.wb.offset(t)+k*g.mb.ld, g.n))
		for j, v := range row {
			dst[j*g.k+k] = v
		}
	}
}
