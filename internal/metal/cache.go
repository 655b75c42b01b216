package metal

import (
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A cacheRows is what moves between a state and rows, in words of so many bytes.
type cacheRows struct {
	state, rows *View
	pos, count  *View
	word        int
	params      arg
	grid, group [3]int
}

// newCacheRows takes the position and, if there is one, the count from rest.
func newCacheRows(p fast.CacheWrite, state, rows *View, rest []View) cacheRows {
	c := cacheRows{state: state, rows: rows, pos: &rest[0], count: &rest[0]}
	if p.Count {
		c.count = &rest[1]
	}
	s, size := rows.Shape, rows.DType.Size()
	b, h, l, d := s[0], s[1], s[2], s[3]*size
	st := rows.Strides
	c.word = wordsOf(d, state.Offset, rows.Offset, st[0]*size, st[1]*size, st[2]*size)
	c.params = ints(h, state.Shape[2], d/c.word, l, p.Keep, p.Ring, bit(p.Count), 0)
	c.params.bytes = append(c.params.bytes, longs(st[0]*size/c.word, st[1]*size/c.word, st[2]*size/c.word).bytes...)
	c.grid, c.group = partsOfRows(d/c.word, l, b*h)
	return c
}

// cacheWrite writes rows into the state, which is copied unless the result is its memory.
func cacheWrite(e *encoder, p fast.CacheWrite, in, out []View) error {
	st, y := &in[0], &out[0]
	if st.Buf != y.Buf || st.Offset != y.Offset {
		if err := copyRows(e, st, y); err != nil {
			return err
		}
	}
	c := newCacheRows(p, y, &in[1], in[2:])
	if c.rows.Shape.Size() == 0 {
		return nil
	}
	k, err := e.kernel("cache", "cache_write", []string{bitsType(c.word)})
	if err != nil {
		return err
	}
	e.run(k, c.grid, c.group, e.inout(y), e.in(c.rows), c.params, e.in(c.pos), e.in(c.count))
	return nil
}

// cacheRead reads rows that a write put.
func cacheRead(e *encoder, p fast.CacheRead, in, out []View) error {
	if in[0].Shape.Size() == 0 {
		return noKernel("a cache without elements")
	}
	c := newCacheRows(p.Write, &in[0], &out[0], in[1:])
	k, err := e.kernel("cache", "cache_read", []string{bitsType(c.word)})
	if err != nil {
		return err
	}
	e.run(k, c.grid, c.group, e.in(c.state), e.out(c.rows), c.params, e.in(c.pos), e.in(c.count))
	return nil
}

// ringMask writes the mask, a thread for each element.
func ringMask(e *encoder, p fast.RingMask, in, out []View) error {
	k, err := e.kernel("cache", "ring_mask", nil)
	if err != nil {
		return err
	}
	y := &out[0]
	b, keys := y.Shape[0], y.Shape[3]
	e.run(k, [3]int{keys, p.Rows, b}, [3]int{256, 1, 1}, e.in(&in[0]), e.out(y), i32(p.Keep), i32(p.Ring), i32(keys), i32(p.Rows))
	return nil
}
