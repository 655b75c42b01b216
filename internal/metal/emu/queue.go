//go:build linux && metalemu && cgo

package emu

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"
	"unsafe"

	"github.com/mlxgo/mlx/internal/metal/gpu"
	"github.com/mlxgo/mlx/internal/metal/msltest"
)

// A queue has a goroutine that runs what was committed.
type queue struct {
	dev     *device
	rng     *rand.Rand // of the goroutine
	encoded []gpu.Cmd

	mu        sync.Mutex
	some      sync.Cond
	committed []item
	released  bool
}

// A batch is what one Commit took.
type batch struct {
	done func(error, float64)
	err  error // of the first dispatch that failed; those after it do not run
	busy time.Duration
}

// An item is a command of a batch, or its end.
type item struct {
	gpu.Cmd
	batch *batch
	end   bool
}

func (d *device) NewQueue() (gpu.Queue, error) {
	q := &queue{dev: d, rng: d.rng()}
	q.some.L = &q.mu
	go q.loop()
	return q, nil
}

// Encode takes all commands or, if one is wrong, none.
func (q *queue) Encode(cmds []gpu.Cmd) error {
	before := len(q.encoded)
	for _, c := range cmds {
		if err := q.encode(c); err != nil {
			for _, taken := range q.encoded[before:] {
				unuse(taken)
			}
			q.encoded = q.encoded[:before]
			return err
		}
	}
	return nil
}

func (q *queue) encode(c gpu.Cmd) error {
	switch c.Op {
	case gpu.Barrier:
	case gpu.Wait, gpu.Signal:
		e, ok := c.Event.(*event)
		if !ok {
			return fmt.Errorf("an event of the emulator's is needed, not %T", c.Event)
		}
		if e.released.Load() {
			return errors.New("an event was released before its use")
		}
	case gpu.Run:
		args, err := checkDispatch(c)
		if err != nil {
			return fmt.Errorf("kernel %s: %w", kernelName(c), err)
		}
		c.Args = args
		c.Threadgroup = slices.Clone(c.Threadgroup)
		if err := use(c); err != nil {
			return fmt.Errorf("kernel %s: %w", kernelName(c), err)
		}
	default:
		return fmt.Errorf("no command has the number %d", c.Op)
	}
	q.encoded = append(q.encoded, c)
	return nil
}

func kernelName(c gpu.Cmd) string {
	if k, ok := c.Kernel.(*kernel); ok {
		return k.Name()
	}
	return fmt.Sprintf("%T", c.Kernel)
}

// use keeps the kernel and the buffers of a dispatch until unuse.
func use(c gpu.Cmd) error {
	c.Kernel.(*kernel).use(1)
	for i, a := range c.Args {
		if b, ok := a.Buffer.(*buffer); ok && !b.use() {
			c.Args = c.Args[:i]
			unuse(c)
			return fmt.Errorf("buffer(%d) was released before its use", i)
		}
	}
	return nil
}

func unuse(c gpu.Cmd) {
	for _, a := range c.Args {
		if b, ok := a.Buffer.(*buffer); ok {
			b.unuse()
		}
	}
	if k, ok := c.Kernel.(*kernel); ok {
		k.use(-1)
	}
}

func (q *queue) Commit(done func(error, float64)) {
	b := &batch{done: done}
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, c := range q.encoded {
		q.committed = append(q.committed, item{Cmd: c, batch: b})
	}
	q.committed = append(q.committed, item{batch: b, end: true})
	q.encoded = nil
	q.some.Signal()
}

// Release lets what was committed end.
func (q *queue) Release() {
	for _, c := range q.encoded {
		unuse(c)
	}
	q.encoded = nil
	q.mu.Lock()
	defer q.mu.Unlock()
	q.released = true
	q.some.Signal()
}

func (q *queue) loop() {
	for {
		items := q.take()
		if items == nil {
			return
		}
		for len(items) > 0 {
			n := slices.IndexFunc(items, q.orders)
			if n < 0 {
				n = len(items)
			}
			s := segment{q: q, items: items[:n], ran: make([]bool, n)}
			s.run()
			items = items[min(n+1, len(items)):]
		}
	}
}

