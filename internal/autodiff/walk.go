package autodiff

import (
	"fmt"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A step is one op of a traced graph, with handles that keep its values alive.
type step struct {
	op      tensor.Op
	in, out []*Array
	inNode  []tensor.Node
	outNode []tensor.Node
}

// steps lists the ops behind roots that depend on t, inputs first, without those
// that made the leaves, the keys of a map; behind an op it follows what reads gives of
// its inputs. It walks with its own stack: graphs may be deep.
func steps[V any](roots []*Array, leaves map[tensor.Node]V, t *tensor.Trace, reads func(*step) []tensor.Node) []*step {
	type frame struct {
		s    *step
		in   []tensor.Node
		next int
	}
	var order []*step
	var stack []frame
	seen := map[tensor.Op]bool{}
	enter := func(n tensor.Node) {
		if _, leaf := leaves[n]; leaf || !n.DependsOn(t) {
			return
		}
		op, ok := n.Op()
		if !ok || seen[op] {
			return
		}
		seen[op] = true
		_, in, out, hold, ok := n.Expand()
		if !ok {
			return
		}
		s := &step{op: op, in: hold, inNode: in, outNode: out}
		for _, o := range out {
			s.out = append(s.out, o.Array())
		}
		stack = append(stack, frame{s: s, in: reads(s)})
	}
	for _, r := range roots {
		enter(tensor.NodeOf(r))
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if f.next == len(f.in) {
				order = append(order, f.s)
				stack = stack[:len(stack)-1]
				continue
			}
			f.next++
			enter(f.in[f.next-1])
		}
	}
	return order
}

// allInputs are what an op reads.
func allInputs(s *step) []tensor.Node { return s.inNode }

func nodeSet(as []*Array) map[tensor.Node]bool {
	m := make(map[tensor.Node]bool, len(as))
	for _, a := range as {
		m[tensor.NodeOf(a)] = true
	}
	return m
}

// fault is the *tensor.Error of a step that cannot be transformed.
func (s *step) fault(format string, args ...any) *tensor.Error {
	specs := make([]tensor.Spec, len(s.in))
	for i, a := range s.in {
		specs[i] = tensor.SpecOf(a)
	}
	return &tensor.Error{Op: s.op.Prim().Name(), In: specs, Err: fmt.Errorf(format, args...)}
}

// refuseNil panics if a function gave no array where it should.
func refuseNil(op string, outs []*Array) {
	for i, o := range outs {
		if o == nil {
			tensor.Throw(op, nil, "result %d of the function is nil", i)
		}
	}
}
