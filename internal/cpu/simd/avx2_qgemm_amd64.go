//go:build amd64 && !purego && !race

package simd

import "unsafe"

// Products with packed weights of the avx2 tier. Rounded ones take x as int16 with
// a scale for each group: sums of a group are exact integers, and
// y += s·sx·Σ(x·code), the biases follow as Σ b·xs. Exact ones do the same in float32.
// Few rows of x take codes from the packed words, a row at a time; many take blocks,
// see avx2_qblock_amd64.go. Codes of fp4 are int16 words of 512 times their value.

// Kinds of QPlan, apart from those of avx512, which takes some of them.
const (
	planInts = 16 + iota
	planFloats
	planIntBlocks
	planValueBlocks
)

// A codeTier holds the kernels of one width of codes.
type codeTier struct {
	ints, floats [2]mulTile // for one and for four rows of w
	words        func(dst *int16, w *byte, steps int)
	values       func(dst *float32, w *byte, s, b *float32, groups, per, half int)
	quant        func(q *int16, sx, sums, x *float32, groups, per int)
	order        *[32]uint8 // of x for floats
	unit         float32    // of scales, where codes are ints
}

type mulTile func(y *float32, yns int, w *byte, ws int, s, b *float32, ss int, x *byte, sx, xs *float32, groups, per, nb int)

