package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A unit of attention is a block of positions of all query heads of one key head,
// which share its keys and values. Where units are few and their rows too, what is
// claimed is a segment of the keys of a unit, and a second phase merges the parts;
// the bits are the same.
const (
	unitRows = 128 // about the most rows of a unit
	fewUnits = 32
	partRows = 16 // most rows of several positions whose parts are kept: 3 % of the keys and values they are of
)

// An attention is fast.Attention on its views.
type attention struct {
	p                fast.Attention
	q, k, v, y       *View
	mask, sinks, pos *View
	maskAt           [4]int // strides of the mask over [B, Hq, L, C], 0 where it repeats
	b, hq, hk, l     int
	keys, d, dv      int
	group            int // query heads of a key head
	block            int // positions of a unit
	blocks, units    int
	segments         int       // > 1: parts of a unit, of which some may see nothing
	parts            []float32 // [units, segments, partLen]
	partLen          int
	pk, pv           *packed // keys and values that are packed, else nil
}

func attentionTask(p fast.Attention, in, out []View) (task, error) {
	q, k, v, rest := &in[0], &in[1], &in[2], in[3:]
	if p.Bits > 0 {
		v, rest = &in[4], in[7:]
	}
	a := &attention{p: p, q: q, k: k, v: v, y: &out[0], b: q.Shape[0], hq: q.Shape[1], hk: k.Shape[1], l: q.Shape[2],
		keys: k.Shape[2], d: q.Shape[3], dv: v.Shape[3]}
	if p.Bits > 0 {
		if err := a.pack(in[1:4], in[4:7]); err != nil {
			return task{}, err
		}
	}
	a.views(rest)
	return a.task(), nil
}

func (a *attention) task() task {
	cost := a.b * a.hq * a.l * a.keys * (a.d + a.dv + 16)
	if a.y.DType == dtype.Float64 {
		return newTask(a.b*a.hq*a.l, 2*cost, a.runWide)
	}
	a.cut()
	if a.units >= fewUnits || a.segments < 2 || a.l > 1 && a.block*a.group > partRows {
		return newTask(a.units, cost, a.run)
	}
	a.partLen = simd.AttendPartLen(a.block*a.group, a.dv)
	a.parts = make([]float32, a.units*a.segments*a.partLen)
	t := newTask(a.units*a.segments, cost, a.runPart)
	then := newTask(a.units, len(a.parts), a.runMerge)
	t.then = &then
	return t
}

// cut sets the units: blocks of positions that fill tiles of 4 rows.
func (a *attention) cut() {
	a.group = a.hq / a.hk
	a.block = max(min(unitRows/a.group, a.l*a.b*a.hk/fewUnits), 1)
	if a.group%4 != 0 {
		a.block = (a.block + 3) &^ 3
	}
	a.block = min(a.block, a.l)
	a.blocks = (a.l + a.block - 1) / a.block
	a.units = a.b * a.hk * a.blocks
	a.segments = (a.keys + simd.AttendSegment - 1) / simd.AttendSegment
	if a.p.Ring && a.segments > 1 {
		a.segments++ // the first and the last one may share their rows
	}
}

// views takes the optional inputs.
func (a *attention) views(rest []View) {
	if a.p.Mask {
		a.mask, rest = &rest[0], rest[1:]
		for i, d := range a.mask.Shape {
			if d != 1 {
				a.maskAt[4-len(a.mask.Shape)+i] = a.mask.Strides[i]
			}
		}
	}
	if a.p.Sinks {
		a.sinks, rest = &rest[0], rest[1:]
	}
	if a.p.Pos {
		a.pos = &rest[0]
	}
}

// run attends for whole units.
func (a *attention) run(s *scratch, c, nc int) {
	lo, hi := span(a.units, c, nc)
	if lo >= hi {
		return
	}
	m := a.memory(s)
	work := piece[float32](s, simd.AttendScratchLen(&s.att))
	for i := lo; i < hi; i++ {
		u := a.unit(i)
		a.prepare(&s.att, &m, u)
		if a.pk != nil || a.p.Ring {
			a.attendSegments(s, &m, u, work)
		} else {
			simd.Attend(m.y, a.dv, &s.att, work)
		}
		a.store(m.y, u)
	}
}

