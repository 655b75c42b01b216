//go:build linux

package nettest

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Four hosts add up, over one address each and over two, small arrays and large ones.
func TestSums(t *testing.T) {
	t.Parallel()
	n := Start(t, 4)
	program := n.share(t, "sums")
	path := filepath.Join(t.TempDir(), "hosts.json")
	var hosts []string
	for _, h := range n.Hosts {
		hosts = append(hosts, fmt.Sprintf(`{"ssh": %q, "ips": [%q, %q]}`, h.Name, h.Addr, h.Addr6))
	}
	if err := os.WriteFile(path, []byte("["+strings.Join(hosts, ",")+"]"), 0o666); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{n.list()}, {"--hostfile", path}, {n.list(), "-n", "2", "--connections-per-ip", "2"}} {
		ranks := 4
		if len(args) > 3 {
			ranks = 8
		}
		for _, elements := range []string{"1", "1000003"} {
			j := launch(t, n, append(args, "--", program, "-steps", "3", "-n", elements)...)
			j.ends(60*time.Second, 0, "")
			for rank := range ranks {
				for step := 1; step <= 3; step++ {
					sum := step * ranks * (ranks + 1) / 2
					if want := fmt.Sprintf("[%d] step %d %d %d\n", rank, step, sum, sum); strings.Count(j.out.String(), want) != 1 {
						t.Errorf("%q %s: no %q in %q", args, elements, want, j.out.String())
					}
				}
			}
		}
	}
}

// A Go package is built here and copied to the hosts, which have no Go.
func TestSumsBuilt(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	dir, err := filepath.Abs("testdata/sums")
	if err != nil {
		t.Fatal(err)
	}
	j := launch(t, n, n.list(), "--", dir, "-steps", "1")
	j.ends(120*time.Second, 0, "")
	if out := j.out.String(); strings.Count(out, "step 1 3 3\n") != 2 {
		t.Errorf("%q", out)
	}
}

// A job that sums up and cannot go on ends on all hosts, and tells which rank is to blame.
func TestSumsEnd(t *testing.T) {
	t.Parallel()
	const lost = `\[\d\] step \d+: .*ring: rank 2 \(10\.77\.0\.3:32325\) `
	// Who notices first that a rank is gone, its neighbour or the launcher, is not told.
	for _, c := range []struct {
		name   string
		args   []string
		do     func(*job) error
		limit  time.Duration
		status int
		want   string
	}{
		{"crash at step 3", []string{"-crash", "2:3"}, nil, 15 * time.Second, anyFailure, `(?s)\[2\] panic: boom.*mlx: rank \d \(10\.77\.0\.\d\): exited with status [23]\n$`},
		{"rank killed", nil, func(j *job) error { return j.net.Hosts[2].Kill("/sums") }, 15 * time.Second, anyFailure, lost + `|mlx: rank 2 \(10\.77\.0\.3\): exited with status 137`},
		{"interrupted", nil, func(j *job) error { return j.cmd.Process.Signal(os.Interrupt) }, 15 * time.Second, 130, "interrupt"},
		{"launcher killed", nil, func(j *job) error { return j.cmd.Process.Kill() }, 15 * time.Second, -1, ""},
		// The ring finds out long before ssh does.
		{"cable cut", []string{"-timeout", "4s"}, func(j *job) error { return j.net.Hosts[2].LinkDown() }, 18 * time.Second, 3, lost},
		{"cable cut, large arrays", []string{"-timeout", "4s", "-n", "4000000"}, func(j *job) error { return j.net.Hosts[2].LinkDown() }, 18 * time.Second, 3, lost},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := Start(t, 4)
			j := launch(t, n, append([]string{n.list(), "--", n.share(t, "sums"), "-pause", "50ms"}, c.args...)...)
			if c.do != nil {
				for i := range n.Hosts {
					j.until(fmt.Sprintf("[%d] step 3 ", i))
				}
				j.begun = time.Now()
				if err := c.do(j); err != nil {
					t.Fatal(err)
				}
			}
			j.ends(c.limit, c.status, c.want)
		})
	}
}

// Strangers at the ports of a job do not harm it.
func TestSumsStrangers(t *testing.T) {
	t.Parallel()
	n := Start(t, 2)
	program := n.share(t, "sums")
	j := launch(t, n, n.list(), "--", program, "-pause", "20ms", "-steps", "100")
	j.until("[1] step 3 ")
	// bash on the client speaks to the ports, and holds connections open.
	stranger := n.Command("bash", "-c", `for i in 1 2 3; do exec {a}<>/dev/tcp/10.77.0.1/32323 && head -c 200 /dev/urandom >&$a; exec {b}<>/dev/tcp/10.77.0.2/32324; done; sleep 3`)
	if out, err := stranger.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	j.ends(30*time.Second, 0, "")
	if out := j.out.String(); strings.Count(out, "step 100 300 300\n") != 2 {
		t.Errorf("%q", out)
	}
}
