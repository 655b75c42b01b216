//go:build unix

package launch

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// The test binary is also the program that ranks run (BINARY rank ROLE ...) and a launcher
// that can be killed (BINARY launcher OPTIONS).
func TestMain(m *testing.M) {
	if len(os.Args) > 2 {
		switch os.Args[1] {
		case "rank":
			rankMain(os.Args[2], os.Args[3:])
			os.Exit(0)
		case "launcher":
			os.Exit(launcherMain(os.Args[2]))
		}
	}
	bin, err := os.MkdirTemp("", "fakessh")
	if err == nil {
		err = os.WriteFile(filepath.Join(bin, "ssh"), []byte(fakeSSH), 0o700)
	}
	if err != nil {
		panic(err)
	}
	os.Setenv("PATH", bin+":"+os.Getenv("PATH"))
	flag.Parse()
	flag.Set("test.parallel", "8") // they sleep most of their time
	code := m.Run()
	os.RemoveAll(bin)
	os.Exit(code)
}

// rankMain is what ranks do.
func rankMain(role string, args []string) {
	switch role {
	case "show": // arguments and environment, as they arrived
		json.NewEncoder(os.Stdout).Encode(shown{hexed(args), hexed(os.Environ())})
	case "talk":
		talk(args)
	case "stubborn": // ends by nothing but KILL
		signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		fmt.Println("ready")
		select {}
	case "polite": // says which signal it got
		c := make(chan os.Signal, 1)
		signal.Notify(c, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
		fmt.Println("ready")
		fmt.Println("got", <-c)
		os.Exit(3)
	case "default": // what was inherited
		fmt.Println(signal.Ignored(syscall.SIGPIPE), signal.Ignored(syscall.SIGINT), signal.Ignored(syscall.SIGTERM), signal.Ignored(syscall.SIGHUP))
	case "family": // a child and a grandchild that hold the output
		c := exec.Command(os.Args[0], "rank", "stubborn")
		c.Stdout = os.Stdout
		c.Start()
		c.Wait()
	}
}

type shown struct{ Args, Env []string }

// hexed makes strings of any bytes fit for JSON.
func hexed(list []string) []string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%x", s)
	}
	return out
}

// talk prints lines: COUNT of 1 to 8000 bytes on both outputs, then ones without an end.
func talk(args []string) {
	count, _ := strconv.Atoi(args[0])
	rank, _ := strconv.Atoi(os.Getenv("MLX_RANK"))
	for i := range count {
		f := os.Stdout
		if i%3 == 0 {
			f = os.Stderr
		}
		f.Write(append(talkLine(rank, i), '\n'))
	}
	fmt.Fprintf(os.Stderr, "last error of %d", rank)
	fmt.Printf("last of %d", rank)
}

// talkLine has the rank, a number, text of several bytes a character, and what is no text.
func talkLine(rank, i int) []byte {
	n := 1 + i*i*31%8000
	line := fmt.Appendf(nil, "%d %d ", rank, i)
	for len(line) < n {
		line = append(line, "€é\xff\x00\r\x1b\x01 "...)
	}
	return line
}

// fakeSSH runs the command on this machine, with a bare environment and some noise. The
// name of the host says what goes wrong.
const fakeSSH = `#!/bin/bash
while [ "$1" != -- ]; do echo "$1" >>"$FAKE_TMP.args"; shift; done
host=$2 command=$3
case $host in
down*) echo "ssh: connect to host $host port 22: Connection refused" >&2; exit 255 ;;
refused*) echo "$host: Permission denied (publickey)." >&2; exit 255 ;;
unknown*) echo "Host key verification failed." >&2; exit 255 ;;
slow*) exec sleep 30 ;;
later*) sleep 1 ;;
esac
echo "banner of $host" >&2
run() { env -i TMPDIR="$FAKE_TMP" HOME="$FAKE_TMP" PATH="$FAKE_PATH" FAKE_HOST="$host" "$(command -v setsid)" "$(command -v bash)" -c "echo motd; echo rc >&2; $command"; }
case $host in
dies*) run <&0 & sleep 1; echo "Connection to $host closed by remote host." >&2; exit 255 ;;
*) run ;;
esac
`