// runPart attends to segments of keys.
func (a *attention) runPart(s *scratch, c, nc int) {
	lo, hi := span(a.units*a.segments, c, nc)
	if lo >= hi {
		return
	}
	m := a.memory(s)
	work := piece[float32](s, simd.K.AttendPartScratchLen(&s.att))
	for i, have := lo, -1; i < hi; i++ {
		n, g := i/a.segments, i%a.segments
		if n != have {
			a.prepare(&s.att, &m, a.unit(n))
			have = n
		}
		if a.pk != nil || a.p.Ring {
			a.segmentPart(a.part(&s.att, n, g), s, &m, a.unit(n), firstSegment(&s.att)+g*simd.AttendSegment, work)
			continue
		}
		simd.K.AttendPart(a.part(&s.att, n, g), &s.att, g*simd.AttendSegment, (g+1)*simd.AttendSegment, work)
	}
}

// part is where segment g of unit n lies.
func (a *attention) part(x *simd.Attention, n, g int) simd.AttentionPart {
	at := (n*a.segments + g) * a.partLen
	return x.Part(a.parts[at : at+a.partLen])
}

// runMerge merges the segments of units, the first one first.
func (a *attention) runMerge(s *scratch, c, nc int) {
	lo, hi := span(a.units, c, nc)
	if lo >= hi {
		return
	}
	m := attMemory{sinks: piece[float32](s, a.group)}
	mem := piece[float32](s, a.partLen)
	for n := lo; n < hi; n++ {
		u := a.unit(n)
		x := a.shape(&s.att, &m, u)
		t := x.Part(mem[:simd.AttendPartLen(x.Rows, x.DV)])
		x.Start(t)
		for g := range a.segments {
			x.Merge(t, a.part(x, n, g))
		}
		x.Finish(t)
		a.store(t.O, u)
	}
}

// attUnit is n positions from position i on of the queries of key head g of batch
// row b.
type attUnit struct{ b, g, i, n int }

// unit counts down the positions: late ones see the most keys, and what takes
// long must not come last.
func (a *attention) unit(u int) attUnit {
	i := (a.blocks - 1 - u/(a.b*a.hk)) * a.block
	bg := u % (a.b * a.hk)
	return attUnit{b: bg / a.hk, g: bg % a.hk, i: i, n: min(a.block, a.l-i)}
}

// attMemory is the scratch of a chunk.
type attMemory struct {
	q, y, bias, sinks []float32
	mask              []byte
	k, v              []float32 // an unpacked segment
}

// memory takes scratch for the largest unit, which it leaves in s.att.
func (a *attention) memory(s *scratch) (m attMemory) {
	rows := a.block * a.group
	m.q, m.y = piece[float32](s, rows*a.d), piece[float32](s, rows*a.dv)
	m.sinks = piece[float32](s, a.group)
	if a.mask != nil {
		pos, heads := a.maskRows(a.block)
		if n := pos * heads * a.keys; a.mask.DType == dtype.Bool {
			m.mask = piece[byte](s, n)
		} else {
			m.bias = piece[float32](s, n)
		}
	}
	x := &s.att
	*x = simd.Attention{Rows: rows, D: a.d, DV: a.dv, Keys: a.keys, Group: a.group}
	if a.pk != nil {
		n := min(a.keys, simd.AttendSegment)
		m.k, m.v = piece[float32](s, n*a.d), piece[float32](s, n*a.dv)
		x.K, x.V = simd.RawF32(m.k), simd.RawF32(m.v)
	} else {
		x.K.Elem, _ = elemOf(a.k.DType)
		x.V.Elem, _ = elemOf(a.v.DType)
	}
	x.QElem, _ = elemOf(a.q.DType)
	return m
}

// maskRows is how many different rows of the mask n positions have: positions
// times heads.
func (a *attention) maskRows(n int) (pos, heads int) {
	pos, heads = n, a.group
	if a.maskAt[2] == 0 {
		pos = 1
	}
	if a.maskAt[1] == 0 {
		heads = 1
	}
	return pos, heads
}

