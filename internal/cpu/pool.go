package cpu

import (
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A pool walks one task list with all workers. Workers claim chunks, and a
// barrier waits for chunks, not for workers: who is descheduled between chunks
// holds nobody up. Who computes a chunk does not change its bits.
//
// A spin barrier is worse than one thread when somebody else wants the cores, so
// the pool notices long waits and leaves the others alone for a while.
type pool struct {
	mu     sync.Mutex
	alone  int // runs left without the others
	bad    int // runs in a row with long waits
	spins  int // polls before parking
	closed atomic.Bool
	cur    atomic.Pointer[run]
	_      [56]byte
	epoch  atomic.Uint32
	_      [60]byte
	others []*worker
	shared []byte // memory of tasks that prepare something for the next one
}

// A worker is an OS thread that helps the callers.
type worker struct {
	asleep  atomic.Uint32
	wake    chan struct{}
	scratch scratch
}

// A run is the claim counters of one task list.
type run struct {
	tasks  []task
	bytes  int    // of shared memory
	shared []byte // the pool's, while it runs
	epoch  atomic.Uint32
	before []uint32 // chunks of the tasks before; the total last
	next   []padded // epoch<<32 | chunks claimed
	_      [64]byte
	done   atomic.Uint32
	_      [60]byte
	abort  atomic.Bool
	active atomic.Int32  // workers inside a claim: a failed run waits for them
	long   atomic.Uint32 // waits of a scheduler's slice
	mu     sync.Mutex
	err    error
}

type padded struct {
	atomic.Uint64
	_ [56]byte
}

const (
	spinCount = 20_000 // about 20 us
	longWait  = time.Millisecond
	aloneRuns = 64
)

// thePool is made at first use and again when the number of workers changes.
var thePool struct {
	sync.Mutex
	n int // 0: one a core
	p *pool
}

// Workers is the most threads that a batch uses, its caller among them.
func Workers() int {
	thePool.Lock()
	defer thePool.Unlock()
	return workersLocked()
}

func workersLocked() int {
	if thePool.n > 0 {
		return thePool.n
	}
	return runtime.GOMAXPROCS(0)
}

// SetWorkers sets the number of threads, the caller's among them; n < 1 stands
// for one a core. Work that runs goes on with the old number. Results do not
// depend on it.
func SetWorkers(n int) {
	thePool.Lock()
	defer thePool.Unlock()
	thePool.n = max(n, 0)
	if p := thePool.p; p != nil && len(p.others) != workersLocked()-1 {
		thePool.p = nil
		p.close()
	}
}

func shared() *pool {
	thePool.Lock()
	defer thePool.Unlock()
	if thePool.p == nil {
		thePool.p = newPool(workersLocked())
	}
	return thePool.p
}

func newPool(n int) *pool {
	p := &pool{spins: spinCount}
	if testing.Testing() {
		p.spins = 0 // packages are tested in parallel: spinning pools would fight
	}
	for range n - 1 {
		w := &worker{wake: make(chan struct{}, 1)}
		p.others = append(p.others, w)
		go p.serve(w)
	}
	return p
}

// close ends the threads once the present run is over.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed.Store(true)
	p.epoch.Add(1)
	p.rouse()
}

func (p *pool) rouse() {
	for _, w := range p.others {
		if w.asleep.CompareAndSwap(1, 0) {
			w.wake <- struct{}{}
		}
	}
}

func (p *pool) serve(w *worker) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	debug.SetPanicOnFault(true)
	for seen := uint32(0); ; {
		for i := 0; p.epoch.Load() == seen; i++ {
			if i < p.spins {
				continue
			}
			w.asleep.Store(1)
			if p.epoch.Load() != seen && w.asleep.CompareAndSwap(1, 0) {
				break
			}
			<-w.wake
		}
		seen = p.epoch.Load()
		if p.closed.Load() {
			return
		}
		if r := p.cur.Load(); r != nil {
			r.walk(p, &w.scratch, r.epoch.Load())
		}
	}
}

