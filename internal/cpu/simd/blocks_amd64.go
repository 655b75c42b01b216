//go:build amd64 && !purego && !race

package simd

import (
	"slices"
	"unsafe"
)

// Products of many rows of x, in blocks: panels of 32 columns of w are unpacked
// into cache and meet sub-panels of 4 rows of x, up to three at a time; see
// gen/panels.go. The kinds:
//
//	kindI8    x in int8 with a scale for each 64, codes of 4 and 8 bits as they are
//	kindBF16  x and w in bfloat16
//	kindTiles the same on the tiles of AMX, which take rows of x one after another
//
// Int8 leaves 6e-3 of the norm of a usual product, but 1.5e-2 where few channels
// are far larger than the others; groups of 64 with such channels get a second
// set of codes, for what the first left over, as further k behind the matrix.
// Which groups depends on all rows, so the plan has passes: codes, choice, rest.
//
// Across is x·w in place of x·wᵀ, in bfloat16: two rows of w are a step of its panels.

const (
	panelCols  = 32
	panels     = 4 // share a pass over x
	blockK     = 2048
	blockRows  = 516 // of x, so that their results stay in L2
	tileX      = 12  // rows of the widest tile
	rowsPanels = 8   // of x, the fewest that pay for unpacking w
	rowsTiles  = 16  // for tiles
	rowsHalved = 64  // for Halved: fewer are not worth another result than Exact
	passTiles  = 96  // that share a pass over panels
	maxRest    = 16  // groups with a second set of codes
	restHeader = 128 // bytes: their number and their indices
)

type panelFunc func(c *float32, x, w *byte, xm, wm *float32, xps, xms, n, acc int)

var (
	panelsI8   = [3]panelFunc{panelI8x4, panelI8x8, panelI8x12}
	panelsBF16 = [3]panelFunc{panelBF16x4, panelBF16x8, panelBF16x12}
	storePanel = [3]func(dst *byte, dstride int, src *float32, rows int){F32: storePanelF32, F16: storePanelF16, BF16: storePanelBF16}

	// The k that a dword of a step holds, by place in quantX8's and packX16's
	// transposition, by the bits of codes; 0 is the natural order.
	perms8  = map[int]*[64]byte{4: perm8(4), 8: perm8(8)}
	perms16 = map[int]*[32]uint16{0: perm16(kOrders[0]), 4: perm16(kOrders[4]), 8: perm16(kOrders[8])}
)

func perm8(bits int) *[64]byte {
	p, n := new([64]byte), 32/bits // codes of a dword
	for i := range p {
		st, e := i%16/4*4+i/16, i%4
		p[i] = byte(st/(n/4)*n + st%(n/4) + e*(n/4))
	}
	return p
}

func perm16(order *kOrder) *[32]uint16 {
	p := new([32]uint16)
	for i := range p {
		st, e := i%8/2*4+i/8, i%2
		p[i] = uint16(st/8*16) + uint16(order[st%8*2+e])
	}
	return p
}

// blockLayout is the prep, and how a block of w is unpacked.
type blockLayout struct {
	i8, tiles bool
	across    bool
	k, order  int // values of a row of x, and orderBits
	per       int // values of a step
	group     int // of unpacked scales
	groups    int
	rest      int // most groups with a second set of codes
	head      int // bytes before the sub-panels
	xps, xms  int // bytes of a sub-panel, or of a row for tiles, and of its scales
	subs      int // sub-panels, or rows
}

func blockLayoutOf(q *QMatrix, m, kind int, across bool) (l blockLayout) {
	l.across, l.subs, l.k, l.order = across, (m+3)/4, q.Cols, q.orderBits()
	if kind != kindI8 {
		l.per, l.group = 2, min(q.Group, 64)
		l.groups = q.Cols / l.group
		if across { // no scales are unpacked
			l.k, l.order, l.group, l.groups = q.Rows, 0, q.Rows, 1
		}
		l.xps = l.k / l.per * 16
		if kind == kindTiles {
			l.tiles, l.xps, l.subs = true, tileStride(l.k/2), m
		}
		return l
	}
	l.i8, l.per, l.group, l.groups = true, 4, 64, q.Cols/64
	l.rest = min(maxRest, l.groups/8)
	l.head = restHeader
	l.xps = (l.groups + l.rest) * 64 / l.per * 16
	l.xms = (l.groups + l.rest) * 32
	return l
}

