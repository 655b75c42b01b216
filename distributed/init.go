package distributed

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
	"github.com/mlxgo/mlx/internal/distributed/local"
	"github.com/mlxgo/mlx/internal/distributed/ring"
)

// InitOption is [Backend], [Strict] or [Timeout].
type InitOption interface{ init(*settings) }

// Backend is backend=: "any", or "ring", TCP between the machines, which is the one
// that there is so far. MLX's "mpi", "nccl" and "jaccl" are not available.
type Backend string

// Strict is strict=: an error instead of a group of one when the program was not started
// by a launcher.
type Strict bool

// Timeout is how long a peer may be silent before an evaluation returns an error, 60 s
// without it; it is not in MLX. A peer that computes is not silent.
type Timeout time.Duration

type settings struct {
	backend Backend
	strict  bool
	timeout time.Duration
}

func (b Backend) init(s *settings) { s.backend = b }
func (b Strict) init(s *settings)  { s.strict = bool(b) }
func (t Timeout) init(s *settings) { s.timeout = time.Duration(t) }

// IsAvailable is mx.distributed.is_available(backend): this program can use the backend.
func IsAvailable(b Backend) bool { return b == "any" || b == "ring" }

// world is the group of all processes, made once. A failure is not kept.
var world struct {
	sync.Mutex
	group *Group
}

// Init is mx.distributed.init: the group of all processes, made at the first call and
// the same from then on. Without a launcher it is a group of one. It is an error when the
// launcher's settings cannot be used or a process does not come up.
func Init(opts ...InitOption) (*Group, error) {
	set := settings{backend: "any"}
	for _, o := range opts {
		o.init(&set)
	}
	if !IsAvailable(set.backend) {
		return nil, fmt.Errorf("distributed: backend %q is not available; there is ring", set.backend)
	}
	if set.timeout < 0 {
		return nil, fmt.Errorf("distributed: a time-out of %v is negative", set.timeout)
	}
	world.Lock()
	defer world.Unlock()
	if world.group == nil {
		g, err := start(&set)
		if err != nil {
			return nil, err
		}
		world.group = &Group{distributed.New(g)}
	}
	if set.strict && !launched() {
		return nil, errors.New("distributed: the program was not started by a launcher: MLX_RANK and MLX_HOSTFILE are not set; use mlx launch")
	}
	return world.group, nil
}

// launched reports whether a launcher started this process.
func launched() bool {
	_, ok, err := ring.FromEnv()
	return ok && err == nil
}

// start makes the group that the environment tells.
func start(set *settings) (distributed.Group, error) {
	c, ok, err := ring.FromEnv()
	if err != nil {
		return nil, fmt.Errorf("distributed: %w", err)
	}
	if !ok {
		return local.New(1)[0], nil
	}
	if set.timeout > 0 {
		c.Timeout = set.timeout
	}
	g, err := ring.New(*c)
	if err != nil {
		return nil, fmt.Errorf("distributed: %w", err)
	}
	return g, nil
}