var (
	codesAVX2 = [9]*codeTier{
		2: {[2]mulTile{a2MulI2x1, a2MulI2x4}, [2]mulTile{a2MulF2x1, a2MulF2x4}, a2UnpackI2, a2UnpackF2, a2QuantLanes, &orderLanes, 1},
		3: {[2]mulTile{a2MulI3x1, a2MulI3x4}, [2]mulTile{a2MulF3x1, a2MulF3x4}, a2UnpackI3, a2UnpackF3, a2QuantLanes, &orderLanes, 1},
		4: {[2]mulTile{a2MulI4x1, a2MulI4x4}, [2]mulTile{a2MulF4x1, a2MulF4x4}, a2UnpackI4, a2UnpackF4, a2QuantSplit, &orderSplit, 1},
		5: {[2]mulTile{a2MulI5x1, a2MulI5x4}, [2]mulTile{a2MulF5x1, a2MulF5x4}, a2UnpackI5, a2UnpackF5, a2QuantLanes, &orderLanes, 1},
		6: {[2]mulTile{a2MulI6x1, a2MulI6x4}, [2]mulTile{a2MulF6x1, a2MulF6x4}, a2UnpackI6, a2UnpackF6, a2QuantLanes, &orderLanes, 1},
		8: {[2]mulTile{a2MulI8x1, a2MulI8x4}, [2]mulTile{a2MulF8x1, a2MulF8x4}, a2UnpackI8, a2UnpackF8, a2QuantNatural, &orderNatural, 1},
	}
	mxfp4AVX2 = codeTier{[2]mulTile{a2MulIFP4x1, a2MulIFP4x4}, [2]mulTile{a2MulFFP4x1, a2MulFFP4x4}, a2UnpackIFP4, a2UnpackFFP4, a2QuantSplit, &orderSplit, 1. / 512}
	nvfp4AVX2 = codeTier{[2]mulTile{a2MulIFP4Pairsx1, a2MulIFP4Pairsx4}, [2]mulTile{a2MulFFP4Pairsx1, a2MulFFP4Pairsx4}, a2UnpackIFP4, a2UnpackFFP4Pairs, a2QuantSplit, &orderSplit, 1. / 512}
	mxfp8AVX2 = codeTier{floats: [2]mulTile{a2MulE4M3x1, a2MulE4M3x4}, values: a2UnpackFE4M3, order: &orderPlain, unit: 1}

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

// fewAVX2 is up to how many rows of x take codes a row at a time: blocks unpack them
// once, but to memory. Codes that cost more to unpack give up earlier.
func (q *QMatrix) fewAVX2() int {
	if q.Bits == 4 || q.Bits == 8 {
		return 5
	}
	return 3
}

func qPlanAVX2(q *QMatrix, m int, p Precision) QPlan {
	s := q.shapeAVX2()
	pl := QPlan{M: m, Passes: 1, Rows: 1, Cols: tileCols}
	k := 32 * s.steps
	ints := p == Rounded && q.Mode != MXFP8
	pl.Scratch = 4 * max(k, scaleRowsAVX2(s.pad)*(2*s.pad+q.fewAVX2()))
	switch {
	case m <= q.fewAVX2() && ints:
		pl.kind, pl.Prep = planInts, m*s.intLine()
	case m <= q.fewAVX2():
		pl.kind, pl.Prep = planFloats, 4*m*(k+s.pad)
	case ints && !s.pairs:
		pl.kind, pl.Prep = planIntBlocks, m*s.intLine()
		pl.Scratch = 4 * max(k, tileRows*tileCols+qBlockLen(&s, s.line))
	default:
		pl.kind, pl.Prep = planValueBlocks, m*q.valueLine()
		pl.Scratch = 4 * (tileRows*tileCols + qBlockLen(&s, q.valueLine()))
	}
	return pl
}

// scaleRowsAVX2 is how many rows have their scales converted at a time.
func scaleRowsAVX2(pad int) int { return max(4, 2048/max(pad, 1)&^3) }

// intPrep is x as int16 words [M,K], and for each row its scales and sums.
type intPrep struct {
	x        []byte
	sx, sums []float32
	line     int
}

// intLine is the bytes of a row with its scales and sums.
func (s *qShape) intLine() int { return s.line + 4*2*s.pad }

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
	case planFloats:
		for i := i0; i < i1; i++ {
			row := buf[:32*s.steps]
			loadAVX2(row[:k], x.Slice(i*k, (i+1)*k))
			clear(row[k:])
			sums, to := s.floatPrep(prep, i)
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
}

// floatPrep is row i of x as float32 in the order of the kernels, and its sums.
func (s *qShape) floatPrep(prep []byte, i int) (sums, x []float32) {
	n := s.pad + 32*s.steps
	f := Float32s(prep)[i*n : (i+1)*n]
	return f[:s.pad], f[s.pad:]
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
			bias := &q.Biases[j*g*size]
			switch q.Elem { // not through a table: s and b may be on the stack
			case F32:
				a2RowsF32(ptr(s), src, fast, g, 1)
				a2RowsF32(ptr(b), bias, fast, g, 1)
			case F16:
				a2RowsF16(ptr(s), src, fast, g, 1)
				a2RowsF16(ptr(b), bias, fast, g, 1)
			case BF16:
				a2RowsBF16(ptr(s), src, fast, g, 1)
				a2RowsBF16(ptr(b), bias, fast, g, 1)
			}
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
	case pl.kind == planIntBlocks:
		floatTiles(qIntBlocksAVX2, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	case pl.kind == planValueBlocks:
		floatTiles(qValueBlocksAVX2, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
	default:
		qRowsAVX2(pl, y, ldy, prep, q, i0, i1, n0, n1, Float32s(scratch))
	}
}

// rowAVX2 is where the codes of row j begin.
func (q *QMatrix) rowAVX2(j int) *byte {
	return (*byte)(unsafe.Pointer(&q.Words[j*q.rowWords()]))
}

// qRowsAVX2 multiplies few rows of x, four rows of w at a time, far apart: they
// follow the memory better than neighbours do.
func qRowsAVX2(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, buf []float32) {
	s, c := q.shapeAVX2(), q.codesAVX2()
	mul := &c.floats
	var p intPrep
	if pl.kind == planInts {
		p, mul = s.intPrep(prep, pl.M), &c.ints
	}
	row := func(i int) (x *byte, sx, sums *float32) {
		if pl.kind == planInts {
			return (*byte)(unsafe.Pointer(p.row(i))), &p.sx[i*s.pad], &p.sums[i*s.pad]
		}
		f, v := s.floatPrep(prep, i)
		return (*byte)(unsafe.Pointer(&v[0])), &f[0], &f[0]
	}
	step := scaleRowsAVX2(s.pad)
	out, buf := buf[:q.fewAVX2()*step], buf[q.fewAVX2()*step:]
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
		for r := range n - 3*f { // f tiles of four rows, then single ones
			t, at := 1, r
			if r >= f {
				t, at = 0, r+3*f
			}
			for i := i0; i < i1; i++ {
				x, sx, sums := row(i)
				mul[t](&out[(i-i0)*n+at], 4*f, q.rowAVX2(j+at), f*ws, &sc[at*s.pad], &bi[at*s.pad], 4*f*s.pad, x, sx, sums, s.groups, s.per, tail)
			}
		}
		for i := range i1 - i0 {
			to := i*ldy + j - n0
			storeAVX2(y.Slice(to, to+n), out[i*n:(i+1)*n])
		}
	}
}
