package compile

import (
	"cmp"
	"slices"
)

// arrange picks the better of two orders of the nodes of a recorded graph: that in
// which results need them, depth first, which keeps little of many independent results;
// and that in which the function applied them, which does a layer's gradient of the
// weights where its activations still are, not after the way back to the first
// layer.
func (g *Graph) arrange(built []uint64) {
	at := make([]int, len(built))
	for i := range at {
		at[i] = i
	}
	slices.SortStableFunc(at, func(a, b int) int { return cmp.Compare(built[a], built[b]) })
	asBuilt := make([]Node, len(at))
	for i, k := range at {
		asBuilt[i] = g.Nodes[k]
	}
	if g.peak(asBuilt) < g.peak(g.Nodes) {
		g.Nodes = asBuilt
	}
}

// peak is how many bytes of values there are at most when nodes run in this order, if
// each has memory of its own until its last use.
func (g *Graph) peak(nodes []Node) int {
	last := make([]int, len(g.Values)) // the node that uses a value last, from 1; 0: none
	for i, n := range nodes {
		for _, id := range slices.Concat(n.In, n.Out) {
			last[id] = i + 1
		}
	}
	own := make([]bool, len(g.Values)) // made here and not a result
	for _, n := range nodes {
		for _, id := range n.Out {
			own[id] = true
		}
	}
	g.results(func(ids []int) {
		for _, id := range ids {
			own[id] = false
		}
	})
	root := viewRoots(nodes, len(g.Values))
	for id, r := range root { // a view keeps the memory that it shows
		if r != id {
			last[r], own[id] = max(last[r], last[id]), false
		}
	}
	dies := make([][]int, len(nodes)+1)
	for id, i := range last {
		if own[id] && i > 0 {
			dies[i] = append(dies[i], id)
		}
	}
	now, most := 0, 0
	for i, n := range nodes {
		for _, id := range n.Out {
			if own[id] {
				now += g.Values[id].Bytes()
			}
		}
		most = max(most, now)
		for _, id := range dies[i+1] {
			now -= g.Values[id].Bytes()
		}
	}
	return most
}
