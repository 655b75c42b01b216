package metal

import (
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A queue is the device's side of a stream. Commands gather until there are enough of
// them, or until somebody wants an event; then they are committed, and the device runs
// them while more are encoded.
type queue struct {
	b      *backend
	stream tensor.Stream
	dev    gpu.Queue
	end    gpu.Event // reaches the number of a batch when it has ended
	host   gpu.Event // reaches the number of a wait when the host's work has ended

	mu      sync.Mutex
	enc     encoder
	batch   *event    // what is encoded now
	cmds    []gpu.Cmd // of the batch, but for what the encoder holds
	written int       // bytes of its results
	apart   bool      // a barrier comes before the next dispatch
	flight  []*event  // committed, oldest first
	last    *event
	ended   uint64 // number of the last batch that was made
	waited  uint64 // number of the last wait
	fault   error  // of a failed batch, until it is seen

	todo hostWork
}

// An event is a batch and its end.
type event struct {
	q      *queue
	number uint64
	ended  atomic.Bool
	done   chan struct{}
	err    error    // before the end: poison. Guarded by q.mu until ended
	told   bool     // somebody got err. Guarded by q.mu
	needs  []*event // of other queues, which the device waits for
	keep   []*tensor.Buffer
}

// hostWork is what the device waits for on the host, done in order by one goroutine.
type hostWork struct {
	mu      sync.Mutex
	list    []func()
	running bool
}

func (h *hostWork) add(f func()) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.list = append(h.list, f)
	if !h.running {
		h.running = true
		go h.run()
	}
}

func (h *hostWork) run() {
	for {
		h.mu.Lock()
		if len(h.list) == 0 {
			h.running = false
			h.mu.Unlock()
			return
		}
		f := h.list[0]
		h.list = h.list[1:]
		h.mu.Unlock()
		f()
	}
}

func newQueue(b *backend, s tensor.Stream) (*queue, error) {
	dev, err := b.dev.NewQueue()
	if err != nil {
		return nil, err
	}
	q := &queue{b: b, stream: s, dev: dev}
	if q.end, err = b.dev.NewEvent(); err != nil {
		return nil, err
	}
	if q.host, err = b.dev.NewEvent(); err != nil {
		return nil, err
	}
	q.enc.b = b
	q.last = ended(q)
	return q, nil
}

// Encode adds p to the open batch.
func (q *queue) Encode(p tensor.Primitive, in, out []View) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if c, ok := p.(tensor.Caller); ok {
		return q.call(c, in, out)
	}
	q.open()
	in, err := q.allOurs(in)
	if err != nil {
		return err
	}
	if err := q.enc.add(p, in, out); err != nil {
		return err
	}
	for i := range out {
		q.written += out[i].Spec.Bytes()
	}
	if l := q.b.limits; len(q.enc.cmds) >= l.ops || q.written >= l.bytes {
		q.commit()
	}
	return nil
}

// add encodes one primitive, or nothing of it.
func (e *encoder) add(p tensor.Primitive, in, out []View) error {
	n := len(e.cmds)
	var err error
	if tooLarge(in) || tooLarge(out) {
		err = noKernel("more than %d elements", maxSize)
	} else if err = encode(e, p, in, out); err == nil {
		err = e.err
	}
	e.err = nil
	if f := observer.Load(); f != nil {
		(*f)(p, in, out, err)
	}
	if err == nil {
		e.tellKernels(p, n)
		return nil
	}
	if len(e.cmds) > n { // what was touched before is not known any more
		e.cmds = append(e.cmds[:n], command{})
		e.hz.clear()
	}
	return e.b.leave(p, out[0].DType, err)
}

func tooLarge(vs []View) bool {
	return slices.ContainsFunc(vs, func(v View) bool { return v.Shape.Size() > maxSize })
}

// observer is told of each primitive that was encoded, or was not.
var observer atomic.Pointer[func(p tensor.Primitive, in, out []View, err error)]

// Observe calls f, under the lock of a queue, with each primitive that is encoded from now
// on and what came of it; nil ends it. It is for tests and the table of what runs where.
func Observe(f func(p tensor.Primitive, in, out []View, err error)) {
	if f == nil {
		observer.Store(nil)
		return
	}
	observer.Store(&f)
}

// open begins a batch if there is none. What it does comes after all earlier batches.
func (q *queue) open() {
	if q.batch == nil {
		q.apart = true
		q.ended++
		q.batch = &event{q: q, number: q.ended, done: make(chan struct{})}
	}
}

