package cpu

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"weak"

	"github.com/mlxgo/mlx/internal/dtype"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A program is a plan bound to memory: a cell for each bound slot that Run points
// at the caller's buffers, and one for the arena. A stream runs one thing at a time,
// so one arena is enough for any number of callers, and for all programs of a stream.
type program struct {
	q        *queue
	specs    []tensor.Spec // of what is bound
	cells    []*tensor.Buffer
	arena    *tensor.Buffer // a cell
	memory   *arena
	keep     *tensor.Plan // holds the constants
	tasks    []task
	parts    []*run   // of tasks; those that wait for other processes are cut off
	prepared prepared // while tasks are added
	ok       *event   // what a good run returns
	idle     *idle    // made by Dispatch
}

// Prepare binds the steps of a plan.
func (b *backend) Prepare(p *tensor.Plan) (tensor.Program, error) {
	g := &program{q: b.queue(p.Stream), keep: p}
	g.ok = newQueue(p.Stream).last
	for _, l := range [][]tensor.Spec{p.In, p.State, p.Out} {
		g.specs = append(g.specs, l...)
	}
	for range g.specs {
		g.cells = append(g.cells, tensor.Borrow(nil, nil))
	}
	g.arena = tensor.Borrow(nil, nil)
	var err error
	if g.memory, err = g.q.arena(p.Arena); err != nil {
		return nil, err
	}
	var hz hazards
	for i, s := range p.Steps {
		if err := g.add(b, s, &hz); err != nil {
			return nil, fmt.Errorf("step %d: %w", i, err)
		}
	}
	g.parts = newParts(g.tasks)
	return g, nil
}

// newParts cuts a list at the tasks that run alone.
func newParts(ts []task) (parts []*run) {
	from := 0
	for i := range ts {
		if ts[i].alone {
			if from < i {
				parts = append(parts, newRun(ts[from:i]))
			}
			parts = append(parts, newRun(ts[i:i+1]))
			from = i + 1
		}
	}
	if from < len(ts) {
		parts = append(parts, newRun(ts[from:]))
	}
	return parts
}

func (g *program) add(b *backend, s tensor.Step, hz *hazards) error {
	in, out := make([]View, len(s.In)), make([]View, len(s.Out))
	size := 0
	for i, x := range s.In {
		in[i] = g.view(x)
		if !b.Accepts(s.Prim, i, in[i]) {
			return fmt.Errorf("%s: input %d with strides %v needs a copy first", s.Prim.Name(), i, x.Strides)
		}
	}
	for i, x := range s.Out {
		out[i] = g.view(x)
		size += x.Shape.Size()
	}
	if size == 0 {
		return nil
	}
	t, err := bind(s.Prim, in, out)
	if err != nil {
		return fmt.Errorf("%s: %w", s.Prim.Name(), err)
	}
	t.prim = s.Prim
	sync := hz.next(s)
	if t.prep != nil {
		now := prepared{t.prep, extentOf(s.In[0]), s.In[0].DType}
		if g.prepared.same(now) {
			t = t.skip(t.prep.plan.Passes)
		} else {
			g.prepared, sync = now, true // the shared memory may be in use
		}
	}
	if t.alone {
		g.prepared.key = nil // other programs use the shared memory meanwhile
	}
	g.tasks = flatten(g.tasks, t, sync)
	for _, x := range s.Out {
		if overlaps(x, []extent{g.prepared.of}) {
			g.prepared.key = nil // x is no more what was prepared
		}
	}
	return nil
}

// prepared is what shared memory holds: query, key and value products of one x
// prepare it once.
type prepared struct {
	key   *prepKey
	of    extent
	dtype dtype.DType
}

func (p prepared) same(o prepared) bool {
	return p.key != nil && *p.key == *o.key && p.of == o.of && p.dtype == o.dtype
}

func (g *program) view(s tensor.Slot) View {
	v := View{Spec: s.Spec, Strides: s.Strides, Offset: s.Offset}
	p := g.keep
	switch s.Kind {
	case tensor.SlotArena:
		v.Buf = g.arena
	case tensor.SlotIn:
		v.Buf = g.cells[s.Index]
	case tensor.SlotState:
		v.Buf = g.cells[len(p.In)+s.Index]
	case tensor.SlotOut:
		v.Buf = g.cells[len(p.In)+len(p.State)+s.Index]
	case tensor.SlotConst:
		c := &p.Const[s.Index]
		v.Buf, v.Offset = c.Buf, v.Offset+c.Offset
	}
	return v
}

