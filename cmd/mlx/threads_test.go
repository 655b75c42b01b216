package main

import (
	"errors"
	"runtime"
	"testing"

	"github.com/mlxgo/mlx/internal/cpu"
)

// --threads is how many threads compute, also above the number of CPUs.
func TestSetThreads(t *testing.T) {
	procs := runtime.GOMAXPROCS(0)
	defer runtime.GOMAXPROCS(procs)
	defer cpu.SetWorkers(0)
	for _, n := range []int{1, 3, procs + 2, 0} {
		if err := setThreads(n); err != nil {
			t.Fatal(err)
		}
		want := n
		if n == 0 {
			want = runtime.GOMAXPROCS(0)
		}
		if got := cpu.Workers(); got != want || runtime.GOMAXPROCS(0) < n {
			t.Errorf("--threads %d: %d workers on %d threads of Go", n, got, runtime.GOMAXPROCS(0))
		}
	}
	for _, n := range []int{-1, maxThreads + 1} {
		var usage *usageError
		if err := setThreads(n); !errors.As(err, &usage) || cpu.Workers() < 1 {
			t.Errorf("--threads %d: error %v", n, err)
		}
	}
}
