package launch

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// FirstPort is mlx.launch's default of --starting-port.
const FirstPort = 32323

// A rank is one process of the job.
type rank struct {
	number    int
	host      string
	addresses []string // of the ring, one a connection
}

// IsLocal reports whether host is this machine, so that no ssh is needed: it has one of
// the three names of the loopback.
func IsLocal(host string) bool {
	return host == "127.0.0.1" || host == "localhost" || host == "::1"
}

// Addressed are hosts by the entries of a list of hosts: each is reached under the name
// that ssh has for it, without user and port.
func Addressed(names []string) ([]hostfile.Host, error) {
	var hosts []hostfile.Host
	for _, name := range names {
		if err := hostfile.CheckHost(name); err != nil {
			return nil, err
		}
		hosts = append(hosts, hostfile.Host{SSH: name})
	}
	if err := reachable(hosts); err != nil {
		return nil, err
	}
	return hosts, nil
}

// reachable refuses a loopback name beside other machines, which would connect to
// themselves.
func reachable(hosts []hostfile.Host) error {
	local, remote := "", ""
	for _, h := range hosts {
		switch {
		case !IsLocal(h.SSH):
			remote = h.SSH
		case len(h.IPs) == 0:
			local = h.SSH
		}
	}
	if local != "" && remote != "" {
		return fmt.Errorf("%s cannot be reached from %s: give this machine's address as \"ips\" in a hostfile", local, remote)
	}
	return nil
}

// address is the name under which other machines reach what ssh calls host.
func address(host string) string {
	if IsLocal(host) {
		return "127.0.0.1"
	}
	if u, err := url.Parse(host); err == nil && u.Scheme == "ssh" && u.Hostname() != "" {
		return u.Hostname()
	}
	return host[strings.LastIndexByte(host, '@')+1:]
}

// ranks numbers the processes, repeat of them a host, and gives each of them ports of its
// own: one for each address and connection, counted over the whole job as mlx.launch does.
func ranks(hosts []hostfile.Host, repeat, connections int, port func() (int, error)) ([]rank, error) {
	var all []rank
	for _, h := range hosts {
		ips := h.IPs
		if len(ips) == 0 {
			ips = []string{address(h.SSH)}
		}
		for range repeat {
			r := rank{number: len(all), host: h.SSH}
			for _, ip := range ips {
				for range connections {
					p, err := port()
					if err != nil {
						return nil, err
					}
					r.addresses = append(r.addresses, net.JoinHostPort(strings.Trim(ip, "[]"), strconv.Itoa(p)))
				}
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// counting gives the ports from first on.
func counting(first int) func() (int, error) {
	next := first
	return func() (int, error) {
		if next > 65535 {
			return 0, fmt.Errorf("the ports from %d on do not suffice: the job needs more than %d", first, 65536-first)
		}
		next++
		return next - 1, nil
	}
}

// busy is the first of the ranks' addresses of this machine where somebody listens.
func busy(all []rank) (string, bool) {
	for _, r := range all {
		for _, a := range r.addresses {
			l, err := net.Listen("tcp", a)
			if err != nil {
				return a, true
			}
			l.Close()
		}
	}
	return "", false
}

// freePorts gives ports that the system chooses; they are held until release, so that no
// two are the same.
func freePorts() (port func() (int, error), release func()) {
	var held []net.Listener
	port = func() (int, error) {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return 0, fmt.Errorf("no free port: %w", err)
		}
		held = append(held, l)
		return int(netip.MustParseAddrPort(l.Addr().String()).Port()), nil
	}
	return port, func() {
		for _, l := range held {
			l.Close()
		}
	}
}

// plan numbers the ranks of the job. Where all are on this machine and nobody said which
// ports, the system chooses: two jobs that begin at once must not take the same.
func (o *Options) plan() ([]rank, error) {
	first := o.StartingPort
	if first == 0 {
		first = FirstPort
	}
	all, err := ranks(o.Hosts, o.Repeat, o.Connections, counting(first))
	if err != nil {
		return nil, &UsageError{err}
	}
	away := func(h hostfile.Host) bool { return !IsLocal(h.SSH) || len(h.IPs) > 0 }
	if slices.ContainsFunc(o.Hosts, away) {
		return all, nil
	}
	if o.StartingPort == 0 {
		port, release := freePorts()
		defer release()
		return ranks(o.Hosts, o.Repeat, o.Connections, port)
	}
	if at, taken := busy(all); taken {
		return nil, fmt.Errorf("the port of %s is taken: choose another with --starting-port, or none", at)
	}
	return all, nil
}

// ringHosts is the file that MLX_HOSTFILE names: the addresses of each rank.
func ringHosts(all []rank) string {
	lists := make([][]string, len(all))
	for i, r := range all {
		lists[i] = r.addresses
	}
	b, err := json.Marshal(lists)
	if err != nil {
		panic(err) // strings always encode
	}
	return string(b)
}

// reserved are the variables that the launcher sets for each rank.
var reserved = []string{"MLX_RANK", "MLX_HOSTFILE", "MLX_RING_SECRET_FILE", "MLX_COPY_DIR"}

func (o *Options) check() error {
	if len(o.Command) == 0 || o.Command[0] == "" {
		return errors.New("there is no program to run")
	}
	if len(o.Hosts) == 0 {
		return errors.New("there are no hosts")
	}
	for _, h := range o.Hosts {
		if err := hostfile.CheckHost(h.SSH); err != nil {
			return err
		}
	}
	if err := reachable(o.Hosts); err != nil {
		return err
	}
	if o.Repeat < 1 {
		return fmt.Errorf("--repeat-hosts is %d: it must be above 0", o.Repeat)
	}
	if o.Connections < 1 {
		return fmt.Errorf("--connections-per-ip is %d: it must be above 0", o.Connections)
	}
	if o.StartingPort < 0 || o.StartingPort > 65535 {
		return fmt.Errorf("--starting-port is %d: it must be from 1 to 65535", o.StartingPort)
	}
	if o.Timeout <= 0 {
		return fmt.Errorf("--timeout is %v: it must be above 0", o.Timeout)
	}
	for _, env := range o.Env {
		if err := hostfile.CheckEnv(env); err != nil {
			return fmt.Errorf("--env: %w", err)
		}
		if name, _, _ := strings.Cut(env, "="); slices.Contains(reserved, name) {
			return fmt.Errorf("--env: the launcher sets %s itself", name)
		}
	}
	for _, word := range slices.Concat(o.Command, []string{o.Dir}) {
		if strings.Contains(word, "\x00") {
			return fmt.Errorf("%q has a NUL byte", word)
		}
	}
	return nil
}
