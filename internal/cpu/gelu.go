package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

func geluTask(p tensor.GELU, in, out []View) task {
	f := loop(geluErf)
	switch {
	case in[0].DType == dtype.Float64 && p.Tanh:
		f = wideGELU(func(x float64) float64 { return x / 2 * (1 + math.Tanh(geluInner*x*(1+geluCube*x*x))) })
	case in[0].DType == dtype.Float64:
		f = wideGELU(func(x float64) float64 { return x / 2 * (1 + math.Erf(x/math.Sqrt2)) })
	case p.Tanh:
		f = geluTanh
	}
	return mapTask(in, out, f, 24)
}

// The tanh form is x/2 * (1 + tanh(geluInner*(x + geluCube*x^3))).
const (
	geluInner = 0.79788456080286535588 // sqrt(2/pi)
	geluCube  = 0.044715
)

// geluBlock is how many elements the loops take at a time, so that they stay in the
// first cache.
const geluBlock = 1024

// geluLoop computes y = weight(x) * up in blocks, in place: y is no input. Inner gives
// the argument of op, and outer what x and its result give.
func geluLoop(y, a, b unsafe.Pointer, n int, op simd.UnaryOp, inner, outer func(t, x []float32)) {
	dst, x := unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n)
	for i := 0; i < n; i += geluBlock {
		j := min(i+geluBlock, n)
		t := dst[i:j]
		inner(t, x[i:j])
		simd.K.Unary[op](t, t)
		outer(t, x[i:j])
		if b != nil {
			simd.K.Binary[simd.Mul](t, t, unsafe.Slice((*float32)(b), n)[i:j])
		}
	}
}

// geluTanh uses that (1 + tanh(u)) / 2 is sigmoid(2u).
func geluTanh(y, a, b, _ unsafe.Pointer, n int) {
	geluLoop(y, a, b, n, simd.Sigmoid, func(t, x []float32) {
		for i, v := range x {
			t[i] = 2 * geluInner * v * (1 + geluCube*v*v)
		}
	}, func(t, x []float32) { simd.K.Binary[simd.Mul](t, t, x) })
}

func geluErf(y, a, b, _ unsafe.Pointer, n int) {
	geluLoop(y, a, b, n, simd.Erf, func(t, x []float32) {
		for i, v := range x {
			t[i] = v * (1 / math.Sqrt2)
		}
	}, func(t, x []float32) {
		for i, v := range x {
			t[i] = float32(v*0.5) * (1 + t[i])
		}
	})
}

// wideGELU is the loop of float64.
func wideGELU(f func(x float64) float64) loop {
	return func(y, a, b, _ unsafe.Pointer, n int) {
		dst, x := unsafe.Slice((*float64)(y), n), unsafe.Slice((*float64)(a), n)
		for i, v := range x {
			v = f(v)
			if b != nil {
				v *= unsafe.Slice((*float64)(b), n)[i]
			}
			dst[i] = v
		}
	}
}
