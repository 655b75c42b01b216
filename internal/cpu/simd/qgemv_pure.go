package simd

// Products of one row of x with 4- and 8-bit codes, taken from the packed words
// through the tables of codes_pure.go instead of being expanded first: 15 % and
// 35 % faster for one row, slower from two rows on. The order of every sum is
// that of qPanel, so the choice does not show in the bits.

// fused says whether QGemmNT may read the words of q directly.
func (q *QMatrix) fused() bool { return q.Bits == 4 || q.Bits == 8 }

// qGemvNT is QGemmNT for m = 1.
func qGemvNT(y, x []float32, q *QMatrix, n0, n1 int, prep []float32, p *qPanel) {
	biased, words := q.Mode == Affine, q.rowWords()
	for j := n0; j < n1; j += 4 {
		rows := min(4, n1-j)
		var acc [4]float32
		for k0 := 0; k0 < q.Cols; k0 += kChunk {
			kc := min(kChunk, q.Cols-k0)
			g0, g := k0/q.Group, kc/q.Group
			var w [4][]uint32
			for t := range rows {
				w[t] = q.Words[(j+t)*words+k0*q.Bits/32:][:kc*q.Bits/32]
				q.scales(p.s[t][:g], j+t, g0)
				if biased {
					q.biases(p.b[t][:g], j+t, g0)
				}
			}
			var sums []float32
			if biased {
				sums = prep[g0 : g0+g]
			}
			if rows == 4 {
				p.words4(&acc, x[k0:k0+kc], &w, sums, q)
				continue
			}
			for t := range rows {
				four := [4][]uint32{w[t], w[t], w[t], w[t]}
				p.words1(&acc, t, x[k0:k0+kc], &four, sums, q)
			}
		}
		copy(y[j-n0:], acc[:rows])
	}
}

// words4 is qPanel.row4 on packed words.
func (p *qPanel) words4(y *[4]float32, x []float32, w *[4][]uint32, sums []float32, q *QMatrix) {
	n := p.group
	nw := n * q.Bits / 32
	for g := 0; len(x) > 0; g++ {
		d := q.dotWords(x[:n], w[0][g*nw:], w[1][g*nw:], w[2][g*nw:], w[3][g*nw:])
		for t, v := range d {
			v = float32(p.s[t][g] * v)
			if sums != nil {
				v += float32(p.b[t][g] * sums[g])
			}
			y[t] += v
		}
		x = x[n:]
	}
}

// words1 is qPanel.row1 for row t, which fills all of w: the last rows of a
// matrix are few, so three of four sums may be wasted.
func (p *qPanel) words1(y *[4]float32, t int, x []float32, w *[4][]uint32, sums []float32, q *QMatrix) {
	n := p.group
	nw := n * q.Bits / 32
	for g := 0; len(x) > 0; g++ {
		d := q.dotWords(x[:n], w[0][g*nw:], w[1][g*nw:], w[2][g*nw:], w[3][g*nw:])
		v := float32(p.s[t][g] * d[0])
		if sums != nil {
			v += float32(p.b[t][g] * sums[g])
		}
		y[t] += v
		x = x[n:]
	}
}

// dotWords is dot4 of one group on packed words.
func (q *QMatrix) dotWords(x []float32, a, b, c, d []uint32) (y [4]float32) {
	n := min(block, len(x))
	nw := n * q.Bits / 32
	for len(x) > 0 {
		var e, f, g, h float32
		if q.Bits == 4 {
			for i := 0; i < nw; i += 2 {
				e, f, g, h = nibbles1x4((*[16]float32)(x[8*i:]), (*[2]uint32)(a[i:]), (*[2]uint32)(b[i:]), (*[2]uint32)(c[i:]), (*[2]uint32)(d[i:]), q.pairs(), e, f, g, h)
			}
		} else {
			e, f, g, h = bytes1x4(x[:n], a[:nw], b[:nw], c[:nw], d[:nw], q.singles())
		}
		y[0], y[1], y[2], y[3] = y[0]+e, y[1]+f, y[2]+g, y[3]+h
		x, a, b, c, d = x[n:], a[nw:], b[nw:], c[nw:], d[nw:]
	}
	return y
}

