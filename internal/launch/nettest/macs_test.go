//go:build linux

package nettest

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// macPrograms are what Macs have, as far as distributed-config asks for it. The addresses
// that ifconfig gives Thunderbolt interfaces go to the host's cable, so that they work;
// what was done is in /usr/local/state.
var macPrograms = map[string]string{
	"uname":        `case $1 in -s) echo Darwin ;; -m) echo arm64 ;; -n) hostname ;; esac`,
	"networksetup": `[ "$1" = -listallhardwareports ] && printf '\nHardware Port: Thunderbolt %s\nDevice: en%s\nEthernet Address: 36:01:02:03:04:0%s\n' 1 2 1 2 3 2`,
	"sudo":         `[ "$1" = -n ] && [ ! -e /usr/local/state/password ] || { echo 'sudo: a password is required' >&2; exit 1; }; shift; exec "$@"`,
	"route":        `echo "$*" >>/usr/local/state/route; [ "$1" = change ]; echo 'route: writing to routing socket: not in table' >&2; exit 1`,
	"ifconfig": `cd /usr/local/state
case "$*" in
-a)
	echo 'en0: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500'
	ip -4 -o addr show dev eth0 | sed -n 's/.*inet \(10\.77[^ /]*\).*/\tinet \1 netmask 0xffffff00 broadcast 10.77.0.255/p'
	up=UP,; [ ! -e down ] || up=
	echo "bridge0: flags=8863<${up}BROADCAST> mtu 1500"
	printf '\tmember: en2 flags=3<LEARNING,DISCOVER>\n'
	for i in en2 en3; do
		echo "$i: flags=8863<UP,BROADCAST,SMART,RUNNING,SIMPLEX,MULTICAST> mtu 1500"
		[ ! -e $i ] || printf '\tinet %s netmask 0xfffffffc broadcast 192.168.255.255\n' "$(cat $i)"
	done ;;
'bridge0 down') touch down ;;
en[23]' inet '*' netmask 255.255.255.252') echo $3 >$1; ip addr add $3/30 dev eth0 ;;
*) echo "ifconfig: $*?" >&2; exit 1 ;;
esac`,
}

// mac makes a host a Mac whose port 1 is cabled to port 2 of the host before it in the
// ring, and port 2 to port 1 of the next.
func (h *Host) mac(number, before, next int) error {
	uuid := func(mac, port int) string { return fmt.Sprintf("00000000-0000-4000-8000-%06d%06d", mac, port) }
	port := func(n, mac, port int) string {
		return fmt.Sprintf(`{"_items": [{"_name": "Mac Studio", "domain_uuid_key": %q}], "_name": "thunderboltusb4_bus_%d", "device_name_key": "Mac Studio", "domain_uuid_key": %q, "receptacle_1_tag": {"receptacle_id_key": "%d"}}`,
			uuid(mac, port), n-1, uuid(number, n), n)
	}
	profile := fmt.Sprintf(`{"SPThunderboltDataType": [%s, %s]}`, port(1, before, 2), port(2, next, 1))
	_, err := h.Run("mkdir -p /usr/local/state")
	errs := []error{err, h.Install("system_profiler", "#!/bin/sh\n[ \"$*\" = 'SPThunderboltDataType -json' ] && cat <<'END'\n"+profile+"\nEND\n")}
	for name, text := range macPrograms {
		errs = append(errs, h.Install(name, "#!/bin/sh\n"+text+"\n"))
	}
	return errors.Join(errs...)
}

func TestConfigMacs(t *testing.T) {
	t.Parallel()
	n := Start(t, 3)
	n.addMLX(t, n.Hosts...)
	// The cables go from host1 to host3, host2 and back to host1.
	if err := errors.Join(n.Hosts[0].mac(1, 2, 3), n.Hosts[2].mac(3, 1, 2), n.Hosts[1].mac(2, 3, 1)); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hosts.json")
	args := []string{"--hosts=host1,host3,host2", "--output-hostfile", path}
	out, stderr, status := configure(t, n, args...)
	if status != 0 {
		t.Fatalf("%d: %s%s", status, out, stderr)
	}
	match(t, "table", out, `(?m)^1 +host3 +Darwin arm64 +\S.* +192\.168\.0\.6 +- +- +- +-$`)
	match(t, "commands", out, `(?s)\nSetup for host1\n===============\nsudo ifconfig bridge0 down\nsudo ifconfig en2 inet 192\.168\.0\.1 netmask 255\.255\.255\.252\nsudo route change 192\.168\.0\.2 -interface en2\nsudo ifconfig en3 inet 192\.168\.0\.5 .*\nSetup for host2\n`)
	match(t, "stderr", stderr, `(?m)^mlx: run these commands on the hosts, then this one again`)
	want := readHosts(t, path)
	if len(want) != 3 || want[0].IPs[0] != "192.168.0.1" || want[1].IPs[0] != "192.168.0.6" || want[2].IPs[0] != "192.168.0.10" {
		t.Errorf("%+v", want)
	}

	if _, err := n.Hosts[1].Run("touch /usr/local/state/password"); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	out, stderr, status = configure(t, n, append(args, "--auto-setup")...)
	if _, err := os.Stat(path); status != 1 || err == nil || !strings.Contains(out, "sudo ifconfig bridge0 down") {
		t.Errorf("%d, %v, %s", status, err, out)
	}
	match(t, "stderr", stderr, `^mlx: sudo wants a password on host2, so nothing was set up: `)

	if _, err := n.Hosts[1].Run("rm /usr/local/state/password"); err != nil {
		t.Fatal(err)
	}
	// After the set-up all is measured; another run finds nothing to do.
	for _, more := range []string{"--auto-setup", "--no-auto-setup"} {
		out, stderr, status = configure(t, n, append(args, more)...)
		if status != 0 || strings.Contains(out, "sudo") {
			t.Errorf("%d, %s%s", status, out, stderr)
		}
		for _, row := range []string{`0 +host1 .* 192\.168\.0\.1 +2`, `1 +host3 .* 192\.168\.0\.6 +0`, `2 +host2 .* 192\.168\.0\.10 +1`} {
			match(t, "table", out, `(?m)^`+row+` +[0-9.]+ ms +[0-9.]+ [GM]bit/s +TCP between the hosts$`)
		}
		if got := readHosts(t, path); fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%v, want %v", got, want)
		}
	}
	if got, err := n.Hosts[0].Run("cat /usr/local/state/route"); err != nil || got != "change 192.168.0.2 -interface en2\nchange 192.168.0.6 -interface en3\n" {
		t.Errorf("routes %q, %v", got, err)
	}

	out, _, status = configure(t, n, "--hosts=host1,host3,host2", "--dot")
	if want := "graph thunderbolt {\n    node [shape=box];\n    \"host1\";\n    \"host3\";\n    \"host2\";\n" +
		"    \"host1\" -- \"host2\" [taillabel=\"en2\", headlabel=\"en3\"];\n    \"host1\" -- \"host3\" [taillabel=\"en3\", headlabel=\"en2\"];\n" +
		"    \"host3\" -- \"host2\" [taillabel=\"en3\", headlabel=\"en2\"];\n}\n"; status != 0 || out != want {
		t.Errorf("%d, %s, want %s", status, out, want)
	}
	_, stderr, status = configure(t, n, "--hosts=host1,host2", "--backend=jaccl")
	match(t, "stderr", stderr, `(?s)^mlx: mlx runs only the backend ring: .*mlx: host1 has no RDMA device rdma_en2`)
	if status != 1 {
		t.Errorf("exit status %d", status)
	}
}
