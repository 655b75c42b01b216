//go:build amd64 && !purego && !race

package simd

import "unsafe"

// Products with packed weights: a weight is base[code]·s + b in one rounding,
// made in registers for up to four rows of x at a time; then all is a dot as of
// float32 weights. NVFP4, where a group is one step, unpacks rows into scratch.

type packedTile func(y *float32, yms, yns int, x *float32, xs int, w *uint32, ws int, s, b *float32, ss, groups, per int, base *float32)

// packedKernels by rows of x (1, 2 and 4) for 4 rows of w, and one for 1 by 1.
type packedKernels struct {
	one  packedTile
	four [5]packedTile
}

var (
	kernelsQ = [9]*packedKernels{
		2: {dotQ2x1x1, [5]packedTile{1: dotQ2x1x4, 2: dotQ2x2x4, 4: dotQ2x4x4}},
		3: {dotQ3x1x1, [5]packedTile{1: dotQ3x1x4, 2: dotQ3x2x4, 4: dotQ3x4x4}},
		4: {dotQ4x1x1, [5]packedTile{1: dotQ4x1x4, 2: dotQ4x2x4, 4: dotQ4x4x4}},
		5: {dotQ5x1x1, [5]packedTile{1: dotQ5x1x4, 2: dotQ5x2x4, 4: dotQ5x4x4}},
		6: {dotQ6x1x1, [5]packedTile{1: dotQ6x1x4, 2: dotQ6x2x4, 4: dotQ6x4x4}},
		8: {dotQ8x1x1, [5]packedTile{1: dotQ8x1x4, 2: dotQ8x2x4, 4: dotQ8x4x4}},
	}

	kernelsE4M3 = packedKernels{dotE4M3x1x1, [5]packedTile{1: dotE4M3x1x4, 2: dotE4M3x2x4, 4: dotE4M3x4x4}}

	// Values of codes by their low 4 bits: shorter codes repeat.
	baseQ2 = [16]float32{0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3}
	baseQ3 = [16]float32{0, 1, 2, 3, 4, 5, 6, 7, 0, 1, 2, 3, 4, 5, 6, 7}
	baseQ4 = [16]float32{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15}
)

// kernels returns the kernels of q and the values of its codes; nil for NVFP4.
func (q *QMatrix) kernels() (*packedKernels, *float32) {
	switch {
	case q.Mode == MXFP4:
		return kernelsQ[4], &e2m1[0]
	case q.Mode == MXFP8:
		return &kernelsE4M3, &baseQ4[0]
	case q.Mode == NVFP4:
		return nil, nil
	case q.Bits == 2:
		return kernelsQ[2], &baseQ2[0]
	case q.Bits == 3:
		return kernelsQ[3], &baseQ3[0]
	}
	return kernelsQ[q.Bits], &baseQ4[0] // not read beyond 4 bits
}

// split says whether products with q take x in the order of split32, as prep.
func (q *QMatrix) split() bool { return q.Bits == 4 && q.Group >= 32 }

// perGroup is how many steps of a kernel a group is.
func (q *QMatrix) perGroup() int {
	if q.split() {
		return q.Group / 32
	}
	return q.Group / 16
}

func qPlanAVX512(q *QMatrix, m int, p Precision) QPlan {
	if p == Halved {
		if m >= rowsHalved && plansDense(m, q.Cols) {
			return blockPlan(q, m, kindBF16, false)
		}
		p = Exact
	}
	switch {
	case p == Rounded && m <= rowsI16 && q.integers():
		return vecPlan(q, m, kindI16)
	case p == Exact && m <= rowsI32 && q.integers():
		return vecPlan(q, m, kindI32)
	case p == Rounded && m >= rowsPanels && q.Mode == Affine && (q.Bits == 4 || q.Bits == 8) && q.Group >= 64 && q.Cols > 0:
		return blockPlan(q, m, kindI8, false)
	case q.Cols > 0 && q.likesAVX2(m, p):
		return qPlanAVX2(q, m, p)
	case (p == Rounded || q.Mode == Dense) && plansDense(m, q.Cols):
		return blockPlan(q, m, kindBF16, false)
	}
	return QPlan{M: m, Prep: 4 * m * q.Cols, Passes: 1, Rows: 1, Cols: tileCols,
		Scratch: 4 * max(tileRows*tileCols+qScratchLenAVX512(q, m), q.Cols)}
}

