//go:build linux

package nettest

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// programs are where mlx and the job of testdata/sums are built, once and for all tests.
var programs struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	flag.Parse()
	// Most of the time is waiting for what does not come.
	if err := flag.Set("test.parallel", "6"); err != nil {
		panic(err)
	}
	// What a run that was killed has left.
	dirs, _ := filepath.Glob(filepath.Join(os.TempDir(), "nettest-*-*"))
	for _, dir := range dirs {
		pid := strings.Split(filepath.Base(dir), "-")[1]
		if _, err := os.Stat("/proc/" + pid); err != nil {
			os.RemoveAll(dir)
		}
	}
	status := m.Run()
	if programs.dir != "" {
		os.RemoveAll(programs.dir)
	}
	os.Exit(status)
}

// built is the path of a program.
func built(t *testing.T, name string) string {
	t.Helper()
	programs.once.Do(func() {
		if programs.dir, programs.err = os.MkdirTemp("", fmt.Sprintf("nettest-%d-", os.Getpid())); programs.err != nil {
			return
		}
		cmd := exec.Command("go", "build", "-o", programs.dir, "github.com/mlxgo/mlx/cmd/mlx", "./testdata/sums")
		cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := cmd.CombinedOutput(); err != nil {
			programs.err = fmt.Errorf("%w: %s", err, out)
		}
	})
	if programs.err != nil {
		t.Fatal(programs.err)
	}
	return filepath.Join(programs.dir, name)
}

// share puts a built program where all hosts find it, and gives that place.
func (n *Net) share(t *testing.T, name string) string {
	t.Helper()
	if err := os.Link(built(t, name), filepath.Join(n.Share, name)); err != nil {
		t.Fatal(err)
	}
	return Share + "/" + name
}

// job is a launcher at work on the client.
type job struct {
	t           *testing.T
	net         *Net
	cmd         *exec.Cmd
	out, stderr buffer
	begun       time.Time
	scratch     string // its TMPDIR
}

// buffer is a bytes.Buffer that can be read while it is written.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// launch starts mlx launch with ssh's configuration of the network.
func launch(t *testing.T, n *Net, args ...string) *job {
	t.Helper()
	j := &job{t: t, net: n, begun: time.Now(), scratch: t.TempDir()}
	j.cmd = n.Command(built(t, "mlx"), append([]string{"launch", "--ssh-arg=-F", "--ssh-arg=" + n.SSHConfig}, args...)...)
	j.cmd.Env = append(slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "MLX_") }), "TMPDIR="+j.scratch)
	j.cmd.Stdout, j.cmd.Stderr = &j.out, &j.stderr
	j.cmd.WaitDelay = 5 * time.Second
	if err := j.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.cmd.Process.Kill() })
	return j
}

// until waits for text on standard output.
func (j *job) until(text string) {
	j.t.Helper()
	for end := time.Now().Add(20 * time.Second); !strings.Contains(j.out.String(), text); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			j.t.Fatalf("no %q in the output: %q, %q", text, j.out.String(), j.stderr.String())
		}
	}
}

// anyFailure is an exit status for ends.
const anyFailure = -2

// ends waits for the end of the launcher, which must come within limit, and checks its
// exit status and a text on standard error. Neither it nor any host may keep anything.
func (j *job) ends(limit time.Duration, status int, want string) {
	j.t.Helper()
	limit *= 2 // a busy machine
	timer := time.AfterFunc(limit, func() { j.cmd.Process.Kill() })
	err := j.cmd.Wait()
	timer.Stop()
	took := time.Since(j.begun)
	code := 0
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		code = exit.ExitCode()
	} else if err != nil {
		j.t.Fatal(err)
	}
	matches, err := regexp.MatchString(want, j.stderr.String())
	if code != status && !(status == anyFailure && code > 0) || err != nil || !matches || want == "" && j.stderr.String() != "" {
		j.t.Errorf("after %v: exit status %d, want %d; %q, want %q; output %q", took, code, status, j.stderr.String(), want, j.out.String())
	}
	j.net.WaitClean(20 * time.Second)
	if left, err := os.ReadDir(j.scratch); err != nil || len(left) > 0 && code >= 0 {
		j.t.Errorf("%v left in the launcher's directory, %v", left, err)
	}
}

// hosts are the addresses of the network's hosts as --hosts.
func (n *Net) list(more ...string) string {
	var addrs []string
	for _, h := range n.Hosts {
		addrs = append(addrs, h.Addr)
	}
	return "--hosts=" + strings.Join(append(addrs, more...), ",")
}

// steps is a program that never ends by itself; it has a child.
const steps = `sleep 1000 & i=0; while :; do i=$((i+1)); echo "step $i"; sleep 0.1; done`

func TestLaunch(t *testing.T) {
	t.Parallel()
	n := Start(t, 4)
	j := launch(t, n, n.list(), "--env", "WORD=a 'b' \"c\" $d\n\xff", "--", "sh", "-c", `printf '%s %s %s|%s|%s\n' $MLX_RANK $(hostname) "$(cat "$MLX_HOSTFILE")" "$WORD" "$1"`, "sh", "ä \\ * 'x'")
	j.ends(20*time.Second, 0, "")
	lines := strings.Split(j.out.String(), "\n")
	slices.Sort(lines)
	file := `[["10.77.0.1:32323"],["10.77.0.2:32324"],["10.77.0.3:32325"],["10.77.0.4:32326"]]`
	var want []string
	for i := range 4 {
		// Both lines of the variable carry the rank.
		want = append(want, fmt.Sprintf("[%d] %d host%d %s|a 'b' \"c\" $d", i, i, i+1, file), fmt.Sprintf("[%d] \xff|ä \\ * 'x'", i))
	}
	slices.Sort(want)
	if !slices.Equal(lines[1:], want) {
		t.Errorf("%q, want %q", lines[1:], want)
	}
}

