package metal

import (
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A program is a Plan as commands with cells for what is bound: the arena, then inputs,
// states and results.
type program struct {
	q     *queue
	plan  *tensor.Plan
	specs []tensor.Spec
	cells []*tensor.Buffer
	fixed []View // the plan's constants
	arena *tensor.Buffer
	cmds  []command
	keep  []*tensor.Buffer
}

// Prepare encodes the steps of a plan.
func (b *backend) Prepare(p *tensor.Plan) (tensor.Program, error) {
	q, err := b.queue(p.Stream)
	if err != nil {
		return nil, err
	}
	g := &program{q: q, plan: p}
	for _, l := range [][]tensor.Spec{p.In, p.State, p.Out} {
		g.specs = append(g.specs, l...)
	}
	e := encoder{b: b, cells: map[*tensor.Buffer]int{}}
	for i := range len(g.specs) + 1 {
		c := tensor.Borrow(nil, nil)
		g.cells = append(g.cells, c)
		e.cells[c] = i
	}
	if g.arena, err = tensor.NewArena(p.Stream.Device, p.Arena); err != nil {
		return nil, err
	}
	for _, c := range p.Const {
		if c, err = settled(c); err != nil {
			return nil, err
		}
		g.fixed = append(g.fixed, c)
	}
	for i, s := range p.Steps {
		if err := g.add(&e, s); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
	}
	g.cmds, g.keep = e.cmds, e.keep
	return g, nil
}

func (g *program) add(e *encoder, s tensor.Step) error {
	in, out := make([]View, len(s.In)), make([]View, len(s.Out))
	size, taken := 0, true
	for i, x := range s.In {
		in[i] = g.view(x)
		taken = taken && e.b.Accepts(s.Prim, i, in[i])
	}
	for i, x := range s.Out {
		out[i] = g.view(x)
		size += x.Shape.Size()
	}
	if size == 0 {
		return nil
	}
	if !taken {
		return fmt.Errorf("%s: an input needs a copy first", s.Prim.Name())
	}
	err := e.add(s.Prim, in, out)
	if errors.Is(err, tensor.ErrUnsupported) {
		err = g.addHost(e, s)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", s.Prim.Name(), err)
	}
	return nil
}

func (g *program) view(s tensor.Slot) View {
	v := View{Spec: s.Spec, Strides: s.Strides, Offset: s.Offset}
	if s.Kind == tensor.SlotConst {
		c := &g.fixed[s.Index]
		v.Buf, v.Offset = c.Buf, v.Offset+c.Offset
		return v
	}
	v.Buf = g.cells[g.cell(s)]
	return v
}

// cell is the number of the cell of a slot that is bound.
func (g *program) cell(s tensor.Slot) int {
	switch p := g.plan; s.Kind {
	case tensor.SlotIn:
		return 1 + s.Index
	case tensor.SlotState:
		return 1 + len(p.In) + s.Index
	case tensor.SlotOut:
		return 1 + len(p.In) + len(p.State) + s.Index
	}
	return 0 // the arena
}

// Run binds and commits; the event is that of the batch.
func (g *program) Run(bind []View) (tensor.Event, error) {
	g.q.mu.Lock()
	defer g.q.mu.Unlock()
	if err := g.enqueue(bind); err != nil {
		return nil, err
	}
	g.q.commit()
	return g.q.last, nil
}

// call adds a program to the open batch.
func (q *queue) call(c tensor.Caller, in, out []View) error {
	g, ok := c.Program().(*program)
	if !ok || g.q != q {
		return noKernel("the program was made for another stream")
	}
	in = in[:min(len(in), len(g.plan.In))] // without tokens of effects
	return g.enqueue(append(append([]View(nil), in...), out...))
}

// enqueue adds the commands, after all that was encoded before.
func (g *program) enqueue(bind []View) error {
	if err := g.check(bind); err != nil {
		return err
	}
	q := g.q
	bound := make([]arg, len(g.cells))
	var err error
	if bound[0].buf, bound[0].off, err = q.b.place(g.arena); err != nil {
		return err
	}
	bind = append([]View(nil), bind...)
	for i := range bind {
		if i < len(g.plan.In) {
			if bind[i], err = q.bindable(bind[i]); err != nil {
				return err
			}
		} else if !aligned(&bind[i]) {
			return fmt.Errorf("program: buffer %d begins at byte %d, where no %v may be", i, bind[i].Offset, bind[i].DType)
		}
		a := &bound[i+1]
		if a.buf, a.off, err = q.b.place(bind[i].Buf); err != nil {
			return err
		}
		a.off += bind[i].Offset
	}
	q.flushEncoder()
	q.open()
	q.separate()
	used := append([]*tensor.Buffer{g.arena}, g.keep...)
	for i := range bind {
		used = append(used, bind[i].Buf)
	}
	q.batch.keep = append(q.batch.keep, used...)
	from := 0
	for i := range g.cmds {
		if h := g.cmds[i].host; h != nil {
			q.appendCommands(g.cmds[from:i], bound)
			from = i + 1
			h.enqueue(q, g, bind)
			q.batch.keep = append(q.batch.keep, used...) // it is another one now
		}
	}
	q.appendCommands(g.cmds[from:], bound)
	q.separate()
	return nil
}

// separate puts a barrier between programs and what is around them.
func (q *queue) separate() {
	q.enc.hz.clear()
	q.apart = true
}

// check says what is wrong with what a program is bound to.
func (g *program) check(bind []View) error {
	if len(bind) != len(g.specs) {
		return fmt.Errorf("program: %d buffers for %d inputs, states and outputs", len(bind), len(g.specs))
	}
	for i := range bind {
		v := &bind[i]
		if !v.Spec.Equal(g.specs[i]) || !v.Contiguous() {
			return fmt.Errorf("program: buffer %d is %v with strides %v, not %v in rows", i, v.Spec, v.Strides, g.specs[i])
		}
	}
	return nil
}
