package tensor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
)

// graph guards values, freeing and handles. It is held while Eval walks and
// encodes, never while kernels run.
var graph struct {
	sync.Mutex
	walk uint64
}

// interiorLimit is the size of an Eval's intermediates from which on it first
// runs a collection, so that dead weak handles tell them from results.
const interiorLimit = 64 << 20

var errAbstract = errors.New("an abstract value has no data: inside compile or vmap it cannot be read, and outside it has escaped")

// Eval computes as and waits. Errors are faults of kernels, devices and memory,
// and *Error for abstract or donated values.
func Eval(as ...*Array) error {
	events, err := schedule(as)
	for _, e := range events {
		if werr := e.Wait(); err == nil {
			err = werr
		}
	}
	trimCache()
	return err
}

// AsyncEval is Eval that does not wait: a fault is returned by whoever reads.
func AsyncEval(as ...*Array) error {
	_, err := schedule(as)
	streams.RLock()
	defer streams.RUnlock()
	for _, st := range streams.state {
		st.q.Flush()
	}
	return err
}

// schedule encodes what as needs and returns the events that they wait for.
func schedule(as []*Array) ([]Event, error) {
	graph.Lock()
	defer graph.Unlock()
	var err error
	if fault := Try(func() { err = encodeAll(as) }); fault != nil { // a stream that cannot be opened
		err = fault
	}
	var events []Event
	for _, a := range as {
		if a == nil || a.n == nil || a.n.batch == nil {
			continue
		}
		b := a.n.batch
		e := b.signal()
		if len(events) == 0 || events[len(events)-1] != e {
			events = append(events, e)
		}
	}
	if err != nil { // what was encoded before the fault must still run
		streams.RLock()
		for _, st := range streams.state {
			if st.open != nil {
				st.open.signal()
			}
		}
		streams.RUnlock()
	}
	runtime.KeepAlive(as)
	return events, err
}

// signal closes an open batch and returns its event.
func (b *batch) signal() Event {
	if b.ev == nil {
		b.ev = b.st.q.Signal()
		b.closed.Store(true)
		b.st.open = nil
	}
	return b.ev
}

// current is the batch that work of st joins.
func (st *streamState) current() *batch {
	if st.open == nil {
		st.open = &batch{st: st}
	}
	return st.open
}

func encodeAll(as []*Array) error {
	graph.walk++
	w := walk{mark: graph.walk}
	for _, a := range as {
		if err := a.unusable(); err != nil {
			return &Error{Op: "eval", Err: err}
		}
		if err := w.visit(a.n); err != nil {
			return err
		}
	}
	if w.interior > interiorLimit {
		runtime.GC()
	}
	for _, o := range w.order {
		if err := o.encode(); err != nil {
			return err
		}
	}
	return nil
}

// walk lists the ops to encode, inputs first.
type walk struct {
	mark     uint64
	order    []*op
	interior int
	stack    []frame
}

type frame struct {
	o    *op
	next int
}

// ready reports whether n needs no op: it has a value, or it was seen.
func (w *walk) ready(n *node) (bool, error) {
	if n.val != nil {
		return true, n.settle()
	}
	if n.op == nil || n.op.state != built {
		if n.freed {
			return false, &Error{Op: "eval", In: []Spec{n.Spec}, Err: errors.New("the value was donated and is gone")}
		}
		return false, &Error{Op: "eval", In: []Spec{n.Spec}, Err: errAbstract}
	}
	return n.op.mark == w.mark, nil
}

// settle forgets a batch that has ended well, and returns the fault of one that
// has not.
func (n *node) settle() error {
	if n.batch == nil || !n.batch.done() {
		return nil
	}
	if err := n.batch.ev.Wait(); err != nil {
		return err
	}
	n.batch = nil
	return nil
}

// visit walks depth first with its own stack: graphs may be a million ops deep.
func (w *walk) visit(n *node) error {
	if ok, err := w.ready(n); ok || err != nil {
		return err
	}
	n.op.mark = w.mark
	w.stack = append(w.stack[:0], frame{o: n.op})
	for len(w.stack) > 0 {
		f := &w.stack[len(w.stack)-1]
		if f.next < len(f.o.in) {
			i := f.o.in[f.next]
			f.next++
			ok, err := w.ready(i)
			if err != nil {
				return err
			}
			if !ok {
				i.op.mark = w.mark
				w.stack = append(w.stack, frame{o: i.op})
			}
			continue
		}
		w.order = append(w.order, f.o)
		for _, out := range f.o.outs {
			if b := out.Bytes(); b >= offHeapMin {
				w.interior += b
			}
		}
		w.stack = w.stack[:len(w.stack)-1]
	}
	return nil
}

// encode gives the op to its stream's queue. The evaluator allocates, kernels fill.
func (o *op) encode() error {
	st := stateOf(o.stream)
	in := make([]View, len(o.in))
	for i, n := range o.in {
		in[i] = *n.val
	}
	if o.share(in) {
		o.finish()
		return nil
	}
	if err := o.await(st); err != nil {
		return err
	}
	if f, ok := o.prim.(Fallible); ok && st.open != nil && f.MayFail() {
		st.open.signal()
	}
	b := backendOf(o.stream.Device)
	bt := st.current()
	temps, err := o.accept(b, o.stream.Device, st, bt, in)
	if err != nil {
		return err
	}
	vals, err := o.outputs(st, in)
	if err != nil {
		return err
	}
	if err := o.enqueue(st, in, vals); err != nil {
		return err
	}
	bt = st.current() // another one if the op fell back
	for i := range in {
		in[i].Buf.touch(bt)
	}
	for i, n := range o.outs {
		val := &vals[i]
		if len(vals) > 1 { // a result that is kept must not keep the others
			val = new(View)
			*val = vals[i]
		}
		val.Buf.touch(bt)
		n.val, n.batch = val, bt
	}
	for _, t := range temps {
		t.release()
	}
	o.finish()
	return nil
}