func (l *blockLayout) panelBytes() int { return blockK / l.per * 4 * panelCols }

// metaLen is the unpacked scales and biases of a panel.
func (l *blockLayout) metaLen() int { return (l.groups + 8) * 2 * panelCols }

func blockPlan(q *QMatrix, m, kind int, across bool) QPlan {
	l := blockLayoutOf(q, m, kind, across)
	pl := QPlan{M: m, Prep: l.head + l.subs*(l.xps+l.xms), Passes: 1, Rows: tileX, Cols: panels * panelCols, kind: kind, across: across}
	if l.rest > 0 {
		pl.Passes = 3
	}
	rows := min(m, blockRows) + tileX
	prep := max(16*l.k, 16*64*maxRest+4*64)
	gemm := panels*(l.panelBytes()+4*l.metaLen()+4*2*panelCols*maxRest+4*panelCols*rows) + l.sourceBytes(q)
	pl.Scratch = max(prep, gemm)
	return pl
}

// sourceBytes is the memory in which 16 rows of w, or of scales, are made ready
// to be transposed.
func (l *blockLayout) sourceBytes(q *QMatrix) int {
	return max(16*4*(q.groups()+4), 16*2*blockK+4*blockK)
}

func blockPrep(pl *QPlan, pass int, prep []byte, x Raw, q *QMatrix, i0, i1 int, scratch []byte) {
	l := blockLayoutOf(q, pl.M, pl.kind, pl.across)
	if l.tiles {
		packTiles(prep[i0*l.xps:i1*l.xps], l.xps, x.Slice(i0*l.k, i1*l.k), l.k, i1-i0, l.k, l.k/2, kOrders[l.order])
		return
	}
	data, meta := prep[l.head:][:l.subs*l.xps], Float32s(prep[l.head+l.subs*l.xps:])
	if pass == 1 {
		if i0 == 0 {
			l.choose(prep, meta, scratch)
		}
		return
	}
	for i := i0; i < i1; i += 4 {
		s := i / 4
		sub := data[s*l.xps : (s+1)*l.xps]
		rows := x.Slice(i*l.k, min(i+4, pl.M)*l.k)
		switch {
		case !l.i8:
			l.pack16(sub, rows, scratch)
		case pass == 0:
			f := fourRows(rows, q.Cols, scratch)
			quantX8(&sub[0], &meta[s*l.xms/4], &f[0], 4*q.Cols, l.groups, &perms8[q.Bits][0])
		default:
			l.packRest(sub, meta[s*l.xms/4:(s+1)*l.xms/4], rest(prep), rows, q, scratch)
		}
	}
}

// fourRows are rows of x as float32, with zeros for those that lack.
func fourRows(x Raw, k int, scratch []byte) []float32 {
	f := Float32s(scratch)[:4*k]
	n := x.Len()
	loadAVX512(f[:n], x)
	clear(f[n:])
	return f
}

// pack16 puts four rows of bfloat16 into a sub-panel, in the order of k of w.
func (l *blockLayout) pack16(sub []byte, x Raw, scratch []byte) {
	h := x.Data
	if x.Elem != BF16 || x.Len() < 4*l.k {
		h = scratch[:8*l.k]
		n := x.Len()
		if x.Elem == BF16 {
			copy(h, x.Data)
		} else {
			f := Float32s(scratch[8*l.k:])[:l.k]
			for i := 0; i < n; i += l.k {
				loadAVX512(f, x.Slice(i, i+l.k))
				f32ToBF16AVX512(Uint16s(h[2*i:]), f)
			}
		}
		clear(h[2*n:])
	}
	packX16(&sub[0], &h[0], 2*l.k, l.k/32, &perms16[l.order][0])
}