// likesAVX2 reports whether the avx2 tier's products are the faster ones: its int16
// words of any codes, until there are so many rows of x that bfloat16 pays, and its
// way with codes of fp8 and of groups of 16.
func (q *QMatrix) likesAVX2(m int, p Precision) bool {
	const (
		rowsAVX2 = 6 // from which on it unpacks codes once for all rows
		rowsBF16 = 64
	)
	switch {
	case q.Mode == MXFP8:
		return m == 1 || p == Exact && m >= 32
	case q.Mode == Dense:
		return false
	case q.Mode == NVFP4:
		return p == Exact || m < rowsBF16 || !fastBF16
	}
	return p == Rounded && (m == 1 || m >= rowsAVX2 && (m < rowsBF16 || !fastBF16))
}

// qPlanAMX is qPlanAVX512 with tiles for many rows.
func qPlanAMX(q *QMatrix, m int, p Precision) QPlan {
	if (p == Rounded || p == Halved && m >= rowsHalved || q.Mode == Dense) && takesTiles(m, q.Cols) {
		return blockPlan(q, m, kindTiles, false)
	}
	return qPlanAVX512(q, m, p)
}

// qPlanAcrossAVX512 takes groups that panels of 32 columns begin with.
func qPlanAcrossAVX512(q *QMatrix, m int) (pl QPlan, ok bool) {
	if m < rowsHalved || !plansDense(m, q.Rows) || q.Cols%32 != 0 || q.Cols == 0 {
		return pl, false
	}
	return blockPlan(q, m, kindBF16, true), true
}

// qPlanAcrossAMX is qPlanAcrossAVX512 on tiles.
func qPlanAcrossAMX(q *QMatrix, m int) (pl QPlan, ok bool) {
	if !takesTiles(m, q.Rows) || q.Cols%32 != 0 || q.Cols == 0 {
		return pl, false
	}
	return blockPlan(q, m, kindTiles, true), true
}

func plansDenseAMX(m, k int) bool { return takesTiles(m, k) || plansDense(m, k) }

// takesTiles reports whether products of m rows and k values a row are for tiles.
func takesTiles(m, k int) bool { return m >= rowsTiles && k%32 == 0 && k > 0 }

func plansDense(m, k int) bool { return fastBF16 && m >= rowsPanels && k%32 == 0 && k > 0 }

func qPrepAVX512(pl *QPlan, pass int, prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte) {
	switch pl.kind {
	case kindI16, kindI32:
		vecPrep(pl, prep, x, q, i0, i1, scratch)
	case kindI8, kindBF16, kindTiles:
		blockPrep(pl, pass, prep, x, q, i0, i1, scratch)
	case planInts, planFloats, planIntBlocks, planValueBlocks:
		qPrepAVX2(pl, pass, prep, x, q, i0, i1, scratch)
	default:
		floatPrep(prep, x, q, i0, i1, scratch)
	}
}

