package tensor

import (
	"errors"
	"runtime"
	"sync/atomic"
	"weak"

	"github.com/mlxgo/mlx/internal/opt"
)

// Array is a handle to a node of the lazy graph. It is immutable, and may be
// used from any goroutine.
type Array struct {
	n    *node
	dead atomic.Bool // given away by Donate
	last bool        // what Donate returned: the next op is the last
}

// A node is one result of an op. Edges go node to node, never through handles,
// so a value whose handle died is an intermediate and can be freed. Apply reads
// only what never changes (Spec, home, traces) and atomics; the rest is guarded
// by the graph lock.
type node struct {
	Spec
	op      *op // nil for leaves
	home    Stream
	traces  []*Trace
	uses    atomic.Int32 // consumers that still hold it as input
	donated atomic.Bool  // an op has it that was given a donated handle
	freed   bool
	handle  weak.Pointer[Array] // large values only
	val     *View               // nil until encoded
	batch   *batch              // what computes val; nil when it was there from the start
	drawn   uint64              // the last draw from a generator that it depends on
}

// An op is one application of a primitive. Its results point to it, so that
// dropping its inputs is one act whatever the number of results.
type op struct {
	prim   Primitive
	in     []*node // dropped once encoded, unless a live trace needs them
	outs   []*node
	stream Stream
	mark   uint64 // the walk that saw it
	seq    uint64 // ops are counted as they are built
	state  opState
	inBuf  [2]*node // most ops need no more
	first  node     // and have one result: one allocation for op and node
	out1   [1]*node
}

type opState uint8

const (
	built   opState = iota
	encoded         // evaluated, inputs kept for a live trace
	dropped
)

var (
	errDonated = errors.New("the array was donated: its handle is dead")
	errNil     = errors.New("the array is nil")
)

// unusable is what is wrong with a handle, nil if nothing is.
func (a *Array) unusable() error {
	switch {
	case a == nil || a.n == nil:
		return errNil
	case a.dead.Load():
		return errDonated
	}
	return nil
}

func handleFor(n *node) *Array {
	a := &Array{n: n}
	if n.Bytes() >= offHeapMin {
		n.handle = weak.Make(a)
	}
	return a
}

// handleOf returns a large node's live handle, never a second one.
func handleOf(n *node) *Array {
	graph.Lock()
	defer graph.Unlock()
	return handleLocked(n)
}

func handleLocked(n *node) *Array {
	if n.Bytes() >= offHeapMin {
		if a := n.handle.Value(); a != nil {
			return a
		}
	}
	n.donated.Store(false)
	return handleFor(n)
}

// Apply builds the results of p on stream s; the zero Stream stands for the home
// of the first input that has one, else the default of the process. It panics
// with *Error when Infer fails.
func Apply(p Primitive, s Stream, in ...*Array) []*Array {
	o := build(p, s, in)
	as := make([]*Array, len(o.outs))
	for i, n := range o.outs {
		as[i] = handleFor(n)
	}
	return as
}

// Apply1 is Apply for primitives with one result.
func Apply1(p Primitive, s Stream, in ...*Array) *Array {
	return handleFor(build(p, s, in).outs[0])
}

// opsBuilt counts ops.
var opsBuilt atomic.Uint64

func build(p Primitive, s Stream, in []*Array) *op {
	o := &op{prim: p, stream: s, seq: opsBuilt.Add(1)}
	o.in = o.inBuf[:0]
	var specBuf [4]Spec
	specs := specBuf[:0]
	var traces []*Trace
	var home Stream
	var drawn uint64
	for _, a := range in {
		if err := a.unusable(); err != nil {
			panic(&Error{Op: p.Name(), Err: err})
		}
		specs = append(specs, a.n.Spec)
		o.in = append(o.in, a.n)
		traces = union(traces, a.n.traces)
		drawn = max(drawn, a.n.drawn)
		if !home.set {
			home = a.n.home
		}
	}
	outs, err := p.Infer(specs)
	for i := 0; err == nil && i < len(outs); i++ {
		err = checkSize(outs[i])
	}
	if err != nil {
		panic(&Error{Op: p.Name(), In: append([]Spec(nil), specs...), Err: err})
	}
	if !s.set {
		o.stream = resolve(home)
	}
	for _, a := range in { // only now: a failed Apply must not leave uses behind
		a.n.uses.Add(1)
		if a.last {
			a.n.donated.Store(true)
		}
	}
	o.outs = o.out1[:0]
	for i, spec := range outs {
		n := &o.first
		if i > 0 {
			n = &node{}
		}
		n.Spec, n.op, n.home, n.traces, n.drawn = spec, o, home, traces, drawn
		o.outs = append(o.outs, n)
	}
	runtime.KeepAlive(in)
	return o
}

