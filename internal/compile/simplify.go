package compile

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// deadcode drops nodes whose results nobody reads.
func deadcode(g *Graph) error {
	live := make([]bool, len(g.Values))
	mark := func(ids []int) {
		for _, id := range ids {
			live[id] = true
		}
	}
	g.results(mark)
	keep := make([]Node, 0, len(g.Nodes))
	for _, n := range slices.Backward(g.Nodes) {
		if slices.ContainsFunc(n.Out, func(id int) bool { return live[id] }) {
			mark(n.In)
			keep = append(keep, n)
		}
	}
	slices.Reverse(keep)
	g.Nodes = keep
	return nil
}

// renames maps values to those that stand for them, by forwarding.
type renames map[int]int

func (r renames) fix(ids []int) {
	for i, id := range ids {
		if to, ok := r[id]; ok {
			ids[i] = to
		}
	}
}

// rewrite gives each node, inputs already renamed, to f; f says whether it stays.
// What f adds to the renames must be values that need no renaming.
func (g *Graph) rewrite(r renames, f func(n Node) (keep bool)) {
	keep := make([]Node, 0, len(g.Nodes))
	for _, n := range g.Nodes {
		r.fix(n.In)
		if f(n) {
			keep = append(keep, n)
		}
	}
	g.Nodes = keep
	g.results(r.fix)
}

// copies drops the marks that compute nothing: tracers, what On leaves behind,
// custom functions.
func copies(g *Graph) error {
	r := renames{}
	g.rewrite(r, func(n Node) bool {
		f, ok := n.Prim.(tensor.Forwarder)
		if !ok {
			return true
		}
		for i, o := range n.Out {
			r[o] = n.In[f.Forwards()+i]
		}
		return false
	})
	return nil
}

// counts replaces numbers of elements by constants.
func counts(g *Graph) error {
	for i, n := range g.Nodes {
		if p, ok := n.Prim.(tensor.Count); ok {
			g.Nodes[i].Prim, g.Nodes[i].In = p.Const(g.Values[n.In[0]].Shape), nil
		}
	}
	return nil
}

// prepare drops what need not be kept of a traced graph for other sizes.
func (g *Graph) prepare() error {
	if err := deadcode(g); err != nil {
		return err
	}
	return copies(g)
}

// cse merges nodes that apply equal primitives to the same values, and constants
// in the same memory.
func cse(g *Graph) error {
	r := renames{}
	if err := g.mergeConstants(r); err != nil {
		return err
	}
	type key struct {
		prim tensor.Primitive
		in   string
	}
	seen := map[key]Node{}
	g.rewrite(r, func(n Node) bool {
		in := make([]byte, 0, 32)
		for _, id := range n.In {
			in = binary.LittleEndian.AppendUint32(in, uint32(id))
		}
		k := key{n.Prim, string(in)}
		old, ok := seen[k]
		if !ok {
			seen[k] = n
			return true
		}
		for i, o := range n.Out {
			r[o] = old.Out[i]
		}
		return false
	})
	return nil
}

func (g *Graph) mergeConstants(r renames) error {
	type key struct {
		buf    *tensor.Buffer
		layout string
	}
	seen := map[key]int{}
	for id, v := range g.Values {
		if v.Const == nil {
			continue
		}
		m, err := tensor.ValueOf(v.Const)
		if err != nil {
			return err
		}
		k := key{m.Buf, fmt.Sprint(m.Spec, m.Strides, m.Offset)}
		if old, ok := seen[k]; ok {
			r[id] = old
		} else {
			seen[k] = id
		}
	}
	return nil
}

// number drops values that nothing uses and numbers the others: inputs, states,
// constants, then results of nodes in their order.
func number(g *Graph) error {
	to := make([]int, len(g.Values))
	values := make([]Value, 0, len(g.Values))
	add := func(ids []int) {
		for _, id := range ids {
			v := g.Values[id]
			v.src = tensor.Node{}
			to[id] = len(values)
			values = append(values, v)
		}
	}
	add(g.In)
	add(g.State)
	used := g.used()
	for id, v := range g.Values {
		if v.Const != nil && used[id] {
			add([]int{id})
		}
	}
	for _, n := range g.Nodes {
		add(n.Out)
	}
	fix := func(ids []int) {
		for i, id := range ids {
			ids[i] = to[id]
		}
	}
	fix(g.In)
	fix(g.State)
	for _, n := range g.Nodes {
		fix(n.In)
		fix(n.Out)
	}
	g.results(fix)
	g.Values = values
	return nil
}
