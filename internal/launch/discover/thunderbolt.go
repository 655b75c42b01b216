package discover

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Port is a Thunderbolt socket of a Mac.
type Port struct {
	Name      string // as networksetup says, Thunderbolt 2
	Interface string // as en2
	domain    string // the UUID of the bus, which the other end sees
	peer      string // the UUID of the bus at the other end, "" if there is none
	device    string // what is there if that is no computer
}

// Cable joins two ports.
type Cable struct {
	A, B End
}

// End is a port of a host, both counted from 0.
type End struct{ Host, Port int }

// Graph are Macs and the cables between them.
type Graph struct {
	Names  []string // of the hosts
	Ports  [][]Port
	Cables []Cable
}

// bus is an element of SPThunderboltDataType.
type bus struct {
	Name       string `json:"_name"`
	Domain     string `json:"domain_uuid_key"`
	Receptacle struct {
		ID string `json:"receptacle_id_key"`
	} `json:"receptacle_1_tag"`
	Items []struct {
		Name   string `json:"_name"`
		Device string `json:"device_name_key"`
		Domain string `json:"domain_uuid_key"` // computers have one
	} `json:"_items"`
}

// parseProfile reads system_profiler SPThunderboltDataType -json: a port for each bus, and
// what is at the other end of its cable. hardware has the interfaces.
func parseProfile(data []byte, hardware map[string]string) ([]Port, error) {
	var profile struct {
		Buses []bus `json:"SPThunderboltDataType"`
	}
	if err := json.Unmarshal(data, &profile); err != nil {
		return nil, fmt.Errorf("system_profiler SPThunderboltDataType -json: %w", err)
	}
	var ports []Port
	for _, b := range profile.Buses {
		if b.Domain == "" || b.Receptacle.ID == "" {
			continue // a bus without a socket, or none at all: "no hardware was found"
		}
		p := Port{Name: "Thunderbolt " + b.Receptacle.ID, domain: b.Domain}
		if p.Interface = hardware[p.Name]; p.Interface == "" {
			return nil, fmt.Errorf("networksetup lists no hardware port %q", p.Name)
		}
		for _, item := range b.Items {
			switch {
			case item.Domain != "" && p.peer == "":
				p.peer = item.Domain
			case p.device != "":
			case item.Device != "":
				p.device = item.Device
			default:
				p.device = item.Name
			}
		}
		ports = append(ports, p)
	}
	return ports, nil
}

// parseHardware reads networksetup -listallhardwareports: the device of each port.
func parseHardware(text string) map[string]string {
	devices := map[string]string{}
	port := ""
	for line := range strings.Lines(text) {
		if name, ok := strings.CutPrefix(line, "Hardware Port:"); ok {
			port = strings.TrimSpace(name)
		} else if device, ok := strings.CutPrefix(line, "Device:"); ok && port != "" {
			if device = strings.TrimSpace(device); plainName(device) {
				devices[port] = device
			}
			port = ""
		}
	}
	return devices
}

// plainName tells names of interfaces from what no shell should see.
func plainName(name string) bool {
	for _, c := range []byte(name) {
		if !(c == '.' || c == '_' || '0' <= c && c <= '9' || 'A' <= c && c <= 'Z' || 'a' <= c && c <= 'z') {
			return false
		}
	}
	return name != ""
}

// parseRDMA reads ibv_devices: names after a heading and a rule.
func parseRDMA(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		if len(words) == 2 && strings.HasPrefix(words[0], "rdma_") && plainName(words[0]) {
			names = append(names, words[0])
		}
	}
	return names
}

// newGraph joins the ports whose buses see each other.
func newGraph(names []string, ports [][]Port) (*Graph, error) {
	g := &Graph{Names: names, Ports: ports}
	at := map[string]End{}
	for h, list := range ports {
		for p, port := range list {
			e := End{h, p}
			if other, twice := at[port.domain]; twice {
				if other.Host == h {
					return nil, fmt.Errorf("%s: two of its ports have the domain %s", names[h], port.domain)
				}
				return nil, fmt.Errorf("%s and %s are the same Mac: list it once", names[other.Host], names[h])
			}
			at[port.domain] = e
		}
	}
	used := map[End]bool{}
	for h, list := range ports {
		for p, port := range list {
			a := End{h, p}
			b, known := at[port.peer]
			if !known || used[a] || used[b] || b.Host == h {
				continue
			}
			used[a], used[b] = true, true
			g.Cables = append(g.Cables, Cable{a, b})
		}
	}
	return g, nil
}

func (g *Graph) port(e End) Port { return g.Ports[e.Host][e.Port] }

// between are the cables between two hosts, each with the end of a as A.
func (g *Graph) between(a, b int) []Cable {
	var list []Cable
	for _, c := range g.Cables {
		switch {
		case c.A.Host == a && c.B.Host == b:
			list = append(list, c)
		case c.A.Host == b && c.B.Host == a:
			list = append(list, Cable{c.B, c.A})
		}
	}
	return list
}

