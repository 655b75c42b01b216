package cpu

import (
	"runtime"
	"slices"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// affinity is the CPUs that a thread may use; 0 is the calling one.
func affinity(t *testing.T, id int) (cpus []int) {
	t.Helper()
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(id, &set); err != nil {
		t.Fatal(err)
	}
	for c := range 1024 {
		if set.IsSet(c) {
			cpus = append(cpus, c)
		}
	}
	return cpus
}

func sorted(cpus []int) []int {
	cpus = slices.Clone(cpus)
	slices.Sort(cpus)
	return cpus
}

// Workers have CPUs of their own among the allowed ones, also after they were
// guests, and the caller's thread keeps what it had.
func TestAffinity(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	before := affinity(t, 0)
	if got := sorted(allowedCPUs()); !slices.Equal(got, before) {
		t.Fatalf("allowed CPUs %v, want %v", got, before)
	}
	for _, n := range []int{2, 3, len(before) + 1} {
		p := newPool(n, patience)
		check := func(when string) {
			t.Helper()
			for i, w := range p.others {
				want := before
				if n <= len(before) {
					want = sorted(p.places.group(w.group))
				}
				if got := affinity(t, int(w.id.Load())); !slices.Equal(got, want) {
					t.Errorf("%d threads, %s: worker %d may use CPUs %v, want %v", n, when, i, got, want)
				}
			}
			if got := affinity(t, 0); !slices.Equal(got, before) {
				t.Fatalf("%d threads, %s: the caller may use CPUs %v, had %v", n, when, got, before)
			}
		}
		check("new")
		r := newRun(kernels(20, 8, 1000))
		var s scratch
		for range 3 {
			if err := p.do(r, &s); err != nil {
				t.Fatal(err)
			}
		}
		p.mu.Lock()
		for _, w := range p.others {
			p.host(w)
			if c := affinity(t, int(w.id.Load())); n <= len(before) && len(c) != 1 {
				t.Errorf("%d threads: a guest may use CPUs %v", n, c)
			}
		}
		p.back = time.Time{} // they may be dismissed
		p.call()
		p.mu.Unlock()
		check("called back")
		if err := p.do(r, &s); err != nil {
			t.Fatal(err)
		}
		if got := affinity(t, 0); !slices.Equal(got, before) {
			t.Fatalf("%d threads: after a run the caller may use CPUs %v, had %v", n, got, before)
		}
		p.close()
	}
}

// ran is the thread's own CPU time.
func TestRan(t *testing.T) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	own := func() int64 {
		var ts unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
			t.Fatal(err)
		}
		return ts.Nano()
	}
	var th thread
	if _, ok := th.ran(); ok {
		t.Error("a thread without a name has run")
	}
	th.enter()
	for range 10 {
		a := own()
		d, ok := th.ran()
		b := own()
		if !ok || int64(d) < a || int64(d) > b {
			t.Errorf("ran %d, %v; the thread's clock before and after is %d and %d", d, ok, a, b)
		}
		if spin(1, 10_000) < 0 {
			t.Error("a root is negative")
		}
	}
}
