package cpu

import (
	"math"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor/random"
	"github.com/mlxgo/mlx/internal/threefry"
)

// bitsTask: chunks are ranges of blocks, so none is computed twice; narrow
// elements go through words.
func bitsTask(p random.Bits, in, out []View) task {
	y := &out[0]
	bytes := y.Spec.Bytes()
	n := (bytes + 3) / 4
	key := func() threefry.Key {
		k := at[uint32](&in[0], 0, 2)
		return threefry.Key{k[0], k[1]}
	}
	if p.Width == 4 {
		blocks := threefry.NumBlocks(n)
		return newTask(blocks/64+1, 60*blocks, func(_ *scratch, c, nc int) {
			lo, hi := span(blocks, c, nc)
			threefry.FillBlocks(key(), all[uint32](y), lo, hi)
		})
	}
	return newTask(n/64+1, 60*n, func(s *scratch, c, nc int) {
		lo, hi := span(n, c, nc)
		const k = 256
		words := piece[uint32](s, k)
		for ; lo < hi; lo += k {
			m := min(k, hi-lo)
			threefry.FillRange(key(), n, words, lo, lo+m)
			src := unsafe.Slice((*byte)(unsafe.Pointer(&words[0])), 4*m)
			copy(y.HostBytes()[4*lo:], src)
		}
	})
}

// inverseCDFTask: weights exp(x-max) in float32, their sums in float64. The
// sample is the last index whose exclusive sum does not pass u times the total.
func inverseCDFTask(in, out []View) task {
	x, y := rowsOfView(&in[0]), &out[0]
	if x.n == 0 {
		return newTask(1, 1, func(*scratch, int, int) {})
	}
	each := y.Shape.Size() / x.n
	wide := in[0].DType == dtype.Float64
	conv := castLoops[dtype.Float64][dtype.Float32]
	return newTask(x.n, x.n*x.k*(16+2*each), func(s *scratch, c, nc int) {
		lo, hi := span(x.n, c, nc)
		g, w := x.buffer(s), piece[float32](s, x.k)
		for r := lo; r < hi; r++ {
			row := w
			if wide {
				conv(unsafe.Pointer(&w[0]), x.row(g, r), nil, nil, x.k)
			} else {
				row = x.f32(g, w, r)
			}
			total := weights(w, row)
			u := at[float32](&in[1], r*each, each)
			res := at[uint32](y, r*each, each)
			for i := range res {
				res[i] = sample(w, float64(u[i])*total)
			}
		}
	})
}

// weights is w = exp(x - max) and its sum.
func weights(w, x []float32) (total float64) {
	m := simd.K.Max(x)
	if math.IsInf(float64(m), 0) { // all -Inf, or an infinite logit takes it all
		for i, v := range x {
			w[i] = float32(bit(v == m))
		}
	} else {
		for i, v := range x {
			w[i] = v - m
		}
		simd.K.Unary[simd.Exp](w, w)
	}
	for _, v := range w {
		total += float64(v)
	}
	return total
}

// sample is the last index when the weights are NaN, as in MLX.
func sample(w []float32, target float64) uint32 {
	if target != target {
		return uint32(len(w) - 1)
	}
	var sum float64
	best := 0
	for i, v := range w {
		if sum > target {
			break
		}
		best = i
		sum += float64(v)
	}
	return uint32(best)
}
