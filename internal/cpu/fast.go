package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
	"github.com/mlxgo/mlx/internal/tensor/fast"
)

// A rotation is RoPE; a unit is a (batch row, position): its angles serve all heads.
type rotation struct {
	p       fast.RoPE
	in, out []View
	x       rowsOf
	heads   walk      // from a head to the next
	inv     []float32 // inverse wavelengths; nil: periods are an input
	b, h, t int
	perRow  bool // an offset per batch row
}

func ropeTask(p fast.RoPE, in, out []View) task {
	s := in[0].Shape
	n := len(s)
	r := &rotation{p: p, in: in, out: out, x: rowsOfView(&in[0]), heads: newWalk(s[1:n-2], in[0].Strides[1:n-2]), b: s[0], t: s[n-2], h: tensor.Shape(s[1 : n-2]).Size()}
	r.perRow = len(in[1].Shape) == 1 && in[1].Shape[0] == r.b
	if len(in) == 2 {
		r.inv = make([]float32, p.Dims/2)
		simd.RopeInv(r.inv, float32(p.Base.Value()))
	}
	run := r.run
	if out[0].DType == dtype.Float64 {
		run = r.runWide
	}
	return newTask(r.b*r.t, r.b*r.t*(40*p.Dims+4*r.h*s[n-1]), run)
}

func (r *rotation) run(s *scratch, c, nc int) {
	lo, hi := span(r.b*r.t, c, nc)
	half := r.p.Dims / 2
	cos, sin := piece[float32](s, half*rotationBlock), piece[float32](s, half*rotationBlock)
	g, buf := r.x.buffer(s), r.x.buffer32(s)
	for lo < hi {
		b, t := lo/r.t, lo%r.t
		n := min(rotationBlock, hi-lo, r.t-t)
		for i := range n {
			pos := float32(r.position(b, t+i)) * float32(r.p.Scale.Value())
			if r.inv != nil {
				simd.K.RopeTable(cos[i*half:][:half], sin[i*half:][:half], pos, r.inv)
			} else {
				simd.K.RopePeriods(cos[i*half:][:half], sin[i*half:][:half], pos, all[float32](&r.in[2]))
			}
		}
		for h := range r.h {
			head := r.heads.offset(h)
			for i := range n {
				x := r.x.rowAt(g, r.x.outer.offset(b*r.h*r.t+t+i)+head)
				r.rotate((b*r.h+h)*r.t+t+i, x, buf, cos[i*half:][:half], sin[i*half:][:half])
			}
		}
		lo += n
	}
}

// rotationBlock is the positions whose angles are there at a time: the rows of a head
// follow each other, those of the next lie far away.
const rotationBlock = 16

// position is that of row t of batch row b.
func (r *rotation) position(b, t int) int {
	offset := all[int32](&r.in[1])
	if r.perRow {
		return int(offset[b]) + t
	}
	return int(offset[0]) + t
}

// rotate writes row i from x.
func (r *rotation) rotate(i int, x unsafe.Pointer, buf, cos, sin []float32) {
	y, k := &r.out[0], r.x.k
	switch y.DType {
	case dtype.Float32:
		simd.K.Rope(at[float32](y, i*k, k), unsafe.Slice((*float32)(x), k), cos, sin, r.p.Traditional, r.p.Inverse)
	default:
		widen(buf, x, y.DType, k)
		simd.K.Rope(buf, buf, cos, sin, r.p.Traditional, r.p.Inverse)
		narrow(unsafe.Add(y.Ptr(), i*k*2), buf, y.DType)
	}
}

// runWide rotates float64 values by float64 angles.
func (r *rotation) runWide(s *scratch, c, nc int) {
	lo, hi := span(r.b*r.t, c, nc)
	half := r.p.Dims / 2
	cos, sin := piece[float64](s, half), piece[float64](s, half)
	g := r.x.buffer(s)
	for u := lo; u < hi; u++ {
		b, t := u/r.t, u%r.t
		pos := float64(r.position(b, t)) * r.p.Scale.Value()
		for i := range cos {
			angle := pos * math.Pow(r.p.Base.Value(), -float64(i)/float64(half))
			if len(r.in) == 3 {
				angle = pos / at[float64](&r.in[2], i, 1)[0]
			}
			sin[i], cos[i] = math.Sincos(angle)
			if r.p.Inverse {
				sin[i] = -sin[i]
			}
		}
		first := r.x.outer.offset(b*r.h*r.t + t)
		for h := range r.h {
			x := unsafe.Slice((*float64)(r.x.rowAt(g, first+r.heads.offset(h))), r.x.k)
			rotate64(at[float64](&r.out[0], ((b*r.h+h)*r.t+t)*r.x.k, r.x.k), x, cos, sin, r.p.Traditional)
		}
	}
}

// rotate64 is the rotation of a row.
func rotate64(y, x, cos, sin []float64, traditional bool) {
	copy(y, x)
	h := len(cos)
	for i := range cos {
		a, b := i, i+h
		if traditional {
			a, b = 2*i, 2*i+1
		}
		c, s, u, v := cos[i], sin[i], x[a], x[b]
		y[a], y[b] = u*c-v*s, u*s+v*c
	}
}
