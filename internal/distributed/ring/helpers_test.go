package ring

import (
	"encoding/json"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/mlxgo/mlx/internal/distributed"
)

var testSecret = []byte("a secret of the tests, long enough")

// job gives the configurations of n processes on loopback with links connections each.
func job(t testing.TB, n, links int) []Config {
	t.Helper()
	return jobOn(t, "127.0.0.1", n, links)
}

func jobOn(t testing.TB, host string, n, links int) []Config {
	t.Helper()
	cfgs := make([]Config, n)
	hosts := make([][]string, n)
	for r := range n {
		for range links {
			l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { l.Close() })
			_, port, _ := net.SplitHostPort(l.Addr().String())
			hosts[r] = append(hosts[r], net.JoinHostPort(host, port))
			cfgs[r].Listeners = append(cfgs[r].Listeners, l)
		}
	}
	for r := range cfgs {
		cfgs[r].Rank, cfgs[r].Hosts, cfgs[r].Secret = r, hosts, testSecret
		cfgs[r].Timeout, cfgs[r].Stderr = 20*time.Second, io.Discard
	}
	return cfgs
}

// join starts a job.
func join(t testing.TB, cfgs []Config) []distributed.Group {
	t.Helper()
	groups := make([]distributed.Group, len(cfgs))
	errs := make([]error, len(cfgs))
	var wg sync.WaitGroup
	for r := range cfgs {
		wg.Go(func() { groups[r], errs[r] = New(cfgs[r]) })
	}
	wg.Wait()
	for r, err := range errs {
		if err != nil {
			t.Fatalf("rank %d: %v", r, err)
		}
	}
	t.Cleanup(func() {
		for _, g := range groups {
			wg.Go(func() { g.Close() })
		}
		wg.Wait()
	})
	return groups
}

// each runs f on every process at once and returns the errors.
func each(groups []distributed.Group, f func(g distributed.Group) error) []error {
	errs := make([]error, len(groups))
	var wg sync.WaitGroup
	for i, g := range groups {
		wg.Go(func() {
			if errs[i] = f(g); errs[i] != nil {
				g.Close() // so that the others end too
			}
		})
	}
	wg.Wait()
	return errs
}

// all fails the test on an error of any.
func all(t testing.TB, groups []distributed.Group, f func(g distributed.Group) error) {
	t.Helper()
	for r, err := range each(groups, f) {
		if err != nil {
			t.Errorf("rank %d: %v", r, err)
		}
	}
	if t.Failed() {
		t.FailNow()
	}
}

// writeHosts writes the hostfile of cfgs.
func writeHosts(t testing.TB, cfgs []Config) string {
	t.Helper()
	data, err := json.Marshal(cfgs[0].Hosts)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "hosts.json")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
