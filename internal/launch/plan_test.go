//go:build unix

package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/launch/hostfile"
)

func TestCheck(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Command = nil }, "there is no program to run"},
		{func(o *Options) { o.Hosts = nil }, "there are no hosts"},
		{func(o *Options) { o.Hosts[0].SSH = "-oProxyCommand=id" }, `the host "-oProxyCommand=id" begins with -, as an option of ssh does`},
		{func(o *Options) { o.Hosts[0].SSH = "a b" }, `the host "a b" has a blank or a character that does not print`},
		{func(o *Options) { o.Hosts[0].SSH = "localhost" }, `localhost cannot be reached from b: give this machine's address as "ips" in a hostfile`},
		{func(o *Options) { o.Repeat = 0 }, "--repeat-hosts is 0: it must be above 0"},
		{func(o *Options) { o.Connections = -1 }, "--connections-per-ip is -1: it must be above 0"},
		{func(o *Options) { o.StartingPort = 65536 }, "--starting-port is 65536: it must be from 1 to 65535"},
		{func(o *Options) { o.StartingPort = 65535 }, "the ports from 65535 on do not suffice: the job needs more than 1"},
		{func(o *Options) { o.Env = []string{"A"} }, `--env: "A" is not K=V`},
		{func(o *Options) { o.Env = []string{"MLX_RANK=1"} }, "--env: the launcher sets MLX_RANK itself"},
		{func(o *Options) { o.Command = []string{"a", "b\x00"} }, `"b\x00" has a NUL byte`},
		{func(o *Options) { o.Command = []string{"nosuch.go"} }, "stat nosuch.go: no such file or directory"},
		{func(o *Options) { o.Command = []string{"/"} }, "/ is a directory without Go files"},
		{func(o *Options) { o.Command = []string{"."}; o.Python = "python3" }, "--python is for Python, but . is Go"},
		{func(o *Options) { o.Copy = []string{"nosuch"} }, "--copy: stat nosuch: no such file or directory"},
		{func(o *Options) { o.Copy = []string{"."} }, "--copy: . is not a regular file"},
		{func(o *Options) { o.Copy = []string{"plan.go", "./plan.go"} }, "--copy: plan.go and ./plan.go have the same name"},
	} {
		o := Options{Repeat: 1, Connections: 1, Timeout: time.Second, Command: []string{"true"}, Hosts: []hostfile.Host{{SSH: "a"}, {SSH: "b"}}}
		c.change(&o)
		_, err := New(o)
		if usage, ok := errors.AsType[*UsageError](err); !ok || usage.Error() != c.want {
			t.Errorf("%v, want %s", err, c.want)
		}
	}
}

func TestAddresses(t *testing.T) {
	for host, want := range map[string]string{
		"127.0.0.1": "127.0.0.1", "localhost": "127.0.0.1", "::1": "127.0.0.1", "mac1.local": "mac1.local", "me@mac1": "mac1",
		"10.0.0.1": "10.0.0.1", "fe80::1%en0": "fe80::1%en0", "ssh://me@mac1:2222": "mac1", "me@x@mac1": "mac1",
	} {
		if got := address(host); got != want {
			t.Errorf("%s: %s, want %s", host, got, want)
		}
	}
}

