package simd

// attendPartScratchLen: keys and values of a block as float32.
func attendPartScratchLen(a *Attention) int {
	n := 0
	if a.K.Elem != F32 {
		n += keyBlock * a.D
	}
	if a.V.Elem != F32 {
		n += keyBlock * a.DV
	}
	return n
}

func attendPart(p AttentionPart, a *Attention, from, to int, scratch []float32) {
	for r := range a.Rows {
		p.Max[r], p.Sum[r] = -inf32, 0
		clear(p.O[r*p.Stride : r*p.Stride+a.DV])
	}
	first, last := a.span(from, to)
	var s keyScores
	for j := first / keyBlock * keyBlock; j < last; j += keyBlock {
		n := min(keyBlock, last-j)
		b := a.loadBlock(scratch, max(j, first), j, n)
		for r := range a.Rows {
			s.row(a, r, j, n, &b)
			if s.n > 0 {
				s.add(p.O[r*p.Stride:r*p.Stride+a.DV], &p.Max[r], &p.Sum[r], &b)
			}
		}
	}
}

// kvBlock is the float32 keys and values from key `at` on.
type kvBlock struct {
	k, v       []float32
	ks, vs, at int
}

func (b *kvBlock) key(j, d int) []float32   { return b.k[(j-b.at)*b.ks:][:d] }
func (b *kvBlock) value(j, d int) []float32 { return b.v[(j-b.at)*b.vs:][:d] }

// loadBlock converts keys [from, j+n) of the block at j unless they are float32.
func (a *Attention) loadBlock(scratch []float32, from, j, n int) kvBlock {
	b := kvBlock{at: from}
	cnt := j + n - from
	if a.K.Elem == F32 {
		b.k, b.ks = Float32s(a.K.Data)[from*a.KStride:], a.KStride
	} else {
		b.k, b.ks = scratch[:keyBlock*a.D], a.D
		scratch = scratch[keyBlock*a.D:]
		for i := range cnt {
			at := (from + i) * a.KStride
			load(b.k[i*a.D:(i+1)*a.D], a.K.Slice(at, at+a.D))
		}
	}
	if a.V.Elem == F32 {
		b.v, b.vs = Float32s(a.V.Data)[from*a.VStride:], a.VStride
	} else {
		b.v, b.vs = scratch[:keyBlock*a.DV], a.DV
		for i := range cnt {
			at := (from + i) * a.VStride
			load(b.v[i*a.DV:(i+1)*a.DV], a.V.Slice(at, at+a.DV))
		}
	}
	return b
}

// keyScores holds the visible keys of one row in one block and their scores.
type keyScores struct {
	key [keyBlock]int
	s   [keyBlock]float32
	n   int
}

// row collects the visible keys of row r in [j, j+n) and their scores.
func (s *keyScores) row(a *Attention, r, j, n int, b *kvBlock) {
	lo, hi := a.visible(r)
	lo, hi = max(lo, j), min(hi, j+n)
	cnt := 0
	var mask []byte
	var bias []float32
	if a.Mask != nil {
		mask = a.mask(r)
	}
	if a.Bias != nil {
		bias = a.bias(r)
	}
	for k := lo; k < hi; k++ {
		if mask != nil && mask[k] == 0 || bias != nil && bias[k] == -inf32 {
			continue
		}
		s.key[cnt&(keyBlock-1)] = k
		cnt++
	}
	q := a.Q[r*a.QStride : r*a.QStride+a.D]
	i := 0
	for ; i+4 <= cnt; i += 4 {
		var y [4]float32
		k := (*[4]int)(s.key[i:])
		tile1x4(&y, q, &[4][]float32{b.key(k[0], a.D), b.key(k[1], a.D), b.key(k[2], a.D), b.key(k[3], a.D)})
		*(*[4]float32)(s.s[i:]) = y
	}
	for ; i < cnt; i++ {
		s.s[i] = dot(q, b.key(s.key[i], a.D))
	}
	for i := range s.s[:cnt] {
		s.s[i] *= a.Scale
	}
	if a.SoftCap > 0 {
		capScores(s.s[:cnt], a.SoftCap)
	}
	if bias != nil {
		for i, k := range s.key[:cnt] {
			s.s[i] += bias[k]
		}
	}
	s.n = cnt
}

// add folds the block into a row with running maximum m and sum l.
func (s *keyScores) add(out []float32, m, l *float32, b *kvBlock) {
	p := s.s[:s.n]
	top := max(*m, maxRow(p))
	if top == -inf32 { // scores may overflow to -Inf: weight 0
		return
	}
	if top != *m {
		f := exp32(*m - top)
		*l *= f
		for i := range out {
			out[i] *= f
		}
		*m = top
	}
	*l += expSum(p, p, top)
	i := 0
	for ; i+4 <= s.n; i += 4 {
		k := (*[4]int)(s.key[i:])
		axpy4(out, p[i], p[i+1], p[i+2], p[i+3], b.value(k[0], len(out)), b.value(k[1], len(out)), b.value(k[2], len(out)), b.value(k[3], len(out)))
	}
	for ; i < s.n; i++ {
		axpy(out, p[i], b.value(s.key[i], len(out)))
	}
}

// capScores is cap·tanh(s/cap).
func capScores(s []float32, cap float32) {
	for i := range s {
		s[i] /= cap
	}
	tanhLoop(s, s)
	for i := range s {
		s[i] *= cap
	}
}
