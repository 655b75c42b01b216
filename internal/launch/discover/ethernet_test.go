package discover

import (
	"strings"
	"testing"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// machine is a host with addresses; ssh came to the first unless it is marked with *.
func machine(name, addrs string) Found {
	f := Found{Host: hostfile.Host{SSH: name}, System: "Linux x86_64"}
	for i, a := range strings.Fields(addrs) {
		a, marked := strings.CutSuffix(a, "*")
		p := prefixes(a)
		if i == 0 || marked {
			f.server = p[0].Addr().String()
		}
		f.interfaces = append(f.interfaces, Interface{Name: "eth", Up: true, Addrs: p})
	}
	return f
}

func TestEthernet(t *testing.T) {
	const noCommon = "the hosts have no network in common"
	for name, c := range map[string]struct {
		hosts   []Found
		want    string
		problem string
	}{
		"one network":      {[]Found{machine("a", "10.0.0.1/24"), machine("b", "10.0.0.2/24")}, "a 10.0.0.1, b 10.0.0.2", ""},
		"ssh's wins":       {[]Found{machine("a", "10.0.0.1/24 10.1.0.1/24*"), machine("b", "10.0.0.2/24 10.1.0.2/24*")}, "a 10.1.0.1, b 10.1.0.2", ""},
		"not all in ssh's": {[]Found{machine("a", "10.0.0.1/24 10.1.0.1/24"), machine("b", "10.2.0.2/24 10.1.0.2/24")}, "a 10.1.0.1, b 10.1.0.2", ""},
		"containers":       {[]Found{machine("a", "172.17.0.1/16 10.0.0.1/24"), machine("b", "172.17.0.1/16 10.0.0.2/24")}, "a 10.0.0.1, b 10.0.0.2", ""},
		"v4 before v6":     {[]Found{machine("a", "fd00::1/64 10.0.0.1/24"), machine("b", "fd00::2/64 10.0.0.2/24")}, "a 10.0.0.1, b 10.0.0.2", ""},
		"v6 alone":         {[]Found{machine("a", "fd00::1/64 10.0.0.1/24"), machine("b", "fd00::2/64 10.1.0.2/24")}, "a fd00::1, b fd00::2", ""},
		"two in one":       {[]Found{machine("a", "10.0.0.7/24 10.0.0.1/24*"), machine("b", "10.0.0.2/24")}, "a 10.0.0.1, b 10.0.0.2", ""},
		"apart":            {[]Found{machine("a", "192.168.1.1/24 10.0.0.1/24*"), machine("b", "10.1.0.2/24")}, "a 10.0.0.1, b 10.1.0.2", noCommon},
		"apart, unknown":   {[]Found{machine("a", "8.8.8.8/32 fd00::1/64"), machine("b", "10.1.0.2/24 fe80::1/64")}, "a 8.8.8.8, b 10.1.0.2", noCommon},
		"none":             {[]Found{machine("a", "10.0.0.1/24"), machine("b", "127.0.0.1/8 fe80::1/64")}, "b has no address that the others could reach: it has none", noCommon},
	} {
		r := &Result{Hosts: c.hosts}
		err := r.ethernet()
		got := r.ranks()
		if err != nil {
			got = err.Error()
		}
		if problems := strings.Join(r.Problems, "; "); got != c.want || !strings.HasPrefix(problems, c.problem) || c.problem == "" && problems != "" {
			t.Errorf("%s: %s, problems %s; want %s", name, got, problems, c.want)
		}
	}

	// Addresses of the user's hostfile stay, but one that is not the host's is told.
	given := []Found{machine("a", "10.0.0.1/24 10.9.0.1/24"), machine("b", "10.0.0.2/24"), machine("c", "10.0.0.3/24")}
	given[0].Host.IPs, given[1].Host.IPs = []string{"10.9.0.1", "name"}, []string{"10.0.0.9"}
	r := &Result{Hosts: given}
	if err := r.ethernet(); err != nil || r.ranks() != "a 10.9.0.1 name, b 10.0.0.9, c 10.0.0.3" ||
		len(r.Problems) != 1 || r.Problems[0] != "b does not have the address 10.0.0.9 of the hostfile: it has 10.0.0.2" {
		t.Errorf("%s, %q, %v", r.ranks(), r.Problems, err)
	}
	// This machine alone.
	r = &Result{Hosts: []Found{{Host: hostfile.Host{SSH: "127.0.0.1"}}}}
	if err := r.ethernet(); err != nil || r.ranks() != "127.0.0.1 127.0.0.1" {
		t.Errorf("%s, %v", r.ranks(), err)
	}
}

func TestSame(t *testing.T) {
	if err := same([]Found{machine("a", "10.0.0.1/24 172.17.0.1/16"), machine("b", "10.0.0.2/24 172.17.0.1/16")}); err != nil {
		t.Error(err)
	}
	if err := same([]Found{machine("a", "10.0.0.1/24"), machine("b", "10.0.0.2/24"), machine("c", "10.0.0.1/24 127.0.0.1/8")}); err == nil || !strings.HasPrefix(err.Error(), "a and c are the same machine") {
		t.Error(err)
	}
}

func TestCheck(t *testing.T) {
	ok := Options{Hosts: []hostfile.Host{{SSH: "a", IPs: []string{"fe80::1%en0", "10.0.0.1", "mac-1.local"}}, {SSH: "me@b"}}, Over: Thunderbolt, Backend: JACCL, Env: []string{"A=1"}}
	if err := ok.Check(); err != nil {
		t.Error(err)
	}
	for want, spoil := range map[string]func(o *Options){
		"there are no hosts":          func(o *Options) { o.Hosts = nil },
		`the network "x"`:             func(o *Options) { o.Over = "x" },
		`the backend "mpi"`:           func(o *Options) { o.Backend = "mpi" },
		"needs Thunderbolt":           func(o *Options) { o.Over = Ethernet },
		"of thunderbolt only":         func(o *Options) { o.Over, o.Backend, o.OnlyGraph = Ethernet, Ring, true },
		"begins with -":               func(o *Options) { o.Hosts = []hostfile.Host{{SSH: "-x"}} },
		"listed twice":                func(o *Options) { o.Hosts = append(o.Hosts, o.Hosts[0]) },
		`"$(reboot)" is no address`:   func(o *Options) { o.Hosts = []hostfile.Host{{SSH: "a", IPs: []string{"$(reboot)"}}} },
		`"-oX" is no address`:         func(o *Options) { o.Hosts = []hostfile.Host{{SSH: "a", IPs: []string{"-oX"}}} },
		`"1" is no name of a variabl`: func(o *Options) { o.Env = []string{"1=2"} },
	} {
		o := ok
		spoil(&o)
		if err := o.Check(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
}