// On is a, and what is computed from it runs on s unless told otherwise: the way
// to write "with mx.stream(s):" for one computation.
func (a *Array) On(on opt.Op) *Array {
	var set opt.Set
	on.ForOp(&set)
	s := StreamOf(&set)
	stateOf(s)
	o := build(Copy{}, s, []*Array{a})
	o.outs[0].home = s
	return handleFor(o.outs[0])
}

// Donate promises that this handle is not used again: the op that the new handle
// is given to may overwrite the buffer. Whether it does is Eval's decision, so
// donating can cost a copy, never a wrong result. Using a afterwards is misuse.
func (a *Array) Donate() *Array {
	if err := a.unusable(); err != nil {
		panic(&Error{Op: "donate", Err: err})
	}
	graph.Lock()
	defer graph.Unlock()
	if !a.dead.CompareAndSwap(false, true) {
		panic(&Error{Op: "donate", Err: errDonated})
	}
	d := handleFor(a.n)
	d.last = true
	return d
}

func (a *Array) node() *node {
	if err := a.unusable(); err != nil {
		panic(&Error{Op: "read", Err: err})
	}
	return a.n
}

// Shape is a copy of the array's shape.
func (a *Array) Shape() Shape { return append(Shape(nil), a.node().Spec.Shape...) }

// DType is the type of the elements.
func (a *Array) DType() DType { return a.node().Spec.DType }

// NDim is the number of axes.
func (a *Array) NDim() int { return len(a.node().Spec.Shape) }

// Size is the number of elements.
func (a *Array) Size() int { return a.node().Spec.Shape.Size() }

// NBytes is Size times the size of an element.
func (a *Array) NBytes() int { return a.node().Bytes() }

// Dim is the size of axis i; negative counts from the end. It panics when there
// is no such axis.
func (a *Array) Dim(i int) int {
	s := a.node().Spec.Shape
	return s[NormAxis("dim", i, s)]
}

// Dims2 is B, L = a.shape; it panics unless a has two axes.
func (a *Array) Dims2() (int, int) {
	s := a.dims(2)
	return s[0], s[1]
}

// Dims3 is B, L, D = a.shape; it panics unless a has three axes.
func (a *Array) Dims3() (int, int, int) {
	s := a.dims(3)
	return s[0], s[1], s[2]
}

// Dims4 is B, H, L, D = a.shape; it panics unless a has four axes.
func (a *Array) Dims4() (int, int, int, int) {
	s := a.dims(4)
	return s[0], s[1], s[2], s[3]
}

func (a *Array) dims(n int) Shape {
	s := a.node().Spec.Shape
	if len(s) != n {
		Throw("dims", []Spec{a.n.Spec}, "has %d axes, not %d", len(s), n)
	}
	return s
}

// Stream is where ops on a run that name no stream.
func (a *Array) Stream() Stream { return resolve(a.node().home) }

// SpecOf is the array's spec. Its shape must not be changed.
func SpecOf(a *Array) Spec { return a.node().Spec }

// NormAxis counts a negative axis from the end; it panics when shape s has no
// such axis.
func NormAxis(op string, axis int, s Shape) int {
	n := axis
	if n < 0 {
		n += len(s)
	}
	if n < 0 || n >= len(s) {
		Throw(op, nil, "axis %d is out of range for shape %v", axis, s)
	}
	return n
}
