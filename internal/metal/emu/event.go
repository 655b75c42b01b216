//go:build linux && metalemu && cgo

package emu

import (
	"sync"
	"sync/atomic"

	"github.com/mlxgo/mlx/internal/metal/gpu"
)

// An event is a counter; who waits sleeps on a condition.
type event struct {
	mu       sync.Mutex
	more     sync.Cond
	value    uint64
	released atomic.Bool
}

func (d *device) NewEvent() (gpu.Event, error) {
	e := &event{}
	e.more.L = &e.mu
	return e, nil
}

func (e *event) Value() uint64 {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.value
}

func (e *event) Set(v uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if v > e.value {
		e.value = v
		e.more.Broadcast()
	}
}

func (e *event) wait(v uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for e.value < v {
		e.more.Wait()
	}
}

// Release forbids to encode the event again.
func (e *event) Release() { e.released.Store(true) }
