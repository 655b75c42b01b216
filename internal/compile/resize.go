package compile

import (
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// errAnew: the graph does not fit the new sizes, so that the function is traced again.
var errAnew = errors.New("trace anew")

// class is what a graph depends on of a size: axes of size 1 broadcast, and empty
// arrays have paths of their own.
func class(n int) int { return min(n, 2) }

// alike reports whether arrays differ in nothing but sizes.
func alike(a, b []tensor.Spec) bool {
	return slices.EqualFunc(a, b, func(x, y tensor.Spec) bool { return x.DType == y.DType && alikeShapes(x.Shape, y.Shape) })
}

func alikeShapes(x, y tensor.Shape) bool {
	return slices.EqualFunc(x, y, func(m, n int) bool { return class(m) == class(n) })
}

// factor is an axis of the traced graph, or a part of one, and its new size.
type factor struct{ from, to int }

// resizer infers a traced graph again for other sizes. A value that was broadcast
// has a small one, with which elementwise ops do as well: the shape that is broadcast
// to is then that of all their operands.
type resizer struct {
	g       *Graph
	traced  []tensor.Shape   // shapes of values before
	depends []bool           // on a placeholder
	small   map[int]int      // what a value is a broadcast of
	axes    map[int][]factor // factors of values, of all axes in order, where axes were merged
	changed map[int]bool     // sizes that axes of placeholders have no more
	nodes   []Node
}

// resize is a copy of traced graph g for inputs and states of other sizes. Its error
// is errAnew, or names a primitive that keeps a size.
func (g *Graph) resize(in, state []tensor.Spec) (*Graph, error) {
	r := &resizer{g: g.clone(), small: map[int]int{}, axes: map[int][]factor{}, changed: map[int]bool{}}
	for _, v := range g.Values {
		r.traced = append(r.traced, v.Shape)
	}
	r.depends = make([]bool, len(g.Values))
	r.place(g.In, in)
	r.place(g.State, state)
	for _, n := range r.g.Nodes {
		if err := r.node(n); err != nil {
			return nil, err
		}
	}
	for _, ids := range [...][]int{r.g.Out, r.g.StateOut} {
		for i := range ids {
			var err error
			if ids[i], err = r.whole(ids[i]); err != nil {
				return nil, err
			}
		}
	}
	for i, id := range r.g.StateOut {
		if !r.g.Values[id].Equal(state[i]) {
			return nil, errAnew
		}
	}
	r.g.Nodes = r.nodes
	return r.g, nil
}

func (r *resizer) place(ids []int, specs []tensor.Spec) {
	for i, id := range ids {
		for a, d := range r.traced[id] {
			if d != specs[i].Shape[a] {
				r.changed[d] = true
			}
		}
		r.g.Values[id].Spec, r.depends[id] = specs[i], true
	}
}

// clone copies what passes change.
func (g *Graph) clone() *Graph {
	c := &Graph{Values: slices.Clone(g.Values), In: slices.Clone(g.In), State: slices.Clone(g.State),
		Out: slices.Clone(g.Out), StateOut: slices.Clone(g.StateOut), hold: slices.Clone(g.hold)}
	for _, n := range g.Nodes {
		c.Nodes = append(c.Nodes, Node{n.Prim, slices.Clone(n.In), slices.Clone(n.Out)})
	}
	return c
}

func (r *resizer) shape(id int) tensor.Shape { return r.g.Values[id].Shape }

// fixed reports whether a value has the size that it had.
func (r *resizer) fixed(id int) bool { return slices.Equal(r.shape(id), r.traced[id]) }

// value is a new one, that had another shape when it was traced.
func (r *resizer) value(s tensor.Spec, traced tensor.Shape, depends bool) int {
	r.traced, r.depends = append(r.traced, traced), append(r.depends, depends)
	return r.g.value(s)
}

func (r *resizer) node(n Node) error {
	depends := slices.ContainsFunc(n.In, func(id int) bool { return r.depends[id] })
	for _, id := range n.Out {
		r.depends[id] = depends
	}
	_, elementwise := n.Prim.(tensor.Elementwise)
	switch p := n.Prim.(type) {
	case tensor.Broadcast:
		return r.broadcast(n, depends)
	case tensor.Depends: // what comes before may be small
		if r.isSmall(n.In[0]) {
			r.small[n.Out[0]] = r.core(n.In[0])
			return nil
		}
		for i, id := range n.In {
			n.In[i] = r.core(id)
		}
		return r.infer(n)
	case tensor.Reshape:
		if depends {
			return r.reshape(n, p)
		}
	case tensor.MatMul:
		if depends {
			return r.matmul(n)
		}
	}
	switch {
	case elementwise && (depends || slices.ContainsFunc(n.In, r.isSmall)):
		return r.elementwise(n, depends)
	case depends:
		return r.other(n)
	}
	if err := r.literal(n); err != nil {
		return err
	}
	r.nodes = append(r.nodes, n)
	return nil
}

func (r *resizer) isSmall(id int) bool { _, ok := r.small[id]; return ok }

// core is what value id is a broadcast of: itself if it is none.
func (r *resizer) core(id int) int {
	if c, ok := r.small[id]; ok {
		return c
	}
	return id
}

// broadcast waits until it is known who reads it.
func (r *resizer) broadcast(n Node, depends bool) error {
	r.small[n.Out[0]] = r.core(n.In[0])
	if !depends { // those that depend on no placeholder either read it as it is
		r.nodes = append(r.nodes, n)
	}
	return nil
}

// whole is value id at its full size: sizes that were broadcast to stay, unless they
// look like those of axes that changed.
func (r *resizer) whole(id int) (int, error) {
	c, ok := r.small[id]
	if !ok {
		return id, nil
	}
	t, from := slices.Clone(r.traced[id]), r.traced[c]
	for i, d := range t {
		k := i - len(t) + len(from)
		switch {
		case k >= 0 && from[k] == d:
			t[i] = r.shape(c)[k]
		case r.changed[d]:
			return 0, keeps(tensor.Broadcast{Shape: tensor.MakeInts(r.traced[id]...)}, "let an elementwise op broadcast it")
		}
	}
	return r.expand(c, t, r.traced[id]), nil
}

// expand is value id broadcast to a shape.
func (r *resizer) expand(id int, t, traced tensor.Shape) int {
	if slices.Equal(r.shape(id), t) {
		return id
	}
	out := r.value(tensor.Spec{Shape: t, DType: r.g.Values[id].DType}, traced, r.depends[id])
	r.nodes = append(r.nodes, Node{tensor.Broadcast{Shape: tensor.MakeInts(t...)}, []int{id}, []int{out}})
	return out
}

// join is the shape that shapes are broadcast to.
func join(shapes []tensor.Shape) (tensor.Shape, error) {
	out := shapes[0]
	err := tensor.Try(func() {
		for _, s := range shapes[1:] {
			out = tensor.BroadcastShapes("compile", out, s)
		}
	})
	if err != nil {
		return nil, errAnew
	}
	return out, nil
}

// joined is the shape of some values together, traced and new.
func (r *resizer) joined(ids []int) (traced, now tensor.Shape, err error) {
	var a, b []tensor.Shape
	for _, id := range ids {
		a, b = append(a, r.traced[id]), append(b, r.shape(id))
	}
	if traced, err = join(a); err == nil {
		now, err = join(b)
	}
	return traced, now, err
}

// elementwise computes n on what its operands are broadcasts of.
func (r *resizer) elementwise(n Node, depends bool) error {
	cores := make([]int, len(n.In))
	for i, id := range n.In {
		cores[i] = r.core(id)
	}
	traced, now, err := r.joined(cores)
	if err != nil {
		return err
	}
	out := n.Out[0]
	whole := slices.Equal(traced, r.traced[out])
	if whole && !depends { // constants alone: as they are
		r.nodes = append(r.nodes, n)
		return nil
	}
	if !whole {
		if !depends {
			r.nodes = append(r.nodes, n)
		}
		to := r.value(tensor.Spec{Shape: now, DType: r.g.Values[out].DType}, traced, depends)
		r.small[out] = to
		out = to
	}
	for i := range cores {
		cores[i] = r.expand(cores[i], now, traced)
	}
	return r.infer(Node{n.Prim, cores, []int{out}})
}

// matmul broadcasts batches of matrices as elementwise ops do.
func (r *resizer) matmul(n Node) error {
	if !r.isSmall(n.In[0]) && !r.isSmall(n.In[1]) {
		return r.infer(n)
	}
	var cores []int
	var was, is []tensor.Shape
	for _, id := range n.In {
		c := r.core(id)
		k := len(r.traced[c]) - 2
		if k < 0 {
			return r.other(n)
		}
		cores, was, is = append(cores, c), append(was, r.traced[c][:k]), append(is, r.shape(c)[:k])
	}
	traced, err := join(was)
	if err != nil {
		return err
	}
	now, err := join(is)
	if err != nil {
		return err
	}
	out := r.traced[n.Out[0]]
	if !slices.Equal(traced, out[:len(out)-2]) {
		return r.other(n)
	}
	for i, c := range cores {
		k := len(r.traced[c]) - 2
		cores[i] = r.expand(c, slices.Concat(now, r.shape(c)[k:]), slices.Concat(traced, r.traced[c][k:]))
	}
	return r.infer(Node{n.Prim, cores, n.Out})
}

// other infers a primitive that needs its inputs at their full size.
func (r *resizer) other(n Node) error {
	in := make([]int, len(n.In))
	for i, id := range n.In {
		var err error
		if in[i], err = r.whole(id); err != nil {
			return err
		}
	}
	n.In = in
	if r.keepsSize(n) {
		return keeps(n.Prim, "call it outside, or compile without Shapeless")
	}
	return r.infer(n)
}

// keepsSize reports whether n has parameters that came from a size which changed.
func (r *resizer) keepsSize(n Node) bool {
	if _, ok := n.Prim.(tensor.Transpose); ok {
		return false
	}
	t, ints := reflect.TypeOf(n.Prim), false
	for i := range t.NumField() {
		ints = ints || t.Field(i).Type == reflect.TypeFor[tensor.Ints]()
	}
	if !ints || !r.fixed(n.In[0]) {
		return ints
	}
	return slices.ContainsFunc(r.traced[n.Out[0]], func(d int) bool {
		return r.changed[d] && !slices.Contains(r.traced[n.In[0]], d)
	})
}

// literal refuses constants of sizes that changed.
func (r *resizer) literal(n Node) error {
	switch n.Prim.(type) {
	case tensor.Arange:
		if r.changed[r.traced[n.Out[0]][0]] {
			return keeps(n.Prim, "pass it as an argument")
		}
	}
	return nil
}

func keeps(p tensor.Primitive, advice string) error {
	return fmt.Errorf("%s%s keeps a size that it was traced with: %s", p.Name(), params(p), advice)
}

// infer adds n with the specs that it has now.
func (r *resizer) infer(n Node) error {
	specs := make([]tensor.Spec, len(n.In))
	for i, id := range n.In {
		specs[i] = r.g.Values[id].Spec
	}
	outs, err := n.Prim.Infer(specs)
	if err != nil || len(outs) != len(n.Out) {
		return errAnew
	}
	for k, id := range n.Out {
		if !alikeShapes(outs[k].Shape, r.traced[id]) || outs[k].DType != r.g.Values[id].DType {
			return errAnew
		}
		r.g.Values[id].Spec = outs[k]
		r.inherit(n.In, id)
	}
	r.nodes = append(r.nodes, n)
	return nil
}
