package tensor

import (
	"fmt"
	"math/bits"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

const (
	offHeapMin = 64 << 10  // smaller values live on the Go heap: exact collection, no system calls
	gcStep     = 256 << 20 // bytes handed out before a collection comes before new memory
)

// Purpose is what memory is used for.
type Purpose uint8

// The purposes that Memory tells apart.
const (
	Other   Purpose = iota // values of eager ops
	Weights                // mapped or loaded weights
	Cache                  // attention caches
	Arena                  // temporaries of Programs
	numPurposes
)

// MemoryUse counts bytes in use by purpose.
type MemoryUse struct{ Weights, Cache, Arena, Other int64 }

// freed is memory that no value uses, though work that was encoded may: last and
// others are the batches to wait for, at most one per stream.
type freed struct {
	mem    Memory
	class  int
	device Device
	last   *batch
	others []*batch
}

func (f *freed) idle() bool {
	if !f.last.done() {
		return false
	}
	for _, b := range f.others {
		if !b.done() {
			return false
		}
	}
	return true
}

type listKey struct {
	device Device
	class  int
}

type memState struct {
	sync.Mutex
	use    [numPurposes]int64
	active int64 // sum of use
	peak   int64
	cached int64
	given  int64 // handed out since the last collection, much of it dead by now
	limit  int64 // 0: none
	keep   int64 // cache limit
	free   map[listKey][]Memory
	busy   map[listKey][]freed
}

var mem = memState{keep: 256 << 20, free: map[listKey][]Memory{}, busy: map[listKey][]freed{}}

func countUse(p Purpose, n int64) {
	mem.Lock()
	defer mem.Unlock()
	countLocked(p, n)
}

func countLocked(p Purpose, n int64) {
	mem.use[p] += n
	mem.active += n
	mem.peak = max(mem.peak, mem.active)
}

// MemoryByUse says what ActiveMemory is used for.
func MemoryByUse() MemoryUse {
	mem.Lock()
	defer mem.Unlock()
	return MemoryUse{Weights: mem.use[Weights], Cache: mem.use[Cache], Arena: mem.use[Arena], Other: mem.use[Other]}
}

// ActiveMemory is the bytes in use by large arrays, mapped weights among them.
// Values below 64 KiB live on Go's heap and are not counted.
func ActiveMemory() int64 {
	mem.Lock()
	defer mem.Unlock()
	return mem.active
}

// PeakMemory is the most that ActiveMemory has been since ResetPeakMemory.
func PeakMemory() int64 {
	mem.Lock()
	defer mem.Unlock()
	return mem.peak
}

// ResetPeakMemory makes the present use the peak.
func ResetPeakMemory() {
	mem.Lock()
	defer mem.Unlock()
	mem.peak = mem.active
}

// CacheMemory is the freed bytes that are kept for reuse.
func CacheMemory() int64 {
	mem.Lock()
	defer mem.Unlock()
	return mem.cached
}

// SetMemoryLimit bounds ActiveMemory: an allocation that would pass it after a
// collection fails with ErrMemory. 0 means no limit. It returns the old limit.
func SetMemoryLimit(n int64) (old int64) {
	mem.Lock()
	defer mem.Unlock()
	old, mem.limit = mem.limit, n
	return old
}

// SetCacheLimit bounds the bytes kept for reuse and returns the old bound.
func SetCacheLimit(n int64) (old int64) {
	mem.Lock()
	defer mem.Unlock()
	old, mem.keep = mem.keep, n
	if mem.cached > n {
		clearLocked()
	}
	return old
}

// ClearCache gives the kept bytes back to the system.
func ClearCache() {
	mem.Lock()
	defer mem.Unlock()
	clearLocked()
}

func clearLocked() {
	for k, l := range mem.free {
		for _, m := range l {
			mem.cached -= int64(m.Size())
			m.Release()
		}
		delete(mem.free, k)
	}
	for k, l := range mem.busy {
		kept := l[:0]
		for _, f := range l {
			if !f.idle() {
				kept = append(kept, f)
				continue
			}
			mem.cached -= int64(f.mem.Size())
			f.mem.Release()
		}
		if len(kept) == 0 {
			delete(mem.busy, k)
		} else {
			clear(l[len(kept):])
			mem.busy[k] = kept
		}
	}
}

// trimCache enforces the cache limit on memory that was freed while work was
// pending; it is called when work has ended.
func trimCache() {
	mem.Lock()
	defer mem.Unlock()
	for k, l := range mem.busy {
		if mem.cached <= mem.keep {
			return
		}
		mem.busy[k] = slices.DeleteFunc(l, func(f freed) bool {
			if mem.cached <= mem.keep || !f.idle() {
				return false
			}
			mem.cached -= int64(f.mem.Size())
			f.mem.Release()
			return true
		})
	}
}

// classOf rounds up to one of four steps per power of two (waste below 25 %).
func classOf(n int) (class, size int) {
	e := bits.Len(uint(n-1)) - 3
	q := (n + 1<<e - 1) >> e
	return e*8 + q, q << e
}

// newBuffer gets memory on d. st is the only stream whose work will touch it
// first, or nil when the host writes it at once.
func newBuffer(d Device, size int, st *streamState, p Purpose) (*Buffer, error) {
	if u := unified.Load(); u != nil {
		d, size = *u, max(size, 256)
	} else if size < offHeapMin || raceEnabled {
		if size == 0 {
			size = 16 // a pointer to an element of any type is one into it
		}
		return &Buffer{host: make([]byte, size), device: d}, nil
	}
	class, n := classOf(size)
	key := listKey{d, class}
	mem.Lock()
	if mem.overLimit(n) {
		collectLocked()
	}
	if mem.overLimit(n) {
		defer mem.Unlock()
		return nil, fmt.Errorf("%w: %d more bytes would pass the limit of %d (%d in use)", ErrMemory, n, mem.limit, mem.active)
	}
	m := takeLocked(key, st)
	if m == nil && mem.given+int64(n) > gcStep {
		collectLocked()
		m = takeLocked(key, st)
	}
	mem.given += int64(n)
	countLocked(p, int64(n))
	mem.Unlock()
	if m == nil {
		var err error
		if m, err = allocate(d, n); err != nil {
			countUse(p, -int64(n))
			return nil, err
		}
	}
	b := &Buffer{host: m.Host(), mem: m, class: class, device: d, purpose: p}
	b.clean = runtime.AddCleanup(b, func(f freed) { recycle(f, p) }, freed{mem: m, class: class, device: d})
	return b, nil
}

// unified is the device whose memory the host and all devices share, if there is one:
// then everything lies there, small values too.
var unified atomic.Pointer[Device]

func (m *memState) overLimit(n int) bool { return m.limit > 0 && m.active+int64(n) > m.limit }

// allocate asks the backend, and once more after freeing what can be freed.
func allocate(d Device, n int) (Memory, error) {
	b := backendOf(d)
	m, err := b.Alloc(d, n)
	if err == nil {
		return m, nil
	}
	collect()
	ClearCache()
	if m, err = b.Alloc(d, n); err != nil {
		return nil, fmt.Errorf("%w: %d bytes: %v", ErrMemory, n, err)
	}
	return m, nil
}

// collect runs a garbage collection and gives its cleanups, which run in another
// goroutine, a moment to recycle what was found.
func collect() {
	active := ActiveMemory()
	runtime.GC()
	for range 20 {
		time.Sleep(50 * time.Microsecond)
		a := ActiveMemory()
		if a == active {
			return
		}
		active = a
	}
}

// collectLocked is collect under mem's lock, which it gives up meanwhile.
func collectLocked() {
	mem.Unlock()
	collect()
	mem.Lock()
	mem.given = 0
}

// takeLocked finds kept memory. What work of st freed, later work of st may
// reuse at once; others wait for the batch.
func takeLocked(k listKey, st *streamState) Memory {
	if l := mem.free[k]; len(l) > 0 {
		m := l[len(l)-1]
		mem.free[k] = l[:len(l)-1]
		mem.cached -= int64(m.Size())
		return m
	}
	l := mem.busy[k]
	for i := range min(len(l), 8) {
		f := &l[i]
		if st != nil && f.last.st == st && len(f.others) == 0 || f.idle() {
			m := f.mem
			mem.busy[k] = append(l[:i], l[i+1:]...)
			l[len(l)-1] = freed{}
			mem.cached -= int64(m.Size())
			return m
		}
	}
	return nil
}

func recycle(f freed, p Purpose) {
	n := int64(f.mem.Size())
	mem.Lock()
	defer mem.Unlock()
	countLocked(p, -n)
	k := listKey{f.device, f.class}
	if !f.idle() {
		mem.cached += n
		mem.busy[k] = append(mem.busy[k], f)
		return
	}
	if invariants {
		h := f.mem.Host()
		for i := range h {
			h[i] = 0xdb
		}
	}
	if mem.cached+n > mem.keep {
		f.mem.Release()
		return
	}
	mem.cached += n
	mem.free[k] = append(mem.free[k], f.mem)
}
