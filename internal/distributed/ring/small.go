package ring

import (
	"github.com/mlxgo/mlx/internal/distributed/reduce"
)

// smallReduce is up to which bytes, times processes, every process takes the vectors of
// all others and adds them up itself: half the steps of the large way, and as many
// bytes with two processes.
const smallReduce = 128 << 10

// passAround fills the blocks of out, n bytes for each rank, of which this process has
// its own: at each step it passes on what came at the last, in both directions, so that
// half the circle is enough.
func (g *group) passAround(h header, out []byte, n int) error {
	block := func(rank int) []byte {
		i := ((rank % g.Size()) + g.Size()) % g.Size()
		return out[i*n : (i+1)*n]
	}
	right, left := g.right[0], g.left[0]
	forth, back := g.Size()/2, (g.Size()-1)/2
	h.length = uint32(n)
	for step := range forth {
		there, here := h, h // there goes to the right, here to the left
		there.part, here.part = uint32(step), uint32(step)
		here.lane = 1
		if err := right.post(&there, block(g.rank-step)); err != nil {
			return err
		}
		if step < back {
			if err := left.post(&here, block(g.rank+step)); err != nil {
				return err
			}
		}
		if err := left.receive(&there, block(g.rank-step-1), false); err != nil {
			return err
		}
		if step < back {
			if err := right.receive(&here, block(g.rank+step+1), false); err != nil {
				return err
			}
		}
	}
	return nil
}

// reduceSmall joins all vectors in order of rank, so that all get the same bits.
func (g *group) reduceSmall(h header, v []byte) error {
	n := len(v)
	if len(g.scratch) < n*g.Size() {
		g.scratch = make([]byte, smallReduce)
	}
	all := g.scratch[:n*g.Size()]
	copy(all[g.rank*n:], v)
	if err := g.passAround(h, all, n); err != nil {
		return err
	}
	copy(v, all[:n])
	for r := 1; r < g.Size(); r++ {
		reduce.Apply(h.reduce, h.dtype, v, all[r*n:(r+1)*n])
	}
	return nil
}
