//go:build linux

package nettest

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Host is a machine of a Net. Its user is root; /tmp, /run, /root, /var/tmp, /dev/shm and
// /usr/local are its own and empty at first, Share is Net.Share, and all else is this
// machine's.
type Host struct {
	Name        string
	Addr, Addr6 string

	net   *Net
	space *space
	sshd  int // what the sshd that listens is called inside; 0 when there is none
	cut   bool
}

// private are the directories that each host has for itself.
var private = []string{"/tmp", "/run", "/root", "/var/tmp", "/dev/shm", "/usr/local"}

const hostKinds = syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID | syscall.CLONE_NEWUTS | syscall.CLONE_NEWIPC

// start makes the host's namespaces, its cable and its sshd.
func (h *Host) start() error {
	dir := h.dir()
	var b strings.Builder
	fmt.Fprintf(&b, "mount --make-rprivate / && hostname %s", h.Name)
	for name, file := range map[string]string{"passwd": "/etc/passwd", "shadow": "/etc/shadow"} {
		fmt.Fprintf(&b, " && mount --bind %s %s", filepath.Join(dir, name), file)
	}
	fmt.Fprintf(&b, " && mount --bind %s /etc/hosts", filepath.Join(h.net.dir, "hosts"))
	// What lies below /tmp must be mounted elsewhere before /tmp is another.
	fmt.Fprintf(&b, " && mount --bind %s %s && mount -o remount,bind,ro %[2]s && mount --bind %s /srv", h.net.Share, Share, dir)
	for _, dir := range private {
		fmt.Fprintf(&b, " && mount -t tmpfs -o mode=1777 none %s", dir)
	}
	b.WriteString(" && chmod 755 /run /usr/local && chmod 700 /root && mkdir -p /run/sshd /usr/local/bin && mount -t proc none /proc && ip link set lo up")
	var err error
	if h.space, err = newSpace(h.net.t, hostKinds, b.String()); err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	if err := h.net.cable(h.space, h.Name, h.Addr, h.Addr6); err != nil {
		return err
	}
	return h.StartSSHD()
}

// dir has the host's files; the host sees it as /srv.
func (h *Host) dir() string { return filepath.Join(h.net.dir, h.Name) }

// StartSSHD starts the host's sshd.
func (h *Host) StartSSHD() error {
	if h.sshd != 0 {
		return fmt.Errorf("%s has an sshd", h.Name)
	}
	sshd, err := lookTool("sshd")
	if err != nil {
		return err
	}
	// It writes its file after it has left the foreground.
	out, err := h.space.output(sshd + " -f /srv/sshd_config -E /srv/sshd.log && until [ -s /run/sshd.pid ]; do sleep 0.01; done && cat /run/sshd.pid")
	if err != nil {
		return fmt.Errorf("%s: %w", h.Name, err)
	}
	h.sshd, err = strconv.Atoi(strings.TrimSpace(out))
	return err
}

// StopSSHD ends the sshd that listens: the host refuses new connections, those that
// exist go on.
func (h *Host) StopSSHD() error {
	err := h.space.sh(fmt.Sprintf("kill %d && while kill -0 %[1]d 2>/dev/null; do sleep 0.01; done", h.sshd))
	h.sshd = 0
	return err
}

// LinkDown cuts the host's cable: packets to and from it are lost, without an answer.
func (h *Host) LinkDown() error {
	h.cut = true
	return h.net.bridge.sh("ip link set " + h.Name + " down")
}

// LinkUp mends the cable.
func (h *Host) LinkUp() error {
	h.cut = false
	return h.net.bridge.sh("ip link set " + h.Name + " up")
}

// RefuseKey makes the host refuse the client's key from now on.
func (h *Host) RefuseKey() error {
	return os.WriteFile(filepath.Join(h.dir(), "authorized_keys"), nil, 0o644)
}

// NewHostKey gives the host's sshd a key that the client does not know.
func (h *Host) NewHostKey() error {
	key := filepath.Join(h.dir(), "host_key")
	err := errors.Join(os.Remove(key), os.Remove(key+".pub"), h.StopSSHD())
	if err != nil {
		return err
	}
	if _, err := newKey(key); err != nil {
		return err
	}
	return h.StartSSHD()
}

// Install writes a program into the host's /usr/local/bin, which is the first of its
// PATH.
func (h *Host) Install(name, content string) error {
	return h.Write("/usr/local/bin/"+name, content, 0o755)
}