// DOT is the graph in the language of Graphviz.
func (g *Graph) DOT() string {
	var b strings.Builder
	b.WriteString("graph thunderbolt {\n    node [shape=box];\n")
	for _, name := range g.Names {
		fmt.Fprintf(&b, "    %s;\n", dotID(name))
	}
	for _, c := range g.Cables {
		fmt.Fprintf(&b, "    %s -- %s [taillabel=%s, headlabel=%s];\n", dotID(g.Names[c.A.Host]), dotID(g.Names[c.B.Host]),
			dotID(g.port(c.A).Interface), dotID(g.port(c.B).Interface))
	}
	b.WriteString("}\n")
	return b.String()
}

// dotID quotes a name; in DOT only the quotation mark is special inside, and the backslash
// in labels.
func dotID(name string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(name) + `"`
}

// maxRing bounds the search, whose time grows with 2^n·n² for n hosts.
const maxRing = 16

// ring is an order of all hosts, from host 0 on, in which each is joined to the next and
// the last to the first. If there is none, missing are pairs whose cables would make one,
// as few as possible. Of several the first in the order of the list is taken.
//
// It is the shortest round trip in a graph where a cable costs nothing and a missing one
// 1, by Held's and Karp's dynamic programming.
func (g *Graph) ring() (order []int, missing [][2]int, err error) {
	n := len(g.Names)
	if n > maxRing {
		return nil, nil, fmt.Errorf("%d Macs are too many for the search of a ring: it takes %d", n, maxRing)
	}
	if n == 2 {
		if len(g.between(0, 1)) == 0 {
			missing = append(missing, [2]int{0, 1})
		}
		return []int{0, 1}, missing, nil
	}
	cost := make([][]int, n)
	for i := range n {
		cost[i] = make([]int, n)
		for j := range n {
			if len(g.between(i, j)) == 0 {
				cost[i][j] = 1
			}
		}
	}
	// rest[set][i] is the cost of the best way from i through all hosts of set to host 0.
	rest := make([][]int, 1<<n)
	for set := range rest {
		rest[set] = make([]int, n)
		for i := range n {
			rest[set][i] = cost[i][0]
			if set == 0 {
				continue
			}
			rest[set][i] = n + 1
			for j := range n {
				if set&(1<<j) != 0 {
					rest[set][i] = min(rest[set][i], cost[i][j]+rest[set&^(1<<j)][j])
				}
			}
		}
	}
	order = []int{0}
	for set, at := 1<<n-2, 0; set != 0; {
		next := slices.IndexFunc(cost[at], func(int) bool { return false })
		for j := range n {
			if set&(1<<j) != 0 && cost[at][j]+rest[set&^(1<<j)][j] == rest[set][at] {
				next = j
				break
			}
		}
		order = append(order, next)
		set, at = set&^(1<<next), next
	}
	for i, at := range order {
		if next := order[(i+1)%n]; cost[at][next] != 0 {
			missing = append(missing, [2]int{at, next})
		}
	}
	return order, missing, nil
}

// mesh are the pairs without a cable.
func (g *Graph) mesh() (missing [][2]int) {
	for i := range g.Names {
		for j := range i {
			if len(g.between(i, j)) == 0 {
				missing = append(missing, [2]int{j, i})
			}
		}
	}
	return missing
}

// missingError says which cables to plug in, and where there is room for them.
func (g *Graph) missingError(what string, pairs [][2]int) error {
	var texts []string
	taken := map[End]bool{}
	for _, c := range g.Cables {
		taken[c.A], taken[c.B] = true, true
	}
	for _, pair := range pairs {
		var ends []string
		for _, h := range pair {
			ends = append(ends, g.Names[h]+" ("+g.free(h, taken)+")")
		}
		texts = append(texts, strings.Join(ends, " and "))
	}
	n := "a cable is"
	if len(pairs) > 1 {
		n = fmt.Sprintf("%d cables are", len(pairs))
	}
	text := fmt.Sprintf("the cables make no %s: %s missing, between %s", what, n, strings.Join(texts, "; between "))
	for h, list := range g.Ports {
		for p, port := range list {
			if port.peer != "" && !taken[End{h, p}] {
				text += fmt.Sprintf("; %s of %s leads to a computer that is not in the list", port.Name, g.Names[h])
			}
		}
	}
	return errors.New(text)
}

// free names a port of the host that has nothing plugged in, and takes it.
func (g *Graph) free(host int, taken map[End]bool) string {
	for p, port := range g.Ports[host] {
		e := End{host, p}
		if !taken[e] && port.peer == "" && port.device == "" {
			taken[e] = true
			return port.Name + " is free"
		}
	}
	for p, port := range g.Ports[host] {
		e := End{host, p}
		if !taken[e] && port.device != "" {
			taken[e] = true
			return port.Name + " has the device " + port.device
		}
	}
	return "no port is free"
}
