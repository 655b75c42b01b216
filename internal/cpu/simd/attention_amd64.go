//go:build amd64 && !purego && !race

package simd

import (
	"math/bits"
	"unsafe"
)

// Tiles of up to 4 query rows by blocks of 64 keys, see gen/attention.go. Strides
// are in bytes; ahead is how far from the rows that are read lie those to prefetch.
type (
	scoreTile  func(s *float32, ss int, q *float32, qs int, k *byte, ks, d, n, ahead int)
	valuesTile func(o *float32, os int, f, w *float32, ws int, v *byte, vs, d, n, ahead int)
)

var (
	scoreTiles = [4][5]scoreTile{
		F32:  {1: attScoreF32x2, 2: attScoreF32x2, 3: attScoreF32x4, 4: attScoreF32x4},
		F16:  {1: attScoreF16x2, 2: attScoreF16x2, 3: attScoreF16x4, 4: attScoreF16x4},
		BF16: {1: attScoreBF16x2, 2: attScoreBF16x2, 3: attScoreBF16x4, 4: attScoreBF16x4},
		pair: {1: attScorePairx2, 2: attScorePairx2, 3: attScorePairx4, 4: attScorePairx4},
	}
	valuesTiles = [3][5]valuesTile{
		F32:  {1: attValuesF32x1, 2: attValuesF32x2, 4: attValuesF32x4},
		F16:  {1: attValuesF16x1, 2: attValuesF16x2, 4: attValuesF16x4},
		BF16: {1: attValuesBF16x1, 2: attValuesBF16x2, 4: attValuesBF16x4},
	}
)

var packs = [4]func(y *float32, k *byte, ks, d, groups int){F32: attPackF32, F16: attPackF16, BF16: attPackBF16, pair: attPackPair}

// pair stands for bfloat16 keys that meet bfloat16 queries, in dot products of two.
const pair = BF16 + 1

const (
	attRows     = 4
	scoreStride = keyBlock + 16 // room behind and before the scores: tiles store 8 at a time
	scoreFront  = 16
	packedTiles = 6 // so many tiles pay for packed keys
)

// attStep is how many elements of a row of values a step of the kernels reads, twice
// what it reads of keys; queries and sums are padded to it.
func attStep(e Elem) int {
	if e == BF16 {
		return 32
	}
	return 16
}

func padded(n, to int) int { return (n + to - 1) / to * to }

// attTiles is the scratch of a part. For a tile of 4 rows: its queries, sums,
// maxima (four times each) and 16 lanes of the sum of weights.
type attTiles struct {
	q, o, m, l  []float32
	front, s    []float32 // scores, with room before them
	f, one      []float32
	row, k      []float32
	kind        Elem // of the keys, or pair
	dq, dv      int  // padded row lengths, in float32s
	see         [attRows]uint64
	from, to    int // keys of the block that any row may see
	packed      int // how many of them are packed
	tiles, live int
}

func (t *attTiles) carve(a *Attention, mem []float32) int {
	t.kind = a.K.Elem
	t.dq, t.dv = padded(a.D, attStep(a.K.Elem)/2), padded(a.DV, attStep(a.V.Elem))
	if fastBF16 && a.K.Elem == BF16 && a.QElem == BF16 {
		t.kind, t.dq = pair, t.dq/2
	}
	t.tiles = (a.Rows + attRows - 1) / attRows
	rows, at := t.tiles*attRows, 15 // room to begin at a cache line
	if mem != nil {
		at = int(-uintptr(unsafe.Pointer(&mem[0])) / 4 % 16)
	}
	take := func(n int) (x []float32) {
		if mem != nil {
			x = mem[at : at+n]
		}
		at += padded(n, 16)
		return x
	}
	t.q, t.o = take(rows*t.dq), take(rows*t.dv)
	t.l, t.m = take(rows*16), take(rows*4)
	t.front, t.s = take(scoreFront), take(attRows*scoreStride)
	t.f, t.one = take(16), take(16)
	t.row = take(max(t.dq, t.dv))
	if t.tiles >= packedTiles {
		t.k = take((keyBlock + 8) * t.dq)
	}
	return at
}

func attendPartScratchLenAVX512(a *Attention) int {
	var t attTiles
	return t.carve(a, nil)
}

func attendPartAVX512(p AttentionPart, a *Attention, from, to int, scratch []float32) {
	var t attTiles
	t.carve(a, scratch)
	first, last := a.span(from, to)
	if first < last {
		_ = a.K.Slice((last-1)*a.KStride, (last-1)*a.KStride+a.D)
		_ = a.V.Slice((last-1)*a.VStride, (last-1)*a.VStride+a.DV)
		t.start(a)
		for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
			t.block(a, j, max(first, j), min(last, j+keyBlock))
		}
	}
	for r := range a.Rows {
		o := p.O[r*p.Stride : r*p.Stride+a.DV]
		if first >= last {
			clear(o)
			p.Max[r], p.Sum[r] = -inf32, 0
			continue
		}
		p.Max[r], p.Sum[r] = t.m[4*r], sumF32(&t.l[16*r], 16)
		t.result(o, r, a.V.Elem)
	}
}

