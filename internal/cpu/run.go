package cpu

import (
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mlxgo/mlx/internal/tensor"
)

// A run is the claim counters of one task list.
type run struct {
	tasks  []task
	steps  []step
	total  uint32 // chunks to claim
	bytes  int    // of shared memory
	shared []byte // the pool's, while it runs
	epoch  atomic.Uint32
	next   []padded // epoch<<32 | chunks claimed
	_      [64]byte
	done   atomic.Uint32
	_      [60]byte
	abort  atomic.Bool
	dozes  atomic.Bool // the caller sleeps until chunks are done
	alarm  bell
	mu     sync.Mutex
	err    error
}

type padded struct {
	atomic.Uint64
	_ [56]byte
}

// A step is how a task is walked.
type step struct {
	before uint32 // chunks of the tasks before
	most   int    // chunks of a claim
	sync   bool
	chain  bool // whoever ran the task before runs this one too
}

// claimCost is the most cost of a claim of several chunks.
const claimCost = 8 * chunkCost

// newRun plans the walk. Small tasks that need each other are one claim: to hand
// them from core to core would cost more than they do.
func newRun(ts []task) *run {
	r := &run{tasks: ts, bytes: sharedBytes(ts), steps: make([]step, len(ts)), next: make([]padded, len(ts))}
	head := 0 // of the present chain
	for i := range ts {
		t, st := &ts[i], &r.steps[i]
		*st = step{before: r.total, sync: t.sync, most: max(1, claimCost*t.chunks/max(t.cost, 1))}
		alone := i > 0 && t.chunks == 1 && ts[i-1].chunks == 1 && (head == 0 || r.steps[head].sync)
		if alone && (t.sync || t.cost < chunkCost) {
			st.chain = true
			continue
		}
		for j := head + 1; j < i; j++ {
			st.sync = st.sync || r.steps[j].sync // a barrier inside the chain holds for what follows
		}
		head = i
		r.total += uint32(t.chunks)
	}
	return r
}

// start opens epoch e: all chunks are free again.
func (r *run) start(e uint32) {
	r.err = nil
	r.abort.Store(false)
	r.done.Store(0)
	r.epoch.Store(e)
	for i := range r.next {
		r.next[i].Store(uint64(e) << 32)
	}
}

