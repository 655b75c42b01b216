//go:build unix

package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// A signal goes to the ranks; those that do not end are ended; the second kills.
func TestSignals(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role  string
		sig   syscall.Signal
		again bool
		said  string
	}{
		{"polite", syscall.SIGINT, false, "got interrupt"},
		{"polite", syscall.SIGTERM, false, "got terminated"},
		{"polite", syscall.SIGHUP, false, "got hangup"},
		{"stubborn", syscall.SIGINT, false, ""},
		{"stubborn", syscall.SIGINT, true, ""},
	} {
		for _, host := range []string{"127.0.0.1", "far"} {
			t.Run(fmt.Sprint(c.role, c.sig, c.again, host), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				o := w.options(host, role(c.role)...)
				o.Repeat = 2
				j, err := w.job(o)
				if err != nil {
					t.Fatal(err)
				}
				if c.said != "" {
					j.pace.grace = 9 * time.Second // a busy machine is slow to hand on the signal
				}
				var out, e buffer
				signals := make(chan os.Signal)
				done := make(chan error)
				go func() { done <- j.Run(context.Background(), Streams{Out: &out, Err: &e, Signals: signals}) }()
				out.await(t, "ready\n", 2)
				start := time.Now()
				signals <- c.sig
				if c.again {
					time.Sleep(100 * time.Millisecond)
					signals <- c.sig
				}
				err = <-done
				interrupted, ok := errors.AsType[*Interrupted](err)
				if !ok || interrupted.Status() != 128+int(c.sig) {
					t.Errorf("%v, %q", err, e.String())
				}
				if d := time.Since(start); d > 15*time.Second {
					t.Errorf("took %v", d)
				}
				if c.said != "" && strings.Count(out.String(), c.said) != 2 {
					t.Errorf("%q", out.String())
				}
				w.clean(5 * time.Second)
			})
		}
	}
}

// No rank inherits that a signal is ignored.
func TestSignalsInherited(t *testing.T) {
	w := newWorld(t)
	out, _, err := w.run(w.options("127.0.0.1,127.0.0.1", role("default")...), "")
	if err != nil || strings.Count(out, "false false false false") != 2 {
		t.Errorf("%q, %v", out, err)
	}
}

// startLauncher starts a launcher as a process of its own.
func (w *world) startLauncher(o Options) (*exec.Cmd, *buffer) {
	w.t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		w.t.Fatal(err)
	}
	out := new(buffer)
	cmd := exec.Command(role()[0], "launcher", string(text))
	cmd.Stdout, cmd.Stderr, cmd.Env = out, out, w.environ
	cmd.WaitDelay = time.Second
	if err := cmd.Start(); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { cmd.Process.Kill() })
	return cmd, out
}

// A launcher that is killed leaves no process and no file, nor does one that is silent.
func TestLauncherDies(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		role   string
		sig    syscall.Signal
		within time.Duration
	}{
		{"family", syscall.SIGKILL, 15 * time.Second},
		{"family", syscall.SIGSTOP, 15 * time.Second},
	} {
		for _, host := range []string{"127.0.0.1", "far"} {
			if host == "127.0.0.1" && c.sig == syscall.SIGSTOP {
				continue // a stopped launcher of local ranks is one that goes on later
			}
			t.Run(fmt.Sprint(c.sig, host), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				o := w.options(host, role(c.role)...)
				o.Repeat = 2
				cmd, out := w.startLauncher(o)
				out.await(t, "ready\n", 2)
				cmd.Process.Signal(c.sig)
				if c.sig == syscall.SIGKILL {
					cmd.Wait()
				} else {
					deadline := time.Now().Add(c.within)
					// fakeSSH hangs with its launcher, and so its agent may.
					for len(w.ranks()) > 0 && time.Now().Before(deadline) {
						time.Sleep(50 * time.Millisecond)
					}
					if r := w.ranks(); len(r) > 0 {
						t.Errorf("ranks are left: %q", r)
					}
					cmd.Process.Kill()
					cmd.Wait()
				}
				w.clean(c.within)
			})
		}
	}
}

