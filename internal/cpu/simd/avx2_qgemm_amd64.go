//go:build amd64 && !purego && !race

package simd

import (
	"unsafe"
)

// Products with packed weights of the avx2 tier:
//
//   - Rounded: x as int16 with a scale for each group. Sums of a group are exact
//     integers; y += s·sx·Σ(x·code), and the biases follow as Σ b·xs. One row of x
//     takes codes from the packed words, more rows take words that were unpacked
//     for all of them, for the same bits.
//   - Exact, one row of x: the same in float32.
//   - Exact, more rows, and mxfp8: rows of float32 weights, multiplied as such.
//   - From panelsMin rows on both in blocks, see avx2_qblock_amd64.go.
//
// Codes of fp4 are int16 words of 512 times their value.

// Kinds of QPlan.
const (
	planInts = iota
	planRow
	planPanels
	planIntBlocks
	planValueBlocks
)

// A codeTier holds the kernels of one width of codes.
type codeTier struct {
	ints, floats [2]mulTile // for one and for four rows of w
	words        func(dst *int16, w *byte, steps int)
	values       func(dst *float32, w *byte, s, b *float32, groups, per, half int)
	quant        func(q *int16, sx, sums, x *float32, groups, per int)
	bytes        int        // of 32 codes
	order        *[32]uint8 // of x for floats
	unit         float32    // of scales, where codes are ints
}

type mulTile func(y *float32, yns int, w *byte, ws int, s, b *float32, ss int, x *byte, sx, xs *float32, groups, per, nb int)

var (
	codesAVX2 = [9]*codeTier{
		2: {[2]mulTile{a2MulI2x1, a2MulI2x4}, [2]mulTile{a2MulF2x1, a2MulF2x4}, a2UnpackI2, a2UnpackF2, a2QuantLanes, 8, &orderLanes, 1},
		3: {[2]mulTile{a2MulI3x1, a2MulI3x4}, [2]mulTile{a2MulF3x1, a2MulF3x4}, a2UnpackI3, a2UnpackF3, a2QuantLanes, 12, &orderLanes, 1},
		4: {[2]mulTile{a2MulI4x1, a2MulI4x4}, [2]mulTile{a2MulF4x1, a2MulF4x4}, a2UnpackI4, a2UnpackF4, a2QuantSplit, 16, &orderSplit, 1},
		5: {[2]mulTile{a2MulI5x1, a2MulI5x4}, [2]mulTile{a2MulF5x1, a2MulF5x4}, a2UnpackI5, a2UnpackF5, a2QuantLanes, 20, &orderLanes, 1},
		6: {[2]mulTile{a2MulI6x1, a2MulI6x4}, [2]mulTile{a2MulF6x1, a2MulF6x4}, a2UnpackI6, a2UnpackF6, a2QuantLanes, 24, &orderLanes, 1},
		8: {[2]mulTile{a2MulI8x1, a2MulI8x4}, [2]mulTile{a2MulF8x1, a2MulF8x4}, a2UnpackI8, a2UnpackF8, a2QuantNatural, 32, &orderNatural, 1},
	}
	mxfp4AVX2 = codeTier{[2]mulTile{a2MulIFP4x1, a2MulIFP4x4}, [2]mulTile{a2MulFFP4x1, a2MulFFP4x4}, a2UnpackIFP4, a2UnpackFFP4, a2QuantSplit, 16, &orderSplit, 1. / 512}
	nvfp4AVX2 = codeTier{[2]mulTile{a2MulIFP4Pairsx1, a2MulIFP4Pairsx4}, [2]mulTile{a2MulFFP4Pairsx1, a2MulFFP4Pairsx4}, a2UnpackIFP4, a2UnpackFFP4Pairs, a2QuantSplit, 16, &orderSplit, 1. / 512}
	mxfp8AVX2 = codeTier{floats: [2]mulTile{a2MulE4M3x1, a2MulE4M3x4}, values: a2UnpackFE4M3, bytes: 32, order: &orderPlain, unit: 1}

	orderPlain, orderNatural, orderSplit, orderLanes [32]uint8
)

