package grouptest

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// letters: what is sent arrives whole and in order, between any two processes.
func (w *world) letters(t *testing.T) {
	if w.size() == 1 {
		t.Skip("there is nobody to talk to")
	}
	for _, d := range dtypes() {
		for _, n := range []int{0, 1, 3, 1000} {
			w.around(t, d, n)
		}
	}
	w.around(t, dtype.Float32, 300_007)
	w.pairs(t)
	w.inOrder(t)
	w.fromAll(t)
	large := 300_007
	if Full() {
		large = 10_000_019
	}
	w.along(t, dtype.Float32, large)
}

// around: all send before any receives.
func (w *world) around(t *testing.T, d dtype.DType, n int) {
	t.Helper()
	w.do(t, func(rank int, g distributed.Group) error {
		before, after := (rank+w.size()-1)%w.size(), (rank+1)%w.size()
		if err := g.Send(d, random(d, n, 7, uint64(rank)), after); err != nil {
			return err
		}
		return receive(g, d, before, random(d, n, 7, uint64(before)))
	})
}

func receive(g distributed.Group, d dtype.DType, from int, want []byte) error {
	got := make([]byte, len(want))
	if err := g.Recv(d, got, from); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return fmt.Errorf("%d bytes of %v from rank %d are not what was sent", len(want), d, from)
	}
	return nil
}

// along: a vector goes from rank to rank, each receives before it sends.
func (w *world) along(t *testing.T, d dtype.DType, n int) {
	t.Helper()
	want := random(d, n, 9, 0)
	w.do(t, func(rank int, g distributed.Group) error {
		if rank > 0 {
			if err := receive(g, d, rank-1, want); err != nil {
				return err
			}
		}
		if rank == w.size()-1 {
			return nil
		}
		return g.Send(d, want, rank+1)
	})
}

// pairs: each with each, one pair after the other, there and back.
func (w *world) pairs(t *testing.T) {
	w.do(t, func(rank int, g distributed.Group) error {
		for a := range w.size() {
			for b := range w.size() {
				var err error
				switch {
				case a == b:
				case rank == a:
					err = g.Send(dtype.Int32, random(dtype.Int32, 100+b, uint64(a), uint64(b)), b)
				case rank == b:
					err = receive(g, dtype.Int32, a, random(dtype.Int32, 100+b, uint64(a), uint64(b)))
				}
				if err != nil {
					return fmt.Errorf("from %d to %d: %w", a, b, err)
				}
			}
		}
		return nil
	})
}

// inOrder: letters of many sizes do not overtake one another, nor collectives them.
func (w *world) inOrder(t *testing.T) {
	size := func(i int) int { return i * i * i % 5003 }
	w.do(t, func(rank int, g distributed.Group) error {
		for i := range 40 {
			if rank == 0 {
				if err := g.Send(dtype.Uint8, random(dtype.Uint8, size(i), uint64(i), 0), 1); err != nil {
					return err
				}
			}
			if i%10 == 9 {
				if err := g.Barrier(); err != nil {
					return err
				}
			}
			if rank == 1 && i%10 == 9 {
				for k := i - 9; k <= i; k++ {
					if err := receive(g, dtype.Uint8, 0, random(dtype.Uint8, size(k), uint64(k), 0)); err != nil {
						return fmt.Errorf("letter %d: %w", k, err)
					}
				}
			}
		}
		return nil
	})
}

// fromAll: rank 0 reads the letters of the last rank first.
func (w *world) fromAll(t *testing.T) {
	w.do(t, func(rank int, g distributed.Group) error {
		if rank > 0 {
			return g.Send(dtype.Float64, random(dtype.Float64, 500, 3, uint64(rank)), 0)
		}
		for from := w.size() - 1; from > 0; from-- {
			if err := receive(g, dtype.Float64, from, random(dtype.Float64, 500, 3, uint64(from))); err != nil {
				return err
			}
		}
		return nil
	})
}
