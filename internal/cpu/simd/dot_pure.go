package simd

// Sums of products. The order of a sum over K values: blocks of 32 in turn,
// each a chain of its eight quads (a+b)+(c+d), block sums added in order; a
// last block that is shorter chains its quads, then its last values one by one.
// A chain of quads waits for one addition in four, which is what makes scalar
// code fast here: tiles of 2x2 to 2x4 outputs gained nothing over 1x4, since Go
// spills their accumulators. float32(a*b) keeps the compiler from fusing the
// product into the sum.

const block = 32

type blk = *[block]float32

func block1x1(x, a blk) (p float32) {
	for i := 0; i < block; i += 4 {
		p += (float32(x[i]*a[i]) + float32(x[i+1]*a[i+1])) + (float32(x[i+2]*a[i+2]) + float32(x[i+3]*a[i+3]))
	}
	return p
}

func block1x4(x, a, b, c, d blk) (p, q, r, s float32) {
	for i := 0; i < block; i += 4 {
		x0, x1, x2, x3 := x[i], x[i+1], x[i+2], x[i+3]
		p += (float32(x0*a[i]) + float32(x1*a[i+1])) + (float32(x2*a[i+2]) + float32(x3*a[i+3]))
		q += (float32(x0*b[i]) + float32(x1*b[i+1])) + (float32(x2*b[i+2]) + float32(x3*b[i+3]))
		r += (float32(x0*c[i]) + float32(x1*c[i+1])) + (float32(x2*c[i+2]) + float32(x3*c[i+3]))
		s += (float32(x0*d[i]) + float32(x1*d[i+1])) + (float32(x2*d[i+2]) + float32(x3*d[i+3]))
	}
	return p, q, r, s
}

// part1x1 and part1x4 sum one block of len(x) < 32 values.
func part1x1(x, a []float32) (p float32) {
	a = a[:len(x)]
	for len(x) >= 4 {
		u, v := (*[4]float32)(x), (*[4]float32)(a)
		p += (float32(u[0]*v[0]) + float32(u[1]*v[1])) + (float32(u[2]*v[2]) + float32(u[3]*v[3]))
		x, a = x[4:], a[4:]
	}
	for i, v := range x {
		p += float32(v * a[i])
	}
	return p
}

func part1x4(x, a, b, c, d []float32) (p, q, r, s float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	i := 0
	for ; i+4 <= len(x); i += 4 {
		v, e, f, g, h := (*[4]float32)(x[i:]), (*[4]float32)(a[i:]), (*[4]float32)(b[i:]), (*[4]float32)(c[i:]), (*[4]float32)(d[i:])
		p += (float32(v[0]*e[0]) + float32(v[1]*e[1])) + (float32(v[2]*e[2]) + float32(v[3]*e[3]))
		q += (float32(v[0]*f[0]) + float32(v[1]*f[1])) + (float32(v[2]*f[2]) + float32(v[3]*f[3]))
		r += (float32(v[0]*g[0]) + float32(v[1]*g[1])) + (float32(v[2]*g[2]) + float32(v[3]*g[3]))
		s += (float32(v[0]*h[0]) + float32(v[1]*h[1])) + (float32(v[2]*h[2]) + float32(v[3]*h[3]))
	}
	for ; i < len(x); i++ {
		v := x[i]
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

// sum adds blocks of quads as dot does.
func sum(x []float32) (t float32) {
	for len(x) > 0 {
		n := min(block, len(x))
		v := x[:n]
		var p float32
		for len(v) >= 4 {
			q := (*[4]float32)(v)
			p += (q[0] + q[1]) + (q[2] + q[3])
			v = v[4:]
		}
		for _, f := range v {
			p += f
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
