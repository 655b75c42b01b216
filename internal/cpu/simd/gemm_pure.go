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
