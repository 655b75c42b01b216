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
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// shells gives the shells of this machine that may run the agent.
func shells(t *testing.T) map[string]string {
	found := map[string]string{}
	for _, s := range []string{"dash", "bash", "busybox sh"} {
		name, rest, _ := strings.Cut(s, " ")
		if path, err := exec.LookPath(name); err == nil {
			found[s] = strings.TrimSpace(path + " " + rest)
		}
	}
	if len(found) == 0 {
		t.Skip("no shell")
	}
	return found
}

// Arguments and variables arrive byte for byte, whatever they are, in each shell.
func TestBytesArrive(t *testing.T) {
	t.Parallel()
	var every strings.Builder
	for c := 1; c < 256; c++ {
		every.WriteByte(byte(c))
	}
	args := []string{"", " ", "a b", "'", `"`, `\`, "$HOME", "`id`", "*", "!x", "-n", "--", "\n", "a\n", "\nEND\n", "é€😀", "\xff\xfe", "\xc3", "\x01\x7f\x81", every.String(), strings.Repeat("x\n'é", 5000), ""}
	env := []string{"PLAIN=x", "EMPTY=", "SPACE= a  b ", "LINES=1\n2\n\n", "EVERY=" + every.String(), "QUOTES='\"`$x\\", "LC_ALL=C.UTF-8", "UID=5", "PWD=/nowhere", "IFS=x", "mlx_dir=/", "mlx_token=x", "PPID=3", "RANDOM=7", "_=under", "PS4=$(id)", "OPTIND=9"}
	for name, shell := range shells(t) {
		for _, hosts := range []string{"127.0.0.1", "far"} {
			t.Run(name+" "+hosts, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.shell = shell
				o := w.options(hosts, role(append([]string{"show"}, args...)...)...)
				o.NoPrefix = true
				o.Env = env
				out, e, err := w.run(o, "")
				var got shown
				if err != nil || json.Unmarshal([]byte(out), &got) != nil {
					t.Fatalf("%.200q, %q, %v", out, e, err)
				}
				if !slices.Equal(got.Args, hexed(args)) {
					t.Errorf("arguments %q, want %q", got.Args, hexed(args))
				}
				for _, v := range hexed(env) {
					if !slices.Contains(got.Env, v) {
						t.Errorf("no %s in %s", v, got.Env)
					}
				}
			})
		}
	}
}

// The variables of mlx.launch, and the secret in a file that nobody else reads.
func TestEnvironment(t *testing.T) {
	w := newWorld(t)
	o := w.options("far,near", "sh", "-c", `echo $MLX_RANK $MLX_RING_VERBOSE; cat "$MLX_HOSTFILE"; ls -l "$MLX_RING_SECRET_FILE" | cut -c1-10; ls -ld "$(dirname "$MLX_RING_SECRET_FILE")" | cut -c1-10; cat "$MLX_RING_SECRET_FILE"; pwd`)
	o.Repeat, o.Connections, o.Verbose, o.StartingPort = 2, 2, true, 5000
	o.Hosts[1].IPs = []string{"fe80::1", "10.0.0.2"}
	out, e, err := w.run(o, "")
	if err != nil {
		t.Fatal(err, e)
	}
	dir, _ := os.Getwd()
	secrets := map[string]bool{}
	for i := range 4 {
		var lines []string
		for line := range strings.Lines(out) {
			if rest, ok := strings.CutPrefix(line, fmt.Sprintf("[%d] ", i)); ok {
				lines = append(lines, strings.TrimSuffix(rest, "\n"))
			}
		}
		want := []string{fmt.Sprint(i, " 1"), `[["far:5000","far:5001"],["far:5002","far:5003"],["[fe80::1]:5004","[fe80::1]:5005","10.0.0.2:5006","10.0.0.2:5007"],["[fe80::1]:5008","[fe80::1]:5009","10.0.0.2:5010","10.0.0.2:5011"]]`, "-rw-------", "drwx------"}
		if len(lines) != 6 || !slices.Equal(lines[:4], want) || len(lines[4]) != 64 || lines[5] != dir {
			t.Errorf("rank %d: %q", i, lines)
			continue
		}
		secrets[lines[4]] = true
	}
	if len(secrets) != 1 || strings.Contains(e, "secret") {
		t.Errorf("secrets %v, %q", secrets, e)
	}
	for s := range secrets {
		args, _ := os.ReadFile(w.tmp + ".args")
		if strings.Contains(string(args)+e, s) {
			t.Error("the secret is in the arguments of ssh or in messages")
		}
	}
}