// nibbles1x4 continues the chains of block1x4 over 16 values with 4-bit codes.
func nibbles1x4(x *[16]float32, a, b, c, d *[2]uint32, t *nibbles, p, q, r, s float32) (float32, float32, float32, float32) {
	for i := range 2 {
		x0, x1, x2, x3 := x[8*i], x[8*i+1], x[8*i+2], x[8*i+3]
		u := a[i]
		p += (float32(x0*t.lo[byte(u)]) + float32(x1*t.hi[byte(u)])) + (float32(x2*t.lo[byte(u>>8)]) + float32(x3*t.hi[byte(u>>8)]))
		u = b[i]
		q += (float32(x0*t.lo[byte(u)]) + float32(x1*t.hi[byte(u)])) + (float32(x2*t.lo[byte(u>>8)]) + float32(x3*t.hi[byte(u>>8)]))
		u = c[i]
		r += (float32(x0*t.lo[byte(u)]) + float32(x1*t.hi[byte(u)])) + (float32(x2*t.lo[byte(u>>8)]) + float32(x3*t.hi[byte(u>>8)]))
		u = d[i]
		s += (float32(x0*t.lo[byte(u)]) + float32(x1*t.hi[byte(u)])) + (float32(x2*t.lo[byte(u>>8)]) + float32(x3*t.hi[byte(u>>8)]))
		x0, x1, x2, x3 = x[8*i+4], x[8*i+5], x[8*i+6], x[8*i+7]
		u = a[i]
		p += (float32(x0*t.lo[byte(u>>16)]) + float32(x1*t.hi[byte(u>>16)])) + (float32(x2*t.lo[byte(u>>24)]) + float32(x3*t.hi[byte(u>>24)]))
		u = b[i]
		q += (float32(x0*t.lo[byte(u>>16)]) + float32(x1*t.hi[byte(u>>16)])) + (float32(x2*t.lo[byte(u>>24)]) + float32(x3*t.hi[byte(u>>24)]))
		u = c[i]
		r += (float32(x0*t.lo[byte(u>>16)]) + float32(x1*t.hi[byte(u>>16)])) + (float32(x2*t.lo[byte(u>>24)]) + float32(x3*t.hi[byte(u>>24)]))
		u = d[i]
		s += (float32(x0*t.lo[byte(u>>16)]) + float32(x1*t.hi[byte(u>>16)])) + (float32(x2*t.lo[byte(u>>24)]) + float32(x3*t.hi[byte(u>>24)]))
	}
	return p, q, r, s
}

func (q *QMatrix) pairs() *nibbles {
	if q.Mode == Affine {
		return &codes4
	}
	return &codesFP4
}

func (q *QMatrix) singles() *[256]float32 {
	if q.Mode == Affine {
		return &codes8
	}
	return &codesFP8
}

// bytes1x4 is block1x4 on 8-bit codes, four a word; t maps a byte to its value.
func bytes1x4(x []float32, a, b, c, d []uint32, t *[256]float32) (p, q, r, s float32) {
	b, c, d = b[:len(a)], c[:len(a)], d[:len(a)]
	for i, u := range a {
		v := (*[4]float32)(x[4*i:])
		x0, x1, x2, x3 := v[0], v[1], v[2], v[3]
		p += (float32(x0*t[byte(u)]) + float32(x1*t[byte(u>>8)])) + (float32(x2*t[byte(u>>16)]) + float32(x3*t[u>>24]))
		u = b[i]
		q += (float32(x0*t[byte(u)]) + float32(x1*t[byte(u>>8)])) + (float32(x2*t[byte(u>>16)]) + float32(x3*t[u>>24]))
		u = c[i]
		r += (float32(x0*t[byte(u)]) + float32(x1*t[byte(u>>8)])) + (float32(x2*t[byte(u>>16)]) + float32(x3*t[u>>24]))
		u = d[i]
		s += (float32(x0*t[byte(u)]) + float32(x1*t[byte(u>>8)])) + (float32(x2*t[byte(u>>16)]) + float32(x3*t[u>>24]))
	}
	return p, q, r, s
}
