package ring

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// vanish closes all connections of a process without a word, as its end does.
func vanish(g distributed.Group) {
	m := g.(*group).m
	m.mu.Lock()
	defer m.mu.Unlock()
	for l := range m.links {
		l.conn.Close()
	}
	for c := range m.controls {
		c.conn.Close()
	}
	for _, l := range m.listeners {
		l.Close()
	}
}

// TestProgramsEnd: a program that has its results just ends, without Close, while others
// are still at work on theirs.
func TestProgramsEnd(t *testing.T) {
	for range 20 {
		for _, n := range []int{4, 300_000} {
			groups := join(t, job(t, 4, 1))
			delay := make([]time.Duration, 4)
			for r := range delay {
				delay[r] = time.Duration(rand.IntN(4)) * time.Millisecond
			}
			all(t, groups, func(g distributed.Group) error {
				v := ints(g.Rank(), n)
				time.Sleep(delay[g.Rank()])
				err := g.AllReduce(distributed.Sum, dtype.Int32, v)
				vanish(g)
				return err
			})
		}
	}
}

// TestPeerEnds: who still needs something of a program that ended is told so, and so are
// those who wait for him.
func TestPeerEnds(t *testing.T) {
	groups := join(t, job(t, 4, 1))
	all(t, groups, func(g distributed.Group) error { return g.Barrier() })
	vanish(groups[2])
	for r, err := range each(groups, func(g distributed.Group) error {
		if g.Rank() == 2 {
			return nil
		}
		return g.AllReduce(distributed.Sum, dtype.Int32, ints(g.Rank(), 100_000))
	}) {
		if r != 2 && (err == nil || !strings.Contains(err.Error(), "rank 2 (") || !strings.Contains(err.Error(), "closed the connection")) {
			t.Errorf("rank %d: %v", r, err)
		}
	}
}