// shape sets x to what the merging of parts needs.
func (a *attention) shape(x *simd.Attention, m *attMemory, u attUnit) *simd.Attention {
	*x = simd.Attention{Rows: u.n * a.group, Group: a.group, D: a.d, DV: a.dv, QStride: a.d, Scale: float32(a.p.Scale.Value())}
	x.QElem, _ = elemOf(a.q.DType)
	if a.sinks != nil {
		x.Sinks = m.sinks
		for h := range x.Sinks {
			x.Sinks[h] = floatAt(a.sinks, (u.g*a.group+h)*a.sinks.Strides[0])
		}
	}
	return x
}

// prepare sets x to a unit.
func (a *attention) prepare(x *simd.Attention, m *attMemory, u attUnit) {
	a.shape(x, m, u)
	x.Q = m.q
	a.queries(m.q, u)
	a.visible(x, u.b, u.i)
	if a.pk == nil && !a.p.Ring {
		x.K, x.KStride = keysAt(a.k, u.b, u.g, 0, x.Keys, a.d)
		x.V, x.VStride = keysAt(a.v, u.b, u.g, 0, x.Keys, a.dv)
	}
	if a.mask != nil && x.Keys > 0 {
		a.loadMask(x, m, u)
	}
}

// queries loads q, position by position.
func (a *attention) queries(dst []float32, u attUnit) {
	for i := range u.n {
		for h := range a.group {
			off := u.b*a.q.Strides[0] + (u.g*a.group+h)*a.q.Strides[1] + (u.i+i)*a.q.Strides[2]
			simd.K.Load(dst[:a.d], rawAt(a.q, off, a.d))
			dst = dst[a.d:]
		}
	}
}

// store rounds rows of a unit to their places.
func (a *attention) store(src []float32, u attUnit) {
	e, _ := elemOf(a.y.DType)
	for i := range u.n {
		for h := range a.group {
			off := ((u.b*a.hq+u.g*a.group+h)*a.l + u.i + i) * a.dv
			row := src[:a.dv]
			src = src[a.dv:]
			if e == simd.F32 {
				copy(at[float32](a.y, off, a.dv), row)
				continue
			}
			narrow(unsafe.Add(a.y.Ptr(), off*2), row, a.y.DType)
		}
	}
}

// visible sets which keys the positions from i on may see.
func (a *attention) visible(x *simd.Attention, b, i int) {
	x.Keys, x.Offset = a.keys, a.keys-a.l
	if a.pos != nil {
		x.Offset = int(at[int32](a.pos, b*a.pos.Strides[0], 1)[0])
		if x.Keys = max(x.Offset+a.l, 0); !a.p.Ring {
			x.Keys = min(a.keys, x.Keys)
		}
	}
	x.Offset += i
	x.Window = max(a.p.Window, 0)
	x.SoftCap = float32(a.p.SoftCap.Value())
	x.Causal = a.p.Causal || x.Window > 0
}

// keysAt is n keys or values of key head g, from row `first` on.
func keysAt(v *View, b, g, first, n, d int) (simd.Raw, int) {
	st := v.Strides[2]
	if n == 0 {
		return rawAt(v, 0, 0), st
	}
	return rawAt(v, b*v.Strides[0]+g*v.Strides[1]+first*st, (n-1)*st+d), st
}

// loadMask points x at the mask's rows, or at copies of them if they are strided
// or not float32.
func (a *attention) loadMask(x *simd.Attention, m *attMemory, u attUnit) {
	off := u.b*a.maskAt[0] + u.g*a.group*a.maskAt[1] + u.i*a.maskAt[2]
	head, step, st := a.maskAt[1], a.maskAt[2], a.maskAt[3]
	pos, heads := a.maskRows(u.n)
	inPlace := st == 1 && step >= 0 && head >= 0
	n := (pos-1)*step + (heads-1)*head + x.Keys
	perHead, perPos := x.Keys*min(1, heads-1), x.Keys*heads*min(1, pos-1)
	if a.mask.DType == dtype.Bool {
		if inPlace {
			x.Mask, x.MaskStride, x.MaskHead = at[byte](a.mask, off, n), step, head
			return
		}
		x.Mask, x.MaskStride, x.MaskHead = m.mask, perPos, perHead
		w := walk{[]int{x.Keys}, []int{st}}
		for r := range pos * heads {
			from := off + r/heads*step + r%heads*head
			gather(&w, m.mask[r*x.Keys:(r+1)*x.Keys], unsafe.Add(a.mask.Ptr(), from), 0)
		}
		return
	}
	if inPlace && a.mask.DType == dtype.Float32 {
		x.Bias, x.BiasStride, x.BiasHead = at[float32](a.mask, off, n), step, head
		return
	}
	x.Bias, x.BiasStride, x.BiasHead = m.bias, perPos, perHead
	for r := range pos * heads {
		from := off + r/heads*step + r%heads*head
		row := m.bias[r*x.Keys : (r+1)*x.Keys]
		if st == 1 && a.mask.DType != dtype.Float64 {
			simd.K.Load(row, rawAt(a.mask, from, x.Keys))
			continue
		}
		for j := range row {
			row[j] = floatAt(a.mask, from+j*st)
		}
	}
}

