package cpu

import (
	"errors"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/quant"
	"github.com/mlxgo/mlx/internal/tensor"
)

var (
	simdModes = map[quant.Mode]simd.Mode{
		quant.Affine: simd.Affine, quant.MXFP4: simd.MXFP4, quant.MXFP8: simd.MXFP8, quant.NVFP4: simd.NVFP4,
	}
	simdRoundings = map[quant.Rounding]simd.Rounding{quant.RoundMetal: simd.RoundMetal, quant.RoundCPU: simd.RoundCPU}

	errWideScales = errors.New("scales of float64 are not supported")
)

// A packed matrix: where the parts of a QMatrix come from at run time.
type packed struct {
	mode          simd.Mode
	bits, group   int
	rows, cols    int
	words, scales *View
	biases        *View // nil but for affine
	elem          simd.Elem
}

// packedOf reads weight, scales and biases; leading axes are rows.
func packedOf(s quant.Scheme, in []View) (*packed, error) {
	w := in[0].Shape
	n := len(w)
	p := &packed{mode: simdModes[s.Mode], bits: s.Bits, group: s.GroupSize, rows: w[:n-1].Size(), cols: w[n-1] * 32 / s.Bits, words: &in[0], scales: &in[1]}
	if s.Mode == quant.Affine {
		e, ok := elemOf(in[1].DType)
		if !ok {
			return nil, errWideScales
		}
		p.biases, p.elem = &in[2], e
	}
	q := simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group}
	return p, q.Check()
}

// matrix fills q with the memory of now.
func (p *packed) matrix(q *simd.QMatrix) *simd.QMatrix {
	*q = simd.QMatrix{Mode: p.mode, Bits: p.bits, Group: p.group, Rows: p.rows, Cols: p.cols, Elem: p.elem,
		Words: all[uint32](p.words), Scales: p.scales.HostBytes()}
	if p.biases != nil {
		q.Biases = p.biases.HostBytes()
	}
	return q
}

// A qgemm is x times a packed matrix, in tiles as gemm.
type qgemm struct {
	*packed
	x, y      *View
	m, k, n   int
	bm, bn    int
	width     int // columns of a tile
	transpose bool
}

func qmatmulTask(p quant.MatMul, in, out []View) (task, error) {
	w, err := packedOf(p.Scheme, in[1:])
	if err != nil {
		return task{}, err
	}
	g := &qgemm{packed: w, x: &in[0], y: &out[0], k: w.cols, n: w.rows, transpose: p.Transpose, width: tileNT}
	if !p.Transpose {
		g.k, g.n = g.n, g.k
		g.width = 256 // a multiple of every group size
	}
	g.m = in[0].Shape[:len(in[0].Shape)-1].Size()
	g.bm, g.bn = (g.m+tileM-1)/tileM, (g.n+g.width-1)/g.width
	return newTask(g.bm*g.bn, max(g.m*g.n*g.k, g.m*g.n), g.run), nil
}

func (g *qgemm) run(s *scratch, c, nc int) {
	lo, hi := span(g.bm*g.bn, c, nc)
	if lo >= hi {
		return
	}
	q := g.matrix(&s.q)
	rows := min(tileM, g.m)
	var x []float32
	xbuf, ybuf := piece[float32](s, rows*g.k), []float32(nil)
	if g.y.DType != dtype.Float32 {
		ybuf = piece[float32](s, rows*g.width)
	}
	var prep []float32
	if g.transpose {
		prep = piece[float32](s, simd.K.QPrepLen(q, rows))
	}
	work := piece[float32](s, simd.K.QScratchLen(q, rows))
	for u, have := lo, -1; u < hi; u++ {
		i, j := u/g.bn, u%g.bn
		n := min(tileM, g.m-i*tileM)
		if i != have {
			x = widen(xbuf, unsafe.Add(g.x.Ptr(), i*tileM*g.k*g.x.DType.Size()), g.x.DType, n*g.k)
			if g.transpose {
				simd.K.QPrep(prep, x, g.k, n, q)
			}
			have = i
		}
		g.tile(q, ybuf, x, prep, work, i*tileM, n, j*g.width, min((j+1)*g.width, g.n))
	}
}

func (g *qgemm) tile(q *simd.QMatrix, ybuf, x, prep, work []float32, i0, rows, n0, n1 int) {
	base := i0*g.n + n0
	y, ldy := ybuf, g.width
	if ybuf == nil {
		y, ldy = at[float32](g.y, base, (rows-1)*g.n+n1-n0), g.n
	}
	if g.transpose {
		simd.K.QGemmNT(y, ldy, x, g.k, rows, q, n0, n1, prep, work)
	} else {
		simd.K.QGemmNN(y, ldy, x, g.k, rows, q, n0, n1, work)
	}
	if ybuf == nil {
		return
	}
	for i := range rows {
		narrow(unsafe.Add(g.y.Ptr(), (base+i*g.n)*2), ybuf[i*g.width:i*g.width+n1-n0], g.y.DType)
	}
}

func dequantizeTask(p quant.Dequantize, in, out []View) (task, error) {
	w, err := packedOf(p.Scheme, in)
	if err != nil {
		return task{}, err
	}
	y := &out[0]
	e, ok := elemOf(p.To)
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	return newTask(w.rows, 4*w.rows*w.cols, func(s *scratch, c, nc int) {
		lo, hi := span(w.rows, c, nc)
		q, buf := w.matrix(&s.q), piece[float32](s, w.cols)
		for r := lo; r < hi; r++ {
			if e == simd.F32 {
				simd.K.DequantRow(at[float32](y, r*w.cols, w.cols), q, r, e)
				continue
			}
			simd.K.DequantRow(buf, q, r, e)
			narrow(unsafe.Add(y.Ptr(), r*w.cols*2), buf, p.To)
		}
	}), nil
}

func quantizeTask(p quant.Quantize, in, out []View) (task, error) {
	x, w := &in[0], &out[0]
	e, ok := elemOf(x.DType)
	if !ok {
		return task{}, tensor.ErrUnsupported
	}
	n := len(x.Shape)
	rows, k := x.Shape[:n-1].Size(), x.Shape[n-1]
	words, groups := w.Shape[n-1], out[1].Shape[n-1]
	par := simd.QParams{Mode: simdModes[p.Mode], Bits: p.Bits, Group: p.GroupSize, Elem: e, Rounding: simdRoundings[p.Rounding]}
	if err := par.Check(); err != nil {
		return task{}, err
	}
	part := func(i, r int) []byte {
		n := groups * out[i].DType.Size()
		return out[i].HostBytes()[r*n : (r+1)*n]
	}
	return newTask(rows, 20*rows*k, func(s *scratch, c, nc int) {
		lo, hi := span(rows, c, nc)
		buf := piece[float32](s, k)
		for r := lo; r < hi; r++ {
			v := widen(buf, unsafe.Add(x.Ptr(), r*k*x.DType.Size()), x.DType, k)
			var biases []byte
			if p.Mode == quant.Affine {
				biases = part(2, r)
			}
			simd.K.QuantizeRow(at[uint32](w, r*words, words), part(1, r), biases, v, par)
		}
	}), nil
}
