package cpu

import (
	"errors"
	"fmt"

	"github.com/mlxgo/mlx/internal/fmap"
	"github.com/mlxgo/mlx/internal/tensor"
)

// A task is one kernel on its views, cut into chunks by index. Costs are rough
// counts of operations of half a nanosecond.
type task struct {
	prim   tensor.Primitive
	run    func(s *scratch, c, nc int) // chunk c of nc
	chunks int
	cost   int
	sync   bool     // starts after all tasks before it
	alone  bool     // waits for other processes: the workers do not wait with it
	shared int      // bytes that it writes to the memory that all workers share
	prep   *prepKey // what it prepares there
	then   *task    // a second phase, after all chunks of the first
}

const (
	maxChunks    = 64      // most pieces of a task
	chunkCost    = 16_384  // least cost of a piece
	parallelCost = 200_000 // work whose large tasks cost less stays on the caller
)

// newTask cuts units of work that cost so much in all.
func newTask(units, cost int, run func(s *scratch, c, nc int)) task {
	n := min(units, maxChunks, cost/chunkCost)
	return task{run: run, chunks: max(n, 1), cost: cost}
}

// span is the units of chunk c of nc.
func span(units, c, nc int) (lo, hi int) { return c * units / nc, (c + 1) * units / nc }

// flatten appends t and its further phases.
func flatten(ts []task, t task, sync bool) []task {
	then := t.then
	t.then, t.sync = nil, sync
	ts = append(ts, t)
	if then != nil {
		then.prim = t.prim
		ts = flatten(ts, *then, true)
	}
	return ts
}

// skip is t without its first n phases.
func (t task) skip(n int) task {
	for range n {
		t = *t.then
	}
	return t
}

// sharedBytes is what the largest of ts needs.
func sharedBytes(ts []task) (n int) {
	for i := range ts {
		n = max(n, ts[i].shared)
	}
	return n
}

// parallel is the cost of the tasks that can be shared.
func parallel(ts []task) (cost int) {
	for i := range ts {
		if ts[i].chunks > 1 {
			cost += ts[i].cost
		}
	}
	return cost
}

// fault turns a kernel's panic into an error that names the primitive and, for a
// page of a mapped file that cannot be read, the file.
func fault(p tensor.Primitive, v any) error {
	var err error
	switch x := v.(type) {
	case kernelError:
		err = x.error
	case error:
		if f := fmap.Recovered(v); f != nil {
			err = f
		} else {
			err = fmt.Errorf("kernel fault: %w", x)
		}
	default:
		err = fmt.Errorf("kernel fault: %v", x)
	}
	return &tensor.Error{Op: p.Name(), Err: err}
}

// A kernelError is what a kernel panics with when its data is at fault.
type kernelError struct{ error }

func failf(format string, a ...any) { panic(kernelError{fmt.Errorf(format, a...)}) }

var errLongRow = errors.New("a row of more than 2^32 elements cannot be indexed by uint32")

var errStrided = errors.New("the result must be row-major")
