// Package discover looks at the machines that shall run a job, and writes their hostfile:
// which of them ssh reaches, what runs there, by which addresses they reach each other, and
// how fast they do. For Macs joined by Thunderbolt cables it finds the ring that the
// cables make, or which are missing, and how the interfaces must be set up.
//
// Run does all of it. What it needs of a host it asks for in shell scripts over ssh, which
// change nothing there unless Options.AutoSetup is set.
package discover

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// What the hosts are joined by.
const (
	Thunderbolt = "thunderbolt"
	Ethernet    = "ethernet" // or any other network
)

// The backends of mlx.distributed_config. Only the ring is one of mlx; the others are for
// Python programs with MLX.
const (
	Ring      = "ring"
	JACCL     = "jaccl"      // RDMA, every Mac joined to every other
	JACCLRing = "jaccl-ring" // RDMA in a ring
)

// Options say what to look at.
type Options struct {
	Hosts   []hostfile.Host // those with IPs keep them
	Over    string          // Thunderbolt or Ethernet
	Backend string
	Env     []string // for the hostfile, K=V
	SSHArgs []string
	Timeout time.Duration // for a host to answer

	IgnoreUnreachable bool // leave out hosts that do not answer
	AutoSetup         bool // run the commands of Result.Setup
	OnlyGraph         bool // end with Result.Graph

	// Log is told what happens.
	Log func(format string, args ...any)
}

// Result is what Run found.
type Result struct {
	Hosts []Found // in the order of the ranks
	Links []Link  // from each rank to the next; what the ring's data takes
	Graph *Graph  // the cables; nil if they do not matter
	Setup []Setup // what has still to be done, by host
	File  *hostfile.File

	// Problems do not stop a job, or may not. Each says what to do.
	Problems []string
}

// Found is a host and what it says of itself.
type Found struct {
	Host    hostfile.Host // with the addresses for the hostfile
	System  string        // uname -sm, as Linux x86_64
	Name    string        // its own name
	Version string        // of mlx there; "" if there is none in its PATH

	server     string // the address that ssh came to; "" if it is this machine
	interfaces []Interface
	sudo       bool
	commands   []string // which of ping and ibv_devices it has
	rdma       []string // its RDMA devices
	profile    []byte   // system_profiler SPThunderboltDataType -json
	ports      []byte   // networksetup -listallhardwareports
}

// Setup is what a host's administrator must do.
type Setup struct {
	Host     string
	Commands []string
}

// Run looks at the hosts. On an error the result has what was found until then.
func Run(ctx context.Context, o Options) (*Result, error) {
	r := &Result{}
	if err := o.Check(); err != nil {
		return r, err
	}
	n := network{ssh: o.SSHArgs, timeout: o.Timeout, log: o.Log}
	found, problems, err := n.lookAll(ctx, &o)
	r.Hosts, r.Problems = found, problems
	if err != nil {
		return r, err
	}
	if o.Over == Thunderbolt {
		err = r.thunderbolt(ctx, &n, &o)
	} else {
		err = r.ethernet()
	}
	if err != nil || o.OnlyGraph {
		return r, err
	}
	r.compareVersions()
	if len(r.Setup) == 0 {
		if err := r.measure(ctx, &n, &o); err != nil {
			return r, err
		}
	}
	r.File = &hostfile.File{Backend: o.Backend, Envs: o.Env}
	for _, f := range r.Hosts {
		r.File.Hosts = append(r.File.Hosts, f.Host)
	}
	return r, nil
}

// Check finds what is wrong with the options.
func (o *Options) Check() error {
	switch {
	case len(o.Hosts) == 0:
		return errors.New("there are no hosts")
	case o.Over != Thunderbolt && o.Over != Ethernet:
		return fmt.Errorf("the network %q is neither %s nor %s", o.Over, Thunderbolt, Ethernet)
	case !slices.Contains([]string{Ring, JACCL, JACCLRing}, o.Backend):
		return fmt.Errorf("the backend %q is none of %s, %s and %s", o.Backend, Ring, JACCL, JACCLRing)
	case o.Backend != Ring && o.Over != Thunderbolt:
		return fmt.Errorf("the backend %s needs Thunderbolt cables", o.Backend)
	case o.OnlyGraph && o.Over != Thunderbolt:
		return errors.New("a graph of cables there is of thunderbolt only")
	}
	for i, h := range o.Hosts {
		if err := hostfile.CheckHost(h.SSH); err != nil {
			return err
		}
		for _, ip := range h.IPs {
			if strings.ContainsFunc(ip, notInAddress) || hostfile.CheckHost(ip) != nil {
				return fmt.Errorf("%s: %q is no address", h.SSH, ip)
			}
		}
		for _, other := range o.Hosts[:i] {
			if other.SSH == h.SSH {
				return fmt.Errorf("the host %s is listed twice: several ranks on a host are an option of mlx launch, -n", h.SSH)
			}
		}
	}
	for _, env := range o.Env {
		if err := hostfile.CheckEnv(env); err != nil {
			return err
		}
	}
	return nil
}

// notInAddress tells what no address and no name has; the rest is no shell's.
func notInAddress(c rune) bool {
	return !strings.ContainsRune(".:%_-", c) && !('0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z')
}

func (r *Result) problem(format string, args ...any) {
	r.Problems = append(r.Problems, fmt.Sprintf(format, args...))
}

// compareVersions tells of hosts without mlx, or with another one than the first.
func (r *Result) compareVersions() {
	var without []string
	first := -1
	for i, f := range r.Hosts {
		switch {
		case f.Version == "":
			without = append(without, f.Host.SSH)
		case first < 0:
			first = i
		case f.Version != r.Hosts[first].Version:
			r.problem("%s has mlx %s and %s has %s: install the same on both", r.Hosts[first].Host.SSH, r.Hosts[first].Version, f.Host.SSH, f.Version)
		}
	}
	if len(without) > 0 {
		r.problem("%s: no mlx in the PATH that ssh gives: install it there to launch mlx commands and to measure the network between hosts", strings.Join(without, ", "))
	}
}

// names are the hosts as ssh calls them.
func (r *Result) names() []string {
	var names []string
	for _, f := range r.Hosts {
		names = append(names, f.Host.SSH)
	}
	return names
}
