package compile

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"github.com/mlxgo/mlx/internal/tensor"
)

// DefaultLimit is how many signatures a Step keeps compiled.
const DefaultLimit = 8

// Step is a function that is compiled once per signature: the specs of its inputs
// and states, and the default stream. It may be used from any goroutine.
type Step struct {
	// Limit is how many Execs are kept, the last used; 0 stands for DefaultLimit.
	// Purpose is what the memory of states counts as. Set both before the first use.
	Limit   int
	Purpose tensor.Purpose
	// Shapeless keeps traced graphs for other sizes of axes: the function is traced
	// again for other ranks, dtypes and axes of size 0 or 1 alone.
	Shapeless bool
	// Lean keeps no large constants that are computed from large captured arrays, as it is
	// anyway where those are mapped: unpacked copies of weights are made in each call.
	Lean bool
	// Rewrite, if not nil, gives what stands for a primitive of the function. Set it
	// before the first use.
	Rewrite func(tensor.Primitive) tensor.Primitive

	name    string
	f       Traced
	tracing sync.Mutex // held while f runs: f need not be safe for concurrent use

	mu     sync.Mutex // guards what follows
	execs  []*Exec    // last used first
	traces int

	templates []template // of a Shapeless one, last used first; guarded by tracing
}

// template is a traced graph that is used for other sizes.
type template struct {
	g         *Graph
	trace     int
	in, state []tensor.Spec
	device    tensor.Device
}

// Exec is one signature of a Step, compiled.
type Exec struct {
	Plan  *tensor.Plan
	Graph *Graph
	Trace int // the number of the trace that it came from, from 1
	name  string
	prog  tensor.Program

	orders []*tensor.Order // of the effects in the plan
}

var errInputs = errors.New("the inputs are not those that the function was compiled for")

// New is f, compiled when it is used; f must not call the Step itself. The name
// is for messages.
func New(name string, f Traced) *Step { return &Step{name: name, f: f} }

// Traces counts how often the function was traced.
func (s *Step) Traces() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.traces
}

func equal(a, b []tensor.Spec) bool { return slices.EqualFunc(a, b, tensor.Spec.Equal) }

// For is the Exec for inputs and states of these specs, on the default stream. It
// traces the function if there is none; ops that name another stream of the
// device run on this one all the same, in the order of the data. Errors are what the function panics with
// (*tensor.Error), results that do not fit the states, ErrCaptured, and faults of
// constants' evaluation and of the backend.
func (s *Step) For(in, state []tensor.Spec) (*Exec, error) {
	stream := tensor.DefaultStream(tensor.DefaultDevice())
	if e := s.find(in, state, stream); e != nil {
		return e, nil
	}
	s.tracing.Lock()
	defer s.tracing.Unlock()
	if e := s.find(in, state, stream); e != nil { // another goroutine was first
		return e, nil
	}
	e, err := s.build(in, state, stream)
	if err != nil {
		return nil, fmt.Errorf("compile %s: %w", s.name, err)
	}
	s.keep(e)
	return e, nil
}

func (s *Step) find(in, state []tensor.Spec, stream tensor.Stream) *Exec {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, e := range s.execs {
		if e.Plan.Stream == stream && equal(e.Plan.In, in) && equal(e.Plan.State, state) {
			copy(s.execs[1:i+1], s.execs[:i])
			s.execs[0] = e
			return e
		}
	}
	return nil
}

func (s *Step) keep(e *Exec) {
	s.mu.Lock()
	defer s.mu.Unlock()
	limit := s.Limit
	if limit <= 0 {
		limit = DefaultLimit
	}
	s.execs = slices.Insert(s.execs, 0, e)
	if len(s.execs) > limit {
		clear(s.execs[limit:])
		s.execs = s.execs[:limit]
	}
}

func (s *Step) build(in, state []tensor.Spec, stream tensor.Stream) (*Exec, error) {
	g, traced, err := s.graph(in, state, stream.Device)
	if err != nil {
		return nil, err
	}
	g.lean = s.Lean
	if s.Rewrite != nil {
		for i := range g.Nodes {
			g.Nodes[i].Prim = s.Rewrite(g.Nodes[i].Prim)
		}
	}
	if err := g.optimize(); err != nil {
		return nil, err
	}
	p, err := g.plan(stream)
	g.hold = nil
	if err != nil {
		return nil, err
	}
	prog, err := tensor.BackendFor(stream).Prepare(p)
	if err != nil {
		return nil, err
	}
	return &Exec{Plan: p, Graph: g, Trace: traced, name: s.name, prog: prog, orders: ordersOf(p)}, nil
}

// graph traces the function, or fits an earlier trace to other sizes; it says which.
func (s *Step) graph(in, state []tensor.Spec, d tensor.Device) (*Graph, int, error) {
	if g, traced, err := s.resized(in, state, d); g != nil || err != nil {
		return g, traced, err
	}
	s.mu.Lock()
	s.traces++
	traced := s.traces
	s.mu.Unlock()
	g, err := record(&tensor.Trace{Abstract: true, Shapeless: s.Shapeless}, s.f, in, state, d)
	if err != nil || !s.Shapeless {
		return g, traced, err
	}
	t := g.clone()
	if err := t.prepare(); err != nil {
		return nil, 0, err
	}
	s.templates = slices.Insert(s.templates, 0, template{t, traced, in, state, d})
	s.templates = s.templates[:min(len(s.templates), DefaultLimit)]
	return g, traced, nil
}

