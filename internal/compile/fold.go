package compile

import (
	"github.com/mlxgo/mlx/internal/tensor"
)

// foldLimit is the size up to which a constant that a kernel computes from mapped
// memory, or in a lean graph from larger memory, is kept: dense copies of weights are not.
const foldLimit = 64 << 10

// folder decides which values that depend on no placeholder become constants.
type folder struct {
	g      *Graph
	views  []*tensor.View // memory of leaves and of views of them
	mapped []bool         // computed from mapped memory, or what counts as such
	folded []bool
}

// fold evaluates, once, what depends on no placeholder: views of weights cost
// nothing, results are computed. Stays in the graph: what mapped weights would
// become beyond foldLimit, and scalars, which other passes and kernels can see.
func fold(g *Graph) error {
	n := len(g.Values)
	f := &folder{g, make([]*tensor.View, n), make([]bool, n), make([]bool, n)}
	for id, v := range g.Values {
		if v.Const == nil {
			continue
		}
		m, err := tensor.ValueOf(v.Const)
		if err != nil {
			return err
		}
		f.views[id], f.mapped[id] = &m, m.Buf.Borrowed() || g.lean && v.Bytes() > foldLimit
	}
	for _, n := range g.Nodes {
		f.decide(n)
	}
	return f.apply()
}

func (f *folder) decide(n Node) {
	if f.g.Values[n.Out[0]].src == (tensor.Node{}) {
		return
	}
	if _, scalar := n.Prim.(tensor.Const); scalar {
		return
	}
	if v, ok := n.Prim.(tensor.Viewer); ok && f.views[n.In[0]] != nil {
		if m, ok := v.View(*f.views[n.In[0]]); ok {
			f.views[n.Out[0]] = &m
		}
	}
	mapped := false
	for _, id := range n.In {
		mapped = mapped || f.mapped[id]
	}
	for _, id := range n.Out {
		f.mapped[id] = mapped
		f.folded[id] = !mapped || f.views[id] != nil || f.g.Values[id].Bytes() <= foldLimit
	}
}

// apply evaluates the folded values that are read, and drops their nodes.
func (f *folder) apply() error {
	g := f.g
	live := make([]bool, len(g.Values))
	mark := func(ids []int) {
		for _, id := range ids {
			live[id] = true
		}
	}
	g.results(mark)
	keep := make([]bool, len(g.Nodes))
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		for _, id := range g.Nodes[i].Out {
			keep[i] = keep[i] || live[id] && !f.folded[id]
		}
		if keep[i] {
			mark(g.Nodes[i].In)
		}
	}
	var consts []*tensor.Array
	nodes := make([]Node, 0, len(g.Nodes))
	for i, n := range g.Nodes {
		if keep[i] {
			nodes = append(nodes, n)
			continue
		}
		for _, id := range n.Out {
			if live[id] {
				g.Values[id].Const = g.Values[id].src.Array()
				consts = append(consts, g.Values[id].Const)
			}
		}
	}
	g.Nodes = nodes
	return tensor.Eval(consts...)
}
