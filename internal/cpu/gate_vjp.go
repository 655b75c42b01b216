package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// gateVJPTask goes over blocks that stay in the first cache.
func gateVJPTask(p tensor.GateVJP, in, out []View) task {
	n := in[0].Shape.Size()
	ops := make([]operand, len(in))
	for i := range in {
		ops[i] = operandOf(&in[i])
	}
	wide := in[0].DType == dtype.Float64
	return newTask((n+geluBlock-1)/geluBlock, 40*n, func(s *scratch, c, nc int) {
		lo, hi := span((n+geluBlock-1)/geluBlock, c, nc)
		raw := piece[uint64](s, geluBlock*len(in))
		block := func(i, at, m int) unsafe.Pointer { return ops[i].block(raw[i*geluBlock:(i+1)*geluBlock], at, m) }
		if wide {
			for b := lo; b < hi; b++ {
				m := min(geluBlock, n-b*geluBlock)
				gateWide(p, out, b*geluBlock, m, func(i int) []float64 {
					return unsafe.Slice((*float64)(block(i, b*geluBlock, m)), m)
				}, len(in))
			}
			return
		}
		g := newGate(p, s)
		buf := piece[float32](s, geluBlock*len(in))
		y := piece[float32](s, 2*geluBlock)
		for b := lo; b < hi; b++ {
			first := b * geluBlock
			m := min(geluBlock, n-first)
			var x [3][]float32
			for i := range in {
				x[i] = widen(buf[i*geluBlock:(i+1)*geluBlock], block(i, first, m), in[i].DType, m)
			}
			up, ct := x[1], x[2]
			if len(in) == 2 {
				up, ct = nil, x[1]
			}
			g.block(y[:m], y[geluBlock:geluBlock+m], x[0], up, ct)
			storeRows(&out[0], y[:m], first)
			if up != nil {
				storeRows(&out[1], y[geluBlock:geluBlock+m], first)
			}
		}
	})
}

// A gate is the function and its derivative over a block, with numbers as vectors.
type gate struct {
	kind       tensor.Gate
	a, d, t    []float32
	k0, k1, k2 []float32
}

func newGate(p tensor.GateVJP, s *scratch) gate {
	g := gate{kind: p.Kind, a: piece[float32](s, geluBlock), d: piece[float32](s, geluBlock), t: piece[float32](s, geluBlock)}
	fill := func(v float32) []float32 {
		x := piece[float32](s, geluBlock)
		for i := range x {
			x[i] = v
		}
		return x
	}
	switch p.Kind {
	case tensor.GateGELUTanh:
		g.k0, g.k1, g.k2 = fill(2*geluInner), fill(2*geluInner*geluCube), fill(3)
	case tensor.GateGELU:
		g.k0, g.k1, g.k2 = fill(math.Sqrt2/2), fill(0.5), fill(float32(1/math.Sqrt(2*math.Pi)))
	}
	return g
}

// block writes dx and, if there is an up, dup.
func (g *gate) block(dx, dup, x, up, c []float32) {
	n := len(x)
	a, d, t := g.a[:n], g.d[:n], g.t[:n]
	mul, add, sub := simd.K.Binary[simd.Mul], simd.K.Binary[simd.Add], simd.K.Binary[simd.Sub]
	switch g.kind {
	case tensor.GateSiLU: // a' = s + a - a*s
		simd.K.Unary[simd.Sigmoid](t, x)
		mul(a, x, t)
		add(d, t, a)
		mul(t, t, a)
		sub(d, d, t)
	case tensor.GateGELUTanh: // a = x*s(z), a' = s + (a - a*s)*z', z = k0*x + k1*x^3
		mul(d, x, x)
		mul(d, d, g.k1[:n])
		add(t, d, g.k0[:n])
		mul(t, t, x)
		simd.K.Unary[simd.Sigmoid](t, t)
		mul(d, d, g.k2[:n])
		add(d, d, g.k0[:n]) // z'
		mul(a, x, t)
		mul(d, d, a)
		mul(dx, t, d)
		sub(d, d, dx)
		add(d, d, t)
	case tensor.GateGELU: // a = x*P, a' = P + x*exp(-x^2/2)/sqrt(2 pi)
		mul(t, x, g.k0[:n])
		simd.K.Unary[simd.Erf](t, t)
		mul(t, t, g.k1[:n])
		add(t, t, g.k1[:n])
		mul(a, x, t)
		mul(d, x, x)
		mul(d, d, g.k1[:n])
		for i, v := range d {
			d[i] = -v
		}
		simd.K.Unary[simd.Exp](d, d)
		mul(d, d, g.k2[:n])
		mul(d, d, x)
		add(d, d, t)
	}
	if up == nil {
		mul(dx, d, c)
		return
	}
	mul(dup, a, c)
	mul(t, up, c)
	mul(dx, d, t)
}

// gateWide is float64's.
func gateWide(p tensor.GateVJP, out []View, at0, n int, in func(i int) []float64, inputs int) {
	x, c := in(0), in(inputs-1)
	var up []float64
	if inputs == 3 {
		up = in(1)
	}
	for i, v := range x {
		a, d := gate64(p.Kind, v)
		g := c[i]
		if up != nil {
			at[float64](&out[1], at0, n)[i] = g * a
			g *= up[i]
		}
		at[float64](&out[0], at0, n)[i] = g * d
	}
}

// gate64 is the function and its derivative.
func gate64(kind tensor.Gate, x float64) (a, d float64) {
	switch kind {
	case tensor.GateGELUTanh:
		s := 1 / (1 + math.Exp(-2*geluInner*x*(1+geluCube*x*x)))
		return x * s, s + x*s*(1-s)*2*geluInner*(1+3*geluCube*x*x)
	case tensor.GateGELU:
		s := (1 + math.Erf(x/math.Sqrt2)) / 2
		return x * s, s + x*math.Exp(-x*x/2)/math.Sqrt(2*math.Pi)
	}
	s := 1 / (1 + math.Exp(-x))
	return x * s, s + x*s*(1-s)
}
