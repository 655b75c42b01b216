package compile

import (
	"slices"

	"github.com/mlxgo/mlx/internal/tensor"
)

// ref is a value in memory: a layout inside a block.
type ref struct {
	block int
	view  tensor.View // Buf is nil
}

// block is memory that a Plan has: a bound slot, a constant, or a range of the
// arena.
type block struct {
	bytes  int
	slot   tensor.Slot // where it lies; Spec and Strides are unused
	placed bool        // false: nowhere yet, in the end the arena
	def    int         // the step that writes it first
	last   int         // the step that uses it last
}

// move is a step of the planner: a primitive on blocks.
type move struct {
	prim    tensor.Primitive
	in, out []ref
}

type planner struct {
	g      *Graph
	b      tensor.Backend
	plan   *tensor.Plan
	blocks []block
	lay    []ref        // of values
	taken  map[int]bool // blocks whose value a state becomes
	copies map[int]ref  // row-major copies of values, for kernels that need them

	first []move // copies of old states, before anything overwrites them
	steps []move
	late  []move // copies to outputs and states
}

// plan lays g out for the backend of stream s. Views cost nothing; a new state is
// written over the old where the order of steps allows it; outputs have memory of
// their own; the rest shares one arena by liveness. Each constant's memory gets
// one more user.
func (g *Graph) plan(s tensor.Stream) (*tensor.Plan, error) {
	p := &planner{
		g: g, b: tensor.BackendFor(s), plan: &tensor.Plan{Stream: s},
		lay: make([]ref, len(g.Values)), taken: map[int]bool{}, copies: map[int]ref{},
	}
	for i, id := range g.In {
		p.bind(id, tensor.SlotIn, i, &p.plan.In)
	}
	for i, id := range g.State {
		p.bind(id, tensor.SlotState, i, &p.plan.State)
	}
	for id, v := range g.Values {
		if v.Const == nil {
			continue
		}
		r, err := p.constant(v.Const)
		if err != nil {
			return nil, err
		}
		p.lay[id] = r
	}
	for _, n := range g.Nodes {
		if err := p.node(n); err != nil {
			return nil, err
		}
	}
	p.results()
	p.states()
	p.arena()
	p.finish()
	return p.plan, nil
}

func (p *planner) newBlock(b block) int {
	p.blocks = append(p.blocks, b)
	return len(p.blocks) - 1
}

// rows is a new row-major block for spec s.
func (p *planner) rows(s tensor.Spec) ref {
	return rowMajor(s, p.newBlock(block{bytes: s.Bytes()}))
}

func rowMajor(s tensor.Spec, block int) ref {
	st, n := make([]int, len(s.Shape)), 1
	for i, d := range slices.Backward(s.Shape) {
		st[i], n = n, n*d
	}
	return ref{block, tensor.View{Spec: s, Strides: st}}
}

func (p *planner) bind(id int, kind tensor.SlotKind, index int, specs *[]tensor.Spec) {
	s := p.g.Values[id].Spec
	*specs = append(*specs, s)
	p.lay[id] = p.rows(s)
	b := &p.blocks[p.lay[id].block]
	b.placed, b.slot = true, tensor.Slot{Kind: kind, Index: index}
}

// constant binds the memory of a, with the strides that it has.
func (p *planner) constant(a *tensor.Array) (ref, error) {
	v, err := tensor.ValueOf(a)
	if err != nil {
		return ref{}, err
	}
	tensor.Retain(v)
	slot := tensor.Slot{Kind: tensor.SlotConst, Index: len(p.plan.Const)}
	p.plan.Const = append(p.plan.Const, v)
	p.plan.Keep = append(p.plan.Keep, a)
	r := ref{p.newBlock(block{bytes: v.Bytes(), slot: slot, placed: true}), v}
	r.view.Buf, r.view.Offset = nil, 0
	return r, nil
}

// node adds the step of a node, if it takes one.
func (p *planner) node(n Node) error {
	if c, ok := n.Prim.(tensor.Const); ok {
		r, err := p.constant(tensor.Apply1(c, p.plan.Stream))
		p.lay[n.Out[0]] = r
		return err
	}
	if v, ok := n.Prim.(tensor.Viewer); ok {
		in := p.lay[n.In[0]]
		if out, ok := v.View(in.view); ok {
			p.lay[n.Out[0]] = ref{in.block, out}
			return nil
		}
	}
	m := move{prim: n.Prim}
	for i, id := range n.In {
		r := p.lay[id]
		if !p.b.Accepts(n.Prim, i, r.view) {
			var err error
			if r, err = p.contiguous(id); err != nil {
				return err
			}
		}
		m.in = append(m.in, r)
	}
	for _, id := range n.Out {
		p.lay[id] = p.rows(p.g.Values[id].Spec)
		m.out = append(m.out, p.lay[id])
	}
	add(&p.steps, m)
	return nil
}

// add appends a step, unless it has nothing to write.
func add(steps *[]move, m move) {
	for _, r := range m.out {
		if r.view.Shape.Size() > 0 {
			*steps = append(*steps, m)
			return
		}
	}
}

func copyStep(from, to ref) move {
	return move{tensor.Contiguous{}, []ref{from}, []ref{to}}
}

