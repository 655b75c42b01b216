package tensor

import (
	"slices"
	"sync/atomic"
)

// A Trace is one transformation at work. A value carries the set of traces that
// it depends on; tracing spreads through data alone. A trace ends: afterwards
// nothing is kept for its sake.
type Trace struct {
	Abstract  bool // its values have no data and cannot be read (compile, vmap)
	Shapeless bool // what it recorded is used for other sizes too

	began uint64 // draws from generators before it
	done  atomic.Bool
	kept  []*op // evaluated while it was live: their inputs are the tape. Under the graph lock
}

// Begin says that draws from here on are made inside of t, and returns it.
func (t *Trace) Begin() *Trace {
	t.began = draws.Load()
	return t
}

// Drew reports whether n depends on a draw that was made since t began.
func (t *Trace) Drew(n Node) bool { return n.n.drawn > t.began }

// Live reports whether the trace has not ended.
func (t *Trace) Live() bool { return !t.done.Load() }

// End closes the trace: ops that were evaluated for its sake drop their inputs.
// Defer it, so that it happens on a panic as well.
func (t *Trace) End() {
	graph.Lock()
	defer graph.Unlock()
	t.done.Store(true)
	for _, o := range t.kept {
		if o.state == encoded && countLive(o.outs[0].traces) == 0 {
			o.drop()
		}
	}
	t.kept = nil
}

// Tracers returns Copy nodes of as that belong to t. They are not leaves: a leaf
// would cut the path that an outer transformation follows.
func (t *Trace) Tracers(as []*Array) []*Array {
	out := make([]*Array, len(as))
	for i, a := range as {
		out[i] = Apply1(Copy{}, Stream{}, a)
		n := out[i].n
		n.traces = append(n.traces[:len(n.traces):len(n.traces)], t)
	}
	return out
}

// Placeholder is an abstract leaf.
func (t *Trace) Placeholder(s Spec) *Array {
	return handleFor(&node{Spec: s, traces: []*Trace{t}})
}

// Traced reports whether a depends on a live transformation.
func Traced(a *Array) bool { return countLive(a.n.traces) > 0 }

// Differentiated reports whether a derivative by what leads to a is being taken, by
// another trace than t.
func Differentiated(a *Array, t *Trace) bool {
	return slices.ContainsFunc(a.n.traces, func(o *Trace) bool { return o != t && !o.Abstract && o.Live() })
}

// union drops traces that have ended, and shares slices where it can.
func union(a, b []*Trace) []*Trace {
	if len(b) == 0 || len(a) > 0 && &a[0] == &b[0] {
		return a
	}
	out := a
	for _, t := range b {
		if !t.Live() || hasTrace(out, t) {
			continue
		}
		if len(out) == 0 && countLive(b) == len(b) {
			return b
		}
		out = append(out[:len(out):len(out)], t)
	}
	return out
}

func hasTrace(s []*Trace, t *Trace) bool {
	for _, x := range s {
		if x == t {
			return true
		}
	}
	return false
}

func countLive(ts []*Trace) (n int) {
	for _, t := range ts {
		if t.Live() {
			n++
		}
	}
	return n
}

// Node identifies a value of the graph, for transformations; it is comparable.
type Node struct{ n *node }

// NodeOf is the value that a stands for.
func NodeOf(a *Array) Node { return Node{a.n} }

// Array is the live handle of the value.
func (v Node) Array() *Array { return handleOf(v.n) }

// Spec is the value's spec.
func (v Node) Spec() Spec { return v.n.Spec }

// DependsOn reports whether the value depends on t, live or not.
func (v Node) DependsOn(t *Trace) bool { return hasTrace(v.n.traces, t) }

// Op describes how the value is computed; ok is false for leaves and for values
// that have let their inputs go.
func (v Node) Op() (o Op, ok bool) {
	graph.Lock()
	defer graph.Unlock()
	if v.n.op == nil || v.n.op.state == dropped {
		return Op{}, false
	}
	return Op{v.n.op}, true
}

// Expand is Op with its inputs and results, and live handles of the inputs: while
// they are reachable, an Eval elsewhere does not free what the nodes stand for.
func (v Node) Expand() (o Op, in, out []Node, hold []*Array, ok bool) {
	graph.Lock()
	defer graph.Unlock()
	if v.n.op == nil || v.n.op.state == dropped {
		return Op{}, nil, nil, nil, false
	}
	for _, n := range v.n.op.in {
		hold = append(hold, handleLocked(n))
	}
	return Op{v.n.op}, nodesOf(v.n.op.in), nodesOf(v.n.op.outs), hold, true
}

// Op is one application of a primitive; it is comparable.
type Op struct{ o *op }

// Prim is what is applied.
func (o Op) Prim() Primitive { return o.o.prim }

// Built is when it was applied: ops are counted.
func (o Op) Built() uint64 { return o.o.seq }

// Stream is where it runs.
func (o Op) Stream() Stream { return o.o.stream }

// Out is the results; like In, it may be empty when an Eval has dropped them.
func (o Op) Out() []Node {
	graph.Lock()
	defer graph.Unlock()
	return nodesOf(o.o.outs)
}

// In is the inputs; it is empty when an Eval has dropped them meanwhile.
func (o Op) In() []Node {
	graph.Lock()
	defer graph.Unlock()
	return nodesOf(o.o.in)
}

func nodesOf(ns []*node) []Node {
	out := make([]Node, len(ns))
	for i, n := range ns {
		out[i] = Node{n}
	}
	return out
}
