package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// queryRows is how many queries of a head share the keys that a unit loads.
const queryRows = 32

// An attention is fast.Attention on its views. A unit is a block of queries of
// one head; for single queries, all heads of a key head.
type attention struct {
	p                fast.Attention
	q, k, v, y       *View
	mask, sinks, pos *View
	maskAt           [4]int // strides of the mask over [B, Hq, L, C], 0 where it repeats
	b, hq, hk, l     int
	keys, d, dv      int
	together         bool // the heads of a group are the rows
	blocks           int
	rows             int // most rows of a unit
}

func attentionTask(p fast.Attention, in, out []View) task {
	q, k, v := &in[0], &in[1], &in[2]
	a := &attention{p: p, q: q, k: k, v: v, y: &out[0], b: q.Shape[0], hq: q.Shape[1], hk: k.Shape[1], l: q.Shape[2],
		keys: k.Shape[2], d: q.Shape[3], dv: v.Shape[3]}
	rest := in[3:]
	if p.Mask {
		a.mask, rest = &rest[0], rest[1:]
		for i, d := range a.mask.Shape {
			if d != 1 {
				a.maskAt[4-len(a.mask.Shape)+i] = a.mask.Strides[i]
			}
		}
	}
	if p.Sinks {
		a.sinks, rest = &rest[0], rest[1:]
	}
	if p.Pos {
		a.pos = &rest[0]
	}
	cost := a.b * a.hq * a.l * a.keys * (a.d + a.dv + 16)
	if out[0].DType == dtype.Float64 {
		return newTask(a.b*a.hq*a.l, 2*cost, a.runWide)
	}
	a.together = a.l == 1 && !p.Sinks
	a.rows, a.blocks = min(queryRows, a.l), (a.l+queryRows-1)/queryRows
	units := a.b * a.hq * a.blocks
	if a.together {
		a.rows, units = a.hq/a.hk, a.b*a.hk
	}
	return newTask(units, cost, a.run)
}

func (a *attention) run(s *scratch, c, nc int) {
	units := a.b * a.hq * a.blocks
	if a.together {
		units = a.b * a.hk
	}
	lo, hi := span(units, c, nc)
	if lo >= hi {
		return
	}
	mem := a.memory(s)
	for u := lo; u < hi; u++ {
		if a.together {
			g := a.hq / a.hk
			a.unit(s, &mem, u/a.hk, u%a.hk*g, 0, g)
			continue
		}
		i := u % a.blocks * queryRows
		bh := u / a.blocks
		a.unit(s, &mem, bh/a.hq, bh%a.hq, i, min(queryRows, a.l-i))
	}
}

// attMemory is the scratch of a chunk.
type attMemory struct {
	q, y, bias, work []float32
	mask             []byte
}

func (a *attention) memory(s *scratch) (m attMemory) {
	m.q = piece[float32](s, a.rows*a.d)
	if a.y.DType != dtype.Float32 {
		m.y = piece[float32](s, a.rows*a.dv)
	}
	if a.mask != nil {
		if n := a.maskRows() * a.keys; a.mask.DType == dtype.Bool {
			m.mask = piece[byte](s, n)
		} else {
			m.bias = piece[float32](s, n)
		}
	}
	x := &s.att
	*x = simd.Attention{Rows: a.rows, D: a.d, DV: a.dv, Keys: a.keys}
	x.K.Elem, _ = elemOf(a.k.DType)
	x.V.Elem, _ = elemOf(a.v.DType)
	m.work = piece[float32](s, simd.K.AttendScratchLen(x))
	return m
}

// rowAxis is the axis that the rows of a unit lie along: heads or positions.
func (a *attention) rowAxis() int {
	if a.together {
		return 1
	}
	return 2
}

// maskRows is how many different rows of the mask a unit has.
func (a *attention) maskRows() int {
	if a.maskAt[a.rowAxis()] == 0 {
		return 1
	}
	return a.rows
}

