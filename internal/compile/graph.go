package compile

import (
	"fmt"
	"strings"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Graph is a traced function: values by number and nodes in an order in which
// they can run.
type Graph struct {
	Values        []Value
	Nodes         []Node
	In, State     []int // values of the placeholders
	Out, StateOut []int // values of the results; StateOut[i] replaces State[i]

	hold []*tensor.Array // keeps the memory of src values until there is a Plan
	lean bool            // see Step
}

// Value is an input, a state, a constant or a result of a node.
type Value struct {
	tensor.Spec
	Const *tensor.Array // a constant with memory, else nil

	src tensor.Node // where a value comes from that depends on no placeholder; until folded
}

// Node is one primitive on values.
type Node struct {
	Prim    tensor.Primitive
	In, Out []int
}

func (g *Graph) value(s tensor.Spec) int {
	g.Values = append(g.Values, Value{Spec: s})
	return len(g.Values) - 1
}

// results calls f with each list of values that the graph must compute.
func (g *Graph) results(f func([]int)) {
	f(g.Out)
	f(g.StateOut)
}

// String is the graph as text, stable for golden files: a line per placeholder,
// used constant, node and result.
func (g *Graph) String() string {
	var b strings.Builder
	line := func(id int, format string, a ...any) {
		fmt.Fprintf(&b, "%%%d %v = ", id, g.Values[id].Spec)
		fmt.Fprintf(&b, format, a...)
		b.WriteByte('\n')
	}
	for i, id := range g.In {
		line(id, "in %d", i)
	}
	for i, id := range g.State {
		line(id, "state %d", i)
	}
	used := g.used()
	for id, v := range g.Values {
		if v.Const != nil && used[id] {
			line(id, "weight")
		}
	}
	for _, n := range g.Nodes {
		line(n.Out[0], "%s%s%s", n.Prim.Name(), params(n.Prim), numbers(n.In))
		for _, o := range n.Out[1:] {
			line(o, "with %%%d", n.Out[0])
		}
	}
	for i, id := range g.Out {
		fmt.Fprintf(&b, "out %d =%s\n", i, numbers([]int{id}))
	}
	for i, id := range g.StateOut {
		fmt.Fprintf(&b, "state %d =%s\n", i, numbers([]int{id}))
	}
	return b.String()
}

// params is the fields of a primitive as text, nothing if it has none.
func params(p tensor.Primitive) string {
	if s := fmt.Sprintf("%+v", p); s != "{}" {
		return s
	}
	return ""
}

func numbers(ids []int) string {
	var b strings.Builder
	for _, id := range ids {
		fmt.Fprintf(&b, " %%%d", id)
	}
	return b.String()
}

// used marks the values that a node reads or that are results.
func (g *Graph) used() []bool {
	used := make([]bool, len(g.Values))
	mark := func(ids []int) {
		for _, id := range ids {
			used[id] = true
		}
	}
	for _, n := range g.Nodes {
		mark(n.In)
	}
	g.results(mark)
	return used
}

// verify checks that each value is defined once and before its use, with the
// spec that Infer gives, and that new states have the specs of the old.
func (g *Graph) verify() error {
	def := make([]bool, len(g.Values))
	for i, v := range g.Values {
		def[i] = v.Const != nil
		if v.Const != nil && !tensor.SpecOf(v.Const).Equal(v.Spec) {
			return fmt.Errorf("constant %%%d is %v, not %v", i, tensor.SpecOf(v.Const), v.Spec)
		}
	}
	for _, l := range [][]int{g.In, g.State} {
		for _, id := range l {
			if def[id] {
				return fmt.Errorf("placeholder %%%d is defined twice", id)
			}
			def[id] = true
		}
	}
	for _, n := range g.Nodes {
		if err := g.verifyNode(n, def); err != nil {
			return fmt.Errorf("%s: %w", n.Prim.Name(), err)
		}
	}
	var err error
	g.results(func(ids []int) {
		for _, id := range ids {
			if !def[id] && err == nil {
				err = fmt.Errorf("result %%%d is not defined", id)
			}
		}
	})
	for i, id := range g.StateOut {
		if err == nil && !g.Values[id].Equal(g.Values[g.State[i]].Spec) {
			err = fmt.Errorf("state %d becomes %v, was %v", i, g.Values[id].Spec, g.Values[g.State[i]].Spec)
		}
	}
	return err
}

func (g *Graph) verifyNode(n Node, def []bool) error {
	specs := make([]tensor.Spec, len(n.In))
	for i, id := range n.In {
		if !def[id] {
			return fmt.Errorf("%%%d is used before it is defined", id)
		}
		specs[i] = g.Values[id].Spec
	}
	outs, err := n.Prim.Infer(specs)
	if err != nil {
		return err
	}
	if len(outs) != len(n.Out) {
		return fmt.Errorf("%d results, not %d", len(n.Out), len(outs))
	}
	for k, id := range n.Out {
		if def[id] {
			return fmt.Errorf("%%%d is defined twice", id)
		}
		if !outs[k].Equal(g.Values[id].Spec) {
			return fmt.Errorf("%%%d is %v, not %v", id, g.Values[id].Spec, outs[k])
		}
		def[id] = true
	}
	return nil
}
