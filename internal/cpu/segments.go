package cpu

import (
	"fmt"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// segmentedTask multiplies the columns [start, end) of a by those rows of b, for
// each segment; all inputs are row-major. A unit is some rows of one product.
func segmentedTask(in, out []View) (task, error) {
	a, b, g, y := &in[0], &in[1], &in[2], &out[0]
	m, k, n := a.Shape[0], a.Shape[1], b.Shape[1]
	count := g.Shape.Size() / 2
	conv, _ := castLoop(g.DType, dtype.Int64)
	var product func(s *scratch, i0, rows, from, to int, at int)
	switch y.DType {
	case dtype.Float32, dtype.Float16, dtype.BFloat16:
		product = func(s *scratch, i0, rows, from, to, at int) { segment32(s, a, b, y, i0, rows, from, to, at) }
	case dtype.Float64:
		product = func(_ *scratch, i0, rows, from, to, at int) {
			segmentOf(a, b, y, i0, rows, from, to, at, stepDot64)
		}
	case dtype.Complex64:
		product = func(_ *scratch, i0, rows, from, to, at int) {
			segmentOf(a, b, y, i0, rows, from, to, at, stepDotComplex)
		}
	default:
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, y.DType)
	}
	tiles := (m + tileM - 1) / tileM
	return newTask(count*tiles, m*n*(k+count), func(s *scratch, c, nc int) {
		lo, hi := span(count*tiles, c, nc)
		for u := lo; u < hi; u++ {
			i, i0 := u/tiles, u%tiles*tileM
			var ends [2]int64
			conv(unsafe.Pointer(&ends[0]), unsafe.Add(g.Ptr(), 2*i*g.DType.Size()), nil, nil, 2)
			from, to := ends[0], max(ends[0], ends[1])
			if from < 0 || to > int64(k) {
				failf("segment [%d, %d) is outside an axis of size %d", ends[0], ends[1], k)
			}
			product(s, i0, min(tileM, m-i0), int(from), int(to), i*m*n+i0*n)
		}
	}), nil
}

// segment32 sums in float32.
func segment32(s *scratch, a, b, y *View, i0, rows, from, to, at0 int) {
	k, n, w := a.Shape[1], b.Shape[1], to-from
	half := y.DType != dtype.Float32
	dst := piece[float32](s, rows*n)
	if !half {
		dst = at[float32](y, at0, rows*n)
	}
	if w == 0 {
		clear(dst)
	} else {
		x, ld := piece[float32](s, rows*w), w
		if half {
			for i := range rows {
				simd.K.Load(x[i*w:(i+1)*w], rawAt(a, (i0+i)*k+from, w))
			}
		} else {
			x, ld = at[float32](a, i0*k+from, (rows-1)*k+w), k
		}
		simd.K.GemmNN(dst, n, x, ld, rows, rawAt(b, from*n, w*n), n, n, w)
	}
	if half {
		narrow(unsafe.Add(y.Ptr(), at0*2), dst, y.DType)
	}
}

// segmentOf computes each element by dot, which has steps of n in w.
func segmentOf[T any](a, b, y *View, i0, rows, from, to, at0 int, dot func(x, w []T, n int) T) {
	k, n := a.Shape[1], b.Shape[1]
	dst := at[T](y, at0, rows*n)
	if from == to {
		clear(dst)
		return
	}
	for i := range rows {
		x := at[T](a, (i0+i)*k+from, to-from)
		for j := range n {
			dst[i*n+j] = dot(x, at[T](b, from*n+j, (to-from-1)*n+1), n)
		}
	}
}

func stepDot64(x, w []float64, n int) (sum float64) {
	for i, v := range x {
		sum += float64(v * w[i*n])
	}
	return sum
}

func stepDotComplex(x, w []complex64, n int) complex64 {
	var sum complex128
	for i, v := range x {
		sum += complex128(v) * complex128(w[i*n])
	}
	return complex64(sum)
}
