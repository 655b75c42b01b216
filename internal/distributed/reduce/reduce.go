// Package reduce joins vectors elementwise: the arithmetic of collectives. [Apply] and
// [Into] work on elements of every dtype as they lie in memory. The package knows
// neither arrays nor processes.
package reduce

import (
	"fmt"
	"sync"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// Apply is dst = dst op src, elements of dtype d; the slices have one length.
func Apply(op distributed.ReduceOp, d dtype.DType, dst, src []byte) { Into(op, d, dst, dst, src) }

// Into is dst = a op b, elements of dtype d; the slices have one length, which holds
// whole elements, and dst may be a or b. Memory may lie at any address.
//
// Sums of integers wrap around. Those of float16 and bfloat16 are float32's, rounded;
// those of bool are "or". Max and Min are NaN where a or b is; complex numbers compare
// by real, then by imaginary part. The bits depend on op, d, a and b alone, those of a
// NaN aside.
func Into(op distributed.ReduceOp, d dtype.DType, dst, a, b []byte) {
	if len(a) != len(dst) || len(b) != len(dst) || len(dst)%d.Size() != 0 {
		panic(fmt.Sprintf("reduce: %d, %d and %d bytes of %v", len(dst), len(a), len(b), d))
	}
	if len(dst) > 0 {
		loops[d](op, dst, a, b)
	}
}

// A loop is Into for one dtype.
type loop func(op distributed.ReduceOp, dst, a, b []byte)

var loops = [dtype.Count]loop{
	dtype.Bool:      bools,
	dtype.Uint8:     numbers[uint8],
	dtype.Uint16:    numbers[uint16],
	dtype.Uint32:    numbers[uint32],
	dtype.Uint64:    numbers[uint64],
	dtype.Int8:      numbers[int8],
	dtype.Int16:     numbers[int16],
	dtype.Int32:     numbers[int32],
	dtype.Int64:     numbers[int64],
	dtype.Float16:   func(op distributed.ReduceOp, dst, a, b []byte) { halves(op, simd.F16, dst, a, b) },
	dtype.BFloat16:  func(op distributed.ReduceOp, dst, a, b []byte) { halves(op, simd.BF16, dst, a, b) },
	dtype.Float32:   floats,
	dtype.Float64:   numbers[float64],
	dtype.Complex64: complexes,
}

// kernels are the float32 kernels of the ops.
var kernels = [...]simd.BinaryOp{distributed.Sum: simd.Add, distributed.Max: simd.Maximum, distributed.Min: simd.Minimum}

func floats(op distributed.ReduceOp, dst, a, b []byte) {
	simd.K.Binary[kernels[op]](simd.Float32s(dst), simd.Float32s(a), simd.Float32s(b))
}

// block is how many halves are widened at once: both sides stay in the first cache.
const block = 1024

var wide = sync.Pool{New: func() any { return new([2][block]float32) }}

func halves(op distributed.ReduceOp, e simd.Elem, dst, a, b []byte) {
	w := wide.Get().(*[2][block]float32)
	defer wide.Put(w)
	y, x, z := simd.Raw{Elem: e, Data: dst}, simd.Raw{Elem: e, Data: a}, simd.Raw{Elem: e, Data: b}
	for i, n := 0, y.Len(); i < n; i += block {
		end := min(i+block, n)
		p, q := w[0][:end-i], w[1][:end-i]
		simd.K.Load(p, x.Slice(i, end))
		simd.K.Load(q, z.Slice(i, end))
		simd.K.Binary[kernels[op]](p, p, q)
		simd.K.Store(y.Slice(i, end), p)
	}
}
