package discover

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/mlxgo/mlx/internal/launch"
)

// network runs shell scripts on hosts.
type network struct {
	ssh     []string
	timeout time.Duration
	log     func(format string, args ...any)
}

// command is one that runs a line of shell on a host, or on this machine. It has no quotes
// nor variables of its own in it, so that all login shells read it alike.
func (n *network) command(ctx context.Context, host, line string) *exec.Cmd {
	argv := []string{"/bin/sh", "-c", line}
	if !launch.IsLocal(host) {
		argv = launch.SSHCommand(n.ssh, n.timeout, host, line)
	}
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.WaitDelay = time.Second
	return cmd
}

// script runs a script, which comes to the host's shell as its input. The error ends with
// what was said on standard error.
func (n *network) script(ctx context.Context, host, script string) (string, error) {
	cmd := n.command(ctx, host, "exec /bin/sh -s")
	cmd.Stdin = strings.NewReader(script)
	return output(ctx, cmd)
}

// output runs a command; its error tells the last lines of standard error.
func output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	err := cmd.Run()
	if err == nil {
		return out.String(), nil
	}
	if ctx.Err() != nil {
		err = errors.New("no answer in time")
		if context.Cause(ctx) == context.Canceled {
			err = context.Canceled
		}
	}
	if said := lastLines(stderr.String()); said != "" {
		if _, exited := errors.AsType[*exec.ExitError](err); exited {
			return out.String(), errors.New(said)
		}
		err = fmt.Errorf("%w: %s", err, said)
	}
	return out.String(), err
}

// lastLines are the last three lines of text that say something.
func lastLines(text string) string {
	var last []string
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			last = append(last, line)
		}
	}
	return strings.Join(last[max(0, len(last)-3):], "; ")
}

// lookScript asks a host for all that is to be known of it. Each answer follows a line
// with the mark and its name: what a login prints before the first is no answer.
const lookScript = `say() { printf '\n%s %s\n' "$mark" "$1"; }
have() { command -v "$1" >/dev/null 2>&1; }
PATH=$PATH:/usr/sbin:/sbin
exec </dev/null
say system; uname -s; uname -m
say name; uname -n
say server; set -- $SSH_CONNECTION; echo "$3"
say version; have mlx && mlx version --json
if [ "$(uname -s)" = Linux ] && have ip; then say ip; ip -o addr show up; elif have ifconfig; then say ifconfig; ifconfig -a; fi
say commands; for c in ping ibv_devices; do have $c && echo $c; done
if [ "$thunderbolt" = 1 ] && [ "$(uname -s)" = Darwin ]; then
say profile; system_profiler SPThunderboltDataType -json
say ports; networksetup -listallhardwareports
say sudo; have sudo && sudo -n true 2>/dev/null && echo yes
have ibv_devices && { say rdma; ibv_devices; }
fi
say end
`

// look asks one host.
func (n *network) look(ctx context.Context, o *Options, i int) (Found, error) {
	f := Found{Host: o.Hosts[i]}
	ctx, cancel := context.WithTimeout(ctx, n.timeout)
	defer cancel()
	mark := "mlx-" + rand.Text()
	thunderbolt := "0"
	if o.Over == Thunderbolt {
		thunderbolt = "1"
	}
	n.log("%s: asking", f.Host.SSH)
	out, err := n.script(ctx, f.Host.SSH, "mark="+mark+" thunderbolt="+thunderbolt+"\n"+lookScript)
	if err != nil {
		return f, fmt.Errorf("%s does not answer: %w (check with: ssh %[1]s true)", f.Host.SSH, err)
	}
	if err := f.read(out, mark); err != nil {
		return f, fmt.Errorf("%s: %w", f.Host.SSH, err)
	}
	n.log("%s: %s, mlx %q, addresses %s", f.Host.SSH, f.System, f.Version, listed(f.addresses()))
	return f, nil
}

// read takes the answers of lookScript apart.
func (f *Found) read(out, mark string) error {
	answers := map[string]string{}
	for _, part := range strings.Split(out, "\n"+mark+" ")[1:] {
		name, text, _ := strings.Cut(part, "\n")
		answers[name] = text
	}
	if _, ok := answers["end"]; !ok {
		return errors.New("its shell gave no full answer")
	}
	f.System = strings.Join(strings.Fields(answers["system"]), " ")
	f.Name = strings.TrimSpace(answers["name"])
	f.server = strings.TrimSpace(answers["server"])
	f.sudo = strings.TrimSpace(answers["sudo"]) == "yes"
	f.commands = strings.Fields(answers["commands"])
	f.profile, f.ports = []byte(answers["profile"]), []byte(answers["ports"])
	f.rdma = parseRDMA(answers["rdma"])
	if text := strings.TrimSpace(answers["version"]); text != "" {
		var v struct {
			Version, Commit string
			Modified        bool
		}
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.Version == "" {
			return fmt.Errorf("the mlx in its PATH is another program: mlx version says %.100q", text)
		}
		f.Version = v.Version
		if v.Commit != "" {
			f.Version += " " + v.Commit[:min(8, len(v.Commit))]
		}
		if v.Modified {
			f.Version += " and changes"
		}
	}
	switch {
	case answers["ip"] != "":
		f.interfaces = parseIP(answers["ip"])
	case answers["ifconfig"] != "":
		f.interfaces = parseIfconfig(answers["ifconfig"])
	default:
		return errors.New("it has neither ip nor ifconfig in its PATH to tell its addresses: install iproute2")
	}
	return nil
}

// lookAll asks all hosts at once. Those that do not answer are errors, or left out.
func (n *network) lookAll(ctx context.Context, o *Options) (found []Found, problems []string, err error) {
	all := make([]Found, len(o.Hosts))
	errs := make([]error, len(o.Hosts))
	var wg sync.WaitGroup
	for i := range o.Hosts {
		wg.Go(func() { all[i], errs[i] = n.look(ctx, o, i) })
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, nil, err
	}
	for i := range all {
		switch {
		case errs[i] == nil:
			found = append(found, all[i])
		case o.IgnoreUnreachable:
			problems = append(problems, fmt.Sprintf("%v: it is left out", errs[i]))
		}
	}
	if err := errors.Join(errs...); err != nil && !o.IgnoreUnreachable {
		return found, nil, err
	}
	if len(found) == 0 {
		return nil, problems, errors.New("no host answers")
	}
	return found, problems, same(found)
}

// same finds two names of one machine: all of its addresses are equal.
func same(found []Found) error {
	for i, a := range found {
		for _, b := range found[:i] {
			mine, others := a.addresses(), b.addresses()
			if len(mine) > 0 && slices.Equal(mine, others) {
				return fmt.Errorf("%s and %s are the same machine (%s, %v): list it once, and use -n of mlx launch for more ranks", b.Host.SSH, a.Host.SSH, a.Name, mine[0])
			}
		}
	}
	return nil
}

// addresses are those by which other machines may reach the host.
func (f *Found) addresses() []netip.Addr {
	var all []netip.Addr
	for _, i := range f.interfaces {
		for _, p := range i.Addrs {
			if i.Up && p.Addr().IsGlobalUnicast() {
				all = append(all, p.Addr())
			}
		}
	}
	return all
}

// discard reads what comes to its end.
func discard(r io.Reader) { io.Copy(io.Discard, r) }
