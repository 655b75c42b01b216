package compile

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// Call is a compiled function as one op of a graph: lazy like any other, its faults
// are errors of Eval.
type Call struct{ e *Exec }

// Name is the name of the function.
func (c Call) Name() string { return c.e.name }

// Infer gives the specs of the results.
func (c Call) Infer(in []tensor.Spec) ([]tensor.Spec, error) {
	if n := len(c.e.Plan.In); len(in) != n+len(c.e.orders) || !equal(in[:n], c.e.Plan.In) {
		return nil, errInputs
	}
	return c.e.Plan.Out, nil
}

// Program is what runs.
func (c Call) Program() tensor.Program { return c.e.prog }

// MayFail reports whether one of its steps may.
func (c Call) MayFail() bool {
	return slices.ContainsFunc(c.e.Plan.Steps, func(s tensor.Step) bool {
		f, ok := s.Prim.(tensor.Fallible)
		return ok && f.MayFail()
	})
}

// Apply puts a call of e, which has no states, into the graph.
func (e *Exec) Apply(in []*tensor.Array) []*tensor.Array {
	if len(e.Plan.Out) == 0 {
		return nil
	}
	if len(e.orders) > 0 { // the call is an effect itself
		in = slices.Clone(in)
	}
	for _, o := range e.orders {
		in = append(in, o.Token())
	}
	outs := tensor.Apply(Call{e}, e.Plan.Stream, in...)
	for _, o := range e.orders {
		o.Ordered(outs, e.Plan.Stream)
	}
	return outs
}

// ordersOf are the groups whose effects a plan has.
func ordersOf(p *tensor.Plan) (out []*tensor.Order) {
	for _, s := range p.Steps {
		if e, ok := s.Prim.(tensor.Effectful); ok && !slices.Contains(out, e.Order()) {
			out = append(out, e.Order())
		}
	}
	return out
}

// Inline reports whether a function of these arrays must run as it is: they belong
// to a live transformation, which would not see through a call.
func Inline(in []*tensor.Array) bool { return slices.ContainsFunc(in, tensor.Traced) }