// share gives the results the memory of inputs, where the op is a view or a mark.
func (o *op) share(in []View) bool {
	from := 0
	var view View
	switch v := o.prim.(type) {
	case Forwarder:
		from = v.Forwards()
	case Viewer:
		var ok bool
		if view, ok = v.View(in[0]); !ok {
			return false
		}
	default:
		return false
	}
	for i, n := range o.outs {
		out := in[from+i]
		if view.Buf != nil {
			out = view
		}
		out.Buf.refs.Add(1)
		n.val, n.batch = &out, o.in[from+i].batch
	}
	return true
}

func (o *op) enqueue(st *streamState, in, out []View) error {
	if invariants {
		for _, v := range in {
			v.check(o.prim.Name())
		}
		for _, v := range out {
			v.check(o.prim.Name())
		}
	}
	size := 0
	for _, v := range out {
		size += v.Shape.Size()
	}
	if size == 0 {
		return nil
	}
	err := st.q.Encode(o.prim, in, out)
	if err != nil && o.stream.Device.Kind != KindCPU && errors.Is(err, ErrUnsupported) {
		err = o.fallBack(st, in, out)
	}
	if err == nil {
		return nil
	}
	specs := make([]Spec, len(in))
	for i := range in {
		specs[i] = in[i].Spec
	}
	if errors.Is(err, ErrUnsupported) {
		err = fmt.Errorf("%w on %v", err, o.stream.Device)
	}
	return &Error{Op: o.prim.Name(), In: specs, Err: err}
}

// await orders the op after inputs that other streams compute.
func (o *op) await(st *streamState) error {
	for _, n := range o.in {
		b := n.batch
		if b == nil || b.st == st && !b.done() {
			continue
		}
		e := b.signal() // done on the same stream: it may have failed since the walk
		if e.Done() {
			if err := e.Wait(); err != nil {
				return err
			}
			continue
		}
		st.q.Wait(e)
	}
	return nil
}

// accept replaces inputs whose layout the kernel does not take by copies.
func (o *op) accept(b Backend, d Device, st *streamState, bt *batch, in []View) (temps []*Buffer, err error) {
	for i := range in {
		if b.Accepts(o.prim, i, in[i]) {
			continue
		}
		c, err := allocView(d, in[i].Spec, st)
		if err != nil {
			return nil, err
		}
		if c.Shape.Size() > 0 {
			if err := st.q.Encode(Contiguous{}, []View{in[i]}, []View{c}); err != nil {
				return nil, &Error{Op: o.prim.Name(), In: []Spec{in[i].Spec}, Err: err}
			}
		}
		in[i].Buf.touch(bt)
		c.Buf.touch(bt)
		in[i] = c
		temps = append(temps, c.Buf)
	}
	return temps, nil
}

func (o *op) outputs(st *streamState, in []View) ([]View, error) {
	vals := make([]View, len(o.outs))
	reuse := -1
	if r, ok := o.prim.(Reuser); ok {
		reuse = r.Reuse()
	}
	for i, n := range o.outs {
		if i == 0 && reuse >= 0 && o.mayTake(reuse, n, st) {
			vals[0] = in[reuse]
			vals[0].Buf.refs.Add(1)
			continue
		}
		v, err := allocView(o.stream.Device, n.Spec, st)
		if err != nil {
			return nil, &Error{Op: o.prim.Name(), In: []Spec{n.Spec}, Err: err}
		}
		vals[i] = v
	}
	return vals, nil
}

// mayTake: the input was donated, nobody else waits for it, it fits, its memory
// is ours and no other stream has still to read it, and this op is on no tape
// (its rule would read the input).
func (o *op) mayTake(i int, out *node, st *streamState) bool {
	n := o.in[i]
	return n.donated.Load() && n.uses.Load() == 1 && n.val.Buf.refs.Load() == 1 && n.val.Buf.owner == nil &&
		(n.val.Buf.mem != nil || o.stream.Device.Kind == KindCPU) &&
		n.Spec.Equal(out.Spec) && n.val.Contiguous() && countLive(out.traces) == 0 && n.val.Buf.only(st, n.batch)
}

func allocView(d Device, s Spec, st *streamState) (View, error) {
	b, err := newBuffer(d, s.Bytes(), st, Other)
	if err != nil {
		return View{}, err
	}
	b.refs.Store(1)
	return RowMajorView(s, b), nil
}

// finish lets the inputs go, or keeps them as the tape of a live trace.
func (o *op) finish() {
	o.state = encoded
	if countLive(o.outs[0].traces) == 0 {
		o.drop()
		return
	}
	for _, t := range o.outs[0].traces {
		if t.Live() {
			t.kept = append(t.kept, o)
		}
	}
}

func (o *op) drop() {
	for _, n := range o.in {
		if n.uses.Add(-1) == 0 && n.handleDead() {
			n.free()
		}
	}
	o.in, o.inBuf, o.state = nil, [2]*node{}, dropped
	if len(o.outs) > 1 { // a lone result lies inside the op
		for _, n := range o.outs {
			n.op = nil
		}
		o.outs = nil
	}
}

func (n *node) handleDead() bool {
	return n.donated.Load() || n.Bytes() >= offHeapMin && n.handle.Value() == nil
}

func (n *node) free() {
	if n.val == nil {
		return
	}
	b := n.val.Buf
	n.val, n.freed = nil, true
	if b.refs.Add(-1) == 0 && b.owner == nil {
		b.release()
	}
}