func newRun(ts []task) *run {
	r := &run{tasks: ts, bytes: sharedBytes(ts), before: make([]uint32, len(ts)+1), next: make([]padded, len(ts))}
	for i := range ts {
		r.before[i+1] = r.before[i] + uint32(ts[i].chunks)
	}
	return r
}

// start opens epoch e: all chunks are free again.
func (r *run) start(e uint32) {
	r.err = nil
	r.abort.Store(false)
	r.done.Store(0)
	r.long.Store(0)
	r.epoch.Store(e)
	for i := range r.next {
		r.next[i].Store(uint64(e) << 32)
	}
}

// do runs r with all workers, the caller among them, which brings s.
func (p *pool) do(r *run, s *scratch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.epoch.Load() + 1
	p.shared = grown(p.shared, r.bytes)
	r.shared = p.shared
	r.start(e)
	if p.alone > 0 {
		p.alone--
		p.epoch.Store(e) // nobody is told of r, but who was late for its last run may join
		r.walk(p, s, e)
		r.until(p, r.before[len(r.tasks)], e)
	} else {
		p.cur.Store(r)
		p.epoch.Store(e)
		p.rouse()
		r.walk(p, s, e)
		r.until(p, r.before[len(r.tasks)], e)
		p.cur.Store(nil)
		p.judge(r.long.Load())
	}
	if !r.abort.Load() {
		return nil
	}
	for r.active.Load() != 0 {
		runtime.Gosched()
	}
	for i := range r.next { // a late worker must not claim when abort is cleared
		r.next[i].Store(0)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// judge leaves the others out after two runs in a row with long waits.
func (p *pool) judge(long uint32) {
	if long == 0 {
		p.bad = 0
		return
	}
	if p.bad++; p.bad >= 2 {
		p.bad, p.alone = 1, aloneRuns
	}
}

// walk claims chunks of every task in turn.
func (r *run) walk(p *pool, s *scratch, e uint32) {
	var now tensor.Primitive
	defer func() {
		if v := recover(); v != nil {
			r.mu.Lock()
			if r.err == nil {
				r.err = fault(now, v)
			}
			r.mu.Unlock()
			r.abort.Store(true)
			r.active.Add(-1) // only a kernel panics
		}
	}()
	for i := range r.tasks {
		t := &r.tasks[i]
		if t.sync && !r.until(p, r.before[i], e) {
			return
		}
		for {
			v := r.next[i].Load()
			if uint32(v>>32) != e {
				return // a later run owns the list
			}
			c := int(uint32(v))
			if c >= t.chunks {
				break
			}
			r.active.Add(1)
			if !r.abort.Load() && r.next[i].CompareAndSwap(v, v+1) {
				now = t.prim
				s.reset()
				s.shared = r.shared
				t.run(s, c, t.chunks)
				r.done.Add(1)
			}
			r.active.Add(-1)
			if r.abort.Load() {
				return
			}
		}
	}
}

// until waits for n chunks of run e. A wait of a scheduler's slice is a long one:
// somebody else has the core.
func (r *run) until(p *pool, n, e uint32) bool {
	var t0 time.Time
	for i := 0; r.done.Load() < n; i++ {
		if r.abort.Load() || r.epoch.Load() != e {
			return false
		}
		if i < p.spins {
			continue
		}
		if i == p.spins {
			t0 = time.Now()
		} else if i%16 == 0 && !t0.IsZero() && time.Since(t0) > longWait {
			r.long.Add(1)
			t0 = time.Time{}
		}
		runtime.Gosched()
	}
	return r.epoch.Load() == e
}

// serial runs ts on the caller.
func serial(ts []task, s *scratch) (err error) {
	var now tensor.Primitive
	defer func() {
		if v := recover(); v != nil {
			err = fault(now, v)
		}
	}()
	s.shared = grown(s.own, sharedBytes(ts))
	s.own = s.shared
	for i := range ts {
		t := &ts[i]
		now = t.prim
		for c := range t.chunks {
			s.reset()
			t.run(s, c, t.chunks)
		}
	}
	return nil
}
