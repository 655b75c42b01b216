//go:build unix

package launch

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
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

// Whatever shell a login gives, the agent's begins.
func TestLoginShells(t *testing.T) {
	for _, s := range []string{"sh", "dash", "bash", "busybox sh", "zsh", "ksh", "mksh", "fish", "tcsh"} {
		words := strings.Fields(s)
		if _, err := exec.LookPath(words[0]); err != nil {
			continue
		}
		cmd := exec.Command(words[0], append(words[1:], "-c", bootstrap("/bin/sh"))...)
		cmd.Stdin = strings.NewReader("echo one\nread x\necho \"two $x\"\nEND\nthree\n")
		out, err := cmd.CombinedOutput()
		if err != nil || string(out) != "one\ntwo three\n" {
			t.Errorf("%s: %q, %v", s, out, err)
		}
	}
}

// Without setsid, as on macOS, the shell's job control makes the group of the program.
func TestNoSetsid(t *testing.T) {
	t.Parallel()
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip(err)
	}
	bin := t.TempDir()
	for _, name := range []string{"mktemp", "uname", "sleep", "rm", "cat", "mkfifo", "dd", "wc", "chmod", "mkdir", "ln", "env"} {
		path, err := exec.LookPath(name)
		if err == nil {
			err = os.Symlink(path, filepath.Join(bin, name))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct{ role, said string }{{"polite", "got interrupt"}, {"family", ""}, {"default", "false false false false"}} {
		w := newWorld(t)
		w.shell = bash
		w.environ = append(w.environ, "FAKE_PATH="+bin)
		j, err := w.job(w.options("far,far", role(c.role)...))
		if err != nil {
			t.Fatal(err)
		}
		if c.role == "polite" {
			j.pace.grace = 9 * time.Second // a busy machine is slow to hand on the signal
		}
		var out, e buffer
		signals := make(chan os.Signal, 1)
		done := make(chan error)
		go func() { done <- j.Run(context.Background(), Streams{Out: &out, Err: &e, Signals: signals}) }()
		if c.role != "default" {
			out.await(t, "ready\n", 2)
			signals <- os.Interrupt
		}
		err = <-done
		if _, ok := errors.AsType[*Interrupted](err); ok != (c.role != "default") || !ok && err != nil || strings.Count(out.String(), c.said) < 2 {
			t.Errorf("%s: %v, %q, %q", c.role, err, out.String(), e.String())
		}
		w.clean(5 * time.Second)
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