// start copies the queries in the order of the kernels, with zeros behind them.
func (t *attTiles) start(a *Attention) {
	for r := range t.tiles * attRows {
		q := t.q[r*t.dq : (r+1)*t.dq]
		if r >= a.Rows {
			clear(q)
			continue
		}
		x := a.Q[r*a.QStride : r*a.QStride+a.D]
		switch {
		case a.D == 0:
		case t.kind == pair:
			clear(q)
			toBF16((*uint16)(unsafe.Pointer(&q[0])), &x[0], a.D)
		case t.kind == BF16 && t.dq == a.D:
			split16(&q[0], &x[0], a.D)
		case t.kind == BF16:
			clear(t.row[copy(t.row, x):t.dq])
			split16(&q[0], &t.row[0], t.dq)
		default:
			clear(q[copy(q, x):])
		}
	}
	clear(t.o)
	clear(t.l)
	for i := range t.m {
		t.m[i] = -inf32
	}
	for i := range t.one {
		t.one[i] = 1
	}
}

// result writes the sums of row r.
func (t *attTiles) result(o []float32, r int, e Elem) {
	x := t.o[r*t.dv : (r+1)*t.dv]
	if e != BF16 || len(x) == 0 {
		copy(o, x)
		return
	}
	if len(o) == len(x) {
		join32(&o[0], &x[0], len(x))
		return
	}
	join32(&t.row[0], &x[0], len(x))
	copy(o, t.row)
}

// block adds keys [from, to) of the block at j to all tiles.
func (t *attTiles) block(a *Attention, j, from, to int) {
	t.from, t.to, t.packed = from, to, 0
	if t.tiles >= packedTiles && a.D > 0 {
		t.pack(a, from, to-from)
	}
	for i := range t.tiles {
		t.live = min(attRows, a.Rows-i*attRows)
		if t.look(a, i*attRows, j, from, to) {
			t.tile(a, i, j)
		}
	}
}

// look sets see to the keys of the block that the rows from r on see, and reports
// whether there is one.
func (t *attTiles) look(a *Attention, r, j, from, to int) bool {
	lo, hi := a.visible(r)
	lo2, hi2 := lo, hi
	if t.live > 1 {
		lo2, hi2 = a.visible(r + t.live - 1)
	}
	if max(lo, from) >= min(hi2, to) {
		return false
	}
	t.see = [attRows]uint64{}
	var any uint64
	same := lo == lo2 && hi == hi2 // or so many that the block shows no difference
	same = same || lo2 <= from && hi >= to
	for i := range t.live {
		if i > 0 && !same {
			lo, hi = a.visible(r + i)
		}
		l, h := max(lo, from)-j, min(hi, to)-j
		if l >= h {
			continue
		}
		see := ^uint64(0) >> (keyBlock - h) &^ (1<<l - 1)
		if a.Mask != nil {
			see &= maskBits(&a.mask(r + i)[j+l:][:h-l][0], h-l) << l
		}
		if a.Bias != nil {
			see &= biasBits(&a.bias(r + i)[j+l:][:h-l][0], h-l) << l
		}
		t.see[i] = see
		any |= see
	}
	return any != 0
}

// tile adds the keys of the block at j that see leaves to tile i.
func (t *attTiles) tile(a *Attention, i, j int) {
	any := t.see[0] | t.see[1] | t.see[2] | t.see[3]
	lo, hi := bits.TrailingZeros64(any), keyBlock-bits.LeadingZeros64(any)
	t.scores(a, i, j+lo, lo, hi-lo)
	scale := a.Scale
	if a.SoftCap > 0 || a.Bias != nil {
		scale = 1
		for r := range t.live {
			s := t.s[r*scoreStride:][lo:hi]
			scaleF32(&s[0], &s[0], len(s), a.Scale)
			if a.SoftCap > 0 {
				scaleF32(&s[0], &s[0], len(s), 1/a.SoftCap)
				tanhF32(&s[0], &s[0], len(s))
				scaleF32(&s[0], &s[0], len(s), a.SoftCap)
			}
			if a.Bias == nil {
				continue
			}
			vecAddF32(&s[0], &s[0], &a.bias(i*attRows + r)[j+lo:][:hi-lo][0], hi-lo)
		}
	}
	attWeights(&t.s[0], 4*scoreStride, &t.see[0], &t.m[16*i], &t.f[0], &t.l[64*i], scale, t.live)
	if a.DV > 0 {
		t.values(a, i, j)
	}
}

// distance is how far ahead of the rows in use tile i fetches those to come into
// L2, where they follow each other. Into L1, or from farther, is slower.
func distance(i, n, stride int) int {
	if i > 0 || n != stride { // what the first tile fetched serves all
		return 0
	}
	return 8192
}

