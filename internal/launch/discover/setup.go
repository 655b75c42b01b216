package discover

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// address is the network that a cable gets: one of 4 addresses, of which 2 are for hosts.
type address struct {
	network netip.Prefix
	ends    [2]netip.Addr // of Cable.A and Cable.B
	set     bool          // the interfaces have them already
}

// thunderbolt finds the ring (or the mesh) of cables, plans the addresses of their ends and
// puts the hosts in the ring's order.
func (r *Result) thunderbolt(ctx context.Context, n *network, o *Options) error {
	ports := make([][]Port, len(r.Hosts))
	for i, f := range r.Hosts {
		if !strings.HasPrefix(f.System, "Darwin") {
			return fmt.Errorf("%s is no Mac (%s): --over %s finds the cables of Macs; use --over %s", f.Host.SSH, f.System, Thunderbolt, Ethernet)
		}
		var err error
		if ports[i], err = parseProfile(f.profile, parseHardware(string(f.ports))); err != nil {
			return fmt.Errorf("%s: %w", f.Host.SSH, err)
		}
		n.log("%s: %d Thunderbolt ports", f.Host.SSH, len(ports[i]))
	}
	g, err := newGraph(r.names(), ports)
	if err != nil {
		return err
	}
	r.Graph = g
	if o.OnlyGraph {
		return nil
	}
	if len(g.Names) < 2 {
		return errors.New("a ring of cables needs at least 2 Macs")
	}
	order, missing, err := g.ring()
	shape := "ring"
	if o.Backend == JACCL {
		order, shape, missing, err = ascending(len(g.Names)), "full mesh, which jaccl needs", g.mesh(), nil
	}
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return g.missingError(shape, missing)
	}
	plan, err := r.addressPlan(g)
	if err != nil {
		return err
	}
	if err := r.fill(g, plan, order, o); err != nil {
		return err
	}
	r.Setup = r.commands(g, plan)
	r.Hosts = inOrder(r.Hosts, order)
	if len(r.Setup) > 0 && o.AutoSetup {
		return r.autoSetup(ctx, n)
	}
	return nil
}

