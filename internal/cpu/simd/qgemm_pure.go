package simd

// Products with packed weights. A sum of QGemmNT runs over groups in turn:
// y += s·Σ(x·code) + b·Σx, where both inner sums are those of dot over the
// group. Σx is the prep: one value a row of x and group, shared by all rows of q.

//
// The prep is x as float32, [M,K], and behind it the sums, [M,groups].

func qPlan(q *QMatrix, m int, _ Precision) QPlan {
	return QPlan{M: m, Prep: 4 * m * (q.Cols + q.sums()), Passes: 1, Rows: 1, Cols: tileCols,
		Scratch: 4 * (tileRows*tileCols + qScratchLen(q, m))}
}

// sums is how many sums of x a row of it has.
func (q *QMatrix) sums() int {
	if q.Mode != Affine {
		return 0
	}
	return q.groups()
}

func qPrep(pl *QPlan, _ int, prep []byte, x Raw, q *QMatrix, i0, i1 int, _ []byte) {
	f, k, g := Float32s(prep), q.Cols, q.sums()
	rows, sums := f[:pl.M*k], f[pl.M*k:]
	for i := i0; i < i1; i++ {
		row := rows[i*k : (i+1)*k]
		K.Load(row, x.Slice(i*k, (i+1)*k))
		for t := range g {
			sums[i*g+t] = sum(row[t*q.Group:][:q.Group])
		}
	}
}

func qGemmNT(pl *QPlan, y Raw, ldy int, prep []byte, q *QMatrix, i0, i1, n0, n1 int, scratch []byte) {
	floatTiles(qTile, pl.M, y, ldy, prep, q, i0, i1, n0, n1, scratch)
}

// qScratchLen: codes of four rows of a chunk, and their scales and biases.
func qScratchLen(*QMatrix, int) int { return 4*kChunk + 8*(kChunk/16) }

// qPanel is up to four rows of q over one chunk of K.
type qPanel struct {
	codes, s, b [4][]float32
	group       int
}

func (p *qPanel) init(q *QMatrix, scratch []float32) {
	p.group = q.Group
	for t := range 4 {
		p.codes[t] = scratch[t*kChunk:][:kChunk:kChunk]
		sb := scratch[4*kChunk+t*2*(kChunk/16):]
		p.s[t], p.b[t] = sb[:kChunk/16:kChunk/16], sb[kChunk/16:][:kChunk/16:kChunk/16]
	}
}

// qTile is qGemmNT on one tile of float32.
func qTile(y []float32, ldy int, prep []byte, all int, q *QMatrix, i0, m, n0, n1 int, scratch []float32) {
	f, ldx := Float32s(prep), q.Cols
	x, sums := f[i0*ldx:], f[all*ldx+i0*q.sums():]
	for i := range m {
		clear(y[i*ldy : i*ldy+n1-n0])
	}
	var p qPanel
	p.init(q, scratch)
	biased, groups := q.Mode == Affine, q.groups()
	if m == 1 && q.fused() {
		qGemvNT(y, x, q, n0, n1, sums, &p)
		return
	}
	for j := n0; j < n1; j += 4 {
		rows := min(4, n1-j)
		for k0 := 0; k0 < q.Cols; k0 += kChunk {
			kc := min(kChunk, q.Cols-k0)
			g0, g := k0/q.Group, kc/q.Group
			for t := range rows {
				q.expand(p.codes[t][:kc], j+t, k0)
				q.scales(p.s[t][:g], j+t, g0)
				if biased {
					q.biases(p.b[t][:g], j+t, g0)
				}
			}
			for i := range m {
				row := x[i*ldx+k0 : i*ldx+k0+kc]
				var xs []float32
				if biased {
					xs = sums[i*groups+g0 : i*groups+g0+g]
				}
				out := y[i*ldy+j-n0 : i*ldy+j-n0+rows]
				if rows == 4 {
					p.row4((*[4]float32)(out), row, xs)
					continue
				}
				for t := range out {
					out[t] = p.row1(out[t], t, row, xs)
				}
			}
		}
	}
}

// row4 adds the products of x with four rows to y.
func (p *qPanel) row4(y *[4]float32, x, sums []float32) {
	n := p.group
	for g := 0; len(x) > 0; g++ {
		d := dot4(x[:n], p.codes[0][g*n:], p.codes[1][g*n:], p.codes[2][g*n:], p.codes[3][g*n:])
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

// row1 adds the product of x with row t to y, in the order of row4.
func (p *qPanel) row1(y float32, t int, x, sums []float32) float32 {
	n := p.group
	for g := 0; len(x) > 0; g++ {
		v := float32(p.s[t][g] * dot(x[:n], p.codes[t][g*n:]))
		if sums != nil {
			v += float32(p.b[t][g] * sums[g])
		}
		y += v
		x = x[n:]
	}
	return y
}

// dot4 is four dots with one x, for groups that are one partial block or whole
// blocks.
func dot4(x, a, b, c, d []float32) (y [4]float32) {
	a, b, c, d = a[:len(x)], b[:len(x)], c[:len(x)], d[:len(x)]
	if len(x) < block {
		y[0], y[1], y[2], y[3] = part1x4(x, a, b, c, d)
		return y
	}
	for len(x) >= block {
		p, q, r, s := block1x4(blk(x), blk(a), blk(b), blk(c), blk(d))
		y[0], y[1], y[2], y[3] = y[0]+p, y[1]+q, y[2]+r, y[3]+s
		x, a, b, c, d = x[block:], a[block:], b[block:], c[block:], d[block:]
	}
	return y
}

// qGemmNN dequantizes four rows of a chunk of columns and adds them as gemmNN.
func qGemmNN(y []float32, ldy int, x []float32, ldx, m int, q *QMatrix, n0, n1 int, scratch []float32) {
	if n0%q.Group != 0 {
		panic("simd: QGemmNN: n0 is not a multiple of the group")
	}
	for i := range m {
		clear(y[i*ldy : i*ldy+n1-n0])
	}
	biased := q.Mode == Affine
	var s, b [kChunk / 16]float32
	for j := n0; j < n1; j += kChunk {
		nc := min(kChunk, n1-j)
		g := nc / q.Group
		for k0 := 0; k0 < q.Rows; k0 += 4 {
			rows := min(4, q.Rows-k0)
			var r [4][]float32
			for t := range rows {
				r[t] = scratch[t*kChunk:][:nc]
				q.expand(r[t], k0+t, j)
				q.scales(s[:g], k0+t, j/q.Group)
				if biased {
					q.biases(b[:g], k0+t, j/q.Group)
				}
				for i := range g {
					c := r[t][i*q.Group:][:q.Group]
					scale(c, c, s[i], b[i], biased, F32)
				}
			}
			for i := range m {
				addRows(y[i*ldy+j-n0:i*ldy+j-n0+nc], x[i*ldx+k0:i*ldx+k0+rows], &r)
			}
		}
	}
}