// pack turns n keys into groups of 8 that all tiles read; the last group overlaps
// the one before. Fewer than 8 keys stay.
func (t *attTiles) pack(a *Attention, from, n int) {
	if n < 8 {
		return
	}
	t.packed = n
	size := a.K.Elem.Size()
	f, ks := packs[t.kind], a.KStride*size
	f(&t.k[0], &a.K.Data[from*ks], ks, a.D, n/8)
	if n%8 != 0 {
		f(&t.k[n/8*8*t.dq], &a.K.Data[(from+n-8)*ks], ks, a.D, 1)
	}
}

// packedScores is scores for packed keys, by whole groups.
func (t *attTiles) packedScores(i, k, at, n int) {
	first, last := (k-t.from)/8, (k-t.from+n+7)/8
	s, q := t.s[at-(k-t.from):], &t.q[i*attRows*t.dq]
	whole := min(last, t.packed/8)
	if first < whole {
		t.groups(&s[8*first], q, 8*first, whole-first)
	}
	if last > whole {
		t.groups(&s[t.packed-8], q, 8*whole, 1)
	}
}

// groups is scores for n groups from packed key k on.
func (t *attTiles) groups(s, q *float32, k, n int) {
	if t.kind == pair {
		attScorePackedPair(s, 4*scoreStride, q, 4*t.dq, &t.k[k*t.dq], t.dq/8, n)
		return
	}
	attScorePacked(s, 4*scoreStride, q, 4*t.dq, &t.k[k*t.dq], t.dq/8, n)
}

// scores of n keys from key k on, from place at of the block on.
func (t *attTiles) scores(a *Attention, i, k, at, n int) {
	if a.D == 0 {
		clear(t.s)
		return
	}
	if t.packed > 0 {
		t.packedScores(i, k, at, n)
		return
	}
	if n < 8 { // keys behind or before them, whose scores nobody reads
		if k+8 > t.to {
			back := min(8-n, k)
			k, at, n = k-back, at-back, n+back
		} else {
			n = 8
		}
	}
	size := a.K.Elem.Size()
	ks := a.KStride * size
	w := unsafe.Pointer(&a.K.Data[k*ks])
	q, s := &t.q[i*attRows*t.dq], t.front[:scoreFront+attRows*scoreStride][scoreFront+at:]
	if n >= 8 {
		scoreTiles[t.kind][t.live](&s[0], 4*scoreStride, q, 4*t.dq, (*byte)(w), ks, a.D, n, distance(i, a.D, a.KStride))
		return
	}
	for x := range n { // one key as eight
		scoreTiles[t.kind][t.live](&s[x], 4*scoreStride, q, 4*t.dq, (*byte)(unsafe.Add(w, x*ks)), 0, a.D, 8, 0)
	}
}

// values scales the sums and adds the values. Keys that all rows see are read
// once, the others for each row that sees them; for a row, keys come in order.
func (t *attTiles) values(a *Attention, i, j int) {
	all := ^uint64(0)
	for r := range t.live {
		all &= t.see[r]
	}
	f := &t.f[0]
	rest := (t.see[0] | t.see[1] | t.see[2] | t.see[3]) &^ all
	if rest == 0 {
		for all != 0 {
			lo, n := run(&all)
			t.weigh(a, i, 0, t.live, j, lo, n, f)
			f = &t.one[0]
		}
		return
	}
	for r := range t.live { // the factors first: which row meets a key first differs
		o := t.o[(i*attRows+r)*t.dv:][:t.dv]
		scaleF32(&o[0], &o[0], len(o), t.f[4*r])
	}
	f = &t.one[0]
	for all|rest != 0 {
		if all != 0 && (rest == 0 || bits.TrailingZeros64(all) < bits.TrailingZeros64(rest)) {
			lo, n := run(&all)
			t.weigh(a, i, 0, t.live, j, lo, n, f)
			continue
		}
		lo, n := run(&rest)
		part := ^uint64(0) >> (keyBlock - n) << lo
		for r := range t.live {
			for see := t.see[r] & part; see != 0; {
				lo, n := run(&see)
				t.weigh(a, i, r, 1, j, lo, n, f)
			}
		}
	}
}

// run takes the first run of ones out of b.
func run(b *uint64) (at, n int) {
	at = bits.TrailingZeros64(*b)
	n = bits.TrailingZeros64(^(*b >> at))
	*b &^= ^uint64(0) >> (keyBlock - n) << at
	return at, n
}

// weigh adds n values from place at of the block on to rows [r, r+rows) of tile i.
func (t *attTiles) weigh(a *Attention, i, r, rows, j, at, n int, f *float32) {
	vs := a.VStride * a.V.Elem.Size()
	v := &a.V.Data[(j+at)*vs]
	ahead := distance(i, a.DV, a.VStride)
	for rows > 0 {
		m := min(rows, 4)
		if m == 3 {
			m = 2
		}
		fr := f
		if f == &t.f[0] {
			fr = &t.f[4*r]
		}
		valuesTiles[a.V.Elem][m](&t.o[(i*attRows+r)*t.dv], 4*t.dv, fr, &t.s[r*scoreStride+at], 4*scoreStride, v, vs, a.DV, n, ahead)
		r, rows, ahead = r+m, rows-m, 0
	}
}
