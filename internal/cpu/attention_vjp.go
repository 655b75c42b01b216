package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// The derivative of attention has three phases. The first finds for each query the
// logarithm of its denominator, and the product of its result and cotangent. The
// second goes over blocks of keys, each with all blocks of queries that see it: units
// own the keys' cotangents, and sum the queries' in memory of their own. The third adds
// those up. Scores are kept as keys by queries, so that only the keys are transposed.
const (
	vjpRows  = 128 // queries of a block
	vjpKeys  = 64  // keys of a block
	vjpUnits = 16  // about the least units of the second phase
)

type attentionVJP struct {
	attention
	c              *View
	gq, gk, gv     *View // cotangents of q, k and v
	dmask, dsinks  *View
	qb, kb, parts  int       // blocks of queries and keys, and what the keys are cut into
	lse, delta     []float32 // [B, Hq, L]; lse is +Inf for a row that sees nothing
	sink           []float32 // [B, Hq, L], the sink's probability times delta
	sink64         []float64 // the same of float64
	dqs            []float32 // [parts, B*Hq*qb, D, vjpRows]
	scale, softcap float32
}

func attentionVJPTask(p fast.AttentionVJP, in, out []View) task {
	n := len(in)
	a := &attentionVJP{attention: attention{p: p.Of, q: &in[0], k: &in[1], v: &in[2], y: &in[n-2],
		b: in[0].Shape[0], hq: in[0].Shape[1], hk: in[1].Shape[1], l: in[0].Shape[2],
		keys: in[1].Shape[2], d: in[0].Shape[3], dv: in[2].Shape[3]},
		c: &in[n-1], gq: &out[0], gk: &out[1], gv: &out[2]}
	a.views(in[3 : n-2])
	rest := out[3:]
	if p.MaskGrad {
		a.dmask, rest = &rest[0], rest[1:]
	}
	if p.Of.Sinks {
		a.dsinks = &rest[0]
	}
	return a.task()
}

func (a *attentionVJP) task() task {
	a.group = a.hq / a.hk
	heads := a.b * a.hq
	cost := heads * a.l * a.keys * (2*a.d + 2*a.dv + 32)
	if a.y.DType == dtype.Float64 {
		t := newTask(a.b*a.hk, 4*cost, a.runWide)
		if a.dsinks != nil {
			a.sink64 = make([]float64, heads*a.l)
			then := newTask(1, heads*a.l, a.sumSinks)
			t.then = &then
		}
		return t
	}
	a.scale, a.softcap = float32(a.p.Scale.Value()), float32(a.p.SoftCap.Value())
	a.qb, a.kb = (a.l+vjpRows-1)/vjpRows, (a.keys+vjpKeys-1)/vjpKeys
	a.parts = max(min(a.kb, (vjpUnits+a.b*a.hk-1)/max(a.b*a.hk, 1)), 1)
	a.lse, a.delta = make([]float32, heads*a.l), make([]float32, heads*a.l)
	if a.dsinks != nil {
		a.sink = make([]float32, heads*a.l)
	}
	a.dqs = make([]float32, a.parts*heads*a.qb*a.d*vjpRows)
	third := newTask(heads*a.qb+1, heads*a.l*a.d*(a.parts+1), a.finish)
	second := newTask(a.b*a.hk*a.parts, cost, a.run)
	second.then = &third
	first := newTask(heads*a.qb, cost/3, a.rows)
	first.then = &second
	return first
}

// seen is the keys that query i of batch row b may see, but for the mask.
func (a *attentionVJP) seen(b, i int) (lo, hi int) {
	keys, offset := a.keys, a.keys-a.l
	if a.pos != nil {
		offset = int(at[int32](a.pos, b*a.pos.Strides[0], 1)[0])
		keys = min(keys, max(offset+a.l, 0))
	}
	hi = keys
	window := a.p.Window
	if a.p.Causal || window > 0 {
		hi = max(min(offset+i+1, keys), 0)
		if window > 0 {
			lo = min(max(offset+i+1-window, 0), hi)
		}
	}
	return lo, hi
}

// seenBy is the keys that some query of [i0, i0+n) may see: both ends grow with i.
func (a *attentionVJP) seenBy(b, i0, n int) (lo, hi int) {
	lo, _ = a.seen(b, i0)
	_, hi = a.seen(b, i0+n-1)
	return lo, hi
}

// added writes what the mask adds to the scores of query i and keys from j on.
func (a *attentionVJP) added(dst []float32, b, h, i, j int) {
	off, st := b*a.maskAt[0]+h*a.maskAt[1]+i*a.maskAt[2]+j*a.maskAt[3], a.maskAt[3]
	if a.mask.DType != dtype.Bool {
		for t := range dst {
			dst[t] = floatAt(a.mask, off+t*st)
		}
		return
	}
	hidden := float32(math.Inf(-1))
	for t := range dst {
		dst[t] = 0
		if *(*byte)(unsafe.Add(a.mask.Ptr(), off+t*st)) == 0 {
			dst[t] = hidden
		}
	}
}

