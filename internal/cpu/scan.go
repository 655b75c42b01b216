package cpu

import (
	"fmt"
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// Scans go through a row one element after the other, in float64 for float32 and
// complex128 for complex64.

// A scanner is a scan of elements T in A with results R.
type scanner[T, A, R any] struct {
	first A
	wide  func(T) A
	join  func(acc A, v A) A
	round func(A) R
}

func (f *scanner[T, A, R]) run(yp, xp unsafe.Pointer, k int, p tensor.Scan) {
	y, x := unsafe.Slice((*R)(yp), k), unsafe.Slice((*T)(xp), k)
	acc, i, step := f.first, 0, 1
	if p.Reverse {
		i, step = k-1, -1
	}
	for range k {
		next := f.join(acc, f.wide(x[i]))
		if p.Exclusive {
			y[i] = f.round(acc)
		} else {
			y[i] = f.round(next)
		}
		acc = next
		i += step
	}
}

type scanLoop func(y, x unsafe.Pointer, k int, p tensor.Scan)

// scanLoops are the scans by op and dtype.
var scanLoops [tensor.NumScan][dtype.Count]scanLoop

func init() {
	scansOf[uint8](dtype.Uint8, 0, math.MaxUint8)
	scansOf[uint16](dtype.Uint16, 0, math.MaxUint16)
	scansOf[uint32](dtype.Uint32, 0, math.MaxUint32)
	scansOf[uint64](dtype.Uint64, 0, math.MaxUint64)
	scansOf[int8](dtype.Int8, math.MinInt8, math.MaxInt8)
	scansOf[int16](dtype.Int16, math.MinInt16, math.MaxInt16)
	scansOf[int32](dtype.Int32, math.MinInt32, math.MaxInt32)
	scansOf[int64](dtype.Int64, math.MinInt64, math.MaxInt64)
	inf := math.Inf(1)
	scansOf(dtype.Float32, float32(-inf), float32(inf))
	scansOf(dtype.Float64, -inf, inf)
	scansOfFloat[float32](dtype.Float32)
	scansOfFloat[float64](dtype.Float64)
	scansOfBool()
	scansOfComplex()
}

func setScan[T, A, R any](op tensor.ScanOp, d dtype.DType, f scanner[T, A, R]) {
	scanLoops[op][d] = f.run
}

// scansOf serves integers, which wrap, and the extremes of floats.
func scansOf[T number](d dtype.DType, least, most T) {
	set := func(op tensor.ScanOp, first T, join func(a, v T) T) {
		setScan(op, d, scanner[T, T, T]{first, identityOf[T], join, identityOf[T]})
	}
	set(tensor.ScanSum, 0, func(a, v T) T { return a + v })
	set(tensor.ScanProd, 1, func(a, v T) T { return a * v })
	set(tensor.ScanMax, least, func(a, v T) T { return max(a, v) })
	set(tensor.ScanMin, most, func(a, v T) T { return min(a, v) })
}

// scansOfFloat sums and multiplies in float64.
func scansOfFloat[T float](d dtype.DType) {
	set := func(op tensor.ScanOp, first float64, join func(a, v float64) float64) {
		setScan(op, d, scanner[T, float64, T]{first, func(v T) float64 { return float64(v) }, join, func(a float64) T { return T(a) }})
	}
	set(tensor.ScanSum, 0, func(a, v float64) float64 { return a + v })
	set(tensor.ScanProd, 1, func(a, v float64) float64 { return a * v })
	set(tensor.ScanLogAddExp, math.Inf(-1), logAddExp)
}

// logAddExp is log(exp(a)+exp(b)).
func logAddExp(a, b float64) float64 {
	top, low := max(a, b), min(a, b)
	if math.IsInf(top, 0) || low != low {
		return top
	}
	return top + math.Log1p(math.Exp(low-top))
}

// scansOfBool see 0 or 1; sums are int32, products are and.
func scansOfBool() {
	set := func(op tensor.ScanOp, first uint8, join func(a, v uint8) uint8) {
		setScan(op, dtype.Bool, scanner[uint8, uint8, uint8]{first, normal, join, identityOf[uint8]})
	}
	set(tensor.ScanProd, 1, func(a, v uint8) uint8 { return a & v })
	set(tensor.ScanMin, 1, func(a, v uint8) uint8 { return a & v })
	set(tensor.ScanMax, 0, func(a, v uint8) uint8 { return a | v })
	setScan(tensor.ScanSum, dtype.Bool, scanner[uint8, int32, int32]{0,
		func(v uint8) int32 { return int32(normal(v)) }, func(a, v int32) int32 { return a + v }, identityOf[int32]})
}

func scansOfComplex() {
	wide := func(op tensor.ScanOp, first complex128, join func(a, v complex128) complex128) {
		setScan(op, dtype.Complex64, scanner[complex64, complex128, complex64]{first,
			func(v complex64) complex128 { return complex128(v) }, join, func(a complex128) complex64 { return complex64(a) }})
	}
	inf := float32(math.Inf(1))
	wide(tensor.ScanSum, 0, func(a, v complex128) complex128 { return a + v })
	wide(tensor.ScanProd, 1, func(a, v complex128) complex128 { return a * v })
	wide(tensor.ScanLogAddExp, complex(math.Inf(-1), 0), logAddExpWide)
	setScan(tensor.ScanMax, dtype.Complex64, scanner[complex64, complex64, complex64]{complex(-inf, -inf), identityOf[complex64], maxComplex, identityOf[complex64]})
	setScan(tensor.ScanMin, dtype.Complex64, scanner[complex64, complex64, complex64]{complex(inf, inf), identityOf[complex64], minComplex, identityOf[complex64]})
}

func scanTask(p tensor.Scan, in, out []View) (task, error) {
	x, y := rowsOfView(&in[0]), &out[0]
	f := scanLoops[p.Op][computeType(in[0].DType)]
	if f == nil {
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, in[0].DType)
	}
	half, size := isHalf(y.DType), y.DType.Size()
	plain := p.Op == tensor.ScanSum && y.DType == dtype.Float32 && in[0].DType == y.DType && !p.Exclusive && !p.Reverse
	return newTask(x.n, 6*x.n*x.k, func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g := x.buffer(s)
		var buf []float32
		if half {
			buf = piece[float32](s, x.k)
		}
		if plain && g == nil {
			for ; lo+4 <= hi; lo += 4 {
				var src [4][]float32
				for r := range src {
					src[r] = unsafe.Slice((*float32)(x.row(nil, lo+r)), x.k)
				}
				sumRows(at[float32](y, lo*x.k, 4*x.k), &src, x.k)
			}
		}
		for i := lo; i < hi; i++ {
			src, dst := x.row(g, i), unsafe.Add(y.Ptr(), i*x.k*size)
			if half {
				widen(buf, src, y.DType, x.k)
				p32 := unsafe.Pointer(unsafe.SliceData(buf))
				f(p32, p32, x.k, p)
				narrow(dst, buf, y.DType)
				continue
			}
			f(dst, src, x.k, p)
		}
	}), nil
}

