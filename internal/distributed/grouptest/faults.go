package grouptest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// An act is what a process does, and how errors tell it.
type act struct {
	name string
	run  func(g distributed.Group) error
}

func reduction(op distributed.ReduceOp, d dtype.DType, n int) act {
	return act{fmt.Sprintf("all_%v of %d %v", op, n, d), func(g distributed.Group) error {
		return g.AllReduce(op, d, make([]byte, n*d.Size()))
	}}
}

func gathering(d dtype.DType, n int) act {
	return act{fmt.Sprintf("all_gather of %d %v", n, d), func(g distributed.Group) error {
		return g.AllGather(d, make([]byte, n*d.Size()), make([]byte, n*d.Size()*g.Size()))
	}}
}

func scattering(d dtype.DType, n int) act {
	return act{fmt.Sprintf("sum_scatter of %d %v", n, d), func(g distributed.Group) error {
		return g.ReduceScatter(distributed.Sum, d, make([]byte, n*d.Size()), make([]byte, n*d.Size()/g.Size()))
	}}
}

// sending also waits at a barrier, since sending itself may end before the error.
func sending(d dtype.DType, n, to int) act {
	return act{fmt.Sprintf("send of %d %v", n, d), func(g distributed.Group) error {
		if err := g.Send(d, make([]byte, n*d.Size()), to); err != nil {
			return err
		}
		return g.Barrier()
	}}
}

func receiving(d dtype.DType, n, from int) act {
	return act{fmt.Sprintf("recv of %d %v", n, d), func(g distributed.Group) error {
		return g.Recv(d, make([]byte, n*d.Size()), from)
	}}
}

var waiting = act{"barrier", distributed.Group.Barrier}

// disagreement: processes that call different things get an error that names both, and
// go on getting errors.
func disagreement(t *testing.T, start Start) {
	float10 := reduction(distributed.Sum, dtype.Float32, 10)
	for _, c := range [][2]act{
		{float10, gathering(dtype.Int32, 5)},
		{float10, reduction(distributed.Sum, dtype.Float32, 11)},
		{float10, reduction(distributed.Sum, dtype.Int32, 10)},
		{float10, reduction(distributed.Max, dtype.Float32, 10)},
		{float10, reduction(distributed.Sum, dtype.Float32, 300_000)},
		{reduction(distributed.Sum, dtype.BFloat16, 300_000), reduction(distributed.Sum, dtype.Float16, 300_000)},
		{gathering(dtype.Int32, 5), gathering(dtype.Int32, 6)},
		{scattering(dtype.Float32, 20), scattering(dtype.Float32, 40)},
		{waiting, float10},
		{sending(dtype.Float32, 10, 1), receiving(dtype.Float32, 11, 0)},
		{sending(dtype.Float32, 10, 1), receiving(dtype.Int32, 10, 0)},
		{float10, receiving(dtype.Float32, 10, 0)},
	} {
		t.Run(c[0].name+" and "+c[1].name, func(t *testing.T) {
			t.Parallel()
			w := begin(t, start, 2)
			errs := w.each(t, func(rank int, g distributed.Group) error { return c[rank].run(g) })
			for rank, err := range errs {
				if err == nil {
					t.Fatalf("no error on rank %d; the other has: %v", rank, errs[1-rank])
				}
				for other, a := range c {
					if name := a.name; !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), fmt.Sprint("rank ", other)) {
						t.Errorf("the error on rank %d does not tell %q of rank %d: %v", rank, name, other, err)
					}
				}
			}
			failed(t, w)
		})
	}
	t.Run("one of three", func(t *testing.T) {
		t.Parallel()
		for odd := range 3 {
			w := begin(t, start, 3)
			for rank, err := range w.each(t, func(rank int, g distributed.Group) error {
				if rank == odd {
					return gathering(dtype.Int32, 5).run(g)
				}
				return float10.run(g)
			}) {
				if err == nil || !strings.Contains(err.Error(), "all_gather of 5 int32") || !strings.Contains(err.Error(), float10.name) {
					t.Errorf("rank %d when %d is in all_gather: %v", rank, odd, err)
				}
			}
			failed(t, w)
		}
	})
}