func qGemmNTAVX512(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	switch pl.kind {
	case kindI16, kindI32:
		vecGemm(pl, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case kindI8, kindBF16, kindTiles:
		blockGemm(pl, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case planInts, planFloats, planIntBlocks, planValueBlocks:
		qGemmNTAVX2(pl, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	default:
		floatTiles(qTileAVX512, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	}
}

// floatPrep makes x float32, in the order of split32 where the kernels want it.
func floatPrep(prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte) {
	k := q.Cols
	if k == 0 {
		return
	}
	to, row := Float32s(prep), Float32s(scratch)[:k]
	for i := i0; i < i1; i++ {
		dst := to[i*k : (i+1)*k]
		if !q.split() {
			loadAVX512(dst, x.Slice(i*k, (i+1)*k))
			continue
		}
		loadAVX512(row, x.Slice(i*k, (i+1)*k))
		split32(ptr(dst), ptr(row), k)
	}
}

// scaleRows is how many rows have their scales converted at a time.
func scaleRows(groups int) int { return max(4, 2048/max(groups, 1)&^3) }
func qScratchLenAVX512(q *QMatrix, m int) int {
	return max(qScratchLen(q, m), 4*q.Cols+2*scaleRows(q.groups())*q.groups())
}

func qTileAVX512(y []float32, ldy int, prep []byte, _ int, q *QMatrix, i0, m, n0, n1 int, scratch []float32) {
	_ = y[(m-1)*ldy+n1-n0-1]
	if q.Cols == 0 {
		for i := range m {
			clear(y[i*ldy : i*ldy+n1-n0])
		}
		return
	}
	x, ldx := Float32s(prep)[i0*q.Cols:], q.Cols
	_ = x[(m-1)*ldx+q.Cols-1]
	_ = q.Words[n1*q.rowWords()-1]
	g := q.groups()
	panel, rest := scratch[:4*q.Cols], scratch[4*q.Cols:]
	step := scaleRows(g)
	for j := n0; j < n1; j += step {
		n := min(step, n1-j)
		b := qBlock{q: q, row: j, n: n, s: rest[:n*g], b: rest[step*g:][:n*g]}
		b.loadScales()
		if k, base := q.kernels(); k != nil {
			b.fused(y[j-n0:], ldy, x, ldx, m, k, base)
		} else {
			b.unpacked(y[j-n0:], ldy, x, ldx, m, panel)
		}
	}
}

// qBlock is rows [row, row+n) of q with scales and biases as float32.
type qBlock struct {
	q      *QMatrix
	row, n int
	s, b   []float32
}

func (b *qBlock) loadScales() {
	q := b.q
	if q.Mode != Affine {
		q.scales(b.s, b.row, 0)
		clear(b.b)
		return
	}
	i := b.row * q.groups()
	loadAVX512(b.s, Raw{q.Elem, q.Scales}.Slice(i, i+len(b.s)))
	loadAVX512(b.b, Raw{q.Elem, q.Biases}.Slice(i, i+len(b.b)))
}

// packedRows is how many of m rows the next packed tile takes.
func packedRows(m int) int {
	if m >= 4 {
		return 4
	}
	return min(m, 2)
}

// fused multiplies rows of x by packed rows, four streams at a time.
func (b *qBlock) fused(y []float32, ldy int, x []float32, ldx, m int, k *packedKernels, base *float32) {
	q, g := b.q, b.q.groups()
	words, per, r4 := q.rowWords(), q.perGroup(), b.n/4
	for r := range r4 {
		w := &q.Words[(b.row+r)*words]
		for i := 0; i < m; {
			s := packedRows(m - i)
			k.four[s](&y[i*ldy+r], 4*ldy, 4*r4, &x[i*ldx], 4*ldx, w, 4*r4*words, &b.s[r*g], &b.b[r*g], 4*r4*g, g, per, base)
			i += s
		}
	}
	for r := 4 * r4; r < b.n; r++ {
		for i := range m {
			k.one(&y[i*ldy+r], 0, 0, &x[i*ldx], 0, &q.Words[(b.row+r)*words], 0, &b.s[r*g], &b.b[r*g], 0, g, per, base)
		}
	}
}

// unpacked makes four rows of float32 weights of NVFP4 at a time.
func (b *qBlock) unpacked(y []float32, ldy int, x []float32, ldx, m int, panel []float32) {
	q, g := b.q, b.q.groups()
	for r := 0; r < b.n; r += 4 {
		n := min(4, b.n-r)
		for t := range n {
			dst := panel[t*q.Cols:][:q.Cols]
			s, z := b.s[(r+t)*g:][:g], b.b[(r+t)*g:][:g]
			unpackQ4(&dst[0], &q.Words[(b.row+r+t)*q.rowWords()], &s[0], &z[0], g, &e2m1[0])
		}
		denseNT(y[r:], ldy, x, ldx, m, F32, (*byte)(unsafe.Pointer(&panel[0])), 4*q.Cols, n, q.Cols)
	}
}