// unit computes rows rows from query i of head h of batch row b on.
func (a *attention) unit(s *scratch, m *attMemory, b, h, i, rows int) {
	x := &s.att
	*x = simd.Attention{Q: m.q, QStride: a.d, Rows: rows, D: a.d, DV: a.dv, SameRow: a.together}
	a.queries(m.q, b, h, i, rows)
	a.visible(x, b, i)
	g := h / (a.hq / a.hk)
	x.K, x.KStride = keysAt(a.k, b, g, x.Keys, a.d)
	x.V, x.VStride = keysAt(a.v, b, g, x.Keys, a.dv)
	if a.mask != nil && x.Keys > 0 {
		a.loadMask(x, m, b, h, i)
	}
	if a.sinks != nil {
		x.HasSink, x.Sink = true, floatAt(a.sinks, h*a.sinks.Strides[0])
	}
	off, ld := ((b*a.hq+h)*a.l+i)*a.dv, a.dv // with single queries, heads follow each other
	if m.y == nil {
		simd.K.Attend(at[float32](a.y, off, rows*a.dv), ld, x, m.work)
		return
	}
	simd.K.Attend(m.y, ld, x, m.work)
	narrow(unsafe.Add(a.y.Ptr(), off*2), m.y[:rows*a.dv], a.y.DType)
}

// queries loads and scales the rows of q.
func (a *attention) queries(dst []float32, b, h, i, rows int) {
	off := b*a.q.Strides[0] + h*a.q.Strides[1] + i*a.q.Strides[2]
	step := a.q.Strides[a.rowAxis()]
	scale := float32(a.p.Scale.Value())
	for r := range rows {
		row := dst[r*a.d : (r+1)*a.d]
		simd.K.Load(row, rawAt(a.q, off+r*step, a.d))
		for j := range row {
			row[j] *= scale
		}
	}
}

// visible sets which keys the rows from query i on may see.
func (a *attention) visible(x *simd.Attention, b, i int) {
	x.Keys, x.Offset = a.keys, a.keys-a.l
	if a.pos != nil {
		x.Offset = int(at[int32](a.pos, b*a.pos.Strides[0], 1)[0])
		x.Keys = min(a.keys, max(x.Offset+a.l, 0))
	}
	x.Offset += i
	x.Window = max(a.p.Window, 0)
	x.Causal = a.p.Causal || x.Window > 0
}

// keysAt is the keys or values of key head g.
func keysAt(v *View, b, g, n, d int) (simd.Raw, int) {
	st := v.Strides[2]
	if n == 0 {
		return rawAt(v, 0, 0), st
	}
	return rawAt(v, b*v.Strides[0]+g*v.Strides[1], (n-1)*st+d), st
}

// loadMask points x at the mask's rows, or at copies of them if they are strided
// or not float32.
func (a *attention) loadMask(x *simd.Attention, m *attMemory, b, h, i int) {
	axis := a.rowAxis()
	off := b*a.maskAt[0] + h*a.maskAt[1] + i*a.maskAt[2]
	step, st, rows := a.maskAt[axis], a.maskAt[3], 1
	if step != 0 {
		rows = x.Rows
	}
	inPlace := st == 1 && step >= 0
	w := walk{[]int{x.Keys}, []int{st}}
	if a.mask.DType == dtype.Bool {
		x.MaskStride = x.Keys * min(1, rows-1)
		if inPlace {
			x.Mask, x.MaskStride = at[byte](a.mask, off, (rows-1)*step+x.Keys), step
			return
		}
		x.Mask = m.mask
		for r := range rows {
			gather(&w, m.mask[r*x.Keys:(r+1)*x.Keys], unsafe.Add(a.mask.Ptr(), off+r*step), 0)
		}
		return
	}
	if inPlace && a.mask.DType == dtype.Float32 {
		x.Bias, x.BiasStride = at[float32](a.mask, off, (rows-1)*step+x.Keys), step
		return
	}
	x.Bias, x.BiasStride = m.bias, x.Keys*min(1, rows-1)
	for r := range rows {
		for j := range x.Keys {
			m.bias[r*x.Keys+j] = floatAt(a.mask, off+r*step+j*st)
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
		score[j] = math.Inf(-1)
		bias, see := a.bias64(b, h, i, j)
		if !see {
			continue
		}
		var dot float64
		for t := range a.d {
			dot += float64At(a.q, qo+t) * float64At(a.k, ko+j*a.k.Strides[2]+t)
		}
		score[j] = dot*a.p.Scale.Value() + bias
		top = max(top, score[j])
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
		if math.IsInf(score[j], -1) {
			continue
		}
		w := math.Exp(score[j] - top)
		sum += w
		for t := range y {
			y[t] += w * float64At(a.v, vo+j*a.v.Strides[2]+t)
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
