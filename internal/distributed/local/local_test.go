package local_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/grouptest"
	"github.com/mlxgo/mlx/internal/distributed/local"
	"github.com/mlxgo/mlx/internal/dtype"
)

func TestGroup(t *testing.T) {
	grouptest.Run(t, func(_ testing.TB, n int) []distributed.Group { return local.New(n) })
}

// TestDeadlock: processes that wait for one another without end are told.
func TestDeadlock(t *testing.T) {
	recv := func(from int) func(whole, part distributed.Group) error {
		return func(whole, _ distributed.Group) error { return whole.Recv(dtype.Int8, make([]byte, 1), from) }
	}
	whole := func(whole, _ distributed.Group) error { return whole.Barrier() }
	part := func(_, part distributed.Group) error { return part.Barrier() }
	done := func(_, _ distributed.Group) error { return nil }
	for name, c := range map[string]struct {
		calls [3]func(whole, part distributed.Group) error // the part has ranks 0 and 1
		want  string
	}{
		"circle":         {[3]func(_, _ distributed.Group) error{recv(1), recv(2), recv(0)}, "rank 0 is in recv of 1 int8 from rank 1, rank 1 in recv of 1 int8 from rank 2"},
		"two of three":   {[3]func(_, _ distributed.Group) error{recv(1), recv(0), done}, "rank 0 is in recv of 1 int8 from rank 1, rank 1 in recv of 1 int8 from rank 0"},
		"part and whole": {[3]func(_, _ distributed.Group) error{whole, part, done}, "rank 0 of 3 is in barrier, rank 1 of 2 in barrier"},
	} {
		t.Run(name, func(t *testing.T) {
			errs := make([]error, 3)
			var all sync.WaitGroup
			for rank, g := range local.New(3) {
				all.Go(func() {
					part, err := g.Split(rank/2, -1)
					if err == nil {
						err = c.calls[rank](g, part)
					}
					errs[rank] = err
				})
			}
			all.Wait()
			for rank, err := range errs {
				if rank == 2 && name != "circle" {
					continue
				}
				if err == nil || !strings.Contains(err.Error(), c.want) {
					t.Errorf("rank %d: %v, want %q", rank, err, c.want)
				}
			}
		})
	}
}

// TestSlowPeer: a process that computes meanwhile is no deadlock.
func TestSlowPeer(t *testing.T) {
	ends := local.New(3)
	hold := make(chan struct{})
	var all sync.WaitGroup
	for rank, g := range ends {
		all.Go(func() {
			part, err := g.Split(rank/2, -1)
			if err != nil {
				t.Error(err)
				return
			}
			if rank == 1 {
				<-hold
				if err := part.Barrier(); err != nil {
					t.Error(err)
				}
			} else if rank == 0 {
				if err := part.Barrier(); err != nil {
					t.Error(err)
				}
			} else {
				close(hold)
			}
			if err := g.Barrier(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
}
