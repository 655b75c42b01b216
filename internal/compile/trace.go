package compile

import (
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Traced is the stateful form of a function: it sees inputs and states, and
// returns results and as many new states with the specs of the old. It must
// depend on nothing else but captured arrays, which become constants.
type Traced = func(in, state []*tensor.Array) (out, newState []*tensor.Array)

// ErrCaptured: the function was given, or closes over, a value of a live
// transformation (a gradient, another compilation), which cannot be a constant.
// The caller should run the function itself.
var ErrCaptured = errors.New("a value of a live transformation cannot be compiled in")

// errDrawn refuses a draw that every call would repeat.
var errDrawn = errors.New("a draw from the generator of the process, or what another process sends, would be the same in every call: pass a key, use RecvLike")

// recorder copies the graph behind results into a Graph.
type recorder struct {
	g        *Graph
	t        *tensor.Trace
	device   tensor.Device
	ids      map[tensor.Node]int
	built    []uint64 // when each node's op was applied
	captured bool
	err      error
}

// trace runs f on placeholders and records what it built. Values that depend on
// no placeholder are recorded too, with their source: folding decides on them.
func trace(f Traced, in, state []tensor.Spec, d tensor.Device) (*Graph, error) {
	return record(&tensor.Trace{Abstract: true}, f, in, state, d)
}

func record(t *tensor.Trace, f Traced, in, state []tensor.Spec, d tensor.Device) (*Graph, error) {
	t.Begin()
	defer t.End()
	r := &recorder{g: &Graph{}, t: t, device: d, ids: map[tensor.Node]int{}}
	ins, states := r.place(in, &r.g.In), r.place(state, &r.g.State)
	var outs, news []*tensor.Array
	if err := tensor.Try(func() { outs, news = f(ins, states) }); err != nil {
		return nil, err
	}
	if err := checkResults(outs, news, state); err != nil {
		return nil, err
	}
	for _, a := range outs {
		r.g.Out = append(r.g.Out, r.read(tensor.NodeOf(a)))
	}
	for _, a := range news {
		r.g.StateOut = append(r.g.StateOut, r.read(tensor.NodeOf(a)))
	}
	if r.captured {
		return nil, ErrCaptured
	}
	if r.err != nil {
		return nil, r.err
	}
	r.g.arrange(r.built)
	return r.g, r.g.evalLeaves()
}

// evalLeaves makes sure that captured leaves have memory: a placeholder of an
// earlier trace, or a value that was donated, has none.
func (g *Graph) evalLeaves() error {
	var leaves []*tensor.Array
	for _, v := range g.Values {
		if v.Const != nil {
			leaves = append(leaves, v.Const)
		}
	}
	if err := tensor.Eval(leaves...); err != nil {
		return fmt.Errorf("captured array: %w", err)
	}
	return nil
}

func checkResults(outs, news []*tensor.Array, state []tensor.Spec) error {
	for i, a := range outs {
		if a == nil {
			return fmt.Errorf("result %d is nil", i)
		}
	}
	if len(news) != len(state) {
		return fmt.Errorf("%d new states for %d states", len(news), len(state))
	}
	for i, a := range news {
		if a == nil {
			return fmt.Errorf("new state %d is nil", i)
		}
		if s := tensor.NodeOf(a).Spec(); !s.Equal(state[i]) {
			return fmt.Errorf("state %d is %v and its new value %v; a state keeps its spec", i, state[i], s)
		}
	}
	return nil
}

func (r *recorder) place(specs []tensor.Spec, ids *[]int) []*tensor.Array {
	as := make([]*tensor.Array, len(specs))
	for i, s := range specs {
		as[i] = r.t.Placeholder(s)
		id := r.g.value(s)
		r.ids[tensor.NodeOf(as[i])] = id
		*ids = append(*ids, id)
	}
	return as
}

// read is visit for values that traced ones, or results, are made of. A value
// outside of this trace may belong to another one; traces are inherited, so it
// suffices to look here, where they meet.
func (r *recorder) read(n tensor.Node) int {
	if !n.DependsOn(r.t) && tensor.Traced(n.Array()) {
		r.captured = true
	}
	if !n.DependsOn(r.t) && r.t.Drew(n) && r.err == nil {
		r.err = &tensor.Error{Op: "compile", Err: errDrawn}
	}
	return r.visit(n)
}

// visit records n and what it is made of, inputs first.
func (r *recorder) visit(n tensor.Node) int {
	if id, ok := r.ids[n]; ok {
		return id
	}
	inside := n.DependsOn(r.t)
	o, in, out, hold, ok := n.Expand()
	if ok && !inside { // an effect before happens once, not in every call
		_, effect := o.Prim().(tensor.Effectful)
		ok = !effect
	}
	if !ok {
		id := r.g.value(n.Spec())
		r.g.Values[id].Const = n.Array()
		r.ids[n] = id
		return id
	}
	if !inside { // another goroutine may evaluate it at any time
		r.g.hold = append(r.g.hold, hold...)
	}
	node := Node{Prim: o.Prim()}
	if d := o.Stream().Device; inside && d != r.device && r.err == nil {
		r.err = fmt.Errorf("%s was put on %v: a compiled function runs on one device, %v", node.Prim.Name(), d, r.device)
	}
	for _, i := range in {
		if inside {
			node.In = append(node.In, r.read(i))
		} else {
			node.In = append(node.In, r.visit(i))
		}
	}
	for _, x := range out {
		id := r.g.value(x.Spec())
		if !inside {
			r.g.Values[id].src = x
		}
		r.ids[x] = id
		node.Out = append(node.Out, id)
	}
	r.g.Nodes = append(r.g.Nodes, node)
	r.built = append(r.built, o.Built())
	return r.ids[n]
}