// Write writes a file of the host.
func (h *Host) Write(path, content string, mode os.FileMode) error {
	cmd := exec.Command("nsenter", append(h.space.enter(), "bash", "-c", fmt.Sprintf("cat >'%s' && chmod %o '%[1]s'", path, mode))...)
	cmd.Stdin = strings.NewReader(content)
	out, err := cmd.CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %s: %w: %s", h.Name, path, err, out)
	}
	return nil
}

// Run runs a shell script on the host, not through ssh, and returns its standard output.
func (h *Host) Run(script string) (string, error) {
	out, err := h.space.output(script)
	if err != nil {
		return out, fmt.Errorf("%s: %w", h.Name, err)
	}
	return out, nil
}

// Process is one that runs.
type Process struct {
	PID  int // outside of the namespaces
	Args string
}

// Processes are those that run on the host, without the first one, its child that waits
// with it and the sshd that listens, but with the sshd of each connection.
func (h *Host) Processes() []Process {
	list, err := processes("pid", h.space.pid())
	h.net.check(err)
	return slices.DeleteFunc(list, func(p Process) bool {
		data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.PID))
		inside := bytes.Fields(line(data, "NSpid:"))
		return err == nil && len(inside) > 0 && string(inside[len(inside)-1]) == fmt.Sprint(h.sshd)
	})
}

// Files are the files that the host has in /tmp, /run, /root, /var/tmp and /dev/shm, but
// for those of its sshd.
func (h *Host) Files() []string {
	out, err := h.Run("find /tmp /run /root /var/tmp /dev/shm -mindepth 1 ! -path '/run/sshd*' ! -path '/run/mount*'")
	h.net.check(err)
	return strings.Fields(out)
}

// SSHDLog is what the host's sshd wrote.
func (h *Host) SSHDLog() string {
	data, err := os.ReadFile(filepath.Join(h.dir(), "sshd.log"))
	h.net.check(err)
	return string(data)
}

// WaitClean waits up to limit until no host has a process or a file of anyone, and the
// client no process; else the test fails and tells what is left. Where the cable is cut,
// sshd itself may keep the connection: it has nothing to send, and so finds nothing wrong.
func (n *Net) WaitClean(limit time.Duration) {
	n.t.Helper()
	var left string
	for end := time.Now().Add(limit); ; time.Sleep(20 * time.Millisecond) {
		if left = n.left(); left == "" {
			return
		}
		if time.Now().After(end) {
			n.t.Errorf("left after %v:\n%s", limit, left)
			return
		}
	}
}

func (n *Net) left() string {
	var b strings.Builder
	for _, p := range n.ClientProcesses() {
		fmt.Fprintf(&b, "client: process %s\n", p.Args)
	}
	for _, h := range n.Hosts {
		for _, p := range h.Processes() {
			if !h.cut && !n.cut || !strings.HasPrefix(p.Args, "sshd: ") {
				fmt.Fprintf(&b, "%s: process %s\n", h.Name, p.Args)
			}
		}
		for _, f := range h.Files() {
			fmt.Fprintf(&b, "%s: file %s\n", h.Name, f)
		}
	}
	return b.String()
}

// processes are those of a namespace of the process pid, without that one, its children
// that began with it (cat) and the dead.
func processes(kind string, pid int) ([]Process, error) {
	space, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", pid, kind))
	if err != nil {
		return nil, err
	}
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, err
	}
	var list []Process
	for _, e := range entries {
		p, err := strconv.Atoi(e.Name())
		if err != nil || p == pid {
			continue
		}
		// A process may end at any time: what cannot be read is none.
		where, err := os.Readlink(fmt.Sprintf("/proc/%d/ns/%s", p, kind))
		if err != nil || where != space {
			continue
		}
		status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", p))
		args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p))
		if err != nil || len(args) == 0 || len(status) == 0 {
			continue
		}
		parent := string(bytes.TrimSpace(line(status, "PPid:")))
		text := strings.TrimSpace(strings.ReplaceAll(string(args), "\x00", " "))
		if parent == fmt.Sprint(pid) && text == "cat" {
			continue
		}
		list = append(list, Process{p, text})
	}
	return list, nil
}

// line is what follows a key in a file of lines.
func line(data []byte, key string) []byte {
	for l := range bytes.Lines(data) {
		if rest, ok := bytes.CutPrefix(l, []byte(key)); ok {
			return rest
		}
	}
	return nil
}

// Kill kills the processes whose command line has a text: at least one.
func (h *Host) Kill(text string) error {
	killed := 0
	for _, p := range h.Processes() {
		if strings.Contains(p.Args, text) {
			if err := syscall.Kill(p.PID, syscall.SIGKILL); err != nil {
				return err
			}
			killed++
		}
	}
	if killed == 0 {
		return fmt.Errorf("%s has no process with %q", h.Name, text)
	}
	return nil
}
