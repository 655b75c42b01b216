//go:build amd64 && !purego && !race

package simd

import "unsafe"

// denseTile: y[i,j] for rows of x by rows of w; yms, yns, xs and ws are strides
// in bytes.
type denseTile func(y *float32, yms, yns int, x *float32, xs int, w *byte, ws, k int)

// denseTiles by element type; entries for 1, 2, 4 and 6 rows of x by 4 of w.
var denseTiles = [3]struct {
	one  denseTile
	four [7]denseTile
}{
	F32:  {dotF32x1x1, [7]denseTile{1: dotF32x1x4, 2: dotF32x2x4, 4: dotF32x4x4, 6: dotF32x6x4}},
	F16:  {dotF16x1x1, [7]denseTile{1: dotF16x1x4, 2: dotF16x2x4, 4: dotF16x4x4, 6: dotF16x6x4}},
	BF16: {dotBF16x1x1, [7]denseTile{1: dotBF16x1x4, 2: dotBF16x2x4, 4: dotBF16x4x4, 6: dotBF16x6x4}},
}

// rowsOf is how many of m rows the next tile takes.
func rowsOf(m int) int {
	switch {
	case m >= 6:
		return 6
	case m >= 4:
		return 4
	}
	return min(m, 2)
}

// emptyNT checks the sizes of GemmNT before assembly reads by address, and reports
// whether nothing is left to do: sums of nothing are 0.
func emptyNT(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) bool {
	if m == 0 || n == 0 {
		return true
	}
	_ = y[(m-1)*ldy+n-1]
	if k == 0 {
		for i := range m {
			clear(y[i*ldy : i*ldy+n])
		}
		return true
	}
	_ = x[(m-1)*ldx+k-1]
	_ = w.Data[((n-1)*ldw+k)*w.Elem.Size()-1]
	return false
}

// emptyNN is emptyNT for GemmNN, which adds to zeros.
func emptyNN(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) bool {
	for i := range m {
		clear(y[i*ldy : i*ldy+n])
	}
	if m == 0 || n == 0 || k == 0 {
		return true
	}
	_ = x[(m-1)*ldx+k-1]
	_ = w.Data[((k-1)*ldw+n)*w.Elem.Size()-1]
	return false
}

func gemmNTAVX512(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	if emptyNT(y, ldy, x, ldx, m, w, ldw, n, k) {
		return
	}
	denseNT(y, ldy, x, ldx, m, w.Elem, ptr(w.Data), ldw*w.Elem.Size(), n, k)
}

// denseNT is GemmNT after the checks. Four rows of w are streams far apart: they
// follow the memory better than neighbours do.
func denseNT(y []float32, ldy int, x []float32, ldx, m int, e Elem, w *byte, ws, n, k int) {
	t := &denseTiles[e]
	q := n / 4
	if m > 4 {
		q = 1 // rows of w that all rows of x meet in cache
	}
	j := 0
	for ; j+4*q <= n && q > 0; j += 4 * q {
		for r := range q {
			wp := (*byte)(unsafe.Add(unsafe.Pointer(w), (j+r)*ws))
			for i := 0; i < m; {
				s := rowsOf(m - i)
				t.four[s](&y[i*ldy+j+r], 4*ldy, 4*q, &x[i*ldx], 4*ldx, wp, q*ws, k)
				i += s
			}
		}
	}
	for ; j < n; j++ {
		wp := (*byte)(unsafe.Add(unsafe.Pointer(w), j*ws))
		for i := range m {
			t.one(&y[i*ldy+j], 0, 0, &x[i*ldx], 0, wp, ws, k)
		}
	}
}

// weightedTile: y[0:d] += Σ a[j]·v[j] over n rows v, one fused multiply-add a row.
type weightedTile func(y *float32, d int, a *float32, n int, v *byte, vs int)

var weightedTiles = [3]weightedTile{F32: weightedF32, F16: weightedF16, BF16: weightedBF16}

// gemmNNAVX512 adds rows of w in turn, whatever the cut: y holds the running sum.
func gemmNNAVX512(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	if emptyNN(y, ldy, x, ldx, m, w, ldw, n, k) {
		return
	}
	size := w.Elem.Size()
	if m == 1 {
		weightedTiles[w.Elem](&y[0], n, &x[0], k, &w.Data[0], ldw*size)
		return
	}
	var b nnBlock
	for j := 0; j < n; j += nnCols {
		nc := min(nnCols, n-j)
		for l := 0; l < k; l += nnRows {
			kc := min(nnRows, k-l)
			b.pack(w, l*ldw+j, ldw, 0, kc, nc)
			next := ahead{data: w.Data[min(((l+kc)*ldw+j)*size, len(w.Data)):], stride: ldw * size, width: nc * size}
			if l+kc == k {
				next.data = w.Data[min((j+nc)*size, len(w.Data)):]
			}
			b.add(y[j:], ldy, x[l:], ldx, m, nc, kc, next)
		}
	}
}

