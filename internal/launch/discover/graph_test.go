package discover

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// macs makes what Macs say whose cables are given as "a1-b2": port 1 of Mac a and port 2
// of Mac b. A word "a3-" is a dock, "a3-?" a computer of no interest. Each has 3 ports,
// en2 to en4, and an address 10.0.0.N on en0.
func macs(n int, cables ...string) []Found {
	found := make([]Found, n)
	uuid := func(mac, port int) string { return fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", mac, port) }
	items := map[[2]int]string{}
	for _, c := range cables {
		a, b, _ := strings.Cut(c, "-")
		end := func(s string) [2]int { return [2]int{int(s[0] - 'a'), int(s[1] - '0')} }
		switch b {
		case "":
			items[end(a)] = `{"_name": "Dock", "device_name_key": "TS4"}`
		case "?":
			items[end(a)] = `{"_name": "MacBook Pro", "domain_uuid_key": "` + uuid(99, 1) + `"}`
		default:
			items[end(a)] = fmt.Sprintf(`{"_name": "Mac", "domain_uuid_key": %q}`, uuid(end(b)[0], end(b)[1]))
			items[end(b)] = fmt.Sprintf(`{"_name": "Mac", "domain_uuid_key": %q}`, uuid(end(a)[0], end(a)[1]))
		}
	}
	for i := range found {
		var buses []string
		for p := 1; p <= 3; p++ {
			item := ""
			if text := items[[2]int{i, p}]; text != "" {
				item = `"_items": [` + text + "],"
			}
			buses = append(buses, fmt.Sprintf(`{%s "_name": "thunderboltusb4_bus_%d", "device_name_key": "Mac Studio", "domain_uuid_key": %q, "receptacle_1_tag": {"receptacle_id_key": "%d"}}`, item, p-1, uuid(i, p), p))
		}
		found[i] = Found{
			Host: hostfile.Host{SSH: string(rune('a' + i))}, System: "Darwin arm64", sudo: true, server: fmt.Sprintf("10.0.0.%d", i+1),
			profile:    []byte(`{"SPThunderboltDataType": [` + strings.Join(buses, ",") + "]}"),
			ports:      []byte("Hardware Port: Thunderbolt 1\nDevice: en2\n\nHardware Port: Thunderbolt 2\nDevice: en3\n\nHardware Port: Thunderbolt 3\nDevice: en4\n"),
			interfaces: []Interface{{Name: "en0", Up: true, Addrs: prefixes(fmt.Sprintf("10.0.0.%d/24", i+1))}, {Name: "bridge0", Up: true, Members: []string{"en2", "en3", "en4"}}},
			rdma:       []string{"rdma_en2", "rdma_en3", "rdma_en4"},
		}
	}
	return found
}

// arrange runs the part of Run that needs no host.
func arrange(found []Found, backend string) (*Result, error) {
	r := &Result{Hosts: found}
	n := &network{log: func(string, ...any) {}}
	return r, r.thunderbolt(context.Background(), n, &Options{Over: Thunderbolt, Backend: backend})
}

// ranks are the hosts in the ring's order with their addresses: a 192.168.0.1, ...
func (r *Result) ranks() string {
	var list []string
	for _, f := range r.Hosts {
		list = append(list, strings.Join(append([]string{f.Host.SSH}, f.Host.IPs...), " "))
	}
	return strings.Join(list, ", ")
}

func TestRings(t *testing.T) {
	for _, c := range []struct {
		n      int
		cables string
		want   string // ranks or error
	}{
		{2, "a1-b1", "a 192.168.0.1, b 192.168.0.2"},
		{2, "a1-b1 a2-b3", "a 192.168.0.1 192.168.0.5, b 192.168.0.2 192.168.0.6"},
		{3, "a1-b1 b2-c1 c2-a2", "a 192.168.0.5, b 192.168.0.2, c 192.168.0.10"},
		{4, "a1-b1 b2-c1 c2-d1 d2-a2", "a 192.168.0.5, b 192.168.0.2, c 192.168.0.10, d 192.168.0.14"},
		// The hosts are listed in another order than that of the cables.
		{4, "a1-c1 c2-b1 b2-d1 d2-a2", "a 192.168.0.5, c 192.168.0.2, b 192.168.0.9, d 192.168.0.14"},
		// Two cables between one pair are no ring of more connections: the others have one.
		{3, "a1-b1 a3-b3 b2-c1 c2-a2", "a 192.168.0.5, b 192.168.0.2, c 192.168.0.14"},
		// A mesh has all rings.
		{4, "a1-b1 a2-c1 a3-d1 b2-c2 b3-d2 c3-d3", "a 192.168.0.9, b 192.168.0.2, c 192.168.0.14, d 192.168.0.22"},

		{2, "", "the cables make no ring: a cable is missing, between a (Thunderbolt 1 is free) and b (Thunderbolt 1 is free)"},
		{3, "a1-b1 b2-c1", "the cables make no ring: a cable is missing, between c (Thunderbolt 2 is free) and a (Thunderbolt 2 is free)"},
		{3, "a1-b1 b2-c1 c2- c3- a2-?", "the cables make no ring: a cable is missing, between c (Thunderbolt 2 has the device TS4) and a (Thunderbolt 3 is free); Thunderbolt 2 of a leads to a computer that is not in the list"},
		// A star: its middle has no ring through it, and two more cables are needed.
		{4, "a1-b1 a2-c1 a3-d1", "the cables make no ring: 2 cables are missing, between b (Thunderbolt 2 is free) and c (Thunderbolt 2 is free); between c (Thunderbolt 3 is free) and d (Thunderbolt 2 is free)"},
		// Two pairs.
		{4, "a1-b1 c1-d1", "the cables make no ring: 2 cables are missing, between b (Thunderbolt 2 is free) and c (Thunderbolt 2 is free); between d (Thunderbolt 2 is free) and a (Thunderbolt 2 is free)"},
		{1, "", "a ring of cables needs at least 2 Macs"},
		{17, "", "17 Macs are too many for the search of a ring: it takes 16"},
	} {
		r, err := arrange(macs(c.n, strings.Fields(c.cables)...), Ring)
		got := r.ranks()
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("%d, %s: %s; want %s", c.n, c.cables, got, c.want)
		}
	}
	// 16 in a ring, out of order: 5 generates the whole group.
	var cables []string
	for i := range 16 {
		cables = append(cables, fmt.Sprintf("%c1-%c2", 'a'+i*5%16, 'a'+(i+1)*5%16))
	}
	r, err := arrange(macs(16, cables...), Ring)
	if err != nil || !strings.HasPrefix(r.ranks(), "a ") || r.Hosts[1].Host.SSH != "f" || r.Hosts[15].Host.SSH != "l" {
		t.Errorf("%s, %v", r.ranks(), err)
	}
}

