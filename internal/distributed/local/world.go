package local

import (
	"cmp"
	"fmt"
	"slices"
	"sync"
)

// A world is what a group and all that were split from it share.
type world struct {
	mu      sync.Mutex
	changed sync.Cond  // something that somebody may wait for has happened
	err     error      // of the first failure, which is everybody's
	waiting []*waiting // by rank in the first group; nil while a process does not wait
}

// waiting is a process in a call that cannot go on without others.
type waiting struct {
	*end
	call  call
	done  func() bool
	needs func() []int // ranks in its group that must come
}

// A group is what its ends share. The world's mutex guards what changes.
type group struct {
	world  *world
	parent *group
	up     []int       // ranks in parent
	ranks  []int       // ranks in the first group
	closed []bool      // by rank
	round  *round      // the collective that processes come to; nil if none has
	mail   [][]letters // by receiver and sender
}

// letters were sent and not yet received.
type letters []letter

type letter struct {
	call call
	data []byte
}

// A round is one collective.
type round struct {
	call       call
	all        []contribution
	in         []bool
	came, left int
	parts      map[int][]*end // of split, by color
}

// A contribution is what a process brings to a round.
type contribution struct {
	in         []byte
	color, key int
}

// newGroup is the ends of processes that have the ranks up in parent.
func newGroup(w *world, parent *group, up []int) []*end {
	n := len(up)
	g := &group{world: w, parent: parent, up: up, ranks: slices.Clone(up), closed: make([]bool, n), mail: make([][]letters, n)}
	ends := make([]*end, n)
	for i := range n {
		if parent != nil {
			g.ranks[i] = parent.ranks[up[i]]
		}
		g.mail[i] = make([]letters, n)
		ends[i] = &end{g, i}
	}
	return ends
}

// gone reports whether a process has closed g or a group that g comes from.
func (g *group) gone(rank int) bool {
	return g.closed[rank] || g.parent != nil && g.parent.gone(g.up[rank])
}

// together runs work when all processes have come with the same call, and returns when
// all have done theirs: until then they read and write each other's memory.
func (e *end) together(c call, mine contribution, work func(*round)) error {
	w := e.world
	w.mu.Lock()
	defer w.mu.Unlock()
	r, err := e.come(c, mine)
	if err != nil {
		return err
	}
	err = e.wait(c, func() bool { return r.came == e.Size() }, r.missing)
	if err != nil {
		return err
	}
	w.mu.Unlock()
	work(r)
	w.mu.Lock()
	r.left++
	w.changed.Broadcast()
	for r.left < e.Size() {
		w.changed.Wait()
	}
	return nil
}

// come brings the process to the round of its group.
func (e *end) come(c call, mine contribution) (*round, error) {
	if err := e.usable(c); err != nil {
		return nil, err
	}
	n := e.Size()
	if e.round == nil {
		e.round = &round{call: c, all: make([]contribution, n), in: make([]bool, n), parts: map[int][]*end{}}
	}
	r := e.round
	if r.call != c {
		first := slices.Index(r.in, true)
		return nil, e.world.fail(mismatch(first, r.call, e.rank, c))
	}
	r.all[e.rank], r.in[e.rank] = mine, true
	if r.came++; r.came == n {
		e.round = nil
		e.world.changed.Broadcast()
	}
	return r, nil
}

func (r *round) missing() []int {
	var ranks []int
	for i, in := range r.in {
		if !in {
			ranks = append(ranks, i)
		}
	}
	return ranks
}

// part is the end of the process in the group of its color.
func (e *end) part(r *round) *end {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	color := r.all[e.rank].color
	var up []int
	for rank, o := range r.all {
		if o.color == color {
			up = append(up, rank)
		}
	}
	slices.SortStableFunc(up, func(a, b int) int { return cmp.Compare(r.all[a].key, r.all[b].key) })
	if r.parts[color] == nil {
		r.parts[color] = newGroup(e.world, e.group, up)
	}
	return r.parts[color][slices.Index(up, e.rank)]
}

func (e *end) send(c call, v []byte) error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	if err := e.usable(c); err != nil {
		return err
	}
	to := c.peer
	if e.gone(to) {
		return e.world.fail(fmt.Errorf("rank %d has closed the group; rank %d is in %v", to, e.rank, c))
	}
	box := &e.mail[to][e.rank]
	*box = append(*box, letter{c, slices.Clone(v)})
	e.world.changed.Broadcast()
	return nil
}

func (e *end) recv(c call, v []byte) error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	if err := e.usable(c); err != nil {
		return err
	}
	box := &e.mail[e.rank][c.peer]
	err := e.wait(c, func() bool { return len(*box) > 0 }, func() []int { return []int{c.peer} })
	if err != nil {
		return err
	}
	l := (*box)[0]
	if l.call.dtype != c.dtype || l.call.bytes != c.bytes {
		return e.world.fail(mismatch(c.peer, l.call, e.rank, c))
	}
	*box = slices.Delete(*box, 0, 1)
	copy(v, l.data)
	return nil
}

// wait waits until done, unless those who are needed cannot come.
func (e *end) wait(c call, done func() bool, needs func() []int) error {
	w := e.world
	if done() {
		return nil
	}
	w.waiting[e.ranks[e.rank]] = &waiting{e, c, done, needs}
	w.check()
	for w.err == nil && !done() {
		w.changed.Wait()
	}
	w.waiting[e.ranks[e.rank]] = nil
	if done() {
		return nil
	}
	return w.err
}
