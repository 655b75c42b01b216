//go:build amd64 && !purego && !race

package simd

import "unsafe"

// Products of many rows of x: codes of 16 rows of w are unpacked and transposed,
// so that a lane is a column and one dword of x serves 16 of them. Sums run over
// k, and with int16 over groups, one after the other.

const (
	laneCols = 16
	laneCut  = 256 // dwords of k that stay in L1 for all rows of x
)

type blockI func(c *float32, cs int, x *int16, xs int, w *int16, sx *float32, sxs int, s *float32, groups, per int)

var blocksI = [7]blockI{1: a2BlockI1, 2: a2BlockI2, 4: a2BlockI4, 6: a2BlockI6}

// tileRowsAVX2 is how many of m rows the next tile takes.
func tileRowsAVX2(m int) int {
	switch {
	case m >= 6:
		return 6
	case m >= 4:
		return 4
	}
	return min(m, 2)
}

// A qBlock16 is 16 rows of w as panels: row k has the 16 values of step k.
type qBlock16 struct {
	q          *QMatrix
	c          *codeTier
	s          qShape
	sc, bi     []float32 // scales and biases by rows, then as panels
	scP, biP   []float32
	rows, vals []float32 // codes as words or values: by rows, a line each, then as panel
	tmp        []float32 // results of less than 16 columns
}

// qBlockLen is the length of its memory for values of line bytes a row.
func qBlockLen(s *qShape, line int) int {
	return 4*laneCols*s.pad + 2*laneCols*line/4 + tileRows*laneCols
}

func newQBlock16(q *QMatrix, line int, buf []float32) qBlock16 {
	b := qBlock16{q: q, c: q.codesAVX2(), s: q.shapeAVX2()}
	take := func(n int) []float32 {
		r := buf[:n]
		buf = buf[n:]
		return r
	}
	n := laneCols * b.s.pad
	b.sc, b.bi, b.scP, b.biP = take(n), take(n), take(n), take(n)
	b.rows, b.vals = take(laneCols*line/4), take(laneCols*line/4)
	b.tmp = take(tileRows * laneCols)
	return b
}

// scales loads those of n rows from j on; rows beyond are zeros.
func (b *qBlock16) scales(j, n int, unit float32) {
	clear(b.sc[n*b.s.pad:])
	clear(b.bi[n*b.s.pad:])
	b.q.scalesAVX2(b.sc, b.bi, b.s.pad, j, n, unit)
}

// out is where the results of columns [j, j+n) of m rows go, cleared: y itself or tmp.
func (b *qBlock16) out(y []float32, ldy, m, n int) ([]float32, int) {
	if n < laneCols {
		y, ldy = b.tmp, laneCols
	}
	for i := range m {
		clear(y[i*ldy:][:laneCols])
	}
	return y, ldy
}

func (b *qBlock16) copyOut(y []float32, ldy, m, n int) {
	if n == laneCols {
		return
	}
	for i := range m {
		copy(y[i*ldy:][:n], b.tmp[i*laneCols:])
	}
}

// qIntBlocksAVX2 multiplies rows of x as int16.
func qIntBlocksAVX2(y []float32, ldy int, prep []byte, all int, q *QMatrix, i0, m, n0, n1 int, buf []float32) {
	sh := q.shapeAVX2()
	b := newQBlock16(q, sh.line, buf)
	s, p := &b.s, b.s.intPrep(prep, all)
	cut := max(laneCut/(16*s.per), 1)
	for j := n0; j < n1; j += laneCols {
		n := min(laneCols, n1-j)
		b.scales(j, n, b.c.unit)
		a2Transpose16(&b.scP[0], &b.sc[0], 4*s.pad, s.pad)
		for r := range n {
			b.c.words((*int16)(unsafe.Pointer(&b.rows[r*s.line/4])), q.rowAVX2(j+r), s.steps)
		}
		clear(b.rows[n*s.line/4:])
		a2Transpose16(&b.vals[0], &b.rows[0], s.line, 16*s.steps)
		c, ldc := b.out(y[j-n0:], ldy, m, n)
		if q.Mode == Affine {
			a2Transpose16(&b.biP[0], &b.bi[0], 4*s.pad, s.pad)
			b.floats(c, ldc, m, p.sums[i0*s.pad:], s.pad, b.biP, s.pad)
		}
		for g := 0; g < s.groups; g += cut {
			k := min(cut, s.groups-g)
			w := (*int16)(unsafe.Pointer(&b.vals[g*s.per*16*laneCols]))
			for i := 0; i < m; {
				r := tileRowsAVX2(m - i)
				x := (*int16)(unsafe.Add(unsafe.Pointer(p.row(i0+i)), 64*g*s.per))
				blocksI[r](&c[i*ldc], 4*ldc, x, s.line, w, &p.sx[(i0+i)*s.pad+g], 4*s.pad, &b.scP[g*laneCols], k, s.per)
				i += r
			}
		}
		b.copyOut(y[j-n0:], ldy, m, n)
	}
}

// floats adds m rows of x times a panel of k steps.
func (b *qBlock16) floats(c []float32, ldc, m int, x []float32, ldx int, w []float32, k int) {
	for l := 0; l < k; l += laneCut {
		n := min(laneCut, k-l)
		for i := 0; i < m; {
			r := tileRowsAVX2(m - i)
			blockAVX2(F32, r, &c[i*ldc], 4*ldc, &x[i*ldx+l], 4*ldx, (*byte)(unsafe.Pointer(&w[l*laneCols])), 4*laneCols, n)
			i += r
		}
	}
}

// valueLine is the bytes from one row of float32 x or w to the next.
func (q *QMatrix) valueLine() int { return 4*q.Cols + 256 }

// qValueBlocksAVX2 multiplies rows of x as float32.
func qValueBlocksAVX2(y []float32, ldy int, prep []byte, _ int, q *QMatrix, i0, m, n0, n1 int, buf []float32) {
	line := q.valueLine() / 4
	b := newQBlock16(q, 4*line, buf)
	s := &b.s
	x := Float32s(prep)[i0*line:]
	for j := n0; j < n1; j += laneCols {
		n := min(laneCols, n1-j)
		b.scales(j, n, 1)
		if q.Mode != Affine {
			clear(b.bi)
		}
		for r := range n {
			b.c.values(&b.rows[r*line], q.rowAVX2(j+r), &b.sc[r*s.pad], &b.bi[r*s.pad], s.groups, s.per, s.half)
		}
		clear(b.rows[n*line:])
		a2Transpose16(&b.vals[0], &b.rows[0], 4*line, q.Cols)
		c, ldc := b.out(y[j-n0:], ldy, m, n)
		b.floats(c, ldc, m, x, line, b.vals, q.Cols)
		b.copyOut(y[j-n0:], ldy, m, n)
	}
}