// The search agrees with trying all orders, on all graphs of 5 hosts.
func TestRingIsBest(t *testing.T) {
	orders := permutations([]int{1, 2, 3, 4})
	for edges := range 1 << 10 {
		g := &Graph{Names: []string{"a", "b", "c", "d", "e"}, Ports: make([][]Port, 5)}
		bit := 0
		for i := range 5 {
			for j := range i {
				if edges>>bit&1 == 1 {
					g.Cables = append(g.Cables, Cable{End{i, 0}, End{j, 0}})
				}
				bit++
			}
		}
		best := 6
		for _, o := range orders {
			o = append([]int{0}, o...)
			missing := 0
			for i := range o {
				if len(g.between(o[i], o[(i+1)%5])) == 0 {
					missing++
				}
			}
			best = min(best, missing)
		}
		order, missing, err := g.ring()
		sorted := slices.Sorted(slices.Values(order))
		if err != nil || len(missing) != best || !slices.Equal(sorted, []int{0, 1, 2, 3, 4}) || order[0] != 0 {
			t.Fatalf("%010b: %v, %v, %v; the fewest are %d", edges, order, missing, err, best)
		}
	}
}

func permutations(list []int) [][]int {
	if len(list) == 0 {
		return [][]int{nil}
	}
	var all [][]int
	for i := range list {
		for _, p := range permutations(slices.Concat(list[:i], list[i+1:])) {
			all = append(all, append([]int{list[i]}, p...))
		}
	}
	return all
}

