//go:build linux

package nettest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// newKey makes a key pair and returns the public one.
func newKey(path string) (string, error) {
	if out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "nettest", "-f", path).CombinedOutput(); err != nil {
		return "", fmt.Errorf("ssh-keygen: %w: %s", err, out)
	}
	data, err := os.ReadFile(path + ".pub")
	return string(data), err
}

// keys writes all keys and configurations.
func (n *Net) keys() error {
	public, err := newKey(filepath.Join(n.dir, "client_key"))
	if err != nil {
		return err
	}
	names := "127.0.0.1 localhost\n::1 localhost\n"
	known := ""
	for _, h := range n.Hosts {
		key, err := h.writeFiles(public)
		if err != nil {
			return err
		}
		names += h.Addr + " " + h.Name + "\n"
		known += fmt.Sprintf("%s,%s,%s %s", h.Name, h.Addr, h.Addr6, key)
	}
	files := map[string]string{
		"hosts":       names,
		"known_hosts": known,
		"ssh_config": fmt.Sprintf(`Host *
User root
IdentityFile %s
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile %s
GlobalKnownHostsFile none
StrictHostKeyChecking yes
ControlPath none
`, filepath.Join(n.dir, "client_key"), filepath.Join(n.dir, "known_hosts")),
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(n.dir, name), []byte(text), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// writeFiles writes what the host's sshd reads and returns its public key. Odd hosts have
// bash for a shell, as most do, even ones sh.
func (h *Host) writeFiles(client string) (string, error) {
	if err := os.Mkdir(h.dir(), 0o755); err != nil {
		return "", err
	}
	key, err := newKey(filepath.Join(h.dir(), "host_key"))
	if err != nil {
		return "", err
	}
	shell := "/bin/bash"
	if strings.HasSuffix(h.Name, "2") || strings.HasSuffix(h.Name, "4") {
		shell = "/bin/sh"
	}
	for name, text := range map[string]string{
		"passwd":          "root:x:0:0:root:/root:" + shell + "\nsshd:x:102:65534::/run/sshd:/usr/sbin/nologin\nnobody:x:65534:65534::/nonexistent:/usr/sbin/nologin\n",
		"shadow":          "root:*:19000:0:99999:7:::\nsshd:!:19000::::::\n",
		"authorized_keys": client,
		"sshd.log":        "",
		"sshd_config": `Port 22
HostKey /srv/host_key
AuthorizedKeysFile /srv/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin yes
PrintMotd no
PrintLastLog no
UseDNS no
PidFile /run/sshd.pid
LogLevel VERBOSE
SetEnv PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
`,
	} {
		if err := os.WriteFile(filepath.Join(h.dir(), name), []byte(text), 0o644); err != nil {
			return "", err
		}
	}
	return key, nil
}
