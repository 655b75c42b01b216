package grouptest

import (
	"bytes"
	"fmt"
	"hash/crc64"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// soak runs a long random program, the same on all processes, each of which sleeps when
// it likes. All of them check what only they have; what all have is checked by one, and
// by its hash on the others.
func (w *world) soak(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %#x", seed)
	steps := 60
	if Full() {
		steps = 10_000
	}
	hashes := make([][]uint64, w.size())
	w.do(t, func(rank int, g distributed.Group) error {
		plan, mood := rand.New(rand.NewPCG(seed, 0)), rand.New(rand.NewPCG(seed, uint64(rank)+1))
		for i := range steps {
			s := w.step(plan, i)
			if mood.IntN(8) == 0 {
				time.Sleep(time.Duration(mood.IntN(1000)) * time.Microsecond)
			}
			hash, err := s.run(g, seed+uint64(i))
			if err != nil {
				return fmt.Errorf("seed %#x, step %d, %+v: %w", seed, i, s, err)
			}
			hashes[rank] = append(hashes[rank], hash)
		}
		return nil
	})
	for rank, h := range hashes {
		if !slices.Equal(h, hashes[0]) {
			t.Errorf("seed %#x: ranks 0 and %d have other bits", seed, rank)
		}
	}
}

// A step is a call of the random program.
type step struct {
	Kind    string
	Op      distributed.ReduceOp
	DType   dtype.DType
	N       int
	Checker int // the rank that checks
}

func (w *world) step(plan *rand.Rand, i int) step {
	kinds := []string{"reduce", "reduce", "gather", "scatter", "around", "barrier"}
	s := step{kinds[plan.IntN(len(kinds))], ops[plan.IntN(3)], dtype.DType(plan.IntN(dtype.Count)), 0, i % w.size()}
	most := 14
	switch {
	case i%1000 == 999:
		most = 23 // to 64 MiB of the widest
	case i%50 == 49:
		most = 18
	}
	s.N = plan.IntN(1 << plan.IntN(most))
	return s
}

var table = crc64.MakeTable(crc64.ECMA)

// run calls, checks, and returns the hash of a result that all have.
func (s step) run(g distributed.Group, seed uint64) (uint64, error) {
	d, n := s.DType, s.N
	input := func(rank, n int) []byte { return random(d, n, seed, uint64(rank)) }
	inputs := func(n int) [][]byte {
		all := make([][]byte, g.Size())
		for rank := range all {
			all[rank] = input(rank, n)
		}
		return all
	}
	checks := s.Checker == g.Rank()
	switch s.Kind {
	case "reduce":
		v := input(g.Rank(), n)
		err := g.AllReduce(s.Op, d, v)
		if err == nil && checks {
			err = check(s.Op, d, v, inputs(n))
		}
		return crc64.Checksum(v, table), err
	case "gather":
		out := make([]byte, n*d.Size()*g.Size())
		err := g.AllGather(d, input(g.Rank(), n), out)
		if err == nil && checks && !bytes.Equal(out, slices.Concat(inputs(n)...)) {
			err = fmt.Errorf("not what was given")
		}
		return crc64.Checksum(out, table), err
	case "scatter":
		part := n / g.Size()
		out := make([]byte, part*d.Size())
		all := inputs(part * g.Size())
		if err := g.ReduceScatter(s.Op, d, all[g.Rank()], out); err != nil {
			return 0, err
		}
		for rank := range all {
			all[rank] = all[rank][g.Rank()*len(out):][:len(out)]
		}
		return 0, check(s.Op, d, out, all)
	case "around":
		if g.Size() == 1 {
			return 0, nil
		}
		before, after := (g.Rank()+g.Size()-1)%g.Size(), (g.Rank()+1)%g.Size()
		if err := g.Send(d, input(g.Rank(), n), after); err != nil {
			return 0, err
		}
		return 0, receive(g, d, before, input(before, n))
	}
	return 0, g.Barrier()
}