// ranks are the processes of this world that run rankMain.
func (w *world) ranks() (lines []string) {
	for _, line := range w.processes() {
		if strings.HasPrefix(line, role()[0]+" rank ") {
			lines = append(lines, line)
		}
	}
	return lines
}

// A host whose processes stop is given up.
func TestSilentHost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	j, err := w.job(w.options("near,far", role("stubborn")...))
	if err != nil {
		t.Fatal(err)
	}
	j.pace.hostSilence, j.pace.hostBeat, j.pace.beat = 3*time.Second, time.Second, 200*time.Millisecond
	var out buffer
	done := make(chan error)
	go func() { done <- j.Run(context.Background(), Streams{Out: &out, Err: io.Discard}) }()
	out.await(t, "ready\n", 2)
	var stopped []int
	for pid := range w.processes() {
		env, _ := os.ReadFile(fmt.Sprintf("/proc/%d/environ", pid))
		if strings.Contains(string(env), "FAKE_HOST=far\x00") && syscall.Kill(pid, syscall.SIGSTOP) == nil {
			stopped = append(stopped, pid)
		}
	}
	if err := <-done; err == nil || err.Error() != "rank 1 (far): nothing was heard of the host for 3s" {
		t.Error(err)
	}
	for _, pid := range stopped {
		syscall.Kill(pid, syscall.SIGCONT)
	}
	w.clean(15 * time.Second)
}

// A connection that breaks off ends the job.
func TestConnectionLost(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	_, e, err := w.run(w.options("dies,a", role("stubborn")...), "")
	if err == nil || err.Error() != "rank 0 (dies): the connection was lost: ssh: exit status 255" || !strings.Contains(e, "[0] Connection to dies closed by remote host.\n") {
		t.Errorf("%v, %q", err, e)
	}
	w.clean(15 * time.Second)
}

// failing fails after some bytes.
type failing struct {
	left int
	err  error
}

func (f *failing) Write(p []byte) (int, error) {
	if len(p) > f.left {
		return 0, f.err
	}
	f.left -= len(p)
	return len(p), nil
}

// When nobody reads standard output the job is over; when it is full, it failed.
func TestOutputCloses(t *testing.T) {
	full := errors.New("full")
	for _, c := range []struct{ err, want error }{{syscall.EPIPE, ErrOutputClosed}, {io.ErrClosedPipe, ErrOutputClosed}, {full, full}} {
		w := newWorld(t)
		o := w.options("127.0.0.1", "yes")
		o.Repeat = 2
		j, err := w.job(o)
		if err != nil {
			t.Fatal(err)
		}
		if err := j.Run(context.Background(), Streams{Out: &failing{1000, c.err}, Err: io.Discard}); !errors.Is(err, c.want) {
			t.Error(err)
		}
	}
}

// A reader that sleeps does not keep Ctrl-C from ending the ranks.
func TestBlockedOutput(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "far"} {
		t.Run(host, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := w.options(host, "yes")
			o.Repeat = 2
			j, err := w.job(o)
			if err != nil {
				t.Fatal(err)
			}
			r, out, err := os.Pipe()
			if err != nil {
				t.Fatal(err)
			}
			signals := make(chan os.Signal, 1)
			time.AfterFunc(time.Second, func() { signals <- os.Interrupt })
			start := time.Now()
			err = j.Run(context.Background(), Streams{Out: out, Err: io.Discard, Signals: signals})
			if _, ok := errors.AsType[*Interrupted](err); !ok || time.Since(start) > 15*time.Second {
				t.Errorf("%v after %v", err, time.Since(start))
			}
			w.clean(5 * time.Second)
			r.Close()
			out.Close()
		})
	}
}
