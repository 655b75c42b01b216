//go:build linux

package nettest

import (
	"strings"
	"syscall"
	"testing"
	"time"
)

func ssh(n *Net, host string, args ...string) (string, error) {
	out, err := n.Command("ssh", append([]string{"-F", n.SSHConfig, "-o", "ConnectTimeout=2", host}, args...)...).CombinedOutput()
	return string(out), err
}

// The hosts are what the tests of others take them for.
func TestHosts(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	a, b := n.Hosts[0], n.Hosts[1]
	for _, name := range []string{"host1", a.Addr, a.Addr6} {
		if out, err := ssh(n, name, "hostname; pwd; command -v own || echo no; touch /tmp/mine"); err != nil || out != "host1\n/root\nno\n" {
			t.Fatalf("%s: %q, %v", name, out, err)
		}
	}
	if err := a.Install("own", "#!/bin/sh\necho own program\n"); err != nil {
		t.Fatal(err)
	}
	if out, err := ssh(n, "host1", "own"); err != nil || out != "own program\n" {
		t.Fatalf("%q, %v", out, err)
	}
	if got := a.Files(); len(got) != 1 || got[0] != "/tmp/mine" {
		t.Errorf("files %q", got)
	}
	if got := b.Files(); len(got) != 0 {
		t.Errorf("the other host has the files %q", got)
	}
	if _, err := ssh(n, "host1", "rm /tmp/mine; setsid sleep 1000 >/dev/null 2>&1 </dev/null &"); err != nil {
		t.Fatal(err)
	}
	if list := a.Processes(); len(list) == 0 || !strings.Contains(n.left(), "host1: process sleep 1000") || strings.Contains(n.left(), "host2") {
		t.Errorf("%v, %s", list, n.left())
	}
	for _, p := range a.Processes() {
		if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}
	n.WaitClean(5 * time.Second)

	if _, err := ssh(n, Down, "true"); err == nil {
		t.Error("a host that is not there answered")
	}
	for _, c := range []struct {
		name string
		make func() error
		want string
	}{
		{"sshd stopped", a.StopSSHD, "Connection refused"},
		{"sshd started", a.StartSSHD, ""},
		{"cable cut", a.LinkDown, "timed out"},
		{"cable mended", a.LinkUp, ""},
		{"new host key", a.NewHostKey, "HOST IDENTIFICATION HAS CHANGED"},
	} {
		if err := c.make(); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		out, err := ssh(n, "host1", "true")
		if (err == nil) != (c.want == "") || !strings.Contains(out, c.want) {
			t.Errorf("%s: %q, %v; want %q", c.name, out, err, c.want)
		}
	}
	if err := b.RefuseKey(); err != nil {
		t.Fatal(err)
	}
	if out, err := ssh(n, "host2", "true"); err == nil || !strings.Contains(out, "Permission denied") {
		t.Errorf("key refused: %q, %v", out, err)
	}
	n.WaitClean(5 * time.Second)
}
