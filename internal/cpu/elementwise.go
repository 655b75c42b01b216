package cpu

import (
	"fmt"
	"unsafe"

	"github.com/mlxgo/mlx/internal/cpu/simd"
	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// blockLen is how many elements an elementwise kernel takes at a time when it
// must gather or convert: a few blocks fit in the first cache.
const blockLen = 512

// spanBlocks cuts n elements at multiples of blockLen.
func spanBlocks(n, c, nc int) (lo, hi int) {
	lo, hi = span((n+blockLen-1)/blockLen, c, nc)
	return min(lo*blockLen, n), min(hi*blockLen, n)
}

// A loop computes n elements of contiguous memory; inputs that an op lacks are nil.
type loop func(y, a, b, c unsafe.Pointer, n int)

// A mapping is an elementwise kernel: f over blocks of its inputs.
type mapping struct {
	in     [3]operand
	n      int // inputs
	out    *View
	f      loop
	widen  [3]bool // input i is half and f wants float32
	narrow bool    // f gives float32 and the result is half
	direct bool    // nothing to gather or convert
	ins    []View  // keeps in's pointers meaningful
}

func newMapping(in, out []View, f loop, halves bool) *mapping {
	m := &mapping{n: len(in), out: &out[0], f: f, ins: in, direct: true}
	for i := range in {
		m.in[i] = operandOf(&in[i])
		m.widen[i] = halves && isHalf(in[i].DType)
		m.direct = m.direct && m.in[i].flat && !m.widen[i]
	}
	m.narrow = halves && isHalf(out[0].DType)
	m.direct = m.direct && !m.narrow
	return m
}

// task makes the kernel a task; weight is the cost of an element.
func (m *mapping) task(weight int) task {
	n := m.out.Shape.Size()
	if !m.direct {
		weight += 2 * (m.n + 1)
	}
	return newTask((n+blockLen-1)/blockLen, weight*n, m.run)
}

func (m *mapping) run(s *scratch, c, nc int) {
	lo, hi := spanBlocks(m.out.Shape.Size(), c, nc)
	if lo >= hi {
		return
	}
	stream := large(m.out) && !over(m.out, m.ins)
	if m.direct && !stream {
		m.apply(nil, nil, nil, m.at(lo), lo, hi-lo)
		return
	}
	k := min(blockLen, hi-lo)
	var raw [3][]uint64
	var wide [3][]float32
	for i := range m.n {
		if !m.in[i].flat {
			raw[i] = piece[uint64](s, (k*m.in[i].size+7)/8)
		}
		if m.widen[i] {
			wide[i] = piece[float32](s, k)
		}
	}
	var res []float32
	if m.narrow {
		res = piece[float32](s, k)
	}
	if stream {
		streamBlocks(s, m.out, m.ins, lo, hi, func(y unsafe.Pointer, lo, n int) { m.apply(&raw, &wide, res, y, lo, n) })
		return
	}
	for ; lo < hi; lo += k {
		m.apply(&raw, &wide, res, m.at(lo), lo, min(k, hi-lo))
	}
}

// at is where element i of the result lies.
func (m *mapping) at(i int) unsafe.Pointer { return unsafe.Add(m.out.Ptr(), i*m.out.DType.Size()) }

// apply computes elements [lo, lo+n) to y.
func (m *mapping) apply(raw *[3][]uint64, wide *[3][]float32, res []float32, y unsafe.Pointer, lo, n int) {
	var p [3]unsafe.Pointer
	for i := range m.n {
		var buf []uint64
		if raw != nil {
			buf = raw[i]
		}
		p[i] = m.in[i].block(buf, lo, n)
		if m.widen[i] {
			p[i] = unsafe.Pointer(unsafe.SliceData(widen(wide[i], p[i], m.ins[i].DType, n)))
		}
	}
	if !m.narrow {
		m.f(y, p[0], p[1], p[2], n)
		return
	}
	m.f(unsafe.Pointer(unsafe.SliceData(res)), p[0], p[1], p[2], n)
	narrow(y, res[:n], m.out.DType)
}

// computeType is the dtype whose loops serve d: halves use those of float32.
func computeType(d dtype.DType) dtype.DType {
	if isHalf(d) {
		return dtype.Float32
	}
	return d
}

// mapTask picks the short form for the common case of row-major inputs that f
// reads as they are.
func mapTask(in, out []View, f loop, weight int) task { return mapPastTask(in, out, f, nil, weight) }

// mapPastTask is mapTask with a loop that writes past the caches, nil if there is none.
func mapPastTask(in, out []View, f, past loop, weight int) task {
	var b *View
	if len(in) > 1 {
		b = &in[1]
	}
	if isHalf(in[0].DType) || !in[0].Contiguous() || b != nil && !b.Contiguous() {
		return newMapping(in, out, f, true).task(weight)
	}
	a, y := &in[0], &out[0]
	n := y.Shape.Size()
	return newTask((n+blockLen-1)/blockLen, weight*n, func(s *scratch, c, nc int) {
		lo, hi := spanBlocks(n, c, nc)
		if lo >= hi {
			return
		}
		kernel := f
		part := func(dst unsafe.Pointer, lo, n int) {
			size := lo * a.DType.Size()
			var second unsafe.Pointer
			if b != nil {
				second = unsafe.Add(b.Ptr(), size)
			}
			kernel(dst, unsafe.Add(a.Ptr(), size), second, nil, n)
		}
		switch stream := large(y) && !over(y, in); {
		case stream && past != nil:
			kernel = past
			defer simd.StreamEnd()
		case stream:
			streamBlocks(s, y, in, lo, hi, part)
			return
		}
		part(unsafe.Add(y.Ptr(), lo*y.DType.Size()), lo, hi-lo)
	})
}

func unaryTask(p tensor.Unary, in, out []View) (task, error) {
	f := unaryLoops[p.Op][computeType(in[0].DType)]
	if f == nil {
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, in[0].DType)
	}
	var past loop
	if k, ok := vectorUnary[p.Op]; ok && in[0].DType == dtype.Float32 {
		past = pastUnary(k)
	}
	return mapPastTask(in, out, f, past, unaryWeight(p.Op)), nil
}

