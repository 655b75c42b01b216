package simd

// Codes of a packed row, expanded to float32. Affine codes become 0..2^b-1, fp
// codes their unscaled values.

// Tables from a packed byte to its codes, for widths that divide 8.
var (
	codes2   [256][4]float32
	codes4   nibbles
	codesFP4 nibbles
	codes8   [256]float32
	codesFP8 [256]float32
)

// nibbles maps a byte to its two codes: apart, since indexed loads then need no
// address arithmetic, and as a pair for copying.
type nibbles struct {
	lo, hi [256]float32
	pair   [256][2]float32
}

func (t *nibbles) set(b byte, lo, hi float32) {
	t.lo[b], t.hi[b], t.pair[b] = lo, hi, [2]float32{lo, hi}
}

func init() {
	for i := range 256 {
		b := byte(i)
		codes2[i] = [4]float32{float32(b & 3), float32(b >> 2 & 3), float32(b >> 4 & 3), float32(b >> 6)}
		codes4.set(b, float32(b&15), float32(b>>4))
		codesFP4.set(b, e2m1[b&15], e2m1[b>>4])
		codes8[i] = float32(i)
		codesFP8[i] = FromE4M3(b)
	}
}

// expand writes codes [k0, k0+len(dst)) of row; k0 and len(dst) are multiples
// of 32, or of 16 for NVFP4.
func (q *QMatrix) expand(dst []float32, row, k0 int) {
	w := q.Words[row*q.rowWords()+k0*q.Bits/32:][:len(dst)*q.Bits/32]
	switch q.Bits {
	case 8:
		expandBytes(dst, w, q.singles())
	case 4:
		expandPairs(dst, w, q.pairs())
	case 2:
		for _, v := range w {
			d := (*[16]float32)(dst)
			*(*[4]float32)(d[0:]) = codes2[byte(v)]
			*(*[4]float32)(d[4:]) = codes2[byte(v>>8)]
			*(*[4]float32)(d[8:]) = codes2[byte(v>>16)]
			*(*[4]float32)(d[12:]) = codes2[v>>24]
			dst = dst[16:]
		}
	default:
		expandBits(dst, w, q.Bits)
	}
}

func expandPairs(dst []float32, w []uint32, n *nibbles) {
	t := &n.pair
	for _, v := range w {
		d := (*[8]float32)(dst)
		*(*[2]float32)(d[0:]) = t[byte(v)]
		*(*[2]float32)(d[2:]) = t[byte(v>>8)]
		*(*[2]float32)(d[4:]) = t[byte(v>>16)]
		*(*[2]float32)(d[6:]) = t[v>>24]
		dst = dst[8:]
	}
}

func expandBytes(dst []float32, w []uint32, t *[256]float32) {
	for _, v := range w {
		d := (*[4]float32)(dst)
		d[0], d[1], d[2], d[3] = t[byte(v)], t[byte(v>>8)], t[byte(v>>16)], t[v>>24]
		dst = dst[4:]
	}
}

// expandBits reads 3, 5 or 6 bits: 32 codes are `bits` words, and eight of them
// lie in at most two.
func expandBits(dst []float32, w []uint32, bits int) {
	for len(w) >= bits {
		for g := range 4 {
			at := uint(8 * bits * g)
			i := at / 32
			u := uint64(w[i]) | uint64(w[min(i+1, uint(bits)-1)])<<32 // the last eight end in w[i]
			u >>= at % 32
			d := (*[8]float32)(dst[8*g:])
			lo, hi := (*[4]float32)(d[:4]), (*[4]float32)(d[4:])
			switch bits { // constants make the shifts of fourCodes cheap
			case 3:
				fourCodes(lo, u, 3)
				fourCodes(hi, u>>12, 3)
			case 5:
				fourCodes(lo, u, 5)
				fourCodes(hi, u>>20, 5)
			case 6:
				fourCodes(lo, u, 6)
				fourCodes(hi, u>>24, 6)
			}
		}
		w, dst = w[bits:], dst[32:]
	}
}

func fourCodes(d *[4]float32, u uint64, n uint) {
	m := uint64(1)<<n - 1
	d[0], d[1], d[2], d[3] = codes8[byte(u&m)], codes8[byte(u>>n&m)], codes8[byte(u>>(2*n)&m)], codes8[byte(u>>(3*n)&m)]
}

// dequantRow: affine values are rounded after the product and after the sum.
func dequantRow(dst []float32, q *QMatrix, row int, t Elem) {
	var codes [kChunk]float32
	var s, b [kChunk / 16]float32
	for k := 0; k < q.Cols; k += kChunk {
		n := min(kChunk, q.Cols-k)
		q.expand(codes[:n], row, k)
		g := n / q.Group
		q.scales(s[:g], row, k/q.Group)
		if q.Mode == Affine {
			q.biases(b[:g], row, k/q.Group)
		}
		for i := range g {
			d, c := dst[k+i*q.Group:][:q.Group], codes[i*q.Group:][:q.Group]
			scale(d, c, s[i], b[i], q.Mode == Affine, t)
		}
	}
}

// scale writes t(t(c·s)+b), or t(c·s) without biases.
func scale(d, c []float32, s, b float32, biased bool, t Elem) {
	d = d[:len(c)]
	switch {
	case t == F32 && biased:
		for i, v := range c {
			d[i] = float32(v*s) + b
		}
	case t == F32:
		for i, v := range c {
			d[i] = v * s
		}
	case biased:
		for i, v := range c {
			d[i] = RoundTo(RoundTo(v*s, t)+b, t)
		}
	default:
		for i, v := range c {
			d[i] = RoundTo(v*s, t)
		}
	}
}
