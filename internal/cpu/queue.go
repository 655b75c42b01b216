package cpu

import (
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"weak"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A queue is the CPU's side of a stream. Batches run in the order in which they
// were committed, one at a time. Those of stream 0 run in the goroutine that
// waits for them; other streams, and Flush, have a goroutine while there is work.
//
// A batch that fails poisons every batch that is committed before somebody sees
// the failure: what they read may never have been computed. Later ones run.
type queue struct {
	stream  tensor.Stream
	scratch scratch // of whoever runs the queue

	temporaries weak.Pointer[arena] // of its programs

	mu       sync.Mutex
	moved    sync.Cond // a batch has ended, or the queue is free
	open     []item    // encoded since the last Signal
	pending  []*event  // committed
	last     *event
	spare    []task // memory for the next batch
	running  bool
	draining bool  // a goroutine empties pending
	fault    error // of a failed batch, until it is seen
	tainted  error // the open batch holds work from before a failure was seen
}

// An item is work in order: tasks, an event of another stream to wait for, or a
// program with what it is bound to.
type item struct {
	tasks   []task
	wait    tensor.Event
	program *program
	bind    []View
}

// An event is a batch of a queue and its end.
type event struct {
	q     *queue
	items []item
	ended atomic.Bool
	err   error // before the end: poison
}

func newQueue(s tensor.Stream) *queue {
	q := &queue{stream: s}
	q.moved.L = &q.mu
	q.last = &event{q: q}
	q.last.ended.Store(true)
	return q
}

// Encode binds p and adds its tasks to the open batch.
func (q *queue) Encode(p tensor.Primitive, in, out []View) error {
	if c, ok := p.(tensor.Caller); ok {
		return q.call(c, in, out)
	}
	t, err := bind(p, in, out)
	if err != nil {
		return err
	}
	t.prim = p
	q.mu.Lock()
	defer q.mu.Unlock()
	if t.alone {
		q.open = append(q.open, item{tasks: []task{t}})
		return nil
	}
	n := len(q.open)
	if n == 0 || q.open[n-1].tasks == nil || q.open[n-1].tasks[0].alone {
		q.open = append(q.open, item{})
		n = len(q.open)
	}
	it := &q.open[n-1]
	if it.tasks == nil {
		it.tasks, q.spare = q.spare, nil
	}
	it.tasks = flatten(it.tasks, t, true)
	return nil
}

// call adds a program to the open batch.
func (q *queue) call(c tensor.Caller, in, out []View) error {
	g, ok := c.Program().(*program)
	if !ok || g.q != q {
		return fmt.Errorf("%w: the program was made for another stream", tensor.ErrUnsupported)
	}
	in = in[:min(len(in), len(g.keep.In))] // without tokens of effects
	bind := append(append([]View(nil), in...), out...)
	if err := g.check(bind); err != nil {
		return err
	}
	q.mu.Lock()
	q.open = append(q.open, item{program: g, bind: bind})
	q.mu.Unlock()
	return nil
}

// Wait makes later work start after e.
func (q *queue) Wait(e tensor.Event) {
	if x, ok := e.(*event); ok && x.q == q {
		return // in order anyway
	}
	q.mu.Lock()
	q.open = append(q.open, item{wait: e})
	q.mu.Unlock()
}

// Signal ends the present batch.
func (q *queue) Signal() tensor.Event {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.open) == 0 {
		return q.last
	}
	e := &event{q: q, items: q.open, err: q.tainted}
	q.open, q.tainted = nil, nil
	if e.err == nil {
		e.err = q.fault
	}
	q.pending = append(q.pending, e)
	q.last = e
	if q.stream.ID != 0 {
		q.drainLocked()
	}
	return e
}

// Flush makes the committed batches run without a waiter.
func (q *queue) Flush() {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.drainLocked()
}

func (q *queue) drainLocked() {
	if q.draining || len(q.pending) == 0 {
		return
	}
	q.draining = true
	go func() {
		q.mu.Lock()
		defer q.mu.Unlock()
		for q.step() {
		}
		q.draining = false
	}()
}

// step runs the next batch, or waits until somebody else has run it; false when
// there is none left. The lock is held but while a batch runs.
func (q *queue) step() bool {
	if q.running {
		q.moved.Wait()
		return len(q.pending) > 0 || q.running
	}
	if len(q.pending) == 0 {
		return false
	}
	e := q.pending[0]
	copy(q.pending, q.pending[1:])
	q.pending[len(q.pending)-1] = nil
	q.pending = q.pending[:len(q.pending)-1]
	err := e.err
	if err == nil { // not poisoned
		q.enter()
		err = q.execute(e.items)
		q.leave(err)
	}
	q.recycle(e.items)
	e.items, e.err = nil, err
	e.ended.Store(true)
	q.moved.Broadcast()
	return true
}

// enter and leave bracket the running of a batch, without the lock.
func (q *queue) enter() {
	q.running = true
	q.mu.Unlock()
}

func (q *queue) leave(err error) {
	q.mu.Lock()
	q.running = false
	if err == nil || q.fault != nil {
		return
	}
	q.fault = err
	for _, p := range q.pending {
		if p.err == nil {
			p.err = err
		}
	}
}

// recycle keeps the memory of a batch of ordinary size that ran on the caller: a
// late worker may still look at the tasks of others.
func (q *queue) recycle(items []item) {
	for i := range items {
		if t := items[i].tasks; q.spare == nil && 0 < cap(t) && cap(t) <= 4096 && parallel(t) < parallelCost {
			clear(t)
			q.spare = t[:0]
		}
	}
}

// execute runs the items of one batch.
func (q *queue) execute(items []item) error {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	for i := range items {
		it := &items[i]
		if it.program != nil {
			if err := it.program.execute(it.bind); err != nil {
				return err
			}
			continue
		}
		if it.wait != nil {
			if err := await(it.wait); err != nil {
				return err
			}
			continue
		}
		if err := runTasks(it.tasks, nil, &q.scratch); err != nil {
			return err
		}
	}
	return nil
}

// await waits without seeing: the failure still poisons the other queue.
func await(e tensor.Event) error {
	if x, ok := e.(*event); ok {
		return x.finish()
	}
	if err := e.Wait(); err != nil {
		return fmt.Errorf("%w", err) // see compares errors: this one compares
	}
	return nil
}

// runTasks runs ts on the caller, or with all workers if that pays. r is the run
// of ts if there is one already.
func runTasks(ts []task, r *run, s *scratch) error {
	if parallel(ts) < parallelCost {
		return serial(ts, s)
	}
	p := shared()
	if len(p.others) == 0 {
		return serial(ts, s)
	}
	if r == nil {
		r = newRun(ts)
	}
	return p.do(r, s)
}

// Done reports whether the batch has ended.
func (e *event) Done() bool { return e.ended.Load() }

// Wait runs what is left before the batch, and the batch, unless somebody does.
func (e *event) Wait() error {
	err := e.finish()
	if err != nil {
		e.q.see(err)
	}
	return err
}

func (e *event) finish() error {
	if !e.ended.Load() {
		e.q.mu.Lock()
		for !e.ended.Load() && e.q.step() {
		}
		e.q.mu.Unlock()
	}
	return e.err
}

// see ends the poisoning: from now on somebody knows.
func (q *queue) see(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.fault == nil || q.fault != err {
		return
	}
	q.fault = nil
	if len(q.open) > 0 {
		q.tainted = err
	}
}
