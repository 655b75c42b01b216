package convert

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/mlxgo/mlx"
	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/quant"
)

// rows makes the rows of a matrix: [n, cols] elements, of the values that it has unpacked.
type rows struct {
	kind     rowKind
	n, cols  int
	from, to mlx.DType
	turned   bool         // the source has columns one after the other
	scheme   quant.Scheme // of quantizeRows and dequantizeRows
}

type rowKind uint8

const (
	castRows       rowKind = iota // [n, cols] of from to the same of to
	quantizeRows                  // of from, rounded to to, to words, scales and biases
	dequantizeRows                // of words, scales and biases, of from where they are floats, to to
)

var (
	elems     = map[mlx.DType]simd.Elem{mlx.Float32: simd.F32, mlx.Float16: simd.F16, mlx.BFloat16: simd.BF16}
	simdModes = map[quant.Mode]simd.Mode{quant.Affine: simd.Affine, quant.MXFP4: simd.MXFP4, quant.MXFP8: simd.MXFP8, quant.NVFP4: simd.NVFP4}
	roundings = map[quant.Rounding]simd.Rounding{quant.RoundMetal: simd.RoundMetal, quant.RoundCPU: simd.RoundCPU}
)

func (r rows) String() string {
	return fmt.Sprintf("%d [%d %d] %v %v %t %v %v", r.kind, r.n, r.cols, r.from, r.to, r.turned, r.scheme, r.scheme.Rounding)
}

// verbatim reports whether rows are the source's bytes.
func (r rows) verbatim() bool { return r.kind == castRows && r.from == r.to && !r.turned }

// make makes rows [lo, hi): in are the whole inputs, out the places of these rows.
func (r rows) make(out, in [][]byte, lo, hi int) {
	switch r.kind {
	case castRows:
		r.cast(out[0], in[0], lo, hi)
	case quantizeRows:
		r.quantize(out, in[0], lo, hi)
	case dequantizeRows:
		r.dequantize(out[0], in, lo, hi)
	}
}

// source is rows [lo, hi) of a matrix, one after the other.
func (r rows) source(in []byte, lo, hi int) []byte {
	size := r.from.Size()
	if !r.turned {
		return in[lo*r.cols*size : hi*r.cols*size]
	}
	out := make([]byte, (hi-lo)*r.cols*size)
	for c := range r.cols {
		column := in[(c*r.n+lo)*size : (c*r.n+hi)*size]
		for i := range hi - lo {
			copy(out[(i*r.cols+c)*size:][:size], column[i*size:])
		}
	}
	return out
}

// load reads a row as float32.
func (r rows) load(dst []float32, row []byte) {
	if r.from == mlx.Float64 {
		for i := range dst {
			dst[i] = float32(math.Float64frombits(binary.LittleEndian.Uint64(row[8*i:])))
		}
		return
	}
	simd.K.Load(dst, simd.Raw{Elem: elems[r.from], Data: row})
}

func (r rows) cast(out, in []byte, lo, hi int) {
	from := r.source(in, lo, hi)
	if r.from == r.to {
		copy(out, from)
		return
	}
	buf := make([]float32, r.cols)
	a, b := r.cols*r.from.Size(), r.cols*r.to.Size()
	for i := range hi - lo {
		r.load(buf, from[i*a:(i+1)*a])
		simd.K.Store(simd.Raw{Elem: elems[r.to], Data: out[i*b : (i+1)*b]}, buf)
	}
}

func (r rows) quantize(out [][]byte, in []byte, lo, hi int) {
	from := r.source(in, lo, hi)
	s := r.scheme
	par := simd.QParams{Mode: simdModes[s.Mode], Bits: s.Bits, Group: s.GroupSize, Elem: elems[r.to], Rounding: roundings[s.Rounding]}
	buf := make([]float32, r.cols)
	a, words, scales := r.cols*r.from.Size(), par.RowWords(r.cols), par.RowScaleBytes(r.cols)
	all := simd.Uint32s(out[0])
	for i := range hi - lo {
		r.load(buf, from[i*a:(i+1)*a])
		if r.from != r.to {
			simd.K.Round(buf, par.Elem)
		}
		var biases []byte
		if s.Mode == quant.Affine {
			biases = out[2][i*scales : (i+1)*scales]
		}
		simd.K.QuantizeRow(all[i*words:(i+1)*words], out[1][i*scales:(i+1)*scales], biases, buf, par)
	}
}

func (r rows) dequantize(out []byte, in [][]byte, lo, hi int) {
	s := r.scheme
	par := simd.QParams{Mode: simdModes[s.Mode], Bits: s.Bits, Group: s.GroupSize, Elem: simd.BF16}
	if s.Mode == quant.Affine {
		par.Elem = elems[r.from]
	}
	words, scales := 4*par.RowWords(r.cols), par.RowScaleBytes(r.cols)
	q := &simd.QMatrix{Mode: par.Mode, Bits: s.Bits, Group: s.GroupSize, Rows: hi - lo, Cols: r.cols, Elem: par.Elem,
		Words: simd.Uint32s(in[0][lo*words : hi*words]), Scales: in[1][lo*scales : hi*scales]}
	if s.Mode == quant.Affine {
		q.Biases = in[2][lo*scales : hi*scales]
		if r.from != r.to { // the scales are cast before they are used
			q.Elem = elems[r.to]
			q.Scales, q.Biases = recast(q.Scales, par.Elem, q.Elem), recast(q.Biases, par.Elem, q.Elem)
		}
	}
	buf := make([]float32, r.cols)
	b := r.cols * r.to.Size()
	for i := range hi - lo {
		simd.K.DequantRow(buf, q, i, q.Elem)
		simd.K.Store(simd.Raw{Elem: elems[r.to], Data: out[i*b : (i+1)*b]}, buf)
	}
}

// recast is elements of another type.
func recast(data []byte, from, to simd.Elem) []byte {
	raw := simd.Raw{Elem: from, Data: data}
	buf := make([]float32, raw.Len())
	simd.K.Load(buf, raw)
	out := make([]byte, len(buf)*to.Size())
	simd.K.Store(simd.Raw{Elem: to, Data: out}, buf)
	return out
}
