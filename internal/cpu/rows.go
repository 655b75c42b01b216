package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Ops along the last axis. Rows are read in place, or gathered when strided.

func softmaxTask(in, out []View) task {
	x, y := rowsOfView(&in[0]), &out[0]
	if y.DType == dtype.Float64 {
		return newTask(x.n, 60*x.n*x.k, func(s *scratch, c, nc int) {
			lo, hi := span(x.n, c, nc)
			g := x.buffer(s)
			for i := lo; i < hi; i++ {
				softmax64(at[float64](y, i*x.k, x.k), unsafe.Slice((*float64)(x.row(g, i)), x.k))
			}
		})
	}
	return newTask(x.n, 16*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, buf := x.buffer(s), x.buffer32(s)
		for i := lo; i < hi; i++ {
			row := x.f32(g, buf, i)
			if y.DType == dtype.Float32 {
				simd.K.Softmax(at[float32](y, i*x.k, x.k), row)
				continue
			}
			simd.K.Softmax(buf, row)
			narrow(unsafe.Add(y.Ptr(), i*x.k*2), buf, y.DType)
		}
	})
}

func softmax64(y, x []float64) {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, v)
	}
	var s float64
	for i, v := range x {
		y[i] = math.Exp(v - m)
		s += y[i]
	}
	for i := range y {
		y[i] /= s
	}
}

func logSumExpTask(in, out []View) task {
	x, y := rowsOfView(&in[0]), &out[0]
	return newTask(x.n, 16*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, buf := x.buffer(s), x.buffer32(s)
		for i := lo; i < hi; i++ {
			if y.DType == dtype.Float64 {
				at[float64](y, i, 1)[0] = logSumExp64(unsafe.Slice((*float64)(x.row(g, i)), x.k))
				continue
			}
			putFloat(y, i, simd.K.LogSumExp(x.f32(g, buf, i)))
		}
	})
}

func logSumExp64(x []float64) float64 {
	m := math.Inf(-1)
	for _, v := range x {
		m = max(m, v)
	}
	if m-m != 0 { // infinite or NaN
		return m
	}
	var s float64
	for _, v := range x {
		s += math.Exp(v - m)
	}
	return m + math.Log(s)
}

// putFloat stores f as element i of a float32 or half view.
func putFloat(y *View, i int, f float32) {
	switch y.DType {
	case dtype.Float16:
		at[uint16](y, i, 1)[0] = simd.ToF16(f)
	case dtype.BFloat16:
		at[uint16](y, i, 1)[0] = simd.ToBF16(f)
	default:
		at[float32](y, i, 1)[0] = f
	}
}

func argReduceTask(p tensor.ArgReduce, in, out []View) (task, error) {
	x, y := rowsOfView(&in[0]), &out[0]
	if x.k > 1<<32 {
		return task{}, errLongRow
	}
	if _, ok := elemOf(in[0].DType); ok {
		return newTask(x.n, 2*x.n*x.k, func(s *scratch, c, nc int) {
			lo, hi := span(x.n, c, nc)
			g, buf := x.buffer(s), x.buffer32(s)
			f := simd.K.ArgMax
			if p.Min {
				f = simd.K.ArgMin
			}
			for i := lo; i < hi; i++ {
				at[uint32](y, i, 1)[0] = uint32(f(x.f32(g, buf, i)))
			}
		}), nil
	}
	f := argLoops[in[0].DType]
	if f == nil {
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, in[0].DType)
	}
	return newTask(x.n, 2*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g := x.buffer(s)
		for i := lo; i < hi; i++ {
			at[uint32](y, i, 1)[0] = uint32(f(x.row(g, i), x.k, p.Min))
		}
	}), nil
}

// argLoops find the first extremum of k elements; the first NaN wins.
var argLoops = [dtype.Count]func(x unsafe.Pointer, k int, min bool) int{
	dtype.Bool: argOf[uint8], dtype.Uint8: argOf[uint8], dtype.Uint16: argOf[uint16], dtype.Uint32: argOf[uint32],
	dtype.Uint64: argOf[uint64], dtype.Int8: argOf[int8], dtype.Int16: argOf[int16], dtype.Int32: argOf[int32],
	dtype.Int64: argOf[int64], dtype.Float64: argOf[float64], dtype.Complex64: argComplex,
}

func argOf[T number](p unsafe.Pointer, k int, min bool) int {
	x := unsafe.Slice((*T)(p), k)
	best, at := x[0], 0
	for i, v := range x {
		if best != best {
			break
		}
		if v != v || !min && v > best || min && v < best {
			best, at = v, i
		}
	}
	return at
}

func argComplex(p unsafe.Pointer, k int, min bool) int {
	x := unsafe.Slice((*complex64)(p), k)
	best, at := x[0], 0
	for i, v := range x {
		if nanComplex(best) {
			break
		}
		if nanComplex(v) || !min && lessComplex(best, v) || min && lessComplex(v, best) {
			best, at = v, i
		}
	}
	return at
}
