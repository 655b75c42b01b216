package distributed

import (
	"sync"

	"github.com/mlxgo/mlx/internal/tensor"
)

type (
	// Array, Spec and Stream are the tensor package's.
	Array  = tensor.Array
	Spec   = tensor.Spec
	Stream = tensor.Stream
)

// A Comm is a group as ops of graphs use it. Groups that were split from one another
// share the order of their collectives, and the stream on which they run.
type Comm struct {
	group  Group
	shared *shared
}

// shared is what a group and its parts have together.
type shared struct {
	order  tensor.Order
	mu     sync.Mutex // held while a collective runs: backends see one at a time
	open   sync.Once
	stream Stream
}

// New is g for ops. Nobody else may use g from now on.
func New(g Group) *Comm { return &Comm{g, &shared{}} }

// Rank is the number of this process.
func (c *Comm) Rank() int { return c.group.Rank() }

// Size is the number of processes.
func (c *Comm) Size() int { return c.group.Size() }

// Stream is the communication stream, where collectives run that name no stream: its
// own goroutine, so that the default stream computes meanwhile.
func (c *Comm) Stream() Stream {
	s := c.shared
	s.open.Do(func() { s.stream = tensor.NewStream(tensor.Device{Kind: tensor.KindCPU}) })
	return s.stream
}

// Order is that of the collectives of the group and its parts.
func (c *Comm) Order() *tensor.Order { return &c.shared.order }

// Split is Group.Split, after the collectives that were applied before.
func (c *Comm) Split(color, key int) (*Comm, error) {
	var part Group
	err := c.after(func() (err error) {
		part, err = c.group.Split(color, key)
		return err
	})
	if err != nil {
		return nil, err
	}
	return &Comm{part, c.shared}, nil
}

// Close is Group.Close, after the collectives that were applied before.
func (c *Comm) Close() error { return c.after(c.group.Close) }

// after evaluates what is pending and then runs f.
func (c *Comm) after(f func() error) error {
	if err := tensor.Eval(c.Order().Token()); err != nil {
		return err
	}
	return c.run(f)
}

func (c *Comm) run(f func() error) error {
	c.shared.mu.Lock()
	defer c.shared.mu.Unlock()
	return f()
}
