package compile

import (
	"container/heap"

	"github.com/mlxgo/mlx/internal/tensor"
)

// order moves reads of old states before the nodes that compute the new ones,
// where they do not depend on them: a state that is read for the last time can be
// overwritten. Otherwise it keeps the order in which the function was built.
func order(g *Graph) error {
	def := make([]int, len(g.Values)) // the node that computes a value, or -1
	for i := range def {
		def[i] = -1
	}
	next := make([][]int, len(g.Nodes)) // edges: what must come later
	for i, n := range g.Nodes {
		for _, id := range n.Out {
			def[id] = i
		}
	}
	root := viewRoots(g.Nodes, len(g.Values))
	readers := make([][]int, len(g.Values)) // of placeholders, also through views
	for i, n := range g.Nodes {
		for _, id := range n.In {
			if d := def[id]; d >= 0 {
				next[d] = append(next[d], i)
			}
			readers[root[id]] = append(readers[root[id]], i)
		}
	}
	for s, id := range g.StateOut {
		w := def[root[id]]
		if w < 0 {
			continue
		}
		after := descendants(next, w) // edges to w do not change them
		for _, r := range readers[g.State[s]] {
			if !after[r] {
				next[r] = append(next[r], w)
			}
		}
	}
	sorted := topological(next)
	nodes := make([]Node, len(sorted))
	for i, k := range sorted {
		nodes[i] = g.Nodes[k]
	}
	g.Nodes = nodes
	return nil
}

// viewRoots is, for each value, the one whose memory it shares if it is a view.
func viewRoots(nodes []Node, values int) []int {
	root := make([]int, values)
	for i := range root {
		root[i] = i
	}
	for _, n := range nodes {
		if _, ok := n.Prim.(tensor.Viewer); ok {
			root[n.Out[0]] = root[n.In[0]]
		}
	}
	return root
}

// descendants marks a and what must come after it.
func descendants(next [][]int, a int) []bool {
	seen := make([]bool, len(next))
	seen[a] = true
	stack := []int{a}
	for len(stack) > 0 {
		x := stack[len(stack)-1]
		stack = stack[:len(stack)-1]
		for _, k := range next[x] {
			if !seen[k] {
				seen[k] = true
				stack = append(stack, k)
			}
		}
	}
	return seen
}

// topological sorts nodes so that edges lead forward, earliest numbers first.
func topological(next [][]int) []int {
	waits := make([]int, len(next))
	for _, l := range next {
		for _, k := range l {
			waits[k]++
		}
	}
	var ready smallest
	for i, w := range waits {
		if w == 0 {
			heap.Push(&ready, i)
		}
	}
	var out []int
	for len(ready) > 0 {
		i := heap.Pop(&ready).(int)
		out = append(out, i)
		for _, k := range next[i] {
			if waits[k]--; waits[k] == 0 {
				heap.Push(&ready, k)
			}
		}
	}
	return out
}

type smallest []int

func (h smallest) Len() int           { return len(h) }
func (h smallest) Less(i, j int) bool { return h[i] < h[j] }
func (h smallest) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *smallest) Push(x any)        { *h = append(*h, x.(int)) }
func (h *smallest) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}