// Run binds and runs in the caller; the event is done. It allocates nothing once
// the scratch memory of the workers has grown.
func (g *program) Run(bind []View) (tensor.Event, error) {
	if err := g.check(bind); err != nil {
		return nil, err
	}
	err := g.q.program(g, bind)
	runtime.KeepAlive(bind)
	if err != nil {
		e := &event{q: g.q, err: err}
		e.ended.Store(true)
		return e, nil
	}
	return g.ok, nil
}

// check says what is wrong with what a program is bound to.
func (g *program) check(bind []View) error {
	if len(bind) != len(g.specs) {
		return fmt.Errorf("program: %d buffers for %d inputs, states and outputs", len(bind), len(g.specs))
	}
	for i := range bind {
		v := &bind[i]
		if !v.Spec.Equal(g.specs[i]) {
			return fmt.Errorf("program: buffer %d is %v, not %v", i, v.Spec, g.specs[i])
		}
		if !v.Contiguous() {
			return fmt.Errorf("program: buffer %d, %v, is not row-major", i, v.Spec)
		}
		if n := len(v.Buf.Host()) - v.Offset; v.Offset < 0 || n < v.Spec.Bytes() {
			return fmt.Errorf("program: buffer %d holds %d bytes, %v needs %d", i, n, v.Spec, v.Spec.Bytes())
		}
	}
	return nil
}

// program runs g in the caller, after all committed batches and before later
// ones. It gives the error of an unseen failure instead of running.
func (q *queue) program(g *program, bind []View) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.step() {
	}
	if q.fault != nil {
		return q.fault
	}
	q.enter()
	err := g.execute(bind)
	q.leave(err)
	q.moved.Broadcast()
	return err
}

func (g *program) execute(bind []View) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	arena := g.memory.buf.Load() // another program may bring a larger one meanwhile
	g.arena.Bind(arena.Host())
	defer func() {
		g.arena.Bind(nil)
		runtime.KeepAlive(arena)
	}()
	for i := range bind {
		g.cells[i].Bind(bind[i].Buf.Host()[bind[i].Offset:])
	}
	var err error
	for _, r := range g.parts {
		if err = runTasks(r.tasks, r, &g.q.scratch); err != nil {
			break
		}
	}
	for _, c := range g.cells {
		c.Bind(nil)
	}
	return err
}

// An arena is the memory for temporaries of all programs of a queue. It lives as
// long as one of them.
type arena struct{ buf atomic.Pointer[tensor.Buffer] }

// arena is that of q, with at least size bytes.
func (q *queue) arena(size int) (*arena, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	a := q.temporaries.Value()
	if a == nil {
		a = &arena{}
		q.temporaries = weak.Make(a)
	}
	if b := a.buf.Load(); b != nil && len(b.Host()) >= size {
		return a, nil
	}
	b, err := tensor.NewArena(q.stream.Device, size)
	if err != nil {
		return nil, err
	}
	a.buf.Store(b)
	return a, nil
}

// hazards decides where a barrier is needed: before a step that touches what an
// unfinished step may write, or writes what one may read.
type hazards struct{ read, written []extent }

// An extent is the bytes that a slot spans.
type extent struct {
	kind   tensor.SlotKind
	index  int
	lo, hi int
}

func extentOf(s tensor.Slot) extent {
	lo, hi := tensor.Extent(s.Spec, s.Strides)
	e := extent{s.Kind, s.Index, s.Offset + lo, s.Offset + hi}
	if s.Kind == tensor.SlotArena {
		e.index = 0
	}
	return e
}

func overlaps(s tensor.Slot, list []extent) bool {
	a := extentOf(s)
	for _, b := range list {
		if a.kind == b.kind && a.index == b.index && a.lo < b.hi && b.lo < a.hi {
			return true
		}
	}
	return false
}

func (h *hazards) next(s tensor.Step) (barrier bool) {
	for _, x := range s.In {
		barrier = barrier || overlaps(x, h.written)
	}
	for _, x := range s.Out {
		barrier = barrier || overlaps(x, h.written) || overlaps(x, h.read)
	}
	if barrier {
		h.read, h.written = h.read[:0], h.written[:0]
	}
	for _, x := range s.In {
		if x.Kind != tensor.SlotConst {
			h.read = append(h.read, extentOf(x))
		}
	}
	for _, x := range s.Out {
		h.written = append(h.written, extentOf(x))
	}
	return barrier
}
