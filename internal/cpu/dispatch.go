package cpu

import "github.com/mlxgo/mlx/internal/tensor"

var _ tensor.Dispatcher = (*program)(nil)

// idle is a program's task list with kernels that do nothing.
type idle struct {
	tasks    []task
	run      *run
	barriers int
}

func newIdle(ts []task) *idle {
	i := &idle{tasks: make([]task, len(ts))}
	for j, t := range ts {
		t.run = func(*scratch, int, int) {}
		i.tasks[j] = t
		if t.sync {
			i.barriers++
		}
	}
	i.run = newRun(i.tasks)
	return i
}

// Dispatch runs the program without its kernels: the same chunks are claimed by the
// same threads, and the same barriers waited for. It touches no bound memory.
func (g *program) Dispatch() (tasks, barriers int, err error) {
	q := g.q
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.step() {
	}
	if q.fault != nil {
		return 0, 0, q.fault
	}
	if g.idle == nil {
		g.idle = newIdle(g.tasks)
	}
	q.enter()
	err = runTasks(g.idle.tasks, g.idle.run, &q.scratch)
	q.leave(err)
	q.moved.Broadcast()
	return len(g.idle.tasks), g.idle.barriers, err
}