// Words 2l and 2l+1 of a register share lane l: the even ones come first, then the odd.
func init() {
	for i := range 32 {
		at := i / 16 * 16
		w := at + i%8*2 + i/8%2 // word in the order of the ints
		orderPlain[i], orderNatural[i] = uint8(i), uint8(w)
		orderSplit[i] = uint8(w%16*2 + w/16)
		orderLanes[i] = uint8(w%16/8*16 + w/16*8 + w%8)
	}
}

func (q *QMatrix) codesAVX2() *codeTier {
	switch q.Mode {
	case MXFP4:
		return &mxfp4AVX2
	case NVFP4:
		return &nvfp4AVX2
	case MXFP8:
		return &mxfp8AVX2
	}
	return codesAVX2[q.Bits]
}

// qShape is how the kernels see a row of q.
type qShape struct {
	steps  int // of 32 codes, the last may be half one
	per    int // steps of a group
	groups int // as the kernels count: of per steps
	half   int // 1: one of them is half a step more
	pad    int // floats of a row of scales or sums
	line   int // bytes from one row of words to the next: rows spread over the sets of L1
	pairs  bool
}

func (q *QMatrix) shapeAVX2() qShape {
	s := qShape{steps: (q.Cols + 31) / 32, per: max(q.Group/32, 1), pairs: q.Group < 32}
	s.groups, s.half = q.Cols/(32*s.per), q.Cols%32/16
	s.pad = (q.groups() + 7) &^ 7
	s.line = 64 * ((s.steps+7)&^7 + 4)
	return s
}

// all is the groups with the half one.
func (s *qShape) all() int { return s.groups + s.half }

// blocks is how many times eight biases a row has.
func (s *qShape) blocks(q *QMatrix) int {
	if q.Mode != Affine {
		return 0
	}
	return s.pad / 8
}

const (
	colsAVX2  = 24 // rows of w that are unpacked at a time
	rowsIAVX2 = 8  // rows of x that pass over them at a time
	cutAVX2   = 1024
)

func qPlanAVX2(q *QMatrix, m int, p Precision) QPlan {
	s := q.shapeAVX2()
	pl := QPlan{M: m, Passes: 1, Rows: 1, Cols: tileCols}
	k := 32 * s.steps
	ints := p == Rounded && q.Mode != MXFP8 && (!s.pairs || m == 1)
	switch {
	case ints && m >= panelsMin:
		pl.kind = planIntBlocks
		pl.Scratch = 4 * max(k, tileRows*tileCols+qBlockLen(&s, s.line))
	case ints:
		pl.kind = planInts
		pl.Scratch = 4 * max(k, scaleRowsAVX2(s.pad)*(2*s.pad+1), 2*colsAVX2*s.pad+rowsIAVX2*colsAVX2*9+colsAVX2*s.line/4)
	case m == 1:
		pl.kind = planRow
		pl.Prep = 4 * (k + s.pad)
		pl.Scratch = 4 * max(k, scaleRowsAVX2(s.pad)*(2*s.pad+1))
	case m >= panelsMin:
		pl.kind = planValueBlocks
		pl.Prep = m * q.valueLine()
		pl.Scratch = 4 * (tileRows*tileCols + qBlockLen(&s, q.valueLine()))
	default:
		pl.kind = planPanels
		pl.Prep = 4 * m * q.Cols
		pl.Scratch = 4 * (tileRows*tileCols + panelRowsAVX2*(q.Cols+2*s.pad))
	}
	if ints {
		pl.Prep = m * (s.line + 4*2*s.pad)
	}
	return pl
}

// panelsMin is from how many rows of x on unpacking into panels pays.
const panelsMin = 8

// scaleRowsAVX2 is how many rows have their scales converted at a time.
func scaleRowsAVX2(pad int) int { return max(4, 2048/max(pad, 1)&^3) }

// intPrep is x as int16 words [M,K], and for each row its scales and sums.
type intPrep struct {
	x        []byte
	sx, sums []float32
	line     int
}

