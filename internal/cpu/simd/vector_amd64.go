//go:build amd64 && !purego && !race

package simd

import (
	"math"
	"unsafe"
)

// Products of few rows of x with affine codes of 4 and 8 bits, in integers: a
// row of x has a scale for each group of q and int16 codes (kindI16), or codes
// of 30 bits in two int16 halves (kindI32), which keep the error of float32.
// The biases meet the sums of what the codes stand for, not those of x.

// Kinds of QPlan.
const (
	kindFloat = iota // x as float32
	kindI16
	kindI32
	kindI8
	kindBF16
	kindTiles
)

// Most rows of x for which the codes of q, once in cache, are read again for
// each row.
const (
	rowsI16 = 7
	rowsI32 = 3
)

// vecCols is the most rows of q in one pass of a single row of x.
const vecCols = 256

type matvecFunc func(y *float32, w, s, b, x *byte, sx, xs *float32, rows, k, sep int)

// matvecs by wide, 8 bits, group/64 and float16 scales.
var matvecs = [2][2][3][2]matvecFunc{
	{{{matvecI16Q4G32BF16, matvecI16Q4G32F16}, {matvecI16Q4G64BF16, matvecI16Q4G64F16}, {matvecI16Q4G128BF16, matvecI16Q4G128F16}},
		{{matvecI16Q8G32BF16, matvecI16Q8G32F16}, {matvecI16Q8G64BF16, matvecI16Q8G64F16}, {matvecI16Q8G128BF16, matvecI16Q8G128F16}}},
	{{{matvecI32Q4G32BF16, matvecI32Q4G32F16}, {matvecI32Q4G64BF16, matvecI32Q4G64F16}, {matvecI32Q4G128BF16, matvecI32Q4G128F16}},
		{{matvecI32Q8G32BF16, matvecI32Q8G32F16}, {matvecI32Q8G64BF16, matvecI32Q8G64F16}, {matvecI32Q8G128BF16, matvecI32Q8G128F16}}},
}

// integers reports whether the codes of q can meet integers.
func (q *QMatrix) integers() bool {
	return q.Mode == Affine && (q.Bits == 4 || q.Bits == 8) && q.Elem != F32 && q.Cols > 0
}

// A vecLayout is a row of x as the kernels read it: codes of whole blocks, then
// the scales and the sums of its groups.
type vecLayout struct {
	chunk, chunks int // values of a chunk; chunks that hold values
	codes         int // bytes
	groups        int // of whole blocks
	wide          int // 1 for two halves
}

func vecLayoutOf(q *QMatrix, kind int) (v vecLayout) {
	v.chunk = 512 / q.Bits
	v.chunks = (q.Cols + v.chunk - 1) / v.chunk
	if kind == kindI32 {
		v.wide = 1
	}
	v.groups = (q.groups() + 15) &^ 15
	v.codes = v.groups * q.Group * 2 << v.wide
	return v
}

// size is the bytes of a row.
func (v *vecLayout) size() int { return v.codes + 8*v.groups }

func vecPlan(q *QMatrix, m, kind int) QPlan {
	v := vecLayoutOf(q, kind)
	k := v.chunk * v.chunks
	return QPlan{M: m, Prep: m * v.size(), Passes: 1, Rows: 1, Cols: tileCols, kind: kind,
		Scratch: max(4*k+k/8+k/8<<v.wide, 4*vecCols)}
}

