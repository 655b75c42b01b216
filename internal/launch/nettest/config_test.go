//go:build linux

package nettest

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

// configure runs mlx distributed-config on the client.
func configure(t *testing.T, n *Net, args ...string) (out, stderr string, status int) {
	t.Helper()
	cmd := n.Command(built(t, "mlx"), append([]string{"distributed-config", "--timeout=15s", "--ssh-arg=-F", "--ssh-arg=" + n.SSHConfig}, args...)...)
	var o, e bytes.Buffer
	cmd.Stdout, cmd.Stderr = &o, &e
	err := cmd.Run()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		status = exit.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	n.WaitClean(5 * time.Second)
	return o.String(), e.String(), status
}

// addMLX puts the program into the hosts' PATH.
func (n *Net) addMLX(t *testing.T, hosts ...*Host) {
	t.Helper()
	place := n.share(t, "mlx")
	for _, h := range hosts {
		if _, err := h.Run("ln -s " + place + " /usr/local/bin/mlx"); err != nil {
			t.Fatal(err)
		}
	}
}

func match(t *testing.T, what, text, want string) {
	t.Helper()
	if ok, err := regexp.MatchString(want, text); err != nil || !ok {
		t.Errorf("%s: %s, want %s; %v", what, text, want, err)
	}
}

func readHosts(t *testing.T, path string) []hostfile.Host {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	f, err := hostfile.Parse(data)
	if err != nil || f.Backend != "ring" {
		t.Fatalf("%+v, %v", f, err)
	}
	return f.Hosts
}

// The network that all hosts share is found among others, measured, and its hostfile is
// fit for mlx launch.
func TestConfigEthernet(t *testing.T) {
	t.Parallel()
	n := Start(t, 3)
	n.addMLX(t, n.Hosts...)
	for i, h := range n.Hosts {
		// A bridge for containers that each host has, and a network of two only.
		script := "ip link add docker0 type bridge && ip addr add 172.17.0.1/16 dev docker0 && ip link set docker0 up"
		if i < 2 {
			script += " && ip addr add 10.1.0." + string(rune('1'+i)) + "/24 dev eth0"
		}
		if _, err := h.Run(script); err != nil {
			t.Fatal(err)
		}
	}
	path := filepath.Join(t.TempDir(), "hosts.json")
	out, stderr, status := configure(t, n, "--hosts=host3,host1,host2", "--over=ethernet", "--output-hostfile", path)
	if status != 0 {
		t.Fatalf("%d: %s%s", status, out, stderr)
	}
	for _, row := range []string{`0 +host3 +Linux \S+ +\S.* +10\.77\.0\.3 +2 `, `1 +host1 +Linux \S+ +\S.* +10\.77\.0\.1 +0 `, `2 +host2 +Linux \S+ +\S.* +10\.77\.0\.2 +1 `} {
		match(t, "table", out, `(?m)^`+row+` *[0-9.]+ ms +[0-9.]+ [GM]bit/s +TCP between the hosts$`)
	}
	match(t, "stderr", stderr, `^mlx: wrote `+path+`: mlx launch --hostfile `+path+` PROGRAM\n$`)
	got := readHosts(t, path)
	for i, want := range []int{3, 1, 2} {
		h := n.Hosts[want-1]
		if len(got) != 3 || got[i].SSH != h.Name || len(got[i].IPs) != 1 || got[i].IPs[0] != h.Addr {
			t.Fatalf("%+v", got)
		}
	}
	j := launch(t, n, "--hostfile", path, "--", "hostname")
	j.ends(10*time.Second, 0, "")
	for _, want := range []string{"[0] host3\n", "[1] host1\n", "[2] host2\n"} {
		if !strings.Contains(j.out.String(), want) {
			t.Errorf("%q, want %q", j.out.String(), want)
		}
	}
}

// Without mlx on the hosts ssh is measured, and said so.
func TestConfigWithoutMLX(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	n.addMLX(t, n.Hosts[0])
	out, stderr, status := configure(t, n, n.list(), "--over=ethernet")
	if status != 0 {
		t.Fatalf("%d: %s%s", status, out, stderr)
	}
	match(t, "table", out, `(?m)^1 +10\.77\.0\.2 +Linux \S+ +no mlx in PATH +10\.77\.0\.2 +0 +[0-9.]+ ms +[0-9.]+ [GM]bit/s +(ssh from here to the next host|ping between the hosts, bandwidth of ssh from here to the next host)$`)
	match(t, "stderr", stderr, `^mlx: 10\.77\.0\.2: no mlx in the PATH that ssh gives: `)
	match(t, "hostfile", out, `(?s)\nHostfile\n========\n\{.*"10\.77\.0\.2"`)

	// A ping of the host's own, in the form of Linux.
	for _, h := range n.Hosts {
		if err := h.Install("ping", "#!/bin/sh\n[ \"$*\" = \"-c 3 -W 2 $(echo $* | sed 's/.* //')\" ] || exit 2\necho 'rtt min/avg/max/mdev = 1.000/2.500/3.000/0.011 ms'\n"); err != nil {
			t.Fatal(err)
		}
	}
	out, _, _ = configure(t, n, n.list(), "--over=ethernet")
	match(t, "table", out, `(?m)^1 .* 2\.500 ms +[0-9.]+ [GM]bit/s +ping between the hosts, bandwidth of ssh from here to the next host$`)
	if err := n.Hosts[1].Install("ping", "#!/bin/sh\necho '3 packets transmitted, 0 received, 100% packet loss'; exit 1\n"); err != nil {
		t.Fatal(err)
	}
	out, stderr, status = configure(t, n, n.list(), "--over=ethernet")
	if status != 1 || strings.Contains(out, "Hostfile") {
		t.Errorf("%d, %s", status, out)
	}
	match(t, "stderr", stderr, `(?m)^mlx: 10\.77\.0\.2 does not reach 10\.77\.0\.1 by 10\.77\.0\.1: .*100% packet loss: is there a firewall`)
}