// unaryWeight and binaryWeight are the costs of an element.
func unaryWeight(op tensor.UnaryOp) int {
	if op >= tensor.OpSqrt {
		return 20
	}
	return 1
}

func binaryWeight(op tensor.BinaryOp) int {
	switch op {
	case tensor.OpPower, tensor.OpArcTan2, tensor.OpLogAddExp:
		return 60
	case tensor.OpFloorDivide, tensor.OpRemainder:
		return 10
	}
	return 1
}

func binaryTask(p tensor.Binary, in, out []View) (task, error) {
	f := binaryLoops[p.Op][computeType(in[0].DType)]
	if f == nil {
		return task{}, fmt.Errorf("%w for %v", tensor.ErrUnsupported, in[0].DType)
	}
	var past loop
	if k, ok := vectorBinary[p.Op]; ok && in[0].DType == dtype.Float32 {
		past = pastBinary(k)
	}
	return mapPastTask(in, out, f, past, binaryWeight(p.Op)), nil
}

func selectTask(in, out []View) task {
	f := selectOf(out[0].DType.Size())
	return newMapping(in, out, f, false).task(2)
}

func selectLoop[T any](y, c, a, b unsafe.Pointer, n int) {
	r, k, x, z := unsafe.Slice((*T)(y), n), unsafe.Slice((*uint8)(c), n), unsafe.Slice((*T)(a), n), unsafe.Slice((*T)(b), n)
	for i, q := range k {
		v := z[i]
		if q != 0 {
			v = x[i]
		}
		r[i] = v
	}
}

func swigluTask(in, out []View) task {
	f := swigluLoop
	if in[0].DType == dtype.Float64 {
		f = loop2(swiglu64)
	}
	return mapTask(in, out, f, 20)
}

func swigluLoop(y, a, b, _ unsafe.Pointer, n int) {
	simd.K.SwiGLU(unsafe.Slice((*float32)(y), n), unsafe.Slice((*float32)(a), n), unsafe.Slice((*float32)(b), n))
}

func castTask(in, out []View) (task, error) {
	if in[0].DType == out[0].DType {
		return copyTask(&in[0], &out[0]), nil
	}
	if f := halfCast(in[0].DType, out[0].DType); f != nil {
		return newMapping(in, out, f, false).task(2), nil
	}
	f, _ := castLoop(in[0].DType, out[0].DType)
	return newMapping(in, out, f, true).task(2), nil
}