// vecPrep rounds rows of x.
func vecPrep(pl *QPlan, prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte) {
	v := vecLayoutOf(q, pl.kind)
	n := v.chunk * v.chunks
	f := Float32s(scratch)
	row, inv, sums := f[:n], f[n:n+n/32], int32s(scratch[4*n+n/8:])[:n/32<<v.wide]
	pack := [2][2]func(dst *byte, sums *int32, x, inv *float32, n int){{packVecI16Q4, packVecI16Q8}, {packVecI32Q4, packVecI32Q8}}[v.wide][q.Bits/8]
	clear(row[q.Cols:])
	for i := i0; i < i1; i++ {
		dst := prep[i*v.size():][:v.size()]
		meta := Float32s(dst[v.codes:])
		sx, xs := meta[:v.groups], meta[v.groups:]
		clear(meta)
		loadAVX512(row[:q.Cols], x.Slice(i*q.Cols, (i+1)*q.Cols))
		absMax32(&inv[0], &row[0], n/32)
		vecScales(sx[:q.groups()], inv, q.Group/32, v.wide == 1)
		pack(&dst[0], &sums[0], &row[0], &inv[0], v.chunks)
		for g := range q.groups() {
			var t int64
			for _, s := range sums[g*q.Group/32<<v.wide : (g+1)*q.Group/32<<v.wide] {
				t += int64(s)
			}
			if v.wide == 1 { // the halves' sums in turn
				var lo int64
				for j := g * q.Group / 32; j < (g+1)*q.Group/32; j++ {
					lo += int64(sums[2*j+1])
				}
				xs[g] = float32(float64(sx[g]) * (float64(t-lo) + float64(lo)/(1<<15)))
				continue
			}
			xs[g] = sx[g] * float32(t)
		}
	}
}

// vecScales turns the largest magnitudes of each 32 into the scales of groups of
// n of them and into the factors of x: of two halves the scale is a power of two,
// so that nothing is rounded before the codes are. Magnitudes below 2^-96 count
// as zero: their factors would overflow.
func vecScales(sx, inv []float32, n int, wide bool) {
	for g := range sx {
		part := inv[g*n : (g+1)*n]
		top := math.Float32bits(part[0]) // NaN is above Inf
		for _, v := range part[1:] {
			top = max(top, math.Float32bits(v))
		}
		var s, f float32
		switch {
		case top < 31<<23:
		case top >= 255<<23: // not finite: neither are the products
			s, f = math.Float32frombits(0x7fc00000), 0
		case wide:
			e := top>>23 - 13 // codes are below 2^14, with their halves 2^29
			s, f = math.Float32frombits(e<<23), math.Float32frombits((254+15-e)<<23)
		default:
			m := math.Float32frombits(top)
			s, f = m/32767, 32767/m
		}
		sx[g] = s
		for i := range part {
			part[i] = f
		}
	}
	clear(inv[len(sx)*n:])
}

// vecGemm reads two streams of rows of q, far apart; a last row alone is both
// streams. For several rows of x it stays within rows of q that are in cache.
func vecGemm(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	v := vecLayoutOf(q, pl.kind)
	f := 0
	if q.Elem == F16 {
		f = 1
	}
	kernel := matvecs[v.wide][q.Bits/8][q.Group/64][f]
	words, meta := 4*q.rowWords(), 2*q.groups()
	w := unsafe.Slice((*byte)(unsafe.Pointer(&q.Words[0])), 4*len(q.Words))[:n1*words]
	scales, biases := q.Scales[:n1*meta], q.Biases[:n1*meta]
	buf := Float32s(scratch)
	step := vecCols
	if i1-i0 > 1 {
		step = tileCols
	}
	for n := n0; n < n1; n += step {
		cols := min(step, n1-n)
		for i := i0; i < i1; i++ {
			x := prep[i*v.size():][:v.size()]
			sx := Float32s(x[v.codes:])
			for j := 0; j < cols; { // half the rows beside the other half
				rows := max((cols-j)/2, 1)
				at := n + j
				kernel(&buf[j], &w[at*words], &scales[at*meta], &biases[at*meta], &x[0], &sx[0], &sx[v.groups], rows, q.Cols, min(rows, cols-j-1))
				j += min(2*rows, cols-j)
			}
			at := (i-i0)*ldy + n - n0
			storeAVX512(y.Slice(at, at+cols), buf[:cols])
		}
	}
}

func int32s(b []byte) []int32 {
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/4)
}