// end gives the failure of the run. Who is in a claim then is waited for, and
// nobody claims any more.
func (r *run) end(e uint32) error {
	if !r.abort.Load() {
		return nil
	}
	claimed := uint32(0)
	for i := range r.next {
		if v := r.next[i].Swap(0); uint32(v>>32) == e {
			claimed += uint32(v)
		}
	}
	for r.done.Load() != claimed {
		runtime.Gosched()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.err
}

// claim takes the next chunks of task i, one part in share of what is left, none
// when all are taken; over tells that a later run owns the list.
func (r *run) claim(i int, e uint32, share int) (lo, hi int, over bool) {
	n := r.tasks[i].chunks
	for {
		v := r.next[i].Load()
		lo = int(uint32(v))
		if uint32(v>>32) != e {
			return lo, lo, true
		}
		if lo >= n {
			return lo, lo, false
		}
		hi = lo + max(1, min((n-lo)/share, r.steps[i].most))
		if r.next[i].CompareAndSwap(v, v+uint64(hi-lo)) {
			return lo, hi, false
		}
	}
}

// A walker is one thread's way through the tasks of a run; w is nil for the caller.
type walker struct {
	p     *pool
	r     *run
	w     *worker
	s     *scratch
	epoch uint32
	now   tensor.Primitive
	held  uint32 // chunks of the present task that were claimed and not reported
}

// walk claims chunks of every task in turn; w is nil for the caller.
func (r *run) walk(p *pool, w *worker, s *scratch, e uint32) {
	k := walker{p: p, r: r, w: w, s: s, epoch: e}
	defer k.rescue()
	for i := range r.tasks {
		st := &r.steps[i]
		if st.chain {
			continue
		}
		if st.sync && !r.until(p, w, st.before, e) {
			return
		}
		if w == nil && r.tasks[i].chunks > 1 && (p.left.Load() || p.apart.Load()) {
			p.call()
		}
		if !k.task(i) {
			return
		}
	}
}

// rescue makes a kernel's panic the failure of the run.
func (k *walker) rescue() {
	v := recover()
	if v == nil {
		return
	}
	r := k.r
	r.mu.Lock()
	if r.err == nil {
		r.err = fault(k.now, v)
	}
	r.mu.Unlock()
	r.abort.Store(true)
	k.report()
}

// report counts what has been held as done.
func (k *walker) report() {
	if k.held > 0 {
		k.r.done.Add(k.held)
		k.held = 0
		if k.r.dozes.Load() {
			k.r.alarm.ring()
		}
	}
}

// task runs chunks of task i for as long as there are any; false ends the walk.
func (k *walker) task(i int) (more bool) {
	r, n := k.r, k.r.tasks[i].chunks
	more = true
	for hi := 0; hi < n; {
		lo, to, over := r.claim(i, k.epoch, k.p.share)
		if hi = to; lo == to {
			more = !over
			break
		}
		k.held += uint32(hi - lo)
		k.s.shared = r.shared
		for j := i; !r.abort.Load(); {
			t := &r.tasks[j]
			k.now = t.prim
			for c := lo; c < hi; c++ {
				k.s.reset()
				t.run(k.s, c, t.chunks)
			}
			if j++; j == len(r.tasks) || !r.steps[j].chain {
				break
			}
		}
		if r.abort.Load() || k.w != nil && k.p.apart.Load() {
			more = false
			break
		}
	}
	k.report()
	return more
}

// until waits for n chunks of run e. A worker does so for as long as patience
// lasts: the caller calls it back. The caller looks what the others do.
func (r *run) until(p *pool, w *worker, n, e uint32) bool {
	if r.done.Load() >= n {
		return r.epoch.Load() == e
	}
	spin := p.spin()
	var v vigil
	for r.done.Load() < n {
		if r.abort.Load() || r.epoch.Load() != e {
			return false
		}
		if spin.once() {
			continue
		}
		if w != nil {
			p.left.Store(true)
			return false
		}
		if v.look(p) {
			r.doze(n)
		}
		runtime.Gosched()
		spin.start = time.Time{}
	}
	return r.epoch.Load() == e
}

// doze makes the caller sleep until n chunks are done or the run has failed.
func (r *run) doze(n uint32) {
	r.dozes.Store(true)
	for {
		seen := r.alarm.rings.Load()
		if r.done.Load() >= n || r.abort.Load() {
			break
		}
		r.alarm.sleep(seen)
	}
	r.dozes.Store(false)
}

// A vigil is the caller's waiting for others beyond patience.
type vigil struct{ start, last time.Time }

// look reports whether a worker that should work does not: somebody else has its
// core. Then the workers are sent away, and this one gets the caller's core for
// what it holds.
func (v *vigil) look(p *pool) (stuck bool) {
	now := time.Now()
	if v.start.IsZero() {
		v.start = now
	}
	past := now.Sub(v.last)
	first := v.last.IsZero()
	if !first && past < patience {
		return false
	}
	v.last = now
	for _, w := range p.others {
		if w.asleep.Load() {
			w.clock = -1
			continue
		}
		d, ok := w.ran()
		late := ok && !first && w.clock >= 0 && d-w.clock < past/4
		w.clock = d
		if late || !ok && now.Sub(v.start) > longWait {
			stuck = true
			p.host(w)
		}
	}
	if stuck {
		p.dismiss(now)
	}
	return stuck
}

// serial runs ts on the caller.
func serial(ts []task, s *scratch) (err error) {
	var now tensor.Primitive
	defer func() {
		if v := recover(); v != nil {
			err = fault(now, v)
		}
	}()
	s.own = grown(s.own, sharedBytes(ts))
	s.shared = s.own
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