// Ports count up as mlx.launch's; busy ones are passed over unless they were asked for.
func TestPorts(t *testing.T) {
	o := Options{Repeat: 2, Connections: 2, Timeout: time.Second, Command: []string{"true"}, Hosts: []hostfile.Host{{SSH: "127.0.0.1", IPs: []string{"10.0.0.1", "10.1.0.1"}}, {SSH: "b"}}}
	j, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	want := `[["10.0.0.1:32323","10.0.0.1:32324","10.1.0.1:32325","10.1.0.1:32326"],["10.0.0.1:32327","10.0.0.1:32328","10.1.0.1:32329","10.1.0.1:32330"],["b:32331","b:32332"],["b:32333","b:32334"]]`
	if got := ringHosts(j.ranks); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	o.Hosts = []hostfile.Host{{SSH: "localhost"}}
	fmt.Sscan(port, &o.StartingPort)
	if o.StartingPort == 65535 {
		o.Repeat, o.Connections = 1, 1
	}
	if _, err := New(o); err == nil || err.Error() != "the port of 127.0.0.1:"+port+" is taken: choose another with --starting-port, or none" {
		t.Error(err)
	}
	free, release := freePorts()
	seen := map[int]bool{}
	for range 20 {
		p, err := free()
		if err != nil || seen[p] {
			t.Errorf("%d, %v", p, err)
		}
		seen[p] = true
	}
	release()
	o.StartingPort = 0
	j, err = New(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range j.ranks {
		for _, a := range r.addresses {
			l, err := net.Listen("tcp", a)
			if err != nil {
				t.Error(err)
				continue
			}
			l.Close()
		}
	}
}

// A Go file is built and copied, with the files that it needs; nothing of it stays.
func TestGo(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("go"); err != nil {
		t.Skip(err)
	}
	dir := t.TempDir()
	text := `package main

import (
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	data, err := os.ReadFile(os.Args[1])
	other, err2 := os.ReadFile(filepath.Join(os.Getenv("MLX_COPY_DIR"), "b.txt"))
	info, err3 := os.Stat(filepath.Join(os.Getenv("MLX_COPY_DIR"), "run.sh"))
	fmt.Printf("%s %s %o %v %v %v %q\n", data, other, info.Mode()&0o700, err, err2, err3, os.Args[2:])
}
`
	big := strings.Repeat("0123456789abcdef", 20_000)
	for name, data := range map[string]string{"prog.go": text, "a file'é": big, "b.txt": "two", "run.sh": "#!/bin/sh\n"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(filepath.Join(dir, "run.sh"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, hosts := range []string{"127.0.0.1,127.0.0.1", "a,b"} {
		w := newWorld(t)
		given := filepath.Join(dir, "a file'é")
		o := w.options(hosts, filepath.Join(dir, "prog.go"), given, "--x", "é")
		o.Copy = []string{given, filepath.Join(dir, "b.txt"), filepath.Join(dir, "run.sh")}
		out, e, err := w.run(o, "")
		line := fmt.Sprintf("%s two 700 <nil> <nil> <nil> [%q %q]\n", big, "--x", "é")
		lines := slices.Sorted(strings.Lines(out))
		if err != nil || len(lines) != 2 || lines[0] != "[0] "+line || lines[1] != "[1] "+line {
			t.Errorf("%s: %.300q, %q, %v", hosts, out, e, err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "prog.go"), []byte("package main\nfunc main() { x }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t)
	if _, _, err := w.run(w.options("a", filepath.Join(dir, "prog.go")), ""); err == nil || !strings.Contains(err.Error(), "building prog for Linux") && !strings.Contains(err.Error(), "building prog for Darwin") || !strings.Contains(err.Error(), "undefined: x") {
		t.Error(err)
	}
	w = newWorld(t)
	if _, _, err := w.run(w.options("a", "."), ""); err == nil || !strings.Contains(err.Error(), "is no program") {
		t.Error(err)
	}
}

func TestPython(t *testing.T) {
	o := Options{Repeat: 1, Connections: 1, Timeout: time.Second, Hosts: []hostfile.Host{{SSH: "a"}}}
	for _, c := range []struct{ command, python, want string }{
		{"x.py 1", "", "python3 x.py 1"}, {"x.py", "/opt/py", "/opt/py x.py"}, {"-m pkg", "py", "py -m pkg"}, {"x.sh", "", "x.sh"},
	} {
		o.Command, o.Python = strings.Fields(c.command), c.python
		j, err := New(o)
		if err != nil || strings.Join(j.program.words, " ") != c.want {
			t.Errorf("%v, %v", j, err)
		}
	}
}

// What a dry run shows does the same when it is pasted into a shell.
func TestDryRun(t *testing.T) {
	w := newWorld(t)
	script := filepath.Join(t.TempDir(), "a.sh")
	if err := os.WriteFile(script, []byte(`echo "$MLX_RANK" "$V" "$1"; cat "$MLX_HOSTFILE"; pwd; exit 3`), 0o600); err != nil {
		t.Fatal(err)
	}
	o := w.options("a,b", "sh", script, "x 'y\n\xffé")
	o.Env, o.Dir, o.SSHArgs, o.StartingPort = []string{"V=a  b"}, "/", []string{"-v"}, 4000
	j, err := w.job(o)
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	if err := j.DryRun(&text); err != nil {
		t.Fatal(err)
	}
	var out string
	for line := range strings.SplitSeq(text.String(), "# rank ") {
		if line == "" {
			continue
		}
		_, command, _ := strings.Cut(line, "\n")
		if !strings.HasPrefix(command, "ssh -v -T -o BatchMode=yes -o ConnectTimeout=19 ") {
			t.Errorf("%q", command)
		}
		cmd := exec.Command("sh", "-c", command)
		cmd.Env = w.environ
		data, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); !ok || exit.ExitCode() != 3 {
			t.Error(err)
		}
		out += string(data)
	}
	want := ""
	for rank := range 2 {
		want += fmt.Sprintf("motd\n%d a  b x 'y\n\xffé\n[[\"a:4000\"],[\"b:4001\"]]/\n", rank)
	}
	if out != want {
		t.Errorf("%q, want %q", out, want)
	}
	if strings.Contains(text.String(), "SECRET") {
		t.Error(text.String())
	}
}

// A host with many ranks gets its connections a few at a time.
func TestManyRanks(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	o := w.options("far", "sh", "-c", "echo here")
	o.Repeat = 20
	out, e, err := w.run(o, "")
	if err != nil || strings.Count(out, "here\n") != 20 {
		t.Errorf("%q, %q, %v", out, e, err)
	}
	// The job ends with its context too.
	ctx, cancel := context.WithCancel(context.Background())
	j, err := w.job(w.options("far", role("stubborn")...))
	if err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(200*time.Millisecond, cancel)
	if err := j.Run(ctx, Streams{Out: io.Discard, Err: io.Discard}); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
