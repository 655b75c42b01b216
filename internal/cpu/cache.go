package cpu

import (
	"unsafe"

	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// cacheWriteTask copies the state unless the result is its buffer, then writes
// the rows that fit.
func cacheWriteTask(p fast.CacheWrite, in, out []View) task {
	st, rows, y := &in[0], &in[1], &out[0]
	size := y.DType.Size()
	b, h, capacity, d := y.Shape[0], y.Shape[1], y.Shape[2], y.Shape[3]
	l := rows.Shape[2]
	row := d * size
	return newTask(b*h, b*h*(l+capacity/4)*row/2, func(_ *scratch, c, nc int) {
		lo, hi := span(b*h, c, nc)
		pos := all[int32](&in[2])
		for u := lo; u < hi; u++ {
			base := unsafe.Add(y.Ptr(), u*capacity*row)
			if st.Ptr() != y.Ptr() {
				copy(unsafe.Slice((*byte)(base), capacity*row), unsafe.Slice((*byte)(unsafe.Add(st.Ptr(), u*capacity*row)), capacity*row))
			}
			n := l
			if p.Count {
				n = min(l, max(int(all[int32](&in[3])[u/h]), 0))
			}
			src := u/h*rows.Strides[0] + u%h*rows.Strides[1]
			for i := range n {
				at, ok := slotOf(p, int(pos[u/h])+i, n-i)
				if !ok || at >= capacity {
					continue
				}
				from := unsafe.Add(rows.Ptr(), (src+i*rows.Strides[2])*size)
				copy(unsafe.Slice((*byte)(unsafe.Add(base, at*row)), row), unsafe.Slice((*byte)(from), row))
			}
		}
	})
}

// cacheReadTask copies the rows that a write put, and zeros for others.
func cacheReadTask(p fast.CacheRead, in, out []View) task {
	st, y := &in[0], &out[0]
	b, h, l, d := y.Shape[0], y.Shape[1], y.Shape[2], y.Shape[3]
	capacity, row := st.Shape[2], d*y.DType.Size()
	return newTask(b*h, b*h*l*row/2, func(_ *scratch, c, nc int) {
		lo, hi := span(b*h, c, nc)
		pos := all[int32](&in[1])
		for u := lo; u < hi; u++ {
			n := l
			if p.Write.Count {
				n = min(l, max(int(all[int32](&in[2])[u/h]), 0))
			}
			dst := unsafe.Slice((*byte)(unsafe.Add(y.Ptr(), u*l*row)), l*row)
			clear(dst)
			for i := range n {
				if at, ok := slotOf(p.Write, int(pos[u/h])+i, n-i); ok && at < capacity {
					from := unsafe.Add(st.Ptr(), (u*capacity+at)*row)
					copy(dst[i*row:(i+1)*row], unsafe.Slice((*byte)(from), row))
				}
			}
		}
	})
}

// slotOf is the row of the state for position t, the first of left that are written;
// false if a later one takes its place at once, or there is no such position.
func slotOf(p fast.CacheWrite, t, left int) (int, bool) {
	if p.Ring == 0 || t < p.Keep {
		return t, t >= 0
	}
	return p.Keep + (t-p.Keep)%p.Ring, left <= p.Ring
}

// ringMaskTask writes the mask, a query after the other.
func ringMaskTask(p fast.RingMask, in, out []View) task {
	y := &out[0]
	b, keys := y.Shape[0], y.Shape[3]
	return newTask(b*p.Rows, b*p.Rows*keys*2, func(_ *scratch, c, nc int) {
		lo, hi := span(b*p.Rows, c, nc)
		pos := all[int32](&in[0])
		for u := lo; u < hi; u++ {
			ringMaskRow(p, at[byte](y, u*keys, keys), int(pos[u/p.Rows]), u%p.Rows)
		}
	})
}

// ringMaskRow is the mask of query i of those from position pos on.
func ringMaskRow(p fast.RingMask, y []byte, pos, i int) {
	first, filled := pos+i-p.Ring+1, pos // the first position seen, and those that the ring has
	if p.Rows == 1 {
		first, filled = pos-p.Ring+p.Keep+1, pos+1
	}
	clear(y)
	for s := range min(p.Keep, filled) {
		if p.Rows == 1 || s >= first {
			y[s] = 1
		}
	}
	for t := max(first, p.Keep, 0); t < filled; t++ {
		y[p.Keep+(t-p.Keep)%p.Ring] = 1
	}
	if p.Rows > 1 {
		rows := y[p.Keep+p.Ring:]
		for j := max(first-pos, 0); j <= i; j++ {
			rows[j] = 1
		}
	}
}