// What ranks print comes whole, once and in order; with a slow reader too.
func TestOutput(t *testing.T) {
	t.Parallel()
	const count = 1500
	for _, hosts := range []string{"127.0.0.1", "a,b,c,d"} {
		t.Run(hosts, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			o := w.options(hosts, role("talk", fmt.Sprint(count))...)
			o.Repeat = 4 / len(o.Hosts)
			o.LogDir = t.TempDir()
			out, e, err := w.run(o, "")
			if err != nil {
				t.Fatal(err, e)
			}
			got := map[string][]string{}
			for i, text := range []string{out, e} {
				for line := range strings.Lines(text) {
					key := fmt.Sprint(i, line[:4])
					got[key] = append(got[key], line[4:])
				}
			}
			for rank := range 4 {
				var want [2][]string
				for i := range count {
					k := 0
					if i%3 == 0 {
						k = 1
					}
					want[k] = append(want[k], string(talkLine(rank, i))+"\n")
				}
				want[0] = append(want[0], fmt.Sprintf("last of %d\n", rank))
				want[1] = append(want[1], fmt.Sprintf("last error of %d\n", rank))
				for k := range want {
					if !slices.Equal(got[fmt.Sprintf("%d[%d] ", k, rank)], want[k]) {
						t.Errorf("rank %d, stream %d: lines are missing, torn or of others", rank, k)
					}
					log, err := os.ReadFile(filepath.Join(o.LogDir, fmt.Sprintf("rank-%d.%s", rank, []string{"out", "err"}[k])))
					if err != nil || string(log) != strings.TrimSuffix(strings.Join(want[k], ""), "\n") {
						t.Errorf("rank %d: log %d has %d bytes, %v", rank, k, len(log), err)
					}
				}
			}
		})
	}
}

// Without prefixes one rank's bytes are its own, noise of the login or not.
func TestRawOutput(t *testing.T) {
	t.Parallel()
	for _, hosts := range []string{"127.0.0.1", "far"} {
		w := newWorld(t)
		o := w.options(hosts, role("talk", "200")...)
		o.NoPrefix = true
		out, e, err := w.run(o, "")
		var want [2]strings.Builder
		for i := range 200 {
			k := 0
			if i%3 == 0 {
				k = 1
			}
			fmt.Fprintf(&want[k], "%s\n", talkLine(0, i))
		}
		want[0].WriteString("last of 0")
		want[1].WriteString("last error of 0")
		if err != nil || out != want[0].String() || e != want[1].String() {
			t.Errorf("%s: %v, %d and %d bytes, want %d and %d", hosts, err, len(out), len(e), want[0].Len(), want[1].Len())
		}
	}
}

func TestExitStatus(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		script string
		status int
		text   string
	}{
		{"exit 0", 0, ""},
		{"[ $MLX_RANK = 1 ] && exit 3; sleep 60", 3, "rank 1 (%s): exited with status 3"},
		{"[ $MLX_RANK = 2 ] && kill -9 $$; sleep 60", 137, "rank 2 (%s): exited with status 137 (signal 9, killed)"},
		{"[ $MLX_RANK = 0 ] && exit 255; sleep 60", 255, "rank 0 (%s): exited with status 255"},
		{"[ $MLX_RANK = 0 ] && kill -SEGV $$; trap '' TERM; sleep 60", 139, "rank 0 (%s): exited with status 139 (signal 11, segmentation fault)"},
		{"[ $MLX_RANK = 0 ] && exit 0; sleep 0.3; echo late", 0, ""},
		{"printf x; [ $MLX_RANK = 1 ] || sleep 0.2; exit 4", 4, "rank 1 (%s): exited with status 4"},
	} {
		for _, host := range []string{"127.0.0.1", "far"} {
			t.Run(c.script+host, func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				o := w.options(host, "sh", "-c", c.script)
				o.Repeat = 3
				start := time.Now()
				out, e, err := w.run(o, "")
				if c.status == 0 {
					if err != nil || strings.Contains(c.script, "late") && strings.Count(out, "late\n") != 2 {
						t.Errorf("%v, %q, %q", err, out, e)
					}
					return
				}
				failed, ok := errors.AsType[*RankError](err)
				if !ok || failed.Status != c.status || err.Error() != fmt.Sprintf(c.text, host) {
					t.Errorf("%v, %q", err, e)
				}
				if d := time.Since(start); d > 15*time.Second {
					t.Errorf("took %v", d)
				}
			})
		}
	}
}

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

