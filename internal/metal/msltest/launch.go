package msltest

import (
	"fmt"
	"unsafe"
)

// Order is the order in which the lanes of a simdgroup and the simdgroups of a threadgroup
// run. A right kernel gives the same in all.
type Order int

// The orders.
const (
	Ascending Order = iota
	Descending
	Shuffled // by the seed, anew after each barrier of the threadgroup
)

func (o Order) String() string { return [...]string{"ascending", "descending", "shuffled"}[o] }

// A Launch is one dispatch, as dispatchThreads has it.
type Launch struct {
	Buffers     []unsafe.Pointer // by [[buffer(i)]]
	Threadgroup []int            // lengths of [[threadgroup(i)]] memory, in bytes
	Grid, Group [3]int           // in threads; threadgroups at the edge are smaller if need be
	Workers     int              // OS threads; 0 is as many as there are cores
	Order       Order
	Seed        uint32
}

const (
	maxBuffers            = 31 // [[buffer(i)]] that Metal lets a kernel have
	maxThreadgroupBuffers = 8  // [[threadgroup(i)]] that the runtime lets one have
	maxGrid               = 1 << 31
)

// ThreadgroupMemory is how many bytes of it Metal has.
const ThreadgroupMemory = 32 << 10

// check says what Metal would refuse of the sizes.
func (l Launch) check(maxThreads int) error {
	for i := range 3 {
		if l.Grid[i] < 1 || l.Group[i] < 1 || l.Grid[i] > maxGrid || l.Group[i] > maxGrid {
			return fmt.Errorf("a grid of %v threads in threadgroups of %v: each size must be at least 1", l.Grid, l.Group)
		}
	}
	if n := float64(l.Group[0]) * float64(l.Group[1]) * float64(l.Group[2]); n > float64(maxThreads) {
		return fmt.Errorf("a threadgroup of %v is %.0f threads: at most %d are possible", l.Group, n, maxThreads)
	}
	if len(l.Buffers) > maxBuffers {
		return fmt.Errorf("%d buffers: Metal has %d", len(l.Buffers), maxBuffers)
	}
	if len(l.Threadgroup) > maxThreadgroupBuffers {
		return fmt.Errorf("%d lengths of threadgroup memory: at most %d are possible", len(l.Threadgroup), maxThreadgroupBuffers)
	}
	total := 0
	for i, n := range l.Threadgroup {
		if n < 0 || n%16 != 0 || n > ThreadgroupMemory {
			return fmt.Errorf("threadgroup(%d) of %d bytes: the length must be a multiple of 16, and at most %d", i, n, ThreadgroupMemory)
		}
		total += n
	}
	if total > ThreadgroupMemory {
		return fmt.Errorf("%d bytes of threadgroup memory: Metal has %d", total, ThreadgroupMemory)
	}
	return nil
}

// Check says what Metal would refuse of a launch of an entry.
func (e Entry) Check(l Launch) error { return l.check(e.MaxThreads) }

// A Report is what a dispatch did.
type Report struct {
	Threads, Groups, Switches int
	Barriers, Collectives     int
	DivergentBarriers         int // that not all threads of the threadgroup reached
	DivergentCollectives      int // that not all lanes of the simdgroup reached
	IncompleteMatrices        int // matrix operations without all 32 lanes
	ThreadgroupBytes          int // the most that a threadgroup used

	Where string // file and line of the first that is undefined; "" if nothing is
}

// Err says what is undefined in Metal of what was done.
func (r Report) Err() error {
	switch {
	case r.DivergentBarriers > 0:
		return fmt.Errorf("%s: a barrier is not reached by all threads of its threadgroup", r.Where)
	case r.DivergentCollectives > 0 || r.IncompleteMatrices > 0:
		return fmt.Errorf("%s: a simdgroup operation or barrier is not reached by all lanes of its simdgroup", r.Where)
	case r.ThreadgroupBytes > ThreadgroupMemory:
		return fmt.Errorf("%d bytes of threadgroup memory: Metal has %d", r.ThreadgroupBytes, ThreadgroupMemory)
	}
	return nil
}