// floatAt is the element at offset off of a floating view as float32.
func floatAt(v *View, off int) float32 {
	switch v.DType {
	case dtype.Float16:
		return simd.FromF16(at[uint16](v, off, 1)[0])
	case dtype.BFloat16:
		return simd.FromBF16(at[uint16](v, off, 1)[0])
	case dtype.Float64:
		return float32(at[float64](v, off, 1)[0])
	}
	return at[float32](v, off, 1)[0]
}

func float64At(v *View, off int) float64 {
	if v.DType == dtype.Float64 {
		return at[float64](v, off, 1)[0]
	}
	return float64(floatAt(v, off))
}

// runWide attends in float64, one query at a time.
func (a *attention) runWide(s *scratch, c, nc int) {
	lo, hi := span(a.b*a.hq*a.l, c, nc)
	score := piece[float64](s, a.keys)
	var x simd.Attention
	for u := lo; u < hi; u++ {
		i, h, b := u%a.l, u/a.l%a.hq, u/a.l/a.hq
		a.visible(&x, b, i)
		from, to := 0, x.Keys
		if x.Causal {
			to = min(x.Offset+1, x.Keys)
			if x.Window > 0 {
				from = max(x.Offset+1-x.Window, 0)
			}
		}
		a.wideRow(at[float64](a.y, u*a.dv, a.dv), score, b, h, i, from, to)
	}
}

func (a *attention) wideRow(y, score []float64, b, h, i, from, to int) {
	g := h / (a.hq / a.hk)
	qo := b*a.q.Strides[0] + h*a.q.Strides[1] + i*a.q.Strides[2]
	ko, vo := b*a.k.Strides[0]+g*a.k.Strides[1], b*a.v.Strides[0]+g*a.v.Strides[1]
	top := math.Inf(-1)
	for j := from; j < to; j++ {
		r := a.row(j)
		score[r] = math.Inf(-1)
		bias, see := a.bias64(b, h, i, j)
		if !see {
			continue
		}
		var dot float64
		key := ko + r*a.k.Strides[2]
		for t := range a.d {
			dot += float64At(a.q, qo+t) * float64At(a.k, key+t)
		}
		score[r] = dot * a.p.Scale.Value()
		if c := a.p.SoftCap.Value(); c > 0 {
			score[r] = c * math.Tanh(score[r]/c)
		}
		score[r] += bias
		top = max(top, score[r])
	}
	var sum float64
	if a.sinks != nil {
		sink := float64At(a.sinks, h*a.sinks.Strides[0])
		top = max(top, sink)
		sum = math.Exp(sink - top)
	}
	clear(y)
	if math.IsInf(top, -1) {
		return
	}
	for j := from; j < to; j++ {
		r := a.row(j)
		if math.IsInf(score[r], -1) {
			continue
		}
		w := math.Exp(score[r] - top)
		sum += w
		value := vo + r*a.v.Strides[2]
		for t := range y {
			y[t] += w * float64At(a.v, value+t)
		}
	}
	for t := range y {
		y[t] /= sum
	}
}

// bias64 is what the mask adds to a score, and whether the key is seen.
func (a *attention) bias64(b, h, i, j int) (float64, bool) {
	if a.mask == nil {
		return 0, true
	}
	off := b*a.maskAt[0] + h*a.maskAt[1] + i*a.maskAt[2] + j*a.maskAt[3]
	if a.mask.DType == dtype.Bool {
		return 0, at[uint8](a.mask, off, 1)[0] != 0
	}
	f := float64At(a.mask, off)
	return f, !math.IsInf(f, -1)
}