// orderBits names the order of k in which the packers of BF16 leave w.
func (q *QMatrix) orderBits() int {
	if q.Mode == Affine && (q.Bits == 4 || q.Bits == 8) {
		return q.Bits
	}
	return 0
}

// rest lists the groups with a second set of codes.
func rest(prep []byte) []int32 {
	h := int32s(prep[:restHeader])
	return h[1 : 1+h[0]]
}

// choose lists the groups whose int8 rounding errors, summed over all rows as
// the squares of their scales, are ten times those of the median group.
func (l *blockLayout) choose(prep []byte, meta []float32, scratch []byte) {
	h := int32s(prep[:restHeader])
	h[0] = 0
	f := unsafe.Slice((*float64)(unsafe.Pointer(unsafe.SliceData(scratch))), 2*l.groups)
	e, sorted := f[:l.groups], f[l.groups:]
	clear(e)
	for s := range l.subs {
		m := meta[s*l.xms/4:]
		for g := range e {
			for _, v := range m[8*g : 8*g+4] {
				e[g] += float64(v) * float64(v)
			}
		}
	}
	copy(sorted, e)
	slices.Sort(sorted)
	limit := 10 * sorted[len(e)/2]
	for int(h[0]) < l.rest {
		best := 0
		for g := range e {
			if e[g] > e[best] {
				best = g
			}
		}
		if !(e[best] > limit) {
			return
		}
		h[0]++
		h[h[0]] = int32(best)
		e[best] = 0
	}
}

// packRest rounds what the codes of some groups leave over.
func (l *blockLayout) packRest(sub []byte, meta []float32, groups []int32, x Raw, q *QMatrix, scratch []byte) {
	if len(groups) == 0 {
		return
	}
	perm := perms8[q.Bits]
	n := 64 * len(groups)
	f := Float32s(scratch)
	left, row := f[:4*n], f[4*n:][:64]
	clear(left)
	for r := 0; r*q.Cols < x.Len(); r++ {
		for j, g := range groups {
			at := r*q.Cols + 64*int(g)
			loadAVX512(row, x.Slice(at, at+64))
			codes, scale := sub[1024/4*int(g):], meta[8*int(g)+r]
			to := left[r*n+64*j:]
			for i, k := range perm { // dword i/4 of the four rows' is at step i%16/4*4+i/16
				st, e := i%16/4*4+i/16, i%4
				to[k] = row[k] - scale*float32(int8(codes[16*st+4*r+e]))
			}
		}
	}
	quantX8(&sub[256*l.groups], &meta[8*l.groups], &left[0], 4*n, len(groups), &perm[0])
}

// A blockJob is one call of blockGemm: scratch memory for a block of w.
type blockJob struct {
	blockLayout
	q     *QMatrix
	kind  int
	w     []byte    // panels
	m, r  []float32 // their scales and biases; those of the rest
	c     []float32 // their results
	src   []byte
	cRows int
	twice []int32 // groups with a second set of codes
}

func blockGemm(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	b := blockJob{blockLayout: blockLayoutOf(q, pl.M, pl.kind, pl.across), q: q, kind: pl.kind}
	b.cRows = min(pl.M, blockRows) + tileX
	take := func(n int) []byte { t := scratch[:n:n]; scratch = scratch[n:]; return t }
	b.w = take(panels * b.panelBytes())
	b.m = Float32s(take(panels * 4 * b.metaLen()))
	b.r = Float32s(take(panels * 4 * 2 * panelCols * maxRest))
	b.c = Float32s(take(panels * 4 * panelCols * b.cRows))
	b.src = scratch
	if b.rest > 0 {
		b.twice = rest(prep)
	}
	size := y.Elem.Size()
	for i := i0; i < i1; i += blockRows {
		rows := min(blockRows, i1-i)
		for n := n0; n < n1; n += panels * panelCols {
			cols := min(panels*panelCols, n1-n)
			b.block(prep, i, rows, n, cols, y.Data[((i-i0)*ldy+n-n0)*size:], ldy*size, y.Elem)
		}
	}
}