// world is where jobs of a test run: its hosts are this machine behind fakeSSH.
type world struct {
	t       *testing.T
	tmp     string // of all hosts; must be empty in the end
	environ []string
	shell   string
}

func newWorld(t *testing.T) *world {
	t.Helper()
	tmp := filepath.Join(t.TempDir(), "tmp")
	if err := os.Mkdir(tmp, 0o700); err != nil {
		t.Fatal(err)
	}
	w := &world{t, tmp, append(os.Environ(), "FAKE_TMP="+tmp, "FAKE_PATH=/usr/bin:/bin", "TMPDIR="+tmp), "/bin/sh"}
	t.Cleanup(func() { w.clean(10 * time.Second) })
	return w
}

// job is New for this world.
func (w *world) job(o Options) (*Job, error) {
	j, err := New(o)
	if err == nil {
		j.environ, j.shell = w.environ, w.shell
		j.pace.grace, j.pace.cut = 600*time.Millisecond, time.Second
	}
	return j, err
}

// clean checks that no process and no file is left, at the latest after some time.
func (w *world) clean(within time.Duration) {
	w.t.Helper()
	deadline := time.Now().Add(within)
	for {
		files, _ := filepath.Glob(filepath.Join(w.tmp, "*"))
		procs := w.processes()
		if len(files)+len(procs) == 0 {
			return
		}
		if time.Now().After(deadline) {
			w.t.Errorf("left behind: %q, %v", files, procs)
			for pid := range procs {
				syscall.Kill(pid, syscall.SIGKILL)
			}
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// processes are those that were started in this world, by their environment.
func (w *world) processes() map[int]string {
	found := map[int]string{}
	dirs, _ := filepath.Glob("/proc/[0-9]*")
	for _, d := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(d))
		env, err := os.ReadFile(filepath.Join(d, "environ"))
		if err != nil || pid == os.Getpid() || !bytes.Contains(env, []byte("TMPDIR="+w.tmp+"\x00")) {
			continue
		}
		line, _ := os.ReadFile(filepath.Join(d, "cmdline"))
		found[pid] = strings.ReplaceAll(string(line[:min(len(line), 200)]), "\x00", " ")
	}
	return found
}

// options are those of a job that runs this binary as ROLE.
func (w *world) options(hosts string, command ...string) Options {
	w.t.Helper()
	o := Options{Repeat: 1, Connections: 1, Timeout: 20 * time.Second, Stdin: InputFirst, Command: command}
	var err error
	if o.Hosts, err = Addressed(strings.Split(hosts, ",")); err != nil {
		w.t.Fatal(err)
	}
	return o
}

func role(words ...string) []string {
	self, err := os.Executable()
	if err != nil {
		panic(err)
	}
	return append([]string{self, "rank"}, words...)
}

// buffer is a bytes.Buffer that may be read while it is written.
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

// await waits until b has want n times.
func (b *buffer) await(t *testing.T, want string, n int) {
	t.Helper()
	for range 1000 {
		if strings.Count(b.String(), want) >= n {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("no %d of %q in %q", n, want, b.String())
}

// run runs a job to its end.
func (w *world) run(o Options, in string) (stdout, stderr string, err error) {
	w.t.Helper()
	var out, e buffer
	s := Streams{Out: &out, Err: &e}
	if in != "" {
		s.In = strings.NewReader(in)
	}
	j, err := w.job(o)
	if err == nil {
		err = j.Run(context.Background(), s)
	}
	return out.String(), e.String(), err
}

// launcherMain runs the job that is described in JSON, with short times.
func launcherMain(text string) int {
	var o Options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	j, err := New(o)
	if err == nil {
		j.pace.silence, j.pace.beat = 3*time.Second, 300*time.Millisecond
		err = j.Run(context.Background(), Streams{Out: os.Stdout, Err: os.Stderr})
	}
	if failed, ok := errors.AsType[*RankError](err); ok {
		return failed.Status
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 98
	}
	return 0
}