// matrixAt is n rows of k from row i of head h of a view [B, H, L, k].
func matrixAt(v *View, b, h, i, n, k int) (simd.Raw, int) {
	off := b*v.Strides[0] + h*v.Strides[1] + i*v.Strides[2]
	if n == 0 || k == 0 {
		return rawAt(v, 0, 0), k
	}
	return rawAt(v, off, (n-1)*v.Strides[2]+k), v.Strides[2]
}

// loadMatrix is n rows from row i of head h as float32.
func loadMatrix(dst []float32, v *View, b, h, i, n, k int) {
	raw, st := matrixAt(v, b, h, i, n, k)
	for r := range n {
		if k > 0 {
			simd.K.Load(dst[r*k:(r+1)*k], raw.Slice(r*st, r*st+k))
		}
	}
}

// rows is the first phase, by blocks of queries.
func (a *attentionVJP) rows(s *scratch, c, nc int) {
	const keys = 512
	lo, hi := span(a.b*a.hq*a.qb, c, nc)
	q := piece[float32](s, vjpRows*a.d)
	score, bias := piece[float32](s, vjpRows*keys), piece[float32](s, keys)
	y, ct := piece[float32](s, a.dv), piece[float32](s, a.dv)
	for u := lo; u < hi; u++ {
		h, b := u/a.qb%a.hq, u/a.qb/a.hq
		i0 := u % a.qb * vjpRows
		n := min(vjpRows, a.l-i0)
		first := (b*a.hq+h)*a.l + i0
		lse, delta := a.lse[first:first+n], a.delta[first:first+n]
		for i := range lse {
			lse[i] = float32(math.Inf(-1))
			loadMatrix(y, a.y, b, h, i0+i, 1, a.dv)
			loadMatrix(ct, a.c, b, h, i0+i, 1, a.dv)
			delta[i] = simd.K.Dot(y, ct)
		}
		loadMatrix(q, a.q, b, h, i0, n, a.d)
		for i := range q[:n*a.d] {
			q[i] *= a.scale
		}
		from, to := a.seenBy(b, i0, n)
		for j := from &^ (keys - 1); j < to; j += keys {
			m := min(keys, to-j)
			k, ld := matrixAt(a.k, b, h/a.group, j, m, a.d)
			simd.K.GemmNT(score, keys, q, a.d, n, k, ld, m, a.d)
			for i := range n {
				lse[i] = a.logSum(lse[i], score[i*keys:i*keys+m], bias[:m], b, h, i0+i, j)
			}
		}
		for i := range lse {
			a.close(first+i, h)
		}
	}
}

// logSum adds the scores of keys from j on to the logarithm of a sum.
func (a *attentionVJP) logSum(have float32, x, bias []float32, b, h, i, j int) float32 {
	lo, hi := a.seen(b, i)
	lo, hi = max(lo-j, 0), min(hi-j, len(x))
	if lo >= hi {
		return have
	}
	x, bias = x[lo:hi], bias[lo:hi]
	a.cap(x)
	if a.mask != nil {
		a.added(bias, b, h, i, j+lo)
		for t, v := range bias {
			x[t] = hiddenBy(x[t], v)
		}
	}
	if math.IsInf(float64(simd.K.Max(x)), -1) {
		return have
	}
	return logAdd(have, simd.K.LogSumExp(x))
}

// hiddenBy is a score and what the mask adds: what lies at hidden keys does not matter.
func hiddenBy(x, v float32) float32 {
	if math.IsInf(float64(v), -1) {
		return v
	}
	return x + v
}

// cap bends scores to tanh.
func (a *attentionVJP) cap(x []float32) {
	if a.softcap <= 0 {
		return
	}
	for i := range x {
		x[i] /= a.softcap
	}
	simd.K.Unary[simd.Tanh](x, x)
	for i := range x {
		x[i] *= a.softcap
	}
}

// logAdd is log(exp(x) + exp(y)).
func logAdd(x, y float32) float32 {
	if x < y {
		x, y = y, x
	}
	if math.IsInf(float64(y), -1) {
		return x
	}
	return float32(float64(x) + math.Log1p(math.Exp(float64(y)-float64(x))))
}

// close adds the sink to row r of head h, and marks a row that sees nothing.
func (a *attentionVJP) close(r, h int) {
	if a.sinks != nil {
		sink := floatAt(a.sinks, h*a.sinks.Strides[0])
		a.lse[r] = logAdd(a.lse[r], sink)
		a.sink[r] = 0
		if !math.IsInf(float64(a.lse[r]), -1) {
			a.sink[r] = float32(math.Exp(float64(sink)-float64(a.lse[r]))) * a.delta[r]
		}
	}
	if math.IsInf(float64(a.lse[r]), -1) {
		a.lse[r] = float32(math.Inf(1))
	}
}