// resized is a graph from an earlier trace, nil if none fits.
func (s *Step) resized(in, state []tensor.Spec, d tensor.Device) (*Graph, int, error) {
	for i, t := range s.templates {
		if t.device != d || !alike(t.in, in) || !alike(t.state, state) {
			continue
		}
		g, err := t.g.resize(in, state)
		if errors.Is(err, errAnew) {
			continue
		}
		if err == nil {
			copy(s.templates[1:i+1], s.templates[:i])
			s.templates[0] = t
		}
		return g, t.trace, err
	}
	return nil, 0, nil
}

// Run binds inputs, states and outputs, row-major and in this order, and starts
// the Program. Their memory must stay reachable until the event fires, and no
// state may share memory with anything else that is bound. It is safe for
// concurrent use with other states and outputs.
func (e *Exec) Run(bind []tensor.View) (tensor.Event, error) {
	p := e.Plan
	if n := len(p.In) + len(p.State) + len(p.Out); len(bind) != n {
		return nil, fmt.Errorf("run %s: %d arrays bound, not %d", e.name, len(bind), n)
	}
	i := 0
	for _, specs := range [...][]tensor.Spec{p.In, p.State, p.Out} {
		for _, s := range specs {
			if v := &bind[i]; !v.Spec.Equal(s) || !v.Contiguous() {
				return nil, fmt.Errorf("run %s: array %d is %v with strides %v, not row-major %v", e.name, i, v.Spec, v.Strides, s)
			}
			i++
		}
	}
	return e.prog.Run(bind)
}

// Dispatch runs the Program without its kernels, see [tensor.Dispatcher]; ok is false
// where the backend cannot.
func (e *Exec) Dispatch() (kernels, barriers int, ok bool, err error) {
	d, ok := e.prog.(tensor.Dispatcher)
	if !ok {
		return 0, 0, false, nil
	}
	kernels, barriers, err = d.Dispatch()
	return kernels, barriers, true, err
}

// Call runs the function and waits. It takes the states: their buffers become the
// new states' if nobody else has them (else copies do), and their handles are
// dead afterwards; after an error they may be. Arrays of a live transformation
// are refused with ErrCaptured.
func (s *Step) Call(in, state []*tensor.Array) (out, newState []*tensor.Array, err error) {
	if slices.ContainsFunc(in, tensor.Traced) || slices.ContainsFunc(state, tensor.Traced) {
		return nil, nil, fmt.Errorf("compile %s: %w", s.name, ErrCaptured)
	}
	e, err := s.For(specs(in), specs(state))
	if err != nil {
		return nil, nil, err
	}
	if err := tensor.Eval(slices.Concat(in, state)...); err != nil {
		return nil, nil, err
	}
	c := call{e: e, bind: make([]tensor.View, 0, len(in)+len(state)+len(e.Plan.Out))}
	if err := c.inputs(in, state); err != nil {
		return nil, nil, err
	}
	outs, err := newViews(e.Plan.Out)
	if err != nil {
		return nil, nil, err
	}
	if err := c.states(state, s.Purpose); err != nil {
		return nil, nil, err
	}
	c.bind = append(c.bind, outs...)
	ev, err := e.Run(c.bind)
	if err == nil {
		err = ev.Wait()
	}
	runtime.KeepAlive(in)
	runtime.KeepAlive(c)
	if err != nil {
		return nil, nil, fmt.Errorf("run %s: %w", s.name, err)
	}
	return arrays(outs), arrays(c.bind[len(in) : len(in)+len(state)]), nil
}

// call is the bound memory of one run.
type call struct {
	e    *Exec
	bind []tensor.View
	rows []*tensor.Array // keeps copies of inputs
}

// inputs binds them row-major; one that is also a state is copied.
func (c *call) inputs(in, state []*tensor.Array) error {
	for _, a := range in {
		if sameNode(state, a) {
			a = tensor.CopyOf(a, tensor.Stream{})
		}
		r, v, err := tensor.RowMajor(a)
		if err != nil {
			return err
		}
		c.rows, c.bind = append(c.rows, r), append(c.bind, v)
	}
	return nil
}

// states takes their buffers; one that is given again is copied first.
func (c *call) states(state []*tensor.Array, p tensor.Purpose) error {
	again := make([]*tensor.Array, len(state))
	for i, a := range state {
		if again[i] = a; sameNode(state[:i], a) {
			again[i] = tensor.CopyOf(a, tensor.Stream{})
		}
	}
	if err := tensor.Eval(again...); err != nil {
		return err
	}
	for _, a := range again {
		v, err := tensor.Own(a, p)
		if err != nil {
			return err
		}
		c.bind = append(c.bind, v)
	}
	return nil
}

func sameNode(as []*tensor.Array, a *tensor.Array) bool {
	return slices.ContainsFunc(as, func(b *tensor.Array) bool { return tensor.NodeOf(a) == tensor.NodeOf(b) })
}

func newViews(specs []tensor.Spec) ([]tensor.View, error) {
	vs := make([]tensor.View, len(specs))
	for i, s := range specs {
		v, err := tensor.NewView(s, tensor.Other)
		if err != nil {
			return nil, err
		}
		vs[i] = v
	}
	return vs, nil
}

func arrays(vs []tensor.View) []*tensor.Array {
	as := make([]*tensor.Array, len(vs))
	for i, v := range vs {
		as[i] = tensor.FromView(v)
	}
	return as
}

func specs(as []*tensor.Array) []tensor.Spec {
	out := make([]tensor.Spec, len(as))
	for i, a := range as {
		out[i] = tensor.NodeOf(a).Spec() // a dead handle is refused by Eval
	}
	return out
}