// block is rows [i0, i0+rows) by up to four panels.
func (b *blockJob) block(prep []byte, i0, rows, n0, cols int, y []byte, ldy int, e Elem) {
	x := prep[b.head:]
	var xm []float32
	if b.i8 {
		xm = Float32s(x[b.subs*b.xps:])[i0/4*b.xms/4:]
	}
	if b.tiles {
		x = x[i0*b.xps:]
	} else {
		x = x[i0/4*b.xps : b.subs*b.xps]
	}
	np := (cols + panelCols - 1) / panelCols
	if b.q.Mode == Affine && !b.across {
		for p := range np {
			b.unpackMeta(b.m[p*b.metaLen():], n0+p*panelCols, min(panelCols, cols-p*panelCols))
		}
	}
	t := blockTile{rows: rows, cols: cols, y: y, ldy: ldy, elem: e}
	for k0 := 0; k0 < b.k; k0 += blockK {
		kc := min(blockK, b.k-k0)
		if b.across {
			b.unpackAcross(np, n0, cols, k0, kc)
		}
		for p := 0; p < np && !b.across; p++ {
			b.unpack(b.w[p*kc/b.per*128:], b.m[p*b.metaLen():], n0+p*panelCols, min(panelCols, cols-p*panelCols), k0, kc)
		}
		at := k0 / b.per * 16
		if b.tiles {
			at = k0 * 2
		}
		t.x, t.kc, t.acc, t.wm, t.wms = x[at:], kc, k0, b.m[k0/b.group*2*panelCols:], b.metaLen()
		if b.i8 {
			t.xm = xm[k0/64*8:]
		}
		t.last = k0+kc == b.k && len(b.twice) == 0
		b.tile(&t)
	}
	if len(b.twice) == 0 {
		return
	}
	kc := 64 * len(b.twice)
	const step = 64 / 4 * 128 // bytes of an unpacked group
	for p := range np {
		meta := b.m[p*b.metaLen():]
		for j, g := range b.twice {
			b.unpack(b.w[(p*len(b.twice)+j)*step:], meta, n0+p*panelCols, min(panelCols, cols-p*panelCols), 64*int(g), 64)
			copy(b.r[(p*maxRest+j)*2*panelCols:][:2*panelCols], meta[2*panelCols*int(g):])
		}
	}
	t.x, t.xm, t.kc, t.acc, t.last = x[b.groups*256:], xm[8*b.groups:], kc, 1, true
	t.wm, t.wms = b.r, 2*panelCols*maxRest
	b.tile(&t)
}

// A blockTile is what a pass over one block of k needs.
type blockTile struct {
	x          []byte
	xm, wm     []float32
	wms        int // of a panel, in wm
	kc, acc    int
	rows, cols int
	last       bool
	y          []byte
	ldy        int // bytes
	elem       Elem
}

// tile multiplies the panels with all rows, and stores results with the last
// block of k, while they are in cache.
func (b *blockJob) tile(t *blockTile) {
	if b.blockLayout.tiles {
		b.amxTiles(t)
		return
	}
	kernels, n := &panelsBF16, t.kc/(4*b.per)
	var none float32
	xm := &none
	if b.i8 {
		kernels, n = &panelsI8, t.kc/64
	}
	for i := 0; i < t.rows; i += tileX {
		h := min(3, (t.rows-i+3)/4)
		x := &t.x[i/4*b.xps]
		if b.i8 {
			xm = &t.xm[i/4*b.xms/4]
		}
		for p := 0; p*panelCols < t.cols; p++ {
			c := b.c[(p*b.cRows+i)*panelCols:]
			kernels[h-1](&c[0], x, &b.w[p*t.kc/b.per*128], xm, &t.wm[p*t.wms], b.xps, b.xms, n, t.acc)
			if t.last {
				b.store(t, c, i, min(tileX, t.rows-i), p*panelCols)
			}
		}
	}
}