func TestInput(t *testing.T) {
	t.Parallel()
	var data strings.Builder
	for i := range 40_000 {
		data.WriteByte(byte(i * i >> 3))
	}
	for name, shell := range shells(t) {
		for _, c := range []struct {
			stdin Input
			hosts string
			want  []int
		}{
			{InputFirst, "127.0.0.1,127.0.0.1", []int{1, 0}},
			{InputAll, "a,b", []int{1, 1}},
			{InputNone, "a,b", []int{0, 0}},
		} {
			t.Run(name+string(c.stdin), func(t *testing.T) {
				t.Parallel()
				w := newWorld(t)
				w.shell = shell
				o := w.options(c.hosts, "cat")
				o.Stdin, o.LogDir = c.stdin, t.TempDir()
				_, e, err := w.run(o, data.String())
				if err != nil {
					t.Fatal(err, e)
				}
				for rank, times := range c.want {
					got, _ := os.ReadFile(filepath.Join(o.LogDir, fmt.Sprintf("rank-%d.out", rank)))
					if string(got) != strings.Repeat(data.String(), times) {
						t.Errorf("rank %d: %d bytes", rank, len(got))
					}
				}
			})
		}
	}
	t.Run("nobody reads", func(t *testing.T) {
		t.Parallel()
		w := newWorld(t)
		o := w.options("a,b", "sleep", "0.5")
		o.Stdin = InputAll
		if _, e, err := w.run(o, data.String()); err != nil {
			t.Error(e, err)
		}
	})
}

// All hosts come up or none runs anything; the message names the one that did not.
func TestStartUp(t *testing.T) {
	t.Parallel()
	for hosts, want := range map[string]string{
		"a,down":        "down did not come up: ssh: connect to host down port 22: Connection refused",
		"refused,a":     "refused did not come up: refused: Permission denied (publickey).",
		"a,b,unknown":   "unknown did not come up: Host key verification failed.",
		"later,slow2,a": "slow2 did not come up within 3s",
		"slow,slow2":    "slow, slow2 did not come up within 3s",
	} {
		t.Run(hosts, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			mark := filepath.Join(t.TempDir(), "ran")
			o := w.options(hosts, "touch", mark)
			o.Timeout = 3 * time.Second
			start := time.Now()
			_, e, err := w.run(o, "")
			if err == nil || err.Error() != want {
				t.Errorf("%v, want %s; %q", err, want, e)
			}
			if _, err := os.Stat(mark); err == nil {
				t.Error("a rank ran")
			}
			if d := time.Since(start); d > 15*time.Second {
				t.Errorf("took %v", d)
			}
		})
	}
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

func TestMissing(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"127.0.0.1", "far"} {
		w := newWorld(t)
		if _, e, err := w.run(w.options(host, "nosuchprogram", "x"), ""); err == nil || err.Error() != fmt.Sprintf("rank 0 (%s): there is no program \"nosuchprogram\"", host) {
			t.Errorf("%v, %q", err, e)
		}
		o := w.options(host, "true")
		o.Dir = "/no such\n"
		if _, e, err := w.run(o, ""); err == nil || err.Error() != fmt.Sprintf("rank 0 (%s): there is no directory \"/no such\\n\"", host) {
			t.Errorf("%v, %q", err, e)
		}
		o = w.options(host, "pwd")
		o.Dir, o.NoPrefix = "/", true
		if out, e, err := w.run(o, ""); out != "/\n" || err != nil {
			t.Errorf("%q, %q, %v", out, e, err)
		}
	}
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
