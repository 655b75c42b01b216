//go:build amd64 && !purego && !race

package simd

// Codes as values in the avx512 tier, with the roundings of the pure tier.

// dequant writes values [k, k+len(dst)) of row as values of t; both are multiples
// of the group, len(dst) at most kChunk.
func (q *QMatrix) dequant(dst []float32, row, k int, t Elem) {
	if len(dst) == 0 {
		return
	}
	w := q.Words[row*q.rowWords()+k*q.Bits/32:][:len(dst)*q.Bits/32]
	var s, b [kChunk / 16]float32
	g := len(dst) / q.Group
	if q.Mode != Affine {
		q.scales(s[:g], row, k/q.Group)
		q.values(dst, w, s[:g], nil, t)
		return
	}
	i := row*q.groups() + k/q.Group
	loadAVX512(s[:g], Raw{q.Elem, q.Scales}.Slice(i, i+g))
	loadAVX512(b[:g], Raw{q.Elem, q.Biases}.Slice(i, i+g))
	q.values(dst, w, s[:g], b[:g], t)
}

func dequantRowAVX512(dst []float32, q *QMatrix, row int, t Elem) {
	dst = dst[:q.Cols]
	for k := 0; k < q.Cols; k += kChunk {
		q.dequant(dst[k:min(k+kChunk, q.Cols)], row, k, t)
	}
}

// values writes the values of codes w in len(s) groups; no b is no biases. It
// calls kernels by name: what a function value is given escapes to the heap.
func (q *QMatrix) values(dst []float32, w []uint32, s, b []float32, t Elem) {
	d, c, n, per, sp, bp := &dst[0], &w[0], len(s), q.Group/16, &s[0], ptr(b)
	switch {
	case q.Mode == MXFP8:
		switch t {
		case F32:
			valuesE4M3F32(d, c, n, per, sp, bp, nil)
		case F16:
			valuesE4M3F16(d, c, n, per, sp, bp, nil)
		case BF16:
			valuesE4M3BF16(d, c, n, per, sp, bp, nil)
		}
	case q.Mode != Affine:
		q.values4(d, c, n, sp, bp, &e2m1[0], t)
	case q.Bits == 4:
		q.values4(d, c, n, sp, bp, &baseQ4[0], t)
	case q.Bits == 2:
		switch t {
		case F32:
			valuesQ2F32(d, c, n, per, sp, bp, &baseQ2[0])
		case F16:
			valuesQ2F16(d, c, n, per, sp, bp, &baseQ2[0])
		case BF16:
			valuesQ2BF16(d, c, n, per, sp, bp, &baseQ2[0])
		}
	case q.Bits == 3:
		switch t {
		case F32:
			valuesQ3F32(d, c, n, per, sp, bp, &baseQ3[0])
		case F16:
			valuesQ3F16(d, c, n, per, sp, bp, &baseQ3[0])
		case BF16:
			valuesQ3BF16(d, c, n, per, sp, bp, &baseQ3[0])
		}
	case q.Bits == 5:
		switch t {
		case F32:
			valuesQ5F32(d, c, n, per, sp, bp, nil)
		case F16:
			valuesQ5F16(d, c, n, per, sp, bp, nil)
		case BF16:
			valuesQ5BF16(d, c, n, per, sp, bp, nil)
		}
	case q.Bits == 6:
		switch t {
		case F32:
			valuesQ6F32(d, c, n, per, sp, bp, nil)
		case F16:
			valuesQ6F16(d, c, n, per, sp, bp, nil)
		case BF16:
			valuesQ6BF16(d, c, n, per, sp, bp, nil)
		}
	default:
		switch t {
		case F32:
			valuesQ8F32(d, c, n, per, sp, bp, nil)
		case F16:
			valuesQ8F16(d, c, n, per, sp, bp, nil)
		case BF16:
			valuesQ8BF16(d, c, n, per, sp, bp, nil)
		}
	}
}

// values4 is values with 4-bit codes that stand for base.
func (q *QMatrix) values4(dst *float32, w *uint32, groups int, s, b, base *float32, t Elem) {
	switch per := q.Group / 16; t {
	case F32:
		valuesQ4F32(dst, w, groups, per, s, b, base)
	case F16:
		valuesQ4F16(dst, w, groups, per, s, b, base)
	case BF16:
		valuesQ4BF16(dst, w, groups, per, s, b, base)
	}
}