func TestSetup(t *testing.T) {
	found := macs(3, "a1-b1", "b2-c1", "c2-a2")
	// The first network is one of c's already, by Wi-Fi.
	found[2].interfaces = append(found[2].interfaces, Interface{Name: "en1", Up: true, Addrs: prefixes("192.168.0.17/29", "192.168.0.2/30")})
	r, err := arrange(found, Ring)
	if err != nil {
		t.Fatal(err)
	}
	want := []Setup{
		{"a", []string{"sudo ifconfig bridge0 down", "sudo ifconfig en2 inet 192.168.0.5 netmask 255.255.255.252", "sudo route change 192.168.0.6 -interface en2",
			"sudo ifconfig en3 inet 192.168.0.9 netmask 255.255.255.252", "sudo route change 192.168.0.10 -interface en3"}},
		{"b", []string{"sudo ifconfig bridge0 down", "sudo ifconfig en2 inet 192.168.0.6 netmask 255.255.255.252", "sudo route change 192.168.0.5 -interface en2",
			"sudo ifconfig en3 inet 192.168.0.13 netmask 255.255.255.252", "sudo route change 192.168.0.14 -interface en3"}},
		{"c", []string{"sudo ifconfig bridge0 down", "sudo ifconfig en3 inet 192.168.0.10 netmask 255.255.255.252", "sudo route change 192.168.0.9 -interface en3",
			"sudo ifconfig en2 inet 192.168.0.14 netmask 255.255.255.252", "sudo route change 192.168.0.13 -interface en2"}},
	}
	if !reflect.DeepEqual(r.Setup, want) {
		t.Errorf("%q, want %q", r.Setup, want)
	}
	// What was set up stays: only the cable that has no addresses gets some, and others
	// than those that are in use.
	found = macs(3, "a1-b1", "b2-c1", "c2-a2")
	down := Interface{Name: "bridge0", Members: []string{"en2", "en3", "en4"}}
	add := func(h int, name, p string) {
		found[h].interfaces = append(found[h].interfaces, Interface{Name: name, Up: true, Addrs: prefixes(p)})
	}
	for h := range found {
		found[h].interfaces[1] = down
	}
	add(0, "en2", "192.168.0.1/30")
	add(1, "en2", "192.168.0.2/30")
	add(1, "en3", "192.168.0.9/30")
	add(2, "en2", "192.168.0.9/30") // the same address at both ends
	add(2, "en3", "192.168.0.13/30")
	add(0, "en3", "192.168.0.14/30")
	r, err = arrange(found, Ring)
	want = []Setup{
		{"b", []string{"sudo ifconfig en3 inet 192.168.0.5 netmask 255.255.255.252", "sudo route change 192.168.0.6 -interface en3"}},
		{"c", []string{"sudo ifconfig en2 inet 192.168.0.6 netmask 255.255.255.252", "sudo route change 192.168.0.5 -interface en2"}},
	}
	if err != nil || !reflect.DeepEqual(r.Setup, want) || r.ranks() != "a 192.168.0.14, b 192.168.0.2, c 192.168.0.6" {
		t.Errorf("%q, %s, %v; want %q", r.Setup, r.ranks(), err, want)
	}
	found[1].interfaces[3].Addrs = prefixes("192.168.0.10/30")
	if r, err = arrange(found, Ring); err != nil || len(r.Setup) != 0 {
		t.Errorf("%q, %v", r.Setup, err)
	}
}