func (s *qShape) intPrep(prep []byte, m int) intPrep {
	n := 8 * s.pad * m
	f := Float32s(prep[:n])
	return intPrep{prep[n:], f[:m*s.pad], f[m*s.pad:], s.line}
}

func (p *intPrep) row(i int) *int16 { return (*int16)(unsafe.Pointer(&p.x[i*p.line])) }

func qPrepAVX2(pl *QPlan, _ int, prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte) {
	k, s, c := q.Cols, q.shapeAVX2(), q.codesAVX2()
	if k == 0 {
		return
	}
	buf := Float32s(scratch)
	switch pl.kind {
	case planPanels:
		loadAVX2(Float32s(prep)[i0*k:i1*k], x.Slice(i0*k, i1*k))
	case planValueBlocks:
		line := q.valueLine() / 4
		for i := i0; i < i1; i++ {
			loadAVX2(Float32s(prep)[i*line:][:k], x.Slice(i*k, (i+1)*k))
		}
	case planInts, planIntBlocks:
		p := s.intPrep(prep, pl.M)
		row := buf[:32*s.steps]
		for i := i0; i < i1; i++ {
			loadAVX2(row[:k], x.Slice(i*k, (i+1)*k))
			clear(row[k:])
			sx, sums := p.sx[i*s.pad:][:s.pad], p.sums[i*s.pad:][:s.pad]
			clear(sums[s.pad-min(s.pad, 8):])
			c.quant(p.row(i), &sx[0], &sums[0], &row[0], s.all(), s.per)
		}
	case planRow:
		if i0 >= i1 {
			return
		}
		row := buf[:32*s.steps]
		loadAVX2(row[:k], x.Slice(0, k))
		clear(row[k:])
		f := Float32s(prep)
		sums, to := f[:s.pad], f[s.pad:]
		clear(sums)
		if q.Mode == Affine {
			for g := range q.groups() {
				sums[g] = sumAVX2(row[g*q.Group:][:q.Group])
			}
		}
		for at := 0; at < len(row); at += 32 {
			r, t := (*[32]float32)(row[at:]), (*[32]float32)(to[at:])
			for i, o := range c.order {
				t[i] = r[o&31]
			}
		}
	}
}

// scalesAVX2 writes the scales, times unit, and biases of rows [j, j+n) with row
// stride pad, zeros behind.
func (q *QMatrix) scalesAVX2(s, b []float32, pad, j, n int, unit float32) {
	g, size, have := q.groups(), 1, len(q.Scales)
	if q.Mode == Affine {
		size, have = q.Elem.Size(), min(have, len(q.Biases))
	}
	fast := 0 // rows with enough elements behind them
	if have = have/size - j*g; have >= pad {
		fast = min(n, (have-pad)/g+1)
	}
	if fast > 0 {
		src := &q.Scales[j*g*size]
		switch {
		case q.Mode == Affine:
			f := [...]func(dst *float32, src *byte, rows, g int, f float32){F32: a2RowsF32, F16: a2RowsF16, BF16: a2RowsBF16}[q.Elem]
			f(ptr(s), src, fast, g, 1)
			f(ptr(b), &q.Biases[j*g*size], fast, g, 1)
		case q.Mode == NVFP4:
			f := 256 * unit
			if q.Global != 0 {
				f *= q.Global / (448 * 6)
			}
			a2RowsE4M3(ptr(s), src, fast, g, f)
		default:
			a2RowsE8M0(ptr(s), src, fast, g, unit)
		}
	}
	for r := fast; r < n; r++ {
		d := s[r*pad : (r+1)*pad]
		clear(d[g:])
		q.scales(d[:g], j+r, 0)
		for i := range d {
			d[i] *= unit // a power of two
		}
		if q.Mode == Affine {
			d = b[r*pad : (r+1)*pad]
			clear(d[g:])
			q.biases(d[:g], j+r, 0)
		}
	}
}

