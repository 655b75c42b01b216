package cpu

import (
	"fmt"
	"os"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A thread is an OS thread as others see it.
type thread struct{ id atomic.Int32 }

// enter names the calling thread, which stays with its goroutine.
func (t *thread) enter() { t.id.Store(int32(unix.Gettid())) }

// confine moves the thread to cpus and keeps it there. A system that refuses
// leaves it where it is: that costs time, not results.
func (t *thread) confine(cpus []int) {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	if id := int(t.id.Load()); id != 0 {
		_ = unix.SchedSetaffinity(id, &set)
	}
}

// ran is how long the thread has been on a CPU; ok is false if nobody knows.
func (t *thread) ran() (d time.Duration, ok bool) {
	const perThread, sched = 4, 2 // CLOCK_THREAD_CPUTIME_ID of another thread
	var ts unix.Timespec
	id := ^t.id.Load()<<3 | perThread | sched
	if id >= -8 || unix.ClockGettime(id, &ts) != nil {
		return 0, false
	}
	return time.Duration(ts.Nano()), true
}

// currentCPU is where the calling thread runs, -1 if that is not known.
func currentCPU() int {
	var cpu uint32
	if _, _, err := unix.RawSyscall(unix.SYS_GETCPU, uintptr(unsafe.Pointer(&cpu)), 0, 0); err != 0 {
		return -1
	}
	return int(cpu)
}

// allowedCPUs are the CPUs that the calling thread may use (taskset and cgroups
// restrict them), those of one core next to each other.
func allowedCPUs() []int {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return nil
	}
	var cpus []int
	core := map[int]int{}
	for c := range 8 * int(unsafe.Sizeof(set)) {
		if set.IsSet(c) {
			cpus = append(cpus, c)
			core[c] = firstSibling(c)
		}
	}
	slices.SortStableFunc(cpus, func(a, b int) int { return core[a] - core[b] })
	return cpus
}

// firstSibling is the lowest CPU of the core that cpu belongs to, or cpu.
func firstSibling(cpu int) int {
	text, err := os.ReadFile(fmt.Sprintf("/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu))
	first := cpu
	if err == nil {
		if _, err := fmt.Sscanf(string(text), "%d", &first); err != nil {
			return cpu
		}
	}
	return first
}

// A bell wakes threads that sleep on it.
type bell struct {
	rings    atomic.Uint32
	sleepers atomic.Int32
}

const futexPrivate = 128

// ring wakes all.
func (b *bell) ring() {
	b.rings.Add(1)
	if b.sleepers.Load() > 0 {
		_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rings)), 1|futexPrivate, 1<<30, 0, 0, 0)
	}
}

// sleep returns once the bell has been rung more often than seen; it may also
// return early.
func (b *bell) sleep(seen uint32) {
	b.sleepers.Add(1)
	_, _, _ = unix.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(&b.rings)), 0|futexPrivate, uintptr(seen), 0, 0, 0)
	b.sleepers.Add(-1)
}
