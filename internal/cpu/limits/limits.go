// Package limits measures what the machine can do at most, to compare kernels and
// models with: bytes read from memory and float32 multiply-adds, by one thread or
// several. It also says what the machine is and what the process holds of it.
//
// Its types are Probe and Machine. It knows neither arrays nor models.
package limits

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/mlxgo/mlx/internal/cpu/simd"
)

// Machine is the host as the system describes it.
type Machine struct {
	CPU    string // model name; "" when the system does not say
	Cores  int    // CPUs that this process may use
	Cache  int64  // bytes of the last cache level; 0 when unknown
	Memory int64  // bytes; 0 when unknown
}

// Host describes this machine.
func Host() Machine {
	return Machine{CPU: cpuModel(), Cores: runtime.NumCPU(), Cache: lastCache(), Memory: memory()}
}

// PeakResident is the most memory in bytes that the process had resident, mapped
// files included; 0 when the system does not say.
func PeakResident() int64 { return peakResident() }

// Kernels names what measures: "avx512", "avx2", or "go" for loops that may fall
// short of the machine's limits.
func Kernels() string { return simd.LimitKernels() }

const (
	minBuffer = 256 << 20
	maxBuffer = 2 << 30
	section   = 1 << 20 // between two looks at the clock
	rounds    = 1 << 14 // of multiply-adds, the same
)

// BufferSize is what a Probe should read on m: well beyond the last cache, and no
// more than an eighth of the memory.
func BufferSize(m Machine) int64 {
	size := min(max(4*m.Cache, 1<<30), maxBuffer)
	if m.Memory > 0 {
		size = max(min(size, m.Memory/8), minBuffer)
	}
	return size
}

// Probe measures. It holds the memory that it reads; Close gives it back. One
// goroutine at a time may use it.
type Probe struct {
	buffer []byte
	window time.Duration
}

// New makes a Probe with a buffer of size bytes; each measurement takes window.
// The error says that there is no such memory.
func New(size int64, window time.Duration) (*Probe, error) {
	if size < section || window <= 0 {
		return nil, fmt.Errorf("limits: %d bytes for %v are too little to measure", size, window)
	}
	b, err := mapPages(int(size))
	if err != nil {
		return nil, fmt.Errorf("limits: a buffer of %d bytes: %w", size, err)
	}
	for i := 0; i < len(b); i += 4096 {
		b[i] = 1 // else all pages are the one of zeros
	}
	return &Probe{buffer: b, window: window}, nil
}

// Close frees the buffer.
func (p *Probe) Close() error {
	b := p.buffer
	p.buffer = nil
	return unmapPages(b)
}

// Read is the bytes a second that threads threads read together, each from its own
// part of the buffer.
func (p *Probe) Read(threads int) (float64, error) {
	if p.buffer == nil {
		return 0, errors.New("limits: the probe is closed")
	}
	if threads < 1 {
		return 0, fmt.Errorf("limits: %d threads", threads)
	}
	part := len(p.buffer) / threads / simd.ReadBlock * simd.ReadBlock
	if part < simd.ReadBlock {
		return 0, fmt.Errorf("limits: a buffer of %d bytes is too small for %d threads", len(p.buffer), threads)
	}
	return p.together(threads, func(thread int, late func() bool) (work int64) {
		mine := p.buffer[thread*part : (thread+1)*part]
		for at := 0; ; {
			end := min(at+section, part)
			simd.ReadAll(mine[at:end])
			work += int64(end - at)
			if at = end; at == part {
				at = 0
			}
			if late() {
				return work
			}
		}
	}), nil
}

// MultiplyAdd is the float32 operations a second that threads threads do together,
// two for each multiply-add, with all operands in registers.
func (p *Probe) MultiplyAdd(threads int) (float64, error) {
	if threads < 1 {
		return 0, fmt.Errorf("limits: %d threads", threads)
	}
	return p.together(threads, func(_ int, late func() bool) (work int64) {
		for {
			work += simd.MultiplyAdd(rounds)
			if late() {
				return work
			}
		}
	}), nil
}

// together runs f on threads of their own, each on another CPU where the system
// lets us choose, and returns the work a second: all work over the time from the
// first start to the last end.
func (p *Probe) together(threads int, f func(thread int, late func() bool) (work int64)) float64 {
	var ready, done sync.WaitGroup
	var work atomic.Int64
	ready.Add(threads)
	done.Add(threads)
	begin, end := make([]time.Time, threads), make([]time.Time, threads)
	for i := range threads {
		go func() {
			defer done.Done()
			// Not unlocked: a thread that is tied to a CPU ends with its goroutine.
			runtime.LockOSThread()
			pin(i)
			ready.Done()
			ready.Wait()
			begin[i] = time.Now()
			work.Add(f(i, func() bool { return time.Since(begin[i]) >= p.window }))
			end[i] = time.Now()
		}()
	}
	done.Wait()
	first, last := begin[0], end[0]
	for i := range threads {
		if begin[i].Before(first) {
			first = begin[i]
		}
		if end[i].After(last) {
			last = end[i]
		}
	}
	return float64(work.Load()) / last.Sub(first).Seconds()
}
