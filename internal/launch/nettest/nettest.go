//go:build linux

// Package nettest makes hosts for tests: namespaces of processes, networks, mounts and
// names, joined by cables to a bridge, each with an sshd and a /tmp of its own. What runs
// in them is a process of this machine, and yet the hosts meet only through ssh and TCP,
// and a cable can be cut.
//
// Nothing outside the namespaces is touched, and none of them has a name: a host lives as
// long as its first process, which ends when the test that started it does, however that
// dies. Only root can make hosts; for others Start skips the test.
package nettest

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Share is the directory that all hosts and the client see: Net.Share on the client.
const Share = "/mnt"

// Net is a client and the hosts around it.
type Net struct {
	Hosts []*Host

	// Share is a directory that the hosts have as Share, read-only: the place of programs.
	Share string
	// SSHConfig is a file for ssh -F: with it the client reaches each host by its name
	// or an address, with the one key that they take, and knows their host keys.
	SSHConfig string
	// Addr and Addr6 are the client's addresses.
	Addr, Addr6 string

	t      testing.TB
	dir    string
	bridge *space // holds the bridge and the hosts' ends of the cables
	client *space
	cut    bool // the client's cable is
}

// Down is an address of the network that no host has.
const Down = "10.77.0.200"

// tools are the programs that hosts are made with, and where Debian has them.
var tools = map[string]string{
	"ip": "iproute2", "nsenter": "util-linux", "mount": "mount", "sshd": "openssh-server",
	"ssh": "openssh-client", "ssh-keygen": "openssh-client",
}

// lookTool finds a program, also where only root's PATH leads.
func lookTool(name string) (string, error) {
	if path, err := exec.LookPath(name); err == nil {
		return path, nil
	}
	return exec.LookPath(filepath.Join("/usr/sbin", name))
}

// Start makes n hosts (at most 100) for the length of the test: host1 with the address
// 10.77.0.1 and so on.
func Start(t testing.TB, n int) *Net {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can make network namespaces")
	}
	for name, pkg := range tools {
		if _, err := lookTool(name); err != nil {
			t.Skipf("there is no %s here (Debian: %s)", name, pkg)
		}
	}
	dir := t.TempDir()
	net := &Net{t: t, dir: dir, Share: filepath.Join(dir, "share"), SSHConfig: filepath.Join(dir, "ssh_config"), Addr: "10.77.0.254", Addr6: "fd77::fe"}
	// A directory that only root may enter would stop the users of the hosts.
	net.check(errors.Join(os.Chmod(dir, 0o755), os.Mkdir(net.Share, 0o755)))
	for i := range n {
		name := fmt.Sprintf("host%d", i+1)
		net.Hosts = append(net.Hosts, &Host{net: net, Name: name, Addr: fmt.Sprintf("10.77.0.%d", i+1), Addr6: fmt.Sprintf("fd77::%x", i+1)})
	}
	net.check(net.keys())
	var err error
	if net.bridge, err = newSpace(t, syscall.CLONE_NEWNET, "ip link add br0 type bridge && ip link set br0 up && ip link add v0 type veth peer name v1 && ip link del v0"); err != nil {
		t.Skipf("no namespaces of networks here: %v", err)
	}
	hosts := filepath.Join(dir, "hosts")
	net.client, err = newSpace(t, syscall.CLONE_NEWNET|syscall.CLONE_NEWNS, "mount --make-rprivate / && mount --bind "+hosts+" /etc/hosts")
	if err != nil {
		t.Skipf("no namespaces of mounts here: %v", err)
	}
	net.check(net.cable(net.client, "client", net.Addr, net.Addr6))
	for _, h := range net.Hosts {
		net.check(h.start())
	}
	net.check(net.ready())
	return net
}

// check ends the test on an error.
func (n *Net) check(err error) {
	n.t.Helper()
	if err != nil {
		n.t.Fatal(err)
	}
}

// cable joins a space to the bridge: eth0 inside, name at the bridge.
func (n *Net) cable(s *space, name, addr, addr6 string) error {
	if err := n.bridge.sh(fmt.Sprintf("ip link add %s type veth peer name eth0 netns %d && ip link set %[1]s master br0 up", name, s.pid())); err != nil {
		return err
	}
	return s.sh(fmt.Sprintf("ip link set lo up && ip addr add %s/24 dev eth0 && ip -6 addr add %s/64 dev eth0 nodad && ip link set eth0 up", addr, addr6))
}