func qGemmNTAVX2(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	if i0 >= i1 || n0 >= n1 {
		return
	}
	_ = q.Words[:n1*q.rowWords()]
	switch {
	case q.Cols == 0:
		for i := range i1 - i0 {
			row := y.Slice(i*ldy, i*ldy+n1-n0)
			clear(row.Data)
		}
	case pl.kind == planPanels:
		floatTiles(qTileAVX2, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case pl.kind == planIntBlocks:
		floatTiles(qIntBlocksAVX2, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case pl.kind == planValueBlocks:
		floatTiles(qValueBlocksAVX2, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case pl.M == 1:
		qRowAVX2(pl, y, prep, q, n0, n1, Float32s(scratch))
	default:
		qIntsAVX2(pl, y, ldy, prep, q, i0, i1, n0, n1, Float32s(scratch))
	}
}

// word returns the address of a row's codes.
func (q *QMatrix) rowAVX2(j int) *byte {
	return (*byte)(unsafe.Pointer(&q.Words[j*q.rowWords()]))
}

// qRowAVX2 multiplies one row of x, four rows of w at a time, far apart: they
// follow the memory better than neighbours do.
func qRowAVX2(pl *QPlan, y Raw, prep []byte, q *QMatrix, n0, n1 int, buf []float32) {
	s, c := q.shapeAVX2(), q.codesAVX2()
	var x *byte
	var sx, sums *float32
	mul := &c.floats
	if pl.kind == planInts {
		p := s.intPrep(prep, 1)
		x, sx, sums = &p.x[0], &p.sx[0], &p.sums[0]
		mul = &c.ints
	} else {
		x, sums = &prep[4*s.pad], (*float32)(unsafe.Pointer(&prep[0]))
		sx = sums
	}
	step := scaleRowsAVX2(s.pad)
	out, buf := buf[:step], buf[step:]
	sc, bi := buf[:step*s.pad], buf[step*s.pad:]
	tail := s.blocks(q)
	if s.pairs {
		tail = s.half
	}
	ws := 4 * q.rowWords()
	for j := n0; j < n1; j += step {
		n := min(step, n1-j)
		q.scalesAVX2(sc, bi, s.pad, j, n, c.unit)
		f := n / 4
		for r := range f {
			mul[1](&out[r], 4*f, q.rowAVX2(j+r), f*ws, &sc[r*s.pad], &bi[r*s.pad], 4*f*s.pad, x, sx, sums, s.groups, s.per, tail)
		}
		for r := 4 * f; r < n; r++ {
			mul[0](&out[r], 0, q.rowAVX2(j+r), 0, &sc[r*s.pad], &bi[r*s.pad], 0, x, sx, sums, s.groups, s.per, tail)
		}
		storeAVX2(y.Slice(j-n0, j-n0+n), out[:n])
	}
}

const panelRowsAVX2 = 16

// qTileAVX2 multiplies rows of float32 weights.
func qTileAVX2(y []float32, ldy int, prep []byte, _ int, q *QMatrix, i0, m, n0, n1 int, buf []float32) {
	x := Float32s(prep)[i0*q.Cols:]
	for j := n0; j < n1; j += panelRowsAVX2 {
		n := min(panelRowsAVX2, n1-j)
		w := q.valuesAVX2(j, n, buf)
		denseNTAVX2(y[j-n0:], ldy, x, q.Cols, m, F32, (*byte)(unsafe.Pointer(&w[0])), 4*q.Cols, n, q.Cols)
	}
}

// valuesAVX2 writes rows [j, j+n) of q as float32.
func (q *QMatrix) valuesAVX2(j, n int, buf []float32) []float32 {
	s, c := q.shapeAVX2(), q.codesAVX2()
	w, buf := buf[:n*q.Cols], buf[n*q.Cols:]
	sc, bi := buf[:n*s.pad], buf[n*s.pad:2*n*s.pad]
	clear(bi)
	q.scalesAVX2(sc, bi, s.pad, j, n, 1)
	for r := range n {
		c.values(&w[r*q.Cols], q.rowAVX2(j+r), &sc[r*s.pad], &bi[r*s.pad], s.groups, s.per, s.half)
	}
	return w
}

// A tileI adds products of rows of words to accumulators of eight lanes.
type tileI func(acc *float32, x *int16, xs int, sx *float32, sxs int, w *int16, ws int, s *float32, ss, groups, per int, sums, b *float32, nb int)

// tilesI for 1 or 2 rows of x by 1 or 3 rows of w.
var tilesI = [3][4]tileI{1: {1: a2TileI1x1, 3: a2TileI1x3}, 2: {1: a2TileI2x1, 3: a2TileI2x3}}

// intBlock is the words of some rows of w for the rows of x.
type intBlock struct {
	q      *QMatrix
	s      qShape
	p      intPrep
	sc, bi []float32
	acc    []float32
	out    []float32
	words  []float32 // as memory
	n      int       // rows of w
}

func qIntsAVX2(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, buf []float32) {
	b := intBlock{q: q, s: q.shapeAVX2()}
	c := q.codesAVX2()
	b.p = b.s.intPrep(prep, pl.M)
	take := func(n int) []float32 {
		r := buf[:n]
		buf = buf[n:]
		return r
	}
	b.sc, b.bi = take(colsAVX2*b.s.pad), take(colsAVX2*b.s.pad)
	b.acc, b.out = take(rowsIAVX2*colsAVX2*8), take(rowsIAVX2*colsAVX2)
	b.words = take(colsAVX2 * b.s.line / 4)
	for j := n0; j < n1; j += colsAVX2 {
		b.n = min(colsAVX2, n1-j)
		q.scalesAVX2(b.sc, b.bi, b.s.pad, j, b.n, c.unit)
		for r := range b.n {
			c.words((*int16)(unsafe.Pointer(&b.words[r*b.s.line/4])), q.rowAVX2(j+r), b.s.steps)
		}
		for i := i0; i < i1; i += rowsIAVX2 {
			m := min(rowsIAVX2, i1-i)
			b.rows(i, m)
			for r := range m {
				at := (i-i0+r)*ldy + j - n0
				storeAVX2(y.Slice(at, at+b.n), b.out[r*b.n:(r+1)*b.n])
			}
		}
	}
}

// rows multiplies rows [i, i+m) of x. Cuts of k stay in L1 for all tiles.
func (b *intBlock) rows(i, m int) {
	s := &b.s
	clear(b.acc[:m*b.n*8])
	cut := max(cutAVX2/(32*s.per), 1)
	for g := 0; g < s.groups; g += cut {
		n := min(cut, s.groups-g)
		nb := 0
		if g+n == s.groups {
			nb = s.blocks(b.q)
		}
		at := 0
		for r := 0; r < m; {
			mr := min(m-r, 2)
			for j := 0; j < b.n; {
				nr := 3
				if b.n-j < 3 {
					nr = 1
				}
				x := (*int16)(unsafe.Add(unsafe.Pointer(b.p.row(i+r)), 64*g*s.per))
				w := (*int16)(unsafe.Add(unsafe.Pointer(&b.words[j*s.line/4]), 64*g*s.per))
				tilesI[mr][nr](&b.acc[at], x, s.line, &b.p.sx[(i+r)*s.pad+g], 4*s.pad, w, s.line,
					&b.sc[j*s.pad+g], 4*s.pad, n, s.per, &b.p.sums[(i+r)*s.pad], &b.bi[j*s.pad], nb)
				at += 8 * mr * nr
				j += nr
			}
			r += mr
		}
	}
	b.collect(m)
}

// collect folds the lanes of the tiles into out, [m,n].
func (b *intBlock) collect(m int) {
	at := 0
	var t [6]float32
	for r := 0; r < m; {
		mr := min(m-r, 2)
		for j := 0; j < b.n; {
			nr := 3
			if b.n-j < 3 {
				nr = 1
			}
			a2LaneSums(&t[0], &b.acc[at], mr*nr)
			for u := range mr {
				copy(b.out[(r+u)*b.n+j:][:nr], t[u*nr:])
			}
			at += 8 * mr * nr
			j += nr
		}
		r += mr
	}
}