// failed: after an error the group gives errors on all sides, and can be closed.
func failed(t *testing.T, w *world) {
	t.Helper()
	for range 2 {
		for rank, err := range w.each(t, func(_ int, g distributed.Group) error { return g.Barrier() }) {
			if err == nil {
				t.Errorf("rank %d can go on after the error", rank)
			}
		}
	}
	w.each(t, func(_ int, g distributed.Group) error { return g.Close() })
}

func wrongPeers(t *testing.T, start Start) {
	for _, peer := range []int{-1, 0, 2, 1 << 40} { // of rank 0 of two
		for _, a := range []act{sending(dtype.Float32, 1, peer), receiving(dtype.Float32, 1, peer)} {
			w := begin(t, start, 2)
			if err := a.run(w.ends[0]); err == nil || !strings.Contains(err.Error(), fmt.Sprint("rank ", peer)) {
				t.Errorf("%s with rank %d: %v", a.name, peer, err)
			}
			w.each(t, func(_ int, g distributed.Group) error { return g.Close() })
		}
	}
}

func wrongLengths(t *testing.T, start Start) {
	for _, run := range []func(g distributed.Group) error{
		func(g distributed.Group) error { return g.AllReduce(distributed.Sum, dtype.Float32, make([]byte, 6)) },
		func(g distributed.Group) error { return g.AllGather(dtype.Float32, make([]byte, 4), make([]byte, 12)) },
		func(g distributed.Group) error {
			return g.ReduceScatter(distributed.Sum, dtype.Float32, make([]byte, 12), make([]byte, 4))
		},
		func(g distributed.Group) error { return g.Recv(dtype.Float64, make([]byte, 6), 1-g.Rank()) },
	} {
		w := begin(t, start, 2)
		for rank, err := range w.each(t, func(_ int, g distributed.Group) error { return run(g) }) {
			if err == nil {
				t.Errorf("no error on rank %d", rank)
			}
		}
		w.each(t, func(_ int, g distributed.Group) error { return g.Close() })
	}
}

// leaving: who closes while others wait is named by their errors.
func leaving(t *testing.T, start Start) {
	for _, a := range []act{
		reduction(distributed.Sum, dtype.Float32, 10), reduction(distributed.Sum, dtype.Float32, 300_000),
		gathering(dtype.Float32, 10), scattering(dtype.Float32, 30), waiting, receiving(dtype.Float32, 1, 2),
	} {
		for _, late := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, late %v", a.name, late), func(t *testing.T) {
				t.Parallel()
				w := begin(t, start, 3)
				errs := w.each(t, func(rank int, g distributed.Group) error {
					if rank < 2 {
						return a.run(g)
					}
					if late {
						time.Sleep(20 * time.Millisecond)
					}
					return g.Close()
				})
				for rank, err := range errs[:2] {
					if err == nil || !strings.Contains(err.Error(), "rank 2") {
						t.Errorf("rank %d: %v", rank, err)
					}
				}
				if errs[2] != nil {
					t.Errorf("closing: %v", errs[2])
				}
				failed(t, &world{w.ends[:2]})
			})
		}
	}
	t.Run("after a letter", func(t *testing.T) {
		t.Parallel()
		w := begin(t, start, 2)
		w.do(t, func(rank int, g distributed.Group) error {
			want := random(dtype.Float32, 1000, 2, 0)
			if rank == 0 {
				if err := g.Send(dtype.Float32, want, 1); err != nil {
					return err
				}
				return g.Close()
			}
			time.Sleep(20 * time.Millisecond)
			if err := receive(g, dtype.Float32, 0, want); err != nil {
				return err
			}
			if err := g.Recv(dtype.Float32, make([]byte, 4), 0); err == nil || !strings.Contains(err.Error(), "rank 0") {
				return fmt.Errorf("a letter of who has closed: %v", err)
			}
			return g.Close()
		})
	})
	t.Run("itself", func(t *testing.T) {
		w := begin(t, start, 1)
		w.close(t)
		if err := w.ends[0].Barrier(); err == nil {
			t.Error("a closed group has a barrier")
		}
	})
}