// qGemmNNAVX512 is gemmNNAVX512 over blocks of dequantized weights: the same sums
// as of those weights.
func qGemmNNAVX512(y []float32, ldy int, x []float32, ldx, m int, q *QMatrix, n0, n1 int, _ []float32) {
	if n0%q.Group != 0 {
		panic("simd: QGemmNN: n0 is not a multiple of the group")
	}
	for i := range m {
		clear(y[i*ldy : i*ldy+n1-n0])
	}
	if m == 0 || n0 >= n1 || q.Rows == 0 {
		return
	}
	_ = x[(m-1)*ldx+q.Rows-1]
	var b nnBlock
	var rows [16 * nnCols]float32
	for j := n0; j < n1; j += nnCols {
		nc := min(nnCols, n1-j)
		for l := 0; l < q.Rows; l += nnRows {
			kc := min(nnRows, q.Rows-l)
			for r := 0; r < kc; r += 16 {
				n := min(16, kc-r)
				for t := range n {
					q.dequant(rows[t*nnCols:][:nc], l+r+t, j, F32)
				}
				b.pack(RawF32(rows[:]), 0, nnCols, r, n, nc)
			}
			b.add(y[j-n0:], ldy, x[l:], ldx, m, nc, kc, ahead{})
		}
	}
}

// An nnBlock is float32 weights that all rows of x meet in cache: strips of 32
// columns, row after row. In place, rows would share few sets of L1.
type nnBlock [nnRows * nnCols]float32

const nnRows, nnCols = 64, 256 // nnCols is a multiple of every group

// pack copies kc rows of nc weights, from element at of w on, to row r on.
func (b *nnBlock) pack(w Raw, at, ldw, r, kc, nc int) {
	size := w.Elem.Size()
	_ = w.Data[(at+(kc-1)*ldw+nc)*size-1]
	for j := 0; j < nc; j += 32 {
		src, dst, n := &w.Data[(at+j)*size], &b[j*nnRows+32*r], min(32, nc-j)
		switch w.Elem {
		case F16:
			packNNF16(dst, src, ldw*size, kc, n)
		case BF16:
			packNNBF16(dst, src, ldw*size, kc, n)
		default:
			packNNF32(dst, src, ldw*size, kc, n)
		}
	}
}

// add adds x times the first kc rows and nc columns of the block to y, while the
// next block comes into cache. Kernels are called by name: what a function value
// is given escapes to the heap.
func (b *nnBlock) add(y []float32, ldy int, x []float32, ldx, m, nc, kc int, next ahead) {
	_, _ = y[(m-1)*ldy+nc-1], x[(m-1)*ldx+kc-1]
	for i := 0; i < m; {
		t := rowsOf(m - i)
		for j := 0; j < nc; j += 32 {
			w, n := &b[j*nnRows], min(32, nc-j)
			yp, xp := &y[i*ldy+j], &x[i*ldx]
			p, s := next.take()
			if p == nil {
				p = (*byte)(unsafe.Pointer(b)) // there already
			}
			switch t {
			case 6:
				tileNN6(yp, 4*ldy, xp, 4*ldx, w, kc, n, p, s)
			case 4:
				tileNN4(yp, 4*ldy, xp, 4*ldx, w, kc, n, p, s)
			case 2:
				tileNN2(yp, 4*ldy, xp, 4*ldx, w, kc, n, p, s)
			default:
				tileNN1(yp, 4*ldy, xp, 4*ldx, w, kc, n, p, s)
			}
		}
		i += t
	}
}

// ahead is a block of weights to prefetch: a tile takes one column of lines in
// nnRows/4 rows.
type ahead struct {
	data        []byte // from its first weight on
	row, stride int    // the next row, and bytes of a row
	line, width int    // bytes
}

func (a *ahead) take() (p *byte, stride int) {
	at := a.row*a.stride + a.line
	if a.line >= a.width || at >= len(a.data) {
		return nil, 0
	}
	if a.row += nnRows / 4; a.row >= nnRows {
		a.row, a.line = 0, a.line+64
	}
	return &a.data[at], a.stride
}