// contiguous is a row-major copy of a value: made once here if it is a constant,
// else by a step.
func (p *planner) contiguous(id int) (ref, error) {
	if r, ok := p.copies[id]; ok {
		return r, nil
	}
	r := p.lay[id]
	if b := p.blocks[r.block]; b.placed && b.slot.Kind == tensor.SlotConst {
		v := r.view
		whole := p.plan.Const[b.slot.Index]
		v.Buf, v.Offset = whole.Buf, v.Offset+whole.Offset
		c := tensor.CopyOf(tensor.FromView(v), p.plan.Stream)
		if err := tensor.Eval(c); err != nil {
			return ref{}, err
		}
		var err error
		if r, err = p.constant(c); err != nil {
			return ref{}, err
		}
	} else {
		c := p.rows(r.view.Spec)
		add(&p.steps, copyStep(r, c))
		r = c
	}
	p.copies[id] = r
	return r, nil
}

// whole reports whether r is all of its block, in row-major order.
func (p *planner) whole(r ref) bool {
	return r.view.Offset == 0 && r.view.Contiguous() && r.view.Bytes() == p.blocks[r.block].bytes
}

func (p *planner) isState(r ref) bool {
	b := p.blocks[r.block]
	return b.placed && b.slot.Kind == tensor.SlotState
}

// results places each output in its own slot, by a copy when its block is
// somebody else's. Old states are copied first, before they are overwritten.
func (p *planner) results() {
	for _, id := range p.g.StateOut {
		p.taken[p.lay[id].block] = true
	}
	for k, id := range p.g.Out {
		r := p.lay[id]
		p.plan.Out = append(p.plan.Out, r.view.Spec)
		slot := tensor.Slot{Kind: tensor.SlotOut, Index: k}
		if b := &p.blocks[r.block]; !b.placed && !p.taken[r.block] && p.whole(r) {
			b.placed, b.slot = true, slot
			continue
		}
		to := rowMajor(r.view.Spec, p.newBlock(block{bytes: r.view.Bytes(), slot: slot, placed: true}))
		if p.isState(r) {
			add(&p.first, copyStep(r, to))
		} else {
			add(&p.late, copyStep(r, to))
		}
	}
}

// states makes each new state end up in the buffer of the old, and joins the
// lists of steps.
func (p *planner) states() {
	var inPlace []int // states whose new value may be written over the old
	var last []move
	for s, id := range p.g.StateOut {
		r, old := p.lay[id], p.lay[p.g.State[s]]
		switch {
		case r.block == old.block && p.whole(r):
		case p.isState(r): // by way of a temporary: that state may change meanwhile
			t := p.rows(r.view.Spec)
			add(&p.first, copyStep(r, t))
			add(&last, copyStep(t, old))
		case !p.blocks[r.block].placed && p.whole(r):
			inPlace = append(inPlace, s)
		default:
			add(&last, copyStep(r, old))
		}
	}
	p.steps = slices.Concat(p.first, p.steps, p.late)
	p.live()
	for _, s := range inPlace {
		r, old := p.lay[p.g.StateOut[s]], p.lay[p.g.State[s]]
		if !p.blocks[r.block].placed && p.mayOverwrite(r.block, old.block) {
			p.overwrite(r.block, old.block)
		} else {
			add(&last, copyStep(r, old))
		}
	}
	p.steps = append(p.steps, last...)
	p.live()
}

// overwrite puts block b where state old is, and so the blocks that b is a
// rewritten copy of: a cache that is written twice never exists twice.
func (p *planner) overwrite(b, old int) {
	p.blocks[b].placed, p.blocks[b].slot = true, p.blocks[old].slot
	j := p.blocks[b].def
	if j < 0 {
		return
	}
	s := p.steps[j]
	u, ok := s.prim.(tensor.Reuser)
	if !ok || s.out[0].block != b {
		return
	}
	from := s.in[u.Reuse()].block
	c := p.blocks[from]
	if !c.placed && !p.taken[from] && c.last == j && c.bytes == p.blocks[b].bytes &&
		p.byIndex(j, from, b) && p.mayOverwrite(from, old) {
		p.overwrite(from, old)
	}
}

// mayOverwrite: the step that computes block b may write over state old, because
// nobody reads the old value later, and the step itself reads it index by index.
func (p *planner) mayOverwrite(b, old int) bool {
	j := p.blocks[b].def
	if j < 0 || p.blocks[old].last > j {
		return j < 0 // nothing is written: it is empty
	}
	return p.byIndex(j, old, b)
}

// byIndex: step j may compute block b in the memory of block from, because it
// reads each element of it before it writes that one, if it reads it at all.
func (p *planner) byIndex(j, from, b int) bool {
	s := p.steps[j]
	_, elementwise := s.prim.(tensor.Elementwise)
	reuser, reuses := s.prim.(tensor.Reuser)
	for k, r := range s.in {
		if r.block != from {
			continue
		}
		ok := elementwise && len(s.out) == 1 || reuses && reuser.Reuse() == k && s.out[0].block == b && r.view.Spec.Equal(s.out[0].view.Spec)
		if !ok || !p.whole(r) {
			return false
		}
	}
	return true
}

// live notes where each block is written first and used last.
func (p *planner) live() {
	for i := range p.blocks {
		p.blocks[i].def, p.blocks[i].last = -1, -1
	}
	for i, s := range p.steps {
		for _, r := range s.in {
			p.blocks[r.block].last = i
		}
		for _, r := range s.out {
			b := &p.blocks[r.block]
			if b.last = i; b.def < 0 {
				b.def = i
			}
		}
	}
}
