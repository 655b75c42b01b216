//go:build !linux

package cpu

import (
	"sync"
	"sync/atomic"
	"time"
)

// A thread is an OS thread as others see it; here nothing is known of it.
type thread struct{}

func (*thread) enter()                     {}
func (*thread) confine([]int)              {}
func (*thread) ran() (time.Duration, bool) { return 0, false }

// currentCPU is not known.
func currentCPU() int { return -1 }

// allowedCPUs are not known.
func allowedCPUs() []int { return nil }

// A bell wakes threads that sleep on it.
type bell struct {
	rings    atomic.Uint32
	sleepers atomic.Int32
	mu       sync.Mutex
	rung     sync.Cond
}

// ring wakes all.
func (b *bell) ring() {
	b.rings.Add(1)
	if b.sleepers.Load() > 0 {
		b.mu.Lock()
		b.rung.L = &b.mu
		b.mu.Unlock()
		b.rung.Broadcast()
	}
}

// sleep returns once the bell has been rung more often than seen.
func (b *bell) sleep(seen uint32) {
	b.sleepers.Add(1)
	b.mu.Lock()
	b.rung.L = &b.mu
	for b.rings.Load() == seen {
		b.rung.Wait()
	}
	b.mu.Unlock()
	b.sleepers.Add(-1)
}