// amxTiles is tile on AMX.
func (b *blockJob) amxTiles(t *blockTile) {
	steps := t.kc / 2
	for i := 0; i < t.rows; i += passTiles {
		rows := min(passTiles, t.rows-i)
		for p := 0; p*panelCols < t.cols; p++ {
			c := b.c[(p*b.cRows+i)*panelCols:]
			gemmTiles(c, t.x[i*b.xps:], b.xps, b.w[p*steps*128:], rows, steps, t.acc != 0)
			if t.last {
				b.store(t, c, i, rows, p*panelCols)
			}
		}
	}
}

// store rounds rows of a panel, from row i and column j of the block on, into the
// result.
func (b *blockJob) store(t *blockTile, c []float32, i, rows, j int) {
	size := t.elem.Size()
	if t.cols-j >= panelCols {
		storePanel[t.elem](&t.y[i*t.ldy+j*size], t.ldy, &c[0], rows)
		return
	}
	for r := range rows {
		storeAVX512(Raw{t.elem, t.y[(i+r)*t.ldy+j*size:][:(t.cols-j)*size]}, c[r*panelCols:][:t.cols-j])
	}
}

// unpackMeta writes the scales and biases of up to 32 rows of w: for each group
// of b.group 32 scales, then 32 biases; zeros for rows that lack.
func (b *blockJob) unpackMeta(d []float32, n, cols int) {
	q, g := b.q, b.q.groups()
	padded := (g + 3) &^ 3
	buf := Float32s(b.src)[:16*padded]
	repeat := q.Group / b.group
	for i, meta := range [][]byte{q.Scales, q.Biases} {
		for h := 0; h < panelCols; h += 16 {
			clear(buf)
			for r := 0; r < 16 && h+r < cols; r++ {
				loadAVX512(buf[r*padded:][:g], Raw{q.Elem, meta}.Slice((n+h+r)*g, (n+h+r+1)*g))
			}
			for t := range repeat {
				at := t*2*panelCols + i*panelCols + h
				transpose16((*byte)(unsafe.Pointer(&d[at])), repeat*8*panelCols, &b.src[0], 4*padded, padded/4)
			}
		}
	}
}

// unpack makes a panel of rows [n, n+cols) and k in [k0, k0+kc).
func (b *blockJob) unpack(dst []byte, meta []float32, n, cols, k0, kc int) {
	for h := 0; h < panelCols; h += 16 {
		rows := max(min(16, cols-h), 0)
		src, stride := b.rows16(n+h, rows, k0, kc)
		to := &dst[4*h]
		m := &meta[k0/b.group*2*panelCols+h]
		switch {
		case b.i8 && b.q.Bits == 4:
			packQ4I8(to, 128, src, stride, kc/32)
		case b.i8:
			transpose16(to, 128, src, stride, kc/16)
		case b.q.orderBits() == 4 && b.group == 32:
			packQ4BF16G32(to, 128, src, stride, kc/32, m)
		case b.q.orderBits() == 4:
			packQ4BF16G64(to, 128, src, stride, kc/64, m)
		case b.q.orderBits() == 8 && b.group == 32:
			packQ8BF16G32(to, 128, src, stride, kc/32, m)
		case b.q.orderBits() == 8:
			packQ8BF16G64(to, 128, src, stride, kc/64, m)
		default:
			transpose16(to, 128, src, stride, kc/8)
		}
	}
}

type packAcrossFunc func(dst *byte, dstep int, src *byte, sstride int, s, b *byte, mstride, pairs, groups int)

