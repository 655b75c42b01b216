package mlx

import (
	"bufio"
	"fmt"
	"io"
	"runtime"

	"github.com/mlxgo/mlx/internal/tensor"
)

// ExportToDot is mx.export_to_dot: the graph that the arrays still wait for, for
// Graphviz. Ops are boxes; arrays are ellipses with their shape and dtype, named A, B,
// and so on. What has been computed has no op any more. Equal graphs give equal texts.
func ExportToDot(w io.Writer, outs ...*Array) error {
	d := &dotWriter{w: bufio.NewWriter(w), names: map[tensor.Node]string{}, ops: map[tensor.Op]bool{}, sinks: map[tensor.Node]bool{}}
	var roots []tensor.Node
	for _, a := range outs {
		if a == nil {
			tensor.Throw("export_to_dot", nil, "an array is nil")
		}
		n := tensor.NodeOf(a)
		roots, d.sinks[n] = append(roots, n), true
	}
	fmt.Fprintln(d.w, "digraph {")
	for _, n := range roots {
		d.walk(n)
	}
	fmt.Fprintln(d.w, "}")
	runtime.KeepAlive(outs)
	runtime.KeepAlive(d.hold)
	return d.w.Flush()
}

// A dotWriter writes each op once, after those that it needs.
type dotWriter struct {
	w     *bufio.Writer
	names map[tensor.Node]string
	ops   map[tensor.Op]bool
	sinks map[tensor.Node]bool
	hold  []*Array // what the nodes stand for stays
	count int      // ops written
}

// walk has its own stack: graphs may be deeper than that of a goroutine.
func (d *dotWriter) walk(root tensor.Node) {
	type visit struct {
		op      tensor.Op
		in, out []tensor.Node
	}
	var stack []visit
	enter := func(n tensor.Node) {
		op, in, out, hold, ok := n.Expand()
		if !ok {
			d.name(n, "source")
		} else if !d.ops[op] {
			d.ops[op] = true
			d.hold = append(d.hold, hold...)
			stack = append(stack, visit{op, in, out})
		}
	}
	enter(root)
	next := []int{0}
	for len(stack) > 0 {
		top := len(stack) - 1
		v := &stack[top]
		if at := next[top]; at < len(v.in) {
			next[top]++
			enter(v.in[at])
			if len(stack) > len(next) {
				next = append(next, 0)
			}
			continue
		}
		d.write(v.op, v.in, v.out)
		stack, next = stack[:top], next[:top]
	}
}

// name writes an array where it is met first.
func (d *dotWriter) name(n tensor.Node, rank string) string {
	if s, ok := d.names[n]; ok {
		return s
	}
	s := letters(len(d.names))
	d.names[n] = s
	if d.sinks[n] && rank == "" {
		rank = "sink"
	}
	spec := n.Spec()
	fmt.Fprintf(d.w, "{ ")
	if rank != "" {
		fmt.Fprintf(d.w, "rank=%s; ", rank)
	}
	fmt.Fprintf(d.w, "%q [label=%q]; }\n", s, fmt.Sprintf("%s\n%v %v", s, spec.DType, spec.Shape))
	return s
}

func (d *dotWriter) write(op tensor.Op, in, out []tensor.Node) {
	id := d.count
	d.count++
	fmt.Fprintf(d.w, "{ %d [label=%q, shape=rectangle]; }\n", id, op.Prim().Name())
	for _, n := range in {
		fmt.Fprintf(d.w, "%q -> %d\n", d.name(n, "source"), id)
	}
	for _, n := range out {
		fmt.Fprintf(d.w, "%d -> %q\n", id, d.name(n, ""))
	}
}

// letters is A to Z, AA to ZZ and so on.
func letters(i int) string {
	s := ""
	for i++; i > 0; i = (i - 1) / 26 {
		s = string(rune('A'+(i-1)%26)) + s
	}
	return s
}
