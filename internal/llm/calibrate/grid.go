package calibrate

import (
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/quant"
)

// packed is a matrix [rows, cols] in MLX's affine format, as it is filled.
type packed struct {
	rows, cols int
	scheme     quant.Scheme
	dtype      mlx.DType // of scales and biases

	words          []uint32
	scales, biases []float32 // [rows, groups], as dtype has them
}

func newPacked(rows, cols int, s quant.Scheme, d mlx.DType) *packed {
	groups := cols / s.GroupSize
	return &packed{rows: rows, cols: cols, scheme: s, dtype: d, words: make([]uint32, rows*cols*s.Bits/32),
		scales: make([]float32, rows*groups), biases: make([]float32, rows*groups)}
}

// put writes the codes of a row, a stream of bits from the lowest of the first word on.
func (p *packed) put(row int, codes []uint8) {
	n := p.cols * p.scheme.Bits / 32
	words := p.words[row*n : (row+1)*n]
	bits := uint(p.scheme.Bits)
	var buf uint64
	var have uint
	at := 0
	for _, c := range codes {
		buf |= uint64(c) << have
		if have += bits; have >= 32 {
			words[at] = uint32(buf)
			buf >>= 32
			have -= 32
			at++
		}
	}
}

// quantized is the matrix as arrays.
func (p *packed) quantized() mlx.Quantized {
	groups := p.cols / p.scheme.GroupSize
	return mlx.Quantized{
		Weight: mlx.FromSlice(p.words, p.rows, len(p.words)/p.rows),
		Scales: mlx.FromSlice(p.scales, p.rows, groups).AsType(p.dtype),
		Biases: mlx.FromSlice(p.biases, p.rows, groups).AsType(p.dtype),
		Scheme: p.scheme,
	}
}

var elems = map[mlx.DType]simd.Elem{mlx.Float32: simd.F32, mlx.Float16: simd.F16, mlx.BFloat16: simd.BF16}

// grid is the values of a group: code*scale + bias, codes from 0 to top.
type grid struct {
	scale, bias float64
	top         float64
}

// code is the nearest value's.
func (g grid) code(w float64) float64 {
	return g.near((w - g.bias) / g.scale)
}

// near is the code next to a place on the grid.
func (g grid) near(at float64) float64 {
	switch {
	case at <= 0:
		return 0
	case at >= g.top:
		return g.top
	}
	return math.RoundToEven(at)
}

// loss is the sum of h (w - value)^2.
func (g grid) loss(w, h []float64) (e float64) {
	inverse := 1 / g.scale
	for i, v := range w {
		d := v - g.value(g.near((v-g.bias)*inverse))
		e += h[i] * d * d
	}
	return e
}

func (g grid) value(code float64) float64 { return code*g.scale + g.bias }

// rounded is the grid with numbers of dtype d.
func (g grid) rounded(d mlx.DType) grid {
	v := [2]float32{float32(g.scale), float32(g.bias)}
	simd.K.Round(v[:], elems[d])
	g.scale, g.bias = float64(v[0]), float64(v[1])
	return g
}

const (
	// leastScale keeps the codes of groups of equal weights finite.
	leastScale = 1e-7
	gridSteps  = 10   // how many ranges are tried
	leastRange = 0.45 // the narrowest, as a share of the whole
	refits     = 2    // of each range
)

// bestGrid is the grid of dtype d for weights w with the least error sum h (w - value)^2:
// ranges from the whole down are tried, each fitted to the codes that it gives.
func bestGrid(w, h []float64, bits int, d mlx.DType) grid {
	lo, hi := 0.0, 0.0
	for i, v := range w {
		if i == 0 || v < lo {
			lo = v
		}
		if i == 0 || v > hi {
			hi = v
		}
	}
	top := float64(int(1)<<bits - 1)
	var best grid
	least := math.Inf(1)
	try := func(g grid) {
		g = g.rounded(d)
		if !(math.Abs(g.scale) >= leastScale/2) {
			return
		}
		if e := g.loss(w, h); e < least {
			least, best = e, g
		}
	}
	for step := range gridSteps {
		share := 1 - float64(step)*(1-leastRange)/(gridSteps-1)
		g := grid{scale: max((hi-lo)*share/top, leastScale), bias: lo * share, top: top}
		try(g)
		for range refits {
			fitted, ok := g.fit(w, h)
			if !ok {
				break
			}
			g = fitted
			try(g)
		}
	}
	if math.IsInf(least, 1) { // no range had an error that is a number
		return grid{scale: leastScale, bias: lo, top: top}.rounded(d)
	}
	return best
}

// fit is the grid with the least error for the codes that g gives.
func (g grid) fit(w, h []float64) (grid, bool) {
	var n, q, qq, v, qv float64
	inverse := 1 / g.scale
	for i, x := range w {
		c, weight := g.near((x-g.bias)*inverse), h[i]
		wc := weight * c
		n += weight
		q += wc
		qq += wc * c
		v += weight * x
		qv += wc * x
	}
	det := n*qq - q*q
	if !(det > 1e-12*n*qq) {
		return g, false
	}
	out := grid{scale: (n*qv - q*v) / det, top: g.top}
	out.bias = (v - out.scale*q) / n
	return out, out.scale > leastScale
}

// fitted rounds w [rows, cols] to the best grid of each group, where h are the weights of
// the columns' errors.
func fitted(w []float32, rows, cols int, h []float64, s quant.Scheme, d mlx.DType) *packed {
	p := newPacked(rows, cols, s, d)
	groups := cols / s.GroupSize
	parallel(rows, func(a, b int) {
		buf, codes := make([]float64, s.GroupSize), make([]uint8, cols)
		for i := a; i < b; i++ {
			for g := range groups {
				at := g * s.GroupSize
				for j := range buf {
					buf[j] = float64(w[i*cols+at+j])
				}
				one := bestGrid(buf, h[at:at+s.GroupSize], s.Bits, d)
				p.scales[i*groups+g], p.biases[i*groups+g] = float32(one.scale), float32(one.bias)
				for j, v := range buf {
					codes[at+j] = uint8(one.code(v))
				}
			}
			p.put(i, codes)
		}
	})
	return p
}
