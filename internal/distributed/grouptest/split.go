package grouptest

import (
	"bytes"
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// A division says what each process gives to Split.
type division struct {
	name       string
	color, key func(rank, size int) int
}

var (
	zero      = func(int, int) int { return 0 }
	byRank    = func(int, int) int { return -1 }
	self      = func(rank, _ int) int { return rank }
	backward  = func(rank, size int) int { return size - rank }
	halves    = func(rank, size int) int { return 5 * (2 * rank / size) }
	odd       = func(rank, _ int) int { return rank % 2 }
	lastAlone = func(rank, size int) int { return rank / (size - min(size-1, 1)) }
)

var divisions = []division{
	{"one color", zero, byRank}, {"backward", zero, backward}, {"all alone", self, byRank}, {"halves", halves, byRank},
	{"odd and even", odd, byRank}, {"odd and even, backward", odd, backward}, {"ties", zero, odd}, {"last alone", lastAlone, zero},
}

// split: parts have the right members in the right order, work at the same time, can be
// split themselves and leave the whole as it was.
func (w *world) split(t *testing.T) {
	for _, v := range divisions {
		t.Run(v.name, func(t *testing.T) {
			w.do(t, func(rank int, g distributed.Group) error {
				part, err := g.Split(v.color(rank, w.size()), v.key(rank, w.size()))
				if err != nil {
					return err
				}
				members := w.members(v, rank)
				if err := is(part, rank, members); err != nil {
					return err
				}
				// in parts of parts, and with the whole in between
				if err := is(g, rank, w.members(divisions[0], rank)); err != nil {
					return fmt.Errorf("the whole: %w", err)
				}
				small, err := part.Split(part.Rank()%2, part.Size()-part.Rank())
				if err != nil {
					return err
				}
				var inner []int
				for i := len(members) - 1; i >= 0; i-- {
					if i%2 == part.Rank()%2 {
						inner = append(inner, members[i])
					}
				}
				if err := is(small, rank, inner); err != nil {
					return fmt.Errorf("a part's part: %w", err)
				}
				if err := is(part, rank, members); err != nil {
					return err
				}
				if err := small.Close(); err != nil {
					return err
				}
				if err := part.Close(); err != nil {
					return err
				}
				return is(g, rank, w.members(divisions[0], rank))
			})
		})
	}
}

// members are the ranks of the process's part, in its order.
func (w *world) members(v division, rank int) []int {
	var all []int
	for r := range w.size() {
		if v.color(r, w.size()) == v.color(rank, w.size()) {
			all = append(all, r)
		}
	}
	key := func(r int) int {
		if k := v.key(r, w.size()); k >= 0 {
			return k
		}
		return r
	}
	slices.SortFunc(all, func(a, b int) int { return cmp.Or(cmp.Compare(key(a), key(b)), cmp.Compare(a, b)) })
	return all
}

// is compares a group's end and what its ops do with the ranks of its members.
func is(g distributed.Group, me int, members []int) error {
	if g.Size() != len(members) || g.Rank() != slices.Index(members, me) {
		return fmt.Errorf("rank %d of %d, want %d of the group %v", g.Rank(), g.Size(), slices.Index(members, me), members)
	}
	var all [][]byte
	for _, m := range members {
		all = append(all, random(dtype.Float32, 37, 1, uint64(m)))
	}
	gathered := make([]byte, len(members)*len(all[0]))
	if err := g.AllGather(dtype.Float32, all[g.Rank()], gathered); err != nil {
		return err
	}
	if !bytes.Equal(gathered, slices.Concat(all...)) {
		return fmt.Errorf("all_gather in the group %v is wrong", members)
	}
	sum := slices.Clone(all[g.Rank()])
	if err := g.AllReduce(distributed.Sum, dtype.Float32, sum); err != nil {
		return err
	}
	if err := check(distributed.Sum, dtype.Float32, sum, all); err != nil {
		return err
	}
	if g.Size() == 1 {
		return g.Barrier()
	}
	before, after := (g.Rank()+g.Size()-1)%g.Size(), (g.Rank()+1)%g.Size()
	if err := g.Send(dtype.Float32, all[g.Rank()], after); err != nil {
		return err
	}
	return receive(g, dtype.Float32, before, all[before])
}
