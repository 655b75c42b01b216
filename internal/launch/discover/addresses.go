package discover

import (
	"errors"
	"fmt"
	"maps"
	"math/bits"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// Interface is a network interface of a host.
type Interface struct {
	Name    string
	Up      bool
	Addrs   []netip.Prefix // the address and the length of its network
	Members []string       // of a bridge
}

// parseIP reads ip -o addr show up: a line for each address.
//
//	2: eth0    inet 10.0.0.1/24 brd 10.0.0.255 scope global eth0\       valid_lft forever ...
func parseIP(text string) []Interface {
	var all []Interface
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) < 4 || !strings.HasSuffix(words[0], ":") || words[2] != "inet" && words[2] != "inet6" {
			continue
		}
		// Addresses that change or are on their way out are none for a hostfile.
		if slices.ContainsFunc(words, func(w string) bool {
			return w == "temporary" || w == "deprecated" || w == "tentative" || w == "dadfailed"
		}) {
			continue
		}
		prefix, err := netip.ParsePrefix(words[3])
		if err != nil {
			addr, err := netip.ParseAddr(words[3]) // with a peer
			if err != nil {
				continue
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		name, _, _ := strings.Cut(words[1], "@")
		i := slices.IndexFunc(all, func(i Interface) bool { return i.Name == name })
		if i < 0 {
			i = len(all)
			all = append(all, Interface{Name: name, Up: true})
		}
		all[i].Addrs = append(all[i].Addrs, prefix)
	}
	return all
}

// parseIfconfig reads ifconfig -a of macOS, and of Linux' net-tools.
//
//	en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500
//		inet6 fe80::1c5a:27b4:6ef0:1%en0 prefixlen 64 secured scopeid 0xb
//		inet 192.168.1.20 netmask 0xffffff00 broadcast 192.168.1.255
func parseIfconfig(text string) []Interface {
	var all []Interface
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		if line[0] != ' ' && line[0] != '\t' {
			name, ok := strings.CutSuffix(words[0], ":")
			if !ok || len(words) < 2 {
				continue
			}
			_, flags, _ := strings.Cut(words[1], "<")
			flags, _, _ = strings.Cut(flags, ">")
			all = append(all, Interface{Name: name, Up: slices.Contains(strings.Split(flags, ","), "UP")})
			continue
		}
		if len(all) == 0 || len(words) < 2 {
			continue
		}
		last := &all[len(all)-1]
		switch words[0] {
		case "member:":
			last.Members = append(last.Members, words[1])
		case "inet", "inet6":
			if p, ok := ifconfigAddress(words); ok {
				last.Addrs = append(last.Addrs, p)
			}
		}
	}
	return all
}

// ifconfigAddress reads the words of an inet line.
func ifconfigAddress(words []string) (netip.Prefix, bool) {
	text, _, _ := strings.Cut(words[1], "%")
	addr, err := netip.ParseAddr(text)
	if err != nil || slices.Contains(words, "temporary") || slices.Contains(words, "deprecated") {
		return netip.Prefix{}, false
	}
	length := addr.BitLen()
	for i, w := range words[:len(words)-1] {
		switch w {
		case "prefixlen":
			length, err = strconv.Atoi(words[i+1])
		case "netmask":
			length, err = maskLength(words[i+1])
		case "-->": // a tunnel's other end: no network of others
			return netip.PrefixFrom(addr, addr.BitLen()), true
		}
		if err != nil {
			return netip.Prefix{}, false
		}
	}
	p := netip.PrefixFrom(addr, length)
	return p, p.IsValid()
}

// maskLength counts the bits of 0xffffff00 or 255.255.255.0.
func maskLength(text string) (int, error) {
	var mask uint32
	if a, err := netip.ParseAddr(text); err == nil && a.Is4() {
		for _, b := range a.AsSlice() {
			mask = mask<<8 | uint32(b)
		}
	} else {
		m, err := strconv.ParseUint(text, 0, 32)
		if err != nil {
			return 0, err
		}
		mask = uint32(m)
	}
	length := bits.LeadingZeros32(^mask)
	if mask<<length != 0 {
		return 0, errors.New("bits of the mask have a gap")
	}
	return length, nil
}