// vjpMemory is the scratch of a unit of the second phase. All of scores are [keys,
// queries], without gaps.
type vjpMemory struct {
	k, kt, v, dk, dv       []float32
	p, ds, tanh, tmp, bias []float32
	odd                    bool // the keys are not all finite
}

func (a *attentionVJP) memory(s *scratch) (m vjpMemory) {
	d, dv := a.d, a.dv
	m.k, m.kt, m.dk = piece[float32](s, vjpKeys*d), piece[float32](s, vjpKeys*d), piece[float32](s, vjpKeys*d)
	m.v, m.dv = piece[float32](s, vjpKeys*dv), piece[float32](s, vjpKeys*dv)
	m.p, m.ds = piece[float32](s, vjpKeys*vjpRows), piece[float32](s, vjpKeys*vjpRows)
	if a.softcap > 0 {
		m.tanh = piece[float32](s, vjpKeys*vjpRows)
	}
	m.tmp, m.bias = piece[float32](s, max(vjpKeys*d, vjpKeys*dv, vjpRows*d)), piece[float32](s, vjpKeys)
	return m
}

// run is the second phase.
func (a *attentionVJP) run(s *scratch, c, nc int) {
	lo, hi := span(a.b*a.hk*a.parts, c, nc)
	m := a.memory(s)
	for u := lo; u < hi; u++ {
		part, g, b := u%a.parts, u/a.parts%a.hk, u/a.parts/a.hk
		for h := g * a.group; h < (g+1)*a.group; h++ {
			for t := range a.qb {
				clear(a.partOf(part, b, h, t))
			}
		}
		for block := part; block < a.kb; block += a.parts {
			a.keyBlock(&m, part, b, g, block*vjpKeys)
		}
	}
}

// partOf is a part of the cotangent of block t of queries, [D, vjpRows].
func (a *attentionVJP) partOf(part, b, h, t int) []float32 {
	n := a.d * vjpRows
	i := ((part*a.b+b)*a.hq+h)*a.qb + t
	return a.dqs[i*n : (i+1)*n]
}

// keyBlock gives keys from j on what all queries have for them.
func (a *attentionVJP) keyBlock(m *vjpMemory, part, b, g, j int) {
	n, d, dv := min(vjpKeys, a.keys-j), a.d, a.dv
	loadMatrix(m.k, a.k, b, g, j, n, d)
	loadMatrix(m.v, a.v, b, g, j, n, dv)
	for r := range n {
		for t := range d {
			x := m.k[r*d+t] * a.scale
			m.k[r*d+t], m.kt[t*n+r] = x, x
		}
	}
	sq := simd.K.Dot(m.k[:n*d], m.k[:n*d])
	m.odd = sq-sq != 0
	clear(m.dk)
	clear(m.dv)
	for h := g * a.group; h < (g+1)*a.group; h++ {
		for t := range a.qb {
			i := t * vjpRows
			rows := min(vjpRows, a.l-i)
			lo, hi := a.seenBy(b, i, rows)
			if j < hi && j+n > lo {
				a.pair(m, b, h, i, rows, j, n, a.partOf(part, b, h, t))
			} else if a.dmask != nil {
				clear(m.ds[:n*rows])
				a.storeMask(m.ds, b, h, i, rows, j, n)
			}
		}
	}
	for i := range m.dk[:n*d] {
		m.dk[i] *= a.scale
	}
	storeRows(a.gk, m.dk[:n*d], ((b*a.hk+g)*a.keys+j)*d)
	storeRows(a.gv, m.dv[:n*dv], ((b*a.hk+g)*a.keys+j)*dv)
}