// ready waits until all of the sshd answer.
func (n *Net) ready() error {
	var b strings.Builder
	for _, h := range n.Hosts {
		fmt.Fprintf(&b, "i=0; until : 2>/dev/null </dev/tcp/%s/22; do i=$((i+1)); [ $i -lt 200 ] || exit 1; sleep 0.02; done\n", h.Addr)
	}
	out, err := n.Command("bash", "-c", b.String()).CombinedOutput()
	if err != nil {
		return fmt.Errorf("an sshd does not answer: %w: %s", err, out)
	}
	return nil
}

// Command is a command that runs on the client: the test's files and processes, but the
// hosts' network; it begins in /. Its process is the named program itself, so that signals reach it.
func (n *Net) Command(name string, args ...string) *exec.Cmd {
	return exec.Command("nsenter", append(n.client.enter(), append([]string{name}, args...)...)...)
}

// LinkDown cuts the client's cable.
func (n *Net) LinkDown() error {
	n.cut = true
	return n.bridge.sh("ip link set client down")
}

// ClientProcesses are what runs on the client.
func (n *Net) ClientProcesses() []Process {
	list, err := processes("net", n.client.pid())
	n.check(err)
	return list
}

// space is a set of namespaces and their first process.
type space struct {
	cmd  *exec.Cmd
	kind uintptr
}

// killNetwork kills all other processes of the shell's network.
const killNetwork = `me=$(readlink /proc/$$/ns/net)
kill -9 $(ls -l /proc/[0-9]*/ns/net 2>/dev/null | grep -F "$me" | sed 's,.* /proc/\([0-9]*\)/.*,\1,' | grep -vx $$) 2>/dev/null`

// newSpace makes namespaces, runs a shell script in them and keeps them until the test
// ends. The first process waits for the end of its standard input, which comes when this
// process dies too, and collects the dead of a namespace of processes.
func newSpace(t testing.TB, kind uintptr, script string) (*space, error) {
	end := "kill -9 -1 2>/dev/null"
	if kind&syscall.CLONE_NEWPID == 0 { // -1 would be all processes of the machine
		end = killNetwork
	}
	cmd := exec.Command("bash", "-c", "export PATH=$PATH:/usr/sbin:/sbin; "+script+" || exit; echo ready; cat >/dev/null; "+end)
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: kind, Setpgid: true}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if line != "ready\n" {
		in.Close()
		cmd.Wait()
		return nil, fmt.Errorf("%w: %s", err, &stderr)
	}
	t.Cleanup(func() {
		in.Close()
		late := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		cmd.Wait()
		late.Stop()
	})
	go io.Copy(io.Discard, out)
	return &space{cmd, kind}, nil
}

func (s *space) pid() int { return s.cmd.Process.Pid }

// enter are the arguments of nsenter for the space.
func (s *space) enter() []string {
	args := []string{"-t", fmt.Sprint(s.pid())}
	for _, k := range []struct {
		kind uintptr
		flag string
	}{{syscall.CLONE_NEWNET, "-n"}, {syscall.CLONE_NEWNS, "-m"}, {syscall.CLONE_NEWPID, "-p"}, {syscall.CLONE_NEWUTS, "-u"}, {syscall.CLONE_NEWIPC, "-i"}} {
		if s.kind&k.kind != 0 {
			args = append(args, k.flag)
		}
	}
	return append(args, "--")
}

// sh runs a script in the space.
func (s *space) sh(script string) error {
	_, err := s.output(script)
	return err
}

// output is what a script prints on standard output in the space.
func (s *space) output(script string) (string, error) {
	cmd := exec.Command("nsenter", append(s.enter(), "bash", "-c", "export PATH=$PATH:/usr/sbin:/sbin\n"+script)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	cmd.WaitDelay = time.Second // what it leaves in the background may keep the pipe
	out, err := cmd.Output()
	if err != nil {
		return string(out), fmt.Errorf("%s: %w: %s", script, err, &stderr)
	}
	return string(out), nil
}