// Hosts that do not answer are told with the reason, or left out.
func TestConfigUnreachable(t *testing.T) {
	t.Parallel()
	n := Start(t, 3)
	n.addMLX(t, n.Hosts...)
	if err := errors.Join(n.Hosts[1].RefuseKey(), n.Hosts[0].Install("bad", "")); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hosts.json")
	args := []string{n.list(Down), "--over=ethernet", "--output-hostfile", path}
	_, stderr, status := configure(t, n, args...)
	if _, err := os.Stat(path); status != 1 || err == nil {
		t.Errorf("%d, %v", status, err)
	}
	match(t, "stderr", stderr, `mlx: 10\.77\.0\.2 does not answer: .*Permission denied.*; 10\.77\.0\.200 does not answer: .*(No route to host|timed out).* \(check with: ssh 10\.77\.0\.200 true\)\n$`)

	out, stderr, status := configure(t, n, append(args, "--ignore-unreachable")...)
	got := readHosts(t, path)
	if status != 0 || len(got) != 2 || got[0].SSH != n.Hosts[0].Addr || got[1].SSH != n.Hosts[2].Addr {
		t.Errorf("%d, %+v, %s", status, got, out)
	}
	match(t, "stderr", stderr, `(?m)^mlx: 10\.77\.0\.2 does not answer: .*: it is left out\nmlx: 10\.77\.0\.200 does not answer: .*: it is left out$`)

	// One machine under two names, and a mlx that is another program.
	_, stderr, _ = configure(t, n, "--hosts=host1,10.77.0.1", "--over=ethernet")
	match(t, "stderr", stderr, `^mlx: host1 and 10\.77\.0\.1 are the same machine \(host1, 10\.77\.0\.1\): `)
	if _, err := n.Hosts[2].Run("rm /usr/local/bin/mlx"); err != nil {
		t.Fatal(err)
	}
	if err := n.Hosts[2].Install("mlx", "#!/bin/sh\necho hello\n"); err != nil {
		t.Fatal(err)
	}
	_, stderr, _ = configure(t, n, "--hosts=host1,host3", "--over=ethernet")
	match(t, "stderr", stderr, `^mlx: host3: the mlx in its PATH is another program: mlx version says "hello"\n$`)
	// One that is older: it has no probe.
	if err := n.Hosts[2].Install("mlx", "#!/bin/sh\n[ $1 = version ] || exit 2\necho '{\"version\": \"v0.1.0\"}'\n"); err != nil {
		t.Fatal(err)
	}
	out, stderr, _ = configure(t, n, "--hosts=host1,host3", "--over=ethernet")
	match(t, "stderr", stderr, `(?s)^mlx: host1 has mlx .* and host3 has v0\.1\.0: install the same on both\nmlx: host3: its mlx has no probe`)
	match(t, "table", out, `(?m)^1 +host3 .*ssh from here to the next host$`)
}

// A firewall between two hosts is found.
func TestConfigFirewall(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	n.addMLX(t, n.Hosts...)
	// A route into nowhere is what a firewall that drops packets looks like.
	if _, err := n.Hosts[0].Run("ip route add blackhole 10.77.0.2"); err != nil {
		t.Fatal(err)
	}
	out, stderr, status := configure(t, n, n.list(), "--over=ethernet")
	if status != 1 || strings.Contains(out, "Hostfile") {
		t.Errorf("%d, %s", status, out)
	}
	match(t, "stderr", stderr, `(?m)^mlx: 10\.77\.0\.1 does not reach 10\.77\.0\.2 by 10\.77\.0\.2:32323: .*is there a firewall`)
}

// An interrupt ends it and leaves nothing, nor a hostfile.
func TestConfigInterrupted(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	n.addMLX(t, n.Hosts...)
	path := filepath.Join(t.TempDir(), "hosts.json")
	cmd := n.Command(built(t, "mlx"), "distributed-config", "--verbose", "--over=ethernet", "--ssh-arg=-F", "--ssh-arg="+n.SSHConfig, n.list(), "--output-hostfile", path)
	var stderr buffer
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill() })
	// The last host has answered: the links are measured now.
	for end := time.Now().Add(20 * time.Second); strings.Count(stderr.String(), ": Linux ") < 2 && time.Now().Before(end); {
		time.Sleep(5 * time.Millisecond)
	}
	time.Sleep(100 * time.Millisecond)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	exit, ok := errors.AsType[*exec.ExitError](err)
	if _, err := os.Stat(path); !ok || exit.ExitCode() != 130 || err == nil || !strings.HasSuffix(stderr.String(), "mlx: interrupted\n") {
		t.Errorf("%v, %v, %q", exit, err, stderr.String())
	}
	n.WaitClean(5 * time.Second)
}