// ethernet chooses an address for each host that has none.
func (r *Result) ethernet() error {
	r.checkGiven()
	if len(r.Hosts) == 1 && len(r.Hosts[0].Host.IPs) == 0 && r.Hosts[0].server == "" {
		r.Hosts[0].Host.IPs = []string{"127.0.0.1"}
		return nil
	}
	usable := r.usable()
	network, shared := r.sharedNetwork(usable)
	if !shared {
		r.problem("the hosts have no network in common: the addresses by which ssh reaches them are taken; each must reach the next one's")
	}
	for i := range r.Hosts {
		f := &r.Hosts[i]
		if len(f.Host.IPs) > 0 {
			continue
		}
		addr, ok := f.choose(usable[i], network, shared)
		if !ok {
			return fmt.Errorf("%s has no address that the others could reach: it has %s", f.Host.SSH, listed(f.addresses()))
		}
		f.Host.IPs = []string{addr.String()}
	}
	return nil
}

// checkGiven tells of addresses in the user's hostfile that the host does not have.
func (r *Result) checkGiven() {
	for _, f := range r.Hosts {
		for _, ip := range f.Host.IPs {
			if a, err := netip.ParseAddr(ip); err == nil && !slices.Contains(f.addresses(), a) {
				r.problem("%s does not have the address %s of the hostfile: it has %s", f.Host.SSH, ip, listed(f.addresses()))
			}
		}
	}
}

func listed(addrs []netip.Addr) string {
	if len(addrs) == 0 {
		return "none"
	}
	words := make([]string, len(addrs))
	for i, a := range addrs {
		words[i] = a.String()
	}
	return strings.Join(words, ", ")
}

// usable are the networks of each host, without addresses that another host has too:
// those of bridges for containers, which lead nowhere.
func (r *Result) usable() [][]netip.Prefix {
	owners := map[netip.Addr]int{}
	for _, f := range r.Hosts {
		for _, a := range f.addresses() {
			owners[a]++
		}
	}
	all := make([][]netip.Prefix, len(r.Hosts))
	for i, f := range r.Hosts {
		for _, iface := range f.interfaces {
			for _, p := range iface.Addrs {
				if iface.Up && p.Addr().IsGlobalUnicast() && owners[p.Addr()] == 1 {
					all[i] = append(all[i], p)
				}
			}
		}
	}
	return all
}

// sharedNetwork is the network where all hosts are. Of several it takes one of IPv4, which
// MLX's ring needs, and then the one by which ssh came.
func (r *Result) sharedNetwork(usable [][]netip.Prefix) (netip.Prefix, bool) {
	type score struct{ hosts, ssh int }
	scores := map[netip.Prefix]score{}
	for i, list := range usable {
		seen := map[netip.Prefix]bool{}
		for _, p := range list {
			m := p.Masked()
			s := scores[m]
			if !seen[m] {
				s.hosts++
			}
			if p.Addr().String() == r.Hosts[i].server {
				s.ssh++
			}
			seen[m], scores[m] = true, s
		}
	}
	networks := slices.SortedFunc(maps.Keys(scores), func(a, b netip.Prefix) int {
		if d := scores[b].hosts - scores[a].hosts; d != 0 {
			return d
		}
		if a.Addr().Is4() != b.Addr().Is4() {
			return a.Addr().BitLen() - b.Addr().BitLen()
		}
		if d := scores[b].ssh - scores[a].ssh; d != 0 {
			return d
		}
		return a.Compare(b)
	})
	if len(networks) == 0 || scores[networks[0]].hosts < len(r.Hosts) {
		return netip.Prefix{}, false
	}
	return networks[0], true
}

// choose is the host's address in the network; without one the address to which ssh came,
// or the first.
func (f *Found) choose(usable []netip.Prefix, network netip.Prefix, shared bool) (netip.Addr, bool) {
	var first netip.Addr
	for _, p := range usable {
		if shared && p.Masked() != network {
			continue
		}
		if p.Addr().String() == f.server {
			return p.Addr(), true
		}
		if !first.IsValid() || !first.Is4() && p.Addr().Is4() {
			first = p.Addr()
		}
	}
	return first, first.IsValid()
}