// pair is a block of queries and a block of keys.
func (a *attentionVJP) pair(m *vjpMemory, b, h, i, rows, j, n int, dq []float32) {
	d, dv := a.d, a.dv
	q, qs := matrixAt(a.q, b, h, i, rows, d)
	c, cs := matrixAt(a.c, b, h, i, rows, dv)
	first := (b*a.hq+h)*a.l + i
	lse, delta := a.lse[first:first+rows], a.delta[first:first+rows]
	p, ds := m.p[:n*rows], m.ds[:n*rows]
	simd.K.GemmNT(p, rows, m.k, d, n, q, qs, rows, d)
	if a.softcap > 0 {
		a.cap(p)
		copy(m.tanh, p)
	}
	a.hide(m, p, b, h, i, rows, j, n)
	simd.K.GemmNT(ds, rows, m.v, dv, n, c, cs, rows, dv)
	for r := range n {
		x, y := p[r*rows:(r+1)*rows], ds[r*rows:(r+1)*rows]
		simd.K.Binary[simd.Sub](x, x, lse)
		simd.K.Binary[simd.Sub](y, y, delta)
	}
	simd.K.Unary[simd.Exp](p, p)
	simd.K.Binary[simd.Mul](ds, ds, p)
	odd := simd.K.FirstNaN(ds) >= 0 || m.odd
	if odd { // values at hidden keys may be anything
		for t, v := range p {
			if v == 0 {
				ds[t] = 0
			}
		}
	}
	if a.dmask != nil {
		a.storeMask(ds, b, h, i, rows, j, n)
	}
	if a.softcap > 0 {
		for t, v := range m.tanh[:n*rows] {
			if v /= a.softcap; ds[t] != 0 {
				ds[t] *= 1 - v*v
			}
		}
	}
	a.addProduct(m.dv[:n*dv], m, p, rows, n, c, cs, dv, rows)
	a.addProduct(m.dk[:n*d], m, ds, rows, n, q, qs, d, rows)
	if !odd {
		a.addProduct(dq[:d*rows], m, m.kt, n, d, simd.RawF32(ds), rows, rows, n)
		return
	}
	for t := range n {
		for r, v := range ds[t*rows : (t+1)*rows] {
			for k := 0; v != 0 && k < d; k++ {
				dq[k*rows+r] += v * m.k[t*d+k]
			}
		}
	}
}

// addProduct adds x·w to y, which has no gaps.
func (a *attentionVJP) addProduct(y []float32, m *vjpMemory, x []float32, ldx, rows int, w simd.Raw, ldw, cols, k int) {
	simd.K.GemmNN(m.tmp, cols, x, ldx, rows, w, ldw, cols, k)
	simd.K.Axpy(y, 1, m.tmp[:len(y)])
}

// hide adds the mask to scores, and -Inf where positions hide keys.
func (a *attentionVJP) hide(m *vjpMemory, p []float32, b, h, i, rows, j, n int) {
	hidden := float32(math.Inf(-1))
	for r := range rows {
		lo, hi := a.seen(b, i+r)
		lo, hi = min(max(lo-j, 0), n), min(max(hi-j, 0), n)
		for t := range lo {
			p[t*rows+r] = hidden
		}
		for t := hi; t < n; t++ {
			p[t*rows+r] = hidden
		}
		if a.mask != nil && lo < hi {
			a.added(m.bias[:hi-lo], b, h, i+r, j+lo)
			for t, v := range m.bias[:hi-lo] {
				p[(lo+t)*rows+r] = hiddenBy(p[(lo+t)*rows+r], v)
			}
		}
	}
}

// storeMask writes the cotangent of scores.
func (a *attentionVJP) storeMask(ds []float32, b, h, i, rows, j, n int) {
	for r := range rows {
		row := at[float32](a.dmask, ((b*a.hq+h)*a.l+i+r)*a.keys+j, n)
		for t := range row {
			row[t] = ds[t*rows+r]
		}
	}
}

// storeRows rounds src to its place.
func storeRows(y *View, src []float32, off int) {
	if y.DType == dtype.Float32 {
		copy(at[float32](y, off, len(src)), src)
		return
	}
	narrow(unsafe.Add(y.Ptr(), off*2), src, y.DType)
}

// finish is the third phase: blocks of queries, and the sinks.
func (a *attentionVJP) finish(s *scratch, c, nc int) {
	n := a.b * a.hq * a.qb
	lo, hi := span(n+1, c, nc)
	row := piece[float32](s, vjpRows*a.d)
	for u := lo; u < min(hi, n); u++ {
		t, h, b := u%a.qb, u/a.qb%a.hq, u/a.qb/a.hq
		sum := a.partOf(0, b, h, t)
		for part := 1; part < a.parts; part++ {
			simd.K.Axpy(sum, 1, a.partOf(part, b, h, t))
		}
		rows := min(vjpRows, a.l-t*vjpRows)
		for i := range rows {
			for k := range a.d {
				row[i*a.d+k] = sum[k*rows+i]
			}
		}
		storeRows(a.gq, row[:rows*a.d], ((b*a.hq+h)*a.l+t*vjpRows)*a.d)
	}
	if hi == n+1 && a.dsinks != nil {
		a.sumSinks(s, 0, 1)
	}
}

// sumSinks adds up what the rows have for the sink of their head.
func (a *attentionVJP) sumSinks(_ *scratch, _, _ int) {
	for h := range a.hq {
		var sum float64
		for b := range a.b {
			from := (b*a.hq + h) * a.l
			if a.sink64 != nil {
				for _, v := range a.sink64[from : from+a.l] {
					sum += v
				}
				continue
			}
			for _, v := range a.sink[from : from+a.l] {
				sum += float64(v)
			}
		}
		putFloat64(a.dsinks, h, -sum)
	}
}
