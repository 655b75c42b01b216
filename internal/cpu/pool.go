package cpu

import (
	"runtime"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// A pool walks one task list with all workers. Workers claim chunks, and a
// barrier waits for chunks, not for workers: who is descheduled between chunks
// holds nobody up. Who computes a chunk does not change its bits.
//
// Who is descheduled in a chunk does hold the others up, for milliseconds. When
// somebody else wants the cores this is slower than one thread, so the caller
// looks for it when it waits, and then goes on alone for a while.
type pool struct {
	mu     sync.Mutex
	others []*worker
	shared []byte // memory of tasks that prepare something for the next one
	share  int    // a claim takes one part in so many of what is left
	places places

	patience time.Duration // of who waits, before parking or looking around
	left     atomic.Bool   // a worker has left the present run and can be called back
	apart    atomic.Bool   // the caller works alone
	closed   atomic.Bool
	cur      atomic.Pointer[run]
	_        [64]byte
	bell     bell // calls the workers to the present run
	_        [64]byte

	// Of the caller.
	back time.Time // when the others are called again
}

// A worker is an OS thread that helps the callers.
type worker struct {
	thread
	group   int  // of CPUs
	guest   bool // moved to the caller's CPU
	asleep  atomic.Bool
	clock   time.Duration // CPU time when the caller looked
	scratch scratch
	_       [64]byte
}

const (
	patience   = 20 * time.Microsecond
	longWait   = time.Millisecond     // too long where CPU time is not known
	shortSpell = 4 * time.Millisecond // as a slice of the scheduler
	longSpell  = 200 * time.Millisecond
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
		wait := patience
		if testing.Testing() {
			wait = 0 // packages are tested in parallel: spinning pools would fight
		}
		thePool.p = newPool(workersLocked(), wait)
	}
	return thePool.p
}

func newPool(n int, wait time.Duration) *pool {
	p := &pool{share: 2 * n, patience: wait, places: newPlaces(allowedCPUs(), n)}
	var started sync.WaitGroup
	for i := range n - 1 {
		w := &worker{group: i + 1}
		w.asleep.Store(true)
		p.others = append(p.others, w)
		started.Add(1)
		go p.serve(w, started.Done)
	}
	started.Wait()
	for _, w := range p.others {
		w.confine(p.places.group(w.group))
	}
	return p
}

// close ends the threads once the present run is over.
func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.closed.Store(true)
	p.bell.ring()
}

func (p *pool) serve(w *worker, started func()) {
	runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
	debug.SetPanicOnFault(true)
	w.enter()
	seen := p.bell.rings.Load()
	started()
	for p.await(w, &seen); !p.closed.Load(); p.await(w, &seen) {
		w.asleep.Store(false)
		if r := p.cur.Load(); r != nil {
			r.walk(p, w, &w.scratch, r.epoch.Load())
		}
	}
}

// await waits for the bell, which has rung seen times: awake at first.
func (p *pool) await(w *worker, seen *uint32) {
	spin := p.spin()
	for {
		now := p.bell.rings.Load()
		if now != *seen {
			*seen = now
			return
		}
		if p.apart.Load() || !spin.once() {
			w.asleep.Store(true)
			p.bell.sleep(now)
		}
	}
}

// do runs r with all workers, the caller among them, which brings s.
func (p *pool) do(r *run, s *scratch) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.settle(currentCPU())
	p.shared = grown(p.shared, r.bytes)
	r.shared = p.shared
	e := r.epoch.Load() + 1
	r.start(e)
	p.cur.Store(r)
	p.call()
	r.walk(p, nil, s, e)
	r.until(p, nil, r.total, e)
	p.cur.Store(nil)
	return r.end(e)
}

// call brings the workers that are away, unless they shall stay there.
func (p *pool) call() {
	if p.apart.Load() {
		if time.Now().Before(p.back) {
			return
		}
		p.apart.Store(false)
	}
	p.left.Store(false)
	for _, w := range p.others {
		if w.guest {
			w.guest = false
			w.confine(p.places.group(w.group))
		}
	}
	p.bell.ring()
}

// host moves a worker to the CPU of the caller, which is about to sleep.
func (p *pool) host(w *worker) {
	if c := currentCPU(); c >= 0 && p.places.threads > 0 {
		w.guest = true
		w.confine([]int{c})
	}
}

// dismiss sends the others away, not for long if it costs little to find them
// stuck again: where the caller can host them.
func (p *pool) dismiss(now time.Time) {
	spell := shortSpell
	if p.places.threads == 0 {
		spell = longSpell
	}
	p.back = now.Add(spell)
	p.apart.Store(true)
}

// settle gives a worker that has its place on cpu, the caller's, another one.
func (p *pool) settle(cpu int) {
	if g := p.places.moved(cpu); g >= 0 {
		for _, w := range p.others {
			if w.group == g {
				w.group, p.places.home = p.places.home, g
				w.confine(p.places.group(w.group))
				return
			}
		}
	}
}

// places are groups of CPUs, one for the caller and one for each worker: a thread
// moves inside its group. Fresh threads would share one CPU for milliseconds.
type places struct {
	cpus    []int
	threads int
	home    int // the caller's group
}

// newPlaces cuts cpus for so many threads, if each can have one.
func newPlaces(cpus []int, threads int) places {
	if len(cpus) < threads {
		return places{}
	}
	return places{cpus: cpus, threads: threads}
}

func (p *places) group(g int) []int {
	if p.threads == 0 {
		return nil
	}
	lo, hi := span(len(p.cpus), g, p.threads)
	return p.cpus[lo:hi]
}

// moved gives the group of the caller's CPU if it is not home, else -1.
func (p *places) moved(cpu int) int {
	if slices.Contains(p.group(p.home), cpu) {
		return -1
	}
	for g := range p.threads {
		if slices.Contains(p.group(g), cpu) {
			return g
		}
	}
	return -1
}

// A spinner polls until patience is at its end.
type spinner struct {
	patience time.Duration
	polls    int
	start    time.Time
}

func (p *pool) spin() spinner { return spinner{patience: p.patience} }

const pollsPerLook = 32

// once pauses; false when patience is over.
func (s *spinner) once() bool {
	if s.patience == 0 {
		return false
	}
	if s.polls++; s.polls%pollsPerLook == 0 {
		if s.start.IsZero() {
			s.start = time.Now()
		} else if time.Since(s.start) > s.patience {
			return false
		}
	}
	pause(1)
	return true
}
