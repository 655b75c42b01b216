// Package local is the backend whose processes are goroutines of one process, for tests
// and for trying out programs. [New] makes all ends of a group.
//
// It has no time-outs, since it sees all ends: calls that wait for one another in a way
// that can never end are an error that names them.
package local

import (
	"fmt"
	"math"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/reduce"
	"github.com/mlxgo/mlx/internal/dtype"
)

// New is a group of n processes, by rank; each end is for one goroutine. Groups that
// are split from it fail together.
func New(n int) []distributed.Group {
	if n < 1 {
		panic(fmt.Sprintf("local: a group of %d processes", n))
	}
	w := &world{waiting: make([]*waiting, n)}
	w.changed.L = &w.mu
	ranks := make([]int, n)
	for i := range ranks {
		ranks[i] = i
	}
	ends := make([]distributed.Group, n)
	for i, e := range newGroup(w, nil, ranks) {
		ends[i] = e
	}
	return ends
}

// An end is one process's end of a group.
type end struct {
	*group
	rank int
}

func (e *end) Rank() int { return e.rank }
func (e *end) Size() int { return len(e.ranks) }

// AllReduce gives each process a part of the elements, to join in the order of ranks
// and to copy to all.
func (e *end) AllReduce(op distributed.ReduceOp, d dtype.DType, v []byte) error {
	c := call{"all_" + op.String(), d, len(v), nobody}
	return e.together(c, contribution{in: v}, func(r *round) {
		all := r.all
		count := len(v) / d.Size()
		low, high := count*e.rank/len(all)*d.Size(), count*(e.rank+1)/len(all)*d.Size()
		sum := all[0].in[low:high]
		for _, o := range all[1:] {
			reduce.Apply(op, d, sum, o.in[low:high])
		}
		for _, o := range all[1:] {
			copy(o.in[low:high], sum)
		}
	})
}

func (e *end) AllGather(d dtype.DType, in, out []byte) error {
	c := call{"all_gather", d, len(in), nobody}
	if len(out) != len(in)*e.Size() {
		return e.misuse(c, fmt.Errorf("%d bytes of %d processes do not make %d", len(in), e.Size(), len(out)))
	}
	return e.together(c, contribution{in: in}, func(r *round) {
		for i, o := range r.all {
			copy(out[i*len(in):], o.in)
		}
	})
}

func (e *end) ReduceScatter(op distributed.ReduceOp, d dtype.DType, in, out []byte) error {
	c := call{op.String() + "_scatter", d, len(in), nobody}
	if len(in) != len(out)*e.Size() {
		return e.misuse(c, fmt.Errorf("%d bytes are not %d for each of %d processes", len(in), len(out), e.Size()))
	}
	return e.together(c, contribution{in: in}, func(r *round) {
		low, high := e.rank*len(out), (e.rank+1)*len(out)
		copy(out, r.all[0].in[low:high])
		for _, o := range r.all[1:] {
			reduce.Apply(op, d, out, o.in[low:high])
		}
	})
}

func (e *end) Barrier() error {
	return e.together(call{"barrier", none, 0, nobody}, contribution{}, func(*round) {})
}

// Split orders the processes of a color by key.
func (e *end) Split(color, key int) (distributed.Group, error) {
	if key < 0 {
		key = e.rank
	}
	var part distributed.Group
	err := e.together(call{"split", none, 0, nobody}, contribution{color: color, key: key}, func(r *round) { part = e.part(r) })
	return part, err
}

// Send puts a copy where Recv finds it: it never waits. What is sent and not received
// stays in memory.
func (e *end) Send(d dtype.DType, v []byte, to int) error {
	return e.send(call{"send", d, len(v), to}, v)
}

func (e *end) Recv(d dtype.DType, v []byte, from int) error {
	return e.recv(call{"recv", d, len(v), from}, v)
}

// Close lets what was sent arrive; everything else that waits for this process fails.
// Groups that were split from e are closed as well.
func (e *end) Close() error {
	e.world.mu.Lock()
	defer e.world.mu.Unlock()
	e.closed[e.rank] = true
	e.world.check()
	return nil
}

const (
	nobody = math.MinInt              // the peer of calls that are not between two
	none   = dtype.DType(dtype.Count) // the dtype of calls without data
)

// A call is what a process is in, as it is compared and told.
type call struct {
	name  string
	dtype dtype.DType
	bytes int
	peer  int // of send and recv
}

func (c call) String() string {
	text := c.name
	if c.dtype.Valid() {
		text = fmt.Sprintf("%s of %d %v", c.name, c.bytes/c.dtype.Size(), c.dtype)
	}
	switch {
	case c.peer == nobody:
	case c.name == "send":
		text = fmt.Sprintf("%s to rank %d", text, c.peer)
	default:
		text = fmt.Sprintf("%s from rank %d", text, c.peer)
	}
	return text
}
