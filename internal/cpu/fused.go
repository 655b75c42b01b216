package cpu

import (
	"fmt"
	"slices"
	"unsafe"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A fused kernel runs its ops one after the other over blocks that stay in the
// cache. Values of half types are kept in float32, rounded after each op as the
// single ops would.
type fused struct {
	in    []operand
	views []View
	steps []fusedStep
	regs  int // blocks of memory for values between steps
	out   *View
}

type fusedStep struct {
	f    loop // nil: the value is that of src[0]
	src  [3]int
	n    int         // sources
	dst  int         // register
	half dtype.DType // the type to round to, or Bool
}

func fusedTask(p tensor.Fused, in, out []View) (task, error) {
	k := &fused{views: in, out: &out[0]}
	for i := range in {
		k.in = append(k.in, operandOf(&in[i]))
	}
	weight := 2 * len(in)
	last := lastReaders(p)
	var free []int
	reg := make([]int, len(p.In)+len(p.Steps)) // of a value
	for j, s := range p.Steps {
		st, w, err := fusedLoop(p, s)
		if err != nil {
			return task{}, err
		}
		weight += w
		for q, i := range s.In {
			if st.src[q] = i; i >= len(p.In) {
				st.src[q] = len(p.In) + reg[i]
			}
		}
		var later []int
		for q, i := range s.In { // a value read for the last time leaves its register
			switch {
			case i < len(p.In) || last[i] != j || slices.Contains(s.In[:q], i):
			case computeType(p.DTypeOfValue(i)).Size() == computeType(s.Out).Size():
				free = append(free, reg[i])
			default: // elements of another size would be written before they are read
				later = append(later, reg[i])
			}
		}
		if len(free) > 0 {
			st.dst, free = free[len(free)-1], free[:len(free)-1]
		} else {
			st.dst = k.regs
			k.regs++
		}
		free = append(free, later...)
		reg[len(p.In)+j] = st.dst
		k.steps = append(k.steps, st)
	}
	n := k.out.Shape.Size()
	return newTask((n+blockLen-1)/blockLen, weight*n, k.run), nil
}

// lastReaders is, for each value, the last step that reads it.
func lastReaders(p tensor.Fused) []int {
	last := make([]int, len(p.In)+len(p.Steps))
	for j, s := range p.Steps {
		for _, i := range s.In {
			last[i] = j
		}
	}
	return last
}

// fusedLoop is the loop of one step on values in their computing types, and its cost.
func fusedLoop(p tensor.Fused, s tensor.FusedStep) (st fusedStep, weight int, err error) {
	from := p.DTypeOfValue(s.In[len(s.In)-1])
	st.n = len(s.In)
	weight = 1
	exact := false // the result of rounded inputs needs no rounding
	switch op := s.Prim.(type) {
	case tensor.Unary:
		st.f = unaryLoops[op.Op][computeType(from)]
		exact = op.Op == tensor.OpNegative || op.Op == tensor.OpAbs
		weight = unaryWeight(op.Op)
	case tensor.Binary:
		st.f = binaryLoops[op.Op][computeType(from)]
		exact = op.Op == tensor.OpMaximum || op.Op == tensor.OpMinimum
		weight = binaryWeight(op.Op)
	case tensor.Select:
		st.f, exact = selectOf(computeType(s.Out).Size()), true
	case tensor.Cast:
		if isHalf(from) && s.Out == dtype.Float32 {
			return st, 0, nil
		}
		st.f, _ = castLoop(from, s.Out)
	}
	if st.f == nil {
		return st, 0, fmt.Errorf("%w: %s of %v", tensor.ErrUnsupported, s.Prim.Name(), from)
	}
	if isHalf(s.Out) && !exact {
		st.half = s.Out
		weight += 2
	}
	return st, weight, nil
}

// selectOf is where() for elements of this many bytes.
func selectOf(size int) loop {
	switch size {
	case 1:
		return selectLoop[uint8]
	case 2:
		return selectLoop[uint16]
	case 4:
		return selectLoop[uint32]
	}
	return selectLoop[uint64]
}

// A fusedBlock is the memory of a chunk: where the value of each input and register
// of the present block lies.
type fusedBlock struct {
	raw  [][]uint64       // gathered inputs
	wide [][]float32      // inputs of half types
	at   []unsafe.Pointer // inputs, then registers
	tmp  []uint16
	same []bool // inputs that are one element everywhere, filled once
}

func (k *fused) run(s *scratch, c, nc int) {
	lo, hi := spanBlocks(k.out.Shape.Size(), c, nc)
	if lo >= hi {
		return
	}
	n := min(blockLen, hi-lo)
	b := &s.fused
	k.prepare(b, s, lo, n)
	if large(k.out) && !over(k.out, k.views) {
		streamBlocks(s, k.out, k.views, lo, hi, func(y unsafe.Pointer, lo, n int) { k.block(b, y, lo, n) })
	} else {
		for ; lo < hi; lo += n {
			k.block(b, unsafe.Add(k.out.Ptr(), lo*k.out.DType.Size()), lo, min(n, hi-lo))
		}
	}
	clear(b.at) // they would keep arrays alive
}

func (k *fused) prepare(b *fusedBlock, s *scratch, lo, n int) {
	m := len(k.in)
	b.raw, b.wide, b.same = zeros(b.raw, m), zeros(b.wide, m), zeros(b.same, m)
	b.at, b.tmp = zeros(b.at, m+k.regs), piece[uint16](s, n)
	for i := range k.in {
		if !k.in[i].flat {
			b.raw[i] = piece[uint64](s, (n*k.in[i].size+7)/8)
		}
		if isHalf(k.views[i].DType) {
			b.wide[i] = piece[float32](s, n)
		}
		if k.repeats(i) {
			k.load(b, i, lo, n)
			b.same[i] = true
		}
	}
	for r := range k.regs {
		b.at[m+r] = unsafe.Pointer(unsafe.SliceData(piece[uint64](s, n)))
	}
}

// repeats reports whether input i is one element everywhere.
func (k *fused) repeats(i int) bool {
	if k.in[i].flat {
		return false
	}
	for a, st := range k.views[i].Strides {
		if st != 0 && k.views[i].Shape[a] > 1 {
			return false
		}
	}
	return true
}

// load brings n elements of input i.
func (k *fused) load(b *fusedBlock, i, lo, n int) {
	b.at[i] = k.in[i].block(b.raw[i], lo, n)
	if b.wide[i] != nil {
		b.at[i] = unsafe.Pointer(unsafe.SliceData(widen(b.wide[i], b.at[i], k.views[i].DType, n)))
	}
}

// block computes elements [lo, lo+n) to y; the result is written by the last step, so
// it may lie over an input.
func (k *fused) block(b *fusedBlock, y unsafe.Pointer, lo, n int) {
	for i := range k.in {
		if !b.same[i] {
			k.load(b, i, lo, n)
		}
	}
	m := len(k.in)
	for j := range k.steps {
		st := &k.steps[j]
		last := j == len(k.steps)-1
		dst := b.at[m+st.dst]
		if last && !isHalf(k.out.DType) {
			dst = y
		}
		src := [3]unsafe.Pointer{}
		for q := range st.n {
			src[q] = b.at[st.src[q]]
		}
		if st.f == nil { // half to float32: the value as it is
			copy(unsafe.Slice((*float32)(dst), n), unsafe.Slice((*float32)(src[0]), n))
		} else {
			st.f(dst, src[0], src[1], src[2], n)
		}
		if last && isHalf(k.out.DType) {
			narrow(y, unsafe.Slice((*float32)(dst), n), k.out.DType)
			return
		}
		if isHalf(st.half) {
			t := unsafe.Pointer(unsafe.SliceData(b.tmp))
			narrow(t, unsafe.Slice((*float32)(dst), n), st.half)
			widen(unsafe.Slice((*float32)(dst), n), t, st.half, n)
		}
	}
}
