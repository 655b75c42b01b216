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
			if m == 1 && rows == 4 && w.Elem == BF16 {
				tileBF16((*[4]float32)(y[j:]), x[k0:k0+kc], w, j*ldw+k0, ldw)
				continue
			}
			for t := range rows {
				r[t] = floats(buf[t*kChunk:(t+1)*kChunk], w, (j+t)*ldw+k0, kc)
			}
			for i := range m {
				out, row := y[i*ldy+j:i*ldy+j+rows], x[i*ldx+k0:i*ldx+k0+kc]
				if rows == 4 {
					tile1x4((*[4]float32)(out), row, &r)
					continue
				}
				for t := range out {
					out[t] = dotFrom(out[t], row, r[t])
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

// tile1x4 adds the products of x with the four rows w to y.
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

// tileBF16 is tile1x4 on four rows of bfloat16 from element `at` on, converted
// in registers: worth it for one row of x only.
func tileBF16(y *[4]float32, x []float32, w Raw, at, ldw int) {
	h := Uint16s(w.Data)
	a, b, c, d := h[at:at+len(x)], h[at+ldw:][:len(x)], h[at+2*ldw:][:len(x)], h[at+3*ldw:][:len(x)]
	for len(x) >= block {
		p, q, r, s := blockBF16(blk(x), (*[block]uint16)(a), (*[block]uint16)(b), (*[block]uint16)(c), (*[block]uint16)(d))
		y[0], y[1], y[2], y[3] = y[0]+p, y[1]+q, y[2]+r, y[3]+s
		x, a, b, c, d = x[block:], a[block:], b[block:], c[block:], d[block:]
	}
	if len(x) == 0 {
		return
	}
	var f [4][block]float32
	for t, v := range [4][]uint16{a, b, c, d} {
		bf16ToF32(f[t][:], v)
	}
	p, q, r, s := part1x4(x, f[0][:], f[1][:], f[2][:], f[3][:])
	y[0], y[1], y[2], y[3] = y[0]+p, y[1]+q, y[2]+r, y[3]+s
}

// blockBF16 is block1x4 with bfloat16 rows.
func blockBF16(x blk, a, b, c, d *[block]uint16) (p, q, r, s float32) {
	for i := 0; i < block; i += 4 {
		x0, x1, x2, x3 := x[i], x[i+1], x[i+2], x[i+3]
		p += (float32(x0*FromBF16(a[i])) + float32(x1*FromBF16(a[i+1]))) + (float32(x2*FromBF16(a[i+2])) + float32(x3*FromBF16(a[i+3])))
		q += (float32(x0*FromBF16(b[i])) + float32(x1*FromBF16(b[i+1]))) + (float32(x2*FromBF16(b[i+2])) + float32(x3*FromBF16(b[i+3])))
		r += (float32(x0*FromBF16(c[i])) + float32(x1*FromBF16(c[i+1]))) + (float32(x2*FromBF16(c[i+2])) + float32(x3*FromBF16(c[i+3])))
		s += (float32(x0*FromBF16(d[i])) + float32(x1*FromBF16(d[i+1]))) + (float32(x2*FromBF16(d[i+2])) + float32(x3*FromBF16(d[i+3])))
	}
	return p, q, r, s
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
