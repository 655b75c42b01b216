package cache

import (
	"slices"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// KV is one layer's memory during one forward pass.
type KV interface {
	// Attend writes k [B, H, L, D] and v [B, H, L, Dv] at Pos and attends q [B, Hq,
	// L, D] to all rows up to its own, causally and within the layer's window.
	Attend(q, k, v *mlx.Array, scale float64) *mlx.Array
	// Again attends other queries q of the same tokens to what Attend attended to in
	// this pass, of a layer whose layout says Shared.
	Again(q *mlx.Array, scale float64) *mlx.Array
	// Pos is the position of the first of the L tokens, int32 [B].
	Pos() *mlx.Array
	// Last is the position of the last token that is known, int32 [B]: of the whole
	// prompt while it runs in chunks, else of the token that runs.
	Last() *mlx.Array
}

// layer is KV over arrays: a live cache's, or the tracers of a step.
type layer struct {
	layout Layout
	kind   Kind
	k, v   []*mlx.Array // one, or words, scales and biases
	at     Place

	again func(q *mlx.Array, scale float64) *mlx.Array
}

// Place says where the tokens of a pass are, each int32 [B].
type Place struct {
	Pos, Last *mlx.Array // see KV
	Count     *mlx.Array // how many of the tokens count, the rest is padding; nil: all
}

func (l *layer) Pos() *mlx.Array  { return l.at.Pos }
func (l *layer) Last() *mlx.Array { return l.at.Last }

func (l *layer) Attend(q, k, v *mlx.Array, scale float64) *mlx.Array {
	p := fast.Attention{Causal: true, SoftCap: tensor.MakeF64(l.layout.SoftCap)}
	p.Bits, p.Group = l.kind.Bits, l.kind.Group
	keep, window := l.kind.ring(l.layout)
	_, _, rows, _ := l.k[0].Dims4()
	switch {
	case window > 0 && keep == 0:
		return l.attendWindow(p, window, rows, q, k, v, scale)
	case window > 0 && rows == keep+window:
		return l.attendKept(p, fast.CacheWrite{Keep: keep, Ring: window}, q, k, v, scale)
	}
	l.write(fast.CacheWrite{}, l.kind.encode(k), l.kind.encode(v), Place{Pos: l.at.Pos})
	if s := l.layout.Sparse; s != nil {
		p.Causal = false
		_, _, n, _ := q.Dims4()
		return l.attend(p, l.k, l.v, s.mask(l.at.Pos, n, rows), nil, q, scale)
	}
	return l.attend(p, l.k, l.v, nil, l.at.Pos, q, scale)
}

func (l *layer) Again(q *mlx.Array, scale float64) *mlx.Array { return l.again(q, scale) }

// attend attends q to keys and values, and remembers them for Again.
func (l *layer) attend(p fast.Attention, k, v []*mlx.Array, mask, pos, q *mlx.Array, scale float64) *mlx.Array {
	k, v = slices.Clone(k), slices.Clone(v)
	again := func(q *mlx.Array, scale float64) *mlx.Array {
		p.Scale = tensor.MakeF64(scale)
		return fast.PackedAttentionOf(p, q, k, v, mask, nil, pos, mlx.Stream{})
	}
	if l.layout.Shared {
		l.again = again
	}
	return again(q, scale)
}

// attendWindow attends within a window over a ring of so many rows. A pass that would
// overwrite what its first rows see goes in pieces.
func (l *layer) attendWindow(p fast.Attention, window, rows int, q, k, v *mlx.Array, scale float64) *mlx.Array {
	p.Window, p.Ring = window, true
	w := fast.CacheWrite{Ring: rows}
	nk, nv := l.kind.encode(k), l.kind.encode(v)
	_, _, n, _ := q.Dims4()
	piece := n
	if rows == ringRows(window) {
		piece = min(n, rows-window+1)
	}
	if piece == n {
		l.write(w, nk, nv, l.at)
		return l.attend(p, l.k, l.v, nil, l.at.Pos, q, scale)
	}
	var out []*mlx.Array
	var again []func(q *mlx.Array, scale float64) *mlx.Array
	for from := 0; from < n; from += piece {
		to, at := min(from+piece, n), l.at
		at.Pos = at.Pos.Add(from)
		if at.Count != nil {
			at.Count = at.Count.Sub(from)
		}
		l.write(w, rowsOfEach(nk, from, to), rowsOfEach(nv, from, to), at)
		seenK, seenV := l.k, l.v
		if l.layout.Shared && to < n { // the next piece overwrites them
			seenK, seenV = copies(l.k), copies(l.v)
		}
		out = append(out, l.attend(p, seenK, seenV, nil, at.Pos, tensor.SliceAxis(q, 2, from, to, mlx.Stream{}), scale))
		again = append(again, l.again)
	}
	l.again = func(q *mlx.Array, scale float64) *mlx.Array {
		var out []*mlx.Array
		for i, piecewise := range again {
			from, to := i*piece, min((i+1)*piece, n)
			out = append(out, piecewise(tensor.SliceAxis(q, 2, from, to, mlx.Stream{}), scale))
		}
		return tensor.ConcatenateOf(out, 2, mlx.Stream{})
	}
	return tensor.ConcatenateOf(out, 2, mlx.Stream{})
}

// copies are arrays of their own.
func copies(as []*mlx.Array) []*mlx.Array {
	out := make([]*mlx.Array, len(as))
	for i, a := range as {
		out[i] = tensor.CopyOf(a, mlx.Stream{})
	}
	return out
}

// attendKept attends over a ring that keeps the first positions. The rows of a longer
// pass would overwrite what the first of them must see: they attend to the old ring
// and to themselves.
func (l *layer) attendKept(p fast.Attention, w fast.CacheWrite, q, k, v *mlx.Array, scale float64) *mlx.Array {
	_, _, rows, _ := q.Dims4()
	nk, nv := l.kind.encode(k), l.kind.encode(v)
	p.Causal = false
	mask := fast.RingMaskOf(fast.RingMask{Keep: w.Keep, Ring: w.Ring, Rows: rows}, l.at.Pos, mlx.Stream{})
	if rows == 1 {
		l.write(w, nk, nv, Place{Pos: l.at.Pos})
		return l.attend(p, l.k, l.v, mask, nil, q, scale)
	}
	y := l.attend(p, join(l.k, nk), join(l.v, nv), mask, nil, q, scale)
	l.write(w, nk, nv, l.at)
	return y
}

func (l *layer) write(w fast.CacheWrite, k, v []*mlx.Array, at Place) {
	for i := range l.k {
		l.k[i] = fast.RingWriteOf(w, l.k[i].Donate(), k[i], at.Pos, at.Count, mlx.Stream{})
		l.v[i] = fast.RingWriteOf(w, l.v[i].Donate(), v[i], at.Pos, at.Count, mlx.Stream{})
	}
}

// rowsOfEach is the range of rows of each array.
func rowsOfEach(as []*mlx.Array, from, to int) []*mlx.Array {
	out := make([]*mlx.Array, len(as))
	for i, a := range as {
		out[i] = tensor.SliceAxis(a, 2, from, to, mlx.Stream{})
	}
	return out
}

// join is the rows of a, then those of b.
func join(a, b []*mlx.Array) []*mlx.Array {
	out := make([]*mlx.Array, len(a))
	for i := range a {
		out[i] = tensor.ConcatenateOf([]*mlx.Array{a[i], b[i]}, 2, mlx.Stream{})
	}
	return out
}

// Bind makes the layers of a forward pass over arrays, as Arrays lists them; after
// collects what the pass wrote. Tracing uses it, so that it never writes a live cache.
func Bind(kind Kind, layout []Layout, arrays []*mlx.Array, at Place) (kv []KV, after func() []*mlx.Array) {
	layers := make([]*layer, len(layout))
	n := kind.parts()
	for i, l := range layout {
		own := append([]*mlx.Array(nil), arrays[2*n*i:2*n*(i+1)]...)
		layers[i] = &layer{layout: l, kind: kind, k: own[:n:n], v: own[n:], at: at}
		kv = append(kv, layers[i])
	}
	return kv, func() []*mlx.Array {
		out := make([]*mlx.Array, 0, len(arrays))
		for _, l := range layers {
			out = append(append(out, l.k...), l.v...)
		}
		return out
	}
}
