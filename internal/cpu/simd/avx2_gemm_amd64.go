//go:build amd64 && !purego && !race

package simd

import "unsafe"

type tilesAVX2 struct{ one, x1w4, x2w2, x3w2 dotTiles }

// dotTiles: n times y[i,j] for rows of x by rows of w. Strides are in bytes, next
// ones from tile to tile.
type dotTiles func(y *float32, yms, yns, ynext int, x *float32, xs int, w *byte, ws, wnext, k, n int)

// denseTilesAVX2 by element type: 1 by 1, and 1 by 4, 2 by 2 and 3 by 2 rows of x and w.
var denseTilesAVX2 = [3]tilesAVX2{
	F32:  {a2DotF32x1x1, a2DotF32x1x4, a2DotF32x2x2, a2DotF32x3x2},
	F16:  {a2DotF16x1x1, a2DotF16x1x4, a2DotF16x2x2, a2DotF16x3x2},
	BF16: {a2DotBF16x1x1, a2DotBF16x1x4, a2DotBF16x2x2, a2DotBF16x3x2},
}

func gemmNTAVX2(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	if emptyNT(y, ldy, x, ldx, m, w, ldw, n, k) {
		return
	}
	denseNTAVX2(y, ldy, x, ldx, m, w.Elem, ptr(w.Data), ldw*w.Elem.Size(), n, k)
}

// rowsAVX2 is how many of m rows of x the next tile takes.
func rowsAVX2(m int) int {
	if m == 4 {
		return 2
	}
	return min(m, 3)
}

// denseNTAVX2 is GemmNT after the checks. A block of rows of w stays in L2 while
// the rows of x, which stay in L1, pass over it.
func denseNTAVX2(y []float32, ldy int, x []float32, ldx, m int, e Elem, w *byte, ws, n, k int) {
	t := &denseTilesAVX2[e]
	if m == 1 {
		t.row(y, x, w, ws, n, k)
		return
	}
	const l2 = 384 << 10
	block := max(l2/(k*e.Size())&^1, 2)
	for j0 := 0; j0 < n; j0 += block {
		end := min(j0+block, n)
		for i := 0; i < m; {
			s := rowsAVX2(m - i)
			if s == 1 {
				t.row(y[i*ldy+j0:], x[i*ldx:], (*byte)(unsafe.Add(unsafe.Pointer(w), j0*ws)), ws, end-j0, k)
				break
			}
			tile := t.x2w2
			if s == 3 {
				tile = t.x3w2
			}
			wp := (*byte)(unsafe.Add(unsafe.Pointer(w), j0*ws))
			pairs := (end - j0) / 2
			if pairs > 0 {
				tile(&y[i*ldy+j0], 4*ldy, 4, 8, &x[i*ldx], 4*ldx, wp, ws, 2*ws, k, pairs)
			}
			if j := end - 1; (j-j0)%2 == 0 {
				for r := range s {
					t.one(&y[(i+r)*ldy+j], 0, 0, 0, &x[(i+r)*ldx], 0, (*byte)(unsafe.Add(unsafe.Pointer(w), j*ws)), ws, 0, k, 1)
				}
			}
			i += s
		}
	}
}

// row is one row of x. Four rows of w are streams far apart: they follow the
// memory better than neighbours do.
func (t *tilesAVX2) row(y, x []float32, w *byte, ws, n, k int) {
	q := n / 4
	if q > 0 {
		t.x1w4(&y[0], 0, 4*q, 4, &x[0], 0, w, q*ws, ws, k, q)
	}
	if j := 4 * q; j < n {
		t.one(&y[j], 0, 0, 4, &x[0], 0, (*byte)(unsafe.Add(unsafe.Pointer(w), j*ws)), 0, ws, k, n-j)
	}
}

