package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A norm is RMSNorm or LayerNorm; a unit is a row.
type norm struct {
	eps, offset  float64
	layer        bool // subtract the mean
	weight, bias *View
	in, out      []View
	x            rowsOf
}

func rmsNormTask(p fast.RMSNorm, in, out []View) task {
	n := &norm{eps: p.Eps.Value(), offset: p.Offset.Value(), in: in, out: out, x: rowsOfView(&in[0])}
	if len(in) == 2 {
		n.weight = &in[1]
	}
	return n.task()
}

func layerNormTask(p fast.LayerNorm, in, out []View) task {
	n := &norm{eps: p.Eps.Value(), offset: p.Offset.Value(), layer: true, in: in, out: out, x: rowsOfView(&in[0])}
	rest := in[1:]
	if p.Weight {
		n.weight, rest = &rest[0], rest[1:]
	}
	if p.Bias {
		n.bias = &rest[0]
	}
	return n.task()
}

func (n *norm) task() task {
	if n.out[0].DType == dtype.Float64 {
		return newTask(n.x.n, 8*n.x.n*n.x.k, n.runWide)
	}
	return newTask(n.x.n, 4*n.x.n*n.x.k, n.run)
}

func (n *norm) run(s *scratch, c, nc int) {
	lo, hi := span(n.x.n, c, nc)
	if lo >= hi {
		return
	}
	k, y := n.x.k, &n.out[0]
	g, buf := n.x.buffer(s), n.x.buffer32(s)
	e, _ := elemOf(n.in[0].DType)
	var w, b simd.Raw
	if n.weight != nil {
		w = n.shifted(s)
	}
	if n.bias != nil {
		b = rawAt(n.bias, 0, k)
	}
	for i := lo; i < hi; i++ {
		dst := buf
		if y.DType == dtype.Float32 {
			dst = at[float32](y, i*k, k)
		}
		row := n.x.f32(g, buf, i)
		if n.layer {
			simd.K.LayerNorm(dst, row, w, b, float32(n.eps), e)
		} else {
			simd.K.RMSNorm(dst, row, w, float32(n.eps), e)
		}
		if y.DType != dtype.Float32 {
			narrow(unsafe.Add(y.Ptr(), i*k*2), buf, y.DType)
		}
	}
}

// shifted is the weight plus the offset.
func (n *norm) shifted(s *scratch) simd.Raw {
	w := rawAt(n.weight, 0, n.x.k)
	if n.offset == 0 {
		return w
	}
	v := piece[float32](s, n.x.k)
	simd.K.Load(v, w)
	for i := range v {
		v[i] += float32(n.offset)
	}
	return simd.RawF32(v)
}

// runWide is for float64 anywhere: x, the weight or the bias.
func (n *norm) runWide(s *scratch, c, nc int) {
	lo, hi := span(n.x.n, c, nc)
	in, k := n.in[0].DType, n.x.k
	conv, _ := castLoop(in, dtype.Float64)
	g, f := n.x.buffer(s), piece[float32](s, k)
	row := piece[uint64](s, k)
	weight, bias := n.wide(s, n.weight, f), n.wide(s, n.bias, f)
	for i := lo; i < hi; i++ {
		src := n.x.row(g, i)
		if isHalf(in) {
			src = unsafe.Pointer(unsafe.SliceData(widen(f, src, in, k)))
		}
		conv(unsafe.Pointer(unsafe.SliceData(row)), src, nil, nil, k)
		n.rowWide(at[float64](&n.out[0], i*k, k), row, weight, bias)
	}
}

// wide is a vector as float64, nil if there is none.
func (n *norm) wide(s *scratch, v *View, f []float32) []uint64 {
	if v == nil {
		return nil
	}
	dst, o := piece[uint64](s, n.x.k), operandOf(v)
	conv, _ := castLoop(v.DType, dtype.Float64)
	wideRow(dst, &o, conv, nil, f, 0)
	return dst
}

func (n *norm) rowWide(y []float64, x, weight, bias []uint64) {
	var mean, sum float64
	if n.layer {
		for _, b := range x {
			mean += math.Float64frombits(b)
		}
		mean /= float64(len(x))
	}
	for _, b := range x {
		v := math.Float64frombits(b) - mean
		sum += v * v
	}
	scale := 1 / math.Sqrt(sum/float64(len(x))+n.eps)
	for j, b := range x {
		y[j] = n.round((math.Float64frombits(b) - mean) * scale)
		if weight != nil {
			y[j] *= math.Float64frombits(weight[j]) + n.offset
		}
		if n.layer && weight != nil {
			y[j] = n.round(y[j])
		}
		if bias != nil {
			y[j] += math.Float64frombits(bias[j])
		}
	}
}

// round gives the normalized value x's precision.
func (n *norm) round(v float64) float64 {
	switch n.in[0].DType {
	case dtype.Float32:
		return float64(float32(v))
	case dtype.Float16:
		return float64(simd.RoundTo(float32(v), simd.F16))
	case dtype.BFloat16:
		return float64(simd.RoundTo(float32(v), simd.BF16))
	}
	return v
}
