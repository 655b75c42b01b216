package compile

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// The bounds of a fused op, as MLX has them: arrays that it touches, and ops on a way
// through it.
const (
	fuseArrays = 24
	fuseDepth  = 11
)

// fuse joins elementwise ops of one shape, from the last node backwards: an op joins
// its reader if nobody else reads it.
func fuse(g *Graph) error {
	f := newFuser(g)
	for i := len(g.Nodes) - 1; i >= 0; i-- {
		if !f.gone[i] && f.fusible(i) {
			f.grow(i)
		}
	}
	keep := make([]Node, 0, len(g.Nodes))
	for i, n := range g.Nodes {
		if !f.gone[i] {
			keep = append(keep, n)
		}
	}
	g.Nodes = keep
	return nil
}

type fuser struct {
	g       *Graph
	def     []int   // the node that computes a value, or -1
	readers [][]int // nodes that read a value
	result  []bool  // values that the graph gives
	gone    []bool  // nodes that were fused into others
}

func newFuser(g *Graph) *fuser {
	f := &fuser{g: g, def: make([]int, len(g.Values)), readers: make([][]int, len(g.Values)),
		result: make([]bool, len(g.Values)), gone: make([]bool, len(g.Nodes))}
	for i := range f.def {
		f.def[i] = -1
	}
	for i, n := range g.Nodes {
		for _, id := range n.Out {
			f.def[id] = i
		}
		for _, id := range n.In {
			f.readers[id] = append(f.readers[id], i)
		}
	}
	g.results(func(ids []int) {
		for _, id := range ids {
			f.result[id] = true
		}
	})
	return f
}

func (f *fuser) fusible(i int) bool { return tensor.Fusible(f.g.Nodes[i].Prim) }

// grow replaces node root by a fused op of it and what can join it.
func (f *fuser) grow(root int) {
	shape := f.g.Values[f.g.Nodes[root].Out[0]].Shape
	depth := map[int]int{root: 1} // members
	members := []int{root}
	inputs := f.inputs(members, depth)
	for k := 0; k < len(members); k++ {
		m := members[k]
		for _, id := range f.g.Nodes[m].In {
			d := f.def[id]
			if d < 0 || depth[d] > 0 || f.gone[d] || !f.fusible(d) || f.result[id] || depth[m] >= fuseDepth {
				continue
			}
			inside := func(r int) bool { return depth[r] > 0 }
			if !slices.Equal(f.g.Values[id].Shape, shape) || !all(f.readers[id], inside) {
				continue
			}
			depth[d] = depth[m] + 1
			now := f.inputs(append(members, d), depth)
			if len(now)+1 > fuseArrays {
				delete(depth, d)
				continue
			}
			members, inputs = append(members, d), now
		}
	}
	if len(members) > 1 {
		f.replace(root, members, inputs)
	}
}

func all(list []int, ok func(int) bool) bool {
	return !slices.ContainsFunc(list, func(i int) bool { return !ok(i) })
}

// inputs are the values that members read and do not compute, in order.
func (f *fuser) inputs(members []int, inside map[int]int) (ids []int) {
	sorted := slices.Sorted(slices.Values(members))
	for _, m := range sorted {
		for _, id := range f.g.Nodes[m].In {
			if d := f.def[id]; (d < 0 || inside[d] == 0) && !slices.Contains(ids, id) {
				ids = append(ids, id)
			}
		}
	}
	return ids
}

func (f *fuser) replace(root int, members, inputs []int) {
	slices.Sort(members)
	p := &tensor.FusedProgram{}
	number := map[int]int{}
	for i, id := range inputs {
		number[id] = i
		p.In = append(p.In, f.g.Values[id].Spec)
	}
	for k, m := range members {
		n := f.g.Nodes[m]
		s := tensor.FusedStep{Prim: n.Prim, Out: f.g.Values[n.Out[0]].DType}
		for _, id := range n.In {
			s.In = append(s.In, number[id])
		}
		p.Steps = append(p.Steps, s)
		number[n.Out[0]] = len(inputs) + k
		f.gone[m] = m != root
	}
	f.g.Nodes[root] = Node{Prim: tensor.Fused{FusedProgram: p}, In: inputs, Out: f.g.Nodes[root].Out}
}
