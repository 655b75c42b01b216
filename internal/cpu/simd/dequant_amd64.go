//go:build amd64 && !purego && !race

package simd

import "unsafe"

// Codes as values in the avx512 tier, in two steps: codes to float32, then a
// scale and a bias for each group, with the roundings of the pure tier.

// Kernels are called by name, not through tables: what a function value is given
// escapes to the heap.

// expandCodes writes codes as values without scale.
func (q *QMatrix) expandCodes(dst []float32, w []uint32) {
	d, c, n := &dst[0], &w[0], len(dst)
	switch {
	case q.Mode == MXFP8:
		expandE4M3(d, c, n, nil)
	case q.Mode != Affine:
		expandQ4(d, c, n, &e2m1[0])
	case q.Bits == 2:
		expandQ2(d, c, n, &baseQ2[0])
	case q.Bits == 3:
		expandQ3(d, c, n, &baseQ3[0])
	case q.Bits == 4:
		expandQ4(d, c, n, &baseQ4[0])
	case q.Bits == 5:
		expandQ5(d, c, n, nil)
	case q.Bits == 6:
		expandQ6(d, c, n, nil)
	default:
		expandQ8(d, c, n, nil)
	}
}

// scaleGroups is scale for groups of y, in place; no b is no biases.
func scaleGroups(y, s, b []float32, group int, t Elem) {
	n, per := len(s), group/16
	switch {
	case t == F32 && b == nil:
		groupsF32(&y[0], n, per, &s[0], nil)
	case t == F32:
		groupsBiasF32(&y[0], n, per, &s[0], &b[0])
	case t == F16 && b == nil:
		groupsF16(&y[0], n, per, &s[0], nil)
	case t == F16:
		groupsBiasF16(&y[0], n, per, &s[0], &b[0])
	case b == nil:
		groupsBF16(&y[0], n, per, &s[0], nil)
	default:
		groupsBiasBF16(&y[0], n, per, &s[0], &b[0])
	}
}

// dequant writes values [k, k+len(dst)) of row as values of t; both are multiples
// of the group, len(dst) at most kChunk.
func (q *QMatrix) dequant(dst []float32, row, k int, t Elem) {
	if len(dst) == 0 {
		return
	}
	q.expandCodes(dst, q.Words[row*q.rowWords()+k*q.Bits/32:][:len(dst)*q.Bits/32])
	var s, b [kChunk / 16]float32
	g := len(dst) / q.Group
	if q.Mode != Affine {
		q.scales(s[:g], row, k/q.Group)
		scaleGroups(dst, s[:g], nil, q.Group, t)
		return
	}
	i := row*q.groups() + k/q.Group
	loadAVX512(s[:g], Raw{q.Elem, q.Scales}.Slice(i, i+g))
	loadAVX512(b[:g], Raw{q.Elem, q.Biases}.Slice(i, i+g))
	scaleGroups(dst, s[:g], b[:g], q.Group, t)
}

func dequantRowAVX512(dst []float32, q *QMatrix, row int, t Elem) {
	dst = dst[:q.Cols]
	for k := 0; k < q.Cols; k += kChunk {
		q.dequant(dst[k:min(k+kChunk, q.Cols)], row, k, t)
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
	var buf nnBlock
	for j := n0; j < n1; j += nnCols {
		n := min(nnCols, n1-j)
		for k := 0; k < q.Rows; k += nnRows {
			kc := min(nnRows, q.Rows-k)
			for r := range kc {
				q.dequant(buf[r*nnCols:][:n], k+r, j, F32)
			}
			buf.add(y[j-n0:], ldy, x[k:], ldx, m, n, kc)
		}
	}
}

// nnBlock is a block of float32 weights in L1, which all rows of x meet.
type nnBlock [nnRows * nnCols]float32

const nnRows, nnCols = 32, 128 // nnCols is a multiple of every group

// add adds x times the first kc rows and n columns of the block to y.
func (b *nnBlock) add(y []float32, ldy int, x []float32, ldx, m, n, kc int) {
	_, _ = y[(m-1)*ldy+n-1], x[(m-1)*ldx+kc-1]
	for i := 0; i < m; {
		t := rowsOf(m - i)
		if t == 1 {
			weightedF32(&y[i*ldy], n, &x[i*ldx], kc, (*byte)(unsafe.Pointer(b)), 4*nnCols)
			return
		}
		for j := 0; j < n; j += 32 {
			yp, xp, c := &y[i*ldy+j], &x[i*ldx], min(32, n-j)
			switch t {
			case 6:
				tileNN6(yp, 4*ldy, xp, 4*ldx, &b[j], 4*nnCols, kc, c)
			case 4:
				tileNN4(yp, 4*ldy, xp, 4*ldx, &b[j], 4*nnCols, kc, c)
			default:
				tileNN2(yp, 4*ldy, xp, 4*ldx, &b[j], 4*nnCols, kc, c)
			}
		}
		i += t
	}
}