// sumRows sums along four rows of k at once, which do not wait for each other.
func sumRows(y []float32, x *[4][]float32, k int) {
	y0, y1, y2, y3 := y[:k], y[k:][:k], y[2*k:][:k], y[3*k:][:k]
	x0, x1, x2, x3 := x[0][:k], x[1][:k], x[2][:k], x[3][:k]
	var a, b, c, d float64
	for i := range k {
		a += float64(x0[i])
		b += float64(x1[i])
		c += float64(x2[i])
		d += float64(x3[i])
		y0[i], y1[i], y2[i], y3[i] = float32(a), float32(b), float32(c), float32(d)
	}
}

// linearScanTask computes y[k] = b[k] + a[k]*y[k-1], in float64 or complex128.
func linearScanTask(p tensor.LinearScan, in, out []View) task {
	a, b, y := rowsOfView(&in[0]), rowsOfView(&in[1]), &out[0]
	half, size := isHalf(y.DType), y.DType.Size()
	f := map[dtype.DType]func(y, a, b unsafe.Pointer, k int, reverse bool){
		dtype.Float32: linearScan[float32], dtype.Float64: linearScan[float64], dtype.Complex64: linearScanComplex,
	}[computeType(y.DType)]
	return newTask(a.n, 8*a.n*a.k, func(s *scratch, c, nc int) {
		lo, hi := span(a.n, c, nc)
		ga, gb := a.buffer(s), b.buffer(s)
		var wa, wb []float32
		if half {
			wa, wb = piece[float32](s, a.k), piece[float32](s, a.k)
		}
		for i := lo; i < hi; i++ {
			pa, pb, dst := a.row(ga, i), b.row(gb, i), unsafe.Add(y.Ptr(), i*a.k*size)
			if half {
				pa = unsafe.Pointer(unsafe.SliceData(widen(wa, pa, y.DType, a.k)))
				pb = unsafe.Pointer(unsafe.SliceData(widen(wb, pb, y.DType, a.k)))
				f(pb, pa, pb, a.k, p.Reverse)
				narrow(dst, wb, y.DType)
				continue
			}
			f(dst, pa, pb, a.k, p.Reverse)
		}
	})
}

func linearScan[T float](yp, ap, bp unsafe.Pointer, k int, reverse bool) {
	y, a, b := unsafe.Slice((*T)(yp), k), unsafe.Slice((*T)(ap), k), unsafe.Slice((*T)(bp), k)
	acc, i, step := 0.0, 0, 1
	if reverse {
		i, step = k-1, -1
	}
	for n := range k {
		if n > 0 { // a[0] meets nothing: it may be infinite
			acc *= float64(a[i])
		}
		acc = float64(b[i]) + float64(acc)
		y[i] = T(acc)
		i += step
	}
}

func linearScanComplex(yp, ap, bp unsafe.Pointer, k int, reverse bool) {
	y, a, b := unsafe.Slice((*complex64)(yp), k), unsafe.Slice((*complex64)(ap), k), unsafe.Slice((*complex64)(bp), k)
	var acc complex128
	i, step := 0, 1
	if reverse {
		i, step = k-1, -1
	}
	for n := range k {
		if n > 0 {
			acc *= complex128(a[i])
		}
		acc += complex128(b[i])
		y[i] = complex64(acc)
		i += step
	}
}