// packersAcross by group/64.
var packersAcross = [3][3]packAcrossFunc{
	F32:  {packAcrossQ4G32F32, packAcrossQ4G64F32, packAcrossQ4G128F32},
	F16:  {packAcrossQ4G32F16, packAcrossQ4G64F16, packAcrossQ4G128F16},
	BF16: {packAcrossQ4G32BF16, packAcrossQ4G64BF16, packAcrossQ4G128BF16},
}

// unpackAcross makes np panels of columns [n, n+cols) and rows [k0, k0+kc) of w.
func (b *blockJob) unpackAcross(np, n, cols, k0, kc int) {
	if q := b.q; q.Mode == Affine && q.Bits == 4 {
		words, size := q.rowWords(), q.Elem.Size()
		first, meta := k0*words+n/8, (k0*q.groups()+n/q.Group)*size
		packersAcross[q.Elem][q.Group/64](&b.w[0], kc/2*128, (*byte)(unsafe.Pointer(&q.Words[first])), 4*words,
			&q.Scales[meta], &q.Biases[meta], size*q.groups(), kc/2, cols/q.Group)
		return
	}
	f := Float32s(b.src)
	two := [2][]float32{f[:panels*panelCols], f[panels*panelCols:][:panels*panelCols]}
	for _, row := range two {
		clear(row[cols:])
	}
	for k := 0; k < kc; k += 2 {
		for i, row := range two {
			b.q.row(row[:cols], k0+k+i, n)
		}
		pairRows(&b.w[k/2*128], kc/2*128, &two[0][0], &two[1][0], np)
	}
}

// row is values [n, n+len(dst)) of a row.
func (q *QMatrix) row(dst []float32, row, n int) {
	if q.Mode == Dense {
		words := unsafe.Slice((*byte)(unsafe.Pointer(&q.Words[0])), 4*len(q.Words))
		at := row*q.Cols + n
		loadAVX512(dst, Raw{BF16, words}.Slice(at, at+len(dst)))
		return
	}
	q.dequant(dst, row, n, F32)
}

// rows16 is where values [k0, k0+kc) of 16 rows of w lie, and the bytes from row
// to row: in place, or copied with zeros for rows that lack, or as bfloat16 if
// the codes have no packer.
func (b *blockJob) rows16(n, rows, k0, kc int) (*byte, int) {
	q := b.q
	stride := 4 * q.rowWords()
	if !b.i8 && q.orderBits() == 0 && q.Mode != Dense {
		return b.dequantized(n, rows, k0, kc)
	}
	at := k0 * q.Bits / 8
	w := unsafe.Slice((*byte)(unsafe.Pointer(&q.Words[0])), 4*len(q.Words))
	if rows == 16 {
		return &w[n*stride+at], stride
	}
	size := kc * q.Bits / 8
	for r := range rows {
		copy(b.src[r*size:(r+1)*size], w[(n+r)*stride+at:])
	}
	clear(b.src[rows*size : 16*size])
	return &b.src[0], size
}

// dequantized makes weights of any scheme bfloat16, in one rounding.
func (b *blockJob) dequantized(n, rows, k0, kc int) (*byte, int) {
	q, size := b.q, 2*kc
	f := Float32s(b.src[16*2*blockK:])[:kc]
	part := QMatrix{Mode: q.Mode, Bits: q.Bits, Group: q.Group, Rows: 1, Cols: kc, Elem: q.Elem, Global: q.Global}
	ms := 1
	if q.Mode == Affine {
		ms = q.Elem.Size()
	}
	for r := range rows {
		w := (n+r)*q.rowWords() + k0*q.Bits/32
		part.Words = q.Words[w : w+part.rowWords()]
		at, len := ((n+r)*q.groups()+k0/q.Group)*ms, kc/q.Group*ms
		part.Scales = q.Scales[at : at+len]
		if q.Mode == Affine {
			part.Biases = q.Biases[at : at+len]
		}
		dequantRowAVX512(f, &part, 0, F32)
		f32ToBF16AVX512(Uint16s(b.src[r*size:(r+1)*size]), f)
	}
	clear(b.src[rows*size : 16*size])
	return &b.src[0], size
}