// take waits for work; nil says that there will be none.
func (q *queue) take() []item {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.committed) == 0 && !q.released {
		q.some.Wait()
	}
	items := q.committed
	q.committed = nil
	return items
}

// orders says whether an item is a barrier that counts.
func (q *queue) orders(i item) bool {
	return !i.end && i.Op == gpu.Barrier && !q.dev.opts.IgnoreBarriers
}

// A segment is what lies between two barriers. Its dispatches run in any order, also
// across ends of batches, since only barriers order them; but a Wait holds up those behind
// it, and a Signal and the end of a batch come after all that is before them.
type segment struct {
	q     *queue
	items []item
	ran   []bool
	ended int // items[:ended] are over
}

func (s *segment) run() {
	for {
		s.advance()
		if s.ended == len(s.items) {
			return
		}
		ready := s.ready()
		if len(ready) == 0 { // a Wait is first
			w := s.items[s.ended]
			w.Event.(*event).wait(w.Value)
			continue
		}
		i := ready[s.q.rng.IntN(len(ready))]
		s.ran[i] = true
		s.q.dispatch(s.items[i])
	}
}

// advance ends items at the front.
func (s *segment) advance() {
	for ; s.ended < len(s.items); s.ended++ {
		switch it := s.items[s.ended]; {
		case it.end:
			if it.batch.done != nil {
				it.batch.done(it.batch.err, it.batch.busy.Seconds())
			}
		case it.Op == gpu.Signal:
			it.Event.(*event).Set(it.Value)
		case it.Op == gpu.Wait && it.Event.(*event).Value() < it.Value:
			return
		case it.Op == gpu.Run && !s.ran[s.ended]:
			return
		}
	}
}

// ready lists the dispatches that may run now.
func (s *segment) ready() (list []int) {
	for i := s.ended; i < len(s.items); i++ {
		it := s.items[i]
		if it.end {
			continue
		}
		if it.Op == gpu.Wait && it.Event.(*event).Value() < it.Value {
			break
		}
		if it.Op == gpu.Run && !s.ran[i] {
			list = append(list, i)
		}
	}
	return list
}

// dispatch runs a kernel, unless its batch has failed.
func (q *queue) dispatch(it item) {
	defer unuse(it.Cmd)
	if it.batch.err != nil {
		return
	}
	start := time.Now()
	if err := q.launch(it.Cmd); err != nil {
		it.batch.err = fmt.Errorf("kernel %s: %w", kernelName(it.Cmd), err)
	}
	it.batch.busy += time.Since(start)
}

// launch runs a kernel, and tells what was wrong with what it did.
func (q *queue) launch(c gpu.Cmd) error {
	k := c.Kernel.(*kernel)
	if k.released.Load() {
		return errors.New("it was released before it ran")
	}
	l := launchOf(c)
	l.Order, l.Seed, l.Workers = msltest.Shuffled, q.rng.Uint32(), q.dev.opts.Workers
	for i, a := range c.Args {
		switch b, _ := a.Buffer.(*buffer); {
		case b != nil && b.isReleased():
			return fmt.Errorf("buffer(%d) was released before it ran", i)
		case b != nil:
			l.Buffers[i] = unsafe.Pointer(&b.host[a.Offset])
		case len(a.Bytes) > 0:
			l.Buffers[i] = unsafe.Pointer(unsafe.SliceData(a.Bytes))
		}
	}
	var report msltest.Report
	var err error
	if mode := q.dev.opts.Sanitizer; mode != msltest.Plain && c.Grid[0]*c.Grid[1]*c.Grid[2] <= sanitized {
		report, err = k.runSanitized(mode, c, l)
	} else {
		report, err = k.Run(l)
	}
	if err != nil {
		return err
	}
	if err := report.Err(); err != nil {
		return err
	}
	for i, a := range c.Args {
		if b, ok := a.Buffer.(*buffer); ok && b.overrun() {
			return fmt.Errorf("it wrote past the end of buffer(%d), which has %d bytes", i, len(b.host))
		}
	}
	return nil
}
