package cpu

import "math"

// A wideVJP is a query of the derivative of attention in float64.
type wideVJP struct{ q, c, dq, p, ds, dk, dv []float64 }

// runWide is the derivative in float64: a unit is a key head, one query at a time.
func (a *attentionVJP) runWide(s *scratch, c, nc int) {
	lo, hi := span(a.b*a.hk, c, nc)
	w := wideVJP{piece[float64](s, a.d), piece[float64](s, a.dv), piece[float64](s, a.d), piece[float64](s, a.keys),
		piece[float64](s, a.keys), piece[float64](s, a.keys*a.d), piece[float64](s, a.keys*a.dv)}
	for u := lo; u < hi; u++ {
		b, g := u/a.hk, u%a.hk
		clear(w.dk)
		clear(w.dv)
		for h := g * a.group; h < (g+1)*a.group; h++ {
			for i := range a.l {
				a.wideQuery(&w, b, h, i)
			}
		}
		for i, v := range w.dk {
			putFloat64(a.gk, u*a.keys*a.d+i, v)
		}
		for i, v := range w.dv {
			putFloat64(a.gv, u*a.keys*a.dv+i, v)
		}
	}
}

// wideQuery adds query i of head h.
func (a *attentionVJP) wideQuery(w *wideVJP, b, h, i int) {
	load64(w.q, a.q, b, h, i)
	load64(w.c, a.c, b, h, i)
	clear(w.dq)
	clear(w.ds)
	delta := a.wideScores(w, b, h, i)
	g, limit := h/a.group, a.p.SoftCap.Value()
	ko := b*a.k.Strides[0] + g*a.k.Strides[1]
	row := (b*a.hq+h)*a.l + i
	for j, p := range w.p {
		if p == 0 {
			if a.dmask != nil {
				putFloat64(a.dmask, row*a.keys+j, 0)
			}
			continue
		}
		ds := p * (w.ds[j] - delta)
		if a.dmask != nil {
			putFloat64(a.dmask, row*a.keys+j, ds)
		}
		dv, dk := w.dv[j*a.dv:(j+1)*a.dv], w.dk[j*a.d:(j+1)*a.d]
		for t, c := range w.c {
			dv[t] += p * c
		}
		if limit > 0 {
			th := math.Tanh(a.wideDot(w.q, ko+j*a.k.Strides[2]) / limit)
			ds *= 1 - th*th
		}
		ds *= a.p.Scale.Value()
		for t := range w.dq {
			w.dq[t] += ds * float64At(a.k, ko+j*a.k.Strides[2]+t)
			dk[t] += ds * w.q[t]
		}
	}
	for t, v := range w.dq {
		putFloat64(a.gq, row*a.d+t, v)
	}
}

// wideScores sets the probabilities, and the cotangents of them in ds; it returns their
// mean by the probabilities.
func (a *attentionVJP) wideScores(w *wideVJP, b, h, i int) (delta float64) {
	g := h / a.group
	ko, vo := b*a.k.Strides[0]+g*a.k.Strides[1], b*a.v.Strides[0]+g*a.v.Strides[1]
	clear(w.p)
	top := math.Inf(-1)
	lo, hi := a.seen(b, i)
	for j := lo; j < hi; j++ {
		bias, see := a.bias64(b, h, i, j)
		w.p[j] = math.Inf(-1)
		if see {
			w.p[j] = a.wideDot(w.q, ko+j*a.k.Strides[2])
			if limit := a.p.SoftCap.Value(); limit > 0 {
				w.p[j] = limit * math.Tanh(w.p[j]/limit)
			}
			w.p[j] += bias
			top = max(top, w.p[j])
		}
	}
	var sum, sink float64
	if a.sinks != nil {
		at := float64At(a.sinks, h*a.sinks.Strides[0])
		top = max(top, at)
		sink = math.Exp(at - top)
		sum = sink
	}
	if math.IsInf(top, -1) {
		clear(w.p)
		return 0
	}
	for j := lo; j < hi; j++ {
		w.p[j] = math.Exp(w.p[j] - top)
		sum += w.p[j]
	}
	for j := lo; j < hi; j++ {
		if w.p[j] == 0 {
			continue
		}
		w.p[j] /= sum
		for t, c := range w.c {
			w.ds[j] += c * float64At(a.v, vo+j*a.v.Strides[2]+t)
		}
		delta += w.p[j] * w.ds[j]
	}
	if a.sinks != nil {
		a.sink64[(b*a.hq+h)*a.l+i] = sink / sum * delta
	}
	return delta
}

// wideDot is the scaled product of a query and the key at off.
func (a *attentionVJP) wideDot(q []float64, off int) (dot float64) {
	for t, v := range q {
		dot += v * float64At(a.k, off+t)
	}
	return dot * a.p.Scale.Value()
}

// load64 is row i of head h of a view.
func load64(dst []float64, v *View, b, h, i int) {
	off := b*v.Strides[0] + h*v.Strides[1] + i*v.Strides[2]
	for t := range dst {
		dst[t] = float64At(v, off+t)
	}
}