// Wait makes later work start after e.
func (q *queue) Wait(e tensor.Event) {
	x, ok := e.(*event)
	if ok && x.q == q {
		return // in order anyway
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.flushEncoder()
	q.open()
	bt := q.batch
	if ok {
		q.cmds = append(q.cmds, gpu.Cmd{Op: gpu.Wait, Event: x.q.end, Value: x.number})
		bt.needs = append(bt.needs, x)
		return
	}
	q.onHost(e.Wait, bt)
}

// onHost makes later commands of the queue wait until f has returned, which runs after
// earlier such functions. Its error is that of bt.
func (q *queue) onHost(f func() error, bt *event) {
	q.waited++
	n := q.waited
	q.cmds = append(q.cmds, gpu.Cmd{Op: gpu.Wait, Event: q.host, Value: n})
	q.todo.add(func() {
		if err := f(); err != nil {
			q.mu.Lock()
			if bt.err == nil {
				bt.err = fmt.Errorf("%w", err) // see compares errors
			}
			q.mu.Unlock()
		}
		q.host.Set(n)
	})
}

// flushEncoder moves what was encoded to the commands of the batch.
func (q *queue) flushEncoder() {
	q.appendCommands(q.enc.cmds, nil)
	if q.batch != nil {
		q.batch.keep = append(q.batch.keep, q.enc.keep...)
	}
	q.enc.cmds, q.enc.keep = q.enc.cmds[:0], nil
}

// appendCommands turns commands into the device's; bound has the cells of a Program.
func (q *queue) appendCommands(cmds []command, bound []arg) {
	for i := range cmds {
		c := &cmds[i]
		if c.kernel == nil {
			q.apart = true
			continue
		}
		if q.apart {
			q.cmds = append(q.cmds, gpu.Cmd{Op: gpu.Barrier})
			q.apart = false
		}
		args := make([]gpu.Arg, len(c.args))
		for j, a := range c.args {
			switch {
			case a.bytes != nil:
				args[j] = gpu.Arg{Bytes: a.bytes}
			case a.cell > 0:
				args[j] = gpu.Arg{Buffer: bound[a.cell-1].buf, Offset: bound[a.cell-1].off + a.off}
			default:
				args[j] = gpu.Arg{Buffer: a.buf, Offset: a.off}
			}
		}
		q.cmds = append(q.cmds, gpu.Cmd{Kernel: c.kernel, Args: args, Threadgroup: c.threadgroup, Grid: c.grid, Group: c.group})
	}
}

// commit gives the open batch to the device. The next one begins with a barrier.
func (q *queue) commit() {
	if q.batch == nil {
		return
	}
	q.flushEncoder()
	q.enc.hz.clear()
	e := q.batch
	q.batch, q.written = nil, 0
	if e.err == nil {
		e.err = q.fault
	}
	q.last = e
	q.flight = append(q.flight, e)
	q.cmds = append(q.cmds, gpu.Cmd{Op: gpu.Signal, Event: q.end, Value: e.number})
	err := q.dev.Encode(q.cmds)
	clear(q.cmds)
	q.cmds = q.cmds[:0]
	q.dev.Commit(func(failed error, _ float64) {
		if failed == nil {
			failed = err
		}
		q.finished(e, failed)
	})
}

// finished is called in the order of commits.
func (q *queue) finished(e *event, err error) {
	q.mu.Lock()
	q.flight = q.flight[1:]
	if e.err == nil && err != nil {
		e.err = err
	}
	for _, x := range e.needs {
		if e.err == nil && x.err != nil {
			e.err = fmt.Errorf("%w", x.err)
		}
	}
	if e.err != nil && q.fault == nil {
		q.fault = e.err
		for _, p := range q.flight {
			if p.err == nil {
				p.err = e.err
			}
		}
	}
	e.keep, e.needs = nil, nil
	e.ended.Store(true)
	q.mu.Unlock()
	close(e.done)
}

// Signal ends the present batch.
func (q *queue) Signal() tensor.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.commit()
	if q.last.told { // its error is not that of what comes later
		q.last = ended(q)
	}
	return q.last
}

// ended is the end of a batch of nothing.
func ended(q *queue) *event {
	e := &event{q: q, done: make(chan struct{})}
	e.ended.Store(true)
	close(e.done)
	return e
}

// Flush does nothing: committed work runs by itself.
func (*queue) Flush() {}

// Done reports whether the batch has ended.
func (e *event) Done() bool { return e.ended.Load() }

// Wait blocks until the batch has ended.
func (e *event) Wait() error {
	<-e.done
	if e.err != nil {
		e.q.see(e)
	}
	return e.err
}

// see ends the poisoning: from now on somebody knows.
func (q *queue) see(e *event) {
	q.mu.Lock()
	defer q.mu.Unlock()
	e.told = true
	err := e.err
	if q.fault == nil || q.fault != err {
		return
	}
	q.fault = nil
	if q.batch != nil && q.batch.err == nil { // it holds work from before
		q.batch.err = err
	}
}
