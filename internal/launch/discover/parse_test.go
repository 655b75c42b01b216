package discover

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

func read(t testing.TB, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func prefixes(list ...string) []netip.Prefix {
	var all []netip.Prefix
	for _, p := range list {
		all = append(all, netip.MustParsePrefix(p))
	}
	return all
}

func TestParseInterfaces(t *testing.T) {
	for name, c := range map[string]struct {
		got, want []Interface
	}{
		"macOS": {parseIfconfig(read(t, "ifconfig-macos.txt")), []Interface{
			{Name: "lo0", Up: true, Addrs: prefixes("127.0.0.1/8", "::1/128", "fe80::1/64")},
			{Name: "gif0"},
			{Name: "en0", Up: true, Addrs: prefixes("fe80::10a4:1d5e:8e5c:1/64", "192.168.0.20/24", "2001:db8:1::20/64")},
			{Name: "en3", Up: true},
			{Name: "bridge0", Up: true, Members: []string{"en2", "en3"}},
			{Name: "utun4", Up: true, Addrs: prefixes("100.64.0.7/32")},
		}},
		"net-tools": {parseIfconfig(read(t, "ifconfig-linux.txt")), []Interface{
			{Name: "eth0", Up: true, Addrs: prefixes("192.0.2.2/24", "fe80::fc00:ff:fe00:1/64")},
			{Name: "eth1", Addrs: prefixes("10.0.0.1/8")},
		}},
		"ip": {parseIP(read(t, "ip.txt")), []Interface{
			{Name: "lo", Up: true, Addrs: prefixes("127.0.0.1/8", "::1/128")},
			{Name: "eth0", Up: true, Addrs: prefixes("10.77.0.1/24", "fd77::1/64", "fe80::50c4:44ff:fe37:7f2b/64")},
			{Name: "tun0", Up: true, Addrs: prefixes("10.8.0.2/32")},
		}},
	} {
		if !reflect.DeepEqual(c.got, c.want) {
			t.Errorf("%s: %+v, want %+v", name, c.got, c.want)
		}
	}
	for mask, want := range map[string]int{"0xffffff00": 24, "255.255.255.252": 30, "0xffffffff": 32, "0.0.0.0": 0, "0xff00ff00": -1, "x": -1, "::1": -1} {
		if got, err := maskLength(mask); err == nil && got != want || err != nil && want >= 0 {
			t.Errorf("%s: %d, %v; want %d", mask, got, err, want)
		}
	}
}

func TestParseProfile(t *testing.T) {
	hardware := parseHardware(read(t, "hardwareports.txt"))
	if len(hardware) != 7 || hardware["Thunderbolt 3"] != "en4" || hardware["Thunderbolt Bridge"] != "bridge0" {
		t.Errorf("%v", hardware)
	}
	got, err := parseProfile([]byte(read(t, "profile.json")), hardware)
	want := []Port{
		{Name: "Thunderbolt 2", Interface: "en3", domain: "A1B2C3D4-0001-4B5C-9D5E-2F1A00000001", peer: "B2C1A1F0-0001-4B5C-9D5E-2F1A00000002"},
		{Name: "Thunderbolt 1", Interface: "en2", domain: "A1B2C3D4-0000-4B5C-9D5E-2F1A00000001", device: "TS4"},
		{Name: "Thunderbolt 3", Interface: "en4", domain: "A1B2C3D4-0002-4B5C-9D5E-2F1A00000001"},
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v; want %+v", got, err, want)
	}
	if _, err := parseProfile([]byte(read(t, "profile.json")), nil); err == nil || err.Error() != `networksetup lists no hardware port "Thunderbolt 2"` {
		t.Error(err)
	}
	if _, err := parseProfile([]byte("{"), nil); err == nil || !strings.HasPrefix(err.Error(), "system_profiler SPThunderboltDataType -json: ") {
		t.Error(err)
	}
	rdma := parseRDMA("    device          \t   node GUID\n    ------          \t----------------\n    rdma_en2        \t8d99a4cd1ad30000\n    rdma_en3        \t8d99a4cd1ad30001\n")
	if !reflect.DeepEqual(rdma, []string{"rdma_en2", "rdma_en3"}) {
		t.Errorf("%q", rdma)
	}
}

func TestParsePing(t *testing.T) {
	for text, want := range map[string]time.Duration{
		"PING x\n64 bytes\nrtt min/avg/max/mdev = 0.045/0.060/0.071/0.011 ms\n": 60 * time.Microsecond,
		"round-trip min/avg/max/stddev = 0.352/1.5/0.573/0.091 ms":              1500 * time.Microsecond,
		"round-trip min/avg/max = 0.1/0.25/0.4 ms":                              250 * time.Microsecond,
		"3 packets transmitted, 0 received":                                     -1,
		"rtt min/avg/max/mdev = a/b/c/d ms":                                     -1,
		"rtt min/avg/max/mdev = 1":                                              -1,
	} {
		if got, err := parsePing(text); err == nil && got != want || err != nil && want >= 0 {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// The answers of a host follow the mark; what a login says before does not count.
func TestRead(t *testing.T) {
	const mark = "mlx-X"
	answer := func(parts ...string) string {
		text := "Welcome!\nsystem\n"
		for i := 0; i < len(parts); i += 2 {
			text += "\n" + mark + " " + parts[i] + "\n" + parts[i+1]
		}
		return text
	}
	var f Found
	err := f.read(answer("system", "Darwin\narm64\n", "name", "mac1.local\n", "server", "10.0.0.1\n", "version", `{"version":"v1","commit":"0123456789","modified":true}`+"\n",
		"ip", read(t, "ip.txt"), "commands", "ping\n", "sudo", "yes\n", "end", ""), mark)
	if err != nil || f.System != "Darwin arm64" || f.Name != "mac1.local" || f.server != "10.0.0.1" || f.Version != "v1 01234567 and changes" || !f.sudo || len(f.interfaces) != 3 {
		t.Errorf("%+v, %v", f, err)
	}
	for text, want := range map[string]string{
		"":                                "its shell gave no full answer",
		answer("system", "Linux\nx\n"):    "its shell gave no full answer",
		answer("end", ""):                 "neither ip nor ifconfig",
		answer("version", "1", "end", ""): "another program",
	} {
		if err := new(Found).read(text, mark); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", text, err, want)
		}
	}
}

// What hosts say cannot break the program, and no name that a shell would read otherwise
// comes out of it.
func FuzzParse(f *testing.F) {
	for _, name := range []string{"profile.json", "hardwareports.txt", "ifconfig-macos.txt", "ifconfig-linux.txt", "ip.txt"} {
		f.Add(read(f, name))
	}
	f.Add("rtt min/avg/max/mdev = 0.045/0.060/0.071/0.011 ms\n")
	f.Add("\nM end\n\nM ip\n1: a inet 1.2.3.4/5\n")
	f.Add("Hardware Port: Thunderbolt 1\nDevice: $(reboot)\n")
	f.Fuzz(func(t *testing.T, text string) {
		hardware := parseHardware(text)
		for _, name := range hardware {
			if strings.ContainsAny(name, " $`'\"\\;&|<>()\n") {
				t.Errorf("device %q", name)
			}
		}
		for i := range 8 {
			hardware[fmt.Sprint("Thunderbolt ", i)] = fmt.Sprint("en", i)
		}
		ports, err := parseProfile([]byte(text), hardware)
		if g, err2 := newGraph([]string{"a"}, [][]Port{ports}); err == nil && err2 == nil && len(g.Cables) > 0 {
			t.Errorf("one host has cables: %+v", g.Cables)
		}
		for _, list := range [][]Interface{parseIP(text), parseIfconfig(text)} {
			for _, i := range list {
				for _, a := range i.Addrs {
					if !a.IsValid() {
						t.Errorf("%+v", i)
					}
				}
			}
		}
		if d, err := parsePing(text); err == nil && d < 0 {
			t.Error(d)
		}
		for _, name := range parseRDMA(text) {
			if !plainName(name) {
				t.Errorf("%q", name)
			}
		}
		new(Found).read(text, "M")
	})
}