// gemmNNAVX2 adds rows of w in turn, whatever the cut: y holds the running sum.
func gemmNNAVX2(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	if emptyNN(y, ldy, x, ldx, m, w, ldw, n, k) {
		return
	}
	size := w.Elem.Size()
	if m == 1 {
		weightedAVX2(w.Elem, &y[0], n, &x[0], k, &w.Data[0], ldw*size)
		return
	}
	var b nnBlockAVX2
	for j := 0; j < n; j += nnColsAVX2 {
		nc := min(nnColsAVX2, n-j)
		for l := 0; l < k; l += nnRowsAVX2 {
			kc := min(nnRowsAVX2, k-l)
			for t := range kc {
				at := (l+t)*ldw + j
				loadAVX2(b[t*nnLineAVX2:][:nc], w.Slice(at, at+nc))
			}
			addRowsAVX2(y[j:], ldy, x[l:], ldx, m, F32, (*byte)(unsafe.Pointer(&b)), 4*nnLineAVX2, nc, kc)
		}
	}
}

// An nnBlockAVX2 is rows of float32 weights for all rows of x, in L1. In place,
// rows would share few sets of it; a line more than a power of two avoids that.
type nnBlockAVX2 [nnRowsAVX2 * nnLineAVX2]float32

const (
	nnRowsAVX2 = 48
	nnColsAVX2 = 128 // a multiple of every group
	nnLineAVX2 = nnColsAVX2 + 16
)

// addRowsAVX2 adds x times kc > 0 rows of nc columns, ws bytes apart, to y.
func addRowsAVX2(y []float32, ldy int, x []float32, ldx, m int, e Elem, w *byte, ws, nc, kc int) {
	_, _ = y[(m-1)*ldy+nc-1], x[(m-1)*ldx+kc-1]
	full := nc &^ (laneCols - 1)
	for j := 0; j < full; j += laneCols {
		wp := (*byte)(unsafe.Add(unsafe.Pointer(w), j*e.Size()))
		for i := 0; i < m; {
			r := tileRowsAVX2(m - i)
			blockAVX2(e, r, &y[i*ldy+j], 4*ldy, &x[i*ldx], 4*ldx, wp, ws, kc)
			i += r
		}
	}
	if full < nc {
		wp := (*byte)(unsafe.Add(unsafe.Pointer(w), full*e.Size()))
		for i := range m {
			weightedAVX2(e, &y[i*ldy+full], nc-full, &x[i*ldx], kc, wp, ws)
		}
	}
}

// Kernels are called by name: what a function value is given escapes to the heap.

func weightedAVX2(e Elem, y *float32, d int, a *float32, n int, v *byte, vs int) {
	switch e {
	case F16:
		a2WeightedF16(y, d, a, n, v, vs)
	case BF16:
		a2WeightedBF16(y, d, a, n, v, vs)
	default:
		a2WeightedF32(y, d, a, n, v, vs)
	}
}

// blockAVX2 is a tile of 1, 2, 4 or 6 rows of x and w of type e.
func blockAVX2(e Elem, rows int, c *float32, cs int, x *float32, xs int, w *byte, ws, n int) {
	switch 8*int(e) + rows {
	case 8*int(F32) + 1:
		a2BlockF32x1(c, cs, x, xs, w, ws, n)
	case 8*int(F32) + 2:
		a2BlockF32x2(c, cs, x, xs, w, ws, n)
	case 8*int(F32) + 4:
		a2BlockF32x4(c, cs, x, xs, w, ws, n)
	case 8*int(F32) + 6:
		a2BlockF32x6(c, cs, x, xs, w, ws, n)
	case 8*int(F16) + 1:
		a2BlockF16x1(c, cs, x, xs, w, ws, n)
	case 8*int(F16) + 2:
		a2BlockF16x2(c, cs, x, xs, w, ws, n)
	case 8*int(F16) + 4:
		a2BlockF16x4(c, cs, x, xs, w, ws, n)
	case 8*int(F16) + 6:
		a2BlockF16x6(c, cs, x, xs, w, ws, n)
	case 8*int(BF16) + 1:
		a2BlockBF16x1(c, cs, x, xs, w, ws, n)
	case 8*int(BF16) + 2:
		a2BlockBF16x2(c, cs, x, xs, w, ws, n)
	case 8*int(BF16) + 4:
		a2BlockBF16x4(c, cs, x, xs, w, ws, n)
	case 8*int(BF16) + 6:
		a2BlockBF16x6(c, cs, x, xs, w, ws, n)
	}
}
