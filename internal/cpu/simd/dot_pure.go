package simd

// Sums of products. The order of a sum over K values: blocks of 32 in turn,
// each one chain from its first to its last value, block sums added in order;
// the last block may be shorter. Independent chains (several rows, or several
// blocks of one row) run side by side for speed without changing that order.
// float32(a*b) keeps the compiler from fusing the product into the sum.

const block = 32

type blk = *[block]float32

func block1x1(x, a blk) (p float32) {
	for i := range x {
		p += float32(x[i] * a[i])
	}
	return p
}

// block1x1x4 sums four consecutive blocks of one pair of rows.
func block1x1x4(x, a *[4 * block]float32) (p, q, r, s float32) {
	for i := range block {
		p += float32(x[i] * a[i])
		q += float32(x[block+i] * a[block+i])
		r += float32(x[2*block+i] * a[2*block+i])
		s += float32(x[3*block+i] * a[3*block+i])
	}
	return p, q, r, s
}

func block1x4(x, a, b, c, d blk) (p, q, r, s float32) {
	for i := 0; i < block; i += 2 {
		v, w := x[i], x[i+1]
		p += float32(v * a[i])
		q += float32(v * b[i])
		r += float32(v * c[i])
		s += float32(v * d[i])
		p += float32(w * a[i+1])
		q += float32(w * b[i+1])
		r += float32(w * c[i+1])
		s += float32(w * d[i+1])
	}
	return p, q, r, s
}

func block2x4(x, y, a, b, c, d blk) (p, q, r, s, t, u, v, w float32) {
	for i := range x {
		f, g := x[i], y[i]
		h := a[i]
		p += float32(f * h)
		t += float32(g * h)
		h = b[i]
		q += float32(f * h)
		u += float32(g * h)
		h = c[i]
		r += float32(f * h)
		v += float32(g * h)
		h = d[i]
		s += float32(f * h)
		w += float32(g * h)
	}
	return
}

// part1x1 and part1x4 sum one block of len(x) <= 32 values.
func part1x1(x, a []float32) (p float32) {
	a = a[:len(x)]
	for i, v := range x {
		p += float32(v * a[i])
	}
	return p
}

func part1x4(x, a, b, c, d []float32) (p, q, r, s float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	for i, v := range x {
		p += float32(v * a[i])
		q += float32(v * b[i])
		r += float32(v * c[i])
		s += float32(v * d[i])
	}
	return p, q, r, s
}

// dotFrom continues the sum t over whole and partial blocks of x and y.
func dotFrom(t float32, x, y []float32) float32 {
	y = y[:len(x)]
	for len(x) >= 4*block {
		p, q, r, s := block1x1x4((*[4 * block]float32)(x), (*[4 * block]float32)(y))
		t = t + p + q + r + s
		x, y = x[4*block:], y[4*block:]
	}
	for len(x) >= block {
		t += block1x1(blk(x), blk(y))
		x, y = x[block:], y[block:]
	}
	if len(x) > 0 {
		t += part1x1(x, y)
	}
	return t
}

func dot(x, y []float32) float32 { return dotFrom(0, x, y) }

// sum adds blocks as dot does.
func sum(x []float32) (t float32) {
	for len(x) >= 4*block {
		v := (*[4 * block]float32)(x)
		var p, q, r, s float32
		for i := range block {
			p += v[i]
			q += v[block+i]
			r += v[2*block+i]
			s += v[3*block+i]
		}
		t = t + p + q + r + s
		x = x[4*block:]
	}
	for len(x) > 0 {
		n := min(block, len(x))
		var p float32
		for _, v := range x[:n] {
			p += v
		}
		t += p
		x = x[n:]
	}
	return t
}

func axpy(y []float32, a float32, x []float32) {
	x = x[:len(y)]
	for i := range y {
		y[i] += float32(a * x[i])
	}
}

// axpy4 adds a0·w0 + a1·w1 + a2·w2 + a3·w3, summed in pairs, to y.
func axpy4(y []float32, a0, a1, a2, a3 float32, w0, w1, w2, w3 []float32) {
	w0, w1, w2, w3 = w0[:len(y)], w1[:len(y)], w2[:len(y)], w3[:len(y)]
	for i := range y {
		y[i] += (float32(a0*w0[i]) + float32(a1*w1[i])) + (float32(a2*w2[i]) + float32(a3*w3[i]))
	}
}
