package metal

import (
	"encoding/binary"
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// An encoder puts commands together. Encoding functions, one per primitive, get one:
//
//	k, err := e.kernel("softmax", "softmax_row", []string{"float", "4"})
//	e.run(k, grid, group, e.in(&in[0]), e.out(&out[0]), i32(axisSize))
//
// In a Program, arguments name cells, which Run binds.
type encoder struct {
	b     *backend
	cmds  []command
	hz    hazards
	cells map[*tensor.Buffer]int // of a Program: what is bound later
	keep  []*tensor.Buffer       // what the commands use: collected, it would be given to others
	err   error
}

// A command is a dispatch or a barrier.
type command struct {
	kernel      gpu.Kernel // nil: a barrier
	args        []arg
	threadgroup []int
	grid, group [3]int
	host        *hostStep // of a Program: a step without a kernel
}

// An arg is an argument of a dispatch, and what memory it touches.
type arg struct {
	buf    gpu.Buffer
	cell   int // from 1 on: bound by Run
	off    int
	bytes  []byte
	lo, hi int // extent of what is read or written, from the buffer's start
	mode   access
}

type access uint8

const (
	reads access = 1 << iota
	writes
)

// in is a view that the kernel reads.
func (e *encoder) in(v *View) arg { return e.view(v, reads) }

// out is a view that the kernel fills.
func (e *encoder) out(v *View) arg { return e.view(v, writes) }

// inout is a view that the kernel reads and writes.
func (e *encoder) inout(v *View) arg { return e.view(v, reads|writes) }

func (e *encoder) view(v *View, mode access) arg {
	a := arg{off: v.Offset, mode: mode}
	if c, ok := e.cells[v.Buf]; ok {
		a.cell = c + 1
	} else {
		buf, off, err := e.b.place(v.Buf)
		if err != nil && e.err == nil {
			e.err = err
		}
		a.buf, a.off = buf, a.off+off
		e.keep = append(e.keep, v.Buf)
	}
	if v.Shape.Size() > 0 {
		lo, hi := tensor.Extent(v.Spec, v.Strides)
		a.lo, a.hi = a.off+lo, a.off+hi
	}
	return a
}

// scratch is n bytes of memory for one op's own use. It is freed when the batch ends.
func (e *encoder) scratch(n int) arg {
	b, err := tensor.NewScratch(tensor.Device{Kind: tensor.KindGPU}, n)
	if err != nil {
		if e.err == nil {
			e.err = err
		}
		return arg{}
	}
	e.keep = append(e.keep, b)
	buf, off, err := e.b.place(b)
	if err != nil && e.err == nil {
		e.err = err
	}
	return arg{buf: buf, off: off, lo: off, hi: off + n, mode: reads | writes}
}

// reading is a as an argument that is only read.
func (a arg) reading() arg {
	a.mode = reads
	return a
}

// i32 is an int argument.
func i32(v int) arg {
	return arg{bytes: binary.LittleEndian.AppendUint32(nil, uint32(int32(v)))}
}

// i64 is a long argument.
func i64(v int) arg { return arg{bytes: binary.LittleEndian.AppendUint64(nil, uint64(v))} }

// f32 is a float argument.
func f32(v float64) arg {
	return arg{bytes: binary.LittleEndian.AppendUint32(nil, math.Float32bits(float32(v)))}
}

// ints are an array of int; an empty one binds one zero, since a kernel may not read
// what is not bound.
func ints(v ...int) arg {
	if len(v) == 0 {
		v = []int{0}
	}
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint32(b, uint32(int32(x)))
	}
	return arg{bytes: b}
}

// longs are an array of long.
func longs(v ...int) arg {
	if len(v) == 0 {
		v = []int{0}
	}
	var b []byte
	for _, x := range v {
		b = binary.LittleEndian.AppendUint64(b, uint64(x))
	}
	return arg{bytes: b}
}

// kernel is function fn of kernels/FILE.metal, instantiated with template arguments and
// specialized to constants.
func (e *encoder) kernel(file, fn string, args []string, consts ...gpu.Const) (gpu.Kernel, error) {
	return failed(e.b.kernels.kernel(instance{file, fn, args}, consts))
}

// run adds a dispatch of grid threads in threadgroups of group, after a barrier if it
// touches what an earlier one may still write or read.
func (e *encoder) run(k gpu.Kernel, grid, group [3]int, args ...arg) {
	e.runWith(k, grid, group, nil, args...)
}

// runWith is run with lengths of [[threadgroup(i)]] memory.
func (e *encoder) runWith(k gpu.Kernel, grid, group [3]int, threadgroup []int, args ...arg) {
	for i := range 3 {
		if grid[i] == 0 {
			return // nothing to do
		}
		group[i] = max(1, min(group[i], grid[i]))
	}
	if n := group[0] * group[1] * group[2]; n > k.MaxThreads() && e.err == nil {
		e.err = failedKernel{fmt.Errorf("%s runs with at most %d threads in a threadgroup, not %d", k.Name(), k.MaxThreads(), n)}
	}
	if e.hz.next(args) {
		e.cmds = append(e.cmds, command{})
	}
	e.cmds = append(e.cmds, command{kernel: k, args: args, threadgroup: threadgroup, grid: grid, group: group})
}

// linear is the grid and group for n independent threads.
func linear(n int) (grid, group [3]int) { return [3]int{n, 1, 1}, [3]int{min(n, 256), 1, 1} }

// hazards decides where a barrier is needed.
type hazards struct{ touched []touch }

// A touch is memory that a dispatch since the last barrier uses.
type touch struct {
	buf    gpu.Buffer
	cell   int
	lo, hi int
	mode   access
}

// next notes what a dispatch touches and says whether it needs a barrier before it.
func (h *hazards) next(args []arg) bool {
	barrier := false
	for _, a := range args {
		barrier = barrier || h.meets(a)
	}
	if barrier {
		h.touched = h.touched[:0]
	}
	for _, a := range args {
		if a.mode != 0 && a.lo < a.hi {
			h.touched = append(h.touched, touch{a.buf, a.cell, a.lo, a.hi, a.mode})
		}
	}
	return barrier
}

func (h *hazards) meets(a arg) bool {
	if a.mode == 0 {
		return false
	}
	for _, t := range h.touched {
		if (t.mode|a.mode)&writes != 0 && t.buf == a.buf && t.cell == a.cell && t.lo < a.hi && a.lo < t.hi {
			return true
		}
	}
	return false
}

func (h *hazards) clear() { h.touched = h.touched[:0] }