func TestGraphFaults(t *testing.T) {
	twice := macs(2, "a1-b1")
	twice[1].profile = twice[0].profile
	if _, err := arrange(twice, Ring); err == nil || err.Error() != "a and b are the same Mac: list it once" {
		t.Error(err)
	}
	linux := macs(2, "a1-b1")
	linux[1].System = "Linux x86_64"
	if _, err := arrange(linux, Ring); err == nil || !strings.HasPrefix(err.Error(), "b is no Mac (Linux x86_64)") {
		t.Error(err)
	}
	broken := macs(2, "a1-b1")
	broken[0].profile = nil
	if _, err := arrange(broken, Ring); err == nil || !strings.HasPrefix(err.Error(), "a: system_profiler ") {
		t.Error(err)
	}
	// Only one end tells of the cable, as while it is being plugged in.
	half := macs(2, "a1-b1")
	half[1].profile = macs(2)[1].profile
	if r, err := arrange(half, Ring); err != nil || r.ranks() != "a 192.168.0.1, b 192.168.0.2" {
		t.Error(r.ranks(), err)
	}
}

func TestJACCL(t *testing.T) {
	mesh := []string{"a1-b1", "a2-c1", "b2-c2"}
	devices := func(r *Result) string {
		var rows []string
		for _, f := range r.Hosts {
			row := f.Host.SSH
			for _, d := range f.Host.RDMA {
				if d == nil {
					row += " -"
				} else {
					row += " " + *d
				}
			}
			rows = append(rows, strings.Join(append([]string{row}, f.Host.IPs...), " "))
		}
		return strings.Join(rows, ", ")
	}
	r, err := arrange(macs(3, mesh...), JACCL)
	if want := "a - rdma_en2 rdma_en3 10.0.0.1, b rdma_en2 - rdma_en3, c rdma_en2 rdma_en3 -"; err != nil || devices(r) != want {
		t.Errorf("%s, %v; want %s", devices(r), err, want)
	}
	ring := []string{"a1-c1", "c2-b1", "b2-d1", "d2-a2"}
	r, err = arrange(macs(4, ring...), JACCLRing)
	if want := "a - rdma_en2 - rdma_en3 10.0.0.1, c rdma_en2 - rdma_en3 -, b - rdma_en2 - rdma_en3, d rdma_en3 - rdma_en2 -"; err != nil || devices(r) != want {
		t.Errorf("%s, %v; want %s", devices(r), err, want)
	}
	if _, err := arrange(macs(4, ring...), JACCL); err == nil || !strings.HasPrefix(err.Error(), "the cables make no full mesh, which jaccl needs: 2 cables are missing, between a ") {
		t.Error(err)
	}
	without := macs(3, mesh...)
	without[1].rdma = nil
	if _, err := arrange(without, JACCL); err == nil || !strings.HasPrefix(err.Error(), "b has no RDMA device rdma_en2") {
		t.Error(err)
	}
}

func TestDOT(t *testing.T) {
	found := macs(3, "a1-b1", "b2-c1", "a3-")
	found[2].Host.SSH = `c"\`
	r := &Result{Hosts: found}
	err := r.thunderbolt(context.Background(), &network{log: func(string, ...any) {}}, &Options{Over: Thunderbolt, Backend: Ring, OnlyGraph: true})
	want := `graph thunderbolt {
    node [shape=box];
    "a";
    "b";
    "c\"\\";
    "a" -- "b" [taillabel="en2", headlabel="en2"];
    "b" -- "c\"\\" [taillabel="en3", headlabel="en2"];
}
`
	if err != nil || r.Graph.DOT() != want {
		t.Errorf("%s, %v; want %s", r.Graph.DOT(), err, want)
	}
}