func ascending(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

func inOrder(found []Found, order []int) []Found {
	list := make([]Found, len(order))
	for i, h := range order {
		list[i] = found[h]
	}
	return list
}

// addressPlan gives every cable a network 192.168.x.y/30, from 192.168.0.0 on. A cable
// whose ends have addresses of one such network keeps it, and networks that a host uses
// elsewhere are left out.
func (r *Result) addressPlan(g *Graph) ([]address, error) {
	plan := make([]address, len(g.Cables))
	ours := map[End]bool{}
	for i, c := range g.Cables {
		a, okA := r.shortNetwork(g, c.A)
		b, okB := r.shortNetwork(g, c.B)
		if okA && okB && a.Masked() == b.Masked() && a.Addr() != b.Addr() {
			plan[i] = address{a.Masked(), [2]netip.Addr{a.Addr(), b.Addr()}, true}
		}
		ours[c.A], ours[c.B] = true, true
	}
	var taken []netip.Prefix
	for h, f := range r.Hosts {
		for _, iface := range f.interfaces {
			p := slices.IndexFunc(g.Ports[h], func(p Port) bool { return p.Interface == iface.Name })
			if p >= 0 && ours[End{h, p}] {
				continue
			}
			for _, a := range iface.Addrs {
				taken = append(taken, a.Masked())
			}
		}
	}
	for _, a := range plan {
		if a.set {
			taken = append(taken, a.network)
		}
	}
	next := uint32(192<<24 | 168<<16)
	for i := range plan {
		if plan[i].set {
			continue
		}
		for ; ; next += 4 {
			at := func(offset uint32) netip.Addr {
				u := next + offset
				return netip.AddrFrom4([4]byte{byte(u >> 24), byte(u >> 16), byte(u >> 8), byte(u)})
			}
			network := netip.PrefixFrom(at(0), 30)
			if next >= 192<<24|169<<16 {
				return nil, errors.New("no network is free below 192.168.0.0/16: the hosts use all of it")
			}
			if !slices.ContainsFunc(taken, network.Overlaps) {
				plan[i] = address{network: network, ends: [2]netip.Addr{at(1), at(2)}}
				next += 4
				break
			}
		}
	}
	return plan, nil
}

// shortNetwork is the address of a cable's end, if its network has 4.
func (r *Result) shortNetwork(g *Graph, e End) (netip.Prefix, bool) {
	for _, iface := range r.Hosts[e.Host].interfaces {
		if iface.Name != g.port(e).Interface || !iface.Up {
			continue
		}
		for _, p := range iface.Addrs {
			if p.Addr().Is4() && p.Bits() == 30 {
				return p, true
			}
		}
	}
	return netip.Prefix{}, false
}

// fill writes the hosts' entries. A rank of a ring listens where its cables to the rank
// before it end; all ranks have as many addresses, as MLX's ring wants.
func (r *Result) fill(g *Graph, plan []address, order []int, o *Options) error {
	n := len(order)
	if o.Backend == Ring {
		cables := len(g.Cables)
		for i, h := range order {
			cables = min(cables, len(g.between(order[(i+n-1)%n], h)))
		}
		for i, h := range order {
			ips := r.ends(g, plan, h, order[(i+n-1)%n])
			r.Hosts[h].Host.IPs = ips[:cables]
		}
		return nil
	}
	for i, h := range order {
		f := &r.Hosts[h]
		f.Host.RDMA = make([]*string, n)
		for j, peer := range order {
			cables := g.between(h, peer)
			if len(cables) == 0 { // with itself, and in a ring that is no mesh
				continue
			}
			name := "rdma_" + g.port(cables[0].A).Interface
			if !slices.Contains(f.rdma, name) {
				return fmt.Errorf("%s has no RDMA device %s (ibv_devices tells them): RDMA needs macOS 26.2 or later, and to be enabled with rdma_ctl in recovery mode", f.Host.SSH, name)
			}
			f.Host.RDMA[j] = &name
		}
		if i == 0 && len(f.Host.IPs) == 0 { // the coordinator
			addr, ok := f.outside(g.Ports[h])
			if !ok {
				return fmt.Errorf("%s has no address besides those of its cables, by which the others could reach it as the coordinator", f.Host.SSH)
			}
			f.Host.IPs = []string{addr.String()}
		}
	}
	return nil
}

// ends are the addresses of host's ends of its cables to peer.
func (r *Result) ends(g *Graph, plan []address, host, peer int) []string {
	var ips []string
	for i, c := range g.Cables {
		switch {
		case c.A.Host == host && c.B.Host == peer:
			ips = append(ips, plan[i].ends[0].String())
		case c.B.Host == host && c.A.Host == peer:
			ips = append(ips, plan[i].ends[1].String())
		}
	}
	return ips
}

// outside is an address of the host that is not of a cable: the one to which ssh came, or
// the first of IPv4.
func (f *Found) outside(ports []Port) (netip.Addr, bool) {
	var usable []netip.Prefix
	for _, iface := range f.interfaces {
		if iface.Up && !slices.ContainsFunc(ports, func(p Port) bool { return p.Interface == iface.Name }) {
			for _, p := range iface.Addrs {
				if p.Addr().IsGlobalUnicast() {
					usable = append(usable, p)
				}
			}
		}
	}
	return f.choose(usable, netip.Prefix{}, false)
}

// commands are those that set up what is not yet as planned, as mlx.distributed_config
// has them: Thunderbolt Bridge off, an address for each end of a cable, and a route to the
// other end.
func (r *Result) commands(g *Graph, plan []address) []Setup {
	var all []Setup
	for h, f := range r.Hosts {
		var list []string
		if slices.ContainsFunc(f.interfaces, func(i Interface) bool { return i.Name == "bridge0" && i.Up }) {
			list = append(list, "sudo ifconfig bridge0 down")
		}
		for i, c := range g.Cables {
			if plan[i].set {
				continue
			}
			for k, e := range []End{c.A, c.B} {
				if e.Host == h {
					iface := g.port(e).Interface
					list = append(list, fmt.Sprintf("sudo ifconfig %s inet %s netmask 255.255.255.252", iface, plan[i].ends[k]),
						fmt.Sprintf("sudo route change %s -interface %s", plan[i].ends[1-k], iface))
				}
			}
		}
		if list != nil {
			all = append(all, Setup{f.Host.SSH, list})
		}
	}
	return all
}

// autoSetup runs the commands.
func (r *Result) autoSetup(ctx context.Context, n *network) error {
	var without []string
	for _, f := range r.Hosts {
		if !f.sudo && slices.ContainsFunc(r.Setup, func(s Setup) bool { return s.Host == f.Host.SSH }) {
			without = append(without, f.Host.SSH)
		}
	}
	if len(without) > 0 {
		return fmt.Errorf("sudo wants a password on %s, so nothing was set up: allow it without one, or run the commands there", strings.Join(without, ", "))
	}
	for _, s := range r.Setup {
		n.log("%s: setting up: %s", s.Host, strings.Join(s.Commands, "; "))
		script := "PATH=$PATH:/usr/sbin:/sbin\nexec </dev/null\n"
		for _, c := range s.Commands {
			// sudo must not wait for a password.
			script += strings.Replace(c, "sudo ", "sudo -n ", 1)
			if strings.HasPrefix(c, "sudo route ") {
				script += " || true\n" // the network's route suffices; whether it does is measured
			} else {
				script += " || { echo 'failed: " + c + "' >&2; exit 1; }\n"
			}
		}
		limit, cancel := context.WithTimeout(ctx, n.timeout)
		_, err := n.script(limit, s.Host, script)
		cancel()
		if err != nil {
			return fmt.Errorf("%s: setting up: %w", s.Host, err)
		}
	}
	r.Setup = nil
	return nil
}
