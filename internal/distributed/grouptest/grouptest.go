// Package grouptest is the suite that every backend of collectives passes: all ops on
// all dtypes against sums in float64, the same bits on every process, groups of groups,
// processes that disagree or leave, and long random programs.
package grouptest

import (
	"fmt"
	"os"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// Start makes the n ends of a new group, by rank. What it opens is closed when the test
// ends.
type Start func(t testing.TB, n int) []distributed.Group

// Full reports whether the environment asks for the long tests: make full does.
func Full() bool { return os.Getenv("MLX_FULL") != "" }

// patience is how long a step of the suite may take before it counts as hanging.
const patience = 3 * time.Minute

// Run runs the suite on the groups that start makes.
func Run(t *testing.T, start Start) {
	for n := 1; n <= 5; n++ {
		t.Run(fmt.Sprintf("%d ranks", n), func(t *testing.T) {
			w := begin(t, start, n)
			t.Run("who", w.who)
			t.Run("reduce and gather", w.collectives)
			t.Run("NaN", w.nan)
			t.Run("barrier", w.barrier)
			t.Run("send and receive", w.letters)
			t.Run("split", w.split)
			t.Run("soak", w.soak)
			w.close(t)
		})
	}
	t.Run("disagreement", func(t *testing.T) { disagreement(t, start) })
	t.Run("wrong peers", func(t *testing.T) { wrongPeers(t, start) })
	t.Run("wrong lengths", func(t *testing.T) { wrongLengths(t, start) })
	t.Run("leaving", func(t *testing.T) { leaving(t, start) })
}

// A world is the ends of one group.
type world struct {
	ends []distributed.Group
}

func begin(t testing.TB, start Start, n int) *world {
	t.Helper()
	w := &world{start(t, n)}
	if len(w.ends) != n {
		t.Fatalf("%d ends of a group of %d", len(w.ends), n)
	}
	return w
}

func (w *world) size() int { return len(w.ends) }

// each runs f for each process at once, and returns their errors by rank.
func (w *world) each(t testing.TB, f func(rank int, g distributed.Group) error) []error {
	t.Helper()
	errs := make([]error, w.size())
	var all sync.WaitGroup
	for rank, g := range w.ends {
		all.Go(func() { errs[rank] = f(rank, g) })
	}
	done := make(chan struct{})
	go func() { all.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(patience):
		stacks := make([]byte, 1<<16)
		t.Fatalf("hangs:\n%s", stacks[:runtime.Stack(stacks, true)])
	}
	return errs
}

// do is each for what must succeed.
func (w *world) do(t testing.TB, f func(rank int, g distributed.Group) error) {
	t.Helper()
	for rank, err := range w.each(t, f) {
		if err != nil {
			t.Fatalf("rank %d: %v", rank, err)
		}
	}
}

func (w *world) close(t testing.TB) {
	t.Helper()
	w.do(t, func(_ int, g distributed.Group) error { return g.Close() })
}

func (w *world) who(t *testing.T) {
	for rank, g := range w.ends {
		if g.Rank() != rank || g.Size() != w.size() {
			t.Errorf("end %d of %d says rank %d of %d", rank, w.size(), g.Rank(), g.Size())
		}
	}
}

// barrier: nobody passes before the last has come.
func (w *world) barrier(t *testing.T) {
	var mu sync.Mutex
	for turn := range 20 {
		came := 0
		w.do(t, func(rank int, g distributed.Group) error {
			if turn%w.size() == rank {
				time.Sleep(time.Millisecond)
			}
			mu.Lock()
			came++
			mu.Unlock()
			err := g.Barrier()
			mu.Lock()
			defer mu.Unlock()
			if err == nil && came != w.size() {
				err = fmt.Errorf("passed the barrier when %d of %d had come", came, w.size())
			}
			return err
		})
	}
}

var ops = []distributed.ReduceOp{distributed.Sum, distributed.Max, distributed.Min}

func dtypes() []dtype.DType {
	all := make([]dtype.DType, dtype.Count)
	for i := range all {
		all[i] = dtype.DType(i)
	}
	return all
}
