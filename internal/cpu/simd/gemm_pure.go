package simd

// kChunk is how many values of a row of w are held as float32 at a time: four
// rows of it stay in L1. It is a multiple of block, so cutting there does not
// change the order of a sum, and the running sum may rest in y between chunks.
const kChunk = 512

func gemmNT(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	for i := range m {
		clear(y[i*ldy : i*ldy+n])
	}
	if m == 0 || n == 0 || k == 0 {
		return
	}
	var buf [4 * kChunk]float32
	for j := 0; j < n; j += 4 {
		rows := min(4, n-j)
		for k0 := 0; k0 < k; k0 += kChunk {
			kc := min(kChunk, k-k0)
			var r [4][]float32
			for t := range rows {
				r[t] = floats(buf[t*kChunk:(t+1)*kChunk], w, (j+t)*ldw+k0, kc)
			}
			if rows == 4 {
				panel4(y[j:], ldy, x[k0:], ldx, m, &r)
				continue
			}
			for t, row := range r[:rows] {
				for i := range m {
					p := &y[i*ldy+j+t]
					*p = dotFrom(*p, x[i*ldx+k0:i*ldx+k0+kc], row)
				}
			}
		}
	}
}

// floats returns elements [i, i+n) of w as float32: in place where they are,
// else converted into buf.
func floats(buf []float32, w Raw, i, n int) []float32 {
	if w.Elem == F32 {
		return Float32s(w.Data)[i : i+n]
	}
	load(buf[:n], w.Slice(i, i+n))
	return buf[:n]
}

// panel4 adds m rows of x times the four rows r to y.
func panel4(y []float32, ldy int, x []float32, ldx, m int, r *[4][]float32) {
	kc := len(r[0])
	i := 0
	for ; i+2 <= m; i += 2 {
		tile2x4((*[4]float32)(y[i*ldy:]), (*[4]float32)(y[(i+1)*ldy:]), x[i*ldx:i*ldx+kc], x[(i+1)*ldx:(i+1)*ldx+kc], r)
	}
	if i < m {
		tile1x4((*[4]float32)(y[i*ldy:]), x[i*ldx:i*ldx+kc], r)
	}
}

func tile1x4(y *[4]float32, x []float32, w *[4][]float32) {
	a, b, c, d := w[0][:len(x)], w[1][:len(x)], w[2][:len(x)], w[3][:len(x)]
	t0, t1, t2, t3 := y[0], y[1], y[2], y[3]
	for len(x) >= block {
		p, q, r, s := block1x4(blk(x), blk(a), blk(b), blk(c), blk(d))
		t0, t1, t2, t3 = t0+p, t1+q, t2+r, t3+s
		x, a, b, c, d = x[block:], a[block:], b[block:], c[block:], d[block:]
	}
	if len(x) > 0 {
		p, q, r, s := part1x4(x, a, b, c, d)
		t0, t1, t2, t3 = t0+p, t1+q, t2+r, t3+s
	}
	y[0], y[1], y[2], y[3] = t0, t1, t2, t3
}

func tile2x4(y, z *[4]float32, x, v []float32, w *[4][]float32) {
	v = v[:len(x)]
	a, b, c, d := w[0][:len(x)], w[1][:len(x)], w[2][:len(x)], w[3][:len(x)]
	for len(x) >= block {
		p, q, r, s, t, u, g, h := block2x4(blk(x), blk(v), blk(a), blk(b), blk(c), blk(d))
		y[0], y[1], y[2], y[3] = y[0]+p, y[1]+q, y[2]+r, y[3]+s
		z[0], z[1], z[2], z[3] = z[0]+t, z[1]+u, z[2]+g, z[3]+h
		x, v, a, b, c, d = x[block:], v[block:], a[block:], b[block:], c[block:], d[block:]
	}
	if len(x) > 0 {
		p, q, r, s := part1x4(x, a, b, c, d)
		y[0], y[1], y[2], y[3] = y[0]+p, y[1]+q, y[2]+r, y[3]+s
		p, q, r, s = part1x4(v, a, b, c, d)
		z[0], z[1], z[2], z[3] = z[0]+p, z[1]+q, z[2]+r, z[3]+s
	}
}

// gemmNN adds four rows of w at a time; the order of a sum is: quads of k as
// (a+b)+(c+d) in turn, then the last k mod 4 one by one.
func gemmNN(y []float32, ldy int, x []float32, ldx, m int, w Raw, ldw, n, k int) {
	for i := range m {
		clear(y[i*ldy : i*ldy+n])
	}
	var buf [4 * kChunk]float32
	for j := 0; j < n; j += kChunk {
		nc := min(kChunk, n-j)
		for k0 := 0; k0 < k; k0 += 4 {
			rows := min(4, k-k0)
			var r [4][]float32
			for t := range rows {
				r[t] = floats(buf[t*kChunk:(t+1)*kChunk], w, (k0+t)*ldw+j, nc)
			}
			for i := range m {
				addRows(y[i*ldy+j:i*ldy+j+nc], x[i*ldx+k0:i*ldx+k0+rows], &r)
			}
		}
	}
}

// addRows adds Σ a[t]·r[t] to y, len(a) <= 4.
func addRows(y, a []float32, r *[4][]float32) {
	if len(a) == 4 {
		axpy4(y, a[0], a[1], a[2], a[3], r[0], r[1], r[2], r[3])
		return
	}
	for t, v := range a {
		axpy(y, v, r[t])
	}
}
