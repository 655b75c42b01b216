package ring

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/dtype"
)

// A group is some of the mesh's processes in a circle.
type group struct {
	m       *mesh
	id      uint64
	members []int // ranks of the job
	rank    int   // index of members
	seq     uint64
	closed  bool

	right, left []*link       // to the next and the one before; one for each address
	direct      map[int]*link // of sends to others
	inbound     map[int]*link // and from them
	scratch     []byte
}

var _ distributed.Group = (*group)(nil)

func newGroup(m *mesh, id uint64, members []int) *group {
	m.enter()
	return &group{m: m, id: id, members: members, rank: slices.Index(members, m.rank),
		direct: map[int]*link{}, inbound: map[int]*link{}}
}

// Rank is the number of this process in the group.
func (g *group) Rank() int { return g.rank }

// Size is the number of processes of the group.
func (g *group) Size() int { return len(g.members) }

// member is the job's rank of the group's rank r, around the circle.
func (g *group) member(r int) int { n := g.Size(); return g.members[((r%n)+n)%n] }

// open connects the process with its neighbours: it dials the next, as in MLX, and the
// one before dials it. Both go on at once, so there is no order to get wrong.
func (g *group) open(deadline time.Time) error {
	if g.right != nil {
		return nil
	}
	var lefts []*link
	var leftErr error
	var wg sync.WaitGroup
	wg.Go(func() { lefts, leftErr = g.edge(g.member(g.rank-1), g.m.rank, deadline) })
	rights, err := g.edge(g.m.rank, g.member(g.rank+1), deadline)
	wg.Wait()
	if err == nil {
		err = leftErr
	}
	if err != nil {
		return err
	}
	g.right, g.left = rights, lefts
	return nil
}

// edge opens the connections from one member to the next.
func (g *group) edge(from, to int, deadline time.Time) ([]*link, error) {
	links := make([]*link, len(g.m.cfg.Hosts[to]))
	for i := range links {
		var err error
		if links[i], err = g.m.connect(channel{from: from, to: to, group: g.id, kind: kindEdge, index: i}, i, deadline); err != nil {
			return nil, err
		}
	}
	return links, nil
}

// begin opens a collective: h is completed as its header.
func (g *group) begin(h *header) error {
	if err := g.usable(); err != nil {
		return err
	}
	h.group, h.seq = g.id, g.seq
	g.seq++
	g.m.does(h.String())
	return g.open(time.Time{})
}

func (g *group) usable() error {
	if err := g.m.failure(); err != nil {
		return err
	}
	if g.closed {
		return errClosed
	}
	return nil
}

// idle says that the collective is over.
func (g *group) idle() { g.m.does("other work") }

// whole refuses lengths that hold no whole elements.
func whole(d dtype.DType, v []byte) error {
	if !d.Valid() {
		return fmt.Errorf("ring: %v", d)
	}
	if len(v)%d.Size() != 0 {
		return fmt.Errorf("ring: %d bytes are no whole number of %v", len(v), d)
	}
	return nil
}

// fits refuses a long slice that is not n times as long as the short one.
func fits(d dtype.DType, short, long []byte, n int) error {
	if err := whole(d, short); err != nil {
		return err
	}
	if len(long) != n*len(short) {
		return fmt.Errorf("ring: %d bytes for %d processes of %d bytes", len(long), n, len(short))
	}
	return nil
}

// AllReduce is Group.AllReduce.
func (g *group) AllReduce(op distributed.ReduceOp, d dtype.DType, v []byte) error {
	if err := whole(d, v); err != nil {
		return err
	}
	if g.Size() == 1 {
		return g.usable()
	}
	h := header{op: opAllReduce, reduce: op, dtype: d, bytes: uint64(len(v))}
	if err := g.begin(&h); err != nil {
		return err
	}
	defer g.idle()
	if len(v)*g.Size() <= smallReduce {
		return g.reduceSmall(h, v)
	}
	return g.reduceLarge(h, v)
}

// AllGather is Group.AllGather.
func (g *group) AllGather(d dtype.DType, in, out []byte) error {
	if err := fits(d, in, out, g.Size()); err != nil {
		return err
	}
	copy(out[g.rank*len(in):], in)
	if g.Size() == 1 {
		return g.usable()
	}
	h := header{op: opAllGather, dtype: d, bytes: uint64(len(in))}
	if err := g.begin(&h); err != nil {
		return err
	}
	defer g.idle()
	if len(in) <= smallFrame-headerLen {
		return g.passAround(h, out, len(in))
	}
	return g.gatherLarge(h, out)
}

// ReduceScatter is Group.ReduceScatter.
func (g *group) ReduceScatter(op distributed.ReduceOp, d dtype.DType, in, out []byte) error {
	if err := fits(d, out, in, g.Size()); err != nil {
		return err
	}
	if g.Size() == 1 {
		copy(out, in)
		return g.usable()
	}
	h := header{op: opReduceScatter, reduce: op, dtype: d, bytes: uint64(len(in))}
	if err := g.begin(&h); err != nil {
		return err
	}
	defer g.idle()
	return g.scatterLarge(h, in, out)
}

// Barrier is Group.Barrier.
func (g *group) Barrier() error {
	if g.Size() == 1 {
		return g.usable()
	}
	h := header{op: opBarrier, dtype: dtype.Uint8}
	if err := g.begin(&h); err != nil {
		return err
	}
	defer g.idle()
	return g.passAround(h, nil, 0)
}

// Split is Group.Split. The parts have connections of their own, made when they are
// first used.
func (g *group) Split(color, key int) (distributed.Group, error) {
	const size = 16
	all := make([]byte, size*g.Size())
	own := all[size*g.rank:]
	binary.LittleEndian.PutUint64(own, uint64(color))
	binary.LittleEndian.PutUint64(own[8:], uint64(key))
	h := header{op: opSplit, dtype: dtype.Uint8, bytes: size}
	if g.Size() == 1 {
		if err := g.usable(); err != nil {
			return nil, err
		}
		g.seq++
	} else {
		if err := g.begin(&h); err != nil {
			return nil, err
		}
		defer g.idle()
		if err := g.passAround(h, all, size); err != nil {
			return nil, err
		}
	}
	type place struct{ key, rank int }
	var places []place
	for r := range g.Size() {
		theirs := int(int64(binary.LittleEndian.Uint64(all[size*r+8:])))
		if theirs < 0 {
			theirs = r
		}
		if int(int64(binary.LittleEndian.Uint64(all[size*r:]))) == color {
			places = append(places, place{theirs, r})
		}
	}
	slices.SortFunc(places, func(a, b place) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.rank, b.rank)) })
	members := make([]int, len(places))
	for i, p := range places {
		members[i] = g.members[p.rank]
	}
	return newGroup(g.m, partID(g.id, g.seq, color), members), nil
}

// partID is one number for all members of a part, and another for every other part.
func partID(group, seq uint64, color int) uint64 {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %d %d", group, seq, color))
	return binary.LittleEndian.Uint64(sum[:])
}

// Close is Group.Close.
func (g *group) Close() error {
	if g.closed {
		return nil
	}
	g.closed = true
	links := slices.Concat(g.right, g.left)
	for _, l := range g.direct {
		links = append(links, l)
	}
	for _, l := range g.inbound {
		links = append(links, l)
	}
	for _, l := range links {
		l.finish()
	}
	g.m.leave(links)
	return nil
}
