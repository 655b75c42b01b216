//go:build amd64 && !purego && !race

package simd

import (
	"math"
	"unsafe"
)

// dequantRowAVX2 has the bits of dequantRow: values are rounded after the product
// and after the sum. Scales pass through a buffer, so that nothing is allocated.
func dequantRowAVX2(dst []float32, q *QMatrix, row int, t Elem) {
	if q.Cols == 0 {
		return
	}
	const chunk = 128 // groups: a multiple of 8, and of the pairs of nvfp4
	var buf [2 * chunk]float32
	for g := 0; g < q.groups(); g += chunk {
		n := min(chunk, q.groups()-g)
		d := dst[g*q.Group:][:n*q.Group]
		if t == F32 || q.Mode != Affine {
			q.piece(d, row, g, n, buf[:chunk], buf[chunk:], true)
			roundAVX2(d, t)
			continue
		}
		q.piece(d, row, g, n, buf[:chunk], buf[chunk:], false)
		roundAVX2(d, t)
		for i, v := range buf[chunk : chunk+n] {
			z := d[i*q.Group:]
			a2Shift(&z[0], &z[0], q.Group, -v)
		}
		roundAVX2(d, t)
	}
}

// piece writes groups [g, g+n) of row j as float32 values, without the biases
// unless biased; s and b get the scales and biases. g is a multiple of 8.
func (q *QMatrix) piece(dst []float32, j, g, n int, s, b []float32, biased bool) {
	at := j*q.groups() + g
	part := QMatrix{Mode: q.Mode, Bits: q.Bits, Group: q.Group, Rows: 1, Cols: n * q.Group, Elem: q.Elem, Global: q.Global}
	size := 1
	if q.Mode == Affine {
		size = q.Elem.Size()
		part.Biases = q.Biases[at*size : (at+n)*size]
	}
	part.Scales = q.Scales[at*size : (at+n)*size]
	part.scalesAVX2(s, b, (n+7)&^7, 0, 1, 1)
	add := b
	if !biased || q.Mode != Affine {
		add = noBias[:]
	}
	sh := part.shapeAVX2()
	w := &q.Words[(j*q.Cols+g*q.Group)*q.Bits/32]
	q.valuesAVX2(&dst[0], (*byte)(unsafe.Pointer(w)), &s[0], &add[0], &sh)
}

// valuesAVX2 is values of q's codeTier, but not through a table: its arguments may be on
// the stack.
func (q *QMatrix) valuesAVX2(dst *float32, w *byte, s, b *float32, sh *qShape) {
	switch {
	case q.Mode == MXFP4:
		a2UnpackFFP4(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Mode == NVFP4:
		a2UnpackFFP4Pairs(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Mode == MXFP8:
		a2UnpackFE4M3(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 2:
		a2UnpackF2(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 3:
		a2UnpackF3(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 4:
		a2UnpackF4(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 5:
		a2UnpackF5(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 6:
		a2UnpackF6(dst, w, s, b, sh.groups, sh.per, sh.half)
	case q.Bits == 8:
		a2UnpackF8(dst, w, s, b, sh.groups, sh.per, sh.half)
	}
}

// noBias is -0, which changes no value that it is added to.
var noBias = func() (z [128]float32) {
	for i := range z {
		z[i] = float32(math.Copysign(0, -1))
	}
	return z
}()

// qScratchLenAVX2: none, a block of weights is on the stack.
func qScratchLenAVX2(*QMatrix, int) int { return 0 }

// qGemmNNAVX2 adds rows of w in turn as gemmNNAVX2 does.
func qGemmNNAVX2(y []float32, ldy int, x []float32, ldx, m int, q *QMatrix, n0, n1 int, _ []float32) {
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
	var s, b [8]float32
	var buf nnBlockAVX2
	// Pieces start at multiples of 8 groups: of nvfp4 these are 128 columns, of others more.
	for j := n0; j < n1; {
		nc := min(nnColsAVX2-j%nnColsAVX2, n1-j)
		for l := 0; l < q.Rows; l += nnRowsAVX2 {
			kc := min(nnRowsAVX2, q.Rows-l)
			for t := range kc {
				q.piece(buf[t*nnLineAVX2:][:nc], l+t, j/q.Group, nc/q.Group, s[:], b[:], true)
			}
			addRowsAVX2(y[j-n0:], ldy, x[l:], ldx, m, F32, (*byte)(unsafe.Pointer(&buf)), 4*nnLineAVX2, nc, kc)
		}
		j += nc
	}
}