// Names, IPv6 addresses and a hostfile; the ring is told the addresses of the file.
func TestLaunchHostfile(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	path := filepath.Join(t.TempDir(), "hosts.json")
	text := `{"backend": "ring", "envs": ["A=1"], "hosts": [{"ssh": "host2", "ips": ["fd77::2"]}, {"ssh": "root@fd77::1", "ips": ["10.77.0.1", "fd77::1"]}]}`
	if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	j := launch(t, n, "--hostfile", path, "-n", "1", "--no-prefix", "--", "sh", "-c", `[ $MLX_RANK = 1 ] || sleep 1; echo $A $(hostname) $(cat $MLX_HOSTFILE)`)
	j.ends(20*time.Second, 0, "")
	file := `[["[fd77::2]:32323"],["10.77.0.1:32324","[fd77::1]:32325"]]`
	if want := "1 host1 " + file + "\n1 host2 " + file + "\n"; j.out.String() != want {
		t.Errorf("%q, want %q", j.out.String(), want)
	}
}

// Hosts that do not come up are named with the reason, and no rank starts.
func TestLaunchHostDown(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name  string
		spoil func(h *Host) error
		more  []string
		args  []string
		want  string
	}{
		{"no host", nil, []string{Down}, nil, `^mlx: 10\.77\.0\.200 did not come up: .*(No route to host|timed out)`},
		{"sshd stopped", (*Host).StopSSHD, nil, nil, `^mlx: 10\.77\.0\.2 did not come up: .*Connection refused`},
		{"cable cut", (*Host).LinkDown, nil, nil, `^mlx: 10\.77\.0\.2 did not come up`},
		{"key refused", (*Host).RefuseKey, nil, nil, `^mlx: 10\.77\.0\.2 did not come up: .*Permission denied`},
		{"host key changed", (*Host).NewHostKey, nil, nil, `(?s)^mlx: 10\.77\.0\.2 did not come up: .*Host key verification failed`},
		{"host key unknown", nil, nil, []string{"--ssh-arg=-oUserKnownHostsFile=none"}, `^mlx: 10\.77\.0\.\d did not come up: .*Host key verification failed`},
		{"name unknown", nil, []string{"host77"}, nil, `^mlx: host77 did not come up: .*host77`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := Start(t, 2)
			if c.spoil != nil {
				if err := c.spoil(n.Hosts[1]); err != nil {
					t.Fatal(err)
				}
			}
			j := launch(t, n, append(append([]string{"--timeout=8s"}, c.args...), n.list(c.more...), "--", "echo", "ran")...)
			j.ends(10*time.Second, 1, c.want)
			if out := j.out.String(); out != "" {
				t.Errorf("output %q", out)
			}
		})
	}
}

// All ranks end, and what they started, however a job does.
func TestLaunchEnds(t *testing.T) {
	t.Parallel()
	crash := strings.Replace(steps, `sleep 0.1`, `[ $MLX_RANK$i != 23 ] || exit 7; sleep 0.1`, 1)
	signal := func(s syscall.Signal) func(*job) error {
		return func(j *job) error { return j.cmd.Process.Signal(s) }
	}
	for _, c := range []struct {
		name    string
		program string
		do      func(*job) error
		limit   time.Duration
		status  int
		want    string
	}{
		{"crash at step 3", crash, nil, 15 * time.Second, 7, `^mlx: rank 2 \(10\.77\.0\.3\): exited with status 7\n$`},
		{"rank killed", steps, func(j *job) error { return j.net.Hosts[1].Kill("step") }, 15 * time.Second, 137, `^mlx: rank 1 \(10\.77\.0\.2\): exited with status 137`},
		{"deaf program", `trap '' INT TERM; ` + steps, signal(syscall.SIGINT), 15 * time.Second, 130, "interrupt"},
		{"interrupted", steps, signal(syscall.SIGINT), 10 * time.Second, 130, "interrupt"},
		{"terminated", steps, signal(syscall.SIGTERM), 10 * time.Second, 143, "terminated"},
		{"launcher killed", steps, signal(syscall.SIGKILL), 10 * time.Second, -1, ""},
		{"sshd of a host killed", steps, func(j *job) error { return j.net.Hosts[2].Kill("sshd: ") }, 15 * time.Second, 1, `(?m)^mlx: rank 2 \(10\.77\.0\.3\): the connection was lost`},
		{"cable cut", steps, func(j *job) error { return j.net.Hosts[2].LinkDown() }, 40 * time.Second, 1, `(?m)^mlx: rank 2 \(10\.77\.0\.3\): (nothing was heard of the host for|the connection was lost)`},
		{"own cable cut", steps, func(j *job) error { return j.net.LinkDown() }, 40 * time.Second, 1, `(?m)^mlx: rank \d \(10\.77\.0\.\d\): (nothing was heard of the host for|the connection was lost)`},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			if testing.Short() && strings.HasSuffix(c.name, "cut") {
				t.Skip("ssh finds out after 20 seconds")
			}
			n := Start(t, 3)
			j := launch(t, n, n.list(), "--timeout=15s", "--", "sh", "-c", c.program)
			if c.do != nil {
				for i := range n.Hosts {
					j.until(fmt.Sprintf("[%d] step 3\n", i))
				}
				if err := c.do(j); err != nil {
					t.Fatal(err)
				}
			}
			j.ends(c.limit, c.status, c.want)
		})
	}
}
