// Package ring runs collectives over TCP, as MLX's ring backend does and with its
// environment variables and hostfile, though not its protocol.
//
// The main types are [Config], which says who takes part, and the [distributed.Group]
// that [New] gives. Processes stand in a circle; each has connections with the next and
// the one before, one for each address of the hostfile, and large arrays travel over
// all of them in both directions. Sends between others, and the parts of a group that
// was split, open connections when they are first used.
//
// A connection begins with a handshake, see handshake.go. What follows is neither
// encrypted nor authenticated: the network must be one that nobody else writes to.
// Beside the connections with data there is one for control (control.go), so that a
// process that computes for an hour is told from one that is dead.
package ring

import (
	"fmt"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
)

// The defaults of a Config.
const (
	DefaultTimeout = 60 * time.Second
	// maxBeat is the longest time between two signs of life.
	maxBeat = 5 * time.Second
)

// New joins the processes of cfg: it returns when all of them are there, or with an
// error that names one that is not.
func New(cfg Config) (distributed.Group, error) {
	if err := cfg.check(); err != nil {
		return nil, err
	}
	m, err := newMesh(cfg)
	if err != nil {
		return nil, fmt.Errorf("ring: %w", err)
	}
	members := make([]int, len(cfg.Hosts))
	for i := range members {
		members[i] = i
	}
	g := newGroup(m, 0, members)
	if g.Size() > 1 {
		err = g.open(time.Now().Add(m.cfg.Timeout))
		if err == nil {
			err = g.Barrier()
		}
		if err != nil {
			g.Close()
			return nil, err
		}
		m.note("all %d processes are connected", g.Size())
	}
	return g, nil
}
